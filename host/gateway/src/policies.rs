//! Policies as the plugin host wants them, and what it says of them as records and people want it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use grille_config::{Config, Lock, Pin, Policy, Problem};
use grille_ledger::PolicyInForce;
use grille_plugin::{
    Artifact, EngineConfig, Isolation, LoadProblem, Lookups, Metadata, PluginHost, PolicyDescription, PolicySet,
    PolicySpec,
};
use grille_policy::{Digest, NameList};

/// Every policy of a set by name, as records name them.
pub(crate) type InForce = BTreeMap<Arc<str>, PolicyInForce>;

/// A set that is ready to be put in force.
pub(crate) struct Loaded {
    pub(crate) set: PolicySet,
    pub(crate) in_force: InForce,
    pub(crate) described: Vec<PolicyDescription>,
}

/// Why a set did not load.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refused {
    /// All of it, for people.
    text: String,
    /// Whether all that is wrong is a component that may still be on its way to the disk.
    pub(crate) is_incomplete: bool,
}

/// Compiled components are kept beside the ledger.
pub(crate) fn engine_config(config: &Config, lookups: Arc<dyn Lookups>) -> EngineConfig {
    let beside = config.ledger.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let cache = beside.map_or_else(|| "plugin-cache".into(), |folder| folder.join("plugin-cache"));
    let analyst = Arc::new(grille_author::SqlAnalyst::default());
    EngineConfig { cache_dir: Some(cache), lookups: Some(lookups), analyst: Some(analyst), ..EngineConfig::default() }
}

/// Where the ledger keeps every component that was ever in force.
pub(crate) fn kept(config: &Config, digest: &Digest) -> PathBuf {
    config.ledger.path.join("plugins").join(format!("{digest}.wasm"))
}

/// Loads all policies of a configuration, or says everything that is wrong with them.
pub(crate) async fn load(plugins: &PluginHost, config: &Config, lock: &Lock) -> Result<Loaded, Refused> {
    match try_load(plugins, config, lock).await {
        Ok(set) => {
            let described = set.describe();
            Ok(Loaded { in_force: described.iter().map(in_force_of).collect(), described, set })
        }
        Err((problems, is_incomplete)) => {
            let text = grille_config::render(&config.path, &problems);
            let text = format!("{} problem(s) with policies\n{}", problems.len(), text.trim_end());
            Err(Refused { text, is_incomplete })
        }
    }
}

/// The same with problems that know their place in the file, and whether a component may just not be complete yet.
pub(crate) async fn try_load(
    plugins: &PluginHost,
    config: &Config,
    lock: &Lock,
) -> Result<PolicySet, (Vec<Problem>, bool)> {
    let (specs, unpinned) = specs(config, lock);
    let mut problems: Vec<Problem> = unpinned.iter().map(|policy| unpinned_problem(config, policy)).collect();
    match plugins.load(specs).await {
        Ok(set) if problems.is_empty() => Ok(set),
        Ok(_) => Err((problems, false)),
        Err(found) => {
            let is_incomplete =
                problems.is_empty() && found.iter().all(|problem| problem.step == grille_plugin::Step::Parse);
            problems.extend(found.iter().map(|problem| located(config, problem)));
            Err((problems, is_incomplete))
        }
    }
}

/// The metadata are a component's last part, and without them it is a component all the same. One that has none and was
/// written a moment ago may be a part of one: it is looked at again.
pub(crate) fn may_be_a_part(loaded: &Loaded, before: &InForce, config: &Config) -> Result<(), Refused> {
    for policy in &loaded.described {
        let is_new = before.get(&policy.policy).is_none_or(|known| known.plugin != policy.digest);
        let written = config.policies.iter().find(|known| known.name == policy.policy);
        let Some(written) = written.filter(|_| is_new) else { continue };
        let Ok(data) = std::fs::metadata(&written.plugin) else { continue };
        // What was renamed or given its old time after the last byte was written is all there; and what was in force
        // once is.
        let was_just_written = (data.mtime(), data.mtime_nsec()) == (data.ctime(), data.ctime_nsec());
        let is_known = kept(config, &policy.digest).exists();
        // A clock that runs ahead elsewhere must not keep a component out for ever.
        let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let is_fresh = was_just_written && !is_known && age.is_some_and(|age| age < SETTLED);
        let is_bare = Artifact::read(&policy.bytes).is_ok_and(|artifact| artifact.metadata == Metadata::default());
        if is_fresh && is_bare {
            let key = format!("policies.{}.plugin", policy.policy);
            let why = "the component has no metadata and may not be complete yet";
            let text = grille_config::render(&config.path, &[config.locations.problem(&key, why, None)]);
            return Err(Refused { text: text.trim_end().to_owned(), is_incomplete: true });
        }
    }
    Ok(())
}

/// Who copies slowly writes the next part within this.
const SETTLED: Duration = Duration::from_millis(1_500);

/// What `check` says although the policies would load: imports that will answer not-granted.
pub(crate) fn ungranted(set: &PolicySet, config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for policy in set.describe() {
        let Some(written) = config.policies.iter().find(|known| known.name == policy.policy) else { continue };
        let Ok(artifact) = Artifact::read(&policy.bytes) else { continue };
        let granted = |import: &str| {
            written.grants.iter().any(|grant| &**grant == import || grant.split(':').next() == Some(import))
        };
        for import in artifact.imports.iter().filter(|import| GRANTABLE.contains(&&***import) && !granted(import)) {
            let wish = artifact.metadata.grants.iter().find(|want| want.name.split(':').next() == Some(import));
            let hint = match wish {
                Some(want) => format!("it wants `{}`: {}", want.name, want.reason),
                None if import == "lookup" => "grants = [\"lookup:NAME\"], with [lookups.NAME]".to_owned(),
                None => format!("grants = [\"{import}\"]"),
            };
            let message = format!("the plugin imports `{import}`, which is not granted: it will answer not-granted");
            let key = format!("policies.{}.grants", policy.policy);
            warnings.push(config.locations.problem(&key, message, Some(hint)));
        }
    }
    warnings
}

