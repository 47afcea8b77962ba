use std::sync::Arc;

use grille_policy::{
    BaseColumn, Batch, Digest, Exchange, Failure, FailureKind, Finding, HostCall, Mode, Opinion, Place, ResultShape,
    SessionFacts, Severity, Statement, Treatment, Verdict,
};
use tokio::time::Instant;
use wasmtime::component::Resource;

use crate::answer::{self, Nonsense};
use crate::bindings::grille::policy::types;
use crate::breaker::{Breaker, Passage};
use crate::engine::Shared;
use crate::guest::{Asked, Trace};
use crate::instance::{Instance, failure, session_handle};
use crate::isolation::Isolation;
use crate::loaded::{Loaded, Said};
use crate::memo::{About, Memo};
use crate::pool::Slot;

/// A policy in one session: its instance, once it was needed.
pub(crate) struct Bound {
    shared: Arc<Shared>,
    policy: Arc<Loaded>,
    session: Arc<SessionFacts>,
    /// Empty while the instance is called: a call that is given up, or that fails, leaves nothing to use again.
    slot: Arc<Slot>,
    is_registered: bool,
    /// Open while the policy fails in this session.
    breaker: Breaker,
    /// This session, among others.
    number: u64,
    /// What host calls answered in the call that ended last.
    calls: Vec<HostCall>,
    scratch: Vec<u8>,
}

/// Columns that cross in one call. A policy may spend 0.2 ms on each under the default limit of time.
const COLUMNS_AT_ONCE: usize = 256;

/// Values rewritten, or why they are not.
type Rewritten = Result<Batch, Box<Opinion>>;

