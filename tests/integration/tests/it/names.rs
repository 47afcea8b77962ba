//! Names that one message gives and another uses, by SQL or by the extended protocol: as on the server itself. Each case
//! was once answered in another way.

use grille_pg_codec::Format;
use grille_test_support::{OWNER, READER, Reply, World};

use crate::masked::{MAKER, hands_out, masked};

use crate::script::{Script, essence, tags};

fn script() -> Script {
    Script::default()
}

#[test]
fn names_mean_what_they_mean_on_the_server() {
    let world = World::shared();
    let select = "SELECT id FROM public.numbers WHERE id = $1";
    let (text, none) = (Format::Text, &[][..]);
    let cases = [
        ("prepared by SQL, run by Bind", {
            let prepared = script().query(&format!("PREPARE p AS {select}")).describe_statement("p");
            prepared.bind("", "p", &[Some("3")], text).describe_portal("").execute("", 0).sync()
        }),
        ("prepared by SQL and run by Bind in one pipeline", {
            script()
                .run(&format!("PREPARE q AS {select}"), none)
                .bind("", "q", &[Some("3")], text)
                .execute("", 0)
                .sync()
        }),
        ("prepared by Parse, run by EXECUTE", script().parse("s", select).sync().query("EXECUTE s(4)")),
        ("prepared by Parse, run by EXECUTE at once", script().parse("t", select).query("EXECUTE t(4)")),
        ("declared by SQL, run by Execute", {
            let declare = "BEGIN; DECLARE c CURSOR FOR SELECT id FROM public.numbers WHERE id < 4 ORDER BY id";
            script().query(declare).execute("c", 2).execute("c", 0).sync().query("COMMIT")
        }),
        ("bound, fetched by SQL", {
            let bound = script().query("BEGIN").parse("", "SELECT id FROM public.numbers WHERE id < 4 ORDER BY id");
            bound.bind("d", "", none, text).sync().query("FETCH 2 FROM d").query("ROLLBACK")
        }),
        ("DISCARD ALL and the unnamed statement", {
            let discarded = script().parse("", "DISCARD ALL").bind("", "", none, text).execute("", 0).sync();
            discarded.bind("", "", none, text).sync()
        }),
        ("a name that is given again behind what forgot it", {
            let again = script().parse("u", "SELECT 1").sync().run("DEALLOCATE u", none).parse("u", "SELECT 2");
            again.sync().bind("", "u", none, text).execute("", 0).sync()
        }),
        ("Close behind a failure is skipped", {
            let skipped = script().parse("v", "SELECT 1").sync().run("SELECT 1/0", none).close_statement("v").sync();
            skipped.bind("", "v", none, text).execute("", 0).sync()
        }),
        ("a query behind a failure is skipped", {
            script().parse("w", "SELECT 5").sync().describe_portal("nothing").query_skipped("SELECT 1").sync()
        }),
        ("an empty query and the unnamed portal", {
            let bound = script().query("BEGIN").parse("x", "SELECT 6").bind("", "x", none, text).sync();
            bound.query("").execute("", 0).sync().query("ROLLBACK")
        }),
        ("a portal of the transaction that begins in the next pipeline", {
            let first = script().run("SELECT 1", none).sync();
            let begun = first.run("BEGIN", none).parse("", "SELECT 7").bind("e", "", none, text).sync();
            begun.execute("e", 0).sync().query("ROLLBACK")
        }),
    ];
    for (name, script) in cases {
        let expected = script.play(&mut world.direct()).unwrap_or_else(|error| panic!("{name}, direct: {error:#}"));
        for caller in [OWNER, READER] {
            let got = script.play(&mut world.session(caller));
            let got = got.unwrap_or_else(|error| panic!("{name}, {caller:?}: {error:#}\n{}", world.said()));
            assert_eq!(tags(&got), tags(&expected), "{name}, {caller:?}: {:?}", got.iter().find_map(|r| r.text()));
            assert!(essence(&got) == essence(&expected), "{name}, {caller:?}: the bytes differ");
        }
    }
}

#[test]
fn what_is_not_there_is_said_as_the_server_says_it() {
    let world = masked("reader");
    for sql in ["SELECT * FROM nowhere", "SELECT id FROM public.numbers WHERE no_such(id)", "TABLE nowhere; SELECT 1"] {
        let of = |replies: Vec<Reply>| replies.iter().find_map(Reply::sqlstate);
        let direct = of(world.direct().query(sql).unwrap());
        assert!(direct.is_some() && direct == of(world.session(READER).query(sql).unwrap()), "{sql}: {direct:?}");
    }
}

