//! Names that one message gives and another uses, by SQL or by the extended protocol: as on the server itself. Each case
//! was once answered in another way.

use grille_pg_codec::Format;
use grille_test_support::{OWNER, READER, World};

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
