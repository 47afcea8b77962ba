//! How long contents are kept: nothing ends before its time by a slip, what is over ends by itself, and a legal hold outlives it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use grille_ledger::{Reader, Record, SealKey, SessionEnd};
use grille_test_support::{CLERK, OWNER, READER, Raw, World, faults, program};
use tokio::time::Instant;

use crate::approvals::{admin, post};

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: u64 = 3600;

fn reader(world: &World) -> Reader {
    let (ledger, seal) = world.ledger();
    Reader::open(&ledger, Some(SealKey::from_file(&seal).unwrap())).unwrap()
}

/// Waits until the log, the gateway's words or whatever it is say so.
fn wait(world: &World, what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "{what}: {}", world.said());
        sleep(Duration::from_millis(100));
    }
}

/// A session that asked something and ended; its id.
fn ended(world: &World, caller: grille_test_support::Caller) -> String {
    world.session(caller).value("SELECT 'seen' FROM notes LIMIT 1").expect_err("there is no note");
    let mut id = String::new();
    wait(world, "no end of the session", || {
        let newest = reader(world).sessions(1).unwrap().pop().unwrap();
        id = newest.id.to_string();
        matches!(newest.end, SessionEnd::Closed(_))
    });
    id
}

fn is_there(world: &World, id: &str) -> bool {
    let first = reader(world).session(id.parse().unwrap()).unwrap().next().unwrap().unwrap();
    first.record().is_some()
}

/// The clock goes on, and the ledger sees it do so: somebody whose token is over is turned away.
fn pass(world: &World, faults: &Path, hours: std::ops::RangeInclusive<u64>) {
    for hours in hours.step_by(20) {
        fs::write(faults.join("clock"), (hours * HOUR).to_string()).unwrap();
        let refused = Raw::login(world.address, "owner", "work", &world.token(OWNER));
        assert!(refused.is_err(), "its token was good for less");
    }
}

#[test]
fn contents_end_with_their_class_and_not_before() {
    let world = World::with("");
    let dir = tempfile::tempdir().unwrap();
    let library = faults(dir.path()).unwrap();
    let environment: [(&str, &Path); 2] = [("LD_PRELOAD", &library), ("GRILLE_FAULTS", dir.path())];
    let of_ledger = ended(&world, READER);
    world.edit(|text| {
        text.replace("[ledger]\n", "[ledger]\nat_end = \"shred\"\n")
            .replace("tls = \"disable\"\n", "tls = \"disable\"\nretention = \"3d\"\n")
            .replace("[admin]\n", "[admin]\nauditors = [\"dbas\"]\n")
    });
    world.restart(&environment);
    let longer = ended(&world, READER);

    // A reload that shortens it says so, and changes nothing for what is recorded.
    world.edit(|text| text.replace("retention = \"3d\"", "retention = \"1d\""));
    let weaker = "sessions on target \"work\" are kept 1 day instead of 3 days";
    wait(&world, "no reload", || world.said().contains(&format!("weaker: {weaker}")));
    let recorded = reader(&world).records().unwrap().filter_map(|entry| match entry.unwrap().record() {
        Some(Record::ConfigChange(change)) => Some(change.weakening.join(";")),
        _ => None,
    });
    assert_eq!(recorded.last().as_deref(), Some(weaker));
    let [short, held, early] = [READER, CLERK, OWNER].map(|caller| ended(&world, caller));
    let told = |id: &str| admin(&world, "GET", &format!("/v1/sessions/{id}"), "");
    for (id, expected) in [
        (&of_ledger, r#""kept":{"class":"ledger","seconds":189734400}"#),
        (&longer, r#""kept":{"class":"targets.work","seconds":259200}"#),
        (&short, r#""kept":{"class":"targets.work","seconds":86400}"#),
    ] {
        assert!(told(id).contains(expected), "{}", told(id));
    }

    let shred = |id: &str, more: &str| {
        post(&world, "/v1/ledger/shred", &format!(r#"{{"session":"{id}","reason":"asked for"{more}}}"#))
    };
    let refused = shred(&early, "");
    assert!(!refused.starts_with("HTTP/1.1 200") && refused.contains("is kept until 2"), "{refused}");
    assert!(refused.contains("--early") && is_there(&world, &early), "{refused}");
    let done = shred(&early, r#","early":true"#);
    assert!(done.starts_with("HTTP/1.1 200") && !is_there(&world, &early), "{done}");
    let hold = post(&world, "/v1/ledger/holds", r#"{"subject":"reviewer","is_held":true,"reason":"case 4711"}"#);
    assert!(hold.starts_with("HTTP/1.1 200"), "{hold}");
    let refused = shred(&held, r#","early":true"#);
    assert!(refused.contains("is under a legal hold (case 4711)"), "{refused}");

    // Ten years in one step are no time that anybody saw pass.
    fs::write(dir.path().join("clock"), (10 * 366 * 24 * HOUR).to_string()).unwrap();
    world.restart(&environment);
    wait(&world, "nothing of the leap", || world.said().contains("that the ledger did not see pass"));
    assert!([&short, &held, &longer].iter().all(|id| is_there(&world, id)));
    fs::write(dir.path().join("clock"), "0").unwrap();
    world.restart(&environment);
    pass(&world, dir.path(), 20..=60);
    world.restart(&environment);
    wait(&world, "nothing ended", || world.said().contains("the retention of 1 session(s) is over"));
    assert!(!is_there(&world, &short));
    assert!([&held, &longer, &of_ledger].iter().all(|id| is_there(&world, id)), "held, or kept for longer");

    // By the right time again: who asks is told, and strangers still prove all of it.
    fs::remove_file(dir.path().join("clock")).unwrap();
    world.restart(&environment);
    let gone = told(&short);
    assert!(
        gone.starts_with("HTTP/1.1 410") && gone.contains("when their time of 1 day (targets.work) was over"),
        "{gone}"
    );
    let gone = told(&early);
    assert!(gone.contains("before the end of its 1 day (targets.work): asked for"), "{gone}");
    let mut metrics = String::new();
    wait(&world, "no figures", || {
        metrics = admin(&world, "GET", "/metrics", "");
        metrics.contains("grille_ledger_past_retention 1\n")
    });
    assert!(metrics.contains("grille_ledger_ended_by_retention_total 0\n"), "{metrics}");
    world.serves();
    world.gateway().kill();
    let output =
        Command::new(program().unwrap()).args(["ledger", "verify", "-c"]).arg(world.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("2 shredded"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
