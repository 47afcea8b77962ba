use std::sync::{Arc, Weak};
use std::thread;

use arc_swap::ArcSwap;
use grille_policy::{BoxFuture, Digest, Epoch, Evaluator, Mode, Opened, SessionFacts};
use tokio::sync::{Mutex, oneshot};
use wasmtime::component::Linker;

use crate::engine::{EngineConfig, EngineError, Shared, one_line};
use crate::guest::{self, Guest};
use crate::load::{Known, PolicySpec, load_all};
use crate::loaded::Loaded;
use crate::pool;
use crate::problem::{LoadProblem, Step};
use crate::session;
use crate::staged::{self, Staged};
use crate::status::PolicyStatus;

/// The policies in force, and the engine that runs them.
pub struct PluginHost {
    pub(crate) shared: Arc<Shared>,
    linker: Arc<Linker<Guest>>,
    active: ArcSwap<Active>,
    /// The sets that sessions are still on, oldest first.
    epochs: parking_lot::Mutex<Vec<(Epoch, Weak<()>)>>,
    /// One load at a time: it compiles, and the machine has other work.
    loading: Mutex<()>,
}

/// A set in force.
struct Active {
    epoch: Epoch,
    policies: Vec<Arc<Loaded>>,
    /// Each open session holds one.
    members: Arc<()>,
}

/// Policies that loaded and are ready to be put in force together.
pub struct PolicySet {
    pub(crate) policies: Vec<Arc<Loaded>>,
}

impl PluginHost {
    /// An engine with an empty set, epoch 0: no session is bound until a set is put in force.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let shared = Shared::new(config)?;
        let linker = guest::linker(&shared.engine).map_err(|error| EngineError::Engine(one_line(&error)))?;
        let shared = Arc::new(shared);
        pool::start_sweeper(Arc::downgrade(&shared), |shared| &shared.kept).map_err(EngineError::Thread)?;
        let members = Arc::new(());
        let epochs = vec![(Epoch(0), Arc::downgrade(&members))];
        Ok(Self {
            shared,
            linker: Arc::new(linker),
            active: ArcSwap::from_pointee(Active { epoch: Epoch(0), policies: Vec::new(), members }),
            epochs: parking_lot::Mutex::new(epochs),
            loading: Mutex::new(()),
        })
    }

    /// Loads a set on a thread of low priority. Whatever is in force stays as it is; on any problem nothing is kept.
    pub async fn load(&self, specs: Vec<PolicySpec>) -> Result<PolicySet, Vec<LoadProblem>> {
        let _turn = self.loading.lock().await;
        let (shared, linker) = (Arc::clone(&self.shared), Arc::clone(&self.linker));
        let known = Known::new(&self.active.load_full().policies);
        let (answer, answered) = oneshot::channel();
        let work = move || {
            step_back();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let loaded = match runtime {
                Ok(runtime) => runtime.block_on(load_all(&shared, &linker, known, specs)),
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

    /// Makes a component ready to be tried out: nothing of it comes into force.
    ///
    /// # Errors
    /// All that would keep it from loading, whatever its settings.
    pub fn stage(&self, plugin: &std::path::Path) -> Result<Staged, Vec<LoadProblem>> {
        staged::stage(&self.shared, &self.linker, plugin)
    }

    /// Puts a set in force, all of it at once. Sessions follow with their next operation; what is under way ends on the
    /// set that it began under.
    pub fn swap(&self, set: PolicySet) -> Epoch {
        let members = Arc::new(());
        let mut epochs = self.epochs.lock();
        let before = self.active.load_full();
        let epoch = Epoch(before.epoch.0 + 1);
        epochs.retain(|(_, members)| members.strong_count() > 0);
        epochs.push((epoch, Arc::downgrade(&members)));
        self.active.store(Arc::new(Active { epoch, policies: set.policies, members }));
        // Nobody opens a session under the old set any more; those that are open make what they need.
        before.policies.iter().for_each(|policy| policy.shelf.clear());
        epoch
    }

    /// How many sessions are on which set. Those on an old one follow with their next operation.
    pub fn sessions(&self) -> Vec<(Epoch, usize)> {
        let active = self.active.load();
        let own = |epoch: Epoch| if epoch == active.epoch { 1 } else { 0 };
        let epochs = self.epochs.lock();
        let count = |(epoch, members): &(Epoch, Weak<()>)| (*epoch, members.strong_count().saturating_sub(own(*epoch)));
        epochs.iter().map(count).filter(|(epoch, count)| *count > 0 || *epoch == active.epoch).collect()
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
        Box::pin(session::open(Arc::clone(&self.shared), active.epoch, session, bound, Arc::clone(&active.members)))
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
    /// What it may reach besides `log` and `detect`.
    pub grants: Vec<String>,
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
            grants: policy.grants.names(),
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
