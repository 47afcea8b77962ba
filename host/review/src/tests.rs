#![allow(clippy::string_slice, reason = "ids and base64 are ASCII")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use grille_policy::{
    Actor, Digest, Epoch, Parameter, RequestId, SessionFacts, SessionId, Subject, Terms, TransactionState,
};
use parking_lot::Mutex;

mod life;

use super::*;

#[derive(Default)]
struct Log {
    events: Mutex<Vec<Event>>,
    is_full: AtomicBool,
}

impl Journal for Log {
    fn append(&self, event: &Event) -> Result<(), Unjournaled> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(Unjournaled("disk full".into()));
        }
        self.events.lock().push(event.clone());
        Ok(())
    }

    fn anchor(&self) -> Option<String> {
        Some("checkpoint 7".into())
    }
}

impl Log {
    fn edges(&self) -> Vec<&'static str> {
        self.events.lock().iter().map(|event| event.edge.name()).collect()
    }
}

struct Key(Ed25519KeyPair);

impl Signer for Key {
    fn key_id(&self) -> &str {
        "test"
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Unsigned> {
        Ok(self.0.sign(bytes).as_ref().to_vec())
    }
}

struct Room {
    desk: Desk,
    log: Arc<Log>,
    key: Arc<Key>,
}

fn room_with(change: impl FnOnce(&mut DeskConfig)) -> Room {
    let mut config = DeskConfig { reviewers: vec!["reviewers".into()], ..DeskConfig::default() };
    change(&mut config);
    let log = Arc::new(Log::default());
    let key = Arc::new(Key(Ed25519KeyPair::generate().unwrap()));
    let desk = Desk::new(config, log.clone(), key.clone()).unwrap();
    Room { desk, log, key }
}

fn room() -> Room {
    room_with(|_| {})
}

fn subject(sub: &str, groups: &[&str]) -> Subject {
    Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: sub.into(),
        name: sub.into(),
        groups: groups.iter().map(|&group| group.into()).collect(),
        actors: Vec::new(),
        expires_at: u64::MAX,
        claims: r#"{"acr":"mfa","amr":["pwd","otp"]}"#.into(),
    }
}

fn behind(sub: &str, agent: &str) -> Subject {
    let mut subject = subject(sub, &["reviewers"]);
    subject.actors = vec![Actor { issuer: Arc::clone(&subject.issuer), sub: agent.into() }];
    subject
}

fn ask_of(subject: Subject, text: &str) -> Ask {
    let session = SessionFacts {
        id: SessionId::mint(1, 2),
        subject: Arc::new(subject),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:5".into(),
        client: "psql".into(),
        tls: None,
    };
    Ask {
        session: Arc::new(session),
        text: text.into(),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
        in_transaction: false,
        terms: Terms::standard("a bulk update"),
        findings: Vec::new(),
        epoch: Epoch(1),
        policies: Digest([7; 32]),
        justification: Some("ticket 4711".into()),
    }
}

const UPDATE: &str = "update visits set ward = 'B'";

fn ask() -> Ask {
    ask_of(subject("ann", &["analysts"]), UPDATE)
}

/// The same, by a caller that does not wait.
fn question() -> Ask {
    let mut ask = ask();
    ask.terms.hold_ms = Some(0);
    ask
}

impl Room {
    fn hold(&self, ask: Ask) -> Ticket {
        match self.desk.request(ask).unwrap() {
            Asked::Held(ticket) => ticket,
            Asked::Open { .. } => panic!("not held"),
        }
    }

    fn open(&self, ask: Ask) -> RequestId {
        match self.desk.request(ask).unwrap() {
            Asked::Open { id, .. } => id,
            Asked::Held(_) => panic!("held"),
        }
    }

    fn find(&self, text: &str, parameters: &[Parameter]) -> Option<Grant> {
        self.desk.find_grant(&subject("ann", &["analysts"]), "clinic", text, parameters)
    }

    fn state(&self, id: RequestId) -> State {
        self.desk.show(&id.to_string(), &subject("eve", &[])).unwrap().state
    }
}

fn release(text: &str) -> Release<'_> {
    Release { session: SessionId::mint(3, 4), text, parameters: &[], epoch: Epoch(1) }
}

fn rita() -> Subject {
    subject("rita", &["reviewers"])
}

