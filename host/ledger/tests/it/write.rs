use grille_ledger::{Ledger, OpenError, SessionOpen};

use crate::support::{Keys, facts, write_sessions};

#[tokio::test]
async fn a_ledger_is_published_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    for round in 0..3 {
        let ledger = keys.open(dir.path());
        write_sessions(&ledger, round * 10..round * 10 + 10, 20);
        let written = ledger.status().written;
        ledger.shutdown().await.unwrap();
        let status = ledger.status();
        assert_eq!((status.synced, status.signed), (written + 1, written + 1));
        let checkpoint = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
        assert!(checkpoint.starts_with(&format!("grille/test\n{}\n", written + 1)), "{checkpoint}");
    }
}

#[tokio::test]
async fn one_node_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    assert!(matches!(Ledger::open(keys.config(dir.path())), Err(OpenError::Locked { .. })));
    ledger.shutdown().await.unwrap();
    drop(ledger);
    keys.open(dir.path());
}

#[tokio::test]
async fn whoever_waits_is_synced_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let mut config = keys.config(dir.path());
    config.sync = grille_ledger::Sync::Interval(std::time::Duration::from_secs(3600));
    let ledger = Ledger::open(config).unwrap();
    let facts = facts(1);
    let mut log = ledger.session(SessionOpen::new(&facts)).unwrap();
    for number in 0..10 {
        let position = log.append(&crate::support::outcome(facts.id, number)).unwrap();
        ledger.durable(position).await.unwrap();
        assert!(ledger.status().synced > position.index);
    }
}
