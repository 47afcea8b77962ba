//! Contents that are destroyed, and legal holds that keep them from it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use grille_ledger::{
    Checkpoint, Contents, Held, Ledger, LedgerConfig, Reader, Record, SessionOpen, ShredError, prove_inclusion,
};
use grille_policy::{SessionId, Subject};
use tokio::time::Instant;

use crate::load::is_sound;
use crate::support::{Keys, facts, write_sessions};

fn somebody() -> Subject {
    (*facts(77).subject).clone()
}

fn is_open(keys: &Keys, path: &Path, session: SessionId) -> bool {
    let reader = Reader::open(path, Some(keys.seal.clone())).unwrap();
    let entries: Vec<_> = reader.session(session).unwrap().map(Result::unwrap).collect();
    assert!(entries.len() > 2, "its leaves are there");
    let open = entries.iter().filter(|entry| matches!(entry.contents, Contents::Open(_))).count();
    assert!(open == 0 || open == entries.len());
    open > 0
}

#[tokio::test]
async fn a_shredded_session_leaves_its_proofs_and_a_record_of_who_did_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..3, 5);
    let [gone, kept] = [facts(1).id, facts(2).id];
    ledger.shred(gone, &somebody(), " the six years are over ", true).await.unwrap();
    assert!(!is_open(&keys, path, gone) && is_open(&keys, path, kept));
    let again = ledger.shred(gone, &somebody(), "again", true).await;
    assert!(matches!(again, Err(ShredError::Shredded(id)) if id == gone), "{again:?}");

    let open = ledger.session(SessionOpen::new(&facts(9))).unwrap();
    for (session, reason, expected) in [
        (facts(9).id, "why not", "is still open"),
        (facts(50).id, "why not", "there is no session"),
        (kept, "  ", "takes a reason"),
    ] {
        let refused = ledger.shred(session, &somebody(), reason, true).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    open.close("terminate").unwrap();
    ledger.shutdown().await.unwrap();

    let sound = is_sound(path);
    assert_eq!((sound.unsigned, sound.sessions_shredded), (0, 1));
    let reader = Reader::open(path, Some(keys.seal.clone())).unwrap();
    let tombstone = reader.tombstone(gone).unwrap().unwrap();
    assert_eq!((&*tombstone.by.unwrap().sub, &*tombstone.reason), ("user-77", "the six years are over"));
    assert_eq!(reader.tombstone(kept).unwrap(), None);
    let first = reader.session(gone).unwrap().next().unwrap().unwrap();
    let key = keys.signing.verifier_key("grille/test").unwrap();
    let note = Checkpoint::open(&fs::read_to_string(path.join("checkpoint")).unwrap(), &key).unwrap();
    let proof = prove_inclusion(path, first.index, &note).unwrap();
    assert!(proof.is_some(), "its place in the log is proven as before");
    let shred = reader.records().unwrap().map(Result::unwrap).find(|entry| entry.leaf.kind == "shred").unwrap();
    let Some(Record::Shred(record)) = shred.record() else { panic!("{shred:?}") };
    assert_eq!(record.keys, [first.leaf.key_id]);
}

#[tokio::test]
async fn what_is_under_a_legal_hold_is_not_shredded() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..4, 2);
    let (one, person) = (Held::Session(facts(1).id), Held::Subject("user-2".to_owned()));
    ledger.hold(one.clone(), &somebody(), "case 4711").unwrap();
    ledger.hold(person.clone(), &somebody(), "case 4712").unwrap();
    assert!(matches!(ledger.hold(one.clone(), &somebody(), ""), Err(ShredError::NoReason)));
    ledger.shutdown().await.unwrap();
    drop(ledger);
    // The file follows from the records.
    for is_lost in [false, true] {
        if is_lost {
            fs::remove_file(path.join("holds")).unwrap();
        }
        let ledger = keys.open(path);
        let holds: Vec<_> = ledger.holds().into_iter().map(|hold| (hold.on, hold.reason)).collect();
        assert_eq!(holds, [(one.clone(), "case 4711".to_owned()), (person.clone(), "case 4712".to_owned())]);
        for session in [1, 2] {
            let refused = ledger.shred(facts(session).id, &somebody(), "over", true).await.unwrap_err();
            assert!(matches!(refused, ShredError::Held { .. }), "{refused}");
            assert!(is_open(&keys, path, facts(session).id));
        }
        ledger.shutdown().await.unwrap();
    }
    let ledger = keys.open(path);
    ledger.shred(facts(3).id, &somebody(), "over", true).await.unwrap();
    ledger.release(&one, &somebody(), "the case is closed").unwrap();
    assert!(matches!(ledger.release(&one, &somebody(), "again"), Err(ShredError::NotHeld(_))));
    ledger.shred(facts(1).id, &somebody(), "over", true).await.unwrap();
    assert!(!is_open(&keys, path, facts(1).id) && is_open(&keys, path, facts(2).id));
    ledger.shutdown().await.unwrap();
    let kinds: Vec<_> =
        Reader::open(path, None).unwrap().records().unwrap().map(|entry| entry.unwrap().leaf.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "hold").count(), 3);
    is_sound(path);
}

