//! What a crash, a new epoch and a shredding leave of the index, and what is found with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use grille_ledger::{By, LedgerConfig, Reader, SealKey, SessionQuery, recover};
use tokio::time::Instant;

use crate::load::{Victim, is_sound};
use crate::support::{Keys, facts, write_sessions};

/// Lists and searches, by the index and without.
#[track_caller]
fn agree(path: &Path, seal: &SealKey, told: &str) {
    let reader = Reader::open(path, Some(seal.clone())).unwrap();
    let plain = reader.clone().without_index();
    assert_eq!(reader.sessions(50).unwrap(), plain.sessions(50).unwrap(), "{told}");
    for text in ["select 7 from", "secret-3-"] {
        let query = SessionQuery { text: Some(text.to_owned()), ..SessionQuery::default() };
        assert_eq!(reader.search(&query, 20).unwrap(), plain.search(&query, 20).unwrap(), "{told}: {text}");
    }
}

fn files(path: &Path) -> usize {
    let files = fs::read_dir(path.join("index")).map(|files| files.map(|file| file.unwrap().file_name()));
    files.map_or(0, |files| files.filter(|name| name.to_string_lossy().ends_with(".idx")).count())
}

async fn indexed(path: &Path) -> usize {
    let closed = (1..).take_while(|segment| path.join(format!("wal/{segment:08}.wal")).exists()).count();
    let until = Instant::now() + Duration::from_secs(60);
    while files(path) < closed {
        assert!(Instant::now() < until, "{} of {closed}", files(path));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    closed
}

fn small(keys: &Keys, path: &Path) -> LedgerConfig {
    LedgerConfig { segment_bytes: 10_000, ..keys.config(path) }
}

#[tokio::test]
async fn a_node_that_is_killed_while_it_indexes_leaves_nothing_that_misleads() {
    let mut victim = Victim::new(false);
    let path = victim.path();
    let mut partly = 0;
    for round in 0..25u64 {
        victim.run(Duration::from_millis(20 + round * 53 % 200), &[]);
        agree(&path, &victim.keys.seal, &format!("round {round}"));
        // The file that the kill found half written.
        let all = fs::read_dir(path.join("index")).map_or(0, Iterator::count);
        partly += usize::from(all > files(&path));
        if round % 5 == 0 {
            // As a power loss leaves a file that was never synced.
            let newest = files(&path).checked_sub(1).map(|number| path.join(format!("index/{number:08}.idx")));
            if let Some(newest) = newest.filter(|newest| newest.exists()) {
                fs::write(newest, vec![0; 4096]).unwrap();
                agree(&path, &victim.keys.seal, "zeros");
            }
        }
    }
    println!("{} files, {partly} rounds left one half written", files(&path));
    assert!(files(&path) > 0);
    drop(victim.open());
    agree(&path, &victim.keys.seal, "opened");
    is_sound(&path);
}

#[tokio::test]
async fn a_new_epoch_is_not_answered_from_the_old_ones_index() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = grille_ledger::Ledger::open(small(&keys, path)).unwrap();
    write_sessions(&ledger, 0..20, 5);
    assert!(indexed(path).await > 3);
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let last = (0..).map(|segment| path.join(format!("wal/{segment:08}.wal"))).take_while(|path| path.exists()).last();
    fs::remove_file(last.unwrap()).unwrap();
    let (_, ledger) = recover(&small(&keys, path), By::Start, "a disk was replaced").unwrap();
    agree(path, &keys.seal, "the new one is empty");
    write_sessions(&ledger, 30..50, 5);
    indexed(path).await;
    agree(path, &keys.seal, "the new one");
    let found = |reader: &Reader| reader.sessions(1000).unwrap().len();
    let readers = Reader::all(path, Some(keys.seal.clone())).unwrap();
    assert_eq!(found(&readers[0]), 20);
    assert!(readers.len() == 2 && found(&readers[1]) > 10, "what is kept is read as it lies");
    ledger.shutdown().await.unwrap();
    is_sound(path);
}

#[tokio::test]
async fn a_shredded_session_is_listed_and_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path(), Keys::generate());
    let ledger = grille_ledger::Ledger::open(small(&keys, path)).unwrap();
    write_sessions(&ledger, 0..20, 5);
    indexed(path).await;
    let reader = Reader::open(path, Some(keys.seal.clone())).unwrap();
    let query = SessionQuery { text: Some("secret-3-".to_owned()), ..SessionQuery::default() };
    assert_eq!(reader.search(&query, 20).unwrap().len(), 1);
    ledger.shred(facts(3).id, &facts(77).subject, "over", true).await.unwrap();
    assert_eq!(reader.search(&query, 20).unwrap(), []);
    let listed = reader.sessions(1000).unwrap();
    let shredded = listed.iter().find(|session| session.id == facts(3).id).unwrap();
    assert!(shredded.facts.is_none() && shredded.operations == 5, "its leaves are there");
    assert_eq!(&*reader.tombstone(facts(3).id).unwrap().unwrap().reason, "over");
    agree(path, &keys.seal, "shredded");
    ledger.shutdown().await.unwrap();
}
