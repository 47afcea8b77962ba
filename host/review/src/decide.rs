use std::sync::Arc;

use grille_policy::{RequestId, Subject};
use tokio::time::Instant;

use crate::desk::{Book, Desk, millis, now_ms};
use crate::entry::Entry;
use crate::event::{Attempt, Edge, Unjournaled};
use crate::find::NotFound;
use crate::sign::{Unsigned, Word, sign};
use crate::view::{Person, Review, State, Vote};

/// A reason longer than this explains nothing; it is signed and recorded with each decision.
const REASON_BYTES_MAX: usize = 4 << 10;

/// More people than any quorum needs have spoken then.
const VOTES_MAX: usize = 64;

/// Why a decision was not taken. Nothing changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedDecision {
    /// No such request.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// One's own request, or that of an agent one stands behind.
    #[error("{id} is your own request or that of a program acting for you; somebody else has to decide it")]
    Own {
        /// The request.
        id: RequestId,
    },
    /// A program.
    #[error("a review is decided by people; this token says that a program acts for {name}")]
    NotAPerson {
        /// For whom.
        name: Arc<str>,
    },
    /// No reviewer.
    #[error("{name} may not review {id}: that takes one of the groups {groups}")]
    NotReviewer {
        /// Who.
        name: Arc<str>,
        /// The request.
        id: RequestId,
        /// What it takes.
        groups: String,
    },
    /// It cannot be decided any more, or not like this.
    #[error("{id} is {state} already")]
    Closed {
        /// The request.
        id: RequestId,
        /// Where it stands.
        state: State,
    },
    /// One's own vote again.
    #[error("you approved {id} already; it still needs {missing} more")]
    Voted {
        /// The request.
        id: RequestId,
        /// How many approvals are missing.
        missing: u32,
    },
    /// So many people, and still no quorum.
    #[error("{id} has {VOTES_MAX} approvals and still no quorum; deny it and correct the policies")]
    TooManyVotes {
        /// The request.
        id: RequestId,
    },
    /// A reason that nobody reads.
    #[error("the reason is {bytes} bytes; at most {REASON_BYTES_MAX} are kept")]
    ReasonTooLong {
        /// What was given.
        bytes: usize,
    },
    /// It could not be recorded.
    #[error("the decision could not be recorded, so it was not taken")]
    Unjournaled(#[from] Unjournaled),
    /// It could not be signed.
    #[error("the decision could not be signed, so it was not taken")]
    Unsigned(#[from] Unsigned),
}

impl Desk {
    /// Approves a request, by its id or a unique beginning of it. The last approval that its quorums need grants it.
    pub fn approve(&self, id: &str, by: &Subject, reason: &str) -> Result<Review, RefusedDecision> {
        let mut book = self.sweep();
        let id = self.admit(&book, id, by, Attempt::Approve, reason)?;
        let Some(entry) = book.entries.get_mut(&id) else { return Err(NotFound::Unknown(id.to_string()).into()) };
        if entry.state != State::Pending {
            return Err(RefusedDecision::Closed { id, state: entry.state });
        }
        let person = Person::from(by);
        if entry.votes.iter().any(|vote| vote.by.is(&person)) {
            return Err(RefusedDecision::Voted { id, missing: entry.missing() });
        }
        if entry.votes.len() >= VOTES_MAX {
            return Err(RefusedDecision::TooManyVotes { id });
        }
        let at_ms = now_ms();
        let envelope = self.sign(entry, by, true, reason, at_ms)?;
        let ttl = self.config().grant_ttl;
        let granted_until_ms = (entry.missing_after(&by.groups) == 0).then(|| at_ms.saturating_add(millis(ttl)));
        let edge = Edge::Approved { by: person.clone(), reason: reason.to_owned(), granted_until_ms, envelope };
        self.journal(entry, edge)?;
        entry.votes.push(Vote { by: person, approved: true, reason: reason.to_owned(), at_ms });
        entry.approvals.push(by.groups.clone());
        if let Some(until_ms) = granted_until_ms {
            entry.state = State::Granted;
            entry.deadline = Instant::now() + ttl;
            entry.expires_ms = until_ms;
            entry.wake.notify_one();
        }
        Ok(entry.view())
    }

    /// Denies a request, which is final.
    pub fn deny(&self, id: &str, by: &Subject, reason: &str) -> Result<Review, RefusedDecision> {
        self.refuse(id, by, reason, Attempt::Deny)
    }

    /// Takes an approval back that was not used yet.
    pub fn revoke(&self, id: &str, by: &Subject, reason: &str) -> Result<Review, RefusedDecision> {
        self.refuse(id, by, reason, Attempt::Revoke)
    }

    fn refuse(&self, id: &str, by: &Subject, reason: &str, attempt: Attempt) -> Result<Review, RefusedDecision> {
        let mut book = self.sweep();
        let id = self.admit(&book, id, by, attempt, reason)?;
        let Some(entry) = book.entries.get_mut(&id) else { return Err(NotFound::Unknown(id.to_string()).into()) };
        let at_ms = now_ms();
        let (person, reason) = (Person::from(by), reason.to_owned());
        let (edge, state) = match (attempt, entry.state) {
            (Attempt::Deny, State::Pending) => {
                let envelope = self.sign(entry, by, false, &reason, at_ms)?;
                (Edge::Denied { by: person.clone(), reason: reason.clone(), envelope }, State::Denied)
            }
            (Attempt::Revoke, State::Granted) => {
                (Edge::Revoked { by: Some(person.clone()), reason: reason.clone() }, State::Revoked)
            }
            (_, state) => return Err(RefusedDecision::Closed { id, state }),
        };
        self.journal(entry, edge)?;
        entry.votes.push(Vote { by: person, approved: false, reason, at_ms });
        entry.state = state;
        let view = entry.view();
        book.settle(id, state, self.config().closed_max);
        Ok(view)
    }

    /// The request, if this subject may decide it; an attempt of somebody who may not is recorded.
    fn admit(
        &self,
        book: &Book,
        id: &str,
        by: &Subject,
        attempt: Attempt,
        reason: &str,
    ) -> Result<RequestId, RefusedDecision> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(RefusedDecision::ReasonTooLong { bytes: reason.len() });
        }
        let id = book.find(id)?;
        let Some(entry) = book.entries.get(&id) else { return Err(NotFound::Unknown(id.to_string()).into()) };
        let Some(refused) = objection(entry, by) else { return Ok(id) };
        self.journal(entry, Edge::Refused { by: Person::from(by), attempt, why: refused.to_string() })?;
        Err(refused)
    }

    fn sign(
        &self,
        entry: &Entry,
        by: &Subject,
        approves: bool,
        comment: &str,
        at_ms: u64,
    ) -> Result<crate::dsse::Envelope, Unsigned> {
        let config = self.config();
        let word = Word {
            reviewer: by,
            approves,
            comment,
            at_ms,
            window_ms: millis(config.grant_ttl),
            cluster: &config.cluster,
            anchor: self.0.journal.anchor(),
        };
        sign(entry, word, &*self.0.signer)
    }
}

/// Why somebody may not decide a request, whatever its state.
fn objection(entry: &Entry, by: &Subject) -> Option<RefusedDecision> {
    let requester = entry.requester();
    let is_its_agent = requester.actors.iter().any(|actor| actor.issuer == by.issuer && actor.sub == by.sub);
    if requester.is_same_person(by) || is_its_agent {
        return Some(RefusedDecision::Own { id: entry.id });
    }
    if by.is_agent() {
        return Some(RefusedDecision::NotAPerson { name: Arc::clone(&by.name) });
    }
    if !entry.quorums.admits(by) {
        let mut groups: Vec<Arc<str>> = entry.quorums.needs().into_iter().flat_map(|need| need.groups).collect();
        groups.sort();
        groups.dedup();
        let groups = groups.join(", ");
        return Some(RefusedDecision::NotReviewer { name: Arc::clone(&by.name), id: entry.id, groups });
    }
    None
}
