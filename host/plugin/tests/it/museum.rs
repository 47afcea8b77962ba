//! Components that were released, in every language that has an SDK, against one table of what they say.

mod cases;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_plugin::{EngineConfig, LookupError, Lookups, PluginHost, PolicySpec};
use grille_policy::{Batch, BoxFuture, Decision, Evaluator, Policies, Treatment};
use serde_json::{Map, Value, json};

use crate::support::{engine, spec};

const GRANTS: [&str; 4] = ["clock", "counters", "kv", "lookup:directory"];

#[tokio::test]
async fn the_released_components_say_what_they_always_said() {
    let museum = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/museum");
    let (mut visited, mut different) = (0, Vec::new());
    for release in children(&museum).into_iter().filter(|path| path.is_dir()) {
        let golden = fs::read(release.join("golden.json")).unwrap_or_default();
        let golden: Map<String, Value> = serde_json::from_slice(&golden).unwrap_or_default();
        for component in children(&release).into_iter().filter(|path| path.extension().is_some_and(|e| e == "wasm")) {
            different.extend(differences(&golden, &component).await);
            visited += 1;
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(visited >= 4, "the museum has lost components: {visited} left");
}

/// Where a component departs from the table. All that it said is left in a file.
async fn differences(golden: &Map<String, Value>, component: &Path) -> Option<String> {
    let said = everything(component).await;
    let names = golden.keys().chain(said.keys().filter(|name| !golden.contains_key(*name)));
    let differences: Vec<String> = names
        .filter(|name| golden.get(*name) != said.get(*name))
        .map(|name| format!("{name}:\n  golden {}\n  says   {}", show(golden.get(name)), show(said.get(name))))
        .collect();
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("museum-{name}.json"));
    let all = serde_json::to_string_pretty(&said).expect("serialises");
    fs::write(&written, all + "\n").expect("writes");
    (!differences.is_empty()).then(|| {
        let (component, written, differences) = (component.display(), written.display(), differences.join("\n"));
        format!("{component} answers otherwise; all that it says is in {written}\n{differences}")
    })
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

/// All answers of a component by the names of the cases.
async fn everything(component: &Path) -> Map<String, Value> {
    let mut said = Map::new();
    for (name, settings) in cases::settings() {
        let problems = host(Directory::Knows).load(vec![policy(component, &GRANTS, settings)]).await.err();
        let problems = problems.unwrap_or_default().iter().map(|problem| json!(problem.message)).collect();
        said.insert(name.to_owned(), Value::Array(problems));
    }
    for (name, directory, grants, settings) in [
        ("granted", Directory::Knows, &GRANTS[..], json!({})),
        ("not granted", Directory::Knows, &[], Value::Null),
        ("late directory", Directory::Late, &GRANTS[..], json!({"greeting": "grüß dich"})),
    ] {
        let host = host(directory);
        let set = host.load(vec![policy(component, grants, settings)]).await;
        host.swap(set.unwrap_or_else(|problems| panic!("{}: {problems:?}", component.display())));
        let mut policies = open(&host, name, &mut said).await;
        let mut keep = |case: &str, answer: Value| said.insert(format!("{name}, {case}"), answer);
        for (case, statement) in cases::statements() {
            let decision = policies.decide(&statement).await;
            keep(case, opinion(&decision));
        }
        // The rest asks nothing that a grant or a service could change.
        if name == "granted" {
            columns(&mut policies, &mut keep).await;
            exchanges(&mut policies, &mut keep).await;
        }
    }
    said
}

async fn open(host: &PluginHost, name: &str, said: &mut Map<String, Value>) -> Box<dyn Policies> {
    let mut last = None;
    for (case, session) in cases::sessions() {
        let opened = host.open(Arc::new(session)).await;
        said.insert(format!("{name}, {case}"), opinion(&opened.decision));
        last = Some(opened.policies);
    }
    last.expect("there are sessions")
}

async fn columns(policies: &mut Box<dyn Policies>, keep: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let found = policies.classify(&cases::columns()).await;
    keep("classify", json!({"of": opinion(&found.decision), "treatments": found.treatments}));
    for (case, shape) in cases::shapes() {
        let given = vec![Treatment::Keep; shape.columns.len()];
        let plan = policies.plan(&shape, &given).await;
        keep(case, json!({"of": opinion(&plan.decision), "treatments": plan.treatments}));
        if shape.columns.is_empty() {
            continue;
        }
        let batch = policies.transform("hello", &shape, cases::batch()).await;
        keep(&format!("{case}, values"), values(batch));
    }
}

async fn exchanges(policies: &mut Box<dyn Policies>, keep: &mut impl FnMut(&str, Value) -> Option<Value>) {
    for (case, exchange) in cases::exchanges() {
        let exchange = Arc::new(exchange);
        let plan = policies.exchange(&exchange).await;
        keep(case, json!({"of": opinion(&plan.decision), "treatments": plan.treatments}));
        let batch = policies.transform_at("hello", &exchange, "/entry/*/name", cases::batch()).await;
        keep(&format!("{case}, values"), values(batch));
    }
}

/// What the one policy said, without what differs from run to run.
fn opinion(decision: &Decision) -> Value {
    let [opinion] = &decision.opinions[..] else { panic!("one policy was asked: {decision:?}") };
    let mut said = json!({"verdict": opinion.verdict, "findings": opinion.findings});
    if let Some(failure) = &opinion.failure {
        said["failure"] = json!(failure);
    }
    said
}

fn values(batch: Result<Batch, Decision>) -> Value {
    match batch {
        Ok(Batch { blob, offsets, nulls, .. }) => {
            json!({"blob": String::from_utf8_lossy(&blob), "offsets": offsets, "nulls": nulls})
        }
        Err(decision) => opinion(&decision),
    }
}

fn policy(component: &Path, grants: &[&str], settings: Value) -> PolicySpec {
    let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
    PolicySpec { grants, ..spec("hello", component, settings) }
}

fn host(directory: Directory) -> PluginHost {
    let config = EngineConfig { instances: 256, lookups: Some(Arc::new(directory)), ..engine() };
    PluginHost::new(config).expect("an engine")
}

/// The service that the components ask.
#[derive(Clone, Copy)]
enum Directory {
    Knows,
    Late,
}

impl Lookups for Directory {
    fn has(&self, name: &str) -> bool {
        name == "directory"
    }

    fn fetch<'a>(
        &'a self,
        _name: &'a str,
        key: &'a str,
        _bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>> {
        let answer = match self {
            Self::Knows => Ok((key == "key").then(|| b"{\"room\": 7}".to_vec())),
            Self::Late => Err(LookupError::Timeout),
        };
        Box::pin(async move { answer })
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("list {}: {error}", directory.display()));
    let mut children: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    children.sort();
    children
}
