use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grille_policy::{
    BaseColumn, Digest, Failure, FailureKind, Finding, Mode, NameList, Opinion, Protection, SessionFacts, Treatment,
    Verdict,
};
use parking_lot::Mutex;

use crate::artifact::Artifact;
use crate::breaker::Breaker;
use crate::cases::Stage;
use crate::engine::Shared;
use crate::instance::{Instance, Linked, Terms};
use crate::isolation::Isolation;
use crate::limits::Limits;
use crate::log::LogQuota;
use crate::memo::Memo;
use crate::pool::{Shelf, WARM};
use crate::services::{Grants, State};
use crate::stats::Stats;

/// A component in memory, whichever policies use it.
pub(crate) struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) hooks: Vec<&'static str>,
    pub(crate) is_stateless: bool,
    pub(crate) artifact: Artifact,
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
    pub(crate) isolation: Isolation,
    pub(crate) grants: Arc<Grants>,
    pub(crate) state: Arc<State>,
    pub(crate) settings: Arc<str>,
    pub(crate) settings_digest: Digest,
    /// How it guards masked sessions; none for a policy that protects no columns.
    pub(crate) protection: Option<Protection>,
    pub(crate) log: Arc<LogQuota>,
    /// There while a test case runs: then nothing is logged, remembered or taken from the world.
    pub(crate) stage: Option<Arc<Stage>>,
    /// Outlives a swap as long as component and settings stay the same.
    pub(crate) stats: Arc<Stats>,
    pub(crate) classified: Mutex<Vec<Arc<Classified>>>,
    pub(crate) memos: Memos,
    /// Open while the policy fails in several sessions.
    pub(crate) breaker: Breaker,
    /// Configured instances that wait for a session; with `shared` isolation, for a call.
    pub(crate) shelf: Shelf,
    is_stocking: AtomicBool,
}

/// What a stateless policy said.
#[derive(Default)]
pub(crate) struct Memos {
    pub(crate) open: Memo<Said>,
    pub(crate) judge: Memo<Said>,
    pub(crate) plan: Memo<(Said, Vec<Treatment>)>,
}

/// A verdict, and what was noticed.
pub(crate) type Said = (Verdict, Vec<Finding>);

impl Memos {
    /// Whether the policy was seen to answer the same otherwise, though it says that it is stateless.
    pub(crate) fn is_condemned(&self) -> bool {
        self.open.is_condemned() || self.judge.is_condemned() || self.plan.is_condemned()
    }
}

/// What a [`Loaded`] is made of.
pub(crate) struct Parts {
    pub(crate) name: Arc<str>,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) stem: Arc<str>,
    pub(crate) targets: NameList,
    pub(crate) roles: NameList,
    pub(crate) mode: Mode,
    pub(crate) on_failure_allow: bool,
    pub(crate) limits: Limits,
    pub(crate) isolation: Isolation,
    pub(crate) grants: Arc<Grants>,
    pub(crate) state: Arc<State>,
    pub(crate) settings: Arc<str>,
    pub(crate) settings_digest: Digest,
    pub(crate) protection: Option<Protection>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) stage: Option<Arc<Stage>>,
}

/// Columns that were classified without a look at who asked.
pub(crate) struct Classified {
    pub(crate) columns: Vec<BaseColumn>,
    pub(crate) treatments: Vec<Treatment>,
}

/// Catalog versions of the targets that share a policy; the oldest gives way.
const CLASSIFIED_MAX: usize = 4;

impl Loaded {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            name,
            plugin,
            stem,
            targets,
            roles,
            mode,
            on_failure_allow,
            limits,
            isolation,
            grants,
            state,
            settings,
            settings_digest,
            protection,
            stats,
            stage,
        } = parts;
        Self {
            log: Arc::new(LogQuota::new(Arc::clone(&name), stage.clone())),
            stage,
            name,
            plugin,
            stem,
            targets,
            roles,
            mode,
            on_failure_allow,
            limits,
            isolation,
            grants,
            state,
            settings,
            settings_digest,
            protection,
            stats,
            classified: Mutex::default(),
            memos: Memos::default(),
            breaker: Breaker::default(),
            shelf: Shelf::default(),
            is_stocking: AtomicBool::new(false),
        }
    }

    /// Whether it binds a session: its target is listed, and at least one held role.
    pub(crate) fn binds(&self, session: &SessionFacts) -> bool {
        self.targets.contains(&session.target) && session.roles.iter().any(|role| self.roles.contains(role))
    }

    pub(crate) fn is_enforced(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Whether what it says is remembered.
    pub(crate) fn is_memoised(&self) -> bool {
        self.plugin.is_stateless && self.stage.is_none()
    }

    pub(crate) fn plugin_name(&self) -> &Arc<str> {
        self.plugin.name.as_ref().unwrap_or(&self.stem)
    }

    /// A fresh, configured instance.
    pub(crate) async fn start(&self, shared: &Shared) -> Result<Instance, Failure> {
        let mut instance = Instance::start(shared, &self.terms(&self.grants), None).await?;
        instance.configure(&self.settings).await?;
        self.stats.saw_memory(instance.memory());
        Ok(instance)
    }

    /// What an instance runs under, with these grants.
    pub(crate) fn terms<'a>(&'a self, grants: &'a Arc<Grants>) -> Terms<'a> {
        let (plugin, stage) = (&*self.plugin, self.stage.as_ref());
        Terms { plugin, limits: self.limits, grants, state: &self.state, log: &self.log, stage }
    }

    /// An instance that has served nobody yet: a warm one if there is one. Others are made meanwhile.
    pub(crate) async fn unused(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<Instance, Failure> {
        let warm = self.shelf.take();
        if self.isolation != Isolation::Shared {
            self.stock(shared);
        }
        match warm {
            Some(instance) => Ok(instance),
            None => self.start(shared).await,
        }
    }

    /// Makes warm instances until there are enough, in the background. Failing to is no failure: whoever needs an
    /// instance makes one and learns why.
    pub(crate) fn stock(self: &Arc<Self>, shared: &Arc<Shared>) {
        if self.shelf.len() >= WARM || self.is_stocking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (policy, shared) = (Arc::clone(self), Arc::clone(shared));
        tokio::spawn(async move {
            while policy.shelf.len() < WARM && shared.has_room() {
                match policy.start(&shared).await {
                    Ok(instance) => policy.shelf.put(instance),
                    Err(_) => break,
                }
            }
            policy.is_stocking.store(false, Ordering::Release);
        });
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
            calls: Vec::new(),
        }
    }

    /// What its failure counts as. This is where the failure ends, so this is where it is logged.
    pub(crate) fn failed(&self, hook: &str, failure: Failure, spent_ns: u64) -> Opinion {
        let (policy, plugin) = (&*self.name, &**self.plugin_name());
        let what = failure.kind.describe();
        if failure.kind == FailureKind::Breaker {
            // What led to the pause was said, and that it began; each refusal during it is in the record.
            tracing::debug!(policy, plugin, hook, cause = %failure.message, "policy is paused");
        } else if self.stage.is_none() {
            tracing::warn!(policy, plugin, hook, cause = %failure.message, "policy failed: {what}");
        }
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
