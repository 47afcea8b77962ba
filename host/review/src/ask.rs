use std::sync::Arc;

use grille_policy::{Digest, Epoch, Finding, Parameter, SessionFacts, Terms, TransactionState};

use crate::event::Unjournaled;

/// What a path asks people about: one operation, as it is about to run.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The session that wants to run it.
    pub session: Arc<SessionFacts>,
    /// The exact text.
    pub text: Arc<str>,
    /// The exact parameters, empty where there are none.
    pub parameters: Arc<[Parameter]>,
    /// The transaction that it would run in.
    pub transaction: TransactionState,
    /// Whether the target may hold locks for it already: inside a block, or anything executed since the last Sync.
    /// Then it is not held, unless the terms say so.
    pub in_transaction: bool,
    /// What the policies ask of the review, joined.
    pub terms: Terms,
    /// What the policies noticed, for the reviewer.
    pub findings: Vec<Finding>,
    /// The policy set that asked.
    pub epoch: Epoch,
    /// Which components with which settings asked: [`crate::digest_of_policies`].
    pub policies: Digest,
    /// Why the caller wants it (`SET grille.reason`).
    pub justification: Option<Arc<str>>,
}

impl Ask {
    /// What the desk has to keep for it.
    pub(crate) fn bytes(&self) -> usize {
        let values: usize = self.parameters.iter().filter_map(|one| one.value.as_ref()).map(|value| value.len()).sum();
        let reason = self.justification.as_ref().map_or(0, |reason| reason.len());
        self.text.len() + values + reason + self.parameters.len() * size_of::<Parameter>()
    }
}

/// Why a review was not opened. Nothing runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedAsk {
    /// Nobody could read it.
    #[error("the statement and its parameters are {bytes} bytes; a review takes at most {most}, so split it up")]
    TooLong {
        /// What was asked.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The desk is full.
    #[error("{pending} requests wait for review already; try again when some are decided")]
    Full {
        /// How many wait.
        pending: usize,
    },
    /// One person fills the desk.
    #[error("{pending} requests of yours wait for review already; try again when some are decided")]
    FullForYou {
        /// How many wait.
        pending: usize,
    },
    /// The policies ask for more people than any review may need.
    #[error("the policies ask for {asked} approvals; a review takes at most {most}, so correct the policies")]
    TooManyApprovals {
        /// What was asked.
        asked: u64,
        /// The limit.
        most: u32,
    },
    /// The request could not be recorded.
    #[error("the request for review could not be recorded, so it was not opened")]
    Unjournaled(#[from] Unjournaled),
    /// The policies changed between the decision and the question.
    #[error("the policies changed meanwhile; run it again")]
    Superseded,
    /// No random bytes.
    #[error("the request for review was not opened")]
    NoRandom(#[from] NoRandom),
}

/// The system has no randomness to give.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandom;
