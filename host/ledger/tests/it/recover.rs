//! A new beginning where the old log contradicts what was signed.

use std::fs;
use std::path::Path;

use grille_ledger::{
    By, Checkpoint, Ledger, OpenError, Reader, Record, RecoverError, Recovery, VerifyOptions, VerifyReport, recover,
    verify,
};

use crate::support::{Keys, write_sessions};

async fn written(keys: &Keys, path: &Path) -> Vec<u8> {
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..10, 5);
    ledger.shutdown().await.unwrap();
    fs::read(path.join("wal/00000000.wal")).unwrap()
}

fn cut(path: &Path, wal: &[u8]) {
    fs::write(path.join("wal/00000000.wal"), &wal[..wal.len() / 2]).unwrap();
}

fn is_ok(path: &Path) -> bool {
    matches!(verify(path, &mut VerifyOptions::default()).unwrap(), VerifyReport::Ok(_))
}

fn again(keys: &Keys, path: &Path) -> Result<(Recovery, Ledger), RecoverError> {
    recover(&keys.config(path), By::Start, "a disk was replaced")
}

fn gap(keys: &Keys, path: &Path) -> grille_ledger::Gap<'static> {
    let reader = Reader::open(path, Some(keys.seal.clone())).unwrap();
    let found = reader.records().unwrap().find_map(|entry| match entry.unwrap().record() {
        Some(Record::Gap(gap)) => Some(gap.clone()),
        _ => None,
    });
    found.unwrap()
}

#[tokio::test]
async fn a_log_that_was_cut_is_kept_and_another_begins() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let path = dir.path();
    let mut whole = written(&keys, path).await;
    let mut name = "grille/test".to_owned();
    for epoch in 1..3 {
        assert!(matches!(again(&keys, path), Err(RecoverError::Sound { .. })), "nothing is wrong with it");
        let note = fs::read_to_string(path.join("checkpoint")).unwrap();
        cut(path, &whole);
        let mut config = keys.config(path);
        config.origin = None;
        let refused = Ledger::open(config.clone()).err().unwrap();
        assert!(refused.to_string().contains("`grille ledger recover --new-epoch --reason …`"), "{refused}");
        assert!(matches!(recover(&config, By::Start, " "), Err(RecoverError::NoReason)));

        let (recovery, ledger) = again(&keys, path).unwrap();
        let next = format!("grille/test/epoch-{}", epoch + 1);
        let kept = path.join(format!("epochs/{epoch}"));
        assert_eq!((&*recovery.old, &*recovery.new, &recovery.kept), (&*name, &*next, &kept));
        assert!(recovery.why.unwrap().contains("were signed"));
        ledger.shutdown().await.unwrap();
        drop(ledger);
        let gap = gap(&keys, path);
        assert!(gap.reason.starts_with("a disk was replaced (it holds "), "{}", gap.reason);
        assert_eq!((gap.log.as_deref(), gap.checkpoint.as_deref()), (Some(&*name), Some(&*note)));
        assert_eq!(gap.kept.as_deref(), Some(&*format!("epochs/{epoch}")));
        assert!(is_ok(path), "the new log holds");
        assert!(!is_ok(&kept), "the old one is as it was");
        assert!(Checkpoint::open(&note, &keys.signing.verifier_key(&name).unwrap()).is_ok());
        let kept = Reader::open(&kept, Some(keys.seal.clone())).unwrap();
        assert!(kept.records().unwrap().next().unwrap().unwrap().record().is_some(), "its contents still open");

        // The log goes on under its new name.
        let ledger = Ledger::open(config).unwrap();
        write_sessions(&ledger, 0..10, 5);
        ledger.shutdown().await.unwrap();
        assert_eq!(ledger.status().origin, next);
        whole = fs::read(path.join("wal/00000000.wal")).unwrap();
        name = next;
    }
}

#[tokio::test]
async fn a_key_that_is_lost_takes_a_new_beginning_and_a_writer_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, other) = (Keys::generate(), Keys::generate());
    let ledger = keys.open(dir.path());
    assert!(matches!(again(&keys, dir.path()), Err(RecoverError::Open(OpenError::Locked { .. }))));
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let (recovery, ledger) = again(&other, dir.path()).unwrap();
    assert_eq!(recovery.why.as_deref(), Some("its last checkpoint was signed with another key"));
    ledger.shutdown().await.unwrap();
    assert!(is_ok(dir.path()) && is_ok(&recovery.kept));
}

/// Interrupted after each step, a start refuses and the next run ends it.
#[tokio::test]
async fn an_interrupted_beginning_is_ended_by_the_next_run() {
    let parts = ["log.vkey", "wal", "tile", "keys", "new log.vkey", "checkpoint", "last_signed"];
    for done in 1..=parts.len() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::generate();
        let path = dir.path();
        let whole = written(&keys, path).await;
        cut(path, &whole);
        let kept = path.join("epochs/1");
        fs::create_dir_all(&kept).unwrap();
        for part in &parts[..done] {
            match *part {
                "log.vkey" => drop(fs::copy(path.join(part), kept.join(part)).unwrap()),
                "new log.vkey" => {
                    let key = keys.signing.verifier_key("grille/test/epoch-2").unwrap();
                    fs::write(path.join("log.vkey"), key.to_string()).unwrap();
                }
                part => fs::rename(path.join(part), kept.join(part)).unwrap(),
            }
        }
        let mut config = keys.config(path);
        config.origin = None;
        if done < parts.len() {
            assert!(Ledger::open(config.clone()).is_err(), "after {}", parts[done - 1]);
        }
        let (recovery, ledger) = recover(&config, By::Start, "a disk was replaced").unwrap();
        assert_eq!((&*recovery.new, recovery.why), ("grille/test/epoch-2", None));
        ledger.shutdown().await.unwrap();
        drop(ledger);
        assert!(is_ok(path), "after {}", parts[done - 1]);
        assert!(gap(&keys, path).reason.contains("an earlier recovery was interrupted"));
        for part in ["wal/00000000.wal", "last_signed", "checkpoint", "log.vkey"] {
            assert!(kept.join(part).exists(), "{part}");
        }
        assert!(matches!(recover(&config, By::Start, "again"), Err(RecoverError::Sound { .. })));
    }
}
