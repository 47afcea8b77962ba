//! What a statement tells of a protected value without showing it: listed with its clause, or refused.

use grille_policy::{Inference, Protection};

use crate::protection::show;
use crate::world::World;

/// A statement and the protected columns that it asks about, with the clause, `public.patients.` left out.
const ASKS: &[(&str, &str)] = &[
    ("SELECT id FROM patients WHERE ssn = '1' ORDER BY name", "name ordered, ssn filtered"),
    ("SELECT id FROM patients WHERE ssn = '1'", "ssn filtered"),
    ("SELECT id FROM patients ORDER BY ssn", "ssn ordered"),
    ("SELECT ssn FROM patients ORDER BY 1", "ssn ordered"),
    ("SELECT count(*) FROM patients GROUP BY name", "name grouped"),
    ("SELECT DISTINCT ssn FROM patients", "ssn grouped"),
    ("SELECT s.id FROM staff s JOIN patients p ON p.ssn = s.room", "ssn joined"),
    ("SELECT s.id FROM staff s JOIN patients p USING (name)", "name joined"),
    ("SELECT id FROM patient_view WHERE social = '1'", "ssn filtered"),
    ("SELECT id FROM staff WHERE room IN (SELECT ssn FROM patients)", "ssn filtered"),
    ("DELETE FROM patients WHERE ssn = '1'", "ssn filtered"),
    ("WITH c AS (SELECT ssn FROM patients WHERE ssn > 'a') SELECT 1", "ssn filtered"),
    ("SELECT id FROM patients p WHERE (p).ssn = '1'", "ssn filtered"),
    ("SELECT id FROM patients p WHERE p IS NOT NULL", "name filtered, phone filtered, ssn filtered"),
    ("SELECT id FROM patients p WHERE row_to_json(p)->>'ssn' = '1'", "name filtered, phone filtered, ssn filtered"),
    // set operations that compare
    ("SELECT ssn FROM patients UNION SELECT '1'", "ssn grouped"),
    ("SELECT '1' INTERSECT SELECT ssn FROM patients", "ssn grouped"),
    ("SELECT '1' INTERSECT ALL SELECT ssn FROM patients", "ssn grouped"),
    ("SELECT '1' EXCEPT SELECT ssn FROM patients", "ssn grouped"),
    ("SELECT count(*) FROM (SELECT '1' EXCEPT (SELECT ssn FROM patients UNION ALL SELECT '2')) x", "ssn grouped"),
    ("WITH RECURSIVE r AS (SELECT ssn FROM patients UNION SELECT ssn FROM r) SELECT count(*) FROM r", "ssn grouped"),
    // aggregates
    ("SELECT count(DISTINCT ssn) FROM patients", "ssn grouped"),
    ("SELECT count(*) FILTER (WHERE ssn = '1') FROM patients", "ssn filtered"),
    ("SELECT string_agg(zip, ',' ORDER BY ssn) FROM patients", "ssn ordered"),
    ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM patients", "ssn ordered, ssn computed"),
    ("SELECT rank('x') WITHIN GROUP (ORDER BY ssn) FROM patients", "ssn ordered, ssn computed"),
    ("SELECT rank() OVER (ORDER BY ssn) FROM patients", "ssn ordered"),
    // tests and choices
    ("SELECT count(CASE WHEN ssn = '1' THEN 1 END) FROM patients", "ssn computed"),
    ("SELECT CASE ssn WHEN '1' THEN 1 END FROM patients", "ssn computed"),
    ("SELECT count(NULLIF(ssn, '1')) FROM patients", "ssn computed"),
    ("SELECT count(ssn = '1' OR NULL) FROM patients", "ssn computed"),
    ("SELECT count(coalesce(phone, (1 / 0)::text)) FROM patients", "phone computed"),
    ("SELECT (ssn = '1') IS TRUE FROM patients", "ssn computed"),
    ("SELECT phone IS NULL FROM patients", "phone computed"),
    ("SELECT '1' IN (SELECT ssn FROM patients)", "ssn computed"),
    ("SELECT ssn = ANY (ARRAY['1']) FROM patients", "ssn computed"),
    ("SELECT count((ARRAY[NULL, 1])[length(ssn)]) FROM patients", "ssn computed"),
    ("SELECT count(*) FROM (SELECT ssn LIKE '1%' FROM patients) x", "ssn computed"),
    ("SELECT JSON_EXISTS(to_jsonb(ssn), '$ ? (@ == \"1\")') FROM patients", "ssn computed"),
    // failures
    ("SELECT 1 / (ssn = '1')::int FROM patients", "ssn computed"),
    ("SELECT ssn::int FROM patients", "ssn computed"),
    ("SELECT ssn::text::date FROM patients", "ssn computed"),
    ("SELECT substr(zip, 1, length(ssn)) FROM patients", "ssn computed"),
    ("SELECT decode(ssn, 'hex') FROM patients", "ssn computed"),
    ("ALTER TABLE patients ADD CHECK (ssn <> '1')", "ssn computed"),
    ("CREATE TABLE t (a text REFERENCES patients (ssn))", "ssn joined"),
    ("ALTER TABLE staff ADD FOREIGN KEY (room) REFERENCES patients (ssn)", "ssn joined"),
    // whether a row is taken
    ("INSERT INTO members (id, ssn) VALUES (1, '1')", "public.members.ssn joined"),
    ("INSERT INTO members SELECT 1, '1', '2'", "public.members.phone joined, public.members.ssn joined"),
    ("INSERT INTO members (id, ssn) VALUES (1, '1') ON CONFLICT DO NOTHING", "public.members.ssn joined"),
    ("COPY members (id, phone) FROM STDIN", "public.members.phone joined"),
    (
        "MERGE INTO members m USING staff s ON m.id = s.id WHEN NOT MATCHED THEN INSERT (id, ssn) VALUES (s.id, s.room)",
        "public.members.ssn joined",
    ),
    // as many rows as a value has parts
    ("SELECT zip, regexp_matches(ssn, '^1') FROM patients", "ssn filtered, ssn computed"),
    ("SELECT p.id FROM patients p, regexp_matches(p.ssn, '^1')", "ssn filtered, ssn computed"),
    ("SELECT p.id FROM patients p, unnest(string_to_array(p.ssn, '1')) x", "ssn filtered, ssn computed"),
    (
        "SELECT p.id FROM patients p, jsonb_path_query(to_jsonb(p.ssn), '$ ? (@ == \"1\")')",
        "ssn filtered, ssn computed",
    ),
    // bodies of functions
    ("SELECT told('1')", "ssn filtered"),
    ("SELECT is_one(ssn) FROM patients", "ssn filtered"),
    ("SELECT is_it(ssn) FROM patients", "ssn filtered"),
    ("SELECT * FROM sorted_ids()", "ssn ordered"),
    ("SELECT id FROM staff WHERE ssn_of(id) = '1'", "ssn filtered"),
    ("SELECT id FROM staff ORDER BY ssn_of(id)", "ssn ordered"),
    ("SELECT count(*) FROM staff GROUP BY initial(ssn_of(id))", "ssn grouped"),
    ("SELECT n.social FROM names_of(1) n WHERE n.who = '1'", "name filtered"),
    (
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM patients WHERE ssn = $$1$$'",
        "ssn filtered",
    ),
];

