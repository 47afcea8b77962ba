//! Grille's own questions on a caller's connection: they run under the caller's limits and cancels, so they may fail as
//! any statement may.

use std::time::Duration;

use grille_pg_codec::Format;
use grille_test_support::{Raw, Reply, World};

use crate::cancel::{cancel, cancelled};
use crate::masked::{MAKER, hands_out, masked};
use crate::script::{Script, tags};
use crate::version::{greeted, key};

/// Keeps a table away that Grille reads and the server itself does not need.
fn locked(world: &World) -> Raw {
    let name = world.direct().value("SELECT current_user").unwrap();
    world.cluster.sql("work", &format!("ALTER ROLE {name} SUPERUSER")).unwrap();
    let mut session = world.direct();
    let replies = session.query("BEGIN; LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE").unwrap();
    assert_eq!(tags(&replies), "CCZ", "{:?}", replies.iter().filter_map(Reply::text).collect::<Vec<_>>());
    session
}

/// A transaction whose own definitions Grille has to ask for.
fn begins(session: &mut Raw) {
    session.query("BEGIN").unwrap();
    assert_eq!(tags(&session.query("CREATE TEMP TABLE own (a int)").unwrap()), "CZ");
}

#[test]
fn one_that_runs_into_a_limit_of_the_caller_fails_the_statement_alone() {
    let world = masked("maker");
    let select = "SELECT name FROM numbers WHERE id = 7";
    let scripts = [
        ("simple", Script::default().query(select)),
        ("extended", Script::default().run(select, &[]).sync()),
        ("pipelined", Script::default().run("SELECT 1", &[]).run(select, &[]).run("SELECT 2", &[]).sync()),
        ("prepared", Script::default().parse("s", select).bind("", "s", &[], Format::Text).execute("", 0).sync()),
    ];
    for (limit, code) in [("statement_timeout", "57014"), ("lock_timeout", "55P03")] {
        for (what, script) in &scripts {
            let mut session = world.session(MAKER);
            session.query(&format!("SET {limit} = '300ms'")).unwrap();
            begins(&mut session);
            let lock = locked(&world);
            let replies = script.play(&mut session).unwrap();
            assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some(code), "{limit}, {what}: {replies:?}");
            assert!(tags(&replies).ends_with("EZ") && !hands_out(&replies), "{limit}, {what}: {}", tags(&replies));
            assert_eq!(replies.last().unwrap().body, b"E"[..], "the transaction has failed as by any other statement");
            drop(lock);
            assert_eq!(tags(&session.query("ROLLBACK").unwrap()), "CZ", "{limit}, {what}");
            assert_eq!(session.value("SELECT count(*) FROM numbers").unwrap(), "1000", "{limit}, {what}");
        }
    }
}

#[test]
fn one_that_is_cancelled_fails_the_statement_alone() {
    let world = masked("maker");
    let login = [("user", "maker"), ("database", "work")];
    let (mut session, greeting) = greeted(world.address, 2, &login, &world.token(MAKER));
    let (pid, key) = key(&greeting);
    begins(&mut session);
    let lock = locked(&world);
    let replies = cancelled(&mut session, "SELECT id FROM numbers", || cancel(world.address, pid, &key));
    assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("57014"), "{replies:?}");
    drop(lock);
    assert_eq!(tags(&session.query("ROLLBACK").unwrap()), "CZ");
    assert_eq!(session.value("SELECT 'next'").unwrap(), "next");
}

#[test]
fn one_waits_as_long_as_the_statements_before_it_take() {
    let world = masked("maker");
    let mut session = world.session(MAKER);
    session.be_patient_for(Duration::from_secs(120)).unwrap();
    // The plan of a statement that writes and returns protected values is made before it runs.
    let script = Script::default()
        .run("SELECT pg_sleep(32)", &[])
        .run("UPDATE numbers SET ratio = 0 WHERE id = 7 RETURNING id, name", &[])
        .sync();
    let replies = script.play(&mut session).unwrap();
    assert_eq!(tags(&replies), "12TDC12TDCZ", "{replies:?}");
    assert!(!hands_out(&replies));
}
