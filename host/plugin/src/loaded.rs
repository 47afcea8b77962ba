use std::sync::Arc;

use grille_policy::{
    BaseColumn, Digest, Failure, Finding, Mode, NameList, Opinion, Protection, SessionFacts, Treatment, Verdict,
};
use parking_lot::Mutex;

use crate::engine::Shared;
use crate::instance::{Instance, Linked, Terms};
use crate::limits::Limits;
use crate::log::LogQuota;
use crate::stats::Stats;

/// A component in memory, whichever policies use it.
pub(crate) struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) hooks: Vec<&'static str>,
    pub(crate) is_stateless: bool,
    pub(crate) wants_clock: bool,
    pub(crate) linked: Linked,
    /// The file as it was, for the ledger.
    pub(crate) bytes: Arc<[u8]>,
}

impl Plugin {
    pub(crate) fn has(&self, hook: &str) -> bool {
        self.hooks.contains(&hook)
    }
}

/// A policy of a set: a plugin bound to targets and roles, with settings, mode and limits.
pub(crate) struct Loaded {
    pub(crate) name: Arc<str>,
    pub(crate) plugin: Arc<Plugin>,
    /// What people call the plugin, where its metadata do not say.
    pub(crate) stem: Arc<str>,
    pub(crate) targets: NameList,
    pub(crate) roles: NameList,
    pub(crate) mode: Mode,
    pub(crate) on_failure_allow: bool,
    pub(crate) limits: Limits,
    pub(crate) has_clock: bool,
    pub(crate) settings: Arc<str>,
    pub(crate) settings_digest: Digest,
    /// How it guards masked sessions; none for a policy that protects no columns.
    pub(crate) protection: Option<Protection>,
    pub(crate) log: Arc<LogQuota>,
    pub(crate) stats: Stats,
    pub(crate) classified: Mutex<Vec<Arc<Classified>>>,
}

/// Columns that were classified without a look at who asked.
pub(crate) struct Classified {
    pub(crate) columns: Vec<BaseColumn>,
    pub(crate) treatments: Vec<Treatment>,
}

/// Catalog versions of the targets that share a policy; the oldest gives way.
const CLASSIFIED_MAX: usize = 4;

impl Loaded {
    /// Whether it binds a session: its target is listed, and at least one held role.
    pub(crate) fn binds(&self, session: &SessionFacts) -> bool {
        self.targets.contains(&session.target) && session.roles.iter().any(|role| self.roles.contains(role))
    }

    pub(crate) fn is_enforced(&self) -> bool {
        self.mode == Mode::Enforce
    }

    pub(crate) fn plugin_name(&self) -> &Arc<str> {
        self.plugin.name.as_ref().unwrap_or(&self.stem)
    }

    /// A fresh, configured instance.
    pub(crate) async fn start(&self, shared: &Shared, session: Option<Arc<SessionFacts>>) -> Result<Instance, Failure> {
        let terms =
            Terms { linked: &self.plugin.linked, limits: self.limits, has_clock: self.has_clock, log: &self.log };
        let mut instance = Instance::start(shared, &terms, session).await?;
        instance.configure(&self.settings).await?;
        self.stats.saw_memory(instance.memory());
        Ok(instance)
    }

    /// What the policy said.
    pub(crate) fn opinion(&self, verdict: Verdict, findings: Vec<Finding>, spent_ns: u64) -> Opinion {
        Opinion {
            policy: Arc::clone(&self.name),
            plugin: self.plugin.digest,
            settings: self.settings_digest,
            mode: self.mode,
            verdict,
            findings,
            failure: None,
            spent_ns,
        }
    }

    /// What its failure counts as. This is where the failure ends, so this is where it is logged.
    pub(crate) fn failed(&self, hook: &str, failure: Failure, spent_ns: u64) -> Opinion {
        let (policy, plugin) = (&*self.name, &**self.plugin_name());
        let what = failure.kind.describe();
        tracing::warn!(policy, plugin, hook, cause = %failure.message, "policy failed: {what}");
        let verdict = if self.on_failure_allow { Verdict::Allow } else { failure.verdict(&self.name) };
        Opinion { failure: Some(failure), ..self.opinion(verdict, Vec::new(), spent_ns) }
    }

    pub(crate) fn recall(&self, columns: &[BaseColumn]) -> Option<Arc<Classified>> {
        // Held only to copy a few pointers; comparing thousands of columns happens outside.
        let known: Vec<_> = self.classified.lock().iter().map(Arc::clone).collect();
        known.into_iter().find(|classified| classified.columns == columns)
    }

    pub(crate) fn remember(&self, columns: &[BaseColumn], treatments: &[Treatment]) {
        let classified = Arc::new(Classified { columns: columns.to_vec(), treatments: treatments.to_vec() });
        let mut known = self.classified.lock();
        if known.len() >= CLASSIFIED_MAX {
            known.remove(0);
        }
        known.push(classified);
    }
}
