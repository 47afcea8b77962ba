use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Digest, Failure, Mode, NameList, Protection};
use serde_json::Value;
use wasmtime::component::{Component, Linker};

use crate::artifact::{Artifact, BYTES_MAX, Refusal, sha256};
use crate::cases;
use crate::engine::{Shared, one_line};
use crate::guest::Guest;
use crate::instance::{Instance, Linked};
use crate::isolation::Isolation;
use crate::limits::Limits;
use crate::loaded::{Loaded, Parts, Plugin};
use crate::problem::{LoadProblem, Step};
use crate::services::{Grants, Lookups};
use crate::settings;
use crate::stats::Stats;
use crate::wasi;

/// A policy as the configuration names it.
#[derive(Debug, Clone)]
pub struct PolicySpec {
    /// `policies.<name>`.
    pub name: Arc<str>,
    /// The component's file.
    pub plugin: PathBuf,
    /// The only digest that may load; none follows the file.
    pub pin: Option<Digest>,
    /// The targets that it guards.
    pub targets: NameList,
    /// Whom it binds: sessions that hold at least one of these roles.
    pub roles: NameList,
    /// Whether it acts.
    pub mode: Mode,
    /// Whether an operation passes when it fails.
    pub on_failure_allow: bool,
    /// Bytes of memory of one instance; none: what the plugin asks for, else 64 MiB.
    pub memory: Option<u64>,
    /// Time of one call; none: what the plugin asks for, else 50 ms.
    pub time: Option<Duration>,
    /// Whom an instance serves.
    pub isolation: Isolation,
    /// What it may reach besides `log` and `detect`.
    pub grants: Vec<String>,
    /// A JSON object, or null.
    pub settings: Value,
}

/// What is in force already and need not be made again.
#[derive(Default)]
pub(crate) struct Known {
    /// Compiled plugins.
    pub(crate) plugins: HashMap<Digest, Arc<Plugin>>,
    /// What policies have done, by name, component and settings.
    pub(crate) stats: HashMap<(Arc<str>, Digest, Digest), Arc<Stats>>,
}

impl Known {
    pub(crate) fn new(policies: &[Arc<Loaded>]) -> Self {
        let stats = |policy: &Arc<Loaded>| {
            let key = (Arc::clone(&policy.name), policy.plugin.digest, policy.settings_digest);
            (key, Arc::clone(&policy.stats))
        };
        Self {
            plugins: policies.iter().map(|policy| (policy.plugin.digest, Arc::clone(&policy.plugin))).collect(),
            stats: policies.iter().map(stats).collect(),
        }
    }
}

/// Loads every policy, step by step, and says everything that is wrong.
pub(crate) async fn load_all(
    shared: &Arc<Shared>,
    linker: &Linker<Guest>,
    mut known: Known,
    specs: Vec<PolicySpec>,
) -> Result<Vec<Arc<Loaded>>, Vec<LoadProblem>> {
    let mut policies: Vec<Arc<Loaded>> = Vec::with_capacity(specs.len());
    let mut problems = Vec::new();
    for spec in specs {
        let name = Arc::clone(&spec.name);
        let problem = |(step, message)| LoadProblem { policy: Arc::clone(&name), step, message };
        if policies.iter().any(|policy| policy.name == name) {
            problems.push(problem((Step::Spec, "the name is used twice; names of policies are unique".into())));
            continue;
        }
        match load(shared, linker, &mut known, spec).await {
            Ok(policy) => policies.push(Arc::new(policy)),
            Err(found) => problems.extend(found.into_iter().map(problem)),
        }
    }
    policies.sort_by(|one, two| one.name.cmp(&two.name));
    if problems.is_empty() { Ok(policies) } else { Err(problems) }
}

pub(crate) type Wrong = Vec<(Step, String)>;

