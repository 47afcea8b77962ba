//! The node ends in the middle of something, or its disk does: what callers hear, and what a restart finds.

use std::fs;
use std::process::Command;

use grille_ledger::{Reader, Record, SealKey, SessionEnd};
use grille_pg_codec::Format;
use grille_test_support::{CLERK, OWNER, World, faults, program};

use crate::approvals::{body, guarded, post, request};
use crate::script::{Script, tags};

#[test]
fn a_failing_sync_refuses_ends_the_gateway_and_a_restart_goes_on() {
    let world = World::with("");
    let dir = tempfile::tempdir().unwrap();
    let library = faults(dir.path()).unwrap();
    world.restart(&[("LD_PRELOAD", &library), ("GRILLE_FAULTS", dir.path())]);
    let mut session = world.session(OWNER);
    session.value("INSERT INTO notes VALUES (1, 'kept') RETURNING id").expect("the disk is well");
    fs::write(dir.path().join("fail-sync"), "").unwrap();
    let refused = session.query("INSERT INTO notes VALUES (2, 'lost') RETURNING id").unwrap();
    let error = refused.iter().find(|reply| reply.tag == b'E').expect("an error");
    assert_eq!(error.sqlstate().as_deref(), Some("53100"), "{:?}", error.text());
    let code = world.gateway().ended().unwrap();
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {}", world.said());
    assert!(world.said().contains("the gateway ends: the ledger stopped: a sync below"), "{}", world.said());
    fs::remove_file(dir.path().join("fail-sync")).unwrap();
    world.restart(&[]);
    world.serves();
    assert_eq!(body(&world), "kept");
}

#[test]
fn one_ledger_has_one_gateway() {
    let world = World::with("");
    let second = Command::new(program().unwrap())
        .args(["serve", "--permit-demo-issuer", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("another process writes the ledger"), "{said}");
    world.serves();
}

#[test]
fn a_gateway_that_dies_while_people_are_asked_runs_nothing() {
    let world = guarded("", "600s");
    let all = "UPDATE notes SET body = $1";
    let mut session = world.session(CLERK);
    let bound = Script::default().parse("", all).bind("p", "", &[Some("new")], Format::Text).execute("p", 0).sync();
    let asked = |session: &mut grille_test_support::Raw| {
        session.send(&bound.bytes).unwrap();
        let mut first = [(); 2].map(|()| session.reply().unwrap().expect("an answer"));
        first.sort_by_key(|reply| reply.tag);
        assert_eq!(tags(&first), "1N");
        request(&first[1])
    };
    let waiting = asked(&mut session);
    world.gateway().kill();
    assert!(!matches!(session.reply(), Ok(Some(_))), "the caller hears of the end");
    world.restart(&[]);
    let late = post(&world, &format!("/v1/reviews/{waiting}/approve"), r#"{"reason":"too late"}"#);
    assert!(late.starts_with("HTTP/1.1 404"), "{late}");
    assert_eq!(body(&world), "old");

    // The ledger knows that people were asked and that nobody answered.
    let (ledger, seal) = world.ledger();
    let reader = Reader::open(&ledger, Some(SealKey::from_file(&seal).unwrap())).unwrap();
    let events = reader.records().unwrap().filter_map(|entry| match entry.unwrap().record() {
        Some(Record::Review(event)) if event.request.to_string() == waiting => Some(event.event.to_string()),
        _ => None,
    });
    let events: Vec<String> = events.collect();
    assert_eq!(events, ["requested"]);
    let lost = reader.sessions(10).unwrap().iter().filter(|session| session.end == SessionEnd::Lost).count();
    assert_eq!(lost, 1);

    // Asked again, it waits again, and runs once somebody says yes.
    let mut session = world.session(CLERK);
    let again = asked(&mut session);
    assert_ne!(again, waiting);
    let yes = post(&world, &format!("/v1/reviews/{again}/approve"), r#"{"reason":"looked at it"}"#);
    assert!(yes.starts_with("HTTP/1.1 200"), "{yes}");
    assert_eq!(tags(&session.until_ready().unwrap()), "2CZ");
    assert_eq!(body(&world), "new");
}