/// Why a hook was not answered.
pub(crate) enum Halt {
    Failed(Failure),
    /// A fresh instance had to be told of the session again and would not have it.
    Refused(Said),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Nonsense> for Halt {
    fn from(Nonsense(what): Nonsense) -> Self {
        Self::Failed(failure(FailureKind::Nonsense, &format!("it answered {what}")))
    }
}

/// Calls a hook of an instance about one thing, and diagnoses what goes wrong.
macro_rules! call {
    ($instance:ident . $hook:ident . $function:ident ( $asked:expr $(, $argument:expr)* )) => {{
        $instance.begin($asked);
        let Some(hook) = &$instance.$hook else { unreachable!("only hooks that the plugin exports are called") };
        let answer = hook.$function(&mut $instance.store, session_handle() $(, $argument)*).await;
        match answer {
            Ok(answer) => {
                // The handles are void, so what they stood for need not be kept.
                $instance.store.data_mut().call.asked = Asked::Nothing;
                answer
            }
            Err(error) => return Err($instance.diagnose(&error).into()),
        }
    }};
}

impl Bound {
    pub(crate) fn new(shared: Arc<Shared>, policy: Arc<Loaded>, session: Arc<SessionFacts>) -> Self {
        let number = shared.number_session();
        Self {
            shared,
            policy,
            session,
            slot: Arc::default(),
            is_registered: false,
            breaker: Breaker::default(),
            number,
            calls: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.policy.name
    }

    pub(crate) fn has(&self, hook: &str) -> bool {
        self.policy.plugin.has(hook)
    }

    pub(crate) fn is_enforced(&self) -> bool {
        self.policy.is_enforced()
    }

    /// Judges the opening of the session.
    pub(crate) async fn open(&mut self) -> Opinion {
        let policy = Arc::clone(&self.policy);
        let recalled = self.recall(&policy.memos.open, None, None);
        if let Some((said, false)) = recalled {
            return self.remembered(said);
        }
        let began = Instant::now();
        let said = match self.may_call(began) {
            Ok(()) => self.ask_opening(&policy.memos.open).await,
            Err(failure) => Err(failure.into()),
        };
        let said = match recalled {
            Some((known, _)) => self.compare("session", &policy.memos.open, known, said),
            None => said,
        };
        self.opinion("session", began, said)
    }

    /// Judges a statement.
    pub(crate) async fn judge(&mut self, statement: &Statement) -> Opinion {
        let policy = Arc::clone(&self.policy);
        let recalled = self.recall(&policy.memos.judge, Some(statement), None);
        if let Some((said, false)) = recalled {
            return self.remembered(said);
        }
        let began = Instant::now();
        let said = match self.may_call(began) {
            Ok(()) => self.ask_statement(statement, recalled.is_some()).await,
            Err(failure) => Err(failure.into()),
        };
        let said = match recalled {
            Some((known, _)) => self.compare("sql", &policy.memos.judge, known, said),
            None => said,
        };
        self.opinion("sql", began, said)
    }

    /// Classifies base columns; none if the policy failed.
    pub(crate) async fn classify(&mut self, columns: &[BaseColumn]) -> (Opinion, Option<Vec<Treatment>>) {
        if let Some(known) = self.policy.recall(columns) {
            let opinion = self.policy.opinion(Verdict::Allow, Vec::new(), 0);
            self.policy.stats.count(&opinion, false);
            return (opinion, Some(known.treatments.clone()));
        }
        let began = Instant::now();
        if let Err(failure) = self.may_call(began) {
            return (self.opinion("sql-columns", began, Err(failure.into())), None);
        }
        let mut treatments = Vec::with_capacity(columns.len());
        let mut is_for_everybody = self.policy.plugin.is_stateless;
        for some in columns.chunks(COLUMNS_AT_ONCE) {
            match self.ask_columns(some).await {
                Ok((mut found, is_free)) => {
                    treatments.append(&mut found);
                    is_for_everybody &= is_free;
                }
                Err(halt) => return (self.opinion("sql-columns", began, Err(halt)), None),
            }
        }
        if is_for_everybody {
            self.policy.remember(columns, &treatments);
        }
        (self.opinion("sql-columns", began, Ok((Verdict::Allow, Vec::new()))), Some(treatments))
    }

    /// Plans a result; no treatments if the policy failed.
    pub(crate) async fn plan(&mut self, shape: &Arc<ResultShape>) -> (Opinion, Option<Vec<Treatment>>) {
        let policy = Arc::clone(&self.policy);
        let recalled = self.recall(&policy.memos.plan, None, Some(shape));
        if let Some(((said, treatments), false)) = recalled {
            return (self.remembered(said), Some(treatments));
        }
        let began = Instant::now();
        let planned = match self.may_call(began) {
            Ok(()) => self.ask_shape(shape, recalled.is_some()).await,
            Err(failure) => Err(failure.into()),
        };
        if let (Some((known, _)), Ok(now)) = (&recalled, &planned)
            && known != now
        {
            self.condemn("sql-result", &policy.memos.plan);
        }
        match planned {
            Ok((said, treatments)) => (self.opinion("sql-result", began, Ok(said)), Some(treatments)),
            Err(halt) => (self.opinion("sql-result", began, Err(halt)), None),
        }
    }

    /// Rewrites values of a result.
    pub(crate) async fn transform(&mut self, shape: &ResultShape, batch: Batch) -> Rewritten {
        let began = Instant::now();
        let answer = match self.may_call(began) {
            Ok(()) => self.ask_values(shape, batch).await,
            Err(failure) => Err(failure.into()),
        };
        self.rewritten("sql-values", began, answer)
    }

    /// Judges a request or a response; no treatments if the policy failed.
    pub(crate) async fn exchange(
        &mut self,
        hook: &'static str,
        exchange: &Arc<Exchange>,
    ) -> (Opinion, Option<Vec<(Place, Treatment)>>) {
        let began = Instant::now();
        let planned = match self.may_call(began) {
            Ok(()) => self.ask_exchange(hook, exchange).await,
            Err(failure) => Err(failure.into()),
        };
        match planned {
            Ok((said, treatments)) => (self.opinion(hook, began, Ok(said)), Some(treatments)),
            Err(halt) => (self.opinion(hook, began, Err(halt)), None),
        }
    }

    /// Rewrites values of a body.
    pub(crate) async fn transform_at(&mut self, exchange: &Arc<Exchange>, place: &str, batch: Batch) -> Rewritten {
        let began = Instant::now();
        let answer = match self.may_call(began) {
            Ok(()) => self.ask_values_at(exchange, place, batch).await,
            Err(failure) => Err(failure.into()),
        };
        self.rewritten("http-values", began, answer)
    }

    /// Values that were to be rewritten and were not are never shown, whatever `on_failure` says of operations.
    fn rewritten(&mut self, hook: &str, began: Instant, answer: Result<Batch, Halt>) -> Rewritten {
        let (said, rewritten) = match answer {
            Ok(batch) => (Ok((Verdict::Allow, Vec::new())), Some(batch)),
            Err(halt) => (Err(halt), None),
        };
        let opinion = self.opinion(hook, began, said);
        rewritten.ok_or_else(|| match &opinion.failure {
            Some(failure) => Box::new(Opinion { verdict: failure.verdict(&self.policy.name), ..opinion }),
            None => Box::new(opinion),
        })
    }

    /// The opinion where the host has no hook for an operation.
    pub(crate) fn cannot_judge(&self) -> Opinion {
        self.policy.failed("none", failure(FailureKind::Start, "this operation has no hook"), 0)
    }

    /// The opinion of a policy that is not bound and whose code was to rewrite values.
    pub(crate) fn absent(policy: &str) -> Opinion {
        let failure = failure(FailureKind::Start, "the policy that rewrites the values does not bind the session");
        Opinion {
            policy: policy.into(),
            plugin: Digest([0; 32]),
            settings: Digest([0; 32]),
            mode: Mode::Enforce,
            verdict: failure.verdict(policy),
            findings: Vec::new(),
            failure: Some(failure),
            spent_ns: 0,
            calls: Vec::new(),
        }
    }

    async fn ask_opening(&mut self, memo: &Memo<Said>) -> Result<Said, Halt> {
        let mut instance = self.policy.unused(&self.shared).await?;
        instance.serve(Arc::clone(&self.session));
        let said = open(&mut instance).await;
        let trace = self.traced(&mut instance);
        let said = said?;
        instance.remember_opening(&self.calls);
        self.remember(memo, None, None, &trace, &said);
        self.keep(instance);
        Ok(said)
    }

    async fn ask_statement(&mut self, statement: &Statement, is_sample: bool) -> Result<Said, Halt> {
        let mut instance = self.ready(is_sample).await?;
        let said = judge(&mut instance, statement).await;
        let trace = self.traced(&mut instance);
        self.calls.splice(0..0, instance.opening());
        let said = said?;
        self.remember(&self.policy.memos.judge, Some(statement), None, &trace, &said);
        self.keep(instance);
        Ok(said)
    }

    /// Treatments, and whether they are the same whoever asks.
    async fn ask_columns(&mut self, columns: &[BaseColumn]) -> Result<(Vec<Treatment>, bool), Halt> {
        let mut instance = self.ready(false).await?;
        let asked = Asked::Columns(columns.into());
        let answer = call!(instance.sql_columns.call_classify(asked, Resource::new_borrow(0)));
        let treatments = answer::treatments(answer, columns.len(), self.transformer("sql-values"))?;
        let trace = self.traced(&mut instance);
        self.keep(instance);
        Ok((treatments, !trace.session && !trace.outside))
    }

    async fn ask_shape(&mut self, shape: &Arc<ResultShape>, is_sample: bool) -> Result<(Said, Vec<Treatment>), Halt> {
        let mut instance = self.ready(is_sample).await?;
        let asked = Asked::Shape(Arc::clone(shape));
        let answer = call!(instance.sql_result.call_plan(asked, Resource::new_borrow(0)));
        let verdict = as_block(answer::verdict(answer.verdict)?, "a result");
        let findings = answer::findings(answer.findings)?;
        let treatments = answer::treatments(answer.treatments, shape.columns.len(), self.transformer("sql-values"))?;
        let planned = ((verdict, findings), treatments);
        let trace = self.traced(&mut instance);
        self.remember(&self.policy.memos.plan, None, Some(shape), &trace, &planned);
        self.keep(instance);
        Ok(planned)
    }

    async fn ask_values(&mut self, shape: &ResultShape, batch: Batch) -> Result<Batch, Halt> {
        let (column, values) = (batch.column, batch.offsets.len().saturating_sub(1));
        let mut instance = self.ready(false).await?;
        let asked = Asked::Shape(Arc::new(shape.clone()));
        let sent = types::Batch { blob: batch.blob, offsets: batch.offsets, nulls: batch.nulls };
        let answer = call!(instance.sql_values.call_transform(asked, Resource::new_borrow(0), column, &sent));
        let rewritten = answer::batch(answer, column, values)?;
        self.keep(instance);
        Ok(rewritten)
    }

    async fn ask_exchange(
        &mut self,
        hook: &str,
        exchange: &Arc<Exchange>,
    ) -> Result<(Said, Vec<(Place, Treatment)>), Halt> {
        let mut instance = self.ready(false).await?;
        let asked = Asked::Exchange(Arc::clone(exchange));
        let is_response = hook == "http-response";
        let answer = if is_response {
            call!(instance.http_response.call_judge(asked, Resource::new_borrow(0)))
        } else {
            call!(instance.http_request.call_judge(asked, Resource::new_borrow(0)))
        };
        let verdict = answer::verdict(answer.verdict)?;
        let verdict = if is_response { as_block(verdict, "a response") } else { verdict };
        let findings = answer::findings(answer.findings)?;
        let treatments = answer::places(answer.treatments, self.transformer("http-values"))?;
        self.traced(&mut instance);
        self.keep(instance);
        Ok(((verdict, findings), treatments))
    }

    async fn ask_values_at(&mut self, exchange: &Arc<Exchange>, place: &str, batch: Batch) -> Result<Batch, Halt> {
        let (column, values) = (batch.column, batch.offsets.len().saturating_sub(1));
        let mut instance = self.ready(false).await?;
        let asked = Asked::Exchange(Arc::clone(exchange));
        let sent = types::Batch { blob: batch.blob, offsets: batch.offsets, nulls: batch.nulls };
        let answer = call!(instance.http_values.call_transform(asked, Resource::new_borrow(0), place, &sent));
        let rewritten = answer::batch(answer, column, values)?;
        self.keep(instance);
        Ok(rewritten)
    }

    /// An instance that knows the session: the session's own, or one that was used by nobody before.
    async fn ready(&mut self, must_be_fresh: bool) -> Result<Instance, Halt> {
        let used = if must_be_fresh {
            None
        } else if self.policy.isolation == Isolation::Shared {
            self.policy.shelf.take()
        } else {
            self.slot.take()
        };
        if let Some(mut instance) = used {
            if self.policy.isolation == Isolation::Shared {
                instance.serve(Arc::clone(&self.session));
            }
            return Ok(instance);
        }
        let mut instance = self.policy.unused(&self.shared).await?;
        instance.serve(Arc::clone(&self.session));
        if instance.session.is_some() {
            let said = open(&mut instance).await;
            self.traced(&mut instance);
            instance.remember_opening(&self.calls);
            // Of what is judged next, unless it comes to nothing here.
            self.calls = instance.opening().collect();
            match said? {
                (Verdict::Allow, _) => self.calls.clear(),
                refused => return Err(Halt::Refused(refused)),
            }
        }
        Ok(instance)
    }

    fn keep(&mut self, instance: Instance) {
        self.policy.stats.saw_memory(instance.memory());
        match self.policy.isolation {
            Isolation::Request => {}
            Isolation::Shared => self.policy.shelf.put(instance),
            Isolation::Session => {
                self.slot.put(instance, Instant::now());
                if !self.is_registered {
                    self.shared.kept.register(&self.slot);
                    self.is_registered = true;
                }
            }
        }
    }

    /// What the guest looked at; what it asked of the host is kept for the record.
    fn traced(&mut self, instance: &mut Instance) -> Trace {
        let mut trace = instance.take_trace();
        self.calls = std::mem::take(&mut trace.calls);
        if let Some(stage) = &self.policy.stage {
            stage.saw(&trace.questions);
        }
        trace
    }

    fn transformer(&self, hook: &str) -> Option<&Arc<str>> {
        self.has(hook).then_some(&self.policy.name)
    }

    /// Whether the policy may be called now.
    fn may_call(&self, now: Instant) -> Result<(), Failure> {
        for breaker in [&self.breaker, &self.policy.breaker] {
            if let Passage::Paused(left) = breaker.pass(now) {
                let last = self.policy.stats.last_error();
                let last = last.as_deref().unwrap_or("unknown");
                let message = format!("it is tried again in {} s; last: {last}", left.as_secs() + 1);
                return Err(failure(FailureKind::Breaker, &message));
            }
        }
        Ok(())
    }

    /// What the policy said to the same before, and whether this is a sample.
    fn recall<V: Clone>(
        &mut self,
        memo: &Memo<V>,
        statement: Option<&Statement>,
        shape: Option<&ResultShape>,
    ) -> Option<(V, bool)> {
        if !self.policy.is_memoised() {
            return None;
        }
        let about = About { session: &self.session, statement, shape };
        let recalled = memo.recall(&about, &mut self.scratch)?;
        Some((recalled.value, recalled.is_sample))
    }

    fn remember<V: Clone>(
        &self,
        memo: &Memo<V>,
        statement: Option<&Statement>,
        shape: Option<&ResultShape>,
        trace: &Trace,
        said: &V,
    ) {
        if self.policy.is_memoised() && !trace.outside {
            memo.remember(&About { session: &self.session, statement, shape }, &trace.questions, said.clone());
        }
    }

    /// Of what was remembered and what is said now, the stricter counts; if they differ, nothing is remembered any more.
    fn compare(&self, hook: &str, memo: &Memo<Said>, known: Said, now: Result<Said, Halt>) -> Result<Said, Halt> {
        let now = now?;
        if now == known {
            return Ok(now);
        }
        self.condemn(hook, memo);
        Ok(if now.0.strictness() < known.0.strictness() { known } else { now })
    }

    fn condemn<V: Clone>(&self, hook: &str, memo: &Memo<V>) {
        let (policy, plugin) = (&*self.policy.name, &**self.policy.plugin_name());
        tracing::error!(
            policy,
            plugin,
            hook,
            "the plugin says that it is stateless and answers the same question otherwise: nothing it says is \
             remembered any more; have it repaired"
        );
        memo.condemn();
    }

    fn remembered(&self, (verdict, findings): Said) -> Opinion {
        let opinion = self.policy.opinion(verdict, findings, 0);
        self.policy.stats.count(&opinion, false);
        opinion
    }

    fn opinion(&mut self, hook: &str, began: Instant, said: Result<Said, Halt>) -> Opinion {
        let now = Instant::now();
        let spent_ns = u64::try_from((now - began).as_nanos()).unwrap_or(u64::MAX);
        let mut opinion = match said {
            Ok((verdict, findings)) | Err(Halt::Refused((verdict, findings))) => {
                self.breaker.succeeded();
                self.policy.breaker.succeeded();
                self.policy.opinion(verdict, findings, spent_ns)
            }
            Err(Halt::Failed(failure)) => {
                self.count_failure(&failure, now);
                self.policy.failed(hook, failure, spent_ns)
            }
        };
        opinion.calls = std::mem::take(&mut self.calls);
        self.policy.stats.count(&opinion, true);
        opinion
    }

    fn count_failure(&self, failure: &Failure, now: Instant) {
        if failure.kind == FailureKind::Breaker {
            return;
        }
        self.breaker.failed(self.number, false, now);
        if let Some(pause) = self.policy.breaker.failed(self.number, true, now) {
            let (policy, pause) = (&*self.policy.name, pause.as_secs());
            tracing::error!(policy, "the policy fails again and again: it is not asked for {pause} s, and refuses");
        }
    }
}

/// Asks an instance about a statement.
pub(crate) async fn judge(instance: &mut Instance, statement: &Statement) -> Result<Said, Halt> {
    let asked = Asked::Statement(statement.clone());
    let answer = call!(instance.sql.call_judge(asked, Resource::new_borrow(0)));
    Ok((answer::verdict(answer.verdict)?, answer::findings(answer.findings)?))
}

/// Tells an instance of its session.
pub(crate) async fn open(instance: &mut Instance) -> Result<Said, Halt> {
    let answer = call!(instance.session.call_open(Asked::Nothing));
    Ok((as_block(answer::verdict(answer.verdict)?, "the opening of a session"), answer::findings(answer.findings)?))
}

/// Where nobody can be asked, a wish for review refuses.
fn as_block(verdict: Verdict, what: &str) -> Verdict {
    match verdict {
        Verdict::Review(terms) => {
            let message = format!("{what} cannot be held for review, so it is refused: {}", terms.reason);
            Verdict::Block(Finding::new("review-impossible", Severity::High, message))
        }
        verdict => verdict,
    }
}
