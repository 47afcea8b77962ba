//! Hostile sizes: answered, or a clean error; never a crash, on a stack as small as an async worker's.

use std::time::Duration;

use tokio::time::Instant;

use grille_sql::{AnalyseError, Analysis, Settings, analyse};

use crate::world::World;

pub(crate) fn check(world: &World) -> Vec<String> {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("SELECT {}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let cases: Vec<(&str, String, bool)> = vec![
        ("20,000 parentheses", nested("(", "1", ")", 20_000), false),
        ("400 nested selects", nested("(SELECT ", "ssn FROM patients", ")", 400), true),
        ("1,000 nested selects", nested("(SELECT ", "1", ")", 1_000), false),
        ("400 nested FROM", format!("{}SELECT 1{}", "SELECT * FROM (".repeat(400), ") x".repeat(400)), true),
        ("5,000 operators", format!("SELECT 1{} FROM patients", " + id".repeat(5_000)), true),
        ("5,000 ANDs", format!("SELECT 1 FROM patients WHERE id = 1{}", " AND id = 2".repeat(5_000)), true),
        ("2,000 UNIONs", format!("SELECT ssn FROM patients{}", " UNION ALL SELECT '1'".repeat(2_000)), true),
        ("900 nested calls", nested("upper(", "ssn", ")", 900) + " FROM patients", true),
        ("5,000 nested calls", nested("upper(", "'a'", ")", 5_000), false),
        ("3,000 casts", format!("SELECT 1{}", "::int".repeat(3_000)), false),
        (
            "900 joins",
            format!(
                "SELECT s0.id FROM staff s0{}",
                (1..900).map(|i| format!(" CROSS JOIN staff s{i}")).collect::<String>()
            ),
            true,
        ),
        ("5,000 NOTs", format!("SELECT {}true", "NOT ".repeat(5_000)), false),
        (
            "5,000 CTEs",
            format!(
                "WITH {} SELECT 1",
                (0..5_000).map(|i| format!("c{i} AS (SELECT 1)")).collect::<Vec<_>>().join(",")
            ),
            true,
        ),
        (
            "a chain of doubling CTEs",
            format!(
                "WITH c0 AS (SELECT 1 AS a){} SELECT * FROM c30",
                (1..=30).map(|i| format!(", c{i} AS (SELECT x.a FROM c{p} x, c{p} y)", p = i - 1)).collect::<String>()
            ),
            true,
        ),
    ];
    let mut failures = Vec::new();
    for (what, text, must_succeed) in cases {
        let start = Instant::now();
        let answer = on_a_small_stack(world, &text);
        let spent = start.elapsed();
        match answer {
            Ok(_) => {}
            Err(AnalyseError::Limit(_)) if !must_succeed => {}
            Err(error) => failures.push(format!("{what}: {error:?}")),
        }
        if spent > Duration::from_secs(5) {
            failures.push(format!("{what}: took {spent:?}"));
        }
    }
    failures.extend(bulk(world));
    let long = Settings { limits: grille_sql::Limits { text_bytes: 10, ..Default::default() }, ..Default::default() };
    if !matches!(analyse("SELECT 1234567890", &world.catalog, &long), Err(AnalyseError::Limit(_))) {
        failures.push("a text over the limit was taken".into());
    }
    for (text, settings) in [("SELEC 1", Settings::default()), ("SELECT 'a\0b'", Settings::default())] {
        if !matches!(analyse(text, &world.catalog, &settings), Err(AnalyseError::Syntax { .. })) {
            failures.push(format!("{text:?} is no syntax error"));
        }
    }
    let off = Settings { standard_conforming_strings: false, ..Settings::default() };
    if analyse("SELECT 1", &world.catalog, &off).err() != Some(AnalyseError::BackslashStrings) {
        failures.push("backslash strings were taken".into());
    }
    failures
}

/// Twice the rows take about twice the time, and five megabytes no more than a few seconds unoptimised.
fn bulk(world: &World) -> Vec<String> {
    let rows = |count: usize| {
        let row = "(1, 'some ordinary text of a usual length', 2.5, NULL, DEFAULT)";
        format!("INSERT INTO patients (id, ssn, clinic_id, note, zip) VALUES {}", vec![row; count].join(","))
    };
    let mut failures = Vec::new();
    let (half, whole) = (rows(40_000), rows(80_000));
    let time = |text: &str| {
        let start = Instant::now();
        let answer = on_a_small_stack(world, text);
        (answer.is_ok(), start.elapsed())
    };
    let ((first, short), (second, long)) = (time(&half), time(&whole));
    if !first || !second {
        failures.push("a bulk insert was not answered".into());
    }
    if whole.len() < 5_000_000 || long > Duration::from_secs(10) || long > short * 6 {
        failures.push(format!("{} bytes took {long:?}, half of it {short:?}", whole.len()));
    }
    failures
}

/// An async worker has 2 MiB.
fn on_a_small_stack(world: &World, text: &str) -> Result<Analysis, AnalyseError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn_scoped(scope, || analyse(text, &world.catalog, &Settings::default()))
            .expect("a thread");
        thread.join().expect("no panic")
    })
}