#[tokio::test(start_paused = true)]
async fn held_approved_and_run_once() {
    let room = room();
    let mut ticket = room.hold(ask());
    let id = ticket.id();
    assert_eq!(ticket.needs(), [Need { groups: vec!["reviewers".into()], people: 1 }]);
    assert!(room.find(UPDATE, &[]).is_none());

    let shown = room.desk.show(&id.to_string(), &rita()).unwrap();
    assert_eq!((&*shown.content.text, shown.state, shown.missing), (UPDATE, State::Pending, 1));
    room.desk.approve(&id.to_string(), &rita(), "agreed with the ward").unwrap();
    let Outcome::Approved(grant) = ticket.outcome().await else { panic!("not approved") };
    assert!(room.find(UPDATE, &[]).is_none(), "somebody is held for it");
    let consumed = grant.consume(release(UPDATE)).unwrap();
    assert_eq!(consumed.votes.len(), 1);
    let again = grant.consume(release(UPDATE)).unwrap_err();
    assert!(matches!(again, NotReleased::Closed { state: State::Consumed, .. }), "{again}");
    assert_eq!(room.log.edges(), ["requested", "approved", "consumed"]);
}

#[tokio::test(start_paused = true)]
async fn the_decision_is_signed_over_all_that_was_decided_on() {
    let room = room();
    let id = room.open(question());
    room.desk.show(&id.to_string(), &rita()).unwrap();
    room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
    let events = room.log.events.lock();
    let Edge::Approved { envelope, granted_until_ms, .. } = &events[1].edge else { panic!("not approved") };
    assert!(granted_until_ms.is_some());
    let key = room.key.0.public_key().as_ref();
    let payload = dsse::verify(envelope, key).unwrap();
    assert_eq!((payload.request_id, &*payload.verdict, &*payload.reviewer.sub), (id, "approve", "rita"));
    assert_eq!(payload.reviewer_acr.as_deref(), Some("mfa"));
    assert_eq!(payload.prev_checkpoint.as_deref(), Some("checkpoint 7"));
    assert!(payload.seen_ms.is_some());
    assert_eq!((&*payload.comment, payload.max_uses, payload.policy_digest), ("fine", 1, Digest([7; 32])));

    let mut edited = envelope.clone();
    edited.payload.replace_range(20..21, if edited.payload[20..].starts_with('A') { "B" } else { "A" });
    assert!(matches!(dsse::verify(&edited, key), Err(dsse::Unproven::Signature)));
    let other = Ed25519KeyPair::generate().unwrap();
    assert!(matches!(dsse::verify(envelope, other.public_key().as_ref()), Err(dsse::Unproven::Signature)));
    let mut retyped = envelope.clone();
    retyped.payload_type = "text/plain".into();
    assert!(matches!(dsse::verify(&retyped, key), Err(dsse::Unproven::Type(_))));
}

