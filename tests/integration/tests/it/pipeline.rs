//! The gateway in the middle of a conversation: what it allows is byte for byte what the server says, what it refuses
//! looks like a failure of the server's own.

use bytes::BytesMut;
use grille_pg_codec::{Format, tag::frontend};
use grille_test_support::{CLERK, OWNER, READER, World};

use crate::script::{Script, essence, tags};

fn script() -> Script {
    Script::default()
}

/// Conversations of every shape, each by a name.
pub(crate) fn cases() -> Vec<(&'static str, Script)> {
    let wide = (0..1600).map(|n| format!("{n} AS c{n}")).collect::<Vec<_>>().join(", ");
    vec![
        ("one row", script().query("SELECT id, name, ratio, big, payload FROM numbers WHERE id = 3")),
        ("several statements", script().query("SELECT 1; SELECT 2, 3; SELECT 'x' WHERE false")),
        ("nothing", script().query("").query(" ; ;")),
        ("no columns", script().query("SELECT FROM numbers WHERE id <= 2")),
        ("one name twice", script().query("SELECT id AS a, name AS a FROM numbers WHERE id = 1")),
        ("system columns", script().query("SELECT ctid, tableoid::regclass FROM numbers WHERE id = 1")),
        ("1600 columns", script().query(&format!("SELECT {wide}"))),
        ("a megabyte", script().query("SELECT repeat('x', 1 << 20)")),
        ("many rows", script().query("SELECT a.id, b.name FROM numbers a, numbers b WHERE b.id <= 40")),
        ("an error in the middle", script().query("SELECT 1; SELECT 1/0; SELECT 2").query("SELECT 3")),
        ("a syntax error", script().query("SELEC 1").query("SELECT 1")),
        ("a transaction", script().query("BEGIN").query("SELECT 1/0").query("SELECT 1").query("ROLLBACK")),
        ("a notice", script().query("DO $$ BEGIN RAISE NOTICE 'look: %', 7; END $$")),
        (
            "a cursor",
            script().query("BEGIN; DECLARE c CURSOR FOR SELECT id FROM numbers; FETCH 2 FROM c").query("COMMIT"),
        ),
        ("one extended", script().run("SELECT $1::int + 1", &[Some("41")]).sync()),
        ("binary", {
            let sql = "SELECT id, name, ratio, big, payload FROM numbers WHERE id < 4";
            script().parse("", sql).bind("", "", &[], Format::Binary).describe_portal("").execute("", 0).sync()
        }),
        ("a pipeline of three", script().run("SELECT 1", &[]).run("SELECT $1", &[None]).run("SELECT 3", &[]).sync()),
        ("an error in a pipeline", script().run("SELECT 1", &[]).run("SELECT 1/0", &[]).run("SELECT 3", &[]).sync()),
        ("pipelines behind an error", {
            script().run("SELECT 1/0", &[]).sync().run("SELECT 2", &[]).sync().query("SELECT 3")
        }),
        ("a parse error in a pipeline", script().run("SELECT nothing", &[]).run("SELECT 2", &[]).sync()),
        ("names", {
            let bound = script().parse("s", "SELECT id FROM numbers WHERE id > $1 ORDER BY id").describe_statement("s");
            let bound = bound.bind("a", "s", &[Some("1")], Format::Text).bind("b", "s", &[Some("500")], Format::Binary);
            let run = bound.execute("a", 2).execute("b", 1).execute("a", 2).close_portal("a").execute("b", 1).sync();
            run.close_statement("s").sync().bind("", "s", &[Some("1")], Format::Text).sync()
        }),
        (
            "Describe without Execute",
            script().parse("d", "INSERT INTO notes VALUES ($1, $2)").describe_statement("d").sync(),
        ),
        ("rows in a pipeline are given back", {
            script().run("INSERT INTO notes VALUES (1, 'x') RETURNING id", &[]).run("SELECT 1/0", &[]).sync()
        }),
        ("COPY out", script().query("COPY (SELECT id, name FROM numbers WHERE id < 4) TO STDOUT")),
        ("COPY out, csv", script().query("COPY (SELECT id, name FROM numbers WHERE id < 4) TO STDOUT (FORMAT csv)")),
        ("COPY out, binary", script().query("COPY (SELECT id FROM numbers WHERE id < 4) TO STDOUT (FORMAT binary)")),
        ("COPY in", {
            let copy = script().query("CREATE TEMP TABLE c (a int, b text)").query("COPY c FROM STDIN");
            copy.copy_data("1\tx\n2\t").copy_data("y\n").copy_done().query("SELECT a + 0, b || '!' FROM c")
        }),
        ("COPY in by the extended protocol, all of it sent at once", {
            let table = script().query("CREATE TEMP TABLE g (a int)");
            let begin = table.parse("", "COPY g FROM STDIN").bind("", "", &[], Format::Text).execute("", 0);
            begin.copy_data("5\n").copy_done().sync().query("SELECT a + 0 FROM g")
        }),
        ("COPY in that the client gives up", {
            let copy = script().query("CREATE TEMP TABLE d (a int)").query("COPY d FROM STDIN");
            copy.copy_data("1\n").copy_fail("changed my mind").query("SELECT count(*) FROM d")
        }),
        ("COPY in that the server gives up", {
            let copy = script().query("CREATE TEMP TABLE e (a int)").query("COPY e FROM STDIN");
            copy.copy_data("one\n").copy_data("2\n").copy_done().query("SELECT count(*) FROM e")
        }),
    ]
}

