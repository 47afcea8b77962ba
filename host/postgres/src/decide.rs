//! The verdict on an operation: the host's own rules, the policies, and where these say so, people.

use std::sync::Arc;
use std::time::Duration;

use grille_policy::{
    ColumnUse, Decision, DecisionId, Digest, Fault, Finding, Mode, Opaque, Operation, Opinion, Parameter, Severity,
    Statement, Terms, TransactionState, Verdict,
};
use grille_review::{Ask, Asked, Outcome, Release, Ticket, digest_of_policies};
use grille_sql::ProtectedSet;

use tokio::time::Instant;

use crate::marks::Marks;
use crate::operation::{Judged, is_transaction_command};
use crate::respond::{Answer, sqlstate, write_notice};
use crate::session::{End, Session, Turn, Waited};

/// How often a held caller hears that it is still held: drivers' idle timers are rarely shorter.
const NOTICE_EVERY: Duration = Duration::from_secs(15);
/// What a held caller may send ahead; then its socket waits.
const HELD_BYTES_MAX: usize = 1 << 20;

/// What becomes of an operation.
pub(crate) enum Ruling {
    /// It is to be forwarded, once its decision is recorded.
    Allow(Decision),
    /// People let it pass.
    Released(Released),
    /// It is refused; decision and outcome are recorded already, as far as the ledger can be written.
    Refuse(Answer),
}

/// What people let pass once; the decision on it is recorded already.
pub(crate) struct Released {
    pub(crate) id: DecisionId,
    pub(crate) decision: Decision,
    /// What the text meant when the approval was used.
    pub(crate) judged: Arc<Judged>,
    /// It is to be executed before.
    pub(crate) until: Instant,
}

impl Session {
    /// Brings everything that a verdict hangs on up to date: policies, catalog, the session's own settings, the
    /// protected set. Answers what forbids every operation, if something does.
    ///
    /// Within a pipeline the session itself is asked only where the text may hang on its answer: a question is a
    /// statement, and what may follow hangs on whether one ran before.
    pub(crate) async fn refresh(&mut self, text: &str) -> Result<Option<Finding>, End> {
        if let Some(finding) = self.refresh_policies().await {
            return Ok(Some(finding));
        }
        if !self.view.needs_catalog() {
            return Ok(None);
        }
        let may_name = !(self.state.in_pipeline && is_transaction_command(text));
        if may_name {
            self.settle(Marks::CHANGES_MEANINGS).await?;
            if self.view.has_own_ddl || self.view.has_local_settings {
                self.settle(Marks::ENDS_TRANSACTION).await?;
            }
        }
        if let Some(finding) = self.refresh_catalog(may_name).await? {
            return Ok(Some(finding));
        }
        if !may_name {
            return Ok(self.refresh_protected().await);
        }
        if self.view.is_stale {
            self.settle_transaction().await?;
        }
        if self.view.is_stale && self.state.transaction != TransactionState::Failed && !self.state.skips_to_sync {
            self.refresh_settings().await?;
        }
        if let Some(finding) = self.own_finding() {
            return Ok(Some(finding));
        }
        Ok(self.refresh_protected().await)
    }

    async fn refresh_policies(&mut self) -> Option<Finding> {
        let evaluator = Arc::clone(&self.path.services.evaluator);
        if evaluator.epoch() == self.policies.epoch() && self.shut.is_none() {
            return None;
        }
        let opened = evaluator.open(Arc::clone(&self.facts)).await;
        self.policies = opened.policies;
        self.view.protection = self.policies.protection().cloned();
        self.view.protected = None;
        self.view.forget();
        // The opening of a session cannot be held, so a review counts as a block.
        self.shut = match opened.decision.verdict {
            Verdict::Allow => None,
            Verdict::Block(finding) => Some(finding),
            Verdict::Review(terms) => Some(Finding::new("session-review", Severity::High, terms.reason)),
        };
        self.shut.clone()
    }

