//! What a role gives at most: rows, bytes, time without a word. And what becomes of sessions whose role is changed.

use std::time::Duration;

use grille_pg_codec::Format;
use grille_test_support::{CLERK, OWNER, READER, Raw, World};

use crate::script::{Script, tags};

/// Rows that arrived, the SQLSTATE and text of the error, and the transaction's state at the end.
fn outcome(session: &mut Raw, script: &Script) -> (usize, String, String, u8) {
    let replies = script.play(session).expect("answers");
    let rows = replies.iter().filter(|reply| reply.tag == b'D').count();
    let error = replies.iter().find(|reply| reply.tag == b'E');
    let code = error.and_then(|reply| reply.sqlstate()).unwrap_or_default();
    let text = error.and_then(|reply| reply.text()).unwrap_or_default();
    let state = replies.last().and_then(|reply| reply.body.first().copied()).unwrap_or_default();
    (rows, code, text, state)
}

fn query(sql: &str) -> Script {
    Script::default().query(sql)
}

#[test]
fn a_result_that_is_too_long_is_cut_and_the_session_goes_on() {
    let world = World::with("[roles.reader.limits]\noperation = { rows = 100, bytes = \"64KiB\" }\n");
    let mut session = world.session(READER);
    let all = "SELECT * FROM numbers ORDER BY id";
    let cases = [
        ("simple", query(all), 100, "100 rows per operation"),
        (
            "bytes",
            query("SELECT repeat('x', 20000) FROM generate_series(1, 50)"),
            3,
            "65536 bytes of rows per operation",
        ),
        ("extended", Script::default().run(all, &[]).sync(), 100, "100 rows per operation"),
        (
            "binary",
            {
                let bound = Script::default().parse("", all).bind("", "", &[], Format::Binary);
                bound.execute("", 0).sync()
            },
            100,
            "100 rows per operation",
        ),
        (
            "a portal in parts counts each part",
            {
                let bound = Script::default().parse("", all).bind("p", "", &[], Format::Text);
                bound.execute("p", 60).execute("p", 60).execute("p", 101).sync()
            },
            220,
            "100 rows per operation",
        ),
        ("the second of two statements", query("SELECT 1; SELECT id FROM numbers"), 100, "100 rows per operation"),
    ];
    for (what, script, rows, text) in cases {
        let (arrived, code, said, state) = outcome(&mut session, &script);
        assert_eq!((arrived, &*code, state), (rows, "54000", b'I'), "{what}: {said}");
        assert!(said.contains(text), "{what}: {said}");
        assert_eq!(session.value("SELECT count(*) FROM numbers").expect("an answer"), "1000", "{what}");
    }
    let (rows, code, said, _) = outcome(&mut session, &query("SELECT id FROM numbers ORDER BY id LIMIT 100"));
    assert_eq!((rows, &*code), (100, ""), "exactly as many as the role gives: {said}");
    assert_eq!(outcome(&mut world.session(OWNER), &query(all)).0, 1000, "another role has no limit");
}

#[test]
fn copy_is_limited_like_any_result() {
    let world = World::with("[roles.reader.limits]\noperation = { rows = 100 }\n");
    let mut session = world.session(READER);
    let replies = query("COPY numbers TO STDOUT").play(&mut session).expect("answers");
    let lines = replies.iter().filter(|reply| reply.tag == b'd').count();
    let code = replies.iter().find_map(|reply| reply.sqlstate()).unwrap_or_default();
    assert_eq!((lines, &*code), (100, "54000"), "{}", tags(&replies));
    assert_eq!(session.value("SELECT 1").expect("an answer"), "1");
}

