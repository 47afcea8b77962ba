//! Execute: what lets a portal run, and what it means by the time that it does.

use std::sync::Arc;

use grille_pg_codec::encode;
use grille_pg_codec::frontend::{self, Target};
use grille_policy::{DecisionId, Fault, Finding, Severity, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::operation::Judged;
use crate::replies::{Owed, Own, Running};
use crate::respond::{Answer, sqlstate};
use crate::session::{End, Session};
use crate::statements::{Permit, Portal, Prepared};

impl Session {
    pub(crate) async fn on_execute(&mut self, execute: frontend::Execute<'_>, bytes: &bytes::Bytes) -> Result<(), End> {
        let found = self.portal(execute.portal).await?;
        if self.state.skips_to_sync {
            return Ok(());
        }
        let portal = match found {
            Ok(Some(portal)) => portal,
            Ok(None) => return self.no_portal(execute.portal),
            Err(answer) => return self.refuse_in_pipeline(answer),
        };
        if let Some(reason) = portal.prepared.judged.own_reason() {
            self.state.reason = Some(reason);
            return self.answer(|out| encode::command_complete(out, "SET").expect("a short word without zero bytes"));
        }
        let permitted = self.permitted(portal).await?;
        if self.state.skips_to_sync {
            return Ok(());
        }
        let (id, portal) = match permitted {
            Ok(permitted) => permitted,
            Err(answer) => return self.refuse_in_pipeline(answer),
        };
        if portal.prepared.judged.ends_transaction() {
            // What was cut before it must not be committed.
            self.end_cut_pipeline().await?;
            if self.state.skips_to_sync {
                return self.record_refused(id, &Answer::skipped()).map(|_| ()).map_err(|_| End::unrecorded());
            }
        }
        let shaped = self.shape_before_execute(execute.portal, &portal).await?;
        let refused = if self.state.skips_to_sync { Some(Answer::skipped()) } else { shaped.err() };
        if let Some(answer) = refused {
            self.record_refused(id, &answer).map_err(|_| End::unrecorded())?;
            return if self.state.skips_to_sync { Ok(()) } else { self.refuse_in_pipeline(answer) };
        }
        let judged = Arc::clone(&portal.prepared.judged);
        self.state.has_executed = true;
        self.state.has_written |= judged.may_write();
        self.state.moves_transaction |= judged.moves_transaction();
        let running = Running::new(id, judged, Some(portal));
        self.forward(bytes, Owed::Execute(Box::new(running)));
        Ok(())
    }

    /// The recorded decision by which a portal runs now, and the portal as it is understood now; or why it does not.
    async fn permitted(&mut self, portal: Arc<Portal>) -> Result<Result<(DecisionId, Arc<Portal>), Answer>, End> {
        let has_same_policies = self.path.services.evaluator.epoch() == portal.decision.epoch;
        if has_same_policies && self.has_moved(&portal).await? {
            let message = "what this portal's statement names is something else since it was bound; bind it again";
            return self.refuse_portal(&portal, Finding::new("names-moved", Severity::Medium, message)).await.map(Err);
        }
        if self.state.skips_to_sync {
            return Ok(Err(Answer::skipped()));
        }
        let permit = *portal.permit.lock();
        match permit {
            Permit::Approved(id, until) if has_same_policies && Instant::now() < until => {
                *portal.permit.lock() = Permit::Used;
                return Ok(Ok((id, portal)));
            }
            Permit::Approved(..) | Permit::RanOut => {
                let finding = Finding::new("approval-ran-out", Severity::Medium, Answer::ran_out().message);
                return self.refuse_portal(&portal, finding).await.map(Err);
            }
            Permit::Policies | Permit::Used => {}
        }
        let portal = if has_same_policies {
            portal
        } else {
            match self.judge_portal_again(&portal).await? {
                _ if self.state.skips_to_sync => return Ok(Err(Answer::skipped())),
                Ok(now) => now,
                Err(answer) => return Ok(Err(answer)),
            }
        };
        let (id, judged) = (self.next_decision(), &portal.prepared.judged);
        let judged_in = (&portal.decision, portal.transaction);
        let recorded = match portal.unread {
            0 => self.record_decision(id, judged, &portal.parameters, judged_in, None),
            bytes => self.record_unread(id, judged, bytes, judged_in),
        };
        let recorded = self.recorded_before_forward(recorded, judged).await;
        Ok(recorded.map(|()| (id, portal)))
    }

    /// Whether a statement that the server understands only now means something else than when it was bound.
    async fn has_moved(&mut self, portal: &Portal) -> Result<bool, End> {
        let then = &portal.prepared.judged;
        if !then.reads_names_late() || !self.view.needs_catalog() {
            return Ok(false);
        }
        let now = self.judge(Arc::clone(&then.text)).await?;
        Ok(!self.state.skips_to_sync && !now.means_the_same(then))
    }

    /// Refuses a portal by the host's own word, for good: what people let pass is used up by it.
    async fn refuse_portal(&mut self, portal: &Portal, finding: Finding) -> Result<Answer, End> {
        if let Some(id) = portal.take_approval() {
            let answer = Answer::blocked(&finding, id);
            self.record_refused(id, &answer).map_err(|_| End::unrecorded())?;
            return Ok(answer);
        }
        let judged = Arc::new(Judged::refused(Arc::clone(&portal.prepared.judged.text), finding));
        let decision = self.consult(&judged, &portal.parameters).await;
        Ok(self.refuse(&judged, &portal.parameters, &decision).await)
    }

    /// Other policies than at Bind decide, and treat what comes.
    async fn judge_portal_again(&mut self, portal: &Arc<Portal>) -> Result<Result<Arc<Portal>, Answer>, End> {
        let judged = self.judge(Arc::clone(&portal.prepared.judged.text)).await?;
        let judged = if portal.unread > 0 && (self.policies.judges() || self.view.is_masked()) {
            let message =
                "the policies changed, and the parameters were not read when they were bound; bind them again";
            Arc::new(Judged::refused(Arc::clone(&judged.text), Finding::new("unread", Severity::Low, message)))
        } else {
            judged
        };
        let decision = self.consult(&judged, &portal.parameters).await;
        if !matches!(decision.verdict, Verdict::Allow) {
            return Ok(Err(self.refuse(&judged, &portal.parameters, &decision).await));
        }
        let now = Arc::new(Portal {
            prepared: Arc::new(Prepared {
                judged,
                parameter_types: portal.prepared.parameter_types.clone(),
                columns: Mutex::new(portal.prepared.columns.lock().clone()),
            }),
            parameters: Arc::clone(&portal.parameters),
            unread: portal.unread,
            formats: portal.formats.clone(),
            decision,
            transaction: self.state.transaction,
            permit: Mutex::new(*portal.permit.lock()),
            filter: Mutex::new(None),
            round: portal.round,
        });
        self.portals.replace(portal, &now);
        Ok(Ok(now))
    }

    /// Makes sure that the rows of a treated result will be understood: their columns are asked for if nobody has.
    /// A statement that writes is only executed once the plan for its rows stands, so that it cannot fail after the
    /// effect.
    async fn shape_before_execute(&mut self, name: &[u8], portal: &Arc<Portal>) -> Result<Result<(), Answer>, End> {
        let judged = &portal.prepared.judged;
        // Also where the text says that nothing is protected: the server's own word of the columns' origins counts.
        if !self.view.is_masked() || !judged.may_return_rows() || portal.filter.lock().is_some() {
            return Ok(Ok(()));
        }
        if portal.prepared.columns.lock().is_none() {
            self.state.in_pipeline = true;
            self.target.outbox.put(|out| encode::describe(out, Target::Portal(name)))?;
            self.owed.push(Owed::Own(Own::Describe(Arc::clone(&portal.prepared))));
        }
        let writes = judged.statements().iter().any(|statement| statement.has_result_and_writes);
        if !writes || !judged.has_treatments() {
            return Ok(Ok(()));
        }
        self.finish_own(false).await?;
        let Some(columns) = portal.prepared.columns.lock().clone() else {
            // The pipeline failed before; the server skips this one too.
            return Ok(Ok(()));
        };
        match self.plan(judged, 0, &columns, &portal.formats_of(&columns)).await {
            Ok(filter) => {
                *portal.filter.lock() = filter;
                Ok(Ok(()))
            }
            Err(answer) => Ok(Err(answer)),
        }
    }

    fn no_portal(&mut self, name: &[u8]) -> Result<(), End> {
        let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
        self.refuse_in_pipeline(Answer::new(sqlstate::NO_PORTAL, Fault::Caller, message))
    }
}
