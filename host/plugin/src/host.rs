use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use grille_policy::{BoxFuture, Digest, Epoch, Evaluator, Mode, Opened, SessionFacts};
use serde::Serialize;
use tokio::sync::{Mutex, oneshot};
use wasmtime::component::Linker;

use crate::engine::{EngineConfig, EngineError, Shared, one_line};
use crate::guest::{self, Guest};
use crate::load::{Known, PolicySpec, load_all};
use crate::loaded::Loaded;
use crate::problem::{LoadProblem, Step};
use crate::session;

/// The policies in force, and the engine that runs them.
pub struct PluginHost {
    shared: Arc<Shared>,
    linker: Arc<Linker<Guest>>,
    active: ArcSwap<Active>,
    /// One load at a time: it compiles, and the machine has other work.
    loading: Mutex<()>,
}

/// A set in force.
struct Active {
    epoch: Epoch,
    policies: Vec<Arc<Loaded>>,
}

/// Policies that loaded and are ready to be put in force together.
pub struct PolicySet {
    policies: Vec<Arc<Loaded>>,
}

impl PluginHost {
    /// An engine with an empty set, epoch 0: no session is bound until a set is put in force.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let shared = Shared::new(config)?;
        let linker = guest::linker(&shared.engine).map_err(|error| EngineError::Engine(one_line(&error)))?;
        let active = Active { epoch: Epoch(0), policies: Vec::new() };
        Ok(Self {
            shared: Arc::new(shared),
            linker: Arc::new(linker),
            active: ArcSwap::from_pointee(active),
            loading: Mutex::new(()),
        })
    }

    /// Loads a set on a thread of low priority. Whatever is in force stays as it is; on any problem nothing is kept.
    pub async fn load(&self, specs: Vec<PolicySpec>) -> Result<PolicySet, Vec<LoadProblem>> {
        let _turn = self.loading.lock().await;
        let (shared, linker) = (Arc::clone(&self.shared), Arc::clone(&self.linker));
        let active = self.active.load_full();
        let known: Known =
            active.policies.iter().map(|policy| (policy.plugin.digest, Arc::clone(&policy.plugin))).collect();
        let (answer, answered) = oneshot::channel();
        let work = move || {
            step_back();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let loaded = match runtime {
                Ok(runtime) => runtime.block_on(load_all(&shared, &linker, &known, specs)),
                Err(error) => Err(vec![not_loaded(&format!("start a runtime: {error}"))]),
            };
            // Nobody waits any more: the load is moot.
            drop(answer.send(loaded));
        };
        if let Err(error) = thread::Builder::new().name("grille-compile".into()).spawn(work) {
            return Err(vec![not_loaded(&format!("start a thread: {error}"))]);
        }
        let loaded = answered.await.unwrap_or_else(|_| Err(vec![not_loaded("the loading thread panicked")]));
        loaded.map(|policies| PolicySet { policies })
    }

    /// Puts a set in force, all of it at once. Sessions follow with their next operation; what is under way ends on the
    /// set that it began under.
    pub fn swap(&self, set: PolicySet) -> Epoch {
        let before =
            self.active.rcu(|active| Active { epoch: Epoch(active.epoch.0 + 1), policies: set.policies.clone() });
        Epoch(before.epoch.0 + 1)
    }

    /// What each policy in force is and has done, by name.
    pub fn status(&self) -> Vec<PolicyStatus> {
        let active = self.active.load();
        active.policies.iter().map(|policy| PolicyStatus::of(policy, active.epoch)).collect()
    }

    /// The policies in force, as records name them.
    pub fn describe(&self) -> (Epoch, Vec<PolicyDescription>) {
        let active = self.active.load();
        (active.epoch, active.policies.iter().map(|policy| PolicyDescription::of(policy)).collect())
    }
}

impl Evaluator for PluginHost {
    fn epoch(&self) -> Epoch {
        self.active.load().epoch
    }

    fn open(&self, session: Arc<SessionFacts>) -> BoxFuture<'_, Opened> {
        let active = self.active.load_full();
        let bound = active.policies.iter().filter(|policy| policy.binds(&session)).map(Arc::clone).collect();
        Box::pin(session::open(Arc::clone(&self.shared), active.epoch, session, bound))
    }
}

impl PolicySet {
    /// The policies of the set, as records name them.
    pub fn describe(&self) -> Vec<PolicyDescription> {
        self.policies.iter().map(|policy| PolicyDescription::of(policy)).collect()
    }
}

/// What a policy is made of: enough to run it again to the same verdicts.
#[derive(Debug, Clone)]
pub struct PolicyDescription {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The plugin's version, where it says one.
    pub version: Option<Arc<str>>,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// The component.
    pub bytes: Arc<[u8]>,
    /// The settings as canonical JSON.
    pub settings: Arc<str>,
    /// SHA-256 of that.
    pub settings_digest: Digest,
    /// Whether it acts.
    pub mode: Mode,
    /// Whether operations pass when it fails.
    pub on_failure_allow: bool,
    /// The hooks that it exports.
    pub hooks: Vec<&'static str>,
}

impl PolicyDescription {
    fn of(policy: &Loaded) -> Self {
        Self {
            policy: Arc::clone(&policy.name),
            plugin: Arc::clone(policy.plugin_name()),
            version: policy.plugin.version.clone(),
            digest: policy.plugin.digest,
            bytes: Arc::clone(&policy.plugin.bytes),
            settings: Arc::clone(&policy.settings),
            settings_digest: policy.settings_digest,
            mode: policy.mode,
            on_failure_allow: policy.on_failure_allow,
            hooks: policy.plugin.hooks.clone(),
        }
    }
}

/// What a policy in force has done since it came into force.
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
    fn of(policy: &Loaded, epoch: Epoch) -> Self {
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
            epoch,
            calls: stats.calls,
            memoised: stats.memoised,
            allowed: stats.allowed,
            reviewed: stats.reviewed,
            blocked: stats.blocked,
            failures: stats.failures,
            p50_us: micros(stats.p50),
            p99_us: micros(stats.p99),
            last_error: stats.last_error,
            memory: stats.memory,
        }
    }
}

fn not_loaded(cause: &str) -> LoadProblem {
    LoadProblem { policy: "*".into(), step: Step::Spec, message: format!("nothing was loaded: {cause}") }
}

/// Compiling may take seconds and must not take them from callers: on Linux priority belongs to the thread.
fn step_back() {
    const NICE: libc::c_int = 10;
    // SAFETY: sets the nice value of the calling thread; no memory is involved. Failing to changes nothing.
    #[allow(unsafe_code, reason = "the standard library has no priorities")]
    let _done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