#[test]
fn what_is_allowed_is_passed_as_the_server_said_it() {
    let world = World::shared();
    let mut direct = world.direct();
    let mut session = world.session(OWNER);
    for (name, script) in cases() {
        let expected = script.play(&mut direct).unwrap_or_else(|error| panic!("{name}, direct: {error:#}"));
        let got = script.play(&mut session).unwrap_or_else(|error| panic!("{name}: {error:#}\n{}", world.said()));
        assert_eq!(tags(&got), tags(&expected), "{name}: {:?}", got.iter().find_map(|reply| reply.text()));
        assert!(essence(&got) == essence(&expected), "{name}: the bytes differ");
    }
}

#[test]
fn copy_in_by_the_extended_protocol() {
    let world = World::shared();
    let table = script().query("CREATE TEMP TABLE f (a int)");
    let begin = script().parse("", "COPY f FROM STDIN").bind("", "", &[], Format::Text).execute("", 0);
    let data = script().copy_data("5\n").copy_done().sync().query("SELECT a + 0 FROM f");
    // As libpq does it: the Sync that comes before the data is ignored by the server.
    for begin in [begin.clone().flush(), begin.sync()] {
        let mut heard = Vec::new();
        for mut session in [world.direct(), world.session(OWNER)] {
            table.play(&mut session).unwrap();
            session.send(&begin.bytes).unwrap();
            let mut replies: Vec<_> = (0..3).map(|_| session.reply().unwrap().expect("an answer")).collect();
            replies.append(&mut data.play(&mut session).unwrap());
            heard.push(essence(&replies));
        }
        assert_eq!(heard[1], heard[0]);
    }
}

/// What Grille itself asks the server in between must not come before a BEGIN that sets the isolation level, nor between
/// the end of a transaction and an empty query, which PostgreSQL 18 answers otherwise then.
#[test]
fn transactions_end_and_begin_in_one_pipeline() {
    let world = World::shared();
    let again = script().run("ROLLBACK", &[]).run("BEGIN ISOLATION LEVEL SERIALIZABLE", &[]);
    let again = again.run("SHOW transaction_isolation", &[]).sync().query("COMMIT");
    let empty = script().run("ROLLBACK", &[]).query("").query("SELECT 1");
    for script in [again, empty] {
        let expected = script.play(&mut world.direct()).unwrap();
        for caller in [OWNER, READER, CLERK] {
            let got = script.play(&mut world.session(caller)).unwrap();
            assert_eq!(tags(&got), tags(&expected), "{caller:?}: {:?}", got.iter().find_map(|reply| reply.text()));
            assert!(essence(&got) == essence(&expected), "{caller:?}: the bytes differ");
        }
    }
}

/// The server says once that a setting is another one, perhaps while a question of Grille's own is under way.
#[test]
fn a_setting_that_falls_back_is_reported() {
    let world = World::shared();
    let set = script().query("BEGIN").query("SET application_name = 'mine'").describe_statement("nobody");
    let script = set.query("SELECT count(*) FROM numbers").sync();
    for caller in [OWNER, READER, CLERK] {
        for _ in 0..20 {
            let mut session = world.session(caller);
            session.send(&script.bytes).unwrap();
            let replies = [(); 3].map(|()| session.until_ready().unwrap()).concat();
            assert_eq!(tags(&replies), "CZCSZESZ", "{caller:?}");
        }
    }
}

#[test]
fn an_unnamed_statement_lives_until_the_next_query() {
    let world = World::shared();
    let script = script().parse("", "SELECT 1").sync().query("SELECT 2").bind("", "", &[], Format::Text).sync();
    for mut session in [world.direct(), world.session(OWNER)] {
        let replies = script.play(&mut session).unwrap();
        assert_eq!(tags(&replies), "1ZTDCZEZ");
        assert_eq!(replies[6].sqlstate().as_deref(), Some("26000"));
    }
}

