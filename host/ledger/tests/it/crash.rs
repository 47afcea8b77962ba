//! What survives the sudden end of the process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use grille_ledger::{Ledger, LedgerConfig, Reader, Record, SessionOpen, Sync, Unwritable};

use crate::load::{Victim, is_sound};
use crate::support::{Keys, allowed, decision, facts, outcome, write_sessions};

const FULL_CHILD: &str = "GRILLE_LEDGER_TEST_FULL_CHILD";

/// Kills per mode of syncing, each with several sessions in the middle of their records.
const KILLS: u32 = 100;
/// One ledger sees so many of them, so that looking at it stays short.
const KILLS_PER_LEDGER: u32 = 20;

#[test]
fn every_acknowledged_record_survives_kill_9() {
    survives_kills(false);
}

#[test]
fn every_acknowledged_record_survives_kill_9_in_strict_mode() {
    survives_kills(true);
}

fn survives_kills(is_strict: bool) {
    let (mut acknowledged, mut torn) = (0, 0);
    for _ in 0..KILLS / KILLS_PER_LEDGER {
        let mut victim = Victim::new(is_strict);
        for round in 0..KILLS_PER_LEDGER {
            // Somewhere between two checkpoints, and in the middle of one.
            victim.run(Duration::from_millis(10 + u64::from(round) * 37 % 130), &[]);
            torn += u32::from(is_sound(&victim.path()).torn_bytes > 0);
        }
        let lost = victim.lost();
        assert!(lost.is_empty(), "{lost:?}");
        drop(victim.open());
        assert!(is_sound(&victim.path()).sessions_aborted >= u64::from(KILLS_PER_LEDGER));
        acknowledged += victim.acknowledged.len();
    }
    println!("{acknowledged} records acknowledged over {KILLS} kills, {torn} torn tails");
    assert!(acknowledged > 10 * KILLS as usize, "there was load: {acknowledged}");
}

/// Runs in a mount namespace of its own, on a file system of 5 MiB.
#[tokio::test]
async fn full_child() {
    let Ok(path) = std::env::var(FULL_CHILD) else { return };
    let path = PathBuf::from(path);
    let ballast = path.join("../ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(&path);
    let facts = facts(1);
    let allowed = allowed();
    let mut log = ledger.session(SessionOpen::new(&facts)).unwrap();
    let mut written = 0;
    let text: String = (0..2000).map(|at| char::from(b'a' + (at * at % 26) as u8)).collect();
    let full = loop {
        match log.append(&decision(facts.id, written, &text, &allowed)) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Unwritable::Full { .. }), "{full:?}");
    assert!(written > 500, "{written}");
    // What was under way comes to its end in the ledger, nothing new begins.
    log.append(&outcome(facts.id, written - 1)).unwrap();
    log.close("limit").unwrap();
    assert!(ledger.session(SessionOpen::new(&crate::support::facts(2))).is_err());
    is_sound(&path);
    // Space again: it goes on by itself.
    fs::remove_file(&ballast).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while ledger.session(SessionOpen::new(&crate::support::facts(3))).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(100));
    }
    ledger.shutdown().await.unwrap();
    let entries: Vec<_> = Reader::open(&path, None).unwrap().session(facts.id).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.len() as u64, written + 3);
    assert_eq!(is_sound(&path).unsigned, 0);
    println!("it was full after {written} records");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let mount =
        format!("mount -t tmpfs -o size=5m none '{0}' && mkdir '{0}/ledger' && exec \"$@\"", dir.path().display());
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["crash::full_child", "--exact", "--nocapture"])
        .env(FULL_CHILD, dir.path().join("ledger"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("no unshare here ({error}): a full disk was not tried"),
    };
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complained.contains("unshare:") || complained.contains("mount:") {
        return println!("no file system of its own here ({}): a full disk was not tried", complained.trim());
    }
    assert!(output.status.success() && said.contains("it was full after"), "{said}{complained}");
}