    async fn refresh_catalog(&mut self, may_ask: bool) -> Result<Option<Finding>, End> {
        let shared = match self.path.catalogs.of(&self.route.target).current().await {
            Ok(shared) => shared,
            Err(error) => {
                tracing::warn!(session = %self.facts.id, %error, "refusing for want of a catalog");
                return Ok(Some(Finding::new("no-catalog", Severity::High, error.to_string())));
            }
        };
        if !self.view.has_own_ddl {
            self.use_catalog(shared);
            return Ok(None);
        }
        // What others commit meanwhile holds here at once.
        let is_seen = self.view.seen_by_all.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &shared));
        self.view.has_moved_within |= !is_seen && self.view.seen_by_all.is_some();
        self.view.is_own_catalog_stale |= !is_seen;
        if self.view.is_own_catalog_stale && may_ask {
            self.settle_transaction().await?;
        }
        let may_ask = may_ask && self.state.transaction != TransactionState::Failed && !self.state.skips_to_sync;
        if self.view.is_own_catalog_stale && self.view.has_own_ddl && may_ask {
            return self.read_own_catalog(shared).await;
        }
        Ok(None)
    }

    pub(crate) fn use_catalog(&mut self, catalog: Arc<grille_sql::Catalog>) {
        if !Arc::ptr_eq(&self.view.catalog, &catalog) {
            let is_between = self.state.transaction == TransactionState::Idle && !self.state.in_pipeline;
            self.view.has_moved_within |= !is_between || self.owed.rounds_left() > 0;
            self.view.catalog = catalog;
            self.view.protected = None;
            self.view.forget();
        }
    }

    /// The schemas that names are looked up in, and how strings are read: as the target has them now.
    async fn refresh_settings(&mut self) -> Result<(), End> {
        let rows = self.ask(SETTINGS).await?;
        let Some(strings) = rows.first().and_then(|row| row.get(1)?.clone()) else {
            // The pipeline failed before the question; nothing of it runs any more, so the next one asks again.
            return Ok(());
        };
        let mut settings = self.view.settings.clone();
        settings.standard_conforming_strings = strings == "on";
        settings.search_path = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
        if settings != self.view.settings {
            self.view.settings = settings;
            self.view.forget();
        }
        self.view.is_stale = false;
        Ok(())
    }

    async fn refresh_protected(&mut self) -> Option<Finding> {
        if !self.view.is_masked() || self.view.protected.is_some() {
            return None;
        }
        let catalog = Arc::clone(&self.view.catalog);
        let key = (self.policies.epoch(), Arc::clone(&self.facts.target), catalog.version().into(), self.bound_to());
        if !self.view.has_own_ddl
            && let Some(known) = self.path.protected.get(&key)
        {
            self.view.protected = Some(known);
            return None;
        }
        let columns = catalog.base_columns();
        let classified = self.policies.classify(&columns).await;
        match classified.decision.verdict {
            Verdict::Allow if classified.treatments.len() == columns.len() => {
                let protected = Arc::new(ProtectedSet::new(&catalog, &columns, &classified.treatments));
                if !self.view.has_own_ddl {
                    self.path.protected.put(key, &protected);
                }
                self.view.protected = Some(protected);
                None
            }
            Verdict::Block(finding) => Some(finding),
            _ => Some(Finding::new(
                "not-classified",
                Severity::Critical,
                "the policies gave no treatment for every column, so masked sessions are refused",
            )),
        }
    }

    /// Whom the classification was made for: policies may read any fact of the subject.
    fn bound_to(&self) -> Arc<str> {
        let subject = &self.facts.subject;
        let mut text = format!("{}\n{}\n{}", subject.issuer, subject.sub, subject.claims);
        for role in &self.facts.roles {
            text.push('\n');
            text.push_str(role);
        }
        text.into()
    }

    /// What a text means; where names are missing, the catalog is read again once.
    pub(crate) async fn judge(&mut self, text: Arc<str>) -> Result<Arc<Judged>, End> {
        if let Some(forbidden) = self.refresh(&text).await? {
            return Ok(Arc::new(Judged::refused(text, forbidden)));
        }
        if let Some(judged) = self.view.remembered(&text) {
            return Ok(judged);
        }
        let mut judged = self.view.judge(Arc::clone(&text));
        if judged.uses_names() {
            self.settle(Marks::USES_NAMES).await?;
            self.view.renew_names(&judged);
            judged = self.view.judge(Arc::clone(&text));
        }
        if judged.misses_names() && self.view.needs_catalog() {
            if let Some(forbidden) = self.reread_catalog().await? {
                return Ok(Arc::new(Judged::refused(text, forbidden)));
            }
            judged = self.view.judge(text);
        }
        let judged = Arc::new(judged);
        self.view.remember(&judged);
        Ok(judged)
    }

    /// Names may be new: in the open transaction, seen by the session's own connection only, or anywhere.
    async fn reread_catalog(&mut self) -> Result<Option<Finding>, End> {
        if self.view.has_own_ddl {
            return Ok(None);
        }
        match self.path.catalogs.of(&self.route.target).reread().await {
            Ok(catalog) => self.use_catalog(catalog),
            Err(error) => {
                return Ok(Some(Finding::new("no-catalog", Severity::High, error.to_string())));
            }
        }
        Ok(self.refresh_protected().await)
    }

    /// The catalog as the session's own transaction sees it. A transaction that reads by a snapshot sees definitions as they
    /// were, while the server looks names up as they are.
    async fn read_own_catalog(&mut self, shared: Arc<grille_sql::Catalog>) -> Result<Option<Finding>, End> {
        if self.view.has_moved_within {
            let isolation = self.ask(ISOLATION).await?.into_iter().next().and_then(|row| row.into_iter().next()?);
            if isolation.is_some_and(|isolation| isolation != "read committed") {
                let message = "others changed definitions meanwhile, which this transaction cannot see; end it, or make it \
                               READ COMMITTED";
                return Ok(Some(Finding::new("names-moved", Severity::Medium, message)));
            }
        }
        let mut parts = Vec::new();
        for (_, sql) in grille_sql::catalog::queries() {
            parts.push(self.ask(sql).await?);
            if self.state.skips_to_sync || self.own_failure.is_some() {
                // The pipeline failed before the question, so nothing of it runs; the next one asks again.
                return Ok(self.own_finding());
            }
        }
        let version = format!("own {} {}", self.facts.id, self.state.decisions);
        match grille_sql::Catalog::from_rows(&version, parts) {
            Ok(catalog) => {
                let has_moved = self.view.has_moved_within;
                self.use_catalog(Arc::new(catalog));
                self.view.has_moved_within = has_moved;
                self.view.seen_by_all = Some(shared);
                self.view.is_own_catalog_stale = false;
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(session = %self.facts.id, %error, "own catalog not understood");
                Ok(Some(Finding::new("no-catalog", Severity::High, error.to_string())))
            }
        }
    }

    /// What forbids the message that a question was asked for which failed.
    fn own_finding(&self) -> Option<Finding> {
        let failure = self.own_failure.as_ref()?;
        Some(Finding::new("no-answer", Severity::Low, failure.message.clone()))
    }

    /// All policies' verdict, with the host's own among them.
    pub(crate) async fn consult(&mut self, judged: &Judged, parameters: &Arc<[Parameter]>) -> Decision {
        let mut decision = if self.policies.judges() {
            let operation = Operation::Statement(Statement {
                text: Arc::clone(&judged.text),
                facts: Arc::clone(&judged.facts),
                parameters: Arc::clone(parameters),
                transaction: self.state.transaction,
            });
            self.policies.decide(&operation).await
        } else {
            Decision::unbound(self.policies.epoch())
        };
        let inference = judged.guarded.as_ref().map_or(&[][..], |guarded| &guarded.inference);
        let verdict = match (&judged.refusal, self.opaque_for_people(judged)) {
            (Some(finding), _) => Verdict::Block(finding.clone()),
            (None, Some(terms)) => Verdict::Review(terms),
            (None, None) if inference.is_empty() => return decision,
            (None, None) => Verdict::Allow,
        };
        decision.opinions.push(host_opinion(verdict, inference));
        decision = Decision::new(decision.epoch, decision.opinions);
        decision
    }

    /// Where the protection lets people decide about what cannot be followed (`settings.opaque = "review"`).
    fn opaque_for_people(&self, judged: &Judged) -> Option<Terms> {
        let opaque = &judged.guarded.as_ref()?.opaque;
        let asks = self.view.protection.as_ref()?.opaque == Opaque::Review && !opaque.is_empty();
        asks.then(|| Terms::standard(format!("it cannot be told what {} returns", opaque.join(", "))))
    }

    /// Rules on an operation that is about to run with these parameters.
    pub(crate) async fn rule(&mut self, judged: &Arc<Judged>, parameters: &Arc<[Parameter]>) -> Result<Ruling, End> {
        // Policies are told of the transaction, and nobody is held in one.
        if self.state.moves_transaction && (self.policies.judges() || self.view.is_masked()) {
            self.settle_transaction().await?;
            if self.state.skips_to_sync {
                return Ok(Ruling::Refuse(Answer::skipped()));
            }
        }
        let decision = self.consult(judged, parameters).await;
        match &decision.verdict {
            Verdict::Allow => Ok(Ruling::Allow(decision)),
            Verdict::Block(_) => Ok(Ruling::Refuse(self.refuse(judged, parameters, &decision).await)),
            Verdict::Review(terms) => {
                let terms = terms.clone();
                self.review(judged, parameters, decision, &terms).await
            }
        }
    }

    /// Records a block and answers what the caller reads.
    pub(crate) async fn refuse(
        &mut self,
        judged: &Arc<Judged>,
        parameters: &Arc<[Parameter]>,
        decision: &Decision,
    ) -> Answer {
        let id = self.next_decision();
        let answer = match (self.own_failure.take(), &decision.verdict) {
            (Some(failure), _) => failure,
            (None, Verdict::Block(finding)) => Answer::blocked(finding, id),
            (None, Verdict::Review(terms)) => Answer::new(sqlstate::REFUSED, Fault::Policy, terms.reason.to_string()),
            (None, Verdict::Allow) => Answer::new(sqlstate::REFUSED, Fault::Gateway, "refused"),
        };
        self.record_refusal(id, judged, parameters, decision, None, answer).await
    }

    /// Records the decision and its outcome so that both are on the disk before the caller reads the answer.
    async fn record_refusal(
        &mut self,
        id: DecisionId,
        judged: &Arc<Judged>,
        parameters: &Arc<[Parameter]>,
        decision: &Decision,
        request: Option<grille_policy::RequestId>,
        answer: Answer,
    ) -> Answer {
        let recorded = self
            .record_decision(id, judged, parameters, (decision, self.state.transaction), request)
            .and_then(|_| self.record_refused(id, &answer));
        let durable = match recorded {
            Ok(position) => self.durable(position).await,
            Err(error) => Err(error),
        };
        match durable {
            Ok(()) => answer,
            Err(error) => {
                tracing::error!(session = %self.facts.id, %error, "a refusal cannot be recorded");
                Answer::unrecorded()
            }
        }
    }

    /// Lets people decide: an approval that is there already is used up, a caller that can wait is held, any other is
    /// sent away with the id of the request.
    async fn review(
        &mut self,
        judged: &Arc<Judged>,
        parameters: &Arc<[Parameter]>,
        decision: Decision,
        terms: &Terms,
    ) -> Result<Ruling, End> {
        let id = self.next_decision();
        if judged.hangs_on_own_names() {
            let message = "people cannot review what hangs on names of this session alone; send the statement itself, \
                           without EXECUTE and temporary tables";
            let answer = Answer::new(sqlstate::REFUSED, Fault::Policy, message);
            return Ok(Ruling::Refuse(self.record_refusal(id, judged, parameters, &decision, None, answer).await));
        }
        let desk = self.path.services.desk.clone();
        let found = desk.find_grant(&self.facts.subject, &self.facts.target, &judged.text, parameters);
        if let Some(grant) = found
            && let Ok(used) = grant.consume(self.release(judged, parameters))
        {
            let judged_in = (&decision, self.state.transaction);
            return Ok(match self.record_decision(id, judged, parameters, judged_in, Some(used.id)) {
                Ok(position) => match self.durable(position).await {
                    Ok(()) => {
                        Ruling::Released(Released { id, decision, judged: Arc::clone(judged), until: used.until })
                    }
                    Err(_) => Ruling::Refuse(Answer::unrecorded()),
                },
                Err(_) => Ruling::Refuse(Answer::unrecorded()),
            });
        }
        let in_transaction = self.state.transaction != TransactionState::Idle || self.state.has_executed;
        let ask = Ask {
            session: Arc::clone(&self.facts),
            text: Arc::clone(&judged.text),
            parameters: Arc::clone(parameters),
            transaction: self.state.transaction,
            in_transaction,
            terms: terms.clone(),
            findings: decision.opinions.iter().flat_map(|opinion| opinion.findings.iter().cloned()).collect(),
            epoch: decision.epoch,
            policies: digest_of_policies(&decision),
            justification: self.state.reason.clone(),
        };
        let answer = match desk.request(ask) {
            Ok(Asked::Held(ticket)) => {
                return self.hold(judged, parameters, decision, terms, id, ticket).await;
            }
            Ok(Asked::Open { id: request, .. }) => {
                let answer = Answer::needs_approval(&terms.reason, request, id);
                let answer = self.record_refusal(id, judged, parameters, &decision, Some(request), answer).await;
                return Ok(Ruling::Refuse(answer));
            }
            Err(error) => Answer::new(sqlstate::REFUSED, Fault::Policy, error.to_string()),
        };
        Ok(Ruling::Refuse(self.record_refusal(id, judged, parameters, &decision, None, answer).await))
    }

    async fn hold(
        &mut self,
        judged: &Arc<Judged>,
        parameters: &Arc<[Parameter]>,
        decision: Decision,
        terms: &Terms,
        id: DecisionId,
        mut ticket: Ticket,
    ) -> Result<Ruling, End> {
        let request = ticket.id();
        let judged_in = (&decision, self.state.transaction);
        let recorded = match self.record_decision(id, judged, parameters, judged_in, Some(request)) {
            Ok(position) => self.durable(position).await,
            Err(error) => Err(error),
        };
        if recorded.is_err() {
            return Ok(Ruling::Refuse(Answer::unrecorded()));
        }
        if self.state.in_pipeline {
            self.target.outbox.append(grille_pg_codec::encode::flush);
        }
        self.state.is_held = true;
        let waited = self.wait_for_people(&mut ticket, terms).await;
        self.state.is_held = false;
        let waited = match waited {
            Ok(waited) => waited,
            Err(end) => {
                // Nobody is there to hear of it, but it has an outcome.
                self.record_refused(id, &Answer::unused()).map_err(|_| End::unrecorded())?;
                return Err(end);
            }
        };
        let answer = match waited {
            Some(Outcome::Approved(grant)) => {
                // What was true when it was asked may not be true any more: everything is judged anew.
                let judged = self.judge(Arc::clone(&judged.text)).await?;
                let now = self.consult(&judged, parameters).await;
                match &now.verdict {
                    Verdict::Block(finding) => Answer::blocked(finding, id),
                    Verdict::Allow | Verdict::Review(_) => match grant.consume(self.release(&judged, parameters)) {
                        Ok(used) => {
                            return Ok(Ruling::Released(Released { id, decision: now, judged, until: used.until }));
                        }
                        Err(error) => Answer::new(sqlstate::REFUSED, Fault::Policy, error.to_string()),
                    },
                }
            }
            Some(Outcome::Denied { by, reason }) => {
                let message = format!("denied by {}: {reason}", by.name);
                Answer::new(sqlstate::REFUSED, Fault::Policy, message).with_hint(format!("request {request}"))
            }
            Some(Outcome::Superseded) => {
                let message = "the policies changed while it waited for review; run it again";
                Answer::new(sqlstate::REFUSED, Fault::Policy, message).with_hint(format!("request {request}"))
            }
            Some(Outcome::TimedOut) => {
                let message = "nobody decided on the review in time, so it was not run";
                Answer::new(sqlstate::CANCELED, Fault::Policy, message).with_hint(format!("request {request}"))
            }
            Some(Outcome::Withdrawn) | None => {
                let message = "the review was cancelled, so it was not run";
                Answer::new(sqlstate::CANCELED, Fault::Caller, message).with_hint(format!("request {request}"))
            }
        };
        let recorded = match self.record_refused(id, &answer) {
            Ok(position) => self.durable(position).await,
            Err(error) => Err(error),
        };
        Ok(Ruling::Refuse(recorded.map_or_else(|_| Answer::unrecorded(), |()| answer)))
    }

    /// Holds the caller. None if it cancelled; if it is gone the ticket is dropped, which withdraws the request.
    async fn wait_for_people(&mut self, ticket: &mut Ticket, terms: &Terms) -> Result<Option<Outcome>, End> {
        let started = Instant::now();
        let seconds = ticket.deadline().saturating_duration_since(started).as_secs();
        let request = ticket.id();
        let who: Vec<String> =
            ticket.needs().iter().map(|need| format!("{} of {}", need.people, need.groups.join(" or "))).collect();
        let mut said = format!("held for review: {} (waits up to {seconds} s for {})", terms.reason, who.join(" and "));
        let mut ticks = tokio::time::interval(NOTICE_EVERY);
        loop {
            let reads_caller = self.caller.inbox.len() < HELD_BYTES_MAX;
            let waited = {
                let people = async {
                    tokio::select! {
                        outcome = ticket.outcome() => Some(outcome),
                        _ = ticks.tick() => None,
                    }
                };
                self.wait(reads_caller, people).await?
            };
            match waited {
                Waited::Done(Some(outcome)) => return Ok(Some(outcome)),
                Waited::Done(None) => {
                    let hint = format!("request {request}");
                    let message = std::mem::replace(
                        &mut said,
                        format!("still held for review after {} s", (started.elapsed() + NOTICE_EVERY).as_secs()),
                    );
                    self.caller.outbox.append(|out| write_notice(out, &message, &hint));
                }
                Waited::Turned(Turn::Cancel) => return Ok(None),
                Waited::Turned(Turn::Caller | Turn::Target) => {}
            }
        }
    }

    fn release<'a>(&self, judged: &'a Judged, parameters: &'a [Parameter]) -> Release<'a> {
        Release { session: self.facts.id, text: &judged.text, parameters, epoch: self.policies.epoch() }
    }

    pub(crate) fn next_decision(&mut self) -> DecisionId {
        let number = self.state.decisions;
        self.state.decisions += 1;
        self.presence.count_operation();
        DecisionId { session: self.facts.id, number }
    }
}

/// One row per schema of the effective path, in order; the second column is the same in all.
const SETTINGS: &str = "SELECT s.name, pg_catalog.current_setting('standard_conforming_strings') \
    FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS s(name, place) ORDER BY s.place";

const ISOLATION: &str = "SELECT pg_catalog.current_setting('transaction_isolation')";

/// The host's own rules, as an opinion among the policies'. Protected columns outside the target list are named: they
/// let a caller infer values without seeing one.
fn host_opinion(verdict: Verdict, inference: &[ColumnUse]) -> Opinion {
    let mut findings = Vec::new();
    if !inference.is_empty() {
        let mut finding = Finding::new("inference", Severity::Info, "protected columns decide what is answered");
        finding.attributes =
            inference.iter().map(|used| (used.column.to_string().into(), used.usage.name().into())).collect();
        findings.push(finding);
    }
    Opinion {
        policy: "grille".into(),
        plugin: Digest([0; 32]),
        settings: Digest([0; 32]),
        mode: Mode::Enforce,
        verdict,
        findings,
        failure: None,
        spent_ns: 0,
        calls: Vec::new(),
    }
}
