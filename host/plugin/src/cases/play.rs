use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::{
    BaseColumn, Batch, Exchange, Failure, Finding, HostCall, Mode, NameList, Opinion, ResultShape, SessionFacts,
    Statement, Treatment, Verdict,
};
use serde::Serialize;
use tokio::time::Instant;

use super::compare::{Mismatch, compare};
use super::file::{Case, CaseFile, CaseResultColumn, CaseSession, HostSide};
use super::read;
use super::stage::Stage;
use crate::artifact::{Artifact, sha256};
use crate::bound::Bound;
use crate::engine::Shared;
use crate::instance::Instance;
use crate::isolation::Isolation;
use crate::load::check_schema;
use crate::loaded::{Loaded, Parts};
use crate::services::Grants;
use crate::settings;

/// What came of a case.
#[derive(Debug, Clone, Serialize)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// The hook that it asks.
    pub hook: &'static str,
    /// In what the answer differs; empty where the case holds.
    pub mismatches: Vec<Mismatch>,
    /// What the plugin answered; none where it could not be asked.
    pub answer: Option<Answer>,
}

impl CaseResult {
    /// Whether the plugin answered what the case expects.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// What a plugin answered, and what it did meanwhile.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The verdict; where the plugin failed, what its failure counts as.
    pub verdict: Verdict,
    /// What it noticed besides.
    pub findings: Vec<Finding>,
    /// Why it gave no answer of its own.
    pub failure: Option<Failure>,
    /// One treatment per column.
    pub treatments: Option<Vec<String>>,
    /// Treatments by place of an HTTP body.
    pub places: Option<BTreeMap<String, String>>,
    /// Rewritten values.
    pub values: Option<Vec<Option<String>>>,
    /// The facts of session, statement and result that it read.
    pub read: Vec<String>,
    /// What it asked of the host.
    pub calls: Vec<HostCall>,
    /// The lines that it wrote for the operator.
    pub log: Vec<String>,
    /// The time of the call, instance included, in nanoseconds.
    pub spent_ns: u64,
    /// Bytes of memory of the instance.
    pub memory: u64,
}

/// What calls of a hook cost on a warm instance.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The case's name.
    pub name: String,
    /// The hook.
    pub hook: &'static str,
    /// How many calls were timed.
    pub calls: usize,
    /// Half of the calls took at most so many nanoseconds.
    pub p50_ns: u64,
    /// All but one in a hundred.
    pub p99_ns: u64,
    /// Bytes of memory of the instance at most.
    pub memory: u64,
}

/// What an instance costs before its first call.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Nanoseconds to instantiate, the median of several.
    pub instantiate_ns: u64,
    /// Nanoseconds to configure, likewise.
    pub configure_ns: u64,
    /// Bytes of memory of a fresh, configured instance.
    pub memory: u64,
}

/// Asks what a case asks, on a fresh instance of the policy's plugin under the case's settings.
pub(crate) async fn play(
    shared: &Arc<Shared>,
    policy: &Loaded,
    file: &CaseFile,
    case: &Case,
    own_settings: Option<&str>,
) -> CaseResult {
    let result = |hook, mismatches, answer| CaseResult { name: case.name.clone(), hook, mismatches, answer };
    let prepared = match Prepared::new(shared, policy, file, case, own_settings, true) {
        Ok(prepared) => prepared,
        Err((hook, wrong)) => return result(hook, vec![Mismatch::new("case", "one that can be asked", wrong)], None),
    };
    let mut bound = Bound::new(Arc::clone(shared), Arc::clone(&prepared.policy), Arc::clone(&prepared.session));
    let answer = prepared.ask(&mut bound).await;
    result(prepared.hook, compare(case, &answer), Some(answer))
}

/// Times a case on one warm instance: so many calls, or as many as fit into the time.
pub(crate) async fn measure(
    shared: &Arc<Shared>,
    policy: &Loaded,
    file: &CaseFile,
    case: &Case,
    calls: usize,
    time: Duration,
) -> Result<Measured, String> {
    let prepared = Prepared::new(shared, policy, file, case, None, false).map_err(|(_, wrong)| wrong)?;
    let mut bound = Bound::new(Arc::clone(shared), Arc::clone(&prepared.policy), Arc::clone(&prepared.session));
    let began = Instant::now();
    let mut spent = Vec::with_capacity(calls);
    // The first calls find cold caches, and the first of all makes the instance.
    let warm_up = (calls / 10).clamp(1, 100);
    let mut asked = 0;
    while spent.len() < calls && (began.elapsed() < time || spent.is_empty()) {
        let called = Instant::now();
        let answer = prepared.ask(&mut bound).await;
        let took = called.elapsed();
        if let Some(failure) = answer.failure {
            return Err(format!("{} ({})", failure.kind.describe(), failure.message));
        }
        asked += 1;
        if asked > warm_up {
            spent.push(nanoseconds(took));
        }
    }
    spent.sort_unstable();
    let at = |share: f64| {
        // A share of a length is never beyond it.
        let index = ((spent.len() as f64 * share).ceil() as usize).clamp(1, spent.len()) - 1;
        spent[index]
    };
    let memory = prepared.policy.stats.snapshot().memory;
    let (p50_ns, p99_ns) = (at(0.50), at(0.99));
    Ok(Measured { name: case.name.clone(), hook: prepared.hook, calls: spent.len(), p50_ns, p99_ns, memory })
}

