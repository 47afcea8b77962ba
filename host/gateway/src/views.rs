//! What the admin API shows, out of the ledger, the live sessions, the policies and the configuration.

mod decisions;
mod evidence;
mod keeping;
mod sessions;

use std::sync::Arc;

use grille_policy::{SessionFacts, SessionId};

pub use decisions::Decisions;
pub use evidence::Evidence;
pub use keeping::Contents;
pub use sessions::{Live, Sessions};

impl Live for grille_postgres::LiveSessions {
    fn list(&self) -> Vec<(Arc<SessionFacts>, u64)> {
        self.list().into_iter().map(|session| (session.facts, session.operations)).collect()
    }

    fn end(&self, id: SessionId, reason: &str) -> bool {
        self.end(id, reason)
    }
}