/// The imports that answer only where they are granted.
const GRANTABLE: [&str; 4] = ["clock", "counters", "kv", "lookup"];

/// The modes that grille.lock says instead of grille.toml.
pub(crate) fn apply(config: &mut Config, lock: &Lock) {
    for policy in &mut config.policies {
        if let Some(mode) = lock.policies.get(&*policy.name).and_then(|locked| locked.mode) {
            policy.mode = mode;
        }
    }
}

/// The digest that a policy is held to, if it does not follow its file.
pub(crate) fn pin(policy: &Policy, lock: &Lock) -> Option<Digest> {
    let locked = lock.policies.get(&*policy.name).map(|locked| locked.sha256);
    match policy.pin {
        Pin::Digest(digest) => Some(digest),
        Pin::Follow | Pin::Lock => locked,
    }
}

/// SHA-256 of a file.
pub(crate) fn digest_of(path: &Path) -> anyhow::Result<Digest> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut digest = Digest([0; 32]);
    digest.0.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref());
    Ok(digest)
}

/// The policies in force, as records name them.
pub(crate) fn in_force(plugins: &PluginHost) -> InForce {
    plugins.describe().1.iter().map(in_force_of).collect()
}

/// What is other in one set than in another, in words.
pub(crate) fn differences(old: &InForce, new: &InForce) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, policy) in new {
        match old.get(name) {
            None => lines.push(format!("policy \"{name}\" is new (plugin {})", short(policy))),
            Some(before) => {
                if before.plugin != policy.plugin {
                    lines.push(format!("policy \"{name}\": plugin {} → {}", short(before), short(policy)));
                }
                if before.settings != policy.settings {
                    lines.push(format!("policy \"{name}\": settings changed"));
                }
                if before.mode != policy.mode {
                    lines.push(format!("policy \"{name}\": mode changed"));
                }
            }
        }
    }
    lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("policy \"{name}\" is gone")));
    lines
}

/// grille.lock; one that is not there names nothing.
pub(crate) fn read_lock(path: &Path) -> anyhow::Result<Lock> {
    match std::fs::read_to_string(path) {
        Ok(text) => Lock::parse(&text).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(anyhow!(error).context(format!("read {}", path.display()))),
    }
}

/// The specs, and the policies that nothing pins.
fn specs<'a>(config: &'a Config, lock: &Lock) -> (Vec<PolicySpec>, Vec<&'a Policy>) {
    let mut unpinned = Vec::new();
    let mut specs = Vec::new();
    for policy in &config.policies {
        let pin = pin(policy, lock);
        if pin.is_none() && policy.pin == Pin::Lock {
            unpinned.push(policy);
        }
        specs.push(PolicySpec {
            name: Arc::clone(&policy.name),
            plugin: component(config, policy, pin.as_ref()),
            pin,
            targets: NameList::new(&policy.targets),
            roles: policy.roles.clone(),
            mode: policy.mode,
            on_failure_allow: policy.failure_allows,
            memory: policy.limits.memory,
            time: policy.limits.time,
            isolation: match policy.isolation {
                grille_config::Isolation::Session => Isolation::Session,
                grille_config::Isolation::Request => Isolation::Request,
                grille_config::Isolation::Shared => Isolation::Shared,
            },
            grants: policy.grants.iter().map(ToString::to_string).collect(),
            settings: policy.settings.clone(),
        });
    }
    (specs, unpinned)
}

/// Where a policy's component is: in its file, or with the ledger where the file holds another than the pinned one.
fn component(config: &Config, policy: &Policy, pin: Option<&Digest>) -> PathBuf {
    let copy = pin.map(|pin| (pin, kept(config, pin))).filter(|(_, copy)| copy.exists());
    match copy {
        Some((pin, copy)) if digest_of(&policy.plugin).ok().as_ref() != Some(pin) => copy,
        _ => policy.plugin.clone(),
    }
}

fn unpinned_problem(config: &Config, policy: &Policy) -> Problem {
    let hint = "allow_unsigned = true follows the file; sha256 = \"…\" takes one component only; \
                `grille policy promote` writes it into grille.lock"
        .to_owned();
    let key = format!("policies.{}.plugin", policy.name);
    config.locations.problem(&key, "nothing says which component this policy may run", Some(hint))
}

/// A plugin's problem, at the key that it is about.
fn located(config: &Config, problem: &LoadProblem) -> Problem {
    let key = format!("policies.{}.{}", problem.policy, key_of(problem.step));
    config.locations.problem(&key, problem.message.clone(), None)
}

fn in_force_of(policy: &PolicyDescription) -> (Arc<str>, PolicyInForce) {
    let in_force = PolicyInForce { plugin: policy.digest, settings: policy.settings_digest, mode: policy.mode };
    (Arc::clone(&policy.policy), in_force)
}

fn short(policy: &PolicyInForce) -> String {
    shorten(&policy.plugin)
}

/// Enough of a digest to tell two apart.
pub(crate) fn shorten(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

/// The key that a step of loading is about.
fn key_of(step: grille_plugin::Step) -> &'static str {
    use grille_plugin::Step;
    match step {
        Step::Settings => "settings",
        Step::Digest => "sha256",
        _ => "plugin",
    }
}