#[tokio::test(start_paused = true)]
async fn nobody_decides_their_own() {
    let room = room();
    let mut person = ask_of(subject("ann", &["reviewers"]), UPDATE);
    person.terms.hold_ms = Some(0);
    let mut agent = ask_of(behind("ann", "bot"), UPDATE);
    agent.terms.hold_ms = Some(0);
    for ask in [person, agent] {
        let id = room.open(ask).to_string();
        for by in [subject("ann", &["reviewers"]), behind("ann", "bot"), behind("ann", "other-bot")] {
            for refused in [
                room.desk.approve(&id, &by, "mine").unwrap_err(),
                room.desk.deny(&id, &by, "mine").unwrap_err(),
                room.desk.revoke(&id, &by, "mine").unwrap_err(),
            ] {
                assert!(matches!(refused, RefusedDecision::Own { .. }), "{refused}");
            }
        }
    }
    let mut agent = ask_of(behind("ann", "bot"), "update rooms set bed = 1");
    agent.terms.hold_ms = Some(0);
    let id = room.open(agent).to_string();
    let refused = room.desk.approve(&id, &subject("bot", &["reviewers"]), "for ann").unwrap_err();
    assert!(matches!(refused, RefusedDecision::Own { .. }), "{refused}");
    let refused = room.desk.approve(&id, &behind("bob", "bot"), "for bob").unwrap_err();
    assert!(matches!(refused, RefusedDecision::NotAPerson { .. }), "{refused}");
    let refused = room.desk.approve(&id, &subject("bob", &["analysts"]), "why not").unwrap_err();
    assert_eq!(refused.to_string(), format!("bob may not review {id}: that takes one of the groups reviewers"));
    assert_eq!(room.log.edges().iter().filter(|edge| **edge == "refused").count(), 21, "each attempt is recorded");
    room.desk.approve(&id, &subject("bob", &["reviewers"]), "fine").unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_name_at_another_issuer_is_somebody_else() {
    let room = room();
    let id = room.open(question()).to_string();
    let mut other = subject("ann", &["reviewers"]);
    other.issuer = "https://elsewhere.example.org".into();
    room.desk.approve(&id, &other, "fine").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quorum_takes_distinct_people() {
    let room = room_with(|config| config.quorum = 2);
    let id = room.open(question());
    let text = id.to_string();
    assert_eq!(room.desk.approve(&text, &rita(), "one").unwrap().missing, 1);
    assert_eq!(room.state(id), State::Pending);
    let refused = room.desk.approve(&text, &rita(), "two").unwrap_err();
    assert!(matches!(refused, RefusedDecision::Voted { missing: 1, .. }), "{refused}");
    assert_eq!(room.desk.approve(&text, &subject("raj", &["reviewers"]), "two").unwrap().state, State::Granted);
    let refused = room.desk.approve(&text, &subject("roy", &["reviewers"]), "three").unwrap_err();
    assert_eq!(refused.to_string(), format!("{id} is granted already"));
}

#[test]
fn votes_of_the_same_moment_are_all_kept() {
    let room = room_with(|config| config.quorum = 8);
    let id = room.open(question());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (desk, text) = (room.desk.clone(), id.to_string());
            scope.spawn(move || desk.approve(&text, &subject(&format!("r{number}"), &["reviewers"]), "yes").unwrap());
        }
    });
    let review = room.desk.show(&id.to_string(), &rita()).unwrap();
    assert_eq!((review.state, review.votes.len(), review.missing), (State::Granted, 8, 0));
}

#[test]
fn of_many_that_run_at_once_one_does() {
    let room = room();
    for round in 0..50 {
        let text = format!("{UPDATE} -- {round}");
        let mut ask = ask_of(subject("ann", &["analysts"]), &text);
        ask.terms.hold_ms = Some(0);
        let id = room.open(ask);
        room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
        let runs = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    let (room, text) = (&room, &text);
                    scope.spawn(move || room.find(text, &[]).is_some_and(|grant| grant.consume(release(text)).is_ok()))
                })
                .collect();
            tries.into_iter().filter_map(|one| one.join().unwrap().then_some(())).count()
        });
        assert_eq!(runs, 1);
    }
    assert_eq!(room.log.edges().iter().filter(|edge| **edge == "consumed").count(), 50);
}

