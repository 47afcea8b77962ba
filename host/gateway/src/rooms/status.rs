//! The gateway and its policies at a glance.

use std::net::IpAddr;
use std::sync::Arc;

use grille_admin::view::{
    Activity, Archived, EpochSessions, Ledger, Listener, Policies, Policy, Retained, Status, Tail,
};
use grille_admin::{PolicyView, StatusView};
use grille_config::{Config, Locked, Pin, Target, TlsMode};
use grille_plugin::{Isolation, PolicyStatus};
use grille_policy::{Evaluator as _, FailureKind, Mode};

use crate::policies::{self, shorten};
use crate::retention::days;
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
        let (ledger, tails) = (state.ledger.status(), state.ledger.tails());
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            started_ms: state.started_ms,
            epoch: state.plugins.epoch(),
            listeners: listeners.collect(),
            targets: config.targets.iter().map(|target| Arc::clone(&target.name)).collect(),
            sessions: state.path.live().list().len() as u64,
            reviews: 0,
            warnings: self.warnings(&config),
            ledger: Ledger {
                written: ledger.written,
                synced: ledger.synced,
                signed: ledger.signed,
                unsigned: tail(tails.unsigned),
                unwitnessed: tails.unwitnessed.map(tail),
                unanchored: tails.unanchored.map(tail),
                archive: ledger.archive.map(|archive| Archived {
                    anchored: archive.anchored,
                    segments_waiting: archive.segments_waiting,
                    bytes_waiting: archive.bytes_waiting,
                    trouble: archive.trouble.map(Into::into),
                }),
                retained: Retained {
                    past: ledger.retained.past,
                    destroyed: ledger.retained.destroyed,
                    leapt_s: ledger.retained.leapt / 1_000_000,
                },
                trouble: ledger.trouble.map(Into::into),
            },
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
        if let Some(trouble) = state.ledger.status().archive.and_then(|archive| archive.trouble) {
            warnings.push(format!("the ledger's archive takes nothing: {trouble}"));
        }
        let retained = state.ledger.status().retained;
        if retained.past > 0 {
            let what = if state.started_with.ledger.shreds_at_end { "under legal holds" } else { "at_end = \"keep\"" };
            warnings.push(format!("{} session(s) are past their retention and still there ({what})", retained.past));
        }
        if retained.leapt > 0 {
            let leapt = days(retained.leapt / 1_000_000);
            warnings
                .push(format!("the clock leapt by {leapt} that the ledger did not see pass: no retention counts them"));
        }
        if let Some(reload) =
            state.last_reload.lock().as_ref().map(|(reload, _)| reload).filter(|reload| !reload.is_done)
        {
            let first = reload.lines.first().cloned().unwrap_or_else(|| "".into());
            warnings.push(format!("the last reload was refused: {first}"));
        }
        for part in restart_parts(&state.started_with, config) {
            warnings.push(format!("[{part}] of the configuration takes effect at the next start"));
        }
        warnings.extend(weak_targets(config));
        warnings.extend(state.surplus.lock().iter().cloned());
        for policy in state.plugins.status() {
            if policy.mode == Mode::Monitor {
                warnings.push(format!("policy \"{}\" only monitors", policy.policy));
            }
            if policy.on_failure_allow {
                warnings.push(format!("policy \"{}\" lets operations pass when it fails", policy.policy));
            }
            if let Some(seconds) = policy.paused_s {
                let name = &policy.policy;
                warnings.push(format!("policy \"{name}\" fails again and again: it is not asked for {seconds} s"));
            }
            if policy.broke_its_word {
                let name = &policy.policy;
                let what = "says that it is stateless and answered the same question otherwise";
                warnings.push(format!("policy \"{name}\" {what}: its answers are not remembered any more"));
            }
        }
        warnings
    }
}

fn tail(tail: grille_ledger::Tail) -> Tail {
    Tail { records: tail.records, age_ms: u64::try_from(tail.age.as_millis()).unwrap_or(u64::MAX) }
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
        let sessions = state.plugins.sessions().into_iter();
        Policies {
            epoch: state.plugins.epoch(),
            sessions: sessions.map(|(epoch, count)| EpochSessions { epoch, sessions: count as u64 }).collect(),
            policies: state.plugins.status().into_iter().map(|status| self.policy(status)).collect(),
            reload: state.last_reload.lock().as_ref().map(|(reload, _)| reload.clone()),
        }
    }
}

