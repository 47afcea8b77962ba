//! What each output column comes from, beside what the server itself says of it.

use grille_sql::Output;

use crate::{World, describe};

/// Exact origins as they are, `~` before derived ones, `?` before unknown ones.
pub(crate) const CASES: &[(&str, &str)] = &[
    // 1: direct, under any name
    ("SELECT ssn AS x FROM patients", "patients.ssn"),
    ("SELECT * FROM staff", "staff.id, staff.name, staff.room"),
    ("TABLE staff", "staff.id, staff.name, staff.room"),
    ("SELECT p.ssn, public.patients.zip FROM patients p, patients", "patients.ssn, patients.zip"),
    ("SELECT public.patients.ssn FROM public.patients", "patients.ssn"),
    ("SELECT x FROM (SELECT ssn AS x FROM patients) AS s", "patients.ssn"),
    ("SELECT y FROM (SELECT ssn, id FROM patients) AS s (y, z)", "patients.ssn"),
    ("SELECT * FROM (SELECT id, ssn FROM patients) AS s (y)", "patients.id, patients.ssn"),
    ("WITH c AS (SELECT ssn FROM patients) SELECT * FROM c", "patients.ssn"),
    ("WITH c (k) AS MATERIALIZED (SELECT ssn FROM patients) SELECT k FROM c", "patients.ssn"),
    ("WITH patients AS (SELECT room AS ssn FROM staff) SELECT ssn FROM patients", "staff.room"),
    ("WITH patients AS (SELECT id, ssn FROM patients) SELECT ssn FROM patients", "patients.ssn"),
    ("SELECT x.room FROM (parents p JOIN staff s USING (id)) x", "staff.room"),
    ("SELECT id, clinics.name FROM parents JOIN staff USING (id) JOIN clinics USING (id)", "parents.id, clinics.name"),
    (
        "SELECT * FROM parents a JOIN parents b USING (id) LEFT JOIN staff c USING (id)",
        "parents.id, parents.ssn, parents.ssn, staff.name, staff.room",
    ),
    (
        "SELECT l.a, l.b FROM clinics c, (staff s CROSS JOIN LATERAL (SELECT c.city AS a, s.room AS b) l)",
        "clinics.city, staff.room",
    ),
    (
        "SELECT (SELECT s.room FROM (SELECT id FROM parents) s2, LATERAL (SELECT s2.id) s3 LIMIT 1) FROM staff s",
        "~staff.room",
    ),
    ("WITH a AS (SELECT ssn FROM patients), b AS (SELECT * FROM a) SELECT b.ssn FROM b", "patients.ssn"),
    ("SELECT p.ssn, c.name FROM patients p JOIN clinics c ON c.id = p.clinic_id", "patients.ssn, clinics.name"),
    ("SELECT * FROM parents JOIN (SELECT id, room FROM staff) s USING (id)", "parents.id, parents.ssn, staff.room"),
    ("SELECT * FROM parents NATURAL JOIN (SELECT id, room FROM staff) s", "parents.id, parents.ssn, staff.room"),
    ("SELECT id FROM parents FULL JOIN staff USING (id)", "~parents.id+staff.id"),
    ("SELECT id, j.id FROM parents RIGHT JOIN staff USING (id) AS j", "staff.id, staff.id"),
    ("SELECT p.id, staff.id FROM parents p JOIN staff USING (id)", "parents.id, staff.id"),
    ("SELECT j.name FROM (patients p JOIN encounters e ON e.patient_id = p.id) AS j (a, b, c, name)", "patients.name"),
    ("SELECT l.ssn FROM clinics c, LATERAL (SELECT ssn FROM patients WHERE clinic_id = c.id) l", "patients.ssn"),
    ("SELECT ssn FROM patients GROUP BY ssn", "patients.ssn"),
    ("SELECT DISTINCT ssn FROM patients", "patients.ssn"),
    ("SELECT DISTINCT ON (zip) ssn FROM patients ORDER BY zip", "patients.ssn"),
    ("SELECT ssn FROM patients FOR UPDATE", "patients.ssn"),
    ("SELECT ssn::text FROM patients", "patients.ssn"),
    ("SELECT ssn FROM patients TABLESAMPLE system (10)", "patients.ssn"),
    ("SELECT ctid, xmin, tableoid, ssn FROM patients", "~, ~, ~, patients.ssn"),
    ("UPDATE staff SET room = 'x' RETURNING name", "staff.name"),
    ("UPDATE staff s SET room = 'x' FROM patients p WHERE p.id = s.id RETURNING s.id, p.ssn", "staff.id, patients.ssn"),
    (
        "DELETE FROM patients WHERE id = 1 RETURNING *",
        "patients.id, patients.clinic_id, patients.ssn, patients.name, patients.dob, patients.phone, patients.zip, patients.note, patients.tags, patients.extra, patients.created",
    ),
    ("INSERT INTO staff (id) VALUES (1) RETURNING id, room", "staff.id, staff.room"),
    ("WITH d AS (DELETE FROM staff RETURNING name) SELECT name FROM d", "staff.name"),
    // inheritance, partitions, views
    ("SELECT ssn FROM events", "events.ssn"),
    ("SELECT ssn FROM events_2025", "events_2025.ssn"),
    ("SELECT ssn, toy FROM children", "children.ssn, children.toy"),
    ("SELECT social, shout, zip FROM patient_view", "patients.ssn, ~patients.name, patients.zip"),
    ("SELECT * FROM view_on_view", "patients.id, patients.ssn, clinics.city"),
    ("SELECT * FROM zip_count", "patients.zip, ~"),
    ("SELECT ssn, low FROM patient_copy", "patient_copy.ssn, patient_copy.low"),
    // 15: rows as values
    ("SELECT s FROM staff s", "~staff.id+staff.name+staff.room"),
    ("SELECT staff FROM staff", "~staff.id+staff.name+staff.room"),
    ("SELECT (s).room, (s).* FROM staff s", "staff.room, staff.id, staff.name, staff.room"),
    ("SELECT room(s), s.room FROM staff s", "staff.room, staff.room"),
    ("SELECT (x.s).room FROM (SELECT s FROM staff s) x", "staff.room"),
    (
        "SELECT row_to_json(s), s::text, to_jsonb(s) FROM staff s",
        "~staff.id+staff.name+staff.room, ~staff.id+staff.name+staff.room, ~staff.id+staff.name+staff.room",
    ),
    ("SELECT row_to_json(x) FROM (SELECT ssn FROM patients) x", "~patients.ssn"),
    ("SELECT ROW(s.*), ROW(s.id, 1) FROM staff s", "~staff.id+staff.name+staff.room, ~staff.id"),
    ("SELECT (both_of).one, (p.both_of).* FROM pairs p", "~pairs.both_of, ~pairs.both_of, ~pairs.both_of"),
    // 16: expressions
    ("SELECT ssn || name FROM patients", "~patients.name+patients.ssn"),
    (
        "SELECT upper(ssn), substring(ssn from 1 for 3), left(name, 1) FROM patients",
        "~patients.ssn, ~patients.ssn, ~patients.name",
    ),
    ("SELECT CASE WHEN ssn = '1' THEN 'a' ELSE zip END FROM patients", "~patients.ssn+patients.zip"),
    (
        "SELECT coalesce(note, ssn), nullif(ssn, zip), greatest(ssn, 'a') FROM patients",
        "~patients.note+patients.ssn, ~patients.ssn+patients.zip, ~patients.ssn",
    ),
    (
        "SELECT ssn::varchar(3), ssn COLLATE \"C\", dob::text, phone::text FROM patients",
        "~patients.ssn, ~patients.ssn, ~patients.dob, ~patients.phone",
    ),
    ("SELECT ARRAY[ssn, name], tags[1] FROM patients", "~patients.name+patients.ssn, ~patients.tags"),
    ("SELECT extra->>'a', extra #> '{b}' FROM patients", "~patients.extra, ~patients.extra"),
    (
        "SELECT ssn = '1', ssn IS NULL, ssn IN ('1'), ssn LIKE '1%', ssn BETWEEN '1' AND zip FROM patients",
        "~patients.ssn, ~patients.ssn, ~patients.ssn, ~patients.ssn, ~patients.ssn+patients.zip",
    ),
    (
        "SELECT extract(year FROM dob), dob AT TIME ZONE 'UTC', position('1' in ssn) FROM patients",
        "~patients.dob, ~patients.dob, ~patients.ssn",
    ),
    ("SELECT xmlelement(name a, ssn), xmlforest(zip) FROM patients", "~patients.ssn, ~patients.zip"),
    ("SELECT encode(ssn::bytea, 'hex'), md5(name) FROM patients", "~patients.ssn, ~patients.name"),
    ("SELECT lag(ssn) OVER (ORDER BY id), row_number() OVER (PARTITION BY ssn) FROM patients", "~patients.ssn, ~"),
    (
        "SELECT (SELECT ssn FROM patients LIMIT 1), ARRAY(SELECT name FROM staff), EXISTS (SELECT ssn FROM patients)",
        "~patients.ssn, ~staff.name, ~",
    ),
    ("SELECT id IN (SELECT id FROM patients) FROM staff", "~patients.id+staff.id"),
    ("SELECT (SELECT p.ssn) FROM patients p", "~patients.ssn"),
    ("SELECT 1, 'a', NULL, now(), $1::int, current_user", ", , , ~, , ~"),
    // 17: aggregates
    ("SELECT count(*), count(ssn), count(DISTINCT name) FROM patients", "~, ~, ~"),
    (
        "SELECT min(ssn), string_agg(name, ',' ORDER BY zip), array_agg(p) IS NULL FROM patients p GROUP BY zip",
        "~patients.ssn, ~patients.name, ~patients.clinic_id+patients.created+patients.dob+patients.extra+patients.id+patients.name+patients.note+patients.phone+patients.ssn+patients.tags+patients.zip",
    ),
    (
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn), mode() WITHIN GROUP (ORDER BY zip) FROM patients",
        "~patients.ssn, ~patients.zip",
    ),
    (
        "SELECT json_agg(ssn), jsonb_object_agg(id, name), json_build_object('a', ssn) FROM patients GROUP BY ssn",
        "~patients.ssn, ~patients.id+patients.name, ~patients.ssn",
    ),
    ("SELECT count(*) FILTER (WHERE ssn LIKE '1%') FROM patients", "~"),
    ("SELECT zip, grouping(zip), count(*) FROM patients GROUP BY GROUPING SETS ((zip), ())", "patients.zip, ~, ~"),
    // 18: set operations
    (
        "SELECT id, ssn FROM patients UNION ALL SELECT id, name FROM staff",
        "~patients.id+staff.id, ~patients.ssn+staff.name",
    ),
    ("SELECT ssn FROM patients EXCEPT SELECT room FROM staff", "~patients.ssn+staff.room"),
    ("SELECT 1 UNION SELECT 2 UNION SELECT 3", ""),
    ("VALUES (1, 'a'), (2, (SELECT ssn FROM patients LIMIT 1))", ", ~patients.ssn"),
    ("SELECT column2 FROM (VALUES (1, 'a')) v", ""),
    (
        "WITH RECURSIVE r (n, s) AS (SELECT 1, ssn FROM patients UNION ALL SELECT n + 1, s || 'x' FROM r WHERE n < 3) SELECT * FROM r",
        "~, ~patients.ssn",
    ),
    (
        "WITH RECURSIVE r AS (SELECT id, room AS a, name AS b FROM staff UNION SELECT id, b, a FROM r) SELECT a, b FROM r",
        "~staff.name+staff.room, ~staff.name+staff.room",
    ),
    (
        "WITH RECURSIVE a AS (WITH b AS (SELECT id, ssn FROM patients) SELECT * FROM b UNION ALL SELECT id + 1, ssn FROM a WHERE id < 2) SELECT * FROM a",
        "~patients.id, ~patients.ssn",
    ),
    ("SELECT (q).* FROM (SELECT id, ssn FROM patients) q (a, b)", "patients.id, patients.ssn"),
    ("SELECT b FROM (SELECT (q).* FROM (SELECT id, ssn FROM patients) q (a, b)) s", "patients.ssn"),
    ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT ssn FROM patients) SELECT * FROM a", "patients.ssn"),
    // 19: functions
    (
        "SELECT * FROM by_zip('1')",
        "patients.id, patients.clinic_id, patients.ssn, patients.name, patients.dob, patients.phone, patients.zip, patients.note, patients.tags, patients.extra, patients.created",
    ),
    ("SELECT b.ssn FROM by_zip('1') b", "patients.ssn"),
    ("SELECT (by_zip('1')).ssn", "patients.ssn"),
    ("SELECT * FROM names_of(1)", "patients.name, patients.ssn"),
    ("SELECT n.social FROM clinics c, names_of(c.id) n", "patients.ssn"),
    ("SELECT ssn_of(1), initial(name), constant_one() FROM patients", "patients.ssn, ~patients.name, "),
    ("SELECT opaque_one(ssn) FROM patients", "?patients.ssn"),
    ("SELECT opaque_one('a')", "?"),
    ("SELECT * FROM opaque_one('a') AS o", "?"),
    ("SELECT * FROM generate_series(1, 3) AS g (n)", "~"),
    ("SELECT g, h FROM generate_series(1, 3) g, generate_series(1, g) WITH ORDINALITY AS x (a, h)", "~, ~"),
    ("SELECT k, v FROM patients, jsonb_each(extra) AS e (k, v)", "~patients.extra, ~patients.extra"),
    ("SELECT key FROM patients p, jsonb_each_text(p.extra)", "~patients.extra"),
    ("SELECT t FROM patients, unnest(tags) t", "~patients.tags"),
    ("SELECT unnest(tags) FROM patients", "~patients.tags"),
    ("SELECT * FROM unnest(ARRAY['a'], ARRAY[1]) AS u (a, b)", "~, ~"),
    ("SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY['a'])) AS r (a, b)", "~, ~"),
    ("SELECT * FROM jsonb_to_recordset('[]') AS r (a int, b text)", "~, ~"),
    ("SELECT * FROM json_populate_record(NULL::staff, '{}')", "~, ~, ~"),
    (
        "SELECT x.* FROM patients, XMLTABLE('/a' PASSING xmlelement(name a, ssn) COLUMNS b text PATH 'b', n FOR ORDINALITY) x",
        "~patients.ssn, ~patients.ssn",
    ),
    ("SELECT * FROM mart.people", "mart.people.id, mart.people.ssn, mart.people.name"),
    (
        "SELECT u.ssn IS NULL FROM (SELECT ssn FROM patients) u WHERE EXISTS (SELECT 1 FROM staff WHERE room = u.ssn)",
        "~patients.ssn",
    ),
    ("SELECT f.x FROM generate_subscripts(ARRAY[1], 1) AS f (x)", "~"),
    ("SELECT m[1] FROM patients, regexp_matches(ssn, '(.)') AS m", "~patients.ssn"),
    ("SELECT string_to_table(name, ' ') FROM patients", "~patients.name"),
    // what programs ask
    ("SELECT pg_catalog.version(), current_setting('server_version'), current_schema()", "~, ~, ~"),
    (
        "SELECT c.relname, pg_catalog.pg_get_userbyid(c.relowner), pg_table_is_visible(c.oid) FROM pg_catalog.pg_class c",
        "pg_catalog.pg_class.relname, ~pg_catalog.pg_class.relowner, ~pg_catalog.pg_class.oid",
    ),
    ("SHOW search_path", "~"),
    ("EXPLAIN SELECT ssn FROM patients WHERE zip = '1'", "~patients.zip"),
];