/// What making an instance costs.
pub(crate) async fn cost(shared: &Arc<Shared>, policy: &Loaded) -> Result<Cost, Failure> {
    const ROUNDS: usize = 15;
    let (mut instantiate, mut configure, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut instance = Instance::start(shared, &policy.terms(&policy.grants), None).await?;
        instantiate.push(nanoseconds(began.elapsed()));
        let began = Instant::now();
        instance.configure(&policy.settings).await?;
        configure.push(nanoseconds(began.elapsed()));
        memory = memory.max(instance.memory());
    }
    instantiate.sort_unstable();
    configure.sort_unstable();
    Ok(Cost { instantiate_ns: instantiate[ROUNDS / 2], configure_ns: configure[ROUNDS / 2], memory })
}

/// A case that can be asked: whom, as whom, and what.
struct Prepared {
    hook: &'static str,
    policy: Arc<Loaded>,
    session: Arc<SessionFacts>,
    asked: Asked,
}

enum Asked {
    Opening,
    Statement(Statement),
    Columns(Vec<BaseColumn>),
    Result(Arc<ResultShape>),
    Values(Arc<ResultShape>, Batch),
    ValuesAt(Arc<Exchange>, String, Batch),
    Exchange(Arc<Exchange>),
}

impl Prepared {
    fn new(
        shared: &Arc<Shared>,
        policy: &Loaded,
        file: &CaseFile,
        case: &Case,
        own_settings: Option<&str>,
        notes_reads: bool,
    ) -> Result<Self, (&'static str, String)> {
        let hook = case.check().map_err(|wrong| ("none", wrong))?;
        let wrong = |wrong: String| (hook, wrong);
        if hook != "session" && !policy.plugin.has(hook) {
            return Err(wrong(format!("the plugin does not export `{hook}`, which the case asks")));
        }
        if hook == "session" && !policy.plugin.has("session") {
            return Err(wrong("the plugin does not export `session`, which `open` asks".into()));
        }
        let asked = Asked::read(shared, file, case).map_err(wrong)?;
        let plain = CaseSession::default();
        let session = case.session.as_ref().or(file.session.as_ref()).unwrap_or(&plain);
        let named = case.settings.as_ref().or(file.settings.as_ref());
        if let Some(settings) = named {
            let refused =
                |problems: Vec<(_, String)>| problems.into_iter().next().map_or_else(String::new, |first| first.1);
            check_schema(&policy.plugin.artifact, settings).map_err(refused).map_err(wrong)?;
        }
        let settings: Arc<str> = match (named, own_settings) {
            (Some(named), _) => settings::canonical(named).into(),
            (None, Some(own)) => own.into(),
            (None, None) => "{}".into(),
        };
        let is_http = matches!(asked, Asked::Exchange(_) | Asked::ValuesAt(..));
        let stage = Arc::new(Stage::new(case.host.as_ref(), notes_reads));
        let grants = grants(case.host.as_ref(), &policy.plugin.artifact, &stage).map_err(wrong)?;
        Ok(Self {
            hook,
            policy: Arc::new(staged(policy, settings, grants, Some(stage))),
            session: read::session(session, is_http),
            asked,
        })
    }

