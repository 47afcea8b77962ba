use std::sync::Arc;

use grille_policy::{BoxFuture, DecisionId, Digest, SessionId, Subject};
use tokio::sync::mpsc;

use crate::quarter::Quarter;
use crate::view::{
    Changed, DecisionDetail, FoundSession, Hold, Moment, Policies, Promotion, Session, SessionDetail, SignedCheckpoint,
    Status,
};

/// Tokens to subjects.
pub trait Identify: Send + Sync {
    /// Who holds the token.
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Subject, NotIdentified>>;
}

/// Why a token names nobody.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotIdentified {
    /// The token is no good: for the caller, in words.
    #[error("{0}")]
    Denied(String),
    /// Nobody can tell now: for the caller, in words.
    #[error("{0}")]
    Unavailable(String),
}

/// The gateway as a whole.
pub trait StatusView: Send + Sync {
    /// How it is now. `reviews` is filled in by the API.
    fn status(&self) -> Status;
}

/// The policies in force.
pub trait PolicyView: Send + Sync {
    /// All of them.
    fn policies(&self) -> Policies;
}

/// What changes the policies in force.
pub trait PolicyChanges: Send + Sync {
    /// Puts another component or mode of a policy in force, for good, or says why not; nothing has changed then.
    fn change<'a>(
        &'a self,
        name: &'a str,
        wish: &'a PolicyWish,
        by: &'a Subject,
        may_weaken: bool,
    ) -> BoxFuture<'a, Result<Changed, RefusedChange>>;
}

/// What somebody wants of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyWish {
    /// Another component, or another mode.
    Promote(Promotion),
    /// What was before.
    Rollback,
}

impl PolicyWish {
    /// What happened, in one word.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Promote(_) => "promoted",
            Self::Rollback => "rolled back",
        }
    }
}

/// Why a policy stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedChange {
    /// There is no such policy.
    #[error("{0}")]
    NotFound(String),
    /// It would protect less, and whoever asked may not do that.
    #[error("{}", .0.join("; "))]
    Weakens(Vec<String>),
    /// It does not load, or there is nothing to change to.
    #[error("{0}")]
    No(String),
    /// The wish can be read in several ways, or in none.
    #[error("{0}")]
    Unclear(String),
    /// It could not be written down.
    #[error("{0}")]
    Failed(String),
}

/// Sessions, live and recorded.
pub trait SessionView: Send + Sync {
    /// The sessions that match, newest first.
    fn list(&self, filter: SessionFilter) -> BoxFuture<'_, Result<Vec<Session>, Unreadable>>;

    /// The ids that begin like this, at most two of them.
    fn find<'a>(&'a self, beginning: &'a str) -> BoxFuture<'a, Result<Vec<SessionId>, Unreadable>>;

    /// One session with what it asked.
    fn show(&self, id: SessionId) -> BoxFuture<'_, Result<Option<SessionDetail>, Unreadable>>;

    /// What its caller sent and saw, moment by moment.
    fn recording(&self, id: SessionId) -> BoxFuture<'_, Result<Option<RecordingStream>, Unreadable>>;

    /// Ends a live session. False if it is not live.
    fn kill(&self, id: SessionId, by: &Subject, reason: &str) -> bool;
}

/// Decisions that were written down, and what decided.
pub trait DecisionView: Send + Sync {
    /// A decision with all that is known of it.
    fn show(&self, id: DecisionId) -> BoxFuture<'_, Result<Option<DecisionDetail>, Unreadable>>;

    /// A component that was in force once.
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Vec<u8>>, Unreadable>>;
}

/// What the ledger proves, and to whom.
pub trait EvidenceView: Send + Sync {
    /// What is looked for, in words, for the record of it.
    fn describe(&self, search: &SessionSearch) -> String;

    /// The sessions that match, newest first.
    fn search(&self, search: SessionSearch) -> BoxFuture<'_, Result<Vec<FoundSession>, Unreadable>>;

    /// A bundle of the sessions that match; none if none do. Its last records are those that were written before it.
    fn export<'a>(
        &'a self,
        wish: EvidenceWish,
        by: &'a Subject,
    ) -> BoxFuture<'a, Result<Option<BundleStream>, Unreadable>>;

    /// Signs a checkpoint over everything that is written by now.
    fn checkpoint(&self) -> BoxFuture<'_, Result<SignedCheckpoint, Unreadable>>;
}

/// How long contents live: legal holds, and their end.
pub trait Keeping: Send + Sync {
    /// The legal holds in force.
    fn holds(&self) -> Vec<Hold>;

    /// Puts something under a legal hold, or lifts it. It is recorded with the person.
    fn hold(&self, on: HeldObject, is_held: bool, by: &Subject, reason: &str) -> Result<(), NotKept>;

    /// Destroys the contents of a session, before the end of its retention only where that is meant. It is recorded with
    /// the person.
    fn shred<'a>(
        &'a self,
        id: SessionId,
        by: &'a Subject,
        reason: &'a str,
        may_be_early: bool,
    ) -> BoxFuture<'a, Result<(), NotKept>>;

    /// Who destroyed the contents of a session, when and why, in words; none if nobody did.
    fn tombstone(&self, id: SessionId) -> BoxFuture<'_, Result<Option<String>, Unreadable>>;
}

