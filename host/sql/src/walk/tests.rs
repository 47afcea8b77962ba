//! What policies see of statements.

use grille_policy::{Effect, Filter};

use crate::{Analysis, Settings, analyse, testing};

fn analysed(text: &str) -> Analysis {
    analyse(text, &testing::catalog(), &Settings::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Kinds, then effects.
#[test]
fn kinds_and_effects_of_everything_inside() {
    for (text, kinds, effects) in [
        ("SELECT 1", "SELECT", "read"),
        ("", "", ""),
        (";;", "", ""),
        ("SELECT 1; DROP TABLE staff", "DROP TABLE SELECT", "read ddl"),
        ("/* SELECT */ DELETE -- x\n FROM staff", "DELETE", "write"),
        ("WITH d AS (DELETE FROM staff RETURNING id) SELECT * FROM d", "DELETE SELECT", "read write"),
        ("WITH i AS (INSERT INTO staff VALUES (1)) UPDATE staff SET room = 'x'", "INSERT UPDATE", "write"),
        ("INSERT INTO staff VALUES (1)", "INSERT", "write"),
        ("INSERT INTO staff SELECT id FROM patients", "INSERT SELECT", "read write"),
        ("EXPLAIN DELETE FROM staff", "DELETE EXPLAIN", "read"),
        ("EXPLAIN ANALYZE DELETE FROM staff", "DELETE EXPLAIN", "write"),
        ("EXPLAIN (ANALYZE false) DELETE FROM staff", "DELETE EXPLAIN", "read"),
        ("EXPLAIN (ANALYZE, FORMAT json) DELETE FROM staff", "DELETE EXPLAIN", "write"),
        ("PREPARE p AS DELETE FROM staff", "DELETE PREPARE", "session write"),
        ("EXECUTE p", "EXECUTE", "session"),
        ("DECLARE c CURSOR FOR SELECT 1", "DECLARE CURSOR|SELECT", "read session"),
        ("COPY staff TO STDOUT", "COPY", "read copy"),
        ("COPY staff FROM STDIN", "COPY", "copy write"),
        ("COPY (DELETE FROM staff RETURNING id) TO STDOUT", "COPY DELETE", "read copy write"),
        ("COPY staff TO PROGRAM 'x'", "COPY", "read copy unknown"),
        ("TRUNCATE staff", "TRUNCATE", "write"),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE AS|SELECT", "read ddl"),
        ("SELECT 1 INTO t", "SELECT|SELECT INTO", "read ddl"),
        ("CREATE TABLE t (id int)", "CREATE TABLE", "ddl"),
        ("ALTER TABLE staff ADD COLUMN x int", "ALTER TABLE", "ddl"),
        ("ALTER TABLE staff OWNER TO x", "ALTER TABLE", "ddl privilege"),
        ("CREATE INDEX ON staff (id)", "CREATE INDEX", "ddl"),
        ("DROP VIEW bills", "DROP VIEW", "ddl"),
        ("GRANT SELECT ON staff TO x", "GRANT", "ddl privilege"),
        ("GRANT EXECUTE ON FUNCTION mystery() TO x", "GRANT", "ddl privilege"),
        ("REVOKE a FROM b", "REVOKE", "ddl privilege"),
        ("CREATE ROLE x", "CREATE ROLE", "ddl privilege"),
        ("SET a.b = 1", "SET", "session"),
        ("RESET ALL", "RESET", "session"),
        ("BEGIN", "BEGIN", "session"),
        ("START TRANSACTION", "BEGIN", "session"),
        ("END", "COMMIT", "session"),
        ("ABORT", "ROLLBACK", "session"),
        ("DO 'x'", "DO", "procedural"),
        ("CALL x()", "CALL", "procedural"),
        ("SELECT mystery()", "SELECT", "read unknown"),
        ("SELECT pg_read_file('x')", "SELECT", "read unknown"),
        ("VACUUM staff", "VACUUM", "ddl"),
        ("LOCK TABLE staff", "LOCK TABLE", "session"),
        ("MERGE INTO staff s USING patients p ON s.id = p.id WHEN MATCHED THEN DELETE", "MERGE", "write"),
    ] {
        let facts = analysed(text).facts;
        let separator = if kinds.contains('|') { "|" } else { " " };
        let got = facts.kinds.join(separator);
        let mut expected: Vec<&str> = if separator == "|" { kinds.split('|').collect() } else { vec![kinds] };
        expected.sort_unstable();
        assert_eq!(got, expected.join(separator), "{text}");
        let got: Vec<&str> = facts.effects.iter().map(|effect| Effect::name(*effect)).collect();
        assert_eq!(got.join(" "), effects, "{text}");
    }
}

#[test]
fn a_condition_counts_if_it_depends_on_the_row() {
    use Filter::{Absent, Effective, None};
    for (text, expected) in [
        ("DELETE FROM staff", None),
        ("DELETE FROM staff WHERE true", None),
        ("DELETE FROM staff WHERE 1 = 1", None),
        ("DELETE FROM staff WHERE 'a' = 'a' AND 2 > 1", None),
        ("DELETE FROM staff WHERE id = id", None),
        ("DELETE FROM staff WHERE staff.id = id", None),
        ("DELETE FROM staff s WHERE s.id >= s.id", None),
        ("DELETE FROM staff WHERE id IS NOT NULL", None),
        ("DELETE FROM staff WHERE id IS NOT NULL OR true", None),
        ("DELETE FROM staff WHERE name IS NULL OR name IS NOT NULL", None),
        ("DELETE FROM staff WHERE id < 5 OR id >= 5", None),
        ("DELETE FROM staff WHERE name = 'a' OR NOT name = 'a'", None),
        ("DELETE FROM staff WHERE NOT false", None),
        ("DELETE FROM staff WHERE name LIKE '%'", None),
        ("DELETE FROM staff WHERE id IN (SELECT id FROM staff)", None),
        ("DELETE FROM staff WHERE id IN (id, 2)", None),
        ("DELETE FROM staff WHERE upper(name) = upper(name)", None),
        ("DELETE FROM staff WHERE now() > '2020-01-01'", None),
        ("DELETE FROM staff WHERE $1", None),
        ("DELETE FROM staff WHERE id = 1 OR $1", None),
        ("DELETE FROM staff WHERE EXISTS (SELECT 1 FROM patients)", None),
        ("DELETE FROM staff USING patients p WHERE p.zip = '1'", None),
        ("DELETE FROM staff WHERE id = 1 OR 1 = 1", None),
        ("DELETE FROM staff WHERE id = 1", Effective),
        ("DELETE FROM staff WHERE id = $1 AND true", Effective),
        ("DELETE FROM staff WHERE id IS NULL", Effective),
        ("DELETE FROM staff WHERE name IS NOT NULL", Effective),
        ("DELETE FROM staff WHERE false", Effective),
        ("DELETE FROM staff WHERE name LIKE 'a%'", Effective),
        ("DELETE FROM staff USING patients p WHERE p.id = staff.id", Effective),
        ("DELETE FROM staff WHERE EXISTS (SELECT 1 FROM patients p WHERE p.id = staff.id)", Effective),
        ("DELETE FROM staff WHERE id IN (SELECT id FROM staff WHERE room = 'x')", Effective),
        ("DELETE FROM staff WHERE CURRENT OF c", Effective),
        ("DELETE FROM staff WHERE (id, name) IN ((1, 'a'))", Effective),
        ("DELETE FROM staff WHERE id BETWEEN 1 AND 2", Effective),
        ("UPDATE staff SET room = 'x'", None),
        ("UPDATE staff SET room = 'x' WHERE id > 5", Effective),
        ("UPDATE staff SET room = p.zip FROM patients p WHERE p.zip = 'a'", None),
        ("TRUNCATE staff", Absent),
        ("INSERT INTO staff VALUES (1)", Absent),
        ("COPY staff FROM STDIN", Absent),
        ("MERGE INTO staff s USING patients p ON s.id = p.id WHEN MATCHED THEN UPDATE SET room = 'x'", Effective),
        ("MERGE INTO staff s USING patients p ON true WHEN MATCHED THEN DELETE", None),
        ("MERGE INTO staff s USING patients p ON s.id = p.id WHEN NOT MATCHED THEN INSERT VALUES (1)", Absent),
        ("WITH d AS (DELETE FROM staff RETURNING *) SELECT 1", None),
        ("PREPARE p AS DELETE FROM staff", None),
        ("EXPLAIN ANALYZE DELETE FROM staff", None),
    ] {
        let facts = analysed(text).facts;
        let filters: Vec<Filter> = facts.writes.iter().map(|write| write.filter).collect();
        assert_eq!(filters, [expected], "{text}");
    }
    assert!(analysed("EXPLAIN DELETE FROM staff").facts.writes.is_empty());
    assert_eq!(analysed("DELETE FROM staff; UPDATE staff SET room = ''").facts.writes.len(), 2);
}

#[test]
fn relations_columns_and_functions() {
    let facts = analysed(
        "SELECT upper(p.name), mystery() FROM patients p JOIN mart.people m ON m.ssn = p.ssn \
         WHERE p.zip = '1' GROUP BY p.name ORDER BY p.note",
    )
    .facts;
    let relations: Vec<String> = facts.relations.iter().map(|used| used.relation.to_string()).collect();
    assert_eq!(relations, ["mart.people", "public.patients"]);
    let columns: Vec<String> =
        facts.columns.iter().map(|used| format!("{} {}", used.column, used.usage.name())).collect();
    assert_eq!(
        columns,
        [
            "mart.people.ssn joined",
            "public.patients.name projected",
            "public.patients.name grouped",
            "public.patients.note ordered",
            "public.patients.ssn joined",
            "public.patients.zip filtered",
        ]
    );
    let functions: Vec<(String, bool)> = facts.functions.iter().map(|f| (f.name.to_string(), f.is_known)).collect();
    assert_eq!(functions, [("pg_catalog.upper".to_owned(), true), ("public.mystery".to_owned(), false)]);
    assert_eq!(facts.unknown.iter().map(|what| &**what).collect::<Vec<_>>(), ["function public.mystery()"]);
}

#[test]
fn what_the_catalog_lacks_is_named() {
    for (text, missing) in [
        ("SELECT * FROM nowhere", "relation nowhere"),
        ("SELECT * FROM other.nowhere", "relation other.nowhere"),
        ("SELECT nothing FROM staff", "column nothing"),
        ("SELECT nothing(1)", "function nothing()"),
        ("UPDATE nowhere SET a = 1", "relation nowhere"),
        ("DROP TABLE nowhere", ""),
        ("CREATE TABLE nowhere (id int)", ""),
        ("SELECT * FROM staff", ""),
    ] {
        assert_eq!(analysed(text).missing.join(" "), missing, "{text}");
    }
}

#[test]
fn statements_know_their_place() {
    let text = "SELECT 'é;' ; -- x\n  UPDATE staff SET room = 'ü' RETURNING id;COPY (SELECT 1) TO STDOUT";
    let analysis = analysed(text);
    let places: Vec<&str> = analysis.statements.iter().filter_map(|s| text.get(s.text_range.clone())).collect();
    let update = places.get(1).copied().unwrap_or_default();
    assert_eq!(places.first(), Some(&"SELECT 'é;'"));
    assert!(update.ends_with("UPDATE staff SET room = 'ü' RETURNING id"), "{update}");
    let [_, update, copy] = &analysis.statements[..] else { panic!("three statements") };
    assert!(update.writes_rows && update.has_result_and_writes && !copy.writes_rows && !copy.is_ddl);
    let query = copy.copy.as_ref().and_then(|copy| copy.query.clone()).and_then(|range| text.get(range));
    assert_eq!(query, Some("SELECT 1"));
}
