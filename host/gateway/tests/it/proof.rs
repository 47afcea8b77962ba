//! What strangers do with a log and its bundles: verify, with their own key, policy and checkpoints.

use std::fs;
use std::path::Path;
use std::process::Command;

use grille_ledger::{By, Direction, Ledger, SessionOpen, VerifierKey, recover};

use crate::evidence::holds;
use crate::house::{House, facts};
use crate::own::{Own, watch};

/// Words and paths, as a command line.
fn with<'a>(words: &[&'a str], path: &'a Path) -> Vec<&'a str> {
    words.iter().copied().chain([path.to_str().unwrap()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_verified_by_the_same_command_as_its_log() {
    let own = Own::new();
    let id = own.record().await;
    let (dir, tar) = (own.dir.path(), own.dir.path().join("case.tar"));
    let (code, said) = own.run(&with(&["ledger", "export", "--offline", "--session", &id, "--out"], &tar));
    assert_eq!(code, 0, "{said}");
    let key = dir.join("ledger/log.vkey");
    let verify = |bundle: &Path, words: &[&str]| own.run(&[&with(&["ledger", "verify"], bundle)[..], words].concat());
    let trusted = ["--key", key.to_str().unwrap()];
    let (code, said) = verify(&tar, &trusted);
    assert!(code == 0 && said.starts_with("OK: ") && said.contains(" of 1 sessions are in the log"), "{said}");
    assert!(said.contains("complete   1 of 1") && said.contains("the one given with --key"), "{said}");
    let (code, said) = verify(&tar, &["--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(code == 0 && told["ok"] == true && told["key"] == "within" && told["sessions"] == 1, "{said}");

    // Unpacked it is the same.
    let unpacked = dir.join("case");
    fs::create_dir(&unpacked).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&unpacked).status().unwrap().success());
    assert_eq!(verify(&unpacked, &trusted).0, 0);
    fs::write(unpacked.join("more.txt"), "x").unwrap();
    let (code, said) = verify(&unpacked, &trusted);
    assert!(code == 1 && said.contains("(file-added)") && said.contains("more.txt"), "{said}");

    let whole = fs::read(&tar).unwrap();
    let leaf = whole.windows(9).position(|bytes| bytes == b"\"leaf\":\"{").unwrap() + 40;
    let harmed = dir.join("harmed.tar");
    let harm = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&harmed, bytes).unwrap();
        verify(&harmed, &trusted)
    };
    let (code, said) = harm(&|bytes| bytes[leaf] ^= 1);
    assert!(code == 1 && said.contains("DAMAGED"), "{said}");
    for (change, why) in [
        (&(|bytes: &mut Vec<u8>| bytes.truncate(5000)) as &dyn Fn(&mut Vec<u8>), "was it cut on its way?"),
        (&|bytes| bytes[0] ^= 1, "no header of a tar file"),
        (&|bytes| bytes.clear(), "was it cut on its way?"),
    ] {
        let (code, said) = harm(change);
        assert!(code == 3 && said.contains("no evidence bundle") && said.contains(why), "{code} {said}");
    }
    let other = grille_ledger::SigningKey::generate().unwrap();
    let origin = VerifierKey::from_file(&key).unwrap().origin().to_owned();
    let foreign = dir.join("foreign.vkey");
    fs::write(&foreign, other.verifier_key(&origin).unwrap().to_string()).unwrap();
    let (code, said) = verify(&tar, &["--key", foreign.to_str().unwrap()]);
    assert!(code == 1 && said.contains("(foreign-key)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quorum_of_an_auditor_is_asked_for_and_what_lacks_is_named() {
    let own = Own::new();
    own.record().await;
    let (dir, log) = (own.dir.path(), own.dir.path().join("ledger"));
    let vkey = log.join("log.vkey");
    let (north, north_url, north_key) = watch(dir, &vkey, "north");
    let (south, south_url, south_key) = watch(dir, &vkey, "south");
    let read = |path: &Path| fs::read_to_string(path).unwrap().trim().to_owned();
    let policy = dir.join("policy.txt");
    let lines = format!(
        "log {}\nwitness north {} {north_url}\nwitness south {} {south_url}\ngroup both all north south\nquorum both\n",
        read(&vkey),
        read(&north_key),
        read(&south_key)
    );
    fs::write(&policy, &lines).unwrap();
    let verify = || own.run(&with(&["ledger", "verify", "--policy"], &policy));
    let (code, said) = verify();
    assert!(code == 1 && said.contains("(cosignature)") && said.contains("takes 2 of 2 and has 0"), "{said}");
    let ask = || own.run(&with(&["ledger", "checkpoint", "--witnesses"], &policy));
    let (code, said) = ask();
    assert!(code == 0 && said.matches("\u{2014} witness.example/").count() == 2, "{said}");
    let (code, said) = verify();
    assert!(code == 0 && said.contains("by north, south") && said.contains("in the policy that was given"), "{said}");

    // A bundle takes both along; the log has gone on since.
    let id = own.record().await;
    let tar = dir.join("case.tar");
    let (code, said) = own.run(&with(&["ledger", "export", "--offline", "--session", &id, "--out"], &tar));
    assert_eq!(code, 0, "{said}");
    assert!(["witnessed", "witnessed.proof", "policy.txt"].iter().all(|name| holds(&fs::read(&tar).unwrap(), name)));
    let words = with(&["ledger", "verify", "--policy"], &policy);
    let (code, said) = own.run(&with(&words, &tar));
    assert!(code == 0 && said.contains("by north, south, the last ") && said.contains(" not yet"), "{said}");

    // One of them is gone, and its signature is taken away.
    drop(south);
    let (code, said) = ask();
    assert!(
        code == 1 && said.contains("1 of the witnesses did not sign") && said.contains("witness.example/south"),
        "{said}"
    );
    let (code, said) = verify();
    assert!(code == 1 && said.contains("has 1: the signature of witness south is missing"), "{said}");
    drop(north);

    let wrong = dir.join("wrong");
    fs::write(&wrong, lines.replace("quorum both", "quorum all-of-them")).unwrap();
    let (code, said) = own.run(&with(&["ledger", "verify", "--policy"], &wrong));
    assert!(code == 3 && said.contains("line 5: no line above defines `all-of-them`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_set_back_contradicts_a_checkpoint_that_was_kept() {
    let own = Own::new();
    own.record().await;
    let (log, kept) = (own.dir.path().join("ledger"), own.dir.path().join("kept"));
    own.record().await;
    fs::copy(log.join("checkpoint"), &kept).unwrap();
    let verify = || own.run(&with(&["ledger", "verify", "--checkpoint"], &kept));
    assert_eq!(verify().0, 0);
    fs::remove_dir_all(&log).unwrap();
    own.record().await;
    let (code, said) = verify();
    assert!(code == 1 && said.contains("(older-checkpoint)") && said.contains("more were signed"), "{said}");
    for _ in 0..2 {
        own.record().await;
    }
    let (code, said) = verify();
    assert!(code == 1 && said.contains("(fork)"), "{said}");
    fs::remove_file(&kept).unwrap();
    assert_eq!(verify().0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_is_told_by_citation() {
    let own = Own::new();
    own.record().await;
    let tar = own.dir.path().join("quarter.tar");
    let export =
        |words: &[&str]| own.run(&[&with(&["ledger", "export", "--offline", "--out"], &tar)[..], words].concat());
    let (code, said) = export(&["--hipaa", "2026-Q5"]);
    assert!(code == 2 && said.contains("write the year and Q1 to Q4, such as 2026-Q3"), "{said}");
    let (code, said) = export(&["--hipaa", "2026-Q3", "--subject", "ann"]);
    assert!(code == 2 && said.contains("cannot be used with"), "{said}");
    let (code, said) = export(&["--hipaa", "1999-Q1"]);
    assert!(code == 0 && said.contains("open hipaa.html in it"), "{said}");
    let bundle = fs::read(&tar).unwrap();
    assert!(["hipaa.html", "hipaa.csv", "hipaa.json"].iter().all(|name| holds(&bundle, name)));
    assert!(bundle.windows(36).any(|bytes| bytes == b"the log holds nothing of this period"));
    let (code, said) = own.run(&with(&["ledger", "verify"], &tar));
    assert_eq!(code, 0, "{said}");

    let house = House::open().await;
    house.record_session();
    let out = house.dir.path().join("now.tar");
    let words = with(&["ledger", "export", "--hipaa", "1999-Q1", "--out"], &out);
    let said = house.run("audra", &words).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(holds(&fs::read(&out).unwrap(), "hipaa.json"));
    assert!(house.acts().contains(&"audra ledger.export".to_owned()));
}

/// What was recorded before a log had to be put aside is still found, shown and replayed.
#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_log_that_was_put_aside_are_still_told() {
    let old = facts("ann");
    let id = old.id.to_string();
    let house = House::with(async |config| {
        let ledger = Ledger::open(config.clone()).unwrap();
        let mut log = ledger.session(SessionOpen::new(&old)).unwrap();
        log.record_bytes(Direction::FromCaller, 0, 0, b"Q\0\0\0\x0dselect 1\0").unwrap();
        log.flush().unwrap();
        log.close("terminate").unwrap();
        ledger.shutdown().await.unwrap();
        drop(ledger);
        let wal = config.path.join("wal/00000000.wal");
        let whole = fs::read(&wal).unwrap();
        fs::write(&wal, &whole[..whole.len() - 700]).unwrap();
        recover(&config, By::Start, "a disk was replaced").map(|(_, ledger)| ledger)
    })
    .await;
    let new = house.record_session();
    let found = house.json("audra", &["session", "search", "--format", "json"]).await;
    let ids: Vec<&str> = found["sessions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&*new, &*id], "{found:#}");
    assert_eq!(found["sessions"][1]["end"], "lost");
    for words in [&["session", "list"][..], &["session", "show", &id], &["session", "replay", &id]] {
        let said = house.run("audra", words).await;
        assert!(said.code == 0 && said.stdout.contains(&id), "{words:?}: {} {}", said.stdout, said.stderr);
    }
}