async fn load(
    shared: &Arc<Shared>,
    linker: &Linker<Guest>,
    known: &mut Known,
    spec: PolicySpec,
) -> Result<Loaded, Wrong> {
    let grants = check_spec(&spec, &*shared.lookups)?;
    let plugin = plugin(shared, linker, known, &spec)?;
    for import in plugin.artifact.imports.iter().filter(|import| !grants.has(import)) {
        let policy = &*spec.name;
        tracing::warn!(
            policy,
            "the plugin imports `{import}`, which the policy does not grant: it answers not-granted"
        );
    }
    let protection = if plugin.has("sql-columns") { Some(protection(&spec)?) } else { None };
    let settings = settings::canonical(&spec.settings);
    let stem = spec.plugin.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy());
    check_schema(&plugin.artifact, &spec.settings)?;
    let settings_digest = sha256(settings.as_bytes());
    let stats = known.stats.get(&(Arc::clone(&spec.name), plugin.digest, settings_digest));
    let loaded = Loaded::new(Parts {
        stats: stats.map(Arc::clone).unwrap_or_default(),
        settings_digest,
        settings: settings.into(),
        stem: stem.into(),
        limits: limits(&spec, &plugin.artifact)?,
        plugin,
        protection,
        grants: Arc::new(grants),
        state: shared.states.of(&spec.name),
        name: spec.name,
        targets: spec.targets,
        roles: spec.roles,
        mode: spec.mode,
        on_failure_allow: spec.on_failure_allow,
        isolation: spec.isolation,
        stage: None,
    });
    validate(shared, &loaded).await?;
    let configured = loaded.start(shared).await;
    let first = configured.map_err(|failure| vec![(Step::Configure, start_problem(&failure))])?;
    let failed = cases::check(shared, &loaded, &spec.plugin).await;
    failed.map_err(|lines| lines.into_iter().map(|line| (Step::Cases, line)).collect::<Wrong>())?;
    loaded.shelf.put(first);
    Ok(loaded)
}

/// The configuration's limits, else the plugin's, else the host's.
pub(crate) fn limits(spec: &PolicySpec, artifact: &Artifact) -> Result<Limits, Wrong> {
    let wanted = Limits::read(&artifact.metadata.limits).map_err(|message| vec![(Step::Metadata, message)])?;
    let problems = wanted.problems();
    if !problems.is_empty() {
        return Err(problems.into_iter().map(|problem| (Step::Metadata, format!("its {problem}"))).collect());
    }
    Ok(Limits { memory: spec.memory.unwrap_or(wanted.memory), time: spec.time.unwrap_or(wanted.time) })
}

/// The settings against the plugin's own JSON Schema, before any of its code sees them. The keys that are the host's
/// are in every first-party schema, and are checked by the host besides.
pub(crate) fn check_schema(artifact: &Artifact, settings: &Value) -> Result<(), Wrong> {
    let Some(schema) = &artifact.metadata.settings else { return Ok(()) };
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| vec![(Step::Metadata, format!("its settings' JSON Schema is wrong: {error}"))])?;
    let empty = Value::Object(serde_json::Map::new());
    let settings = if settings.is_null() { &empty } else { settings };
    let problems: Wrong = validator
        .iter_errors(settings)
        .take(PROBLEMS_MAX)
        .map(|error| (Step::Settings, crate::log::clean(&schema_problem(&error, schema), PROBLEM_MAX)))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn schema_problem(error: &jsonschema::ValidationError<'_>, schema: &Value) -> String {
    let place = error.instance_path().to_string();
    if let jsonschema::error::ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        let known = schema.get("properties").and_then(Value::as_object).filter(|_| place.is_empty());
        let known: Vec<&str> = known.map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default();
        let names = unexpected.join("`, `");
        return format!("settings{place}: `{names}` is unknown; known are `{}`", known.join("`, `"));
    }
    format!("settings{place}: {error}")
}

/// What can be wrong before the file is read.
fn check_spec(spec: &PolicySpec, lookups: &dyn Lookups) -> Result<Grants, Wrong> {
    let mut wrong = Vec::new();
    let grants = Grants::read(&spec.grants, lookups).unwrap_or_else(|words| {
        wrong.extend(words);
        Grants::default()
    });
    let host = Limits::default();
    let asked = Limits { memory: spec.memory.unwrap_or(host.memory), time: spec.time.unwrap_or(host.time) };
    wrong.extend(asked.problems());
    if !(spec.settings.is_object() || spec.settings.is_null()) {
        wrong.push("settings: must be a table".to_owned());
    }
    if wrong.is_empty() {
        return Ok(grants);
    }
    Err(wrong.into_iter().map(|message| (Step::Spec, message)).collect())
}

