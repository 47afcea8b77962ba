//! A policy that misbehaves, as callers meet it: the operation is refused with a reason, the session goes on, and nobody
//! else notices.
#![allow(clippy::print_stdout, reason = "the table is what people want of it")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use grille_pg_codec::Format;
use grille_test_support::{CLERK, OWNER, READER, Raw, World};
use tokio::time::Instant;

use crate::script::{Script, tags};

/// What the guest does, and what the caller reads.
const FAILURES: [(&str, &str); 11] = [
    ("trap", "it trapped"),
    ("spin", "it exceeded its time limit"),
    ("eat", "it exceeded its memory limit"),
    ("grow", "it exceeded its memory limit"),
    ("recurse", "it trapped"),
    ("ask-forever", "it exceeded its time limit"),
    ("no-rule", "it gave an answer that makes no sense"),
    ("long", "it gave an answer that makes no sense"),
    ("bad-utf8", "it gave an answer that makes no sense"),
    ("many", "it gave an answer that makes no sense"),
    ("two-gigabytes", "it gave an answer that makes no sense"),
];

fn probed(more: &str) -> World {
    probed_with("judge = \"by-literal\"", more)
}

pub(crate) fn probed_with(settings: &str, more: &str) -> World {
    let probe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/guests/probe.wasm");
    assert!(probe.is_file(), "{} is missing: run `cargo xtask components` first", probe.display());
    World::with(&format!(
        r#"[policies.probe]
plugin = {probe:?}
targets = ["work"]
roles = ["*", "!owner"]
allow_unsigned = true
settings = {{ {settings} }}
{more}"#
    ))
}

/// Asks, and says how it was refused and how long that took.
fn refused(session: &mut Raw, does: &str) -> (String, String, Duration) {
    let began = Instant::now();
    let replies = session.query(&format!("SELECT '{does}'")).expect("the session goes on");
    let took = began.elapsed();
    let error = replies.iter().find(|reply| reply.sqlstate().is_some());
    let error = error.unwrap_or_else(|| panic!("{does} was not refused: {replies:?}"));
    (error.sqlstate().unwrap_or_default(), error.text().unwrap_or_default(), took)
}

#[test]
fn every_failure_of_a_policy_refuses_one_operation_and_nothing_else() {
    let world = probed("");
    let (mut session, mut beside) = (world.session(READER), world.session(READER));
    println!("guest          caller saw                                        refused in   next answer in");
    for (does, cause) in FAILURES {
        let (code, text, took) = refused(&mut session, does);
        assert_eq!(code, "42501", "{does}: {text}");
        assert!(text.contains("policy \"probe\" failed") && text.contains(cause), "{does}: {text}");
        let began = Instant::now();
        assert_eq!(session.value("SELECT 40 + 2").expect("the next one works"), "42", "after {does}");
        let next = began.elapsed();
        println!("{does:<15}{cause:<50}{:>7.1} ms {:>12.1} ms", millis(took), millis(next));
        assert_eq!(beside.value("SELECT 40 + 2").expect("others are undisturbed"), "42", "beside {does}");
    }
    // Inside a transaction it is a failing statement like any other.
    session.query("BEGIN").expect("begins");
    refused(&mut session, "trap");
    let replies = session.query("SELECT 1").expect("the session goes on");
    assert_eq!(replies.iter().find_map(grille_test_support::Reply::sqlstate).as_deref(), Some("25P02"));
    session.query("ROLLBACK").expect("rolls back");
    assert_eq!(session.value("SELECT 40 + 2").expect("the next one works"), "42");
    assert_eq!(world.session(OWNER).value("SELECT 'trap'").expect("whom no policy binds, none fails"), "trap");
    assert!(!world.said().contains("panicked"), "{}", world.said());
}

