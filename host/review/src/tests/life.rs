//! Whatever happens in whatever order, the journal tells lives that the state machine allows.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Hold(usize),
    Ask(usize),
    Leave,
    Approve(usize, usize),
    Deny(usize, usize),
    Revoke(usize, usize),
    Run(usize, bool),
    Wait(u64),
    Swap,
    Fill(bool),
}

const TEXTS: [&str; 3] = ["update a", "update b", "update c"];
const REVIEWERS: [&str; 4] = ["rita", "raj", "roy", "ann"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..TEXTS.len()).prop_map(Step::Hold),
        3 => (0..TEXTS.len()).prop_map(Step::Ask),
        1 => Just(Step::Leave),
        8 => (0..6usize, 0..REVIEWERS.len()).prop_map(|(id, by)| Step::Approve(id, by)),
        1 => (0..6usize, 0..REVIEWERS.len()).prop_map(|(id, by)| Step::Deny(id, by)),
        1 => (0..6usize, 0..REVIEWERS.len()).prop_map(|(id, by)| Step::Revoke(id, by)),
        6 => (0..TEXTS.len(), any::<bool>()).prop_map(|(text, twice)| Step::Run(text, twice)),
        2 => prop_oneof![Just(1), Just(119), Just(120), Just(900), Just(3600)].prop_map(Step::Wait),
        1 => Just(Step::Swap),
        1 => any::<bool>().prop_map(Step::Fill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn lives_are_as_the_machine_allows(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let room = room_with(|config| config.quorum = 2);
            let mut tickets: Vec<Ticket> = Vec::new();
            let (mut ids, mut epoch, mut runs) = (Vec::new(), 1, 0);
            for step in steps {
                act(&room, step, &mut tickets, &mut ids, &mut epoch, &mut runs).await;
            }
            room.log.is_full.store(false, Ordering::SeqCst);
            drop(tickets);
            check(&room.log.events.lock(), runs)
        })?;
    }
}

async fn act(
    room: &Room,
    step: Step,
    tickets: &mut Vec<Ticket>,
    ids: &mut Vec<RequestId>,
    epoch: &mut u64,
    runs: &mut usize,
) {
    let name = |ids: &[RequestId], place: usize| {
        ids.get(ids.len().wrapping_sub(place + 1)).map_or_else(|| "r-none".to_owned(), ToString::to_string)
    };
    let reviewer = |by: usize| subject(REVIEWERS[by], &["reviewers"]);
    match step {
        Step::Hold(text) | Step::Ask(text) => {
            let mut ask = ask_of(subject("ann", &["reviewers"]), TEXTS[text]);
            ask.epoch = Epoch(*epoch);
            if matches!(step, Step::Ask(_)) {
                ask.terms.hold_ms = Some(0);
            }
            match room.desk.request(ask) {
                Ok(Asked::Held(ticket)) => {
                    ids.push(ticket.id());
                    tickets.push(ticket);
                }
                Ok(Asked::Open { id, .. }) => ids.push(id),
                Err(_) => {}
            }
        }
        Step::Leave => drop(tickets.pop()),
        // That some of these are refused is the point.
        Step::Approve(id, by) => drop(room.desk.approve(&name(ids, id), &reviewer(by), "")),
        Step::Deny(id, by) => drop(room.desk.deny(&name(ids, id), &reviewer(by), "")),
        Step::Revoke(id, by) => drop(room.desk.revoke(&name(ids, id), &reviewer(by), "")),
        Step::Run(text, twice) => {
            let subject = subject("ann", &["reviewers"]);
            for _ in 0..=usize::from(twice) {
                let Some(grant) = room.desk.find_grant(&subject, "clinic", TEXTS[text], &[]) else { return };
                let release = Release { epoch: Epoch(*epoch), ..release(TEXTS[text]) };
                *runs += usize::from(grant.consume(release).is_ok());
            }
        }
        Step::Wait(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
        Step::Swap => {
            *epoch += 1;
            room.desk.supersede(Epoch(*epoch));
        }
        Step::Fill(is_full) => room.log.is_full.store(is_full, Ordering::SeqCst),
    }
}

fn check(events: &[Event], runs: usize) -> Result<(), TestCaseError> {
    let mut lives: HashMap<RequestId, Vec<&Edge>> = HashMap::new();
    for event in events {
        lives.entry(event.id).or_default().push(&event.edge);
    }
    let mut consumed = 0;
    for (id, edges) in lives {
        let mut state = None;
        let mut approvers: Vec<&str> = Vec::new();
        for edge in edges {
            let next = match (state, edge) {
                (None, Edge::Requested { .. }) => State::Pending,
                (Some(state), Edge::Refused { .. } | Edge::Mismatched { .. }) => state,
                (Some(State::Pending), Edge::Approved { by, granted_until_ms, .. }) => {
                    prop_assert!(&*by.sub != "ann" && !approvers.contains(&&*by.sub), "{id}: {}", by.sub);
                    approvers.push(&by.sub);
                    prop_assert_eq!(granted_until_ms.is_some(), approvers.len() == 2);
                    if granted_until_ms.is_some() { State::Granted } else { State::Pending }
                }
                (Some(State::Pending), Edge::Denied { .. }) => State::Denied,
                (Some(State::Pending), Edge::Withdrawn) => State::Withdrawn,
                (Some(State::Pending), Edge::TimedOut) => State::TimedOut,
                (Some(State::Pending), Edge::Superseded { .. }) => State::Superseded,
                (Some(State::Granted), Edge::Consumed { .. }) => {
                    consumed += 1;
                    State::Consumed
                }
                (Some(State::Granted), Edge::Expired) => State::Expired,
                (Some(State::Granted), Edge::Revoked { .. }) => State::Revoked,
                (state, edge) => return Err(TestCaseError::fail(format!("{id}: {state:?} and then {}", edge.name()))),
            };
            state = Some(next);
        }
    }
    prop_assert_eq!(consumed, runs, "what ran is what the journal says");
    Ok(())
}
