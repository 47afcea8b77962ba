use std::sync::Arc;

use grille_policy::{
    Filter, FunctionUse, KeyKind, Masker, RelationName, Statement, StatementFacts, TransactionState, Treatment, Write,
};
use serde_json::json;

use crate::support::{analyst, column, component, decide, host_with, problems, said, spec, statement};

fn doing(kinds: &[&str], write: Option<(&str, Filter)>, function: Option<&str>) -> Statement {
    let relation = RelationName { schema: "public".into(), name: "patients".into() };
    let facts = StatementFacts {
        statements: 1,
        kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
        writes: write.map(|(kind, filter)| Write { kind: kind.into(), relation, filter }).into_iter().collect(),
        functions: function.map(|name| FunctionUse { name: name.into(), is_known: true }).into_iter().collect(),
        ..StatementFacts::default()
    };
    Statement {
        text: "x".into(),
        facts: Arc::new(facts),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
    }
}

#[tokio::test]
async fn sql_guard_refuses_what_destroys_and_holds_what_changes_every_row() {
    let host = host_with(vec![spec("guard", &component("sql-guard"), json!({"profile": "standard"}))]).await;
    let mut policies = analyst(&host).await;
    assert!(policies.judges() && policies.protection().is_none());
    for (statement, expected) in [
        (statement("SELECT 1"), "allow"),
        (doing(&["DROP TABLE"], None, None), "block drop: DROP TABLE is not allowed here"),
        (
            doing(&["DELETE"], Some(("DELETE", Filter::None)), None),
            "block delete-without-where: DELETE from public.patients",
        ),
        (doing(&["DELETE"], Some(("DELETE", Filter::Effective)), None), "allow"),
        (
            doing(&["UPDATE"], Some(("UPDATE", Filter::None)), None),
            "review UPDATE of public.patients changes every row",
        ),
        (doing(&["UPDATE"], Some(("UPDATE", Filter::Effective)), None), "allow"),
        (doing(&["SELECT"], None, Some("pg_catalog.pg_read_file")), "block file-or-network-function"),
    ] {
        let decision = decide(&mut policies, &statement).await;
        assert!(said(&decision).starts_with(expected), "{}", said(&decision));
    }
    let found = problems(vec![spec("guard", &component("sql-guard"), json!({"profile": "strict"}))]).await;
    assert!(found[0].message.starts_with("settings/profile: \"strict\" is not one of \"standard\""), "{found:?}");
}

#[tokio::test]
async fn phi_masks_a_clinic() {
    let settings = json!({"profile": "safe-harbor", "columns": ["public.*.favourite"], "inference": "refuse"});
    let host = host_with(vec![spec("phi", &component("phi"), settings)]).await;
    let mut policies = analyst(&host).await;
    assert!(policies.protection().is_some() && !policies.judges());
    let mut id = column("public.patients.id", "int8");
    id.key = KeyKind::Primary;
    let found = policies
        .classify(&[
            id,
            column("public.patients.ssn", "text"),
            column("public.patients.birth_date", "date"),
            column("public.patients.zip", "text"),
            column("public.patients.favourite", "text"),
            column("public.encounters.status", "text"),
            column("public.clinical_notes.note", "text"),
        ])
        .await;
    assert_eq!(said(&found.decision), "allow");
    let mask = Treatment::Mask;
    assert_eq!(
        found.treatments,
        [
            Treatment::Keep,
            mask(Masker::Redact),
            mask(Masker::Year),
            mask(Masker::Zip3),
            mask(Masker::Redact),
            Treatment::Keep,
            mask(Masker::Scan),
        ]
    );
    for (settings, expected) in [
        (json!({"profile": "safeharbor"}), "settings/profile: \"safeharbor\" is not one of \"safe-harbor\""),
        (json!({"columns": ["ssn"]}), "settings/columns/0: `ssn` must have three parts"),
        (json!({"colums": []}), "settings: `colums` is unknown; known are `columns`, "),
    ] {
        let found = problems(vec![spec("phi", &component("phi"), settings)]).await;
        assert!(found.len() == 1 && found[0].message.contains(expected), "{found:?}");
    }
}
