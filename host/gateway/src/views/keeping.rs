use grille_admin::view::Hold;
use grille_admin::{HeldObject, Keeping, NotKept, Unreadable};
use grille_ledger::{Held, Ledger, Reader, SealKey, ShredError};
use grille_policy::{BoxFuture, SessionId, Subject};

use super::sessions::unreadable;
use crate::causes::causes;

/// How long the ledger keeps contents.
#[derive(Clone)]
pub struct Contents {
    ledger: Ledger,
    seal: SealKey,
}

impl Contents {
    /// The contents of a ledger that is open.
    #[must_use]
    pub const fn new(ledger: Ledger, seal: SealKey) -> Self {
        Self { ledger, seal }
    }
}

impl Keeping for Contents {
    fn holds(&self) -> Vec<Hold> {
        let hold = |hold: grille_ledger::LegalHold| {
            let (session, subject) = match hold.on {
                Held::Session(id) => (Some(id), None),
                Held::Subject(sub) => (None, Some(sub.into())),
            };
            let (by, reason) = (hold.by.into(), hold.reason.into());
            Hold { session, subject, by, reason, since_ms: hold.since / 1000 }
        };
        self.ledger.holds().into_iter().map(hold).collect()
    }

    fn hold(&self, on: HeldObject, is_held: bool, by: &Subject, reason: &str) -> Result<(), NotKept> {
        let on = match on {
            HeldObject::Session(id) => Held::Session(id),
            HeldObject::Subject(sub) => Held::Subject(sub),
        };
        let done = if is_held { self.ledger.hold(on, by, reason) } else { self.ledger.release(&on, by, reason) };
        done.map_err(not_kept)
    }

    fn shred<'a>(
        &'a self,
        id: SessionId,
        by: &'a Subject,
        reason: &'a str,
        may_be_early: bool,
    ) -> BoxFuture<'a, Result<(), NotKept>> {
        Box::pin(async move { self.ledger.shred(id, by, reason, may_be_early).await.map_err(not_kept) })
    }

    fn tombstone(&self, id: SessionId) -> BoxFuture<'_, Result<Option<String>, Unreadable>> {
        let (path, seal) = (self.ledger.path().to_owned(), self.seal.clone());
        let read = move || Reader::open(&path, Some(seal))?.tombstone(id);
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(read).await.map_err(|error| Unreadable(error.to_string()))?;
            let tombstone = read.map_err(unreadable)?;
            Ok(tombstone.map(|tombstone| {
                let at = i64::try_from(tombstone.at).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
                let at = at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
                let kept = tombstone.retention.as_ref();
                let kept = kept.map(ToString::to_string);
                match (&tombstone.by, kept, tombstone.is_early) {
                    (Some(by), Some(kept), true) => format!(
                        "session {id} was shredded by {} ({}) on {at}, before the end of its {kept}: {}",
                        by.name, by.sub, tombstone.reason
                    ),
                    (Some(by), ..) => {
                        format!("session {id} was shredded by {} ({}) on {at}: {}", by.name, by.sub, tombstone.reason)
                    }
                    (None, kept, _) => format!(
                        "the contents of session {id} were destroyed on {at}, when their time of {} was over; that it was, \
                         and when, is proven as before",
                        kept.unwrap_or_else(|| "retention".to_owned())
                    ),
                }
            }))
        })
    }
}

fn not_kept(error: ShredError) -> NotKept {
    match error {
        ShredError::Read(_) | ShredError::Unwritable(_) | ShredError::Io { .. } => NotKept::Unavailable(causes(&error)),
        error => NotKept::No(error.to_string()),
    }
}
