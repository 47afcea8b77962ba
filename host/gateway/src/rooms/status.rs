//! The gateway and its policies at a glance.

use std::net::IpAddr;
use std::sync::Arc;

use grille_admin::view::{Listener, Policies, Policy, Status};
use grille_admin::{PolicyView, StatusView};
use grille_config::{Config, Pin, Target, TlsMode};
use grille_plugin::PolicyStatus;
use grille_policy::{Epoch, Evaluator as _, Mode};

use crate::state::State;
use crate::weakening::restart_parts;

pub(crate) struct Overview(pub(crate) Arc<State>);

impl StatusView for Overview {
    fn status(&self) -> Status {
        let state = &self.0;
        let config = state.config();
        let listeners = state.addresses.iter().map(|(name, address)| Listener {
            name: Arc::clone(name),
            protocol: "postgres".into(),
            address: address.to_string().into(),
        });
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            started_ms: state.started_ms,
            epoch: state.plugins.epoch(),
            listeners: listeners.collect(),
            targets: config.targets.iter().map(|target| Arc::clone(&target.name)).collect(),
            sessions: state.path.live().list().len() as u64,
            reviews: 0,
            warnings: self.warnings(&config),
        }
    }
}

impl Overview {
    fn warnings(&self, config: &Config) -> Vec<String> {
        let state = &self.0;
        let mut warnings = Vec::new();
        if let Some(trouble) = state.ledger.status().trouble {
            warnings.push(format!("the ledger cannot be written, so nothing is forwarded: {trouble}"));
        }
        if let Some(reload) = state.last_reload.lock().as_ref().filter(|reload| !reload.is_done) {
            let first = reload.lines.first().cloned().unwrap_or_else(|| "".into());
            warnings.push(format!("the last reload was refused: {first}"));
        }
        for part in restart_parts(&state.started_with, config) {
            warnings.push(format!("[{part}] of the configuration takes effect at the next start"));
        }
        warnings.extend(weak_targets(config));
        for policy in state.plugins.status() {
            if policy.mode == Mode::Monitor {
                warnings.push(format!("policy \"{}\" only monitors", policy.policy));
            }
            if policy.on_failure_allow {
                warnings.push(format!("policy \"{}\" lets operations pass when it fails", policy.policy));
            }
        }
        warnings
    }
}

/// Targets off loopback whose server is not verified: the login could go to somebody else.
pub(crate) fn weak_targets(config: &Config) -> Vec<String> {
    let is_local = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback());
    let is_weak = |target: &&Target| {
        target.tls.mode != TlsMode::VerifyFull && !target.addresses.iter().all(|address| is_local(&address.host))
    };
    let say =
        |target: &Target| format!("target \"{}\": the server is not verified (tls = \"verify-full\")", target.name);
    config.targets.iter().filter(is_weak).map(say).collect()
}

impl PolicyView for Overview {
    fn policies(&self) -> Policies {
        let state = &self.0;
        let config = state.config();
        let policies = state.plugins.status().iter().map(|status| policy(&config, status)).collect();
        Policies { epoch: epoch(state), policies, reload: state.last_reload.lock().clone() }
    }
}

fn epoch(state: &State) -> Epoch {
    state.plugins.epoch()
}

fn policy(config: &Config, status: &PolicyStatus) -> Policy {
    let written = config.policies.iter().find(|policy| policy.name == status.policy);
    let plugin = match &status.version {
        Some(version) => format!("{} {version}", status.plugin).into(),
        None => Arc::clone(&status.plugin),
    };
    let mut notes = Vec::new();
    if let Some(error) = &status.last_error {
        notes.push(format!("{} of {} calls failed, the last one: {error}", status.failures, status.calls).into());
    }
    if written.is_some_and(|policy| policy.pin == Pin::Follow) {
        notes.push("follows its file".into());
    }
    if status.calls > 0 {
        let times = format!("{} calls, p50 {:.1} µs, p99 {:.1} µs", status.calls, status.p50_us, status.p99_us);
        notes.push(times.into());
    }
    let is_missing = written.is_some_and(|policy| !policy.plugin.exists());
    Policy {
        name: Arc::clone(&status.policy),
        plugin,
        source: written.map_or_else(String::new, |policy| policy.plugin.display().to_string()).into(),
        digest: status.digest,
        settings: status.settings_digest,
        mode: status.mode,
        state: if is_missing { "missing" } else { "in force" }.into(),
        targets: written.map_or_else(Vec::new, |policy| policy.targets.clone()),
        roles: written.map_or_else(Vec::new, |policy| policy.role_entries.clone()),
        hooks: status.hooks.iter().map(|hook| (*hook).into()).collect(),
        on_failure: if status.on_failure_allow { "allow" } else { "block" }.into(),
        notes,
    }
}