/// Texts that PostgreSQL 15 does not take, and what they mean for one that does.
const LATER: &[(&str, &str)] = &[
    (
        "MERGE INTO staff s USING patients p ON s.id = p.id WHEN MATCHED THEN UPDATE SET room = 'x' RETURNING s.room",
        "staff.room",
    ),
    ("UPDATE staff SET room = 'x' RETURNING old.room, new.name", "staff.room, staff.name"),
    (
        "SELECT j.* FROM patients, JSON_TABLE(extra, '$' COLUMNS (a text PATH '$.a', NESTED PATH '$.b' COLUMNS (c int))) j",
        "~patients.extra, ~patients.extra",
    ),
    (
        "SELECT JSON_VALUE(extra, '$.a'), JSON_OBJECT('a': ssn), JSON_ARRAY(name, zip), JSON_ARRAYAGG(ssn) FROM patients GROUP BY 1, 2, 3",
        "~patients.extra, ~patients.ssn, ~patients.name+patients.zip, ~patients.ssn",
    ),
    (
        "SELECT ssn IS JSON, JSON_SCALAR(ssn), JSON_SERIALIZE(extra) FROM patients",
        "~patients.ssn, ~patients.ssn, ~patients.extra",
    ),
];

pub(crate) async fn check(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    for (text, expected) in CASES.iter().chain(LATER) {
        let analysis = world.analyse(text);
        let got = describe(&analysis.statements[0].output);
        if got != *expected {
            failures.push(format!(
                "{text}\n    expected {expected}\n    got      {got}   unknown: {:?}",
                analysis.facts.unknown
            ));
        }
    }
    for (text, _) in CASES {
        failures.extend(beside_the_server(world, text).await);
    }
    failures
}

/// The server names the same columns, and where it names an origin so do we.
async fn beside_the_server(world: &World, text: &str) -> Option<String> {
    let statement = match world.client.prepare(text).await {
        Ok(statement) => statement,
        Err(error) => return Some(format!("{text}\n    the server says {error:?}")),
    };
    let analysis = world.analyse(text);
    let Output::Rows(columns) = &analysis.statements[0].output else { return Some(format!("{text}: no columns")) };
    let theirs: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
    let ours: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    if theirs != ours {
        return Some(format!("{text}\n    the server names {theirs:?}\n    we name          {ours:?}"));
    }
    for (column, own) in statement.columns().iter().zip(columns) {
        let (Some(table), Some(number)) = (column.table_oid(), column.column_id()) else { continue };
        let Some(origin) = world.catalog.column_by_oid(table, number) else { continue };
        let is_view = ["patient_view", "view_on_view", "zip_count"].contains(&&*origin.table);
        if !is_view && !own.origins.contains(&origin) {
            return Some(format!("{text}: the server says {} is {origin}, we say {:?}", column.name(), own.origins));
        }
    }
    None
}