/// A directory in memory where there is one: these tests sync thousands of times and look at no disk.
pub(crate) fn fast_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Opens a log without signing anything.
#[track_caller]
fn unsigning(keys: &Keys, path: &Path) -> Ledger {
    let config = LedgerConfig { sync: Sync::Interval(Duration::from_secs(3600)), ..keys.config(path) };
    Ledger::open(config).unwrap()
}

/// Writes an unsigned log and returns its only segment with the place of the last frame.
fn unsigned(keys: &Keys, path: &Path) -> (PathBuf, usize, Vec<u8>) {
    let ledger = unsigning(keys, path);
    write_sessions(&ledger, 0..2, 2);
    drop(ledger);
    let last = Reader::open(path, None).unwrap().records().unwrap().last().unwrap().unwrap();
    let start = last.leaf.place.split_once(':').unwrap().1.parse().unwrap();
    let segment = path.join("wal/00000000.wal");
    let bytes = fs::read(&segment).unwrap();
    assert!(!path.join("checkpoint").exists());
    (segment, start, bytes)
}

/// Opens a log whose tail is torn at `at`; the records before it are there, and a record says what was cut.
#[track_caller]
fn recovers(keys: &Keys, path: &Path, before: usize, at: usize, cut: u64) {
    drop(unsigning(keys, path));
    let entries: Vec<_> = Reader::open(path, Some(keys.seal.clone())).unwrap().records().unwrap().collect();
    let entries: Vec<_> = entries.into_iter().map(Result::unwrap).collect();
    let kinds: Vec<_> = entries[before..].iter().map(|entry| entry.leaf.kind.as_str()).collect();
    if cut == 0 {
        assert_eq!(kinds, ["node.start"]);
    } else {
        assert_eq!(kinds, ["node.start", "recovered"], "{at}");
        let Some(Record::Recovered(recovered)) = entries[before + 1].record() else { panic!("{:?}", entries.last()) };
        assert_eq!((recovered.segment, recovered.offset, recovered.bytes), (0, at as u64, cut));
        let kept = fs::read(path.join(format!("cut/00000000-{at}"))).unwrap();
        assert_eq!(kept.len() as u64, cut);
    }
    is_sound(path);
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_record_is_cut() {
    let dir = fast_dir();
    let keys = Keys::generate();
    let (segment, start, good) = unsigned(&keys, dir.path());
    let before = Reader::open(dir.path(), None).unwrap().records().unwrap().count() - 1;
    for end in start..good.len() {
        fs::write(&segment, &good[..end]).unwrap();
        recovers(&keys, dir.path(), before, start, (end - start) as u64);
    }
}

#[test]
fn a_tail_of_zeros_or_rubbish_is_cut() {
    let dir = fast_dir();
    let keys = Keys::generate();
    let (segment, start, good) = unsigned(&keys, dir.path());
    let whole = Reader::open(dir.path(), None).unwrap().records().unwrap().count();
    // What a file system may leave behind after a power loss.
    for tail in [vec![0; 5000], vec![0xff; 17], b"GARBAGE GARBAGE GARBAGE".to_vec(), vec![0; 3]] {
        fs::write(&segment, [&good[..], &tail].concat()).unwrap();
        recovers(&keys, dir.path(), whole, good.len(), tail.len() as u64);
    }
    let mut bad = good.clone();
    bad[start + 40] ^= 1;
    fs::write(&segment, &bad).unwrap();
    recovers(&keys, dir.path(), whole - 1, start, (good.len() - start) as u64);
    // The very first line, before there was any record.
    for end in 0..64 {
        let dir = fast_dir();
        drop(unsigning(&keys, dir.path()));
        let segment = dir.path().join("wal/00000000.wal");
        let good = fs::read(&segment).unwrap();
        fs::write(&segment, &good[..end]).unwrap();
        recovers(&keys, dir.path(), 0, 0, end as u64);
    }
}
