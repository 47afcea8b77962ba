use std::fs;
use std::path::Path;

use std::sync::Arc;

use grille_plugin::{Analyst, EngineConfig, PluginHost, Step, Table, cases_path};
use grille_policy::StatementFacts;
use serde_json::{Value, json};

use crate::support::{component, put_in_force, spec};

/// Knows every type and no SQL.
struct Illiterate;

impl Analyst for Illiterate {
    fn facts(&self, _sql: &str, _tables: &Arc<[Table]>) -> Result<Arc<StatementFacts>, String> {
        Err("nobody reads SQL here".into())
    }

    fn type_of(&self, name: &str) -> Option<(u32, Arc<str>)> {
        Some((25, name.into()))
    }
}

fn host() -> PluginHost {
    let analyst: Arc<dyn Analyst> = Arc::new(Illiterate);
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    let config = EngineConfig { cache_dir, instances: 64, analyst: Some(analyst), ..EngineConfig::default() };
    PluginHost::new(config).expect("an engine")
}

/// phi with these cases beside it.
fn phi_with(dir: &Path, cases: &Value) -> std::path::PathBuf {
    let plugin = dir.join("phi.wasm");
    fs::copy(component("phi"), &plugin).expect("copy phi");
    fs::write(cases_path(&plugin), cases.to_string()).expect("write the cases");
    plugin
}

fn case(name: &str, settings: Value, expected: &str) -> Value {
    json!({
        "name": name,
        "settings": settings,
        "columns": [{ "name": "public.patients.ssn" }],
        "expect": { "treatments": [expected] },
    })
}

#[tokio::test]
async fn a_case_that_fails_stops_the_swap_and_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let plugin = phi_with(dir.path(), &json!([case("ssn is gone", json!({}), "redact")]));
    let host = host();
    put_in_force(&host, vec![spec("phi", &plugin, json!({}))]).await;

    phi_with(dir.path(), &json!([case("ssn is gone", json!({}), "redact"), case("ssn stays", json!({}), "keep")]));
    let problems = host.load(vec![spec("phi", &plugin, json!({}))]).await.err().expect("it does not load");
    let [problem] = &problems[..] else { panic!("one problem, not {problems:?}") };
    assert_eq!(problem.step, Step::Cases);
    let said = problem.to_string();
    let named = format!(
        "policy \"phi\": {}: case \"ssn stays\": treatment 1 (public.patients.ssn): expected keep, got redact; ",
        cases_path(&plugin).display()
    );
    assert!(said.starts_with(&named) && !said.contains('\n'), "{said}");
}

/// A case that names no settings runs under the policy's own; one that does, under those.
#[tokio::test]
async fn cases_run_under_the_policys_settings_unless_they_name_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut own = case("under the policy's own", json!({}), "token(ssn)");
    own.as_object_mut().expect("an object").remove("settings");
    let plugin = phi_with(dir.path(), &json!([own, case("under its own", json!({}), "redact")]));
    let pseudonymous = json!({ "profile": "pseudonymous" });
    assert!(host().load(vec![spec("phi", &plugin, pseudonymous)]).await.is_ok());
    let problems = host().load(vec![spec("phi", &plugin, json!({}))]).await.err().expect("it does not load");
    assert!(problems[0].message.contains("expected token(ssn), got redact"), "{problems:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_of_cases_is_a_problem_of_the_load() {
    let dir = tempfile::tempdir().expect("a folder");
    let statement = json!([{ "name": "sql", "statement": { "sql": "SELECT 1" }, "expect": {} }]);
    let open = json!([{ "name": "open", "open": {}, "expect": {} }]);
    for (cases, expected) in [
        (json!({ "cases": "all" }), "it is no file of cases: invalid type"),
        (json!([case("wrong settings", json!({ "profil": 1 }), "redact")]), "`profil` is unknown"),
        (statement, "does not export `sql`"),
        (open, "does not export `session`"),
    ] {
        let plugin = phi_with(dir.path(), &cases);
        let problems = host().load(vec![spec("phi", &plugin, json!({}))]).await.err().expect("it does not load");
        let said = &problems[0].message;
        assert!(problems[0].step == Step::Cases && said.contains(expected) && !said.contains('\n'), "{said}");
    }
    let guard = dir.path().join("sql-guard.wasm");
    fs::copy(component("sql-guard"), &guard).expect("copy");
    fs::write(cases_path(&guard), r#"[{"name": "s", "statement": {"sql": "SELECT 1"}, "expect": {}}]"#).expect("write");
    let problems = host().load(vec![spec("guard", &guard, json!({}))]).await.err().expect("it does not load");
    assert!(problems[0].message.contains("nobody reads SQL here"), "{problems:?}");
}