/// From the file to a component that links. Nothing of it runs.
pub(crate) fn plugin(
    shared: &Shared,
    linker: &Linker<Guest>,
    known: &mut Known,
    spec: &PolicySpec,
) -> Result<Arc<Plugin>, Wrong> {
    let place = spec.plugin.display();
    let wrong = |step, message: String| vec![(step, format!("{place}: {message}"))];
    let bytes = read(&spec.plugin).map_err(|error| wrong(Step::Read, unreadable(&error)))?;
    let artifact = Artifact::read(&bytes).map_err(|refusal| match refusal {
        Refusal::Parse(message) => wrong(Step::Parse, message),
        Refusal::Metadata(message) => wrong(Step::Metadata, message),
        Refusal::Imports(message) => wrong(Step::Imports, message),
    })?;
    let digest = artifact.digest;
    if let Some(pin) = spec.pin.filter(|pin| *pin != digest) {
        let message =
            format!("its digest is {digest}, but {pin} is pinned; promote the new one or restore the old file");
        return Err(wrong(Step::Digest, message));
    }
    if let Some(plugin) = known.plugins.get(&digest) {
        return Ok(Arc::clone(plugin));
    }
    if artifact.wants("detect") {
        shared.prepare_detector().map_err(|error| wrong(Step::Link, error.to_string()))?;
    }
    let component = compile(shared, &digest, &bytes).map_err(|message| wrong(Step::Compile, message))?;
    let linked = link(linker, &component, &artifact, shared);
    let linked = linked.map_err(|error| {
        let advice = "build it against the wit/ of this host";
        wrong(Step::Link, format!("it does not fit grille:policy 0.1 ({}); {advice}", one_line(&error)))
    })?;
    let plugin = Arc::new(Plugin {
        digest,
        name: artifact.metadata.name.as_deref().map(Into::into),
        version: artifact.metadata.version.as_deref().map(Into::into),
        hooks: artifact.hooks.clone(),
        is_stateless: artifact.metadata.stateless,
        artifact,
        linked,
        bytes: bytes.into(),
    });
    known.plugins.insert(digest, Arc::clone(&plugin));
    Ok(plugin)
}

/// Stand-ins are added to a linker of the component's own: nobody else may find them there.
fn link(
    linker: &Linker<Guest>,
    component: &Component,
    artifact: &Artifact,
    shared: &Shared,
) -> wasmtime::Result<Linked> {
    let pre = if artifact.stand_ins.is_empty() {
        linker.instantiate_pre(component)?
    } else {
        let mut own = linker.clone();
        wasi::stand_in(&mut own, component, &shared.engine)?;
        own.instantiate_pre(component)?
    };
    Linked::new(pre, &artifact.hooks)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; build it or correct `plugin`".into(),
        io::ErrorKind::PermissionDenied => "the gateway may not read it; change its mode or owner".into(),
        _ => format!("it cannot be read: {error}"),
    }
}

fn compile(shared: &Shared, digest: &Digest, bytes: &[u8]) -> Result<Component, String> {
    let cached = shared.cache.as_ref().and_then(|cache| cache.read(digest, &shared.engine));
    if let Some(component) = cached {
        return Ok(component);
    }
    let component = Component::new(&shared.engine, bytes)
        .map_err(|error| format!("it is not a valid component ({}); build it again", one_line(&error)))?;
    if let Some(cache) = &shared.cache {
        cache.write(digest, &component);
    }
    Ok(component)
}

fn protection(spec: &PolicySpec) -> Result<Protection, Wrong> {
    let say = |problem| (Step::Settings, format!("settings{problem}"));
    settings::protection(&spec.settings).map_err(|problems| problems.into_iter().map(say).collect())
}

/// The plugin's own check, on an instance of its own without grants.
async fn validate(shared: &Shared, loaded: &Loaded) -> Result<(), Wrong> {
    let none = Arc::new(Grants::default());
    let problems = match Instance::start(shared, &loaded.terms(&none), None).await {
        Ok(mut instance) => instance.validate(&loaded.settings).await,
        // Nothing of it has run: its types are not those of the contract, or its memory is over the limit from the start.
        Err(failure) => return Err(vec![(Step::Link, start_problem(&failure))]),
    };
    let problems = problems.map_err(|failure| vec![(Step::Settings, start_problem(&failure))])?;
    if problems.is_empty() {
        return Ok(());
    }
    let say = |problem: &crate::bindings::exports::grille::policy::lifecycle::Problem| {
        let line = crate::log::clean(&format!("settings{}: {}", problem.pointer, problem.message), PROBLEM_MAX);
        (Step::Settings, line)
    };
    Err(problems.iter().take(PROBLEMS_MAX).map(say).collect())
}

/// Beyond that, nobody reads on.
const PROBLEMS_MAX: usize = 20;
const PROBLEM_MAX: usize = 2 << 10;

fn start_problem(failure: &Failure) -> String {
    format!("the plugin could not be started: {} ({})", failure.kind.describe(), failure.message)
}
