//! Finding one decision, and what it takes to run it again.

use std::borrow::Cow;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use grille_ledger::{
    Kept, Ledger, LedgerConfig, ReadError, Reader, Record, RecordedParameter, ReviewEvent, SealKey, SessionOpen,
    VerifyOptions, VerifyReport, digest_of, read_kept, verify,
};
use grille_policy::{DecisionId, Digest, RequestId, SessionFacts, SessionId, StatementFacts};

use crate::support::{Keys, allowed, decision, facts, outcome, write_sessions};

/// A session of this moment: ids hold their time, and it bounds the search.
fn session_now(number: u32) -> SessionFacts {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    SessionFacts { id: SessionId::mint(u64::try_from(now).unwrap(), number), ..facts(number) }
}

fn meaning(fingerprint: &str) -> StatementFacts {
    StatementFacts { fingerprint: fingerprint.into(), statements: 1, ..StatementFacts::default() }
}

/// A decision that names its facts, the way a path writes it.
fn decide(log: &mut grille_ledger::SessionLog, number: u64, facts: &StatementFacts, request: Option<RequestId>) {
    let (allowed, digest) = (allowed(), digest_of(facts).unwrap());
    log.keep_facts(digest, facts).unwrap();
    let Record::Decision(record) = decision(log.id(), number, "select 1", &allowed) else { unreachable!() };
    let record = grille_ledger::DecisionRecord { facts: Some(digest), request, ..record };
    log.append(&Record::Decision(record)).unwrap();
}

fn review(ledger: &Ledger, request: RequestId, event: &'static str) {
    let event = ReviewEvent { request, event: event.into(), by: None, reason: None, envelope: None };
    ledger.admin(&Record::Review(event)).unwrap();
}

#[tokio::test]
async fn a_decision_is_found_with_what_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = Ledger::open(LedgerConfig { segment_bytes: 20_000, ..keys.config(dir.path()) }).unwrap();
    write_sessions(&ledger, 0..20, 5);
    let (ours, other) = (session_now(1), session_now(2));
    let mut log = ledger.session(SessionOpen { masked: true, ..SessionOpen::new(&ours) }).unwrap();
    let mut beside = ledger.session(SessionOpen::new(&other)).unwrap();
    let (request, foreign) = (RequestId::mint(1, 1), RequestId::mint(1, 2));
    for number in 0..4 {
        decide(&mut log, number, &meaning(if number == 2 { "b" } else { "a" }), (number == 2).then_some(request));
        decide(&mut beside, number, &meaning("c"), None);
        review(&ledger, request, "requested");
        review(&ledger, foreign, "denied");
        beside.append(&outcome(other.id, number)).unwrap();
        if number < 3 {
            log.append(&outcome(ours.id, number)).unwrap();
        }
    }
    let end = ledger.status().written;
    write_sessions(&ledger, 100..120, 5);

    let reader = Reader::open(dir.path(), Some(keys.seal.clone())).unwrap();
    let id = |number| DecisionId { session: ours.id, number };
    let found = reader.decision(id(2)).unwrap().unwrap();
    assert_eq!((found.record.id, found.facts, found.open.masked), (id(2), Some(meaning("b")), true));
    assert_eq!(*found.open.facts, ours);
    let events: Vec<_> = found.review.iter().map(|(_, event)| &*event.event).collect();
    // Those until it ended: one after each of the first three decisions.
    assert_eq!(events, ["requested"; 3]);
    assert_eq!(found.outcome.map(|outcome| outcome.decision), Some(id(2)));
    assert_eq!(reader.decision(id(0)).unwrap().unwrap().facts, Some(meaning("a")));
    assert_eq!(reader.decision(id(3)).unwrap().unwrap().facts, Some(meaning("a")), "written once, before the first");
    assert!(reader.decision(id(3)).unwrap().unwrap().outcome.is_none());
    assert!(reader.decision(id(4)).unwrap().is_none());
    assert!(reader.decision(DecisionId { session: session_now(9).id, number: 0 }).unwrap().is_none());
    let kinds = |session: SessionId| reader.session(session).unwrap().map(|entry| entry.unwrap().leaf.kind);
    assert_eq!(kinds(ours.id).filter(|kind| kind == "facts").count(), 2);
    assert_eq!(kinds(other.id).filter(|kind| kind == "facts").count(), 1);

    log.close("terminate").unwrap();
    beside.close("terminate").unwrap();
    ledger.shutdown().await.unwrap();
    let report = verify(dir.path(), &mut VerifyOptions::default()).unwrap();
    assert!(matches!(report, VerifyReport::Ok(_)), "{report:?}");

    // Nothing behind the outcome is read, whatever is there; what is before it is not passed over.
    let place = |index: u64| {
        let entry = reader.records().unwrap().find(|entry| entry.as_ref().unwrap().index == index).unwrap().unwrap();
        let (segment, offset) = entry.leaf.place.split_once(':').unwrap();
        (dir.path().join(format!("wal/{segment:0>8}.wal")), offset.parse::<usize>().unwrap())
    };
    let (behind, ahead) = (place(end + 30), place(end - 8));
    flip(&behind);
    assert_eq!(reader.decision(id(2)).unwrap().unwrap().record.id, id(2));
    flip(&ahead);
    assert!(matches!(reader.decision(id(3)).unwrap_err(), ReadError::Damaged { .. }));
}

