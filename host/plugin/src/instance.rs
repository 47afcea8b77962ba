use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Failure, FailureKind, HostCall, SessionFacts};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wasmtime::component::{InstancePre, Resource};
use wasmtime::{Store, Trap};

use crate::bindings::exports::grille::policy::{
    http_request, http_response, http_values, lifecycle, session, sql, sql_columns, sql_result, sql_values,
};
use crate::bindings::handles::SessionHandle;
use crate::cases::Stage;
use crate::engine::{Shared, one_line};
use crate::guest::{Asked, Call, Guest, Trace};
use crate::limits::{Limiter, Limits, Stopwatch, begin_call};
use crate::loaded::Plugin;
use crate::log::LogQuota;
use crate::services::{Grants, Live, Outside, State};
use crate::wasi;

/// How long a call waits for a slot when every instance is in use.
const SLOT_PATIENCE: Duration = Duration::from_secs(1);
/// An instance that was not needed for so long is taken from its session when there is no other.
const IDLE_MIN: Duration = Duration::from_millis(100);
/// What one call may bring back from a guest into the host. The default of wasmtime is 128 MiB.
const RETURNED_BYTES_MAX: usize = 4 << 20;
/// A line for the operator.
const MESSAGE_MAX: usize = 400;

/// A component that links, with the places of its hooks.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<Guest>,
    lifecycle: lifecycle::GuestIndices,
    session: Option<session::GuestIndices>,
    sql: Option<sql::GuestIndices>,
    sql_columns: Option<sql_columns::GuestIndices>,
    sql_result: Option<sql_result::GuestIndices>,
    sql_values: Option<sql_values::GuestIndices>,
    http_request: Option<http_request::GuestIndices>,
    http_response: Option<http_response::GuestIndices>,
    http_values: Option<http_values::GuestIndices>,
}

impl Linked {
    pub(crate) fn new(pre: InstancePre<Guest>, hooks: &[&str]) -> wasmtime::Result<Self> {
        // A hook that is exported but lacks its function is an error, not an absent hook.
        let has = |hook: &str| hooks.contains(&hook);
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&pre)?,
            session: has("session").then(|| session::GuestIndices::new(&pre)).transpose()?,
            sql: has("sql").then(|| sql::GuestIndices::new(&pre)).transpose()?,
            sql_columns: has("sql-columns").then(|| sql_columns::GuestIndices::new(&pre)).transpose()?,
            sql_result: has("sql-result").then(|| sql_result::GuestIndices::new(&pre)).transpose()?,
            sql_values: has("sql-values").then(|| sql_values::GuestIndices::new(&pre)).transpose()?,
            http_request: has("http-request").then(|| http_request::GuestIndices::new(&pre)).transpose()?,
            http_response: has("http-response").then(|| http_response::GuestIndices::new(&pre)).transpose()?,
            http_values: has("http-values").then(|| http_values::GuestIndices::new(&pre)).transpose()?,
            pre,
        })
    }
}

/// What an instance runs under.
pub(crate) struct Terms<'a> {
    pub(crate) plugin: &'a Plugin,
    pub(crate) limits: Limits,
    pub(crate) grants: &'a Arc<Grants>,
    pub(crate) state: &'a Arc<State>,
    pub(crate) log: &'a Arc<LogQuota>,
    pub(crate) stage: Option<&'a Arc<Stage>>,
}

/// An instance of a policy, of one session.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    lifecycle: lifecycle::Guest,
    pub(crate) session: Option<session::Guest>,
    pub(crate) sql: Option<sql::Guest>,
    pub(crate) sql_columns: Option<sql_columns::Guest>,
    pub(crate) sql_result: Option<sql_result::Guest>,
    pub(crate) sql_values: Option<sql_values::Guest>,
    pub(crate) http_request: Option<http_request::Guest>,
    pub(crate) http_response: Option<http_response::Guest>,
    pub(crate) http_values: Option<http_values::Guest>,
    time: Duration,
    /// Given back with the instance.
    _slot: OwnedSemaphorePermit,
}

