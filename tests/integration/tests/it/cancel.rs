//! Cancels: only by the session's own key, only what runs, and what waits for people as well.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use bytes::BytesMut;
use grille_pg_codec::encode;
use grille_pg_codec::tag::backend as tag;
use grille_test_support::{CLERK, Caller, OWNER, READER, Raw, Reply, World};

use crate::ends::relayed;
use crate::scene::wait_until;
use crate::script::{Script, tags};
use crate::version::{LOGIN, greeted, key};

/// Asks to cancel; the answer is a close without a word, whatever the key is.
pub(crate) fn cancel(address: SocketAddr, pid: i32, key: &[u8]) {
    let mut out = BytesMut::new();
    encode::cancel_request(&mut out, pid, key).unwrap();
    let mut raw = Raw::connect(address).unwrap();
    raw.send(&out).unwrap();
    assert_eq!(raw.until_closed().unwrap(), b"");
}

/// The answers to a statement that is cancelled. A cancel that comes before it does nothing, so it is sent until it hits.
pub(crate) fn cancelled(session: &mut Raw, sql: &str, cancel: impl Fn() + Send) -> Vec<Reply> {
    let mut out = BytesMut::new();
    encode::query(&mut out, sql.as_bytes()).unwrap();
    session.send(&out).unwrap();
    std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || {
            while is_done.recv_timeout(Duration::from_millis(200)).is_err() {
                cancel();
            }
        });
        let replies = session.until_ready();
        done.send(()).unwrap();
        replies.unwrap()
    })
}

#[test]
fn a_key_of_either_length_cancels_and_nothing_else_does() {
    let world = World::shared();
    for minor in [0, 2] {
        let (mut session, greeting) = greeted(world.address, minor, LOGIN, &world.token(OWNER));
        let (pid, key) = key(&greeting);
        let mut out = BytesMut::new();
        encode::query(&mut out, b"SELECT pg_sleep(1)").unwrap();
        session.send(&out).unwrap();
        let mut wrong = key.clone();
        wrong[0] ^= 1;
        let longer = [&key[..], &[0]].concat();
        for (pid, key) in [(pid, &wrong[..]), (pid ^ 1, &key), (pid, &longer), (pid, &[0; 256])] {
            cancel(world.address, pid, key);
        }
        // The pid is the server's, the secret is not.
        cancel(world.cluster.address(), pid, &key);
        let replies = session.until_ready().unwrap();
        assert!(replies.iter().all(|reply| reply.sqlstate().is_none()), "3.{minor}: {replies:?}");

        let replies = cancelled(&mut session, "SELECT pg_sleep(600)", || cancel(world.address, pid, &key));
        assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("57014"), "3.{minor}");
        assert_eq!(session.value("SELECT 'next'").unwrap(), "next", "the next statement is not hit");
        assert_eq!(session.value("SELECT pg_backend_pid()").unwrap(), pid.to_string());
    }
}

/// What stands behind a cancelled statement is skipped up to Sync, and runs from there on.
#[test]
fn a_cancel_ends_what_runs_and_nothing_behind_its_pipeline() {
    let world = World::shared();
    let sleep = "SELECT pg_sleep(600)";
    let extended = Script::default().run(sleep, &[]).run("SELECT 1", &[]).sync().run("SELECT 2", &[]).sync();
    let simple = Script::default().query(sleep).query("SELECT 2");
    for (role, caller) in [("owner", OWNER), ("reader", READER), ("clerk", CLERK)] {
        for (script, expected) in [(&extended, "12TEZ12TDCZ"), (&simple, "TEZTDCZ")] {
            let login = [("user", role), ("database", "work")];
            let (mut session, greeting) = greeted(world.address, 2, &login, &world.token(caller));
            let (pid, key) = key(&greeting);
            session.send(&script.bytes).unwrap();
            let sleeps = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
            let mut direct = world.direct();
            wait_until("the statement runs", || direct.value(&sleeps).unwrap() == "1");
            // One that hits, and then no other on its way.
            cancel(world.address, pid, &key);
            let replies = script.answers(&mut session).unwrap();
            assert_eq!(tags(&replies), expected, "{role}");
            assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("57014"), "{role}");
        }
    }
}

/// A cancel that is still under way when its statement has ended by itself is waited for.
#[test]
fn a_late_cancel_does_not_hit_what_comes_next() {
    let (world, relay) = relayed();
    relay.delays_cancels(Duration::from_secs(3));
    let login = [("user", "far"), ("database", "relayed")];
    let (mut session, greeting) = greeted(world.address, 2, &login, &world.token(Caller::of("dba", "far")));
    let (pid, key) = key(&greeting);
    let next = "SELECT pg_sleep(4), 'next'";
    for script in [Script::default().query(next), Script::default().run(next, &[]).sync()] {
        session.send(&Script::default().query("SELECT pg_sleep(2)").bytes).unwrap();
        let sleeps = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
        let mut direct = world.direct();
        wait_until("the statement runs", || direct.value(&sleeps).unwrap() == "1");
        cancel(world.address, pid, &key);
        let replies = session.until_ready().unwrap();
        assert_eq!(tags(&replies), "TDCZ", "it has ended before its cancel came");
        let replies = script.play(&mut session).unwrap();
        assert_eq!(replies.iter().find_map(Reply::sqlstate), None, "{replies:?}");
    }
}

#[test]
fn a_cancel_ends_a_statement_that_waits_for_people() {
    let guard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/sql-guard.wasm");
    assert!(guard.is_file(), "{} is missing: run `cargo xtask components` first", guard.display());
    let world = World::with(&format!(
        "[policies.guard]\nplugin = {guard:?}\ntargets = [\"work\"]\nallow_unsigned = true\n\
         settings = {{ profile = \"standard\" }}\n[review]\nreviewers = [\"dbas\"]\nhold = \"600s\"\n"
    ));
    let login = [("user", "clerk"), ("database", "work")];
    let (mut session, greeting) = greeted(world.address, 2, &login, &world.token(CLERK));
    let (pid, key) = key(&greeting);
    let replies = cancelled(&mut session, "UPDATE notes SET body = 'all of them'", || cancel(world.address, pid, &key));
    assert!(replies.iter().any(|reply| reply.tag == tag::NOTICE_RESPONSE), "it was held: {replies:?}");
    let error = replies.iter().find(|reply| reply.sqlstate().is_some()).expect("an error");
    assert_eq!(error.sqlstate().as_deref(), Some("57014"));
    assert!(error.text().is_some_and(|text| text.contains("cancelled")), "{error:?}");
    assert_eq!(session.value("SELECT 'next'").unwrap(), "next");
}