/// These tell nothing beyond what is masked.
const TELL_NOTHING: &[&str] = &[
    "SELECT ssn, name FROM patients WHERE zip = '1' ORDER BY zip",
    "SELECT * FROM patients",
    "SELECT p FROM patients p",
    "SELECT row_to_json(p) FROM patients p",
    "SELECT upper(name) || ', ' || ssn, coalesce(name, zip, '-'), left(ssn, 3), substr(ssn, 2), ssn::varchar(3) FROM patients",
    "SELECT count(ssn), count(*), max(name), string_agg(name, ',') FROM patients GROUP BY zip",
    "SELECT ssn FROM patients UNION ALL SELECT ssn FROM events",
    "SELECT CASE WHEN zip = '1' THEN ssn ELSE name END FROM patients",
    "SELECT count(ssn) > 5, EXISTS (SELECT ssn FROM patients) FROM patients",
    "SELECT DISTINCT zip FROM patients",
    "SELECT social FROM patient_view",
    "SELECT initial(name), ssn_of(1) FROM patients",
    "SELECT lag(ssn) OVER (ORDER BY id), ARRAY[ssn] FROM patients",
    "SELECT pid FROM pg_stat_activity WHERE query <> ''",
    "INSERT INTO patients (id, ssn) VALUES (1, '1')",
    "CREATE TABLE t (a int REFERENCES patients, b int REFERENCES patients (id))",
    "INSERT INTO members (id, room) VALUES (1, '1')",
    "COPY patients FROM STDIN",
];

pub(crate) fn check(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let strict = Protection { inference: Inference::Refuse, ..Protection::default() };
    for (text, expected) in ASKS.iter().copied().chain(TELL_NOTHING.iter().map(|text| (*text, ""))) {
        let listed = match world.protect(text) {
            Ok(guarded) => guarded.inference,
            Err(refusal) => {
                failures.push(format!("{text}\n    {refusal}"));
                continue;
            }
        };
        let listed: Vec<String> = listed
            .iter()
            .map(|used| {
                format!("{} {}", used.column.to_string().trim_start_matches("public.patients."), used.usage.name())
            })
            .collect();
        let listed = listed.join(", ");
        if listed != expected {
            failures.push(format!("{text}\n    expected {expected}\n    listed   {listed}"));
        }
        let judged = world.protect_with(text, &strict);
        let names_both = |message: &str| {
            let mut pairs = expected.split(", ").filter_map(|pair| pair.split_once(' '));
            pairs.any(|(column, clause)| message.contains(&format!("{column} is {clause}")))
        };
        let is_met = match &judged {
            Ok(_) => expected.is_empty(),
            Err(refusal) => refusal.rule == "inference" && names_both(&refusal.message),
        };
        if !is_met {
            failures.push(format!("{text}\n    strict: {} {:?}", show(&judged), judged.err()));
        }
    }
    failures
}
