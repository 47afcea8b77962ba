//! Evaluators for the tests of other rooms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    BaseColumn, Batch, BoxFuture, Classification, Decision, Digest, Epoch, Evaluator, Exchange, ExchangePlan, Mode,
    Opened, Operation, Opinion, Plan, Policies, Protection, ResultShape, SessionFacts, SessionId, Subject, Treatment,
    Verdict,
};

type Judge = dyn Fn(&Operation) -> Verdict + Send + Sync;
type Classify = dyn Fn(&BaseColumn) -> Treatment + Send + Sync;

/// An evaluator made of two closures, with an epoch that a test can move.
#[derive(Clone)]
pub struct FakeEvaluator {
    epoch: Arc<AtomicU64>,
    judge: Arc<Judge>,
    classify: Option<Arc<Classify>>,
}

impl FakeEvaluator {
    /// Judges operations with `judge` and protects nothing.
    pub fn judging(judge: impl Fn(&Operation) -> Verdict + Send + Sync + 'static) -> Self {
        Self { epoch: Arc::new(AtomicU64::new(1)), judge: Arc::new(judge), classify: None }
    }

    /// Lets everything pass.
    #[must_use]
    pub fn allowing() -> Self {
        Self::judging(|_| Verdict::Allow)
    }

    /// The same, in a session that is masked by `classify`.
    #[must_use]
    pub fn protecting(mut self, classify: impl Fn(&BaseColumn) -> Treatment + Send + Sync + 'static) -> Self {
        self.classify = Some(Arc::new(classify));
        self
    }

    /// Swaps the policy set.
    pub fn swap(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

impl Evaluator for FakeEvaluator {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    fn open(&self, _session: Arc<SessionFacts>) -> BoxFuture<'_, Opened> {
        let epoch = self.epoch();
        let policies = FakePolicies {
            epoch,
            judge: Arc::clone(&self.judge),
            classify: self.classify.clone(),
            protection: self.classify.as_ref().map(|_| Protection::default()),
        };
        Box::pin(async move { Opened { decision: Decision::unbound(epoch), policies: Box::new(policies) } })
    }
}

struct FakePolicies {
    epoch: Epoch,
    judge: Arc<Judge>,
    classify: Option<Arc<Classify>>,
    protection: Option<Protection>,
}

impl Policies for FakePolicies {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn protection(&self) -> Option<&Protection> {
        self.protection.as_ref()
    }

    fn judges(&self) -> bool {
        true
    }

    fn decide<'a>(&'a mut self, operation: &'a Operation) -> BoxFuture<'a, Decision> {
        let decision = Decision::new(self.epoch, vec![opinion((self.judge)(operation))]);
        Box::pin(async move { decision })
    }

    fn classify<'a>(&'a mut self, columns: &'a [BaseColumn]) -> BoxFuture<'a, Classification> {
        let treatments =
            columns.iter().map(|column| self.classify.as_ref().map_or(Treatment::Keep, |f| f(column))).collect();
        let decision = Decision::unbound(self.epoch);
        Box::pin(async move { Classification { decision, treatments } })
    }

    fn plan<'a>(&'a mut self, _shape: &'a ResultShape, given: &'a [Treatment]) -> BoxFuture<'a, Plan> {
        let plan = Plan { decision: Decision::unbound(self.epoch), treatments: given.to_vec() };
        Box::pin(async move { plan })
    }

    fn transform<'a>(
        &'a mut self,
        _policy: &'a str,
        _shape: &'a ResultShape,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Batch, Decision>> {
        Box::pin(async move { Ok(batch) })
    }

    fn exchange<'a>(&'a mut self, _exchange: &'a Arc<Exchange>) -> BoxFuture<'a, ExchangePlan> {
        let plan = ExchangePlan { decision: Decision::unbound(self.epoch), treatments: Vec::new() };
        Box::pin(async move { plan })
    }

    fn transform_at<'a>(
        &'a mut self,
        _policy: &'a str,
        _exchange: &'a Arc<Exchange>,
        _place: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Batch, Decision>> {
        Box::pin(async move { Ok(batch) })
    }
}

/// An enforced opinion of a policy called `fake`.
#[must_use]
pub fn opinion(verdict: Verdict) -> Opinion {
    Opinion {
        policy: "fake".into(),
        plugin: Digest([0; 32]),
        settings: Digest([0; 32]),
        mode: Mode::Enforce,
        verdict,
        findings: Vec::new(),
        failure: None,
        spent_ns: 0,
        calls: Vec::new(),
    }
}

/// A session of an analyst on the target `clinic`.
#[must_use]
pub fn session() -> SessionFacts {
    let subject = Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: "u-1".into(),
        name: "Ann".into(),
        groups: vec!["data-analysts".into()],
        actors: Vec::new(),
        expires_at: 1_800_000_000,
        claims: r#"{"sub":"u-1"}"#.into(),
    };
    SessionFacts {
        id: SessionId::mint(1_795_000_000_000, 7),
        subject: Arc::new(subject),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:5555".into(),
        client: "psql".into(),
        tls: None,
    }
}
