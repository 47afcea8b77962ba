//! The same question to the same component, with the answers that the host gave then.

use std::sync::Arc;

use grille_policy::{HostCall, Opinion, SessionFacts, Statement, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::bound::{Halt, judge, open};
use crate::engine::Shared;
use crate::host::{PluginHost, PolicySet};
use crate::instance::Instance;
use crate::loaded::{Loaded, Said};
use crate::services::{Recorded, Tape};

/// What a policy was asked once.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asked.
    pub session: Arc<SessionFacts>,
    /// What was judged.
    pub statement: Statement,
    /// What the host was asked meanwhile and answered, in order; those at the opening of the session first.
    pub calls: Vec<HostCall>,
}

/// What a policy says to it now.
#[derive(Debug, Clone)]
pub struct Rerun {
    /// What it says.
    pub opinion: Opinion,
    /// The first question to the host that was not asked then in the same place. Nothing can answer it, so the call
    /// ended there and the opinion is that of a failed policy.
    pub strayed: Option<String>,
    /// How many answers it did not ask for.
    pub unasked: usize,
}

impl PluginHost {
    /// Asks a policy of a set, on a fresh instance. Nothing that this host has is reached: no clock, no counters, no
    /// values, no services. None if the set has no such policy or the policy judges no statements.
    pub async fn rerun(&self, set: &PolicySet, policy: &str, question: &Question) -> Option<Rerun> {
        let policy = set.policies.iter().find(|loaded| *loaded.name == *policy)?;
        if !policy.plugin.has("sql") {
            return None;
        }
        let began = Instant::now();
        let (opening, judging): (Vec<HostCall>, Vec<HostCall>) =
            question.calls.iter().cloned().partition(|call| call.at_opening);
        let tapes = [opening, judging].map(|calls| Arc::new(Mutex::new(Tape { calls: calls.into(), strayed: None })));
        let mut calls = Vec::new();
        let said = ask(&self.shared, policy, question, &tapes, &mut calls).await;
        let spent_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut opinion = match said {
            Ok((verdict, findings)) | Err(Halt::Refused((verdict, findings))) => {
                policy.opinion(verdict, findings, spent_ns)
            }
            Err(Halt::Failed(failure)) => policy.failed("sql", failure, spent_ns),
        };
        opinion.calls = calls;
        let [opening, judging] = tapes.map(|tape| std::mem::take(&mut *tape.lock()));
        let unasked = opening.calls.len() + judging.calls.len();
        Some(Rerun { opinion, strayed: opening.strayed.or(judging.strayed), unasked })
    }
}

async fn ask(
    shared: &Shared,
    policy: &Arc<Loaded>,
    question: &Question,
    [opening, judging]: &[Arc<Mutex<Tape>>; 2],
    calls: &mut Vec<HostCall>,
) -> Result<Said, Halt> {
    let mut instance = policy.start(shared).await?;
    instance.serve(Arc::clone(&question.session));
    if instance.session.is_some() {
        instance.surround(Box::new(Recorded(Arc::clone(opening))));
        let said = open(&mut instance).await;
        let asked = instance.take_trace().calls;
        instance.remember_opening(&asked);
        calls.extend(instance.opening());
        match said? {
            (Verdict::Allow, _) => {}
            refused => return Err(Halt::Refused(refused)),
        }
    }
    judge_recorded(&mut instance, question, judging, calls).await
}

async fn judge_recorded(
    instance: &mut Instance,
    question: &Question,
    tape: &Arc<Mutex<Tape>>,
    calls: &mut Vec<HostCall>,
) -> Result<Said, Halt> {
    instance.surround(Box::new(Recorded(Arc::clone(tape))));
    let said = judge(instance, &question.statement).await;
    calls.extend(instance.take_trace().calls);
    said
}
