use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_plugin::{EngineConfig, Isolation, LoadProblem, PluginHost, PolicySpec};
use grille_policy::{
    BaseColumn, Certainty, ColumnName, Decision, Evaluator, KeyKind, Mode, NameList, Opened, Operation, Parameter,
    Policies, ResultColumn, ResultShape, SessionFacts, Statement, StatementFacts, TransactionState, Verdict, testing,
};
use serde_json::Value;

/// A component that `cargo xtask components` has built, such as `guests/probe`.
pub(crate) fn component(name: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components").join(format!("{name}.wasm"));
    assert!(built.is_file(), "{} is missing: run `cargo xtask components` first", built.display());
    built
}

pub(crate) fn spec(name: &str, plugin: &Path, settings: Value) -> PolicySpec {
    PolicySpec {
        name: name.into(),
        plugin: plugin.to_owned(),
        pin: None,
        targets: NameList::new(["clinic"]),
        roles: NameList::new(["*", "!dba"]),
        mode: Mode::Enforce,
        on_failure_allow: false,
        memory: None,
        time: None,
        isolation: Isolation::Session,
        grants: Vec::new(),
        settings,
    }
}

/// The guest that does what its settings say.
pub(crate) fn probe(settings: Value) -> PolicySpec {
    spec("probe", &component("guests/probe"), settings)
}

/// A host of few instances that keeps what it compiles between tests.
pub(crate) fn host() -> PluginHost {
    host_of(64)
}

pub(crate) fn host_of(instances: u32) -> PluginHost {
    PluginHost::new(EngineConfig { instances, ..engine() }).expect("an engine")
}

/// Python takes seconds to compile: what was compiled once is kept for all tests and runs.
pub(crate) fn engine() -> EngineConfig {
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    EngineConfig { cache_dir, ..EngineConfig::default() }
}

/// A host with these policies in force.
pub(crate) async fn host_with(specs: Vec<PolicySpec>) -> PluginHost {
    let host = host();
    put_in_force(&host, specs).await;
    host
}

pub(crate) async fn put_in_force(host: &PluginHost, specs: Vec<PolicySpec>) {
    let set = host.load(specs).await.unwrap_or_else(|problems| panic!("{problems:?}"));
    host.swap(set);
}

pub(crate) async fn problems(specs: Vec<PolicySpec>) -> Vec<LoadProblem> {
    match host().load(specs).await {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

pub(crate) fn session(roles: &[&str]) -> Arc<SessionFacts> {
    let roles = roles.iter().map(|role| (*role).into()).collect();
    Arc::new(SessionFacts { roles, ..testing::session() })
}

/// The policies that bind an analyst.
pub(crate) async fn analyst(host: &PluginHost) -> Box<dyn Policies> {
    opened(host).await.policies
}

pub(crate) async fn opened(host: &PluginHost) -> Opened {
    host.open(session(&["analyst"])).await
}

pub(crate) fn statement(text: &str) -> Statement {
    Statement {
        text: text.into(),
        facts: Arc::new(StatementFacts { statements: 1, kinds: vec!["SELECT".into()], ..StatementFacts::default() }),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
    }
}

pub(crate) fn with_parameter(statement: &Statement, value: &str) -> Statement {
    let parameter = Parameter { type_oid: 25, is_binary: false, value: Some(value.as_bytes().into()) };
    Statement { parameters: Arc::new([parameter]), ..statement.clone() }
}

pub(crate) async fn decide(policies: &mut Box<dyn Policies>, statement: &Statement) -> Decision {
    policies.decide(&Operation::Statement(statement.clone())).await
}

/// The verdict in short: `allow`, `block <rule>: <message>`, `review <reason>`.
pub(crate) fn said(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Block(finding) => format!("block {}: {}", finding.rule, finding.message),
        Verdict::Review(terms) => format!("review {}", terms.reason),
    }
}

pub(crate) fn column(name: &str, type_name: &str) -> BaseColumn {
    BaseColumn {
        name: column_name(name),
        type_oid: 25,
        type_name: type_name.into(),
        key: KeyKind::None,
        comment: "".into(),
    }
}

pub(crate) fn shape(columns: &[&str]) -> ResultShape {
    let column = |name: &&str| ResultColumn {
        name: (*name).into(),
        type_oid: 25,
        type_name: "text".into(),
        origins: if name.contains('.') { vec![column_name(name)] } else { Vec::new() },
        certainty: Certainty::Exact,
    };
    ResultShape { columns: columns.iter().map(column).collect() }
}

fn column_name(name: &str) -> ColumnName {
    let parts: Vec<&str> = name.split('.').collect();
    let [schema, table, column] = parts[..] else { panic!("{name} has three parts") };
    ColumnName { schema: schema.into(), table: table.into(), column: column.into() }
}