#[test]
fn a_result_that_is_cut_leaves_what_an_error_leaves() {
    let world = probed_with("classify = \"redact\", plan = \"block\"", "");
    let mut session = world.session(CLERK);
    let script = Script::default;
    world.cluster.sql("work", "INSERT INTO notes VALUES (1, 'a')").expect("inserts");
    let status = |replies: &[grille_test_support::Reply]| replies.last().map(|last| last.body[0]);
    for _ in 0..20 {
        // Whether the target hears of it in time or the result was complete before.
        for read in [script().query("SELECT body FROM notes"), script().run("SELECT body FROM notes", &[]).sync()] {
            session.query("BEGIN").expect("begins");
            let replies = read.play(&mut session).expect("the session goes on");
            assert_eq!(replies.iter().find_map(|reply| reply.sqlstate()).as_deref(), Some("42501"), "{replies:?}");
            assert_eq!(status(&replies), Some(b'E'), "{replies:?}");
            assert_eq!(tags(&session.query("ROLLBACK").expect("rolls back")), "CZ");
        }
        let written = script().run("INSERT INTO notes VALUES (2, 'b')", &[]).run("SELECT body FROM notes", &[]).sync();
        let replies = written.play(&mut session).expect("the session goes on");
        assert_eq!(status(&replies), Some(b'I'));
        assert_eq!(world.cluster.sql("work", "SELECT count(*) FROM notes").expect("counts"), "1", "it is rolled back");
    }
}

#[test]
fn what_was_allowed_when_it_was_prepared_is_judged_again() {
    let world = probed("");
    let mut session = world.session(READER);
    let script = Script::default;
    let bound = script().query("BEGIN").parse("s", "SELECT 1").bind("p", "s", &[], Format::Text).execute("p", 1).sync();
    assert_eq!(tags(&bound.play(&mut session).expect("is allowed")), "CZ12DsZ");
    world.reconfigure("judge = \"by-literal\"", "judge = \"block\"").expect("reloads");
    let code = |replies: &[grille_test_support::Reply]| replies.iter().find_map(|reply| reply.sqlstate());
    let executed = script().execute("p", 1).sync().play(&mut session).expect("the session goes on");
    assert_eq!((tags(&executed).as_str(), code(&executed).as_deref()), ("EZ", Some("42501")));
    assert_eq!(executed[1].body[0], b'E', "the transaction has failed");
    let again = script().bind("", "s", &[], Format::Text).execute("", 0).sync().play(&mut session).expect("goes on");
    assert_eq!((tags(&again).as_str(), code(&again).as_deref()), ("EZ", Some("42501")));
    world.reconfigure("judge = \"block\"", "judge = \"by-literal\"").expect("reloads");
    session.query("ROLLBACK").expect("rolls back");
    let again = script().bind("", "s", &[], Format::Text).execute("", 0).sync().play(&mut session).expect("goes on");
    assert_eq!(tags(&again), "2DCZ", "the statement is still prepared");
}

#[test]
fn who_provokes_failures_again_and_again_is_refused_at_once_and_alone() {
    let world = probed("");
    let (mut session, mut beside) = (world.session(READER), world.session(READER));
    for _ in 0..5 {
        assert!(refused(&mut session, "trap").1.contains("it trapped"));
    }
    let (code, text, _) = refused(&mut session, "fine");
    assert_eq!(code, "42501");
    assert!(text.contains("it failed repeatedly and is paused"), "{text}");
    assert_eq!(beside.value("SELECT 'fine'").expect("others are served"), "fine");
    let deadline = Instant::now() + Duration::from_secs(30);
    while session.value("SELECT 'fine'").is_err() {
        assert!(Instant::now() < deadline, "it is never tried again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_lookup_to_a_dead_service_ends_in_its_own_time() {
    // It takes connections and never answers.
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = dead.local_addr().expect("its address");
    let world = probed(&format!(
        "grants = [\"lookup:directory\"]\n[lookups.directory]\nurl = \"http://{address}/{{key}}\"\ntimeout = \"200ms\"\n"
    ));
    let (mut session, mut beside) = (world.session(READER), world.session(READER));
    let (code, text, took) = refused(&mut session, "look-up");
    assert_eq!((code.as_str(), text.contains("LookupError::Timeout")), ("42501", true), "{text}");
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert_eq!(beside.value("SELECT 'fine'").expect("others are served"), "fine");
    drop(dead);
    let (_, text, _) = refused(&mut session, "look-up");
    assert!(text.contains("LookupError::Unavailable"), "{text}");
    assert_eq!(session.value("SELECT 'fine'").expect("the next one works"), "fine");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
