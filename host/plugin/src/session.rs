use std::collections::BTreeMap;
use std::sync::Arc;

use grille_policy::{
    BaseColumn, Batch, BoxFuture, Classification, Decision, Epoch, Exchange, ExchangePlan, Masker, Opened, Operation,
    Opinion, Plan, Policies, Protection, ResultShape, SessionFacts, Treatment, join,
};

use crate::bound::Bound;
use crate::engine::Shared;
use crate::loaded::Loaded;

/// The policies of one set that bind one session.
struct SessionPolicies {
    epoch: Epoch,
    bound: Vec<Bound>,
    protection: Option<Protection>,
    judges: bool,
    /// Counts the session among those of its epoch.
    _member: Arc<()>,
}

/// Binds the policies and asks those that judge openings.
pub(crate) async fn open(
    shared: Arc<Shared>,
    epoch: Epoch,
    session: Arc<SessionFacts>,
    policies: Vec<Arc<Loaded>>,
    member: Arc<()>,
) -> Opened {
    let protections =
        policies.iter().filter(|policy| policy.is_enforced()).filter_map(|policy| policy.protection.as_ref());
    let protection = protections.fold(None, |joined: Option<Protection>, one| {
        Some(joined.map_or_else(|| one.clone(), |joined| joined.join(one)))
    });
    let judges = policies.iter().any(|policy| policy.plugin.has("sql"));
    let bind = |policy| Bound::new(Arc::clone(&shared), policy, Arc::clone(&session));
    let mut bound: Vec<Bound> = policies.into_iter().map(bind).collect();
    let mut opinions = Vec::new();
    for policy in bound.iter_mut().filter(|policy| policy.has("session")) {
        opinions.push(policy.open().await);
    }
    let policies = SessionPolicies { epoch, bound, protection, judges, _member: member };
    Opened { decision: Decision::new(epoch, opinions), policies: Box::new(policies) }
}

impl Policies for SessionPolicies {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn protection(&self) -> Option<&Protection> {
        self.protection.as_ref()
    }

    fn judges(&self) -> bool {
        self.judges
    }

    fn decide<'a>(&'a mut self, operation: &'a Operation) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            let mut opinions = Vec::with_capacity(self.bound.len());
            match operation {
                Operation::Statement(statement) => {
                    for policy in self.bound.iter_mut().filter(|policy| policy.has("sql")) {
                        opinions.push(policy.judge(statement).await);
                    }
                }
                // An operation that this room does not know has no hook, so every bound policy is asked in vain.
                _ => opinions.extend(self.bound.iter().map(Bound::cannot_judge)),
            }
            Decision::new(self.epoch, opinions)
        })
    }

    fn classify<'a>(&'a mut self, columns: &'a [BaseColumn]) -> BoxFuture<'a, Classification> {
        Box::pin(async move {
            let mut opinions = Vec::new();
            let mut treatments = vec![Treatment::Keep; columns.len()];
            for policy in self.bound.iter_mut().filter(|policy| policy.has("sql-columns")) {
                let (opinion, found) = policy.classify(columns).await;
                tighten(&mut treatments, policy, &opinion, found);
                opinions.push(opinion);
            }
            Classification { decision: Decision::new(self.epoch, opinions), treatments }
        })
    }

    fn plan<'a>(&'a mut self, shape: &'a ResultShape, given: &'a [Treatment]) -> BoxFuture<'a, Plan> {
        Box::pin(async move {
            let mut opinions = Vec::new();
            let mut treatments = given.to_vec();
            // One per column, whatever was given: a column without a treatment is not shown.
            treatments.resize(shape.columns.len(), Treatment::Mask(Masker::Null));
            let mut owned = None;
            for policy in self.bound.iter_mut().filter(|policy| policy.has("sql-result")) {
                // A guest's handle needs a shape of its own; most sets have no such policy and copy nothing.
                let shape = owned.get_or_insert_with(|| Arc::new(shape.clone()));
                let (opinion, found) = policy.plan(shape).await;
                tighten(&mut treatments, policy, &opinion, found);
                opinions.push(opinion);
            }
            Plan { decision: Decision::new(self.epoch, opinions), treatments }
        })
    }

    fn transform<'a>(
        &'a mut self,
        policy: &'a str,
        shape: &'a ResultShape,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Batch, Decision>> {
        Box::pin(async move {
            let epoch = self.epoch;
            let refuse = |opinion: Opinion| Decision::new(epoch, vec![opinion]);
            match self.bound.iter_mut().find(|bound| bound.name() == policy && bound.has("sql-values")) {
                Some(bound) => bound.transform(shape, batch).await.map_err(|opinion| refuse(*opinion)),
                None => Err(refuse(Bound::absent(policy))),
            }
        })
    }

    fn exchange<'a>(&'a mut self, exchange: &'a Arc<Exchange>) -> BoxFuture<'a, ExchangePlan> {
        Box::pin(async move {
            let hook = if exchange.response.is_some() { "http-response" } else { "http-request" };
            let (mut opinions, mut treatments) = (Vec::new(), BTreeMap::new());
            for policy in self.bound.iter_mut().filter(|policy| policy.has(hook)) {
                let (opinion, found) = policy.exchange(hook, exchange).await;
                if policy.is_enforced() {
                    for (place, treatment) in found.unwrap_or_default() {
                        let joined = treatments.entry(place).or_insert(Treatment::Keep);
                        *joined = join(joined, &treatment);
                    }
                }
                opinions.push(opinion);
            }
            let decision = Decision::new(self.epoch, opinions);
            ExchangePlan { decision, treatments: treatments.into_iter().collect() }
        })
    }

    fn transform_at<'a>(
        &'a mut self,
        policy: &'a str,
        exchange: &'a Arc<Exchange>,
        place: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Batch, Decision>> {
        Box::pin(async move {
            let epoch = self.epoch;
            let refuse = |opinion: Opinion| Decision::new(epoch, vec![opinion]);
            match self.bound.iter_mut().find(|bound| bound.name() == policy && bound.has("http-values")) {
                Some(bound) => bound.transform_at(exchange, place, batch).await.map_err(|opinion| refuse(*opinion)),
                None => Err(refuse(Bound::absent(policy))),
            }
        })
    }
}

/// Joins what an enforced policy found. One that failed and blocks leaves nothing to show.
fn tighten(treatments: &mut [Treatment], policy: &Bound, opinion: &Opinion, found: Option<Vec<Treatment>>) {
    if !policy.is_enforced() {
        return;
    }
    match found {
        Some(found) => {
            for (treatment, found) in treatments.iter_mut().zip(&found) {
                *treatment = join(treatment, found);
            }
        }
        None if opinion.verdict == grille_policy::Verdict::Allow => {}
        None => treatments.fill(Treatment::Mask(Masker::Null)),
    }
}
