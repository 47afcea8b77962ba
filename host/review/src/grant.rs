use std::fmt;

use grille_policy::{Epoch, Parameter, RequestId, SessionId};
use tokio::time::Instant;

use crate::bind::{digest_of_parameters, digest_of_text};
use crate::desk::Desk;
use crate::entry::Entry;
use crate::event::{Edge, Unjournaled};
use crate::view::{State, Vote};

/// The right to run one operation once. Several of these may stand for one approval; only one of them is consumed.
pub struct Grant {
    desk: Desk,
    id: RequestId,
    epoch: Epoch,
    /// Whether this one was held for: until it is gone nobody else finds the approval.
    attends: bool,
}

/// What is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// In which session.
    pub session: SessionId,
    /// The exact text.
    pub text: &'a str,
    /// The exact parameters.
    pub parameters: &'a [Parameter],
    /// The policy set that judged it just now.
    pub epoch: Epoch,
}

/// The approval was used: run it now. For the records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Consumed {
    /// The request.
    pub id: RequestId,
    /// Who said what.
    pub votes: Vec<Vote>,
    /// When the approval would have run out: what waits longer before it runs is not what people let pass.
    pub until: Instant,
}

/// Why an approval cannot be used. Nothing may run then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReleased {
    /// It was used, taken back, or is too old.
    #[error("the approval {id} cannot be used: it is {state}; ask again")]
    Closed {
        /// The request.
        id: RequestId,
        /// Where it stands.
        state: State,
    },
    /// Other bytes than those that were approved.
    #[error("this is not what {id} approved; any byte of difference needs its own approval")]
    Different {
        /// The request.
        id: RequestId,
    },
    /// Other policies than those that asked.
    #[error("the policies changed since {id} was asked (epoch {asked} to {now}); ask again")]
    Superseded {
        /// The request.
        id: RequestId,
        /// The epoch of the request.
        asked: Epoch,
        /// The epoch of the release.
        now: Epoch,
    },
    /// The use could not be recorded.
    #[error("the use of the approval could not be recorded, so nothing runs")]
    Unjournaled(#[from] Unjournaled),
}

impl Grant {
    pub(crate) fn new(desk: Desk, entry: &Entry, attends: bool) -> Self {
        Self { desk, id: entry.id, epoch: entry.ask.epoch, attends }
    }

    /// The request.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// The policy set that asked.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Uses the approval for exactly these bytes. Of any number of attempts at most one succeeds.
    pub fn consume(&self, release: Release<'_>) -> Result<Consumed, NotReleased> {
        let (desk, id) = (&self.desk, self.id);
        let mut book = desk.sweep();
        let gone = NotReleased::Closed { id, state: State::Expired };
        let Some(entry) = book.entries.get(&id) else { return Err(gone) };
        if entry.state != State::Granted {
            return Err(NotReleased::Closed { id, state: entry.state });
        }
        let text = digest_of_text(release.text);
        let parameters = digest_of_parameters(release.parameters);
        if text != entry.text_digest || parameters != entry.parameters_digest {
            let edge = Edge::Mismatched {
                session: release.session,
                approved: entry.text_digest,
                presented: text,
                approved_parameters: entry.parameters_commit(),
                presented_parameters: entry.salt.commit(&parameters),
            };
            desk.journal(entry, edge)?;
            return Err(NotReleased::Different { id });
        }
        if release.epoch != entry.ask.epoch {
            let asked = entry.ask.epoch;
            desk.outdate(&mut book, id, &format!("the policies changed to epoch {}", release.epoch));
            return Err(NotReleased::Superseded { id, asked, now: release.epoch });
        }
        desk.journal(entry, Edge::Consumed { session: release.session })?;
        let (votes, until) = (entry.votes.clone(), entry.deadline);
        book.settle(id, State::Consumed, desk.config().closed_max);
        Ok(Consumed { id, votes, until })
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.attends {
            return;
        }
        if let Some(entry) = self.desk.sweep().entries.get_mut(&self.id) {
            entry.attended = false;
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({}, epoch {})", self.id, self.epoch)
    }
}
