//! What a disk that loses, a disk that fails and a clock that steps do to the ledger. A shim before libc tells what was
//! really synced, lets syncs fail, and moves the clock.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use grille_ledger::{Reader, Unwritable};

use crate::load::{Victim, is_sound};
use crate::support::{Keys, write_sessions};

const CHILD: &str = "GRILLE_LEDGER_TEST_FAULTS_CHILD";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/support/faults/faults.c");

/// The shim, compiled into `dir`.
fn shim(dir: &Path) -> PathBuf {
    let library = dir.join("faults.so");
    let mut compiler = Command::new("cc");
    let compiler = compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).args([SOURCE, "-ldl"]);
    assert!(compiler.status().expect("the C compiler `cc` is installed").success());
    library
}

/// What is left of a ledger when the power goes: of each file that grows, what was synced if its directory was, too, and
/// behind it nothing, or zeros. Tiles are gone, or empty, unless they were synced.
fn lose_power(ledger: &Path, syncs: &str, has_zeros: bool) {
    let (mut synced, mut named) = (HashMap::new(), HashSet::new());
    for line in syncs.lines() {
        if let Some(path) = line.strip_prefix("named ") {
            named.insert(PathBuf::from(path));
        } else if let Some((length, path)) = line.strip_prefix("synced ").and_then(|line| line.split_once(' ')) {
            // Files are replaced under another name.
            let path = Path::new(path);
            let name = path.file_name().unwrap().to_string_lossy();
            let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new")).unwrap_or(&name);
            synced.insert(path.with_file_name(name), length.parse::<u64>().unwrap());
        }
    }
    for path in files(&ledger.join("tile")) {
        if !synced.contains_key(&path) && has_zeros {
            fs::write(path, "").unwrap();
        } else if !synced.contains_key(&path) {
            fs::remove_file(path).unwrap();
        }
    }
    for path in ["wal", "keys"].iter().flat_map(|part| files(&ledger.join(part))) {
        let length = synced.get(&path).copied().filter(|_| named.contains(&path)).unwrap_or(0);
        let was = fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        if has_zeros && length > 0 {
            file.set_len(length + (was - length) / 2).unwrap();
        } else if length == 0 {
            fs::remove_file(&path).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Returns how old the oldest lost record was when the power went, in microseconds.
fn after_power_losses(is_strict: bool) -> u64 {
    let mut victim = Victim::new(is_strict);
    let library = shim(victim.dir.path());
    let (mut oldest, mut lost_records, mut waited) = (0, 0, 0);
    for round in 0..12u64 {
        let faults = victim.dir.path().to_owned();
        let died = victim.run(
            Duration::from_millis(300 + round * 37 % 230),
            &[("LD_PRELOAD", &library), ("GRILLE_FAULTS", &faults)],
        );
        let syncs = fs::read_to_string(faults.join("syncs")).unwrap();
        lose_power(&victim.path(), &syncs, round % 2 == 0);
        drop(victim.open());
        is_sound(&victim.path());
        let lost = victim.lost();
        waited += victim.acknowledged.values().filter(|ack| ack.is_durable).count();
        assert!(
            lost.values().all(|ack| !ack.is_durable),
            "round {round}: what had waited for the disk is gone: {lost:?}"
        );
        oldest = oldest.max(lost.values().map(|ack| died.saturating_sub(ack.at)).max().unwrap_or(0));
        lost_records += lost.len();
        // Their numbers are given to other records from now on.
        victim.acknowledged.clear();
    }
    println!("{lost_records} records lost, the oldest {oldest} µs old; {waited} had waited for the disk");
    assert!(waited > 100, "there was load: {waited}");
    oldest
}

#[test]
fn a_power_loss_takes_no_record_in_strict_mode() {
    assert_eq!(after_power_losses(true), 0);
}

#[test]
fn a_power_loss_takes_nothing_that_waited_and_little_else() {
    // 100 ms and one sync; a busy machine syncs slowly.
    let oldest = after_power_losses(false);
    assert!((1..2_000_000).contains(&oldest), "{oldest} µs");
}

/// Runs under the shim.
#[tokio::test]
async fn failing_child() {
    let Ok(faults) = std::env::var(CHILD) else { return };
    let faults = PathBuf::from(faults);
    let keys = Keys::generate();
    let path = faults.join("ledger");
    let ledger = keys.open(&path);
    write_sessions(&ledger, 0..3, 3);
    ledger.checkpoint().await.unwrap();
    fs::write(faults.join("fail-sync"), "").unwrap();
    write_sessions(&ledger, 3..4, 1);
    let stopped = ledger.stopped().await;
    assert!(matches!(stopped, Unwritable::Stopped { .. }) && stopped.to_string().contains("a sync below"), "{stopped}");
    // The disk is well again; what it kept of the pages is unknown all the same.
    fs::remove_file(faults.join("fail-sync")).unwrap();
    let refused = ledger.session(grille_ledger::SessionOpen::new(&crate::support::facts(9))).err().unwrap();
    assert!(matches!(refused, Unwritable::Stopped { .. }), "{refused}");
    assert!(matches!(ledger.shutdown().await, Err(Unwritable::Stopped { .. })));
    drop(ledger);
    let syncs = fs::read_to_string(faults.join("syncs")).unwrap();
    let failed = syncs.lines().position(|line| line.starts_with("failed")).unwrap();
    let behind: Vec<_> = syncs.lines().skip(failed + 1).filter(|line| line.contains("/wal/")).collect();
    assert!(behind.is_empty(), "a descriptor whose sync failed was synced again: {behind:?}");
    // A restart reads what is there.
    let ledger = keys.open(&path);
    write_sessions(&ledger, 10..11, 1);
    ledger.shutdown().await.unwrap();
    assert_eq!(is_sound(&path).unsigned, 0);
    println!("it stopped: {stopped}");
}

#[test]
fn a_failed_sync_stops_the_ledger_until_it_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["faults::failing_child", "--exact", "--nocapture"])
        .env(CHILD, dir.path())
        .env("GRILLE_FAULTS", dir.path())
        .env("LD_PRELOAD", shim(dir.path()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("it stopped: "),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An hour back before a kill, a day forward before the next: order is the log's own, and no start hangs on the clock.
#[test]
fn a_clock_that_steps_between_crashes_loses_nothing() {
    let mut victim = Victim::new(false);
    let library = shim(victim.dir.path());
    let faults = victim.dir.path().to_owned();
    for step in ["-3600", "86400", "0"] {
        fs::write(faults.join("clock"), step).unwrap();
        victim.run(Duration::from_millis(200), &[("LD_PRELOAD", &library), ("GRILLE_FAULTS", &faults)]);
    }
    assert!(victim.lost().is_empty());
    drop(victim.open());
    let reader = Reader::open(&victim.path(), None).unwrap();
    let times: Vec<_> = reader.records().unwrap().map(|entry| entry.unwrap().leaf.log_time).collect();
    assert!(times.windows(2).any(|pair| pair[1] + 3_000_000_000 < pair[0]), "the clock did step");
    assert!(victim.acknowledged.len() > 100);
}