#[test]
fn answers_come_with_flush_before_sync() {
    let world = World::shared();
    let mut session = world.session(OWNER);
    session.send(&script().run("SELECT 7", &[]).flush().bytes).unwrap();
    let answered: Vec<_> = (0..5).map(|_| session.reply().unwrap().expect("an answer")).collect();
    assert_eq!(tags(&answered), "12TDC");
    session.send(&script().run("SELECT 1 / (id - 1) FROM numbers WHERE id = 1", &[]).flush().bytes).unwrap();
    let answered: Vec<_> = (0..4).map(|_| session.reply().unwrap().expect("an answer")).collect();
    assert_eq!(tags(&answered), "12TE");
    session.send(&script().sync().bytes).unwrap();
    assert_eq!(tags(&session.until_ready().unwrap()), "Z");
}

#[test]
fn a_refusal_is_a_failure_of_the_servers_own() {
    let world = World::shared();
    let mut session = world.session(READER);
    let refused = "INSERT INTO notes VALUES (100, 'never')";
    let cases: Vec<(&str, Script, &str)> = vec![
        ("simple", script().query(refused).query("SELECT 1"), "EZTDCZ"),
        ("simple, behind another", script().query(&format!("SELECT 1; {refused}")).query("SELECT 2"), "EZTDCZ"),
        (
            "simple, in a transaction",
            script().query("BEGIN").query(refused).query("SELECT 1").query("ROLLBACK"),
            "CZEZEZCZ",
        ),
        ("extended", script().run(refused, &[]).sync().run("SELECT 1", &[]).sync(), "EZ12TDCZ"),
        (
            "in the middle of a pipeline",
            script().run("SELECT 1", &[]).run(refused, &[]).run("SELECT 3", &[]).sync(),
            "12TDCEZ",
        ),
        (
            "extended, in a transaction",
            { script().query("BEGIN").run(refused, &[]).sync().run("SELECT 1", &[]).sync().query("ROLLBACK") },
            "CZEZEZCZ",
        ),
        (
            "a named statement survives",
            {
                let named = script().parse("keep", "SELECT 5").sync().run(refused, &[]).sync();
                named.bind("", "keep", &[], Format::Text).execute("", 0).sync()
            },
            "1ZEZ2DCZ",
        ),
        ("COPY in", script().query("COPY notes FROM STDIN").query("SELECT 1"), "EZTDCZ"),
    ];
    for (name, script, expected) in cases {
        let replies = script.play(&mut session).unwrap_or_else(|error| panic!("{name}: {error:#}\n{}", world.said()));
        assert_eq!(tags(&replies), expected, "{name}: {:?}", replies.iter().find_map(|reply| reply.text()));
        let first = replies.iter().find_map(|reply| reply.sqlstate());
        assert_eq!(first.as_deref(), Some("42501"), "{name}");
    }
    assert_eq!(world.cluster.sql("work", "SELECT count(*) FROM notes WHERE id = 100").unwrap(), "0");
}

#[test]
fn what_came_before_a_refusal_in_its_pipeline_is_rolled_back() {
    let world = World::shared();
    let mut session = world.session(CLERK);
    let count = |id: u32| world.cluster.sql("work", &format!("SELECT count(*) FROM notes WHERE id = {id}")).unwrap();
    let insert = |id: u32| format!("INSERT INTO notes VALUES ({id}, 'by the clerk')");
    let refused = "SELECT name FROM numbers";

    let replies =
        script().run(&insert(201), &[]).run(refused, &[]).run(&insert(202), &[]).sync().play(&mut session).unwrap();
    assert_eq!(tags(&replies), "12nCEZ");
    assert_eq!((count(201), count(202)), ("0".into(), "0".into()));

    let replies = script().query(&format!("{}; {refused}", insert(203))).play(&mut session).unwrap();
    assert_eq!((tags(&replies), count(203)), ("EZ".into(), "0".into()));

    let replies = script().run(&insert(204), &[]).sync().play(&mut session).unwrap();
    assert_eq!((tags(&replies), count(204)), ("12nCZ".into(), "1".into()));
}

#[test]
fn a_function_call_past_every_statement_is_refused() {
    let world = World::shared();
    let mut session = world.session(OWNER);
    // OID 1598 is random(): no arguments, text result.
    let mut call = BytesMut::from(&[frontend::FUNCTION_CALL, 0, 0, 0, 14][..]);
    call.extend_from_slice(&[0, 0, 6, 0x3e, 0, 0, 0, 0, 0, 0]);
    session.send(&call).unwrap();
    let replies = session.until_ready().unwrap();
    assert_eq!(tags(&replies), "EZ");
    assert_eq!(replies[0].sqlstate().as_deref(), Some("0A000"));
    assert_eq!(session.value("SELECT 1").unwrap(), "1");
}
