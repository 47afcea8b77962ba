use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_policy::{Digest, Failure, Mode, NameList, Protection};
use serde_json::Value;
use wasmtime::component::{Component, Linker};

use crate::artifact::{Artifact, BYTES_MAX, Refusal, sha256};
use crate::engine::{Shared, one_line};
use crate::guest::Guest;
use crate::instance::{Instance, Linked, Terms};
use crate::limits::Limits;
use crate::loaded::{Loaded, Plugin};
use crate::log::LogQuota;
use crate::problem::{LoadProblem, Step};
use crate::settings;
use crate::stats::Stats;

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
    /// What it may use.
    pub limits: Limits,
    /// What it may reach besides `log` and `detect`.
    pub grants: Vec<String>,
    /// A JSON object, or null.
    pub settings: Value,
}

/// Plugins that are compiled already, by digest.
pub(crate) type Known = HashMap<Digest, Arc<Plugin>>;

/// Loads every policy, step by step, and says everything that is wrong.
pub(crate) async fn load_all(
    shared: &Shared,
    linker: &Linker<Guest>,
    known: &Known,
    specs: Vec<PolicySpec>,
) -> Result<Vec<Arc<Loaded>>, Vec<LoadProblem>> {
    let mut known = known.clone();
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

type Wrong = Vec<(Step, String)>;

async fn load(shared: &Shared, linker: &Linker<Guest>, known: &mut Known, spec: PolicySpec) -> Result<Loaded, Wrong> {
    let has_clock = check_spec(&spec)?;
    let plugin = plugin(shared, linker, known, &spec)?;
    if plugin.wants_clock && !has_clock {
        let policy = &*spec.name;
        tracing::warn!(policy, "the plugin imports `clock`, which the policy does not grant: it answers not-granted");
    }
    let protection = if plugin.has("sql-columns") { Some(protection(&spec)?) } else { None };
    let settings = settings::canonical(&spec.settings);
    let stem = spec.plugin.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy());
    let loaded = Loaded {
        settings_digest: sha256(settings.as_bytes()),
        settings: settings.into(),
        stem: stem.into(),
        plugin,
        protection,
        log: Arc::new(LogQuota::new(Arc::clone(&spec.name))),
        stats: Stats::default(),
        classified: parking_lot::Mutex::default(),
        name: spec.name,
        targets: spec.targets,
        roles: spec.roles,
        mode: spec.mode,
        on_failure_allow: spec.on_failure_allow,
        limits: spec.limits,
        has_clock,
    };
    validate(shared, &loaded).await?;
    let configured = loaded.start(shared, None).await;
    configured.map_err(|failure| vec![(Step::Configure, start_problem(&failure))])?;
    Ok(loaded)
}

/// What can be wrong before the file is read. Answers whether the clock is granted.
fn check_spec(spec: &PolicySpec) -> Result<bool, Wrong> {
    let mut wrong = Vec::new();
    for grant in &spec.grants {
        // `log` and `detect` are always granted; naming them is no mistake.
        if !matches!(grant.as_str(), "clock" | "log" | "detect") {
            wrong.push(format!("grants: this host has no `{grant}`; it has `clock`"));
        }
    }
    if spec.limits.memory > Limits::MEMORY_MAX {
        wrong.push(format!("limits.memory: at most {} MiB", Limits::MEMORY_MAX >> 20));
    }
    if spec.limits.time < Limits::TIME_MIN {
        wrong.push(format!("limits.time: at least {} ms", Limits::TIME_MIN.as_millis()));
    }
    if !(spec.settings.is_object() || spec.settings.is_null()) {
        wrong.push("settings: must be a table".to_owned());
    }
    if wrong.is_empty() {
        return Ok(spec.grants.iter().any(|grant| grant == "clock"));
    }
    Err(wrong.into_iter().map(|message| (Step::Spec, message)).collect())
}

/// From the file to a component that links. Nothing of it runs.
fn plugin(shared: &Shared, linker: &Linker<Guest>, known: &mut Known, spec: &PolicySpec) -> Result<Arc<Plugin>, Wrong> {
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
    if let Some(plugin) = known.get(&digest) {
        return Ok(Arc::clone(plugin));
    }
    if artifact.wants_detect {
        shared.prepare_detector().map_err(|error| wrong(Step::Link, error.to_string()))?;
    }
    let component = compile(shared, &digest, &bytes).map_err(|message| wrong(Step::Compile, message))?;
    let linked = linker.instantiate_pre(&component).and_then(|pre| Linked::new(pre, &artifact.hooks));
    let linked = linked.map_err(|error| {
        let advice = "build it against the wit/ of this host";
        wrong(Step::Link, format!("it does not fit grille:policy 0.1 ({}); {advice}", one_line(&error)))
    })?;
    let plugin = Arc::new(Plugin {
        digest,
        name: artifact.metadata.name.map(Into::into),
        version: artifact.metadata.version.map(Into::into),
        hooks: artifact.hooks,
        is_stateless: artifact.metadata.stateless,
        wants_clock: artifact.wants_clock,
        linked,
        bytes: bytes.into(),
    });
    known.insert(digest, Arc::clone(&plugin));
    Ok(plugin)
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
    let terms = Terms { linked: &loaded.plugin.linked, limits: loaded.limits, has_clock: false, log: &loaded.log };
    let problems = match Instance::start(shared, &terms, None).await {
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
