//! What policies cost, in medians: `cargo run --release -p grille-plugin --example budget`.
//!
//! Needs the components that `cargo xtask components` builds. Budgets: a warm verdict ≤ 1.5 µs, a remembered one ≤ 0.2 µs,
//! a session's instance ≤ 20 µs, a rewritten cell ≤ 25 ns.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::expect_used, reason = "it prints figures for people")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grille_plugin::{EngineConfig, Isolation, PluginHost, PolicySpec};
use grille_policy::{
    BaseColumn, Batch, Certainty, ColumnName, Evaluator, KeyKind, Mode, NameList, Operation, ResultColumn, ResultShape,
    SessionFacts, SessionId, Statement, StatementFacts, Subject, TransactionState,
};
use serde_json::{Value, json};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = PluginHost::new(EngineConfig { instances: 64, ..EngineConfig::default() }).expect("an engine");
    let began = Instant::now();
    put_in_force(&host, vec![spec("guard", "sql-guard", Value::Null)]).await;
    println!("load sql-guard, compile included     {:>9.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let began = Instant::now();
    put_in_force(&host, vec![spec("guard", "sql-guard", json!({"profile": "standard"}))]).await;
    println!("load it again, its digest seen       {:>9.1} ms", began.elapsed().as_secs_f64() * 1e3);

    let mut opened = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        let mut policies = host.open(session()).await.policies;
        policies.decide(&statement()).await;
        opened.push(began.elapsed());
    }
    println!("open a session and judge once        {:>9.2} µs", micros(opened));

    let mut policies = host.open(session()).await.policies;
    let mut warm = Vec::new();
    for _ in 0..5_000 {
        // Each has facts of its own, so that nothing is remembered.
        let statement = statement();
        let began = Instant::now();
        policies.decide(&statement).await;
        warm.push(began.elapsed());
    }
    println!("verdict, warm                        {:>9.2} µs", micros(warm));
    let repeated = statement();
    let mut memoised = Vec::new();
    for _ in 0..5_000 {
        let began = Instant::now();
        policies.decide(&repeated).await;
        memoised.push(began.elapsed());
    }
    println!("verdict, remembered                  {:>9.2} µs", micros(memoised));

    put_in_force(&host, vec![spec("phi", "phi", Value::Null)]).await;
    let columns: Vec<BaseColumn> = (0..1_000).map(column).collect();
    let began = Instant::now();
    host.open(session()).await.policies.classify(&columns).await;
    println!("classify 1,000 columns with phi      {:>9.2} ms", began.elapsed().as_secs_f64() * 1e3);
    let began = Instant::now();
    host.open(session()).await.policies.classify(&columns).await;
    println!("classify them for the next session   {:>9.2} ms", began.elapsed().as_secs_f64() * 1e3);

    put_in_force(&host, vec![spec("probe", "guests/probe", Value::Null)]).await;
    let mut policies = host.open(session()).await.policies;
    let shape = shape();
    let mut cells = Vec::new();
    for _ in 0..1_000 {
        let batch = batch(300, 20);
        let began = Instant::now();
        policies.transform("probe", &shape, batch).await.expect("the probe rewrites");
        cells.push(began.elapsed());
    }
    println!("transform, per cell of 20 bytes      {:>9.2} ns", micros(cells) * 1e3 / 300.0);
}

/// The median in microseconds.
fn micros(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_nanos() as f64 / 1e3
}

async fn put_in_force(host: &PluginHost, specs: Vec<PolicySpec>) {
    let set = host.load(specs).await.unwrap_or_else(|problems| panic!("{problems:?}"));
    host.swap(set);
}

fn spec(name: &str, plugin: &str, settings: Value) -> PolicySpec {
    let plugin: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components").join(format!("{plugin}.wasm"));
    PolicySpec {
        name: name.into(),
        plugin,
        pin: None,
        targets: NameList::new(["*"]),
        roles: NameList::new(["*"]),
        mode: Mode::Enforce,
        on_failure_allow: false,
        memory: None,
        time: None,
        isolation: Isolation::Session,
        grants: Vec::new(),
        settings,
    }
}

fn session() -> Arc<SessionFacts> {
    let subject = Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: "u-1".into(),
        name: "Ann".into(),
        groups: vec!["data-analysts".into()],
        actors: Vec::new(),
        expires_at: 1_800_000_000,
        claims: "{}".into(),
    };
    Arc::new(SessionFacts {
        id: SessionId::mint(1_795_000_000_000, 7),
        subject: Arc::new(subject),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:5555".into(),
        client: "psql".into(),
        tls: None,
    })
}

fn statement() -> Operation {
    let facts = StatementFacts { statements: 1, kinds: vec!["SELECT".into()], ..StatementFacts::default() };
    Operation::Statement(Statement {
        text: "SELECT abalance FROM pgbench_accounts WHERE aid = 1".into(),
        facts: Arc::new(facts),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
    })
}

fn column(number: usize) -> BaseColumn {
    const NAMES: [&str; 10] =
        ["id", "ssn", "first_name", "birth_date", "status", "icd10_code", "notes", "amount", "zip", "department"];
    BaseColumn {
        name: ColumnName {
            schema: "public".into(),
            table: format!("table_{}", number / 10).into(),
            column: NAMES[number % 10].into(),
        },
        type_oid: 25,
        type_name: "text".into(),
        key: KeyKind::None,
        comment: "".into(),
    }
}

fn shape() -> ResultShape {
    let column = ResultColumn {
        name: "c".into(),
        type_oid: 25,
        type_name: "text".into(),
        origins: Vec::new(),
        certainty: Certainty::Exact,
    };
    ResultShape { columns: vec![column] }
}

fn batch(cells: u32, bytes: u32) -> Batch {
    Batch {
        column: 0,
        blob: vec![b'x'; (cells * bytes) as usize],
        offsets: (0..=cells).map(|cell| cell * bytes).collect(),
        nulls: vec![0; cells.div_ceil(8) as usize],
    }
}
