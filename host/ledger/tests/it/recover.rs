//! A new beginning where the old log contradicts what was signed.

use std::fs;
use std::path::Path;

use grille_ledger::{
    By, Checkpoint, Ledger, OpenError, Reader, Record, RecoverError, Recovery, SessionQuery, VerifyOptions,
    VerifyReport, recover, verify,
};

use crate::scene::Scene;
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

#[tokio::test]
async fn sessions_of_a_log_that_was_put_aside_are_exported_under_its_own_key() {
    let scene = Scene::begin().await;
    let (keys, path) = (&scene.keys, &scene.ledger());
    let wal = fs::read(path.join("wal/00000000.wal")).unwrap();
    fs::write(path.join("wal/00000000.wal"), &wal[..wal.len() - 3_000]).unwrap();
    let (_, ledger) = again(keys, path).unwrap();
    ledger.shutdown().await.unwrap();
    let readers = Reader::all(path, Some(keys.seal.clone())).unwrap();
    assert_eq!(readers[1].origin().unwrap(), "grille/test");
    let files = scene.export_of(&readers[1], &scene.both(), true);
    assert!(files.keys().any(|name| name.starts_with("plugins/")), "what decided stayed with the new log");
    let Some((code, said)) = scene.judge(&files, None) else { return };
    assert_eq!((code, &said["damage"]), (0, &serde_json::json!([])), "{said:#}");
    assert_eq!((&said["sessions"], &said["closed"]), (&2.into(), &2.into()), "{said:#}");

    // The one whose end was cut off has none, and nothing of it is wrong.
    let newest = readers[1].sessions(1).unwrap()[0].id;
    let query = SessionQuery { sessions: vec![newest], ..SessionQuery::default() };
    let (code, said) = scene.judge(&scene.export_of(&readers[1], &query, false), None).unwrap();
    assert_eq!((code, &said["sessions"], &said["closed"]), (0, &1.into(), &0.into()), "{said:#}");
    assert!(said["notes"].to_string().contains("ended with its node"), "{said:#}");
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