#[test]
fn a_session_and_an_hour_have_limits_of_their_own() {
    let limits = "session = { rows = 150 }\nhour = { rows = 250 }";
    let world = World::with(&format!("[roles.reader.limits]\n{limits}\n"));
    let hundred = query("SELECT id FROM numbers ORDER BY id LIMIT 100");
    let mut first = world.session(READER);
    assert_eq!(outcome(&mut first, &hundred).0, 100);
    let (rows, code, said, _) = outcome(&mut first, &hundred);
    assert_eq!((rows, &*code), (50, "54000"), "{said}");
    assert!(said.contains("150 rows per session"), "{said}");

    let mut second = world.session(READER);
    assert_eq!(outcome(&mut second, &hundred).0, 100);
    let (rows, _, said, _) = outcome(&mut second, &hundred);
    assert_eq!(rows, 0, "{said}");
    assert!(said.contains("250 rows per hour"), "{said}");
    assert_eq!(outcome(&mut second, &query("BEGIN; COMMIT")).1, "", "what returns no rows goes on");
    assert_eq!(outcome(&mut world.session(CLERK), &query("SELECT body FROM notes")).1, "", "others are not counted");
}

#[test]
fn a_write_that_returns_rows_is_refused_where_it_could_not_be_cut() {
    let world = World::with("[roles.clerk.limits]\noperation = { rows = 2 }\n");
    let mut session = world.session(CLERK);
    let insert = "INSERT INTO notes SELECT n, 'x' FROM generate_series(1, 5) n";
    let (_, code, said, state) = outcome(&mut session, &query(&format!("{insert} RETURNING id")));
    assert_eq!((&*code, state), ("42501", b'I'), "{said}");
    assert!(said.contains("cannot be cut"), "{said}");
    let cut = Script::default().run(&format!("{insert} RETURNING id"), &[]).sync();
    let (rows, code, said, _) = outcome(&mut session, &cut);
    assert_eq!((rows, &*code), (2, "54000"), "{said}");
    assert_eq!(session.value("SELECT count(*) FROM notes").expect("an answer"), "0", "what was cut is rolled back");
    assert_eq!(outcome(&mut session, &query(insert)).1, "");
    assert_eq!(session.value("SELECT count(*) FROM notes").expect("an answer"), "5");
}

#[test]
fn who_asks_for_nothing_is_sent_away_and_who_works_is_not() {
    let world = World::with("[roles.reader.limits]\nidle = \"1s\"\n");
    let mut busy = world.session(READER);
    assert_eq!(busy.value("SELECT pg_sleep(2), 7").map(|_| ()).ok(), Some(()), "a statement may take longer");
    assert_eq!(busy.value("SELECT 1").expect("an answer"), "1");
    let mut idle = world.session(READER);
    let last = idle.reply().expect("a last word").expect("before the end");
    assert_eq!(last.sqlstate().as_deref(), Some("57P01"), "{:?}", last.text());
    assert!(last.text().unwrap_or_default().contains("nothing was asked for"));
    assert!(idle.reply().expect("an end").is_none());
}

#[test]
fn a_role_that_is_taken_away_ends_its_sessions() {
    let world = World::with("");
    let (mut reader, mut clerk, mut owner) = (world.session(READER), world.session(CLERK), world.session(OWNER));
    assert_eq!(owner.value("SELECT 1").expect("an answer"), "1");
    clerk.query("BEGIN").expect("an answer");
    world.edit(|text| {
        let gone = text.replace("groups = [\"data-analysts\"]", "groups = [\"nobody\"]");
        gone.replace("relations = [\"public.notes\"]", "relations = [\"public.notes\", \"public.numbers\"]")
    });
    let last = reader.reply().expect("a last word").expect("before the end");
    assert_eq!(last.sqlstate().as_deref(), Some("57P01"));
    assert!(last.text().unwrap_or_default().contains("role \"reader\" no longer gives access"), "{:?}", last.text());

    // A transaction may end first.
    std::thread::sleep(Duration::from_millis(500));
    let replies = clerk.query("INSERT INTO notes VALUES (77, 'kept')").expect("an answer");
    assert!(replies.iter().all(|reply| reply.tag != b'E'), "{}", tags(&replies));
    clerk.query("COMMIT").expect("an answer");
    let last = clerk.reply().expect("a last word").expect("before the end");
    assert!(last.text().unwrap_or_default().contains("role \"clerk\" was changed"), "{:?}", last.text());
    assert_eq!(owner.value("SELECT count(*) FROM notes").expect("an answer"), "1", "other roles notice nothing");
}
