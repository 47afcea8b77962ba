//! Where rows are treated, the conversation has the shape that it has without: a masked session reads what the server
//! says, but for the values.

use grille_pg_codec::Format;
use grille_pg_codec::backend::Message;
use grille_test_support::{Raw, Reply, World};

use crate::masked::{MAKER, hands_out, masked, masked_in};
use crate::pipeline::cases;
use crate::script::{Script, essence, tags};

fn script() -> Script {
    Script::default()
}

/// The first values of all rows, as they are.
fn firsts(replies: &[Reply]) -> Vec<Vec<u8>> {
    let first = |reply: &Reply| match reply.message() {
        Message::DataRow(row) => row.values().next().and_then(|value| Some(value.ok()??.to_vec())),
        _ => None,
    };
    replies.iter().filter_map(first).collect()
}

/// Whether a name of any number is said.
fn says_a_name(replies: &[Reply]) -> bool {
    replies.iter().any(|reply| reply.body.windows(7).any(|part| part == b"number "))
}

#[test]
fn what_holds_nothing_protected_is_as_the_server_said_it() {
    let world = masked("maker");
    let (mut direct, mut session) = (world.direct(), world.session(MAKER));
    for (name, script) in cases() {
        let expected = script.play(&mut direct).unwrap();
        let got = script.play(&mut session).unwrap_or_else(|error| panic!("{name}: {error:#}\n{}", world.said()));
        // What cannot be followed, and what cannot be parsed, is refused by Grille.
        let is_refused = matches!(name, "a notice" | "a syntax error");
        assert_eq!(got[0].sqlstate().as_deref() == Some("42501"), is_refused, "{name}");
        if name != "a notice" {
            assert_eq!(tags(&got), tags(&expected), "{name}: {:?}", got.iter().find_map(Reply::text));
        }
        match name {
            _ if is_refused => {}
            _ if says_a_name(&expected) => {
                assert!(!says_a_name(&got), "{name}: {got:?}");
                assert_eq!(firsts(&got).len(), firsts(&expected).len(), "{name}");
            }
            _ => assert!(essence(&got) == essence(&expected), "{name}: the bytes differ"),
        }
    }
}

#[test]
fn portals_of_different_shapes_take_turns() {
    let world = masked("maker");
    let none = &[][..];
    for formats in [[Format::Text, Format::Text], [Format::Text, Format::Binary], [Format::Binary, Format::Text]] {
        let bound = script()
            .query("BEGIN")
            .parse("both", "SELECT id, name FROM numbers WHERE id BETWEEN 6 AND 9 ORDER BY id")
            .parse("one", "SELECT name FROM numbers WHERE id BETWEEN 6 AND 9 ORDER BY id")
            .parse("other", "SELECT id, ratio, name, name FROM numbers WHERE id BETWEEN 6 AND 9 ORDER BY id")
            .bind("a", "both", none, formats[0])
            .bind("b", "one", none, formats[1])
            .bind("c", "both", none, formats[1])
            .bind("d", "other", none, formats[0]);
        // One after the other and each in parts, with and without a look at what comes.
        let rounds = (0..5).fold(bound, |script, round| {
            let script = if round == 2 { script.describe_portal("c").describe_portal("a") } else { script };
            ["a", "b", "c", "d"].iter().fold(script, |script, portal| script.execute(portal, 1))
        });
        let script = rounds.close_portal("a").execute("b", 0).sync().query("COMMIT");
        let expected = script.play(&mut world.direct()).unwrap();
        assert!(hands_out(&expected), "the server shows it: {}", tags(&expected));
        let got = script.play(&mut world.session(MAKER)).unwrap();
        assert_eq!(tags(&got), tags(&expected), "{:?}", got.iter().find_map(Reply::text));
        assert!(!says_a_name(&got));
        for (got, expected) in got.iter().zip(&expected) {
            let (Message::DataRow(got), Message::DataRow(expected)) = (got.message(), expected.message()) else {
                continue;
            };
            let count = expected.values().count();
            assert_eq!(got.values().count(), count);
            if count > 1 {
                let first = |row: grille_pg_codec::backend::DataRow<'_>| {
                    row.values().next().unwrap().unwrap().map(<[u8]>::to_vec)
                };
                assert_eq!(first(got), first(expected), "the numbers are as they were");
            }
        }
    }
}

#[test]
fn a_cursor_goes_back_and_forth() {
    let world = masked("maker");
    let declared = script()
        .query("BEGIN")
        .query("DECLARE c SCROLL CURSOR FOR SELECT id, name FROM numbers WHERE id BETWEEN 5 AND 9 ORDER BY id");
    let script = declared
        .query("MOVE LAST FROM c")
        .query("FETCH BACKWARD 3 FROM c")
        .query("FETCH FIRST FROM c; FETCH RELATIVE 2 FROM c")
        .run("FETCH ABSOLUTE -3 FROM c", &[])
        .run("FETCH BACKWARD ALL FROM c", &[])
        .run("FETCH 0 FROM c", &[])
        .sync()
        .query("COMMIT");
    let expected = script.play(&mut world.direct()).unwrap();
    assert!(hands_out(&expected));
    let got = script.play(&mut world.session(MAKER)).unwrap();
    assert_eq!(tags(&got), tags(&expected), "{:?}", got.iter().find_map(Reply::text));
    assert_eq!(firsts(&got), firsts(&expected));
    assert!(!says_a_name(&got));
}

