//! What the ledger holds of a session: one decision and one outcome for each operation, in order.

use std::collections::HashMap;
use std::time::Duration;

use grille_ledger::{Reader, Record, SealKey};
use grille_pg_codec::Format;
use grille_test_support::{READER, World};
use tokio::time::Instant;

use crate::policies::probed_with;
use crate::script::{Script, tags};

/// The text, rows, SQLSTATE, and treated columns with how many values they had.
pub(crate) type Told = (String, u64, Option<String>, Vec<(String, u64)>);

#[test]
fn each_operation_has_one_decision_and_one_outcome_in_order() {
    let world = probed_with("classify = \"redact\"", "");
    let mut session = world.session(READER);
    let few = "SELECT id, name FROM numbers WHERE id <= 5 ORDER BY id";
    let script = Script::default()
        .query(few)
        .query("SELECT 1/0")
        .query("INSERT INTO notes VALUES (1, 'never')")
        .query("BEGIN")
        .parse("s", few)
        .bind("p", "s", &[], Format::Text)
        .execute("p", 2)
        .execute("p", 2)
        .execute("p", 2)
        .sync()
        .query(&format!("DECLARE c CURSOR FOR {few}"))
        .query("FETCH 3 FROM c")
        .query("FETCH ALL FROM c")
        .query("COMMIT")
        .run(few, &[])
        .run("SELECT 1/0", &[])
        .run("SELECT 2", &[])
        .sync();
    let replies = script.play(&mut session).unwrap();
    let said = tags(&replies);
    assert_eq!(said, "TDDDDDCZEZEZCZ12DDsDDsDCZCZTDDDCZTDDCZCZ12TDDDDDC1EZ", "{}", world.said());

    let none = Vec::new;
    let masked = |rows| vec![("id".to_owned(), rows), ("name".to_owned(), rows)];
    let operation =
        |text: &str, rows, code: Option<&str>, masked| (text.to_owned(), rows, code.map(str::to_owned), masked);
    let expected = [
        operation(few, 5, None, masked(5)),
        operation("SELECT 1/0", 0, Some("22012"), none()),
        operation("INSERT INTO notes VALUES (1, 'never')", 0, Some("42501"), none()),
        operation("BEGIN", 0, None, none()),
        operation(few, 2, None, masked(2)),
        operation(few, 2, None, masked(2)),
        operation(few, 1, None, masked(1)),
        operation(&format!("DECLARE c CURSOR FOR {few}"), 0, None, none()),
        operation("FETCH 3 FROM c", 3, None, masked(3)),
        operation("FETCH ALL FROM c", 2, None, masked(2)),
        operation("COMMIT", 0, None, none()),
        operation(few, 5, None, masked(5)),
    ];
    let told = recorded(&world);
    assert_eq!(told.get(..expected.len()), Some(&expected[..]));
    // What was sent behind the failure before that was known was decided, and skipped.
    assert!(told[expected.len()..].iter().all(|(_, rows, code, _)| *rows == 0 && code.as_deref() == Some("22012")));
}

/// All operations in the order of their decisions. An outcome must follow its decision; one of a refusal follows at once,
/// whatever was sent before it and is not answered yet.
///
/// What a session that has just ended leaves is waited for.
pub(crate) fn recorded(world: &World) -> Vec<Told> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (told, open) = read(world);
        if open.is_empty() {
            return told;
        }
        assert!(Instant::now() < deadline, "no outcome: {open:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many operations there are, of which each must have one decision and then one outcome: for many of them.
pub(crate) fn each_is_recorded_once(world: &World) -> usize {
    let (ledger, seal) = world.ledger();
    let reader = Reader::open(&ledger, Some(SealKey::from_file(&seal).unwrap())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut has_outcome = HashMap::new();
        for entry in reader.records().unwrap() {
            match entry.unwrap().record() {
                Some(Record::Decision(decision)) => {
                    assert!(has_outcome.insert(decision.id, false).is_none(), "{} was decided twice", decision.id);
                }
                Some(Record::Outcome(outcome)) => {
                    let before = has_outcome.insert(outcome.decision, true);
                    assert_eq!(before, Some(false), "{}: its outcome comes before it, or twice", outcome.decision);
                }
                _ => {}
            }
        }
        if has_outcome.values().all(|has| *has) {
            return has_outcome.len();
        }
        assert!(Instant::now() < deadline, "operations without an outcome");
    }
}

/// Those with an outcome, and the texts of those without.
fn read(world: &World) -> (Vec<Told>, Vec<String>) {
    let (ledger, seal) = world.ledger();
    let seal = SealKey::from_file(&seal).unwrap();
    let mut decided: Vec<(String, String, Option<Told>)> = Vec::new();
    for entry in Reader::open(&ledger, Some(seal)).unwrap().records().unwrap() {
        match entry.unwrap().record() {
            Some(Record::Decision(decision)) => {
                decided.push((decision.id.to_string(), decision.text.to_string(), None))
            }
            Some(Record::Outcome(outcome)) => {
                let decision = decided.iter_mut().find(|(id, ..)| *id == outcome.decision.to_string());
                let (_, text, told) = decision.expect("a decision before its outcome");
                assert!(told.is_none(), "{text} has two outcomes");
                let has_bytes = outcome.bytes > 0 || text.starts_with("UPDATE");
                assert!(outcome.rows == 0 || has_bytes && outcome.duration_us > 0, "{text}");
                let masked = outcome.masked.iter().map(|masked| (masked.column.to_string(), masked.count));
                let code = outcome.sqlstate.as_deref().map(str::to_owned);
                *told = Some((text.clone(), outcome.rows, code, masked.collect()));
            }
            _ => {}
        }
    }
    let open = decided.iter().filter(|(_, _, told)| told.is_none()).map(|(_, text, _)| text.clone()).collect();
    (decided.into_iter().filter_map(|(_, _, told)| told).collect(), open)
}