    async fn ask(&self, bound: &mut Bound) -> Answer {
        let began = Instant::now();
        let (mut treatments, mut places, mut values) = (None, None, None);
        let opinion = match &self.asked {
            Asked::Opening => bound.open().await,
            Asked::Statement(statement) => bound.judge(statement).await,
            Asked::Columns(columns) => {
                let (opinion, found) = bound.classify(columns).await;
                treatments = found;
                opinion
            }
            Asked::Result(shape) => {
                let (opinion, found) = bound.plan(shape).await;
                treatments = found;
                opinion
            }
            Asked::Exchange(exchange) => {
                let (opinion, found) = bound.exchange(self.hook, exchange).await;
                places = found;
                opinion
            }
            Asked::Values(shape, batch) => {
                let rewritten = bound.transform(shape, batch.clone()).await;
                self.rewritten(rewritten, &mut values)
            }
            Asked::ValuesAt(exchange, place, batch) => {
                let rewritten = bound.transform_at(exchange, place, batch.clone()).await;
                self.rewritten(rewritten, &mut values)
            }
        };
        let spent_ns = nanoseconds(began.elapsed());
        let notes = self.policy.stage.as_ref().map(|stage| stage.take_notes()).unwrap_or_default();
        let places =
            places.map(|places| places.into_iter().map(|(place, how)| (place.to_string(), shown(&how))).collect());
        Answer {
            verdict: opinion.verdict,
            findings: opinion.findings,
            failure: opinion.failure,
            treatments: treatments.map(|treatments| treatments.iter().map(shown).collect()),
            places,
            values,
            read: notes.read,
            calls: opinion.calls,
            log: notes.log,
            spent_ns,
            memory: self.policy.stats.snapshot().memory,
        }
    }

    fn rewritten(&self, answer: Result<Batch, Box<Opinion>>, values: &mut Option<Vec<Option<String>>>) -> Opinion {
        match answer {
            Ok(batch) => {
                *values = Some(read::values(&batch));
                self.policy.opinion(Verdict::Allow, Vec::new(), 0)
            }
            Err(opinion) => *opinion,
        }
    }
}

impl Asked {
    fn read(shared: &Shared, file: &CaseFile, case: &Case) -> Result<Self, String> {
        let analyst = shared.analyst.as_ref();
        if let Some(statement) = &case.statement {
            return read::statement(statement, file, analyst).map(Self::Statement);
        }
        if let Some(columns) = &case.columns {
            return read::columns(columns, analyst).map(Self::Columns);
        }
        if let Some(result) = &case.result {
            return read::shape(&result.columns, analyst).map(Self::Result);
        }
        if let Some(asked) = &case.transform {
            let batch = read::batch(&asked.values)?;
            if let Some(place) = &asked.place {
                let request = asked.request.clone().unwrap_or_else(read::plain_request);
                return Ok(Self::ValuesAt(read::exchange(&request, None), place.clone(), batch));
            }
            let column = asked.column.clone().unwrap_or_else(|| CaseResultColumn {
                name: "value".into(),
                type_name: "text".into(),
                origins: Vec::new(),
                certainty: None,
            });
            return Ok(Self::Values(read::shape(&[column], analyst)?, batch));
        }
        if let Some(request) = &case.request {
            return Ok(Self::Exchange(read::exchange(request, None)));
        }
        if let Some(response) = &case.response {
            let request = response.request.clone().unwrap_or_else(read::plain_request);
            return Ok(Self::Exchange(read::exchange(&request, Some(response))));
        }
        Ok(Self::Opening)
    }
}

/// What a case grants: what it says, else all that the plugin wants.
fn grants(host: Option<&HostSide>, artifact: &Artifact, stage: &Stage) -> Result<Grants, String> {
    let wanted = || artifact.metadata.grants.iter().map(|want| want.name.clone()).collect();
    let words: Vec<String> = host.and_then(|host| host.grants.clone()).unwrap_or_else(wanted);
    Grants::read(&words, &*stage.lookups).map_err(|wrong| wrong.join("; "))
}

/// The same plugin on a stage: nothing that it does outlives the case or reaches the policy in force.
pub(crate) fn staged(policy: &Loaded, settings: Arc<str>, grants: Grants, stage: Option<Arc<Stage>>) -> Loaded {
    Loaded::new(Parts {
        name: Arc::clone(&policy.name),
        plugin: Arc::clone(&policy.plugin),
        stem: Arc::clone(&policy.stem),
        targets: NameList::new(["*"]),
        roles: NameList::new(["*"]),
        mode: Mode::Enforce,
        on_failure_allow: false,
        limits: policy.limits,
        // One instance, made when it is first asked and no other beside it.
        isolation: Isolation::Shared,
        grants: Arc::new(grants),
        state: Arc::default(),
        settings_digest: sha256(settings.as_bytes()),
        settings,
        protection: None,
        stats: Arc::default(),
        stage,
    })
}

/// As cases write it: who transforms is clear.
fn shown(treatment: &Treatment) -> String {
    match treatment {
        Treatment::Transform(_) => "transform".to_owned(),
        other => other.to_string(),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