/// What is under a legal hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldObject {
    /// A session.
    Session(SessionId),
    /// All sessions of a person, by the `sub` of their tokens.
    Subject(String),
}

/// Why nothing was held, let go or destroyed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotKept {
    /// It must not be, or cannot be: for the person, in words.
    #[error("{0}")]
    No(String),
    /// The ledger cannot do it now.
    #[error("{0}")]
    Unavailable(String),
}

/// Sessions that are looked for. What is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSearch {
    /// One of these; empty for all.
    pub sessions: Vec<SessionId>,
    /// The person's `sub` or name, or the `sub` of an agent who acts for them.
    pub subject: Option<String>,
    /// The target's name.
    pub target: Option<String>,
    /// From this time on, in Unix microseconds.
    pub from_us: Option<u64>,
    /// Until before this time, in Unix microseconds.
    pub to_us: Option<u64>,
    /// A relation that is named.
    pub relation: Option<String>,
    /// A part of the text.
    pub text: Option<String>,
    /// `allow`, `review` or `block`.
    pub verdict: Option<String>,
    /// A policy that was asked.
    pub policy: Option<String>,
    /// The beginning of the digest of a component that was asked.
    pub plugin: Option<String>,
    /// At most so many; bundles are not limited by it.
    pub limit: usize,
}

/// A bundle that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceWish {
    /// Of which sessions.
    pub search: SessionSearch,
    /// Instead: what this quarter shows for each paragraph of the HIPAA Security Rule.
    pub hipaa: Option<Quarter>,
    /// Whether the keys that open the sessions' sealed contents go along.
    pub with_contents: bool,
}

/// A bundle as it is written; dropping it ends the writing, an error breaks it off.
pub type BundleStream = mpsc::Receiver<Result<Vec<u8>, Unreadable>>;

/// A recording as it is read; dropping it ends the reading. The channel is to be bounded tightly: recordings are long.
pub type RecordingStream = mpsc::Receiver<Moment>;

/// Which sessions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only live ones, or only ended ones.
    pub is_live: Option<bool>,
    /// Only those of the person with this `sub` or name.
    pub person: Option<String>,
    /// Only those of this target.
    pub target: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The records cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// The ledger, as far as the API writes to it.
pub trait Audit: Send + Sync {
    /// Takes a record of what somebody is about to see or do, or says why not; nothing is shown or done then.
    fn record(&self, act: &Act<'_>) -> Result<(), Unrecorded>;
}

/// An act could not be recorded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unrecorded(pub String);

/// What somebody is about to see or do.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    /// Who.
    pub by: &'a Subject,
    /// From where.
    pub peer: Arc<str>,
    /// What.
    pub action: Action,
    /// On which session, where it is one.
    pub session: Option<SessionId>,
    /// On which other thing, or with which filters.
    pub object: Option<String>,
    /// Why, in that person's words.
    pub reason: Option<&'a str>,
}

/// The acts that are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Listed sessions.
    SessionList,
    /// Showed a session.
    SessionShow,
    /// Searched sessions.
    SessionSearch,
    /// Replayed a session.
    SessionReplay,
    /// Ended a session.
    SessionKill,
    /// Showed a decision.
    DecisionShow,
    /// Fetched a component.
    PluginFetch,
    /// Listed reviews.
    ReviewList,
    /// Showed a review.
    ReviewShow,
    /// Chose a policy's component or mode.
    PolicyPromote,
    /// Went back to what was chosen before.
    PolicyRollback,
    /// Exported evidence.
    LedgerExport,
    /// Had a checkpoint signed.
    LedgerCheckpoint,
    /// Listed legal holds.
    LedgerHolds,
    /// Tried to destroy contents.
    LedgerShred,
    /// Asked for what their groups do not give.
    Refused,
}

impl Action {
    /// Its name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionList => "session.list",
            Self::SessionShow => "session.show",
            Self::SessionSearch => "session.search",
            Self::SessionReplay => "session.replay",
            Self::SessionKill => "session.kill",
            Self::DecisionShow => "decision.show",
            Self::PluginFetch => "plugin.fetch",
            Self::ReviewList => "review.list",
            Self::ReviewShow => "review.show",
            Self::PolicyPromote => "policy.promote",
            Self::PolicyRollback => "policy.rollback",
            Self::LedgerExport => "ledger.export",
            Self::LedgerCheckpoint => "ledger.checkpoint",
            Self::LedgerHolds => "ledger.holds",
            Self::LedgerShred => "ledger.shred",
            Self::Refused => "refused",
        }
    }

    /// Whether it only looks.
    #[must_use]
    pub const fn is_look(self) -> bool {
        !matches!(
            self,
            Self::SessionKill
                | Self::PolicyPromote
                | Self::PolicyRollback
                | Self::LedgerCheckpoint
                | Self::LedgerShred
                | Self::Refused
        )
    }
}
