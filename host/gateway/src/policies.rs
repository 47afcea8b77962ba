//! Policies as the plugin host wants them, and what it says of them as records and people want it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use grille_config::{Config, Lock, Pin, Policy, Problem};
use grille_ledger::PolicyInForce;
use grille_plugin::{EngineConfig, Isolation, LoadProblem, PluginHost, PolicyDescription, PolicySet, PolicySpec};
use grille_policy::NameList;

/// Every policy of a set by name, as records name them.
pub(crate) type InForce = BTreeMap<Arc<str>, PolicyInForce>;

/// A set that is ready to be put in force.
pub(crate) struct Loaded {
    pub(crate) set: PolicySet,
    pub(crate) in_force: InForce,
    /// The components, for the ledger.
    pub(crate) components: Vec<Arc<[u8]>>,
}

/// Compiled components are kept beside the ledger.
pub(crate) fn engine_config(config: &Config) -> EngineConfig {
    let beside = config.ledger.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let cache = beside.map_or_else(|| "plugin-cache".into(), |folder| folder.join("plugin-cache"));
    EngineConfig { cache_dir: Some(cache), ..EngineConfig::default() }
}

/// Loads all policies of a configuration, or says everything that is wrong with them.
pub(crate) async fn load(plugins: &PluginHost, config: &Config) -> anyhow::Result<Loaded> {
    let set = match try_load(plugins, config).await? {
        Ok(set) => set,
        Err(problems) => {
            let text = grille_config::render(&config.path, &problems);
            bail!("{} problem(s) with policies\n{}", problems.len(), text.trim_end());
        }
    };
    let described = set.describe();
    Ok(Loaded {
        in_force: described.iter().map(in_force_of).collect(),
        components: described.into_iter().map(|policy| policy.bytes).collect(),
        set,
    })
}

/// The same with problems that know their place in the file.
pub(crate) async fn try_load(plugins: &PluginHost, config: &Config) -> anyhow::Result<Result<PolicySet, Vec<Problem>>> {
    let lock = read_lock(&config.lock_path())?;
    let (specs, unpinned) = specs(config, &lock);
    let mut problems: Vec<Problem> = unpinned.iter().map(|policy| unpinned_problem(config, policy)).collect();
    match plugins.load(specs).await {
        Ok(set) if problems.is_empty() => return Ok(Ok(set)),
        Ok(_) => {}
        Err(found) => problems.extend(found.iter().map(|problem| located(config, problem))),
    }
    Ok(Err(problems))
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
        let locked = lock.policies.get(&*policy.name);
        let pin = match policy.pin {
            Pin::Follow => None,
            Pin::Digest(digest) => Some(digest),
            Pin::Lock => {
                if locked.is_none() {
                    unpinned.push(policy);
                }
                locked.map(|locked| locked.sha256)
            }
        };
        specs.push(PolicySpec {
            name: Arc::clone(&policy.name),
            plugin: policy.plugin.clone(),
            pin,
            targets: NameList::new(&policy.targets),
            roles: policy.roles.clone(),
            mode: locked.and_then(|locked| locked.mode).unwrap_or(policy.mode),
            on_failure_allow: policy.failure_allows,
            memory: Some(policy.limits.memory),
            time: Some(policy.limits.time),
            isolation: Isolation::Session,
            grants: policy.grants.iter().map(ToString::to_string).collect(),
            settings: policy.settings.clone(),
        });
    }
    (specs, unpinned)
}

fn unpinned_problem(config: &Config, policy: &Policy) -> Problem {
    let hint = "allow_unsigned = true follows the file; sha256 = \"…\" takes one component only".to_owned();
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
    policy.plugin.to_string().chars().take(12).collect()
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