impl Overview {
    fn policy(&self, status: PolicyStatus) -> Policy {
        let in_force = self.0.in_force.load();
        let written = in_force.config.policies.iter().find(|policy| policy.name == status.policy);
        let pin = written.and_then(|policy| policies::pin(policy, &in_force.lock));
        let file = written.map(|policy| self.0.digests.of(&policy.plugin));
        let is_missing = written.is_some_and(|policy| !policy.plugin.exists());
        // What follows its file and differs from it is refused or on its way: the last reload says which.
        let waiting = file.and_then(Result::ok).filter(|digest| pin.is_some() && *digest != status.digest);
        let state = match () {
            () if status.paused_s.is_some() => "paused",
            () if is_missing => "missing",
            () if waiting.is_some() => "new digest waiting",
            () => "in force",
        };
        let failures = status.failures_by_kind.iter();
        // A component out of the ledger is named like its file there, where it has no name of its own.
        let stem = written.and_then(|policy| policy.plugin.file_stem()).map(|stem| stem.to_string_lossy());
        let is_named_by_digest = *status.plugin == *status.digest.to_string();
        let plugin = stem.filter(|_| is_named_by_digest).map_or(status.plugin, |stem| stem.into());
        Policy {
            plugin,
            version: status.version,
            source: written.map_or_else(String::new, |policy| policy.plugin.display().to_string()).into(),
            digest: status.digest,
            settings: status.settings_digest,
            mode: status.mode,
            isolation: match status.isolation {
                Isolation::Session => "session",
                Isolation::Request => "request",
                Isolation::Shared => "shared",
            }
            .into(),
            state: state.into(),
            waiting,
            paused_s: status.paused_s,
            broke_its_word: status.broke_its_word,
            targets: written.map_or_else(Vec::new, |policy| policy.targets.clone()),
            roles: written.map_or_else(Vec::new, |policy| policy.role_entries.clone()),
            hooks: status.hooks.iter().map(|hook| (*hook).into()).collect(),
            grants: status.grants.into_iter().map(Into::into).collect(),
            on_failure: if status.on_failure_allow { "allow" } else { "block" }.into(),
            activity: Activity {
                calls: status.calls,
                remembered: status.memoised,
                allowed: status.allowed,
                reviewed: status.reviewed,
                blocked: status.blocked,
                failures: status.failures,
                failures_by_kind: failures.map(|(kind, count)| (kind_name(*kind).into(), *count)).collect(),
                last_error: status.last_error,
                p50_us: status.p50_us,
                p99_us: status.p99_us,
                memory: status.memory,
            },
            notes: written.map_or_else(Vec::new, |policy| notes(policy, in_force.lock.policies.get(&*policy.name))),
            name: status.policy,
        }
    }
}

/// Where its component and its mode come from.
fn notes(policy: &grille_config::Policy, locked: Option<&Locked>) -> Vec<Arc<str>> {
    let mut notes: Vec<Arc<str>> = Vec::new();
    match (policy.pin, locked) {
        (Pin::Follow, None) => notes.push("follows its file".into()),
        (Pin::Follow | Pin::Lock, Some(_)) => notes.push("pinned by grille.lock".into()),
        (Pin::Digest(_), _) => notes.push("pinned by sha256 in grille.toml".into()),
        (Pin::Lock, None) => {}
    }
    if locked.is_some_and(|locked| locked.mode.is_some()) {
        notes.push("mode from grille.lock".into());
    }
    if let Some(previous) = locked.and_then(|locked| locked.previous) {
        let mode = match previous.mode {
            Some(Mode::Enforce) => ", enforce",
            Some(Mode::Monitor) => ", monitor",
            None => "",
        };
        notes.push(format!("`grille policy rollback` goes to {}{mode}", shorten(&previous.sha256)).into());
    }
    notes
}

/// As records and metrics call it.
const fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Trap => "trap",
        FailureKind::Timeout => "timeout",
        FailureKind::Memory => "memory",
        FailureKind::Nonsense => "nonsense",
        FailureKind::Start => "start",
        FailureKind::Breaker => "breaker",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use grille_policy::{SessionFacts, SessionId, Subject};

    use super::*;
    use crate::compose::{Gateway, Options};

    fn session(number: u32) -> Arc<SessionFacts> {
        let subject = Subject {
            provider: "corp".into(),
            issuer: "https://id.example.org".into(),
            sub: "ann".into(),
            name: "ann".into(),
            groups: vec!["analysts".into()],
            actors: Vec::new(),
            expires_at: u64::MAX,
            claims: "{}".into(),
        };
        Arc::new(SessionFacts {
            id: SessionId::mint(1, number),
            subject: Arc::new(subject),
            target: "clinic".into(),
            protocol: "postgres".into(),
            roles: vec!["analyst".into()],
            listener: "pg".into(),
            peer: "127.0.0.1:5".into(),
            client: "psql".into(),
            tls: None,
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_policy_that_fails_again_and_again_is_seen() {
        let probe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/guests/probe.wasm");
        assert!(probe.exists(), "{} is missing: run `cargo xtask components` first", probe.display());
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            r#"version = 1
identity.corp = {{ issuer = "https://id.example.org", audience = "grille" }}
listeners.pg = {{ protocol = "postgres", address = "127.0.0.1:0" }}
targets.clinic = {{ protocol = "postgres", address = "127.0.0.1:1", database = "c", login = {{ user = "app" }} }}
roles.analyst = {{ groups = ["analysts"], targets = ["clinic"] }}
[policies.probe]
plugin = {probe:?}
targets = ["clinic"]
allow_unsigned = true
isolation = "request"
limits = {{ memory = "8MiB" }}
settings = {{ open = "trap" }}
"#
        );
        let path = dir.path().join("grille.toml");
        std::fs::write(&path, text).unwrap();
        let config = crate::read_config(&path).unwrap();
        let options = Options { permit_demo_issuer: false, drain: Duration::ZERO };
        let gateway = Gateway::compose(config, options).await.unwrap();
        let overview = Overview(Arc::clone(&gateway.state));
        let before = overview.policies();
        assert_eq!((&*before.policies[0].state, &*before.policies[0].isolation), ("in force", "request"));
        for number in 0..8 {
            drop(gateway.state.plugins.open(session(number)).await);
        }
        let policies = overview.policies();
        let policy = &policies.policies[0];
        assert_eq!((&*policy.state, policy.paused_s), ("paused", Some(1)));
        let of_kind = |kind: &str| policy.activity.failures_by_kind.get(kind).copied().unwrap_or(0);
        assert_eq!((of_kind("trap"), of_kind("breaker")), (5, 3), "{:?}", policy.activity);
        assert!(policy.activity.last_error.is_some() && policy.activity.blocked == 8);
        let warnings = overview.status().warnings;
        assert!(warnings.iter().any(|line| line.contains("\"probe\" fails again and again")), "{warnings:?}");
        assert_eq!(policies.sessions.iter().map(|of| of.sessions).sum::<u64>(), 0);
    }
}