#[tokio::test]
async fn a_shredding_that_a_crash_interrupted_is_ended_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..2, 2);
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let first = Reader::open(path, None).unwrap().session(facts(1).id).unwrap().next().unwrap().unwrap();
    let record = grille_ledger::ShredRecord {
        by: Some(std::borrow::Cow::Owned(somebody())),
        session: facts(1).id,
        keys: vec![first.leaf.key_id],
        reason: "over".into(),
        retention: None,
        is_early: false,
    };
    // As versions wrote it that ended one session at a time.
    fs::write(path.join("shredding"), serde_json::to_vec(&record).unwrap()).unwrap();
    let ledger = keys.open(path);
    assert!(!is_open(&keys, path, facts(1).id) && is_open(&keys, path, facts(0).id));
    assert!(!path.join("shredding").exists());
    ledger.shutdown().await.unwrap();
    let reader = Reader::open(path, Some(keys.seal.clone())).unwrap();
    assert!(reader.tombstone(facts(1).id).unwrap().is_some());
    is_sound(path);
}

#[tokio::test]
async fn a_batch_that_a_crash_interrupted_is_ended_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..4, 2);
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let record = |number| {
        let first = Reader::open(path, None).unwrap().session(facts(number).id).unwrap().next().unwrap().unwrap();
        grille_ledger::ShredRecord {
            by: None,
            session: facts(number).id,
            keys: vec![first.leaf.key_id],
            reason: "its retention is over".into(),
            retention: None,
            is_early: false,
        }
    };
    fs::write(path.join("shredding"), serde_json::to_vec(&[1, 2, 3].map(record)).unwrap()).unwrap();
    let ledger = keys.open(path);
    assert_eq!([0, 1, 2, 3].map(|number| is_open(&keys, path, facts(number).id)), [true, false, false, false]);
    ledger.shutdown().await.unwrap();
    assert_eq!(is_sound(path).sessions_shredded, 3);
}

/// Whoever is first in the log is right: a hold that was taken keeps its session, whatever came at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn holds_and_shreddings_at_the_same_time_do_not_miss_each_other() {
    const SESSIONS: u32 = 60;
    const HOLDERS: u64 = 6;
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..SESSIONS, 1);
    let mut kept = 0;
    for number in 0..SESSIONS {
        let session = facts(number).id;
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(1 + usize::try_from(HOLDERS).unwrap()));
        let holders: Vec<_> = (0..HOLDERS)
            .map(|holder| {
                let (start, ledger) = (start.clone(), ledger.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    // At ever other moments of the shredding.
                    tokio::time::sleep(Duration::from_micros(u64::from(number) * 200 + holder * 400)).await;
                    ledger.hold(Held::Session(session), &somebody(), "case 4711")
                })
            })
            .collect();
        start.wait().await;
        let shredded = ledger.shred(session, &somebody(), "over", true).await;
        for holder in holders {
            let held = holder.await.unwrap();
            match (&shredded, &held) {
                (Ok(()), Err(ShredError::Shredded(_))) | (Err(ShredError::Held { .. }), Ok(())) => {}
                other => panic!("{session}: {other:?}"),
            }
        }
        assert_eq!(is_open(&keys, path, session), shredded.is_err());
        kept += u32::from(shredded.is_err());
    }
    println!("{kept} of {SESSIONS} were kept");
    ledger.shutdown().await.unwrap();
    is_sound(path);
}

#[tokio::test]
async fn a_node_says_that_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = Ledger::open(LedgerConfig { heartbeat: Duration::from_millis(50), ..keys.config(path) }).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while ledger.status().written < 4 {
        assert!(Instant::now() < deadline, "{:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(20));
    }
    ledger.shutdown().await.unwrap();
    let kinds: Vec<_> =
        Reader::open(path, None).unwrap().records().unwrap().map(|entry| entry.unwrap().leaf.kind).collect();
    assert_eq!(kinds.first().unwrap(), "node.start");
    assert!(kinds[1..kinds.len() - 1].iter().all(|kind| kind == "heartbeat"), "{kinds:?}");
    is_sound(path);
}
