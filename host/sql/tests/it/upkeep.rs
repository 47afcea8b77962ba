//! The catalog itself.

use crate::server::version;
use crate::world::World;

pub(crate) async fn check(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let columns = world.catalog.base_columns();
    let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
    for expected in [
        "public.patients.ssn",
        "public.patient_copy.ssn",
        "public.events.ssn",
        "public.events_2025.ssn",
        "mart.people.ssn",
    ] {
        if !names.iter().any(|name| name == expected) {
            failures.push(format!("base_columns lacks {expected}"));
        }
    }
    for unexpected in ["public.patient_view.social", "public.pair.one", "pg_catalog.pg_class.relname"] {
        if names.iter().any(|name| name == unexpected) {
            failures.push(format!("base_columns has {unexpected}"));
        }
    }
    let ssn = columns.iter().find(|column| column.name.to_string() == "public.patients.ssn");
    if ssn.is_none_or(|ssn| &*ssn.comment != "social security number" || &*ssn.type_name != "text") {
        failures.push(format!("patients.ssn is {ssn:?}"));
    }
    let row = world.client.query_one("SELECT 'patients'::regclass::oid", &[]).await.expect("an oid");
    let oid: u32 = row.get(0);
    match world.catalog.column_by_oid(oid, 3) {
        Some(column) if column.to_string() == "public.patients.ssn" => {}
        other => failures.push(format!("column 3 of patients is {other:?}")),
    }
    failures
}

/// Every kind of change that the catalog holds moves the version; reading does not.
pub(crate) async fn check_freshness(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let mut before = version(&world.client).await;
    for (text, moves) in [
        ("SELECT * FROM patients", false),
        ("INSERT INTO staff VALUES (77, 'a', 'b')", false),
        ("ANALYZE", false),
        ("CREATE TABLE fresh (id int)", true),
        ("ALTER TABLE fresh ADD COLUMN ssn text", true),
        ("ALTER TABLE fresh RENAME COLUMN ssn TO other", true),
        ("ALTER TABLE fresh RENAME TO renamed", true),
        ("CREATE VIEW fresh_view AS SELECT 1 AS one", true),
        ("CREATE OR REPLACE VIEW fresh_view AS SELECT 2 AS one", true),
        ("CREATE OR REPLACE FUNCTION constant_one() RETURNS int LANGUAGE sql AS 'SELECT 2'", true),
        ("COMMENT ON COLUMN renamed.other IS 'x'", true),
        ("ALTER TABLE renamed ADD PRIMARY KEY (id)", true),
        ("DROP VIEW fresh_view", true),
        ("DROP TABLE renamed", true),
    ] {
        world.client.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let after = version(&world.client).await;
        if (before != after) != moves {
            failures.push(format!("version after {text}: moved = {}", before != after));
        }
        before = after;
    }
    failures
}
