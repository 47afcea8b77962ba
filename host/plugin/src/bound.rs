use std::sync::Arc;

use grille_policy::{
    BaseColumn, Batch, Digest, Failure, FailureKind, Finding, Mode, Opinion, ResultShape, SessionFacts, Severity,
    Statement, Treatment, Verdict,
};
use tokio::time::Instant;
use wasmtime::component::Resource;

use crate::answer::{self, Nonsense};
use crate::bindings::exports::grille::policy::sql_values;
use crate::engine::Shared;
use crate::guest::Asked;
use crate::instance::{Instance, failure, session_handle};
use crate::loaded::Loaded;
use crate::memo::Memo;

/// A policy in one session: its instance, once it was needed, and what it said before.
pub(crate) struct Bound {
    shared: Arc<Shared>,
    policy: Arc<Loaded>,
    session: Arc<SessionFacts>,
    /// Taken out while it is called: a call that is given up, or that fails, leaves nothing to use again.
    instance: Option<Instance>,
    memo: Memo,
}

/// Columns that cross in one call. A policy may spend 0.2 ms on each under the default limit of time.
const COLUMNS_AT_ONCE: usize = 256;

/// A verdict, and what was noticed.
type Said = (Verdict, Vec<Finding>);

/// Why a hook was not answered.
enum Halt {
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
                $instance.store.data_mut().asked = Asked::Nothing;
                answer
            }
            Err(error) => return Err($instance.diagnose(&error).into()),
        }
    }};
}

impl Bound {
    pub(crate) fn new(shared: Arc<Shared>, policy: Arc<Loaded>, session: Arc<SessionFacts>) -> Self {
        Self { shared, policy, session, instance: None, memo: Memo::default() }
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
        let began = Instant::now();
        let opened = match self.policy.start(&self.shared, Some(Arc::clone(&self.session))).await {
            Ok(mut instance) => match open(&mut instance).await {
                Ok(said) => {
                    self.instance = Some(instance);
                    Ok(said)
                }
                Err(halt) => Err(halt),
            },
            Err(failure) => Err(failure.into()),
        };
        self.opinion("session", began, opened)
    }

    /// Judges a statement.
    pub(crate) async fn judge(&mut self, statement: &Statement) -> Opinion {
        if let Some((verdict, findings)) = self.memo.recall(statement) {
            let opinion = self.policy.opinion(verdict, findings, 0);
            self.policy.stats.count(&opinion, false);
            return opinion;
        }
        let began = Instant::now();
        let said = self.ask_statement(statement).await;
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
        let began = Instant::now();
        match self.ask_shape(shape).await {
            Ok((verdict, findings, treatments)) => {
                let said = (as_block(verdict, "a result"), findings);
                (self.opinion("sql-result", began, Ok(said)), Some(treatments))
            }
            Err(halt) => (self.opinion("sql-result", began, Err(halt)), None),
        }
    }

    /// Rewrites values.
    pub(crate) async fn transform(&mut self, shape: &ResultShape, batch: Batch) -> Result<Batch, Opinion> {
        let began = Instant::now();
        let answer = self.ask_values(shape, batch).await;
        let (said, rewritten) = match answer {
            Ok(batch) => (Ok((Verdict::Allow, Vec::new())), Some(batch)),
            Err(halt) => (Err(halt), None),
        };
        let opinion = self.opinion("sql-values", began, said);
        // Values that were to be rewritten and were not are never shown, whatever `on_failure` says of operations.
        rewritten.ok_or_else(|| match &opinion.failure {
            Some(failure) => Opinion { verdict: failure.verdict(&self.policy.name), ..opinion },
            None => opinion,
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
        }
    }

    async fn ask_statement(&mut self, statement: &Statement) -> Result<Said, Halt> {
        let mut instance = self.ready().await?;
        let asked = Asked::Statement(statement.clone());
        let answer = call!(instance.sql.call_judge(asked, Resource::new_borrow(0)));
        let (verdict, findings) = (answer::verdict(answer.verdict)?, answer::findings(answer.findings)?);
        if self.policy.plugin.is_stateless {
            self.memo.remember(statement, instance.reads(), &verdict, &findings);
        }
        self.keep(instance);
        Ok((verdict, findings))
    }

    /// Treatments, and whether they are the same whoever asks.
    async fn ask_columns(&mut self, columns: &[BaseColumn]) -> Result<(Vec<Treatment>, bool), Halt> {
        let mut instance = self.ready().await?;
        let asked = Asked::Columns(columns.into());
        let answer = call!(instance.sql_columns.call_classify(asked, Resource::new_borrow(0)));
        let reads = instance.reads();
        let treatments = answer::treatments(answer, columns.len(), self.transformer())?;
        self.keep(instance);
        Ok((treatments, !reads.session && !reads.outside))
    }

    async fn ask_shape(&mut self, shape: &Arc<ResultShape>) -> Result<(Verdict, Vec<Finding>, Vec<Treatment>), Halt> {
        let mut instance = self.ready().await?;
        let asked = Asked::Shape(Arc::clone(shape));
        let answer = call!(instance.sql_result.call_plan(asked, Resource::new_borrow(0)));
        let verdict = answer::verdict(answer.verdict)?;
        let findings = answer::findings(answer.findings)?;
        let treatments = answer::treatments(answer.treatments, shape.columns.len(), self.transformer())?;
        self.keep(instance);
        Ok((verdict, findings, treatments))
    }

    async fn ask_values(&mut self, shape: &ResultShape, batch: Batch) -> Result<Batch, Halt> {
        let (column, values) = (batch.column, batch.offsets.len().saturating_sub(1));
        let mut instance = self.ready().await?;
        let asked = Asked::Shape(Arc::new(shape.clone()));
        let sent = sql_values::Batch { blob: batch.blob, offsets: batch.offsets, nulls: batch.nulls };
        let answer = call!(instance.sql_values.call_transform(asked, Resource::new_borrow(0), column, &sent));
        let rewritten = answer::batch(answer, column, values)?;
        self.keep(instance);
        Ok(rewritten)
    }

    /// The instance, or a fresh one that knows the session.
    async fn ready(&mut self) -> Result<Instance, Halt> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        let mut instance = self.policy.start(&self.shared, Some(Arc::clone(&self.session))).await?;
        if instance.session.is_some() {
            match open(&mut instance).await? {
                (Verdict::Allow, _) => {}
                refused => return Err(Halt::Refused(refused)),
            }
        }
        Ok(instance)
    }

    fn keep(&mut self, instance: Instance) {
        self.policy.stats.saw_memory(instance.memory());
        self.instance = Some(instance);
    }

    fn transformer(&self) -> Option<&Arc<str>> {
        self.has("sql-values").then_some(&self.policy.name)
    }

    fn opinion(&self, hook: &str, began: Instant, said: Result<Said, Halt>) -> Opinion {
        let spent_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let opinion = match said {
            Ok((verdict, findings)) | Err(Halt::Refused((verdict, findings))) => {
                self.policy.opinion(verdict, findings, spent_ns)
            }
            Err(Halt::Failed(failure)) => self.policy.failed(hook, failure, spent_ns),
        };
        self.policy.stats.count(&opinion, true);
        opinion
    }
}

/// Tells an instance of its session.
async fn open(instance: &mut Instance) -> Result<Said, Halt> {
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
