//! Ways to a protected value that were open once. In each the server itself hands the value out; a masked session may be
//! refused or read something else, but never that.

use grille_pg_codec::Format;

use crate::masked::{MAKER, hands_out, masked, masked_in};
use crate::scene::wait_until;
use crate::script::{Script, tags};

fn script() -> Script {
    Script::default()
}

#[test]
fn none_of_these_shows_a_protected_value() {
    let world = masked("maker");
    world.cluster.sql("work", "INSERT INTO notes VALUES (1, 'a note')").unwrap();
    let version: u32 = world.direct().value("SHOW server_version_num").unwrap().parse().unwrap();
    let old = if version < 160_000 { &OF_OLD_SERVERS[..] } else { &[] };
    let queries = QUERIES.iter().chain(old).map(|sql| ((*sql).to_owned(), script().query(sql)));
    let cases: Vec<(String, Script)> = queries.chain(conversations()).collect();
    let mut leaks = Vec::new();
    for (name, script) in cases {
        let direct = script.play(&mut world.direct()).unwrap_or_else(|error| panic!("{name}, direct: {error:#}"));
        assert!(hands_out(&direct), "{name}: the server shows nothing: {}", tags(&direct));
        let mut session = world.session(MAKER);
        match script.play(&mut session) {
            Ok(got) => leaks.extend(hands_out(&got).then(|| format!("{name}: {}", tags(&got)))),
            Err(error) => leaks.push(format!("{name}: the session did not go on: {error:#}")),
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

/// A cursor may hold values that the catalog knows nothing of any more.
#[test]
fn a_cursor_outlives_its_column_and_shows_nothing() {
    let world = masked("maker");
    let mut session = world.session(MAKER);
    let declare = "DECLARE p SCROLL CURSOR WITH HOLD FOR SELECT name FROM numbers WHERE id = 7";
    assert_eq!(tags(&session.query(declare).unwrap()), "CZ");
    assert_eq!(tags(&session.query("FETCH FIRST FROM p").unwrap()), "TDCZ");
    // By somebody else, so that it is noticed only when the catalog is looked at again.
    world.cluster.sql("work", "ALTER TABLE numbers RENAME COLUMN name TO called").unwrap();
    let mut last = String::new();
    wait_until("the cursor is refused", || {
        let replies = session.query("FETCH FIRST FROM p").unwrap();
        assert!(!hands_out(&replies), "{replies:?}");
        last = replies.iter().find_map(|reply| reply.text()).unwrap_or_default();
        !last.is_empty()
    });
    assert!(last.contains("public.numbers.name, which is not there any more"), "{last}");
    assert!(hands_out(&world.direct().query("SELECT called FROM numbers WHERE id = 7").unwrap()));
}

/// What would take the protection of a column away without touching its values is refused.
#[test]
fn nobody_who_is_masked_takes_a_protection_away() {
    let world = masked_in("maker", &["public.numbers.name", "public.parents.name", "public.whole.name"]);
    let made = "SET ROLE work_app; CREATE DOMAIN public.social AS text; CREATE TABLE cards (ref public.social);
        CREATE TABLE parents (name text); CREATE TABLE children (name text) INHERITS (parents);
        CREATE TABLE children_of_all () INHERITS (parents);
        CREATE TABLE whole (id int, name text) PARTITION BY RANGE (id);
        CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10)";
    world.cluster.sql("work", made).unwrap();
    for sql in [
        "ALTER TABLE numbers ADD FOREIGN KEY (name) REFERENCES numbers (name)",
        "ALTER TABLE numbers ADD PRIMARY KEY (name)",
        "ALTER TABLE numbers RENAME COLUMN name TO x",
        "ALTER TABLE numbers RENAME TO x",
        "ALTER TABLE parents DROP COLUMN name",
        "ALTER TABLE ONLY parents DROP COLUMN name",
        "ALTER TABLE children NO INHERIT parents",
        "ALTER TABLE children_of_all NO INHERIT parents, INHERIT parents",
        "ALTER TABLE whole DETACH PARTITION part",
        "ALTER TABLE numbers SET SCHEMA harmless",
        "ALTER DOMAIN social RENAME TO x",
        "ALTER DOMAIN social SET SCHEMA harmless",
        "ALTER TYPE social RENAME TO x",
    ] {
        let replies = world.session(MAKER).query(sql).unwrap();
        assert_eq!(replies.iter().find_map(|reply| reply.sqlstate()).as_deref(), Some("42501"), "{sql}");
    }
}

/// What another server holds is masked like what this one does.
#[test]
fn a_foreign_table_is_masked_like_any() {
    let world = masked_in("maker", &["public.far.name"]);
    let has_files = "SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'";
    if world.direct().value(has_files).unwrap() == "0" {
        return;
    }
    let made = "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE far (id int, name text) SERVER files OPTIONS (program 'echo 7,number 7', format 'csv');
        CREATE VIEW over_far AS SELECT name AS n FROM far; GRANT SELECT ON far, over_far TO work_app;
        GRANT pg_execute_server_program TO work_app";
    world.cluster.sql("work", made).unwrap();
    for sql in ["SELECT name FROM far", "SELECT upper(n) FROM over_far", "COPY (TABLE far) TO STDOUT"] {
        assert!(hands_out(&world.direct().query(sql).unwrap()), "{sql}: the server shows nothing");
        let got = world.session(MAKER).query(sql).unwrap();
        assert!(!tags(&got).contains('E') && !hands_out(&got), "{sql}: {got:?}");
    }
}

/// Each reads the name of number 7.
const QUERIES: &[&str] = &[
    "SELECT (ROW(p.*, 1)).f2 FROM (SELECT id, name FROM numbers WHERE id = 7) p",
    "SELECT v.b FROM (SELECT id, name FROM numbers WHERE id = 7) p, LATERAL (VALUES (p.*, 1)) v(a, b)",
    "SELECT v.b FROM (SELECT id, name FROM numbers WHERE id = 7) p, LATERAL (VALUES ((p).*, 1)) v(a, b)",
    "COPY (SELECT (ROW(p.*, 1)).f2 FROM (SELECT id, name FROM numbers WHERE id = 7) p) TO STDOUT",
    "SELECT t.b FROM numbers p, LATERAL unnest(ARRAY[p]) WITH ORDINALITY t(a, b) WHERE p.id = 7",
    "SELECT s.b FROM (SELECT (unnest(ARRAY[p])).*, 1 FROM numbers p WHERE p.id = 7) s(a, b)",
    "SELECT s.b FROM (SELECT (lag(p, 1, p) OVER ()).*, 1 FROM numbers p WHERE p.id = 7) s(a, b)",
    "SELECT s.b FROM (SELECT (json_populate_record(coalesce(p, p), '{}')).*, 1 FROM numbers p WHERE p.id = 7) s(a, b)",
    "SELECT (s.r).name FROM (SELECT p AS r FROM numbers p(name, x) WHERE p.name = 7) s",
    "SELECT (SELECT oid FROM notes LIMIT 1) FROM (SELECT name AS oid FROM numbers WHERE id = 7) s",
    "SELECT (SELECT column1 FROM (SELECT (VALUES (p.name)) FROM numbers p WHERE p.id = o.id) i)
       FROM (SELECT id, 'x' AS column1 FROM numbers WHERE id = 7) o",
    "SELECT (SELECT y FROM (SELECT (SELECT p.name AS y UNION ALL SELECT NULL LIMIT 1) FROM numbers p WHERE p.id = o.id) i)
       FROM (SELECT id, 'x' AS y FROM numbers WHERE id = 7) o",
    "SELECT (SELECT y FROM (SELECT (SELECT * FROM (SELECT p.name AS y) z) FROM numbers p WHERE p.id = o.id) i)
       FROM (SELECT id, 'x' AS y FROM numbers WHERE id = 7) o",
    "SELECT (SELECT text FROM (SELECT (p.name || '')::text COLLATE \"C\" FROM numbers p WHERE p.id = o.id) i)
       FROM (SELECT id, 'x' AS text FROM numbers WHERE id = 7) o",
    "COPY numbers (id, name) TO STDOUT (FORMAT csv, DELIMITER 'x', QUOTE 'z', ESCAPE 'y', FORCE_QUOTE *)",
    "COPY (SELECT name FROM numbers WHERE id = 7) TO STDOUT (ENCODING 'LATIN1')",
    "BEGIN; DECLARE c BINARY CURSOR FOR SELECT name FROM numbers WHERE id = 7; FETCH ALL FROM c; COMMIT",
    "SELECT x.name FROM numbers p, json_to_record(to_json(p)) AS x(id int, name text) WHERE p.id = 7",
    "SELECT (jsonb_populate_record(NULL::numbers, to_jsonb(p))).name FROM numbers p WHERE p.id = 7",
    "SELECT (first_value(p) OVER ()).name FROM numbers p WHERE p.id = 7",
    "SELECT (max(ARRAY[p])::text) FROM numbers p WHERE p.id = 7",
    "SELECT t.a FROM ROWS FROM (unnest(ARRAY(SELECT name FROM numbers WHERE id = 7)), generate_series(1, 2)) t(a, b)",
    "SELECT x.* FROM XMLTABLE('/r' PASSING (SELECT xmlelement(name r, name) FROM numbers WHERE id = 7) COLUMNS v text PATH '.') x",
    "SELECT xpath('/r/text()', xmlelement(name r, name)) FROM numbers WHERE id = 7",
    "SELECT ts_headline(name, to_tsquery('nothing')) FROM numbers WHERE id = 7",
    "SELECT n.token FROM ts_debug('simple', 'x'), LATERAL (SELECT name AS token FROM numbers WHERE id = 7) n",
    "UPDATE numbers SET ratio = ratio WHERE id = 7 RETURNING numbers",
    "UPDATE numbers n SET ratio = ratio WHERE id = 7 RETURNING (n).name, n.*",
    "INSERT INTO numbers (id, name) VALUES (7, 'x') ON CONFLICT (id) DO UPDATE SET ratio = numbers.ratio RETURNING name",
    "WITH RECURSIVE w (a, b) AS (SELECT id, name FROM numbers WHERE id = 7 UNION ALL SELECT a + 1, b FROM w WHERE a < 9) TABLE w",
    "WITH RECURSIVE w (a, b) AS (VALUES (1, 'x') UNION ALL SELECT a + 1, (SELECT name FROM numbers WHERE id = 7) FROM w WHERE a < 3)
       SEARCH DEPTH FIRST BY b SET o SELECT o FROM w",
    "SELECT name FROM numbers NATURAL JOIN (SELECT 7 AS id) x",
    "SELECT name FROM (SELECT 7 AS id) x LEFT JOIN numbers n USING (id)",
    "SELECT j.name FROM (numbers n JOIN (SELECT 7 AS seven) s ON n.id = s.seven) AS j",
    "SELECT u.name FROM numbers n JOIN numbers m USING (id, name) AS u WHERE id = 7",
    "SELECT GROUPING(name), name FROM numbers WHERE id = 7 GROUP BY ROLLUP (name)",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY name) FROM numbers WHERE id = 7",
    "SELECT any_value FROM (SELECT min(name) FILTER (WHERE id = 7) AS any_value FROM numbers) x",
    "TABLE numbers",
    "VALUES ((SELECT name FROM numbers WHERE id = 7))",
    "SELECT CASE id WHEN 7 THEN (SELECT name) END FROM numbers WHERE id = 7",
    "SELECT format('%s', n) FROM numbers n WHERE id = 7",
    "SELECT n::text COLLATE \"C\" FROM numbers n WHERE id = 7",
    "SELECT array_to_json(ARRAY(SELECT n FROM numbers n WHERE id = 7))",
    "SELECT jsonb_path_query(to_jsonb(n), '$.name') FROM numbers n WHERE id = 7",
    "SELECT n.name FROM numbers n, pg_catalog.generate_series(1, 1) WHERE n.id = 7 FOR UPDATE OF n",
    "SELECT U&\"!006eame\" UESCAPE '!' FROM U&\"n\\0075mbers\" WHERE id = 7",
    "SELECT /* a /* nested */ comment */ \"name\" FROM numbers -- a comment\n WHERE id = $a$7$a$::int",
    "SELECT current_setting(name) FROM numbers WHERE id = 7",
    "SELECT has_table_privilege(name, 'select') FROM (SELECT '\"' || name || '\"' AS name FROM numbers WHERE id = 7) n",
    "SELECT ('\"' || name || '\"')::regclass FROM numbers WHERE id = 7",
    "COPY (SELECT name FROM numbers WHERE id = 7) TO STDOUT (FORMAT csv, HEADER 'FALSE')",
    "COPY (SELECT name FROM numbers WHERE id = 7) TO STDOUT (NULL 'number 7')",
    "CREATE FUNCTION pg_temp.f(x text DEFAULT (query_to_xml('SELECT name FROM numbers WHERE id = 7', true, false, ''))::text)
       RETURNS text LANGUAGE sql AS 'SELECT x'; SELECT pg_temp.f()",
    "CREATE FUNCTION pg_temp.g() RETURNS text LANGUAGE sql SET standard_conforming_strings = off
       AS $f$SELECT '\\'' || (SELECT name FROM public.numbers WHERE id = 7) --'$f$; SELECT pg_temp.g()",
];

/// The grammar that Grille reads texts with is newer than these servers.
const OF_OLD_SERVERS: [&str; 1] =
    ["SELECT (SELECT system_user) FROM (SELECT name AS system_user FROM numbers WHERE id = 7) s"];

fn conversations() -> Vec<(String, Script)> {
    let (text, none) = (Format::Text, &[][..]);
    let secret = "SELECT upper(name) FROM numbers WHERE id = 7";
    let harmless = "SELECT 'x'::text";
    let shadow = "CREATE TEMP TABLE numbers AS SELECT 7 AS id, 'x'::text AS name";
    let bound = || script().query("BEGIN").parse("", harmless).bind("p", "", none, text).sync();
    let declare = format!("DECLARE p CURSOR FOR {secret}");
    let made = || script().query("BEGIN").query(shadow).query(secret);
    let (up, child) =
        ("CREATE TEMP TABLE up (id int, name text)", "CREATE TEMP TABLE c () INHERITS (up, public.numbers)");
    let filled = "INSERT INTO up SELECT id, name FROM numbers WHERE id = 7";
    let cases = [
        ("a table that the same text puts before another", {
            let table = "CREATE TEMP TABLE numbers (id int, name text)";
            let filled = format!("{table}; INSERT INTO numbers SELECT id, name FROM public.numbers WHERE id = 7");
            script().query(&filled).query("SELECT name FROM numbers")
        }),
        ("an answer more than was counted", {
            let copied = script().query("CREATE TEMP TABLE t (a int)").query(secret).query(harmless);
            let copied = copied.query("COPY t FROM STDIN").copy_data("zz\n").copy_done();
            copied.query(secret).query(harmless).query(harmless)
        }),
        ("a portal that was closed", bound().query("CLOSE p").query(&declare).execute("p", 0).sync()),
        ("all portals that were closed", bound().query("CLOSE ALL").query(&declare).execute("p", 0).sync()),
        ("a portal of an earlier transaction", {
            bound().query("COMMIT AND CHAIN").query(&declare).execute("p", 0).sync()
        }),
        ("a portal that ends within a pipeline", {
            bound().run("COMMIT", none).run("BEGIN", none).run(&declare, none).execute("p", 0).sync()
        }),
        ("a table that ends with its transaction, and a chain", made().query("ROLLBACK AND CHAIN").query(secret)),
        ("the same in a pipeline", made().run("ROLLBACK", none).run(secret, none).sync()),
        ("a path that ends with its transaction, in a pipeline", {
            let local = script().query(shadow).query("BEGIN").query("SET LOCAL search_path = pg_temp, public");
            local.query(secret).query("DROP TABLE pg_temp.numbers").run("COMMIT", none).run(secret, none).sync()
        }),
        ("a cursor that was only explained", {
            let begun = script().query("BEGIN").query(&format!("DECLARE c CURSOR FOR {secret}"));
            begun.query(&format!("EXPLAIN ANALYZE DECLARE c CURSOR FOR {harmless}")).query("FETCH ALL FROM c")
        }),
        ("a portal over a name", {
            let begun = script().query("BEGIN").query(&format!("PREPARE z AS {harmless}")).parse("e", "EXECUTE z");
            let again = begun.bind("p", "e", none, text).sync().query("DEALLOCATE z");
            again.query(&format!("PREPARE z AS {secret}")).query("FETCH ALL FROM p")
        }),
        ("a child that protects its parent, and is dropped", {
            script().query(&format!("{up}; {child}")).query(filled).query("DROP TABLE c").query("SELECT name FROM up")
        }),
        ("the same at the end of a transaction", {
            let begun = script().query(up).query("BEGIN").query(&format!("{child} ON COMMIT DROP"));
            begun.query(filled).query("COMMIT").query("SELECT name FROM up")
        }),
        ("a child that leaves its parent", {
            let kid = script().query("CREATE TEMP TABLE kid (id int, name text) INHERITS (numbers)");
            let filled = kid.query("INSERT INTO kid (id, name) SELECT 1007, name FROM numbers WHERE id = 7");
            filled.query("ALTER TABLE kid NO INHERIT numbers").query("SELECT name FROM kid")
        }),
        ("an error behind a cursor", {
            let begun =
                script().query("BEGIN").query("DECLARE c CURSOR FOR SELECT name::int FROM numbers WHERE id = 7");
            begun.query("MOVE c")
        }),
        ("an error at the end of a transaction", {
            let table = "CREATE TEMP TABLE k (name text UNIQUE DEFERRABLE INITIALLY DEFERRED)";
            let twice = "INSERT INTO k SELECT name FROM numbers WHERE id = 7";
            script().query(table).query("BEGIN").query(twice).query(twice).query("COMMIT")
        }),
    ];
    cases.into_iter().map(|(name, script)| (name.to_owned(), script)).collect()
}