#[test]
fn a_table_is_used_in_the_text_that_makes_it() {
    let world = masked("maker");
    for sql in [
        "CREATE TEMP TABLE made (a int); INSERT INTO made VALUES (3); SELECT a FROM made",
        "CREATE TEMP TABLE copied AS SELECT id FROM numbers WHERE id < 4; SELECT sum(id) FROM copied",
    ] {
        let expected = script().query(sql).play(&mut world.direct()).unwrap();
        let got = script().query(sql).play(&mut world.session(MAKER)).unwrap();
        assert_eq!(tags(&got), tags(&expected), "{sql}: {:?}", got.iter().find_map(Reply::text));
        // The table has another OID each time.
        let rows = |replies: Vec<Reply>| replies.into_iter().filter(|reply| reply.tag == b'D').collect::<Vec<_>>();
        assert_eq!(rows(got), rows(expected), "{sql}");
    }
}

#[test]
fn a_commit_that_fails_at_sync_is_answered() {
    let world = World::shared();
    let table = "CREATE TEMP TABLE once (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    let twice = script().query(table).run("INSERT INTO once VALUES (1), (1)", &[]).sync().query("SELECT 1");
    for mut session in [world.direct(), world.session(OWNER)] {
        let replies = twice.play(&mut session).unwrap();
        assert_eq!(tags(&replies), "CZ12nCEZTDCZ");
        assert_eq!(replies[6].sqlstate().as_deref(), Some("23505"));
    }
}

#[test]
fn a_reason_is_given_in_either_protocol_and_stays_with_grille() {
    let world = World::shared();
    let mut session = world.session(OWNER);
    let set = "SET grille.reason = 'ticket 17'";
    assert_eq!(tags(&script().query(set).play(&mut session).unwrap()), "CZ");
    let among_others = script().run("SELECT 1", &[]).parse("r", set).describe_statement("r");
    let among_others = among_others.bind("", "r", &[], Format::Text).describe_portal("").execute("", 0);
    let replies = among_others.run("SELECT 2", &[]).close_statement("r").sync().play(&mut session).unwrap();
    assert_eq!(tags(&replies), "12TDC1tn2nC12TDC3Z");
    // The target never heard of it.
    let shown = session.query("SHOW grille.reason").unwrap();
    assert_eq!(shown[0].sqlstate().as_deref(), Some("42704"));
}

