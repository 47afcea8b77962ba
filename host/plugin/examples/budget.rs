//! What policies cost, in medians: `cargo run --release -p grille-plugin --example budget`, or `cargo xtask bench policies`.
//!
//! Needs the components that `cargo xtask components` builds.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::expect_used, reason = "it prints figures for people")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grille_plugin::{EngineConfig, Isolation, PluginHost, PolicySpec};
use grille_policy::{
    Batch, Certainty, Evaluator, Mode, NameList, Operation, Policies, ResultColumn, ResultShape, SessionFacts,
    Statement, StatementFacts, TransactionState, testing,
};
use serde_json::{Value, json};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = PluginHost::new(EngineConfig { instances: 256, ..EngineConfig::default() }).expect("an engine");
    let directory = tempfile::tempdir().expect("a directory");
    let reader = built("guests/reader");
    let stateless = directory.path().join("stateless.wasm");
    fs::write(&stateless, declared_stateless(&fs::read(&reader).expect("read"))).expect("write");

    println!("                                          median     budget");
    loading(&host, directory.path()).await;
    instances(&host, &reader).await;
    verdicts(&host, &reader, &stateless).await;
    transform(&host).await;
    many(&host, &reader, &stateless).await;
}

fn say(what: &str, figure: f64, unit: &str, budget: &str) {
    println!("{what:<38}{figure:>9.2} {unit:<3}{budget:>8}");
}

/// From the bytes of a file to a set that can be swapped in.
async fn loading(host: &PluginHost, directory: &Path) {
    let sources = ["sql-guard", "phi"];
    for name in sources {
        // Bytes that were never seen: the same component with another comment.
        let copy = directory.join(format!("{name}-new.wasm"));
        let mut bytes = fs::read(built(name)).expect("read");
        bytes.extend(custom_section("comment", b"new"));
        fs::write(&copy, bytes).expect("write");
        let began = Instant::now();
        put_in_force(host, vec![spec("policy", &copy, Value::Null)]).await;
        say(&format!("load {name}, compiled anew"), millis(began.elapsed()), "ms", "");
        let began = Instant::now();
        put_in_force(host, vec![spec("policy", &copy, json!({}))]).await;
        say(&format!("load {name}, digest seen before"), millis(began.elapsed()), "ms", "");
    }
}

async fn instances(host: &PluginHost, reader: &Path) {
    put_in_force(host, vec![spec("reader", reader, Value::Null)]).await;
    let (mut handed, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let began = Instant::now();
        let mut policies = host.open(session()).await.policies;
        opened.push(began.elapsed());
        policies.decide(&statement("SELECT 1")).await;
        handed.push(began.elapsed());
        // Somebody makes the next one ready meanwhile.
        tokio::task::yield_now().await;
    }
    say("open a session", micros(opened), "µs", "");
    say("… and hand it an instance that judges", micros(handed), "µs", "20");
}

async fn verdicts(host: &PluginHost, reader: &Path, stateless: &Path) {
    put_in_force(host, vec![spec("reader", reader, Value::Null)]).await;
    let statement = statement("SELECT abalance FROM pgbench_accounts WHERE aid = 1");
    let mut policies = host.open(session()).await.policies;
    say("verdict, warm", per_call(&mut *policies, &statement).await, "µs", "1.5");
    put_in_force(host, vec![spec("reader", stateless, Value::Null)]).await;
    let mut policies = host.open(session()).await.policies;
    say("verdict, remembered", per_call(&mut *policies, &statement).await, "µs", "0.2");
    put_in_force(host, vec![spec("guard", &built("sql-guard"), Value::Null)]).await;
    let mut policies = host.open(session()).await.policies;
    say("verdict of sql-guard, remembered", per_call(&mut *policies, &statement).await, "µs", "");
}

async fn transform(host: &PluginHost) {
    put_in_force(host, vec![spec("probe", &built("guests/probe"), Value::Null)]).await;
    let mut policies = host.open(session()).await.policies;
    let shape = shape();
    let mut cells = Vec::new();
    for _ in 0..1_000 {
        let batch = batch(300, 20);
        let began = Instant::now();
        policies.transform("probe", &shape, batch).await.expect("the probe rewrites");
        cells.push(began.elapsed());
    }
    say("transform, per cell of 20 bytes", micros(cells) * 1e3 / 300.0, "ns", "25");
}

/// What a statement costs under more and more policies: it should grow as they do.
async fn many(host: &PluginHost, reader: &Path, stateless: &Path) {
    println!("\npolicies   warm µs   per policy   remembered µs   per policy");
    let statement = statement("SELECT abalance FROM pgbench_accounts WHERE aid = 1");
    for count in [1usize, 4, 16, 64] {
        let mut figures = Vec::new();
        for plugin in [reader, stateless] {
            let specs = (0..count).map(|n| spec(&format!("reader{n}"), plugin, Value::Null)).collect();
            put_in_force(host, specs).await;
            let mut policies = host.open(session()).await.policies;
            figures.push(per_call(&mut *policies, &statement).await);
        }
        let each = |figure: f64| figure / count as f64;
        let (warm, remembered) = (figures[0], figures[1]);
        println!("{count:>8}{warm:>10.2}{:>13.3}{remembered:>16.2}{:>13.3}", each(warm), each(remembered));
    }
}

/// Microseconds per decision: the median of batches, so that looking at the clock is not what is measured.
async fn per_call(policies: &mut dyn Policies, statement: &Operation) -> f64 {
    const BATCH: u32 = 50;
    for _ in 0..500 {
        policies.decide(statement).await;
    }
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        for _ in 0..BATCH {
            std::hint::black_box(policies.decide(statement).await);
        }
        times.push(began.elapsed() / BATCH);
    }
    micros(times)
}

/// The median in microseconds.
fn micros(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_nanos() as f64 / 1e3
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn put_in_force(host: &PluginHost, specs: Vec<PolicySpec>) {
    let set = host.load(specs).await.unwrap_or_else(|problems| panic!("{problems:?}"));
    host.swap(set);
}

fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components").join(format!("{name}.wasm"))
}

/// The same component, saying that it keeps no state: one more byte-for-byte edit of its metadata.
fn declared_stateless(component: &[u8]) -> Vec<u8> {
    let (from, to) = (br#""stateless":false"#, br#""stateless":true "#);
    let at = component.windows(from.len()).position(|bytes| bytes == from).expect("its metadata say so");
    let mut changed = component.to_vec();
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

fn custom_section(name: &str, content: &[u8]) -> Vec<u8> {
    let length = 1 + name.len() + content.len();
    [&[0, u8::try_from(length).expect("short"), u8::try_from(name.len()).expect("short")], name.as_bytes(), content]
        .concat()
}

fn spec(name: &str, plugin: &Path, settings: Value) -> PolicySpec {
    PolicySpec {
        name: name.into(),
        plugin: plugin.to_owned(),
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
    Arc::new(testing::session())
}

fn statement(text: &str) -> Operation {
    let facts = StatementFacts { statements: 1, kinds: vec!["SELECT".into()], ..StatementFacts::default() };
    Operation::Statement(Statement {
        text: text.into(),
        facts: Arc::new(facts),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
    })
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
