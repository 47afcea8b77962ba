//! Closed segments go to the archive, and what happens while they cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grille_archive::Archive;
use grille_ledger::{Ledger, LedgerConfig, OpenError, SessionOpen, Shipped, Shipping, Unwritable};
use tokio::time::Instant;

use crate::load::is_sound;
use crate::support::{Keys, facts, outcome, write_sessions};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(keys: &Keys, path: &Path, archive: &Path, goes_on: bool) -> LedgerConfig {
    let archive = Archive::folder(archive).unwrap();
    let shipping = Some(Shipping { archive, queue_bytes: 200_000, goes_on });
    LedgerConfig { segment_bytes: 60_000, shipping, ..keys.config(path) }
}

#[track_caller]
fn wait(ledger: &Ledger, what: &str, is_so: impl Fn(&Shipped) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ledger.status().archive.is_some_and(|archive| is_so(&archive)) {
        assert!(Instant::now() < deadline, "{what}: {:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn closed_segments_and_checkpoints_are_in_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let mut sessions = 0;
    for _ in 0..2 {
        // Whoever writes faster than the archive takes it must not be refused here.
        let ledger = Ledger::open(config(&keys, &path, &archive, true)).unwrap();
        write_sessions(&ledger, sessions..sessions + 20, 10);
        sessions += 20;
        ledger.checkpoint().await.unwrap();
        wait(&ledger, "all is shipped", |archive| archive.segments_waiting == 0 && archive.anchored > 0);
        ledger.shutdown().await.unwrap();
    }
    let shipped = segments(&archive.join("grille/test/wal"));
    assert!(shipped.len() > 3, "{shipped:?}");
    for (own, copy) in segments(&path.join("wal")).iter().zip(&shipped) {
        assert_eq!(fs::read(own).unwrap(), fs::read(copy).unwrap(), "{}", own.display());
    }
    let notes = segments(&archive.join("grille/test/checkpoint"));
    let note = fs::read_to_string(notes.last().unwrap()).unwrap();
    assert!(note.starts_with("grille/test\n"), "{note}");
    assert!(!archive.join("grille/test/keys").exists(), "what is destroyed here is destroyed there");
    assert_eq!(is_sound(&path).unsigned, 0);
}

#[tokio::test]
async fn an_archive_that_is_away_stops_new_work_at_the_cap_and_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let ledger = Ledger::open(config(&keys, &path, &archive, false)).unwrap();
    let away = dir.path().join("away");
    fs::rename(&archive, &away).unwrap();
    fs::write(&archive, "no folder").unwrap();
    let mut under_way = ledger.session(SessionOpen::new(&facts(1_000))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    let refused = loop {
        write_some(&ledger, number);
        number += 1;
        match ledger.session(SessionOpen::new(&facts(2_000 + number))) {
            Ok(session) => session.close("terminate").unwrap(),
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline, "{:?}", ledger.status());
    };
    assert!(matches!(refused, Unwritable::Backlog { limit: 200_000, .. }), "{refused:?}");
    assert!(ledger.status().trouble.unwrap().contains("wait for the archive"));
    // What is under way comes to its end.
    under_way.append(&outcome(facts(1_000).id, 1)).unwrap();
    under_way.close("limit").unwrap();

    fs::remove_file(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    wait(&ledger, "it catches up", |archive| archive.segments_waiting == 0 && archive.trouble.is_none());
    while ledger.session(SessionOpen::new(&facts(3_000))).is_err() {
        assert!(Instant::now() < deadline + PATIENCE, "{:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    ledger.shutdown().await.unwrap();
}

/// Writes while it may.
fn write_some(ledger: &Ledger, number: u32) {
    if let Ok(mut log) = ledger.session(SessionOpen::new(&facts(10_000 + number))) {
        for pair in 0..50 {
            drop(log.append(&outcome(log.id(), pair)));
        }
    }
}

#[tokio::test]
async fn records_go_on_without_the_archive_where_that_is_wanted_and_a_restart_does_not_need_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let settings = config(&keys, &path, &archive, true);
    let ledger = Ledger::open(settings.clone()).unwrap();
    fs::rename(&archive, dir.path().join("away")).unwrap();
    fs::write(&archive, "no folder").unwrap();
    write_sessions(&ledger, 0..60, 20);
    wait(&ledger, "it waits", |archive| archive.bytes_waiting > 200_000 && archive.trouble.is_some());
    write_sessions(&ledger, 60..61, 1);
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let ledger = Ledger::open(settings).unwrap();
    write_sessions(&ledger, 61..62, 1);
    ledger.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_name_in_an_archive_has_one_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, keys) = (dir.path().join("archive"), Keys::generate());
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let ledger = Ledger::open(config(&keys, &first, &archive, false)).unwrap();
    let refused = Ledger::open(config(&keys, &second, &archive, false)).err().unwrap();
    assert!(matches!(refused, OpenError::Claim { .. }), "{refused:?}");
    ledger.shutdown().await.unwrap();
    drop(ledger);

    // A copy of the whole directory has the same claim; its first segment that differs gives it away.
    drop(fs::remove_dir_all(&second));
    assert!(std::process::Command::new("cp").arg("-r").args([&first, &second]).status().unwrap().success());
    let [ledger, copy] = [&first, &second].map(|path| Ledger::open(config(&keys, path, &archive, false)).unwrap());
    write_sessions(&ledger, 0..20, 10);
    ledger.checkpoint().await.unwrap();
    wait(&ledger, "all is shipped", |archive| archive.segments_waiting == 0);
    write_sessions(&copy, 0..20, 10);
    copy.checkpoint().await.unwrap();
    let stopped = tokio::time::timeout(PATIENCE, copy.stopped()).await.unwrap();
    assert!(stopped.to_string().contains("two nodes have one name"), "{stopped}");
    ledger.shutdown().await.unwrap();
}