fn flip((file, offset): &(std::path::PathBuf, usize)) {
    let mut bytes = fs::read(file).unwrap();
    bytes[offset + 40] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_decision_that_is_sealed_from_the_reader_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = Ledger::open(keys.config(dir.path())).unwrap();
    let ours = session_now(1);
    let mut log = ledger.session(SessionOpen::new(&ours)).unwrap();
    decide(&mut log, 0, &meaning("a"), None);
    let stranger = Reader::open(dir.path(), Some(SealKey::generate().unwrap())).unwrap();
    let error = stranger.decision(DecisionId { session: ours.id, number: 0 }).unwrap_err();
    assert!(error.to_string().contains("its key is wrapped by another seal key"), "{error}");
}

#[tokio::test]
async fn what_is_kept_is_what_its_name_says() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = Ledger::open(keys.config(dir.path())).unwrap();
    let digest = ledger.keep(Kept::Settings, b"{}").unwrap();
    let file = dir.path().join(format!("plugins/{digest}.json"));
    assert_eq!(fs::read(&file).unwrap(), b"{}");
    assert_eq!(read_kept(dir.path(), Kept::Settings, &digest).unwrap().unwrap(), b"{}");
    assert_eq!(read_kept(dir.path(), Kept::Plugin, &digest).unwrap(), None);
    assert_eq!(read_kept(dir.path(), Kept::Settings, &Digest([1; 32])).unwrap(), None);
    fs::write(&file, b"{\"profile\":\"none\"}").unwrap();
    let error = read_kept(dir.path(), Kept::Settings, &digest).unwrap_err();
    assert!(matches!(error, ReadError::Altered { .. }), "{error}");
}

#[test]
fn parameters_read_back_or_say_why_not() {
    assert_eq!(RecordedParameter::Null.value(), Ok((false, None)));
    assert_eq!(RecordedParameter::Text("a".into()).value(), Ok((false, Some(b"a".to_vec()))));
    assert_eq!(RecordedParameter::binary(23, &[0, 255]).value(), Ok((true, Some(vec![0, 255]))));
    assert_eq!(RecordedParameter::raw(&[255]).value(), Ok((false, Some(vec![255]))));
    assert_eq!(RecordedParameter::Omitted(7).value(), Err("only its length was kept (7 bytes)".to_owned()));
    let masked = RecordedParameter::Masked(Cow::Borrowed("redact"), Cow::Borrowed("x"));
    assert_eq!(masked.value(), Err("only its masked value was kept (redact)".to_owned()));
}
