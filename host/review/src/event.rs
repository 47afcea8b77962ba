use grille_policy::{Digest, RequestId, SessionId};
use serde::Serialize;

use crate::dsse::Envelope;
use crate::view::{Person, Review};

/// The ledger, as the desk sees it. An edge takes effect only after its event was taken.
///
/// `append` runs while the desk is locked, so it must not call the desk, and should return as soon as the event is
/// written.
pub trait Journal: Send + Sync {
    /// Takes an event, or says why not.
    fn append(&self, event: &Event) -> Result<(), Unjournaled>;

    /// The last signed checkpoint before now, as an anchor in time for decisions.
    fn anchor(&self) -> Option<String> {
        None
    }
}

/// The journal did not take an event.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unjournaled(pub String);

/// One edge of one request, with what the record needs. Holds statement text at [`Edge::Requested`]: seal it.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// The request.
    pub id: RequestId,
    /// The session that asked.
    pub session: SessionId,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub edge: Edge,
}

/// What happened to a request.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "edge", rename_all = "kebab-case")]
pub enum Edge {
    /// It was opened.
    Requested {
        /// All of it, as reviewers see it.
        review: Box<Review>,
    },
    /// A reviewer approved it.
    Approved {
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// The end of the grant if this approval completed the quorum, in Unix milliseconds.
        granted_until_ms: Option<u64>,
        /// The signed decision.
        envelope: Envelope,
    },
    /// A reviewer denied it, which is final.
    Denied {
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// The signed decision.
        envelope: Envelope,
    },
    /// The caller is gone.
    Withdrawn,
    /// Nobody decided in time.
    TimedOut,
    /// The policies, or the rules for reviews, changed before it was decided.
    Superseded {
        /// What changed.
        reason: String,
    },
    /// The grant was used.
    Consumed {
        /// The session that used it.
        session: SessionId,
    },
    /// The grant was not used in time.
    Expired,
    /// The grant was taken back.
    Revoked {
        /// Who; none where the policies or the rules changed.
        by: Option<Person>,
        /// Why.
        reason: String,
    },
    /// Somebody tried what they may not; nothing changed.
    Refused {
        /// Who.
        by: Person,
        /// What.
        attempt: Attempt,
        /// Why not.
        why: String,
    },
    /// Other bytes than the approved ones were about to run under the grant; nothing changed.
    Mismatched {
        /// The session that tried.
        session: SessionId,
        /// SHA-256 of the text that was approved.
        approved: Digest,
        /// SHA-256 of the text that was presented.
        presented: Digest,
        /// The commitment to the parameters that were approved.
        approved_parameters: Digest,
        /// The commitment, under the same salt, to the parameters that were presented.
        presented_parameters: Digest,
    },
}

impl Edge {
    /// The edge's name in records.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "requested",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::Withdrawn => "withdrawn",
            Self::TimedOut => "timed-out",
            Self::Superseded { .. } => "superseded",
            Self::Consumed { .. } => "consumed",
            Self::Expired => "expired",
            Self::Revoked { .. } => "revoked",
            Self::Refused { .. } => "refused",
            Self::Mismatched { .. } => "mismatched",
        }
    }
}

/// What somebody tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempt {
    /// To approve.
    Approve,
    /// To deny.
    Deny,
    /// To revoke.
    Revoke,
}
