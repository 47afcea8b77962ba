use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Digest, Epoch, FailureKind, Mode};
use serde::Serialize;
use tokio::time::Instant;

use crate::isolation::Isolation;
use crate::loaded::Loaded;

/// What a policy in force has done since its component or its settings changed.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyStatus {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The plugin's version, where it says one.
    pub version: Option<Arc<str>>,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// SHA-256 of the settings.
    pub settings_digest: Digest,
    /// Whether it acts.
    pub mode: Mode,
    /// Whether operations pass when it fails.
    pub on_failure_allow: bool,
    /// The hooks that it exports.
    pub hooks: Vec<&'static str>,
    /// Whom an instance serves.
    pub isolation: Isolation,
    /// What it may reach besides `log` and `detect`.
    pub grants: Vec<String>,
    /// The set in force.
    pub epoch: Epoch,
    /// Calls into the plugin.
    pub calls: u64,
    /// Answers that were remembered instead.
    pub memoised: u64,
    /// Verdicts by kind, remembered ones included.
    pub allowed: u64,
    /// See `allowed`.
    pub reviewed: u64,
    /// See `allowed`.
    pub blocked: u64,
    /// Calls without a usable answer.
    pub failures: u64,
    /// The same by kind.
    pub failures_by_kind: Vec<(FailureKind, u64)>,
    /// While the policy is left alone because it failed again and again: the seconds until it is tried again.
    pub paused_s: Option<u64>,
    /// Whether it was seen to answer the same question otherwise, though it says that it is stateless.
    pub broke_its_word: bool,
    /// The median time of a call, in microseconds.
    pub p50_us: f64,
    /// The time that 99 of 100 calls stay below, in microseconds.
    pub p99_us: f64,
    /// Why it failed last.
    pub last_error: Option<Arc<str>>,
    /// The most memory that one instance has had, in bytes.
    pub memory: u64,
}

impl PolicyStatus {
    pub(crate) fn of(policy: &Loaded, epoch: Epoch) -> Self {
        let stats = policy.stats.snapshot();
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        Self {
            policy: Arc::clone(&policy.name),
            plugin: Arc::clone(policy.plugin_name()),
            version: policy.plugin.version.clone(),
            digest: policy.plugin.digest,
            settings_digest: policy.settings_digest,
            mode: policy.mode,
            on_failure_allow: policy.on_failure_allow,
            hooks: policy.plugin.hooks.clone(),
            isolation: policy.isolation,
            grants: policy.grants.names(),
            epoch,
            calls: stats.calls,
            memoised: stats.memoised,
            allowed: stats.allowed,
            reviewed: stats.reviewed,
            blocked: stats.blocked,
            failures: stats.failures,
            failures_by_kind: stats.kinds.into_iter().filter(|(_, count)| *count > 0).collect(),
            paused_s: policy.breaker.open_for(Instant::now()).map(|left| left.as_secs() + 1),
            broke_its_word: policy.memos.is_condemned(),
            p50_us: micros(stats.p50),
            p99_us: micros(stats.p99),
            last_error: stats.last_error,
            memory: stats.memory,
        }
    }
}
