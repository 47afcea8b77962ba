use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Glob, Inference, Mode, NameList, Opaque, Protection, Writes};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Check, Names};
use crate::locate::join;
use crate::{Isolation, Limits, Pin, Policy, file, suggest};

impl Check<'_> {
    pub(super) fn policies(&mut self, policies: BTreeMap<String, file::Policy>, names: &Names) -> Option<Vec<Policy>> {
        self.each("policies", policies, |check, key, name, policy| {
            let plugin = check.plugin(&join(key, "plugin"), policy.plugin);
            let targets = policy
                .targets
                .map(|targets| check.references(&join(key, "targets"), "target", targets, &names.targets));
            let roles = policy.roles.unwrap_or_else(|| vec!["*".to_owned()]);
            check.bound_roles(&join(key, "roles"), &roles, names);
            for (at, grant) in policy.grants.iter().enumerate() {
                check.grant(&format!("{key}.grants[{at}]"), grant, names);
            }
            let limits_key = join(key, "limits");
            let limits = Limits {
                memory: policy.limits.memory.map(|text| {
                    check.size(&join(&limits_key, "memory"), Some(text), MEMORY_MAX, MEMORY_MIN..=MEMORY_MAX)
                }),
                time: policy
                    .limits
                    .time
                    .map(|text| check.duration(&join(&limits_key, "time"), Some(text), TIME_MAX, TIME_MIN..=TIME_MAX)),
            };
            let pin = check.pin(key, policy.allow_unsigned, policy.sha256);
            let protection = check.protection(&join(key, "settings"), &policy.settings);
            Some(Policy {
                name,
                plugin: check.path(&plugin?),
                targets: targets?,
                roles: NameList::new(&roles),
                role_entries: roles.into_iter().map(Into::into).collect(),
                mode: match policy.mode {
                    None | Some(file::Mode::Enforce) => Mode::Enforce,
                    Some(file::Mode::Monitor) => Mode::Monitor,
                },
                failure_allows: matches!(policy.on_failure, Some(file::OnFailure::Allow)),
                limits,
                isolation: match policy.isolation {
                    None | Some(file::Isolation::Session) => Isolation::Session,
                    Some(file::Isolation::Request) => Isolation::Request,
                    Some(file::Isolation::Shared) => Isolation::Shared,
                },
                grants: policy.grants.into_iter().map(Into::into).collect(),
                pin: pin?,
                settings: Value::Object(policy.settings),
                protection,
            })
        })
    }

    fn plugin(&mut self, key: &str, plugin: Option<String>) -> Option<Arc<str>> {
        let plugin = self.text(key, plugin)?;
        if plugin.contains("://") {
            let hint = "the path of a component's file, relative to this one".to_owned();
            self.report(key, "plugins are read from files only", Some(hint));
            return None;
        }
        Some(plugin)
    }

    fn bound_roles(&mut self, key: &str, roles: &[String], names: &Names) {
        if roles.iter().all(|role| role.starts_with('!')) {
            let hint = "begin with \"*\", or leave the key out to bind everybody".to_owned();
            self.report(key, "no role is included, so the policy would bind nobody", Some(hint));
        }
        for (at, entry) in roles.iter().enumerate() {
            let name = entry.strip_prefix('!').unwrap_or(entry);
            let key = format!("{key}[{at}]");
            if name.contains('*') {
                let glob = Glob::new(name);
                if name != "*" && !names.roles.iter().any(|role| glob.matches(role)) {
                    let hint = suggest::hint(name, names.roles.iter().map(String::as_str));
                    self.report(&key, format!("no role matches `{name}`"), hint);
                }
            } else {
                self.reference(&key, "role", name, &names.roles);
            }
        }
    }

    fn grant(&mut self, key: &str, grant: &str, names: &Names) {
        if let Some(name) = grant.strip_prefix("lookup:") {
            if !names.lookups.iter().any(|known| known == name) {
                let hint = suggest::closest(name, names.lookups.iter().map(String::as_str))
                    .map(|meant| format!("did you mean `lookup:{meant}`?"));
                let hint = hint.unwrap_or_else(|| format!("[lookups.{name}] with a `url` would make it"));
                self.report(key, format!("there is no service `{name}` under [lookups]"), Some(hint));
            }
        } else if !GRANTS.contains(&grant) {
            let hint = match grant {
                "log" | "detect" => Some("every plugin has it: leave it out".to_owned()),
                "lookup" => Some("name the service: \"lookup:NAME\", as in [lookups.NAME]".to_owned()),
                _ => suggest::hint(grant, GRANTS),
            };
            self.report(key, format!("there is no grant `{grant}`"), hint);
        }
    }

    fn pin(&mut self, key: &str, allow_unsigned: Option<bool>, sha256: Option<String>) -> Option<Pin> {
        match (allow_unsigned.unwrap_or(false), sha256) {
            (true, None) => Some(Pin::Follow),
            (false, None) => Some(Pin::Lock),
            (true, Some(_)) => {
                let hint = "leave one of them out".to_owned();
                self.report(
                    &join(key, "sha256"),
                    "a policy that follows its file cannot be pinned to a digest",
                    Some(hint),
                );
                None
            }
            (false, Some(text)) => match text.parse() {
                Ok(digest) => Some(Pin::Digest(digest)),
                Err(_) => {
                    let hint = "64 hexadecimal digits, as `sha256sum plugin.wasm` prints them".to_owned();
                    self.report(&join(key, "sha256"), "this is no SHA-256", Some(hint));
                    None
                }
            },
        }
    }

    /// The host's part of the settings. The rest is the plugin's, which checks it itself when it is loaded.
    fn protection(&mut self, key: &str, settings: &Map<String, Value>) -> Protection {
        Protection {
            inference: self.choice(key, "inference", settings, &["record", "refuse"]).unwrap_or(Inference::Record),
            opaque: self.choice(key, "opaque", settings, &["refuse", "review", "scan"]).unwrap_or(Opaque::Refuse),
            writes: self.choice(key, "writes", settings, &["refuse", "allow"]).unwrap_or(Writes::Refuse),
            notify: self.choice::<Notify>(key, "notify", settings, &["refuse", "allow"]) == Some(Notify::Allow),
            functions: self.functions(&join(key, "functions"), settings.get("functions")),
        }
    }

    fn choice<T: DeserializeOwned>(
        &mut self,
        key: &str,
        name: &str,
        settings: &Map<String, Value>,
        choices: &[&str],
    ) -> Option<T> {
        let written = settings.get(name)?;
        let read = serde_json::from_value(written.clone()).ok();
        if read.is_none() {
            let hint = suggest::hint(written.as_str().unwrap_or_default(), choices.iter().copied());
            self.report(&join(key, name), format!("{written} is not one of the choices"), hint);
        }
        read
    }

    fn functions(&mut self, key: &str, functions: Option<&Value>) -> Vec<Arc<str>> {
        let Some(functions) = functions else { return Vec::new() };
        let names: Option<Vec<&str>> = functions.as_array().and_then(|all| all.iter().map(Value::as_str).collect());
        let is_full = |name: &&str| name.split('.').filter(|part| !part.is_empty()).count() == 2;
        match names {
            Some(names) if names.iter().all(is_full) => names.into_iter().map(Into::into).collect(),
            _ => {
                let hint = "functions = [\"schema.name\"]".to_owned();
                self.report(key, "a list of functions with their schemas is expected", Some(hint));
                Vec::new()
            }
        }
    }
}

#[derive(PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Notify {
    Refuse,
    Allow,
}

/// What can be granted; `log` and `detect` need no grant.
const GRANTS: [&str; 3] = ["clock", "counters", "kv"];
/// One 64 KiB page is the least a component has; a mebibyte leaves room for its data.
const MEMORY_MIN: u64 = 1 << 20;
/// The slots of the pool of guest memories are this big.
const MEMORY_MAX: u64 = 256 << 20;
/// Two ticks of the clock that guests are stopped by.
const TIME_MIN: Duration = Duration::from_millis(4);
/// Somebody waits for the answer of a statement.
const TIME_MAX: Duration = Duration::from_secs(10);