/// What a message means is known only when those before it were answered: a name may keep standing for what it stood
/// for. In each case the server itself hands the secret out, and the text that was sent last is harmless.
#[test]
fn a_name_never_runs_what_was_not_judged() {
    let world = masked("reader");
    let (text, none) = (Format::Text, &[][..]);
    let (secret, harmless) = ("SELECT '<' || upper(name) || '>' FROM public.numbers WHERE id = 7", "SELECT 'x'");
    let run = |script: Script, name: &str| script.bind("", name, none, text).execute("", 0).sync();
    let skipped = |script: Script| script.describe_statement("nobody");
    let cases = [
        (
            "a second Parse of a name is refused",
            run(script().parse("s", secret).sync().parse("s", harmless).sync(), "s"),
        ),
        ("two of them are", {
            run(script().parse("s", secret).sync().parse("s", harmless).sync().parse("s", harmless).sync(), "s")
        }),
        ("a name of SQL's own is taken", {
            run(script().query(&format!("PREPARE s AS {secret}")).parse("s", harmless).sync(), "s")
        }),
        ("names that differ behind what counts", {
            let (one, other) = (format!("{}x", "n".repeat(63)), format!("{}y", "n".repeat(63)));
            let again = script().parse(&one, harmless).sync().close_statement(&other).parse(&other, secret).sync();
            run(again, &one)
        }),
        ("portals that differ behind what counts", {
            let (one, other) = (format!("{}x", "n".repeat(63)), format!("{}y", "n".repeat(63)));
            let bound = script().query("BEGIN").parse("h", harmless).bind(&one, "h", none, text).parse("s", secret);
            bound.close_portal(&other).bind(&other, "s", none, text).execute(&one, 0).sync()
        }),
        ("a Parse is skipped", run(skipped(script().parse("", secret).sync()).parse("", harmless).sync(), "")),
        ("a Close is skipped", {
            let again = skipped(script().parse("s", secret).sync()).close_statement("s").parse("s", harmless).sync();
            run(again, "s")
        }),
        ("a Bind is skipped", {
            let bound = script().query("BEGIN").parse("", secret).bind("p", "", none, text).sync().query("SAVEPOINT a");
            let again = skipped(bound).parse("", harmless).bind("p", "", none, text).sync();
            again.query("ROLLBACK TO a").execute("p", 0).sync()
        }),
        ("a Bind is refused", {
            let bound = script().query("BEGIN").parse("", secret).bind("p", "", none, text).sync().query("SAVEPOINT a");
            let again = bound.parse("", harmless).bind("p", "", none, text).sync();
            again.query("ROLLBACK TO a").execute("p", 0).sync()
        }),
        ("EXECUTE runs what the name stands for then", {
            let bound = script().parse("s", harmless).parse("e", "EXECUTE s").bind("p", "e", none, text);
            bound.close_statement("s").parse("s", secret).execute("p", 0).sync()
        }),
        ("EXECUTE in a transaction, and another pipeline", {
            let bound = script().query("BEGIN").parse("s", harmless).parse("e", "EXECUTE s").bind("p", "e", none, text);
            bound.sync().close_statement("s").parse("s", secret).sync().execute("p", 0).sync()
        }),
        ("FETCH takes from what the cursor is then", {
            let bound =
                script().query(&format!("BEGIN; DECLARE c CURSOR FOR {harmless}")).parse("f", "FETCH ALL FROM c");
            let again =
                bound.bind("p", "f", none, text).sync().query(&format!("CLOSE c; DECLARE c CURSOR FOR {secret}"));
            again.execute("p", 0).sync()
        }),
    ];
    let mut leaks = Vec::new();
    for (name, script) in cases {
        let direct = script.play(&mut world.direct()).unwrap_or_else(|error| panic!("{name}, direct: {error:#}"));
        assert!(hands_out(&direct), "{name}: the server hands nothing out: {}", tags(&direct));
        let mut session = world.session(READER);
        let got = script.play(&mut session).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        leaks.extend(hands_out(&got).then(|| format!("{name}: {}", tags(&got))));
        let next = Script::default().query("ROLLBACK").query("SELECT 1").play(&mut session);
        assert!(next.is_ok(), "{name}: the session goes on");
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

/// Definitions and settings that change between the judgement and the run: in each case the server itself hands the
/// secret out.
#[test]
fn a_text_runs_with_the_meaning_that_was_judged() {
    let world = masked("maker");
    let schema = "CREATE SCHEMA harmless; CREATE TABLE harmless.numbers AS SELECT 7 AS id, 'x'::text AS name";
    let view = "CREATE VIEW harmless.v AS SELECT name FROM public.numbers WHERE id = 7";
    // Whose name g is looked up in whatever session reads the view.
    let late = "CREATE SCHEMA other; CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT $$x$$';
        CREATE FUNCTION other.g() RETURNS text LANGUAGE sql AS 'SELECT $$x$$';
        CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT g() LIMIT 1'; CREATE VIEW late AS SELECT f() AS name;
        CREATE FUNCTION other.upper(text) RETURNS text LANGUAGE sql AS 'SELECT $$x$$';
        CREATE FUNCTION loud() RETURNS text LANGUAGE sql AS 'SELECT upper($$x$$) LIMIT 1'; CREATE VIEW shout AS SELECT loud() AS name";
    world.cluster.sql("work", &format!("SET ROLE work_app; {schema}; {view}; {late}")).unwrap();
    let (text, none) = (Format::Text, &[][..]);
    let secret = "SELECT '<' || upper(name) || '>' FROM numbers WHERE id = 7";
    let shadow = "CREATE TEMP TABLE numbers AS SELECT 7 AS id, 'x'::text AS name";
    let away = "DROP TABLE pg_temp.numbers";
    let begun = || script().query("CREATE TEMP TABLE other (a int)");
    let run = |script: Script, name: &str| script.bind("", name, none, text).execute("", 0).sync();
    let cases = [
        ("a plan that a new table does not change", run(begun().parse("s", secret).sync().query(shadow), "s")),
        ("the same by SQL", begun().query(&format!("PREPARE s AS {secret}")).query(shadow).query("EXECUTE s")),
        ("a plan that follows search_path", {
            let prepared = script().query("SET search_path = harmless").parse("s", secret).sync();
            run(prepared.query("SET search_path = public"), "s")
        }),
        ("the same by SQL", {
            let prepared = script().query("SET search_path = harmless").query(&format!("PREPARE s AS {secret}"));
            prepared.query("SET search_path = public").query("EXECUTE s")
        }),
        ("a string that drops a table", script().query(shadow).query(&format!("{away}; {secret}"))),
        ("a string that sets the path", {
            script().query("SET search_path = harmless").query(&format!("SET search_path = public; {secret}"))
        }),
        ("a string that sets the path by a function", {
            let set = "SELECT set_config('search_path', 'public', false)";
            script().query("SET search_path = harmless").query(&format!("{set}; {secret}"))
        }),
        ("a string that resets the path", {
            script().query("SET search_path = harmless").query(&format!("RESET search_path; {secret}"))
        }),
        ("a string that rolls back", {
            script().query(&format!("BEGIN; SAVEPOINT a; {shadow}")).query(&format!("ROLLBACK TO a; {secret}"))
        }),
        ("a string that renames", {
            let rename = "ALTER TABLE pg_temp.numbers RENAME TO gone";
            script().query(shadow).query(&format!("{rename}; {secret}"))
        }),
        ("a pipeline that drops a table", script().query(shadow).run(away, none).run(secret, none).sync()),
        ("COPY that is bound before", {
            let bound = script().query(shadow).query("BEGIN").parse("", &format!("COPY ({secret}) TO STDOUT"));
            bound.bind("p", "", none, text).sync().query(away).execute("p", 0).sync()
        }),
        ("COPY that is bound before in its pipeline", {
            let bound =
                script().query(shadow).parse("c", &format!("COPY ({secret}) TO STDOUT")).bind("p", "c", none, text);
            bound.run(away, none).execute("p", 0).sync()
        }),
        ("a setting that ends with its transaction", {
            let local = script().query("BEGIN; SET LOCAL search_path = harmless").query(secret);
            local.query("COMMIT").query(secret)
        }),
        ("the same by a function, in the extended protocol", {
            let set = "SELECT set_config('search_path', 'harmless', true)";
            let local = script().query("BEGIN").run(set, none).run(secret, none).sync();
            local.run("COMMIT", none).run(secret, none).sync()
        }),
        (
            "temporary tables that are discarded",
            script().query(shadow).query(secret).query("DISCARD TEMP").query(secret),
        ),
        ("all that is discarded", script().query(shadow).query(secret).query("DISCARD ALL").query(secret)),
        ("a table that ends with its transaction", {
            let shadow = "CREATE TEMP TABLE numbers ON COMMIT DROP AS SELECT 7 AS id, 'x'::text AS name";
            script().query("BEGIN").query(shadow).query(secret).query("COMMIT").query(secret)
        }),
        ("a table that is rolled back", {
            let made = begun().query("BEGIN; SAVEPOINT a").query(shadow).query(secret);
            made.query("ROLLBACK TO a").query(secret).query("COMMIT")
        }),
        ("a table that is rolled back in a pipeline", {
            let made = begun().query("BEGIN; SAVEPOINT a").query(shadow).query(secret);
            made.run("ROLLBACK TO a", none).run(secret, none).sync().query("COMMIT")
        }),
        ("a table that is rolled back after an error", {
            let made = begun().query("BEGIN; SAVEPOINT a").query(shadow).query(secret).query("SELECT 1/0");
            made.query("ROLLBACK TO a").query(secret).query("COMMIT")
        }),
        ("a view that is restored", {
            let made =
                script().query("BEGIN").query("DROP VIEW harmless.v").query("CREATE TABLE harmless.v (name text)");
            let look = "SELECT '<' || upper(name) || '>' FROM harmless.v";
            made.query(look).query("SELECT 1/0").query(&format!("ROLLBACK; {look}"))
        }),
        ("a view whose function means another one in another path", {
            let other = "CREATE OR REPLACE FUNCTION other.g() RETURNS text LANGUAGE sql AS 'SELECT name FROM numbers WHERE id = 7'";
            let asks = "SELECT '<' || upper(name) || '>' FROM late";
            let made = script().query(asks).query(shadow).query(other).query(away).query(asks);
            made.query("SET search_path = other, public").query(asks)
        }),
        ("a view whose function means another one than the server's", {
            let other = "CREATE OR REPLACE FUNCTION other.upper(text) RETURNS text LANGUAGE sql AS 'SELECT name FROM numbers WHERE id = 7'";
            let asks = "SELECT '<' || name || '>' FROM shout";
            let made = script().query(shadow).query(other).query(away).query(asks);
            made.query("SET search_path = other, pg_catalog, public").query(asks)
        }),
        ("a cursor over such a function", {
            let other = "CREATE OR REPLACE FUNCTION other.g() RETURNS text LANGUAGE sql AS 'SELECT name FROM numbers WHERE id = 7'";
            let made = script().query(shadow).query(other).query(away).query("BEGIN");
            let declared = made.query("DECLARE c CURSOR FOR SELECT '<' || upper(f()) || '>' FROM harmless.numbers");
            declared.query("SET search_path = other, public").query("FETCH ALL FROM c")
        }),
        ("PREPARE that is bound before", {
            let bound = script().query(shadow).query("BEGIN").parse("", &format!("PREPARE s AS {secret}"));
            bound.bind("p", "", none, text).sync().query(away).execute("p", 0).sync().query("EXECUTE s")
        }),
    ];
    let mut leaks = Vec::new();
    for (name, script) in cases {
        let direct = script.play(&mut world.direct()).unwrap_or_else(|error| panic!("{name}, direct: {error:#}"));
        assert!(hands_out(&direct), "{name}: the server hands nothing out: {}", tags(&direct));
        let mut session = world.session(MAKER);
        let got = script.play(&mut session).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        println!("{name}: {} {:?}", tags(&got), got.iter().find_map(|reply| reply.text()));
        leaks.extend(hands_out(&got).then(|| format!("{name}: {}", tags(&got))));
        let next = Script::default().query("ROLLBACK").query("SELECT 1").play(&mut session);
        assert!(next.is_ok(), "{name}: the session goes on");
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

/// A transaction that has definitions of its own sees what others commit meanwhile, or nothing more.
#[test]
fn what_others_define_counts_in_a_transaction_with_definitions_of_its_own() {
    let world = masked("maker");
    let harmless = "SELECT id, 'x'::text AS called FROM numbers";
    let secret = "SELECT id, name AS called FROM numbers";
    let body =
        |query: &str| format!("LANGUAGE sql AS 'SELECT called FROM ({}) n WHERE id = 7'", query.replace('\'', "''"));
    let function = |query| format!("CREATE OR REPLACE FUNCTION public.f() RETURNS text {}", body(query));
    let define = |query| format!("CREATE OR REPLACE VIEW public.v AS {query}; {}", function(query));
    let asks = ["SELECT upper(called) FROM v WHERE id = 7", "SELECT upper(f())"];
    let mut leaks = Vec::new();
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        for defined_late in [false, true] {
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}");
            let open = [begin.as_str(), "SELECT 1 FROM numbers LIMIT 1"];
            // The second has the definitions asked for, which locks views against others, and no functions.
            let own = ["CREATE TEMP TABLE own (a int)", "SELECT count(*) FROM numbers"];
            let ways = if isolation == "READ COMMITTED" { &[OWNER, MAKER][..] } else { &[OWNER] };
            for &by in ways {
                world.session(OWNER).query(&define(harmless)).unwrap();
                let (mut direct, mut session) = (world.direct(), world.session(MAKER));
                let before: Vec<&str> = if defined_late { [&open[..], &own].concat() } else { open.to_vec() };
                let after: Vec<&str> = if defined_late { asks[1..].to_vec() } else { [&own[..], &asks].concat() };
                for sql in &before {
                    assert!(!tags(&direct.query(sql).unwrap()).contains('E'), "{sql}");
                    let replies = session.query(sql).unwrap();
                    assert!(!tags(&replies).contains('E'), "{sql}: {replies:?}");
                }
                // A masked session is refused this, so it goes to the server itself, and is found out in time.
                let change = if defined_late { function(secret) } else { define(secret) };
                let defined = if by == OWNER {
                    world.session(OWNER).query(&change).unwrap()
                } else {
                    let defined = world.direct().query(&change).unwrap();
                    std::thread::sleep(std::time::Duration::from_secs(6));
                    defined
                };
                assert!(!tags(&defined).contains('E'), "{defined:?}");
                let mut shown = Vec::new();
                for sql in &after {
                    shown.extend(direct.query(sql).unwrap());
                    let got = session.query(sql).unwrap();
                    leaks.extend(hands_out(&got).then(|| format!("{isolation}, {defined_late}, {by:?}: {sql}")));
                }
                assert!(hands_out(&shown), "{isolation}: the server hands nothing out");
            }
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