#[test]
fn rows_without_columns_and_results_without_rows() {
    let world = masked("maker");
    let none = &[][..];
    let empty = "SELECT FROM numbers WHERE id <= 3";
    let nobody = "SELECT name FROM numbers WHERE id < 0";
    let script = script()
        .query(&format!("{empty}; {nobody}; SELECT id FROM numbers WHERE id = 7; ; {empty}"))
        .run(empty, none)
        .run(nobody, none)
        .run("", none)
        .sync()
        // Nobody asks what the rows look like.
        .parse("", empty)
        .bind("", "", none, Format::Binary)
        .execute("", 2)
        .execute("", 2)
        .parse("", "UPDATE notes SET id = id WHERE id < 0 RETURNING id, body")
        .bind("", "", none, Format::Text)
        .execute("", 0)
        .sync()
        .query("SELECT count(*), count(name) FROM numbers");
    let expected = script.play(&mut world.direct()).unwrap();
    let got = script.play(&mut world.session(MAKER)).unwrap();
    assert_eq!(tags(&got), tags(&expected), "{:?}", got.iter().find_map(Reply::text));
    assert!(essence(&got) == essence(&expected), "nothing in it is protected");
}

/// Prepares, has somebody change the table, and runs what was prepared.
fn changed_meanwhile(world: &World, change: &str, session: &mut Raw) -> Vec<Reply> {
    let prepared = [
        "SELECT * FROM numbers WHERE id = 7",
        "SELECT name FROM numbers WHERE id = 7",
        "SELECT n FROM numbers n WHERE id = 7",
    ];
    let (mut begin, mut again) = (script(), script());
    for (number, sql) in prepared.iter().enumerate() {
        let name = number.to_string();
        begin = begin.parse(&name, sql).bind("", &name, &[], Format::Text).execute("", 0).sync();
        again = again.bind("", &name, &[], Format::Text).execute("", 0).sync().query(sql);
        again = again.bind("", &name, &[], Format::Text).describe_portal("").execute("", 0).sync();
    }
    begin.play(session).unwrap();
    let mut other = world.direct();
    let replies = other.query(change).unwrap();
    assert_eq!(replies.iter().find_map(Reply::text), None, "{change}");
    again.play(session).unwrap()
}

/// By somebody whom Grille does not see, so that it learns of it when it looks.
#[test]
fn tables_change_beneath_prepared_statements() {
    let changes = [
        ("ALTER TABLE numbers ADD COLUMN extra text DEFAULT 'more'", "ALTER TABLE numbers DROP COLUMN extra"),
        (
            "ALTER TABLE numbers RENAME name TO label; ALTER TABLE numbers RENAME ratio TO name",
            "ALTER TABLE numbers RENAME name TO ratio; ALTER TABLE numbers RENAME label TO name",
        ),
        ("ALTER TABLE numbers ALTER name TYPE varchar(40)", "ALTER TABLE numbers ALTER name TYPE text"),
        (
            "ALTER TABLE numbers RENAME TO old; CREATE TABLE numbers AS SELECT * FROM old",
            "DROP TABLE numbers; ALTER TABLE old RENAME TO numbers",
        ),
        (
            "ALTER TABLE numbers RENAME TO old; CREATE TABLE numbers AS SELECT id, ratio AS name, name AS ratio FROM old",
            "DROP TABLE numbers; ALTER TABLE old RENAME TO numbers",
        ),
    ];
    let world =
        masked_in("maker", &["public.numbers.name", "public.numbers.label", "public.numbers.ratio", "public.old.name"]);
    for (change, back) in changes {
        let as_owner = |sql: &str| format!("SET ROLE work_app; {sql}; RESET ROLE");
        let (change, back) = (as_owner(change), as_owner(back));
        let expected = changed_meanwhile(&world, &change, &mut world.direct());
        assert!(says_a_name(&expected), "{change}: the server shows it");
        world.direct().query(&back).unwrap();
        let got = changed_meanwhile(&world, &change, &mut world.session(MAKER));
        assert!(!says_a_name(&got), "{change}: {got:?}");
        let codes: Vec<String> = got.iter().filter_map(Reply::sqlstate).collect();
        // Withheld while the catalog is the old one, or refused by the server as a plan that has changed.
        assert!(codes.iter().all(|code| matches!(code.as_str(), "42501" | "0A000")), "{change}: {codes:?}");
        world.direct().query(&back).unwrap();
    }
}
