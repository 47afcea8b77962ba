//! What signatures, witnesses and the archive do not vouch for yet.

use std::fs;
use std::time::Duration;

use grille_archive::Archive;
use grille_ledger::{
    Ledger, LedgerConfig, SessionOpen, Shipping, SigningKey, Tail, Tails, Witness, WitnessAnswer, witness_request,
};
use tokio::time::Instant;

use crate::support::{Keys, facts, write_sessions};

const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn wait(ledger: &Ledger, what: &str, is_so: impl Fn(&Tails) -> bool) -> Tails {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tails = ledger.tails();
        if is_so(&tails) {
            return tails;
        }
        assert!(Instant::now() < deadline, "{what}: {tails:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_log_without_witness_and_archive_has_no_such_tails() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::generate();
    let ledger = keys.open(dir.path());
    write_sessions(&ledger, 0..3, 5);
    assert_eq!(ledger.tails().unsigned.records, ledger.status().written, "nothing is signed so soon");
    ledger.checkpoint().await.unwrap();
    assert_eq!(ledger.tails(), Tails::default());

    // A witness signs, and then the log goes on.
    let witness_keys = vec![keys.signing.verifier_key("grille/test").unwrap()];
    let state = tempfile::tempdir().unwrap();
    let witness = Witness::new(state.path(), "w.example", SigningKey::generate().unwrap(), witness_keys).unwrap();
    let note = fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    let request = witness_request(dir.path(), 0, &note).unwrap().unwrap();
    let WitnessAnswer::Cosigned(line) = witness.add_checkpoint(&request, 1_795_000_000).unwrap() else {
        panic!("not signed");
    };
    fs::write(dir.path().join("witnessed"), note + &line).unwrap();
    assert_eq!(ledger.tails().unwitnessed, Some(Tail::default()));
    let begun = Instant::now();
    write_sessions(&ledger, 3..4, 5);
    ledger.checkpoint().await.unwrap();
    let tails = wait(&ledger, "it grows old", |tails| {
        tails.unwitnessed.is_some_and(|tail| tail.age > Duration::from_millis(500))
    });
    let tail = tails.unwitnessed.unwrap();
    assert!(tail.records == 12 && tail.age <= begun.elapsed() + Duration::from_millis(50), "{tail:?}");
    assert_eq!((tails.unsigned, tails.unanchored), (Tail::default(), None), "{tails:?}");

    // What is no note of this log vouches for nothing.
    fs::write(dir.path().join("witnessed"), "grille/other\n1\nAAAA\n").unwrap();
    assert_eq!(ledger.tails().unwitnessed.unwrap().records, ledger.status().written);
    ledger.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_unsigned_and_the_unanchored_tail_have_the_age_of_their_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path().join("ledger"), Keys::generate());
    let archive = dir.path().join("archive");
    let shipping = Shipping { archive: Archive::folder(&archive).unwrap(), queue_bytes: 1 << 30, goes_on: true };
    let config = LedgerConfig { segment_bytes: 60_000, shipping: Some(shipping), ..keys.config(&path) };
    let ledger = Ledger::open(config.clone()).unwrap();
    let begun = Instant::now();
    // While nothing ends, the next checkpoint takes a second.
    let under_way = ledger.session(SessionOpen::new(&facts(100))).unwrap();
    let Tails { unsigned, unanchored, .. } =
        wait(&ledger, "it grows old", |tails| tails.unsigned.age > Duration::from_millis(100));
    assert!(unsigned.records == 2 && unsigned.age <= begun.elapsed() + Duration::from_millis(100), "{unsigned:?}");
    assert!(unanchored.is_some_and(|tail| tail.records == 2 && tail.age >= unsigned.age), "{unanchored:?}");
    under_way.close("terminate").unwrap();
    write_sessions(&ledger, 1..40, 10);
    ledger.checkpoint().await.unwrap();
    wait(&ledger, "it is anchored", |tails| tails.unanchored.unwrap().records < 100);

    // The archive is away: what it has, it has, also after a restart.
    let anchored = ledger.status().archive.unwrap().anchored;
    assert!(anchored > 0);
    let away = dir.path().join("away");
    fs::rename(&archive, &away).unwrap();
    fs::write(&archive, "no folder").unwrap();
    let begun = Instant::now();
    write_sessions(&ledger, 40..80, 10);
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let ledger = Ledger::open(config).unwrap();
    ledger.checkpoint().await.unwrap();
    let tails = wait(&ledger, "it grows old", |tails| tails.unanchored.unwrap().age > Duration::from_millis(700));
    let tail = tails.unanchored.unwrap();
    assert!(tail.records >= 40 * 22 && tail.records < ledger.status().written, "{tails:?}");
    assert!(tail.age <= begun.elapsed() + PATIENCE && tails.unsigned.records < tail.records, "{tails:?}");
    ledger.shutdown().await.unwrap();
}
