//! What a masked session gets: `ssn` is cut, the patients' `name` becomes a token, `phone` NULL.

use grille_policy::{Opaque, Protection, Writes};
use grille_sql::{Guarded, Refusal, RowPlan};

use crate::world::World;

/// A statement and the treatment of each column, or the rule that refuses it.
const CASES: &[(&str, &str)] = &[
    // direct
    ("SELECT id, ssn, name, phone FROM patients", "keep partial(4) token(name) null"),
    ("SELECT x FROM (SELECT ssn x FROM patients) s", "partial(4)"),
    ("SELECT who, social, room FROM late_view", "token(name) partial(4) keep"),
    ("SELECT * FROM view_on_late_view", "keep redact"),
    ("SELECT room FROM late_view", "keep"),
    ("SELECT * FROM late_copy", "redact"),
    ("SELECT * FROM unnest(ARRAY(SELECT zip FROM patients)) z", "keep"),
    ("SELECT unnest(ARRAY(SELECT ssn FROM patients)), unnest(ARRAY(SELECT p FROM patients p))", "redact redact"),
    ("SELECT unnest FROM unnest(ARRAY(SELECT ssn FROM patients))", "redact"),
    ("SELECT u.zip FROM unnest(ARRAY(SELECT p FROM patients p)) u", "redact"),
    ("SELECT ssn::text FROM patients", "partial(4)"),
    ("SELECT * FROM staff", "keep keep keep"),
    ("SELECT social, shout FROM patient_view", "partial(4) redact"),
    ("SELECT b FROM view_on_view", "partial(4)"),
    ("SELECT ssn, low FROM patient_copy", "partial(4) redact"),
    ("SELECT ssn FROM events_2025", "partial(4)"),
    ("SELECT ssn FROM parents UNION SELECT '1'", "redact"),
    ("SELECT * FROM names_of(1)", "token(name) partial(4)"),
    ("SELECT ssn_of(1)", "partial(4)"),
    ("SELECT what, who FROM notes_of(1)", "keep token(name)"),
    ("SELECT * FROM derived", "keep partial(4) redact keep"),
    ("SELECT * FROM murky", "keep redact"),
    // derived
    ("SELECT ssn || 'x', upper(name), phone || '', ssn::varchar(3) FROM patients", "redact redact redact redact"),
    ("SELECT row_to_json(p) FROM patients p", "redact"),
    ("SELECT p FROM patients p", "redact"),
    ("SELECT count(ssn), count(*), max(id) FROM patients", "keep keep keep"),
    ("SELECT min(ssn), string_agg(name, ',') FROM patients", "redact redact"),
    ("SELECT initial(name), initial(zip) FROM patients", "redact keep"),
    ("SELECT (SELECT ssn FROM patients LIMIT 1), EXISTS (SELECT ssn FROM patients)", "redact keep"),
    ("SELECT ssn::int FROM patients", "redact"),
    ("EXPLAIN SELECT * FROM patients WHERE ssn = '1'", "redact"),
    ("EXPLAIN SELECT id FROM patients WHERE zip = '1'", "keep"),
    ("EXPLAIN ANALYZE SELECT name FROM patients", "redact"),
    ("EXPLAIN SELECT name, ssn_of(id), upper(name) FROM patients", "keep"),
    ("EXPLAIN (COSTS, VERBOSE) SELECT name FROM patients", "redact"),
    ("EXPLAIN (VERBOSE off) SELECT * FROM patients", "keep"),
    ("EXPLAIN SELECT id FROM staff WHERE room = ssn_of(1)", "redact"),
    ("EXPLAIN SELECT id FROM patients ORDER BY upper(name)", "redact"),
    ("EXPLAIN SELECT 1 FROM (SELECT upper(ssn) AS s FROM patients) x WHERE s <> ''", "redact"),
    ("EXPLAIN SELECT DISTINCT ssn FROM patients", "redact"),
    // opaque
    ("SELECT opaque_one(room) FROM staff", "refused opaque"),
    ("SELECT id FROM staff WHERE opaque_one(room) = 'a'", "refused opaque"),
    ("SELECT allowed_one(name), allowed_one(room) FROM staff", "keep keep"),
    ("SELECT allowed_one(ssn) FROM patients", "redact"),
    ("SELECT query_to_xml('select ssn from patients', true, false, '')", "refused opaque"),
    ("SELECT table_to_xml('patients', true, false, '')", "refused opaque"),
    ("SELECT * FROM pg_read_file('/etc/passwd')", "refused opaque"),
    ("SELECT lo_import('/etc/passwd')", "refused opaque"),
    ("SELECT lo_from_bytea(0, ssn::bytea) FROM patients", "refused opaque"),
    ("SELECT pg_ls_dir('.')", "refused opaque"),
    ("SELECT pg_logical_emit_message(false, 'a', ssn) FROM patients", "refused opaque"),
    ("SELECT * FROM pg_logical_slot_peek_changes('s', NULL, NULL)", "refused opaque"),
    ("SELECT * FROM dblink('dbname=x', 'SELECT ssn FROM patients') AS t (ssn text), staff", "refused unknown-function"),
    ("SELECT pg_advisory_lock(ssn::bigint) FROM patients", "refused laundering"),
    ("SELECT ts_stat('select ssn::tsvector from patients')", "refused opaque"),
    ("SELECT pg_cancel_backend(1), pg_terminate_backend(pid) FROM pg_stat_activity WHERE false", "keep keep"),
    ("SELECT pg_cancel_backend(ssn::int) FROM patients", "refused laundering"),
    ("SELECT current_query()", "keep"),
    ("SELECT no_such_function(1)", "refused unknown-function"),
    ("CALL no_such_procedure()", "refused unknown-function"),
    ("SELECT no_such_function(1), opaque_one(room) FROM staff", "refused opaque"),
    ("SELECT no_such_function(1) FROM no_such_table", "refused unknown-relation"),
    ("INSERT INTO no_such_table SELECT ssn FROM patients", "refused unknown-relation"),
    ("SET search_path = mart; SELECT no_such_function(1)", "refused opaque"),
    ("SELECT * FROM no_such_table", "refused unknown-relation"),
    ("SELECT * FROM pg_toast.pg_toast_1", "refused opaque"),
    ("DO 'BEGIN END'", "refused do"),
    ("CALL tidy()", "none"),
    ("SELECT * FROM pg_stat_get_activity(NULL)", "refused opaque"),
    ("SELECT set_config('x.y', ssn, false) FROM patients", "refused opaque"),
    ("SELECT setval('numbers', id) FROM staff", "keep"),
    ("SELECT setval('numbers', ssn::bigint) FROM patients", "refused laundering"),
    ("SELECT pg_sleep(ssn::int) FROM patients", "refused laundering"),
    ("SELECT count(*) FROM generate_series(1, (SELECT ssn::int FROM patients LIMIT 1))", "refused laundering"),
    (
        "SELECT count(*) FROM (SELECT 1 FROM generate_series(1, 1000) LIMIT (SELECT ssn::int FROM patients LIMIT 1)) x",
        "refused laundering",
    ),
    ("SELECT * FROM generate_series(1, (SELECT max(id) FROM patients)) LIMIT 5", "keep"),
    ("SELECT 1 OPERATOR(pg_catalog.+) 1, 1 OPERATOR(public.+) 1", "refused opaque"),
    // writes
    ("UPDATE patients SET note = 'x' WHERE id = 1", "none"),
    ("UPDATE patients SET ssn = 'x' WHERE id = 1", "refused protected-write"),
    ("UPDATE patients SET (note, ssn) = ('a', 'b')", "refused protected-write"),
    ("UPDATE patient_view SET social = 'x'", "refused protected-write"),
    ("UPDATE children SET ssn = 'x'", "refused protected-write"),
    ("UPDATE patients SET note = 'x' RETURNING ssn, id", "partial(4) keep"),
    ("INSERT INTO patients (id, ssn) VALUES (1, 'x')", "none"),
    ("INSERT INTO patients (id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO NOTHING", "none"),
    ("INSERT INTO patients (id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = excluded.note", "none"),
    (
        "INSERT INTO patients (id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn",
        "refused protected-write",
    ),
    ("INSERT INTO patients (id, ssn) SELECT id, ssn FROM events", "none"),
    ("INSERT INTO patients (id, ssn) SELECT id, name FROM patients", "refused laundering"),
    ("INSERT INTO patients (id, phone) SELECT id, name FROM patients", "none"),
    ("INSERT INTO staff SELECT id, ssn FROM patients", "refused laundering"),
    ("INSERT INTO staff SELECT id, ssn || 'x' FROM patients", "refused laundering"),
    ("INSERT INTO staff SELECT id, zip FROM patients", "none"),
    ("INSERT INTO staff VALUES (1, (SELECT ssn FROM patients LIMIT 1))", "refused laundering"),
    ("UPDATE staff SET room = p.ssn FROM patients p", "refused laundering"),
    ("UPDATE patients SET note = ssn", "refused laundering"),
    ("UPDATE patients SET (note, zip) = (SELECT ssn, zip FROM events, staff LIMIT 1)", "refused laundering"),
    (
        "MERGE INTO staff s USING patients p ON s.id = p.id WHEN MATCHED THEN UPDATE SET room = p.ssn",
        "refused laundering",
    ),
    (
        "MERGE INTO staff s USING patients p ON s.id = p.id WHEN NOT MATCHED THEN INSERT VALUES (p.id, p.name)",
        "refused laundering",
    ),
    (
        "MERGE INTO patients p USING staff s ON s.id = p.id WHEN MATCHED THEN UPDATE SET ssn = 'a'",
        "refused protected-write",
    ),
    ("MERGE INTO staff s USING patients p ON s.id = p.id WHEN MATCHED THEN DELETE", "none"),
    ("WITH x AS (UPDATE patients SET note = 'x' RETURNING ssn) SELECT * FROM x", "partial(4)"),
    ("WITH x AS (INSERT INTO staff SELECT id, name FROM patients RETURNING *) SELECT 1", "refused laundering"),
    // laundering by definition
    ("CREATE TABLE t AS SELECT ssn FROM patients", "refused laundering"),
    ("CREATE TABLE t AS SELECT id, zip FROM patients", "none"),
    ("CREATE TEMP TABLE t AS SELECT upper(ssn) FROM patients", "refused laundering"),
    ("SELECT ssn INTO t FROM patients", "refused laundering"),
    ("SELECT 1 AS a, ssn INTO TEMP t FROM patients UNION SELECT 2, 'x'", "refused laundering"),
    ("CREATE VIEW v AS SELECT ssn FROM patients", "refused laundering"),
    ("CREATE VIEW v AS SELECT zip FROM patients", "none"),
    ("CREATE MATERIALIZED VIEW v AS SELECT * FROM patient_view", "refused laundering"),
    ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM patients'", "refused laundering"),
    ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT room FROM staff'", "none"),
    ("CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(ssn) FROM patients WHERE zip = $$1$$'", "none"),
    ("CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT zip FROM patients WHERE note = $1'", "none"),
    ("CREATE FUNCTION f() RETURNS text LANGUAGE sql RETURN (SELECT min(ssn) FROM patients)", "refused laundering"),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO staff SELECT id, ssn FROM patients RETURNING id'",
        "refused laundering",
    ),
    ("CREATE FUNCTION f(x text DEFAULT ssn_of(1)) RETURNS text LANGUAGE sql AS 'SELECT x'", "refused laundering"),
    (
        "CREATE FUNCTION f(OUT a text, OUT b text) LANGUAGE sql AS 'SELECT zip, social FROM patient_view'",
        "refused laundering",
    ),
    ("CREATE FUNCTION f() RETURNS patients LANGUAGE sql AS 'SELECT p FROM patients p'", "refused laundering"),
    ("CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "refused definition"),
    ("ALTER TABLE patients ALTER COLUMN note TYPE text USING ssn", "refused laundering"),
    ("ALTER TABLE patients RENAME COLUMN ssn TO x", "refused protected-definition"),
    ("ALTER TABLE patients RENAME TO x", "refused protected-definition"),
    ("ALTER TABLE patients SET SCHEMA mart", "refused protected-definition"),
    ("ALTER SCHEMA public RENAME TO x", "refused protected-definition"),
    ("ALTER TABLE patients ADD COLUMN x text", "none"),
    ("ALTER TABLE patients ADD COLUMN x text GENERATED ALWAYS AS (ssn) STORED", "refused laundering"),
    ("ALTER TABLE staff RENAME COLUMN room TO x", "none"),
    ("COMMENT ON COLUMN patients.ssn IS 'harmless'", "refused protected-definition"),
    ("CREATE INDEX ON patients (lower(ssn))", "none"),
    ("CREATE TRIGGER t AFTER INSERT ON patients EXECUTE FUNCTION f()", "refused protected-definition"),
    ("CREATE RULE r AS ON INSERT TO staff DO ALSO SELECT 1", "refused definition"),
    ("INSERT INTO ruled VALUES (1, 'a')", "refused opaque"),
    ("ALTER TABLE staff ADD COLUMN x text DEFAULT ssn_of(1)", "refused laundering"),
    ("ALTER TABLE staff ALTER COLUMN room SET DEFAULT ssn_of(1)", "refused laundering"),
    ("ALTER TABLE staff ALTER COLUMN room TYPE text USING ssn_of(id)", "refused laundering"),
    ("ALTER TABLE staff ALTER COLUMN room TYPE text USING name", "none"),
    ("CREATE TABLE t (a text DEFAULT ssn_of(1))", "refused laundering"),
    ("CREATE DOMAIN d AS text DEFAULT ssn_of(1)", "refused laundering"),
    ("CREATE DOMAIN d AS text CHECK (value <> '')", "none"),
    ("CREATE TABLE t PARTITION OF events FOR VALUES FROM (ssn_of(1)) TO (MAXVALUE)", "refused laundering"),
    ("CREATE TABLE t (a text) PARTITION BY LIST (opaque_one(a))", "refused opaque"),
    ("CREATE TABLE t (a text) PARTITION BY LIST (upper(a))", "none"),
    (
        "CREATE OR REPLACE FUNCTION names_of(int) RETURNS TABLE (who text, social text) LANGUAGE sql AS $$ SELECT 'x', 'y' $$",
        "refused definition",
    ),
    ("CREATE OR REPLACE FUNCTION constant_one() RETURNS int LANGUAGE sql AS 'SELECT 2'", "none"),
    ("ALTER TABLE patients ADD PRIMARY KEY (ssn)", "refused protected-definition"),
    ("ALTER TABLE staff ADD UNIQUE (room)", "none"),
    ("ALTER TYPE pair RENAME TO couple", "refused definition"),
    ("CREATE STATISTICS s ON (opaque_one(room)), id FROM staff", "refused opaque"),
    ("CREATE STATISTICS s ON (upper(room)), id FROM staff", "none"),
    ("CREATE EXTENSION dblink", "refused definition"),
    ("CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'x', CHECK (a <> ''))", "none"),
    ("CREATE TABLE t PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "none"),
    ("DROP TABLE patients", "none"),
    ("TRUNCATE patients", "none"),
    ("VACUUM ANALYZE patients", "none"),
    // copy
    ("COPY patients (id, ssn) TO STDOUT", "keep partial(4)"),
    ("COPY (SELECT upper(ssn), zip FROM patients) TO STDOUT WITH (FORMAT csv, HEADER)", "redact keep"),
    ("COPY patients TO '/tmp/x'", "refused opaque"),
    ("COPY patients TO PROGRAM 'cat'", "refused opaque"),
    ("COPY staff FROM '/tmp/x'", "refused opaque"),
    ("COPY patients FROM STDIN", "none"),
    ("COPY (DELETE FROM patients RETURNING ssn) TO STDOUT", "partial(4)"),
    // session
    ("SET search_path = mart, public", "none"),
    ("SET application_name = 'x'; SET TIME ZONE 'UTC'; SET statement_timeout = 1", "none none none"),
    ("SET client_encoding = 'UTF8'", "none"),
    ("SET client_encoding = 'SJIS'", "refused session-setting"),
    ("SET standard_conforming_strings = on", "none"),
    ("SET standard_conforming_strings = off", "refused session-setting"),
    ("SET row_security = off; SET xmloption = content; SET check_function_bodies = false", "none none none"),
    (
        "SET default_tablespace = ''; SET default_table_access_method = heap; SET synchronize_seqscans TO off",
        "none none none",
    ),
    ("SET client_min_messages = warning", "none"),
    ("SET client_min_messages = debug5", "refused session-setting"),
    ("SET my.setting = 'x'", "refused session-setting"),
    ("SET backslash_quote = on", "refused session-setting"),
    ("SET session_replication_role = replica", "refused session-setting"),
    ("SET ROLE postgres", "refused session-setting"),
    ("RESET ROLE", "none"),
    ("SET SESSION AUTHORIZATION postgres", "refused session-setting"),
    ("SET SESSION AUTHORIZATION DEFAULT", "none"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", "none"),
    ("SET TRANSACTION READ ONLY", "none"),
    ("SELECT set_config('role', 'postgres', false)", "refused session-setting"),
    ("SELECT set_config('search_path', '', false)", "keep"),
    ("RESET ALL", "none"),
    ("DISCARD ALL", "none"),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE; COMMIT; ROLLBACK; SAVEPOINT a; RELEASE a", "none none none none none"),
    ("PREPARE TRANSACTION 'x'", "refused session-setting"),
    ("LISTEN x", "refused notify"),
    ("NOTIFY x", "refused notify"),
    ("SELECT pg_notify('x', 'y')", "refused notify"),
    ("UNLISTEN *", "none"),
    ("ALTER SYSTEM SET x = 1", "refused definition"),
    ("ALTER ROLE postgres SET x = 1", "refused definition"),
    ("LOAD 'x'", "refused definition"),
    // names
    ("PREPARE p AS SELECT ssn FROM patients; EXECUTE p", "none partial(4)"),
    ("PREPARE p AS SELECT ssn FROM patients; DEALLOCATE p; EXECUTE p", "refused unknown-statement"),
    ("EXECUTE p", "refused unknown-statement"),
    ("PREPARE p AS SELECT ssn FROM patients; CREATE TABLE t AS EXECUTE p", "refused laundering"),
    ("PREPARE p AS SELECT ssn FROM patients; EXPLAIN EXECUTE p", "none redact"),
    ("PREPARE p AS SELECT opaque_one(ssn) FROM patients", "refused opaque"),
    (
        "DECLARE c CURSOR FOR SELECT upper(ssn), id FROM patients; FETCH 1 FROM c; MOVE c; CLOSE c",
        "none redact keep none none",
    ),
    ("FETCH ALL FROM c", "refused unknown-cursor"),
    // statistics and activity
    ("SELECT tablename, histogram_bounds, most_common_vals FROM pg_stats", "keep null null"),
    ("SELECT pid, query FROM pg_stat_activity", "keep null"),
    ("SELECT left(query, 10) FROM pg_stat_activity WHERE state = 'active'", "redact"),
    ("SELECT stavalues1 FROM pg_statistic", "null"),
    ("SELECT name, statement FROM pg_prepared_statements", "keep null"),
    // several statements, comments
    ("SELECT 1; SELECT ssn FROM patients", "keep partial(4)"),
    ("SELECT 1 /* ; */; -- x\n SELECT opaque_one('x')", "refused opaque"),
    ("", ""),
    ("SET search_path = mart; SELECT ssn FROM people", "refused opaque"),
    ("SET search_path = mart; SELECT ssn FROM mart.people", "none partial(4)"),
    ("SELECT room FROM staff; SET search_path = mart", "keep none"),
    // tables that the same text makes
    ("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); SELECT b, a FROM t", "none none keep keep"),
    (
        "CREATE TEMP TABLE t AS SELECT id, zip FROM patients; UPDATE t SET zip = ''; SELECT * FROM t",
        "none none keep keep",
    ),
    ("SELECT id, zip AS z INTO TEMP t FROM patients; DELETE FROM t WHERE z = ''; SELECT t.z FROM t", "none none keep"),
    ("CREATE TABLE mart.t (a int); SELECT a FROM mart.t", "none keep"),
    ("CREATE TABLE t (a text); INSERT INTO t SELECT ssn FROM patients; SELECT a FROM t", "refused laundering"),
    ("CREATE TABLE t (a text); SELECT a, ssn FROM t, patients", "none keep partial(4)"),
    ("CREATE TABLE mart.t (a int); SELECT a FROM t", "refused opaque"),
    ("CREATE TABLE IF NOT EXISTS t (a int); SELECT a FROM t", "refused opaque"),
    ("CREATE TABLE t (LIKE patients); SELECT ssn FROM t", "refused opaque"),
    ("BEGIN; CREATE TABLE t (a int); COMMIT; SELECT a FROM t", "refused opaque"),
    ("SET search_path = mart; CREATE TABLE t (a int); SELECT a FROM t", "refused opaque"),
    ("CREATE TABLE t (a int); DROP TABLE t; SELECT a FROM t", "refused opaque"),
    (
        "CREATE TEMP TABLE patients (id int, ssn text); INSERT INTO patients SELECT id, ssn FROM public.patients",
        "refused names-moved",
    ),
    ("CREATE TEMP TABLE staff AS SELECT 1 AS id; SELECT id FROM staff", "refused names-moved"),
    ("CREATE TABLE mart.staff (id int); SELECT id FROM staff", "none keep"),
    ("BEGIN; SELECT room FROM staff; COMMIT", "none keep none"),
    ("ROLLBACK; SELECT room FROM staff", "refused opaque"),
    ("BEGIN; SELECT 1; COMMIT; SELECT room FROM staff", "refused opaque"),
    ("BEGIN; SELECT 1; COMMIT; SELECT room FROM public.staff", "none keep none keep"),
    // what programs ask
    (
        "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class') FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','') AND n.nspname !~ '^pg_toast' AND pg_table_is_visible(c.oid) ORDER BY 1, 2",
        "keep keep keep keep",
    ),
    (
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), (SELECT pg_get_expr(d.adbin, d.adrelid, true) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = 'patients'::regclass",
        "keep keep keep keep",
    ),
    (
        "SELECT has_table_privilege('patients', 'delete'), has_schema_privilege('public', 'USAGE'), 'drop table patients' AS \"delete\"",
        "keep keep keep",
    ),
    (
        "SELECT pg_size_pretty(pg_total_relation_size('patients')), pg_database_size(current_database()), to_regclass('patients'), pg_backend_pid(), txid_current()",
        "keep keep keep keep keep",
    ),
    ("SELECT * FROM information_schema.columns WHERE table_name = 'patients'", "keep"),
    (
        "SELECT random(), clock_timestamp(), nextval('numbers'), gen_random_uuid(), pg_sleep(0), version()",
        "keep keep keep keep keep keep",
    ),
    ("SELECT array_to_string(array_agg(x), ',') FROM generate_series(1, 3) x", "keep"),
    ("SELECT pg_try_advisory_lock(1), pg_is_in_recovery(), pg_current_wal_lsn()", "keep keep keep"),
];

pub(crate) fn check(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    for (text, expected) in CASES {
        let got = show(&world.protect(text));
        let is_met = match *expected {
            // Many columns, none treated.
            "keep" => got.split(' ').all(|word| word == "keep"),
            expected => got == expected,
        };
        if !is_met {
            let detail = world.protect(text).err().map(|refusal| refusal.message);
            failures.push(format!("{text}\n    expected {expected}\n    got      {got} {detail:?}"));
        }
    }
    failures.extend(settings(world));
    failures.extend(touches(world));
    failures
}

/// What the settings of a policy change.
fn settings(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let loose = Protection { opaque: Opaque::Scan, writes: Writes::Allow, notify: true, ..Protection::default() };
    for (text, protection, expected) in [
        ("UPDATE patients SET ssn = 'x'", &loose, "none"),
        ("UPDATE patients SET note = ssn", &loose, "refused laundering"),
        ("LISTEN x", &loose, "none"),
        ("SELECT opaque_one(room), id FROM staff", &loose, "scan keep"),
        ("SELECT opaque_one(ssn) FROM patients", &loose, "redact"),
        ("DO 'BEGIN END'", &loose, "refused do"),
    ] {
        let got = show(&world.protect_with(text, protection));
        if got != expected {
            failures.push(format!("{text}\n    expected {expected}\n    got      {got}"));
        }
    }
    failures
}

fn touches(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    for (text, expected) in [
        ("SELECT 1", false),
        ("SELECT * FROM staff", false),
        ("SELECT id FROM patients", true),
        ("SELECT a FROM view_on_view", true),
        ("SELECT * FROM zip_count", true),
        ("INSERT INTO patients (id) VALUES (1)", true),
        ("SELECT ssn_of(1)", true),
        ("SELECT * FROM patient_copy", true),
        ("SELECT * FROM clinics", false),
        ("SELECT relname FROM pg_class", false),
        ("REINDEX DATABASE postgres", true),
        ("CREATE UNIQUE INDEX ON patients (ssn)", true),
        ("CREATE UNIQUE INDEX ON staff (room)", false),
    ] {
        let got = world.protect(text).map(|guarded| guarded.touches_protected);
        if got != Ok(expected) {
            failures.push(format!("{text}: touches {got:?}"));
        }
    }
    failures
}

pub(crate) fn show(guarded: &Result<Guarded, Refusal>) -> String {
    let guarded = match guarded {
        Ok(guarded) => guarded,
        Err(refusal) => return format!("refused {}", refusal.rule),
    };
    let plans = guarded.statements.iter().map(|plan| match plan {
        RowPlan::None => "none".into(),
        RowPlan::Every(treatment) => format!("every {treatment}"),
        RowPlan::Columns(columns) => {
            columns.iter().map(|column| column.treatment.to_string()).collect::<Vec<_>>().join(" ")
        }
    });
    plans.collect::<Vec<String>>().join(" ")
}
