use std::time::Duration;

use grille_demo::Card;
use grille_e2e::{Demo, NEW_KEY, runs, signal, unexpected};
use tokio::time::Instant;

/// What the second start may take.
const SECOND_START: Duration = Duration::from_secs(5);

#[test]
fn it_starts_fast_again_and_ctrl_c_stops_all_that_it_started() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path().join("demo");
    let first = Demo::start_in(&dir).expect("starts");
    let pids = first.card.pids.clone();
    assert!(runs(pids.gateway) && runs(pids.postgres));
    assert_eq!(first.stop().expect("stops"), Some(0));
    assert!(!runs(pids.gateway), "the gateway still runs");
    assert!(!runs(pids.postgres), "the database still runs");
    assert!(!dir.join("demo.json").exists(), "demo.json still says where it was");

    let began = Instant::now();
    let second = Demo::start_in(&dir).expect("starts again");
    let took = began.elapsed();
    assert!(took < SECOND_START, "the second start took {took:?}");
    let warnings = second.log().expect("a log");
    assert!(unexpected(&warnings, &[NEW_KEY]).is_empty(), "{warnings}");
}

#[test]
fn what_a_killed_demo_left_behind_is_put_away_by_the_next() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path().join("demo");
    let first = Demo::start_in(&dir).expect("starts");
    let left: Card = first.card.clone();
    signal(left.pids.demo, "KILL");
    drop(first);
    assert!(runs(left.pids.gateway) && runs(left.pids.postgres), "nobody was there to stop them");

    let second = Demo::start_in(&dir).expect("starts again");
    assert!(!runs(left.pids.gateway), "the old gateway still runs");
    assert!(!runs(left.pids.postgres), "the old database still runs");
    assert_eq!(second.stop().expect("stops"), Some(0));
}