#[tokio::test(start_paused = true)]
async fn any_byte_of_difference_is_another_statement() {
    let room = room();
    let text = |value: &str| Parameter { type_oid: 25, is_binary: false, value: Some(value.as_bytes().into()) };
    let mut ask = question();
    ask.parameters = Arc::new([text("B")]);
    let id = room.open(ask);
    room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
    assert!(room.find("update visits set ward = 'B '", &[text("B")]).is_none());
    assert!(room.find(UPDATE, &[text("C")]).is_none());
    assert!(room.find(UPDATE, &[]).is_none());
    let bob = subject("bob", &["analysts"]);
    assert!(room.desk.find_grant(&bob, "clinic", UPDATE, &[text("B")]).is_none());
    assert!(room.desk.find_grant(&behind("ann", "bot"), "clinic", UPDATE, &[text("B")]).is_none());
    assert!(room.desk.find_grant(&subject("ann", &[]), "other", UPDATE, &[text("B")]).is_none());

    let grant = room.find(UPDATE, &[text("B")]).unwrap();
    let different = [release("update visits set ward = 'B '"), release(UPDATE)];
    for release in different {
        let refused = grant.consume(release).unwrap_err();
        assert!(matches!(refused, NotReleased::Different { .. }), "{refused}");
    }
    {
        let events = room.log.events.lock();
        let Some(Edge::Mismatched { approved, presented, .. }) = events.get(2).map(|event| &event.edge) else {
            panic!("not recorded")
        };
        assert_ne!(approved, presented);
    }
    let parameters = [text("B")];
    grant.consume(Release { parameters: &parameters, ..release(UPDATE) }).map(drop).unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_decides_in_time() {
    let room = room();
    let mut ticket = room.hold(ask());
    let begun = tokio::time::Instant::now();
    assert!(matches!(ticket.outcome().await, Outcome::TimedOut));
    assert_eq!(begun.elapsed().as_secs(), 120);
    let refused = room.desk.approve(&ticket.id().to_string(), &rita(), "late").unwrap_err();
    assert_eq!(refused.to_string(), format!("{} is timed-out already", ticket.id()));
    assert_eq!(room.log.edges(), ["requested", "timed-out"]);
}

#[tokio::test(start_paused = true)]
async fn an_approval_at_the_last_moment_and_one_too_late() {
    for (at, is_approved) in [(119_999, true), (120_000, false), (120_001, false)] {
        let room = room();
        let mut ticket = room.hold(ask());
        tokio::time::advance(Duration::from_millis(at)).await;
        assert_eq!(room.desk.approve(&ticket.id().to_string(), &rita(), "").is_ok(), is_approved, "{at}");
        let outcome = ticket.outcome().await;
        assert_eq!(matches!(outcome, Outcome::Approved(_)), is_approved, "{at}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_withdraws() {
    let room = room();
    let ticket = room.hold(ask());
    let id = ticket.id();
    drop(ticket);
    assert_eq!(room.state(id), State::Withdrawn);
    assert!(room.desk.approve(&id.to_string(), &rita(), "late").is_err());
    assert_eq!(room.log.edges(), ["requested", "withdrawn"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_when_it_was_just_approved_may_come_back() {
    let room = room();
    let ticket = room.hold(ask());
    room.desk.approve(&ticket.id().to_string(), &rita(), "fine").unwrap();
    drop(ticket);
    let grant = room.find(UPDATE, &[]).unwrap();
    grant.consume(release(UPDATE)).map(drop).unwrap();

    let mut ticket = room.hold(ask());
    room.desk.approve(&ticket.id().to_string(), &rita(), "fine").unwrap();
    let Outcome::Approved(grant) = ticket.outcome().await else { panic!("not approved") };
    drop(grant);
    assert!(room.find(UPDATE, &[]).is_some());
}

#[tokio::test(start_paused = true)]
async fn waiting_may_be_interrupted() {
    let room = room();
    let mut ticket = room.hold(ask());
    for _ in 0..3 {
        let waited = tokio::time::timeout(Duration::from_secs(15), ticket.outcome()).await;
        assert!(waited.is_err());
    }
    let (desk, id) = (room.desk.clone(), ticket.id().to_string());
    let reviewer = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        desk.deny(&id, &rita(), "not on a Friday").unwrap();
    });
    let Outcome::Denied { by, reason } = ticket.outcome().await else { panic!("not denied") };
    assert_eq!((&*by.sub, &*reason), ("rita", "not on a Friday"));
    reviewer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_denial_wins() {
    let room = room_with(|config| config.quorum = 2);
    let id = room.open(question()).to_string();
    room.desk.approve(&id, &rita(), "fine").unwrap();
    room.desk.deny(&id, &subject("raj", &["reviewers"]), "no").unwrap();
    assert!(room.desk.approve(&id, &subject("roy", &["reviewers"]), "yes").is_err());
    assert!(room.find(UPDATE, &[]).is_none());
}

#[tokio::test(start_paused = true)]
async fn grants_end() {
    let room = room();
    let id = room.open(question());
    room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
    let grant = room.find(UPDATE, &[]).unwrap();
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    assert!(room.find(UPDATE, &[]).is_none());
    let refused = grant.consume(release(UPDATE)).unwrap_err();
    assert!(matches!(refused, NotReleased::Closed { state: State::Expired, .. }), "{refused}");

    let id = room.open(question());
    room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
    let grant = room.find(UPDATE, &[]).unwrap();
    room.desk.revoke(&id.to_string(), &rita(), "changed my mind").unwrap();
    let refused = grant.consume(release(UPDATE)).unwrap_err();
    assert!(matches!(refused, NotReleased::Closed { state: State::Revoked, .. }), "{refused}");
    assert_eq!(room.log.edges(), ["requested", "approved", "expired", "requested", "approved", "revoked"]);
}

#[tokio::test(start_paused = true)]
async fn other_policies_need_another_review() {
    let room = room();
    let mut ticket = room.hold(ask());
    room.desk.supersede(Epoch(2));
    assert!(matches!(ticket.outcome().await, Outcome::Superseded));
    assert!(matches!(room.desk.request(ask()), Err(RefusedAsk::Superseded)));

    let new = |mut ask: Ask| {
        ask.epoch = Epoch(2);
        ask
    };
    let id = room.open(new(question()));
    room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
    let grant = room.find(UPDATE, &[]).unwrap();
    let refused = grant.consume(Release { epoch: Epoch(3), ..release(UPDATE) }).unwrap_err();
    assert!(matches!(refused, NotReleased::Superseded { .. }), "{refused}");
    assert_eq!(room.state(id), State::Revoked);

    let mut ticket = room.hold(new(ask()));
    room.desk.approve(&ticket.id().to_string(), &rita(), "fine").unwrap();
    room.desk.supersede(Epoch(3));
    assert!(matches!(ticket.outcome().await, Outcome::Superseded));
}

#[tokio::test(start_paused = true)]
async fn other_rules_need_another_review() {
    let room = room();
    let config = DeskConfig { reviewers: vec!["reviewers".into()], ..DeskConfig::default() };
    let mut ticket = room.hold(ask());
    room.desk.reconfigure(DeskConfig { hold: Duration::from_secs(5), ..config.clone() });
    assert_eq!(room.desk.list(&Filter::default())[0].state, State::Pending, "only the time changed");
    assert_eq!(room.desk.hold(&Terms::standard(""), &rita(), false).as_secs(), 5);
    let id = room.open(ask_of_other());
    room.desk.approve(&id.to_string(), &rita(), "fine").unwrap();
    room.desk.reconfigure(DeskConfig { quorum: 2, ..config });
    assert!(matches!(ticket.outcome().await, Outcome::Superseded));
    assert_eq!(room.state(id), State::Revoked);
    let id = room.open(ask_of_other());
    assert_eq!(room.desk.approve(&id.to_string(), &rita(), "fine").unwrap().missing, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_does_not_happen() {
    let room = room();
    let full = |is_full| room.log.is_full.store(is_full, Ordering::SeqCst);
    let open = room.open(question());
    let mut held = room.hold(ask());
    full(true);
    assert!(matches!(room.desk.request(ask()), Err(RefusedAsk::Unjournaled(_))));
    for id in [open, held.id()] {
        let refused = room.desk.approve(&id.to_string(), &rita(), "fine").unwrap_err();
        assert!(matches!(refused, RefusedDecision::Unjournaled(_)), "{refused}");
        assert!(room.desk.deny(&id.to_string(), &rita(), "no").is_err());
        assert_eq!(room.state(id), State::Pending);
    }
    full(false);
    room.desk.approve(&open.to_string(), &rita(), "fine").unwrap();
    let grant = room.find(UPDATE, &[]).unwrap();
    full(true);
    let refused = grant.consume(release(UPDATE)).unwrap_err();
    assert!(matches!(refused, NotReleased::Unjournaled(_)), "{refused}");
    assert!(matches!(held.outcome().await, Outcome::TimedOut), "an end opens nothing, so it needs no record");
    full(false);
    grant.consume(release(UPDATE)).map(drop).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_desk_is_bounded() {
    let room = room_with(|config| {
        config.open_per_person_max = 3;
        config.open_max = 4;
        config.text_bytes_max = 100;
        config.bytes_max = 250;
        config.closed_max = 2;
    });
    let long = RefusedAsk::TooLong { bytes: 112, most: 100 };
    let refused = room.desk.request(ask_of(subject("ann", &[]), &"x".repeat(101))).err().unwrap();
    assert_eq!(refused.to_string(), long.to_string());

    let tickets: Vec<Ticket> = (0..3).map(|_| room.hold(ask())).collect();
    assert!(matches!(room.desk.request(ask()), Err(RefusedAsk::FullForYou { pending: 3 })));
    let bob = room.hold(ask_of(subject("bob", &[]), UPDATE));
    assert!(matches!(room.desk.request(ask_of(subject("cat", &[]), UPDATE)), Err(RefusedAsk::Full { pending: 4 })));
    drop((tickets, bob));
    assert_eq!(room.desk.list(&Filter::default()).len(), 2, "closed ones are forgotten, oldest first");
    let _long: Vec<Ticket> =
        (0..2).map(|i| room.hold(ask_of(subject(&format!("p{i}"), &[]), &"x".repeat(89)))).collect();
    assert!(room.desk.list(&Filter::default()).len() < 4, "their memory is given to new ones");
    let refused = room.desk.request(ask_of(subject("cat", &[]), &"x".repeat(89)));
    assert!(matches!(refused, Err(RefusedAsk::Full { pending: 2 })));
}

#[tokio::test(start_paused = true)]
async fn how_long_callers_are_held() {
    let desk = room().desk;
    let (ann, bot) = (subject("ann", &[]), behind("ann", "bot"));
    let terms = |hold_ms, hold_in_transaction| Terms { hold_ms, hold_in_transaction, ..Terms::standard("") };
    let cases = [
        (None, false, &ann, false, 120),
        (Some(10_000), false, &ann, false, 10),
        (Some(u64::MAX), false, &ann, false, 3600),
        (Some(0), false, &ann, false, 0),
        (None, false, &bot, false, 25),
        (Some(10_000), false, &bot, false, 10),
        (None, false, &ann, true, 0),
        (None, true, &ann, true, 30),
        (None, true, &bot, true, 25),
    ];
    for (hold_ms, in_transaction_too, subject, in_transaction, seconds) in cases {
        let hold = desk.hold(&terms(hold_ms, in_transaction_too), subject, in_transaction);
        assert_eq!(hold.as_secs(), seconds, "{hold_ms:?} {in_transaction_too} {in_transaction}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_asks_again_finds_its_request() {
    let room = room();
    let id = room.open(question());
    assert_eq!(room.open(question()), id);
    assert_eq!(room.log.edges(), ["requested"]);
    let mut other = question();
    other.text = "update visits set ward = 'C'".into();
    assert_ne!(room.open(other), id);
    room.desk.deny(&id.to_string(), &rita(), "no").unwrap();
    assert_ne!(room.open(question()), id);
}

#[tokio::test(start_paused = true)]
async fn a_unique_beginning_names_a_request() {
    let room = room();
    let id = room.open(question());
    let text = id.to_string();
    for beginning in [&text[..], &text[..8], &text[2..], &text[2..5]] {
        assert_eq!(room.desk.show(beginning, &rita()).unwrap().id, id, "{beginning}");
    }
    for nothing in ["", "r-", "r-zzzz", "s-0123456789abcdef", "é"] {
        assert_eq!(room.desk.show(nothing, &rita()), Err(NotFound::Unknown(nothing.into())));
    }
    let other = room.open(ask_of_other());
    let common = text.bytes().zip(other.to_string().bytes()).take_while(|(one, two)| one == two).count();
    let refused = room.desk.show(&text[..common], &rita()).unwrap_err();
    assert_eq!(refused, NotFound::Ambiguous { prefix: text[..common].into(), count: 2 });
}

fn ask_of_other() -> Ask {
    let mut ask = question();
    ask.text = "delete from visits".into();
    ask
}

#[tokio::test(start_paused = true)]
async fn the_list_is_newest_first_and_filtered() {
    let room = room();
    let first = room.open(question());
    let second = room.open(ask_of_other());
    room.desk.deny(&first.to_string(), &rita(), "no").unwrap();
    let ids = |filter: Filter| room.desk.list(&filter).into_iter().map(|review| review.id).collect::<Vec<_>>();
    let mut both = vec![first, second];
    both.sort_by(|one, two| two.cmp(one));
    assert_eq!(ids(Filter::default()), both);
    assert_eq!(ids(Filter { state: Some(State::Denied), ..Filter::default() }), [first]);
    assert_eq!(ids(Filter { limit: 1, ..Filter::default() }), both[..1]);
    assert_eq!(ids(Filter { target: Some("other".into()), ..Filter::default() }), []);
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_what_is_over() {
    let room = room();
    room.open(question());
    let desk = room.desk.clone();
    let watch = tokio::spawn(async move { desk.watch().await });
    tokio::time::sleep(Duration::from_secs(60 * 60 + 2)).await;
    assert_eq!(room.log.edges(), ["requested", "timed-out"]);
    watch.abort();
}
