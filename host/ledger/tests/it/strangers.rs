//! The directory as other people's tools read it.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use grille_ledger::{
    Checkpoint, VerifyOptions, VerifyReport, prove_consistency, prove_inclusion, published_leaf, verify,
};

use crate::go;
use crate::support::{Keys, write_sessions};

/// What the Python verifier says, or none where there is no Python.
fn python(dir: &Path) -> Option<Result<serde_json::Value, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_tiles.py");
    let output = match Command::new("python3").arg(script).arg(dir).output() {
        Ok(output) => output,
        Err(error) => {
            println!("python3 cannot be started ({error}): the tiles were not verified by it");
            return None;
        }
    };
    Some(if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("Traceback"), "{said}");
        Err(said)
    })
}

#[tokio::test]
async fn a_script_that_shares_no_code_verifies_tiles_and_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    write_sessions(&ledger, 0..40, 10);
    ledger.shutdown().await.unwrap();
    let Some(said) = python(dir.path()) else { return };
    let said = said.unwrap();
    println!("signature: {}", said["signature"]);
    assert_eq!((said["origin"].as_str(), said["size"].as_u64()), (Some("grille/test"), Some(40 * 22 + 2)));

    for file in ["tile/0/000", "tile/entries/001", "tile/1/000.p/3"] {
        let path = dir.path().join(file);
        let good = std::fs::read(&path).unwrap();
        // A letter, and what is no JSON any more.
        for (at, bits) in [(50, 1), (2, 0x7f), (good.len() - 1, 0x80)] {
            let mut bad = good.clone();
            bad[at] ^= bits;
            std::fs::write(&path, bad).unwrap();
            assert!(python(dir.path()).unwrap().is_err(), "{file} at {at}");
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(python(dir.path()).unwrap().is_ok());
}

#[tokio::test]
async fn the_packages_that_go_trusts_verify_tiles_and_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    write_sessions(&ledger, 0..40, 10);
    ledger.shutdown().await.unwrap();
    let Some(said) = go::verify(dir.path()) else { return };
    let said = said.unwrap();
    assert_eq!((said["origin"].as_str(), said["size"].as_u64()), (Some("grille/test"), Some(40 * 22 + 2)));

    let files = ["tile/0/000", "tile/0/003.p/114", "tile/entries/001", "tile/entries/003.p/114", "tile/1/000.p/3"];
    for file in files.into_iter().chain(["checkpoint", "log.vkey"]) {
        let path = dir.path().join(file);
        let good = std::fs::read(&path).unwrap();
        for at in [50, good.len() - 4] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            assert!(go::verify(dir.path()).unwrap().is_err(), "{file} at {at}");
        }
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(go::verify(dir.path()).unwrap().is_err(), "half of {file}");
        std::fs::remove_file(&path).unwrap();
        assert!(go::verify(dir.path()).unwrap().is_err(), "without {file}");
        std::fs::write(&path, good).unwrap();
    }
    let foreign = keys.signing.verifier_key("grille/else").unwrap();
    std::fs::write(dir.path().join("log.vkey"), format!("{foreign}\n")).unwrap();
    assert!(go::verify(dir.path()).unwrap().is_err());
}

/// While the log is written, whoever looks finds it whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_use_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    // Before anything grows: a compiler takes its time.
    go::verifier();
    let stop = AtomicBool::new(false);
    let mut sizes = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (ledger, stop) = (&ledger, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    write_sessions(ledger, writer * 100_000 + number..writer * 100_000 + number + 1, 5);
                    std::thread::sleep(std::time::Duration::from_millis(25));
                }
            });
        }
        for round in 0..25 {
            match verify(dir.path(), &mut VerifyOptions::default()).unwrap() {
                VerifyReport::Ok(sound) => sizes.push(sound.signed),
                report => {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{report:?}");
                }
            }
            if round % 5 == 4 && dir.path().join("checkpoint").exists() {
                let others = [python(dir.path()), go::verify(dir.path())];
                if let Some(error) = others.into_iter().flatten().find_map(Result::err) {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{error}");
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(60));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(sizes.is_sorted() && sizes.last() > sizes.first(), "{sizes:?}");
    ledger.shutdown().await.unwrap();
}

#[tokio::test]
async fn proofs_come_out_of_the_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let key = keys.signing.verifier_key("grille/test").unwrap();
    let mut checkpoints = Vec::new();
    for round in 0..3 {
        let ledger = keys.open(dir.path());
        write_sessions(&ledger, round * 100..round * 100 + 30, 10);
        ledger.shutdown().await.unwrap();
        let note = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
        checkpoints.push(Checkpoint::open(&note, &key).unwrap());
    }
    let newest = checkpoints.last().unwrap();
    for old in &checkpoints {
        let proof = prove_consistency(dir.path(), old.size, newest).unwrap().unwrap();
        assert!(proof.proves(&old.root, &newest.root));
        assert!(!proof.proves(&[0; 32], &newest.root));
    }
    let bundle = std::fs::read(dir.path().join("tile/entries/001")).unwrap();
    let length = usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
    let proof = prove_inclusion(dir.path(), 256, newest).unwrap().unwrap();
    assert!(proof.proves(&bundle[2..2 + length], &newest.root));
    assert!(!proof.proves(&bundle[2..1 + length], &newest.root));
    assert!(prove_inclusion(dir.path(), newest.size, newest).unwrap().is_none());
    assert!(published_leaf(dir.path(), newest.size, newest).unwrap().is_none());
    for index in [0, 255, 256, newest.size - 1] {
        let leaf = published_leaf(dir.path(), index, newest).unwrap().unwrap();
        let proof = prove_inclusion(dir.path(), index, newest).unwrap().unwrap();
        assert!(proof.proves(&leaf, &newest.root), "{index}");
    }
}
