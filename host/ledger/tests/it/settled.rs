//! A start takes what is settled from the tiles, and signs nothing that contradicts what was signed.

use std::fs;
use std::path::Path;

use grille_ledger::{Ledger, OpenError, VerifyOptions, VerifyReport, verify};

use crate::crash::fast_dir;
use crate::load::is_sound;
use crate::support::{Keys, write_sessions};

const SETTLED: u64 = 65_536;

/// A log of which 65,536 records are settled and some more are signed.
async fn written(keys: &Keys, path: &Path) {
    let ledger = keys.open(path);
    write_sessions(&ledger, 0..70, 470);
    ledger.shutdown().await.unwrap();
    assert!(fs::read_to_string(path.join("settled")).unwrap().starts_with(&format!("{SETTLED} ")));
    assert!(ledger.status().signed > SETTLED);
}

async fn starts(keys: &Keys, path: &Path) {
    let ledger = keys.open(path);
    write_sessions(&ledger, 100..101, 1);
    ledger.shutdown().await.unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_start_reads_what_is_not_settled_and_verify_reads_all() {
    let dir = fast_dir();
    let (path, keys) = (dir.path(), Keys::generate());
    written(&keys, path).await;
    starts(&keys, path).await;
    is_sound(path);
    // Tiles that are not what they were are no beginning; the log is.
    let (tile, note) = (path.join("tile/0/000"), path.join("settled"));
    for settled in [fs::read_to_string(&note).unwrap().replace(' ', "  9"), String::new()] {
        let good = fs::read(&note).unwrap();
        fs::write(&note, settled).unwrap();
        starts(&keys, path).await;
        fs::write(&note, good).unwrap();
    }
    flip(&path.join("tile/1/000"), 100);
    starts(&keys, path).await;
    flip(&path.join("tile/1/000"), 100);
    fs::remove_file(&tile).unwrap();
    assert!(matches!(verify(path, &mut VerifyOptions::default()).unwrap(), VerifyReport::Damage(_)));
    fs::remove_file(&note).unwrap();
    starts(&keys, path).await;
    is_sound(path);
}

#[tokio::test]
async fn an_old_record_that_was_altered_is_named_by_verify_and_by_a_start_that_derives_all() {
    let dir = fast_dir();
    let (path, keys) = (dir.path(), Keys::generate());
    written(&keys, path).await;
    flip(&path.join("wal/00000000.wal"), 5_000);
    starts(&keys, path).await;
    let VerifyReport::Damage(damage) = verify(path, &mut VerifyOptions::default()).unwrap() else { panic!("sound") };
    assert!(damage.index.is_some_and(|index| index < 10), "{damage:?}");
    fs::remove_file(path.join("settled")).unwrap();
    assert!(matches!(Ledger::open(keys.config(path)), Err(OpenError::Backwards { .. })));
}

#[tokio::test]
async fn what_was_signed_and_is_gone_or_different_stops_a_start() {
    for what in ["cut", "altered", "gone"] {
        let dir = fast_dir();
        let (path, keys) = (dir.path(), Keys::generate());
        written(&keys, path).await;
        let wal = path.join("wal/00000000.wal");
        let length = fs::metadata(&wal).unwrap().len();
        match what {
            "cut" => fs::OpenOptions::new().write(true).open(&wal).unwrap().set_len(length - 5_000).unwrap(),
            "altered" => flip(&wal, usize::try_from(length).unwrap() - 5_000),
            _ => fs::remove_file(&wal).unwrap(),
        }
        let refused = Ledger::open(keys.config(path)).err().unwrap();
        assert!(matches!(refused, OpenError::Backwards { .. }), "{what}: {refused}");
    }
}
