//! Messages that are not held whole: they stream where nobody looks into them, else they are refused, and either way the
//! session goes on.

use std::time::Duration;

use grille_pg_codec::Format;
use grille_test_support::{OWNER, READER, Raw, Reply, World};

use crate::masked::{MAKER, hands_out, masked};
use crate::records::recorded;
use crate::script::{Script, essence, tags};

/// Larger than what Grille holds to judge it.
const TOO_LARGE: usize = 33 << 20;

fn play(session: &mut Raw, script: &Script) -> Vec<Reply> {
    session.be_patient_for(Duration::from_secs(120)).unwrap();
    script.play(session).unwrap()
}

fn bound(sql: &str, value: &str) -> Script {
    Script::default().parse("", sql).bind("", "", &[Some(value)], Format::Text).execute("", 0).sync()
}

#[test]
fn parameters_that_no_policy_reads_stream() {
    let world = World::with("");
    let value = "x".repeat(TOO_LARGE);
    let script = bound("SELECT length($1), md5($1)", &value)
        .run("SELECT 1", &[])
        .parse("s", "SELECT octet_length($1::text)")
        .bind("p", "s", &[Some(&value)], Format::Binary)
        .execute("p", 0)
        .bind("q", "no such statement", &[Some(&value)], Format::Text)
        .sync()
        .query("SELECT 2");
    let direct = play(&mut world.direct(), &script);
    assert_eq!(tags(&direct), "12DCZ12TDC12DCEZTDCZ");
    let replies = play(&mut world.session(OWNER), &script);
    assert_eq!(essence(&replies), essence(&direct));
    // Each of them has its decision and its outcome.
    recorded(&world);
}

#[test]
fn what_is_too_large_to_be_judged_is_refused_and_the_session_goes_on() {
    let world = masked("maker");
    let value = "x".repeat(TOO_LARGE);
    let text = format!("SELECT '{value}'");
    let scripts = [
        ("Q", Script::default().query(&text), "EZ"),
        ("P", Script::default().parse("", &text).bind("", "", &[], Format::Text).sync(), "EZ"),
        (
            "B",
            Script::default()
                .run("SELECT 1", &[])
                .parse("", "SELECT $1")
                .bind("", "", &[Some(&value)], Format::Text)
                .sync(),
            "12TDC1EZ",
        ),
    ];
    for (caller, is_bound) in [(MAKER, true), (OWNER, false)] {
        let mut session = world.session(caller);
        for (what, script, answered) in &scripts {
            if *what == "B" && !is_bound {
                continue;
            }
            let replies = play(&mut session, script);
            assert_eq!(tags(&replies), *answered, "{what}");
            assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("54000"), "{what}");
            assert_eq!(session.value("SELECT 'next'").unwrap(), "next", "{what}");
        }
    }
    let mut session = world.session(MAKER);
    let replies = play(&mut session, &Script::default().query("BEGIN").query(&text).query("COMMIT"));
    assert_eq!(replies.last().unwrap().body, b"I"[..]);
    assert_eq!(replies.iter().rfind(|reply| reply.tag == b'C').unwrap().body, b"ROLLBACK\0"[..]);
    recorded(&world);
}

#[test]
fn a_row_that_is_too_large_to_be_treated_fails_its_query_alone() {
    let world = masked("maker");
    let mut session = world.session(MAKER);
    let sql = "SELECT name, repeat('x', 68 << 20) FROM numbers WHERE id = 7";
    for script in [Script::default().query(sql), Script::default().run(sql, &[]).sync()] {
        let replies = play(&mut session, &script);
        assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("54000"), "{}", tags(&replies));
        assert!(tags(&replies).ends_with("EZ") && !hands_out(&replies), "{}", tags(&replies));
        assert_eq!(session.value("SELECT 'next'").unwrap(), "next");
    }
    recorded(&world);
}

#[test]
fn a_long_notice_and_a_large_row_pass_where_nothing_is_masked() {
    let world = World::with("");
    let script = Script::default()
        .query("DO $$ BEGIN RAISE NOTICE '%', repeat('x', 65 << 20); END $$")
        .query("DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 20 << 20); END $$")
        .query("SELECT repeat('y', 70 << 20)")
        .query("COPY (SELECT repeat('z', 70 << 20)) TO STDOUT");
    let direct = play(&mut world.direct(), &script);
    for (caller, is_whole) in [(OWNER, true), (READER, false)] {
        let replies = play(&mut world.session(caller), &script);
        if is_whole {
            assert!(essence(&replies) == essence(&direct), "{}", tags(&replies));
        }
        assert!(tags(&replies).ends_with("TDCZHdcCZ"), "{}", tags(&replies));
    }
}