impl Instance {
    /// A fresh instance, not yet configured.
    pub(crate) async fn start(
        shared: &Shared,
        terms: &Terms<'_>,
        session: Option<Arc<SessionFacts>>,
    ) -> Result<Self, Failure> {
        let slot = free_slot(shared).await?;
        let lookups = Arc::clone(terms.stage.map_or(&shared.lookups, |stage| &stage.lookups));
        let now_ms = terms.stage.map(|stage| stage.now_ms);
        let outside = Live::new(Arc::clone(terms.grants), Arc::clone(terms.state), lookups, now_ms);
        let guest = Guest {
            limiter: Limiter::new(terms.limits.memory, Arc::clone(&shared.memory)),
            stopwatch: Stopwatch::new(),
            log: Arc::clone(terms.log),
            outside: Box::new(outside),
            detector: shared.detector.get().map(Arc::clone),
            session,
            clockwork: wasi::clockwork(&terms.plugin.digest),
            notes_reads: terms.stage.map_or(terms.plugin.is_stateless, |stage| stage.notes_reads),
            opening: Vec::new(),
            call: Call::default(),
        };
        let mut store = Store::new(&shared.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(RETURNED_BYTES_MAX);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().stopwatch.tick()));
        begin(&mut store, Asked::Nothing, terms.limits.time.max(Limits::START_MIN));
        let linked = &terms.plugin.linked;
        let instance = match linked.pre.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => {
                let found = diagnose(&store, &error);
                let kind = if found.kind == FailureKind::Memory { FailureKind::Memory } else { FailureKind::Start };
                return Err(Failure { kind, ..found });
            }
        };
        let wrong = |hook: &str, error: wasmtime::Error| {
            let message = format!("its `{hook}` does not have the types of grille:policy 0.1: {}", one_line(&error));
            failure(FailureKind::Start, &message)
        };
        macro_rules! load {
            ($hook:ident) => {{
                let loaded = linked.$hook.as_ref().map(|hook| hook.load(&mut store, &instance)).transpose();
                loaded.map_err(|error| wrong(stringify!($hook), error))?
            }};
        }
        Ok(Self {
            lifecycle: linked.lifecycle.load(&mut store, &instance).map_err(|error| wrong("lifecycle", error))?,
            session: load!(session),
            sql: load!(sql),
            sql_columns: load!(sql_columns),
            sql_result: load!(sql_result),
            sql_values: load!(sql_values),
            http_request: load!(http_request),
            http_response: load!(http_response),
            http_values: load!(http_values),
            store,
            time: terms.limits.time,
            _slot: slot,
        })
    }

    pub(crate) async fn validate(&mut self, settings: &str) -> Result<Vec<lifecycle::Problem>, Failure> {
        begin(&mut self.store, Asked::Nothing, self.time.max(Limits::START_MIN));
        let answer = self.lifecycle.call_validate(&mut self.store, settings).await;
        answer.map_err(|error| diagnose(&self.store, &error))
    }

    pub(crate) async fn configure(&mut self, settings: &str) -> Result<(), Failure> {
        begin(&mut self.store, Asked::Nothing, self.time.max(Limits::START_MIN));
        let answer = self.lifecycle.call_configure(&mut self.store, settings).await;
        match answer.map_err(|error| diagnose(&self.store, &error))? {
            Ok(()) => Ok(()),
            Err(message) => Err(failure(FailureKind::Start, &format!("it refused its settings: {message}"))),
        }
    }

    /// Readies the instance for a call about one thing.
    pub(crate) fn begin(&mut self, asked: Asked) {
        begin(&mut self.store, asked, self.time);
    }

    /// Why a call failed. The instance cannot be used again.
    pub(crate) fn diagnose(&self, error: &wasmtime::Error) -> Failure {
        diagnose(&self.store, error)
    }

    /// What the guest looked at in the call that ended.
    pub(crate) fn take_trace(&mut self) -> Trace {
        std::mem::take(&mut self.store.data_mut().call.trace)
    }

    /// Keeps what host calls answered when the instance was told of its session.
    pub(crate) fn remember_opening(&mut self, calls: &[HostCall]) {
        let opened = |call: &HostCall| HostCall { at_opening: true, ..call.clone() };
        self.store.data_mut().opening = calls.iter().map(opened).collect();
    }

    pub(crate) fn opening(&self) -> impl Iterator<Item = HostCall> {
        self.store.data().opening.iter().cloned()
    }

    /// Puts another world around the guest.
    pub(crate) fn surround(&mut self, outside: Box<dyn Outside>) {
        self.store.data_mut().outside = outside;
    }

    /// Gives the instance to a session.
    pub(crate) fn serve(&mut self, session: Arc<SessionFacts>) {
        self.store.data_mut().session = Some(session);
    }

    pub(crate) fn memory(&self) -> u64 {
        self.store.data().limiter.used()
    }
}

/// A place in the pool. Where all are taken, instances that their sessions have just not needed are given back.
async fn free_slot(shared: &Shared) -> Result<OwnedSemaphorePermit, Failure> {
    let deadline = Instant::now() + SLOT_PATIENCE;
    loop {
        if let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let is_freed = shared.kept.sweep(IDLE_MIN) > 0;
        let patience = if is_freed { Duration::ZERO } else { IDLE_MIN };
        if let Ok(Ok(slot)) = tokio::time::timeout(patience, Arc::clone(&shared.slots).acquire_owned()).await {
            return Ok(slot);
        }
        if Instant::now() >= deadline {
            return Err(failure(FailureKind::Start, "all instances are in use; raise the number of instances"));
        }
    }
}

/// The handle that every hook gets.
pub(crate) fn session_handle() -> Resource<SessionHandle> {
    Resource::new_borrow(0)
}

fn begin(store: &mut Store<Guest>, asked: Asked, time: Duration) {
    store.set_epoch_deadline(1);
    let guest = store.data_mut();
    begin_call(&mut guest.limiter, &mut guest.stopwatch, time);
    guest.outside.begin();
    guest.call = Call { asked, ..Call::default() };
}

/// What a call that ended in an error died of. A guest that was refused memory usually panics by itself, and one that
/// was stopped by the clock shows a trap: the limits know better.
fn diagnose(store: &Store<Guest>, error: &wasmtime::Error) -> Failure {
    let guest = store.data();
    if guest.stopwatch.has_exceeded() {
        let limit = u64::try_from(guest.stopwatch.limit().as_micros()).ok();
        return Failure { limit, ..failure(FailureKind::Timeout, "it computed for longer than limits.time") };
    }
    if guest.limiter.has_refused() {
        let limit = Some(guest.limiter.limit());
        return Failure { limit, ..failure(FailureKind::Memory, "it asked for more memory than limits.memory") };
    }
    let text = one_line(error);
    if error.downcast_ref::<Trap>().is_some() {
        return failure(FailureKind::Trap, &text);
    }
    // What is left: the answer could not be read, or was too big to be.
    failure(FailureKind::Nonsense, &text)
}

pub(crate) fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: crate::log::clean(message, MESSAGE_MAX).into(), limit: None }
}
