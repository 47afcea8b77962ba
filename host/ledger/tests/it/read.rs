use grille_ledger::{
    Chunk, Contents, Direction, Ledger, LedgerConfig, Reader, Record, RecordingCaps, SealKey, SessionEnd, SessionOpen,
};

use crate::support::{Keys, allowed, decision, facts, outcome, write_sessions};

#[tokio::test]
async fn a_session_reads_back_with_its_recording_also_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let config = LedgerConfig { segment_bytes: 20_000, ..keys.config(dir.path()) };
    let ledger = Ledger::open(config).unwrap();
    write_sessions(&ledger, 0..20, 5);
    let facts = facts(100);
    let allowed = allowed();
    let mut log = ledger.session(SessionOpen::new(&facts)).unwrap();
    log.set_caps(RecordingCaps { rows: 2, bytes: 1000 });
    log.record_bytes(Direction::FromCaller, 0, 0, b"Qselect 1").unwrap();
    log.append(&decision(facts.id, 0, "select 1", &allowed)).unwrap();
    log.record_bytes(Direction::ToCaller, 0, 1, b"row one").unwrap();
    log.record_bytes(Direction::ToCaller, 0, 1, b"row two").unwrap();
    log.record_bytes(Direction::ToCaller, 0, 1, b"row three").unwrap();
    let last = log.append(&outcome(facts.id, 0)).unwrap();
    write_sessions(&ledger, 200..220, 5);

    let reader = Reader::open(dir.path(), Some(keys.seal.clone())).unwrap();
    let entries: Vec<_> = reader.session(facts.id).unwrap().map(Result::unwrap).collect();
    let kinds: Vec<_> = entries.iter().map(|entry| entry.leaf.kind.as_str()).collect();
    assert_eq!(kinds, ["session.open", "decision", "outcome"]);
    assert_eq!(entries[2].index, last.index);
    let Some(Record::SessionOpen(open)) = entries[0].record() else { panic!("{:?}", entries[0]) };
    assert_eq!(*open.facts, facts);
    assert_eq!(entries[1].record(), Some(&decision(facts.id, 0, "select 1", &allowed)));
    let recorded: Vec<_> = entries.iter().flat_map(|entry| entry.chunks().to_vec()).collect();
    assert_eq!(recorded.len(), 4);
    assert!(
        matches!(&recorded[0], Chunk::Bytes { direction: Direction::FromCaller, bytes, .. } if bytes == b"Qselect 1")
    );
    assert!(
        matches!(&recorded[2], Chunk::Bytes { direction: Direction::ToCaller, bytes, rows: 1, .. } if bytes == b"row two")
    );
    assert!(matches!(&recorded[3], Chunk::Elided { rows: 1, bytes: 9, .. }));

    let sessions = reader.sessions(3).unwrap();
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| session.operations == 5 && session.allowed == 5 && session.records == 12));
    let all = reader.sessions(1000).unwrap();
    assert_eq!(all.len(), 41);
    let open = all.iter().find(|session| session.id == facts.id).unwrap();
    assert_eq!((open.end.clone(), open.facts.as_ref()), (SessionEnd::Open, Some(&facts)));
    let closed = SessionEnd::Closed(Some("terminate".to_owned()));
    assert!(all.iter().filter(|session| session.id != facts.id).all(|session| session.end == closed));

    log.close("idle").unwrap();
    let last = reader.session(facts.id).unwrap().last().unwrap().unwrap();
    assert_eq!((last.leaf.count, last.leaf.kind.as_str()), (Some(4), "session.close"));
    assert!(reader.session(crate::support::facts(999).id).unwrap().next().is_none());
}

#[tokio::test]
async fn without_the_key_there_is_nothing_but_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    write_sessions(&ledger, 0..3, 3);
    ledger.shutdown().await.unwrap();
    for (seal, why) in [
        (None, "no seal key was given"),
        (Some(SealKey::generate().unwrap()), "its key is wrapped by another seal key"),
    ] {
        let reader = Reader::open(dir.path(), seal).unwrap();
        for entry in reader.records().unwrap() {
            let entry = entry.unwrap();
            assert!(matches!(entry.contents, Contents::Sealed(told) if told == why), "{entry:?}");
        }
        assert!(reader.sessions(10).unwrap().iter().all(|session| session.facts.is_none() && session.operations == 3));
    }
    // A statement is nowhere in clear, in no file.
    let mut files = vec![dir.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            for clear in [&b"secret-"[..], b"patients", b"user-1", b"clinic", b"id.example.org"] {
                assert!(!bytes.windows(clear.len()).any(|window| window == clear), "{}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn a_destroyed_key_takes_contents_and_leaves_proofs() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    write_sessions(&ledger, 0..3, 3);
    ledger.shutdown().await.unwrap();
    let reader = Reader::open(dir.path(), Some(keys.seal.clone())).unwrap();
    let victim = facts(1).id;
    let row: usize = reader
        .session(victim)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .leaf
        .key_id
        .split('.')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let path = dir.path().join("keys/00000000.keys");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[row * 128..(row + 1) * 128].fill(0);
    std::fs::write(&path, bytes).unwrap();
    for entry in reader.records().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(matches!(entry.contents, Contents::Sealed("its key was destroyed")), entry.leaf.sid == victim);
    }
    assert!(matches!(
        grille_ledger::verify(dir.path(), &mut grille_ledger::VerifyOptions::default()).unwrap(),
        grille_ledger::VerifyReport::Ok(_)
    ));
}
