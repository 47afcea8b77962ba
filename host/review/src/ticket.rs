use std::sync::Arc;

use grille_policy::RequestId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::desk::Desk;
use crate::entry::Entry;
use crate::event::Edge;
use crate::grant::Grant;
use crate::view::{Need, Person, State};

/// A caller that waits. Dropping it before the outcome withdraws the request.
pub struct Ticket {
    desk: Desk,
    id: RequestId,
    deadline: Instant,
    expires_ms: u64,
    needs: Vec<Need>,
    wake: Arc<Notify>,
    is_done: bool,
}

/// How a held request ended.
#[derive(Debug)]
pub enum Outcome {
    /// It may run once: judge again, then [`Grant::consume`].
    Approved(Grant),
    /// A reviewer said no, or took the approval back.
    Denied {
        /// Who.
        by: Person,
        /// Why.
        reason: String,
    },
    /// Nobody decided in time.
    TimedOut,
    /// It was withdrawn.
    Withdrawn,
    /// The policies changed: ask again.
    Superseded,
}

impl Ticket {
    pub(crate) fn new(desk: Desk, entry: &Entry) -> Self {
        Self {
            desk,
            id: entry.id,
            deadline: entry.deadline,
            expires_ms: entry.expires_ms,
            needs: entry.quorums.needs(),
            wake: Arc::clone(&entry.wake),
            is_done: false,
        }
    }

    /// The request.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// When the hold ends.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When the hold ends, in Unix milliseconds.
    #[must_use]
    pub const fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Who can approve: all of these quorums.
    #[must_use]
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Waits until people decided or the time is over. May be dropped and called again, as in a `select!` loop.
    pub async fn outcome(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.settled() {
                self.is_done = true;
                return outcome;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(self.deadline) => {}
            }
        }
    }

    fn settled(&self) -> Option<Outcome> {
        let book = self.desk.sweep();
        // Only long settled requests are forgotten.
        let Some(entry) = book.entries.get(&self.id) else { return Some(Outcome::TimedOut) };
        let last_word = |otherwise: Outcome| {
            entry
                .votes
                .iter()
                .rev()
                .find(|vote| !vote.approved)
                .map_or(otherwise, |vote| Outcome::Denied { by: vote.by.clone(), reason: vote.reason.clone() })
        };
        match entry.state {
            State::Pending => None,
            State::Granted => Some(Outcome::Approved(Grant::new(self.desk.clone(), entry, true))),
            State::Denied => Some(last_word(Outcome::Superseded)),
            // Either a reviewer took it back or the policies changed.
            State::Revoked => Some(last_word(Outcome::Superseded)),
            State::Superseded => Some(Outcome::Superseded),
            State::TimedOut | State::Expired => Some(Outcome::TimedOut),
            State::Withdrawn | State::Consumed => Some(Outcome::Withdrawn),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut book = self.desk.sweep();
        match book.entries.get_mut(&self.id) {
            Some(entry) if entry.state == State::Pending => {
                self.desk.close(&mut book, self.id, State::Withdrawn, Edge::Withdrawn);
            }
            // Approved a moment before the caller left: the grant stays, and the same caller may run it again.
            Some(entry) => entry.attended = false,
            None => {}
        }
    }
}
