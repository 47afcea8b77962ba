//! How long contents are kept, and what happens then. What was configured when a session opened is what counts for it; from
//! its end on, the time is counted that the log saw pass (`passed.rs`). What is due when stands in a calendar beside the log
//! (`calendar.rs`), so that nobody reads the whole log to find it.

mod calendar;
mod passed;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grille_policy::SessionId;
use serde::{Deserialize, Serialize};

use crate::record::ShredRecord;
use crate::session::Position;
use crate::shred::Doomed;
use crate::{Ledger, ReadError, Reader, ShredError, Unwritable};

pub(crate) use calendar::Calendar;
use calendar::{Due, Row};

/// Six years of 366 days: what 45 CFR 164.316(b)(2)(i) asks of documentation.
pub(crate) const SIX_YEARS: Duration = Duration::from_secs(6 * 366 * 86_400);
/// The class of sessions whose target says nothing.
const LEDGER: &str = "ledger";
/// Segments that one step reads: a second or two, so that others get at the calendar between.
const SEGMENTS_PER_STEP: u32 = 4;
/// Sessions that end under one sync. Their records stand in `shredding` until it is done.
const SESSIONS_PER_STEP: usize = 256;

/// How long a session's contents are kept, counted from its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention<'a> {
    /// What says so: `ledger`, or `targets.NAME`.
    pub class: Cow<'a, str>,
    /// How long.
    pub seconds: u64,
}

impl Retention<'_> {
    /// What counts where a target says nothing.
    pub(crate) const fn of_ledger(time: Duration) -> Retention<'static> {
        Retention { class: Cow::Borrowed(LEDGER), seconds: time.as_secs() }
    }

    /// What a target says.
    #[must_use]
    pub fn of_target(name: &str, time: Duration) -> Retention<'static> {
        Retention { class: format!("targets.{name}").into(), seconds: time.as_secs() }
    }

    pub(crate) const fn micros(&self) -> u64 {
        self.seconds.saturating_mul(1_000_000)
    }
}

impl fmt::Display for Retention<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.seconds / 86_400;
        write!(f, "{days} day{} ({})", if days == 1 { "" } else { "s" }, self.class)
    }
}

/// What happens to contents whose retention is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// They stay until somebody destroys them.
    #[default]
    Keep,
    /// They are destroyed, unless a legal hold is in force.
    Shred,
}

/// How retentions stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// Sessions whose retention is over and whose contents are there.
    pub past: u64,
    /// Sessions whose contents were destroyed at the end of their retention since the start.
    pub destroyed: u64,
    /// How far the clock leapt without the log seeing that time pass, in microseconds; it counts for no retention.
    pub leapt: u64,
}

impl Ledger {
    /// One bounded step of what the end of retentions takes. True if there is more to do at once.
    pub async fn end_retentions(&self) -> Result<bool, ShredError> {
        // What was written just now counts, too: after a start that is the record of it, with all the time before.
        let written = self.shared().wal.lock().written();
        if let Some(index) = written.checked_sub(1) {
            self.durable(Position { index }).await?;
        }
        let ledger = self.clone();
        let due = tokio::task::spawn_blocking(move || ledger.due()).await;
        let due = due.map_err(|_| Unwritable::Stopped { why: "reading what is due panicked".into() })??;
        let Some(due) = due else { return Ok(true) };
        if due.rows.is_empty() {
            return Ok(false);
        }
        let doomed = due.doomed.iter().map(|(_, doomed)| doomed.clone()).collect();
        let held = self.destroy_unheld(doomed).await;
        let mut calendar = self.shared().calendar.lock();
        let mut destroyed = 0;
        for (place, (row, _)) in due.doomed.iter().enumerate() {
            match held.as_ref().map(|held| held.get(place)) {
                Ok(Some(None)) => destroyed += 1,
                // Also where it failed: what was destroyed before it did is found so next time.
                _ => calendar.keep(row),
            }
        }
        self.shared().expired.fetch_add(destroyed, Ordering::Relaxed);
        self.note_past(&calendar)?;
        held.map(|_| true)
    }

    /// How retentions stand, as of the last step.
    pub(crate) fn retained(&self) -> Retained {
        let shared = self.shared();
        Retained {
            past: shared.past.load(Ordering::Relaxed),
            destroyed: shared.expired.load(Ordering::Relaxed),
            leapt: shared.leapt.load(Ordering::Relaxed),
        }
    }

    /// The sessions that are to end next; none while there is more to be read first.
    fn due(&self) -> Result<Option<DueSessions>, ShredError> {
        let reader = self.own_reader()?;
        let mut calendar = self.shared().calendar.lock();
        if !calendar.catch_up(&reader, *self.shared().synced.borrow(), SEGMENTS_PER_STEP)? {
            return Ok(None);
        }
        let mut due = DueSessions::default();
        if self.shared().at_end == AtEnd::Shred {
            due.rows = calendar.due(SESSIONS_PER_STEP)?;
            for row in &due.rows {
                match calendar.read(&reader, row)? {
                    Due::Destroyed => {}
                    Due::Now { subject, retention, key } => {
                        let record = ShredRecord {
                            by: None,
                            session: row.session,
                            keys: vec![key],
                            reason: "its retention is over".into(),
                            retention: Some(retention),
                            is_early: false,
                        };
                        due.doomed.push((row.clone(), Doomed { record, subject }));
                    }
                    Due::Later => {
                        tracing::warn!("what is due when does not agree with the log: it is worked out again");
                        calendar.begin_anew()?;
                        return Ok(None);
                    }
                }
            }
        }
        self.note_past(&calendar)?;
        Ok(Some(due))
    }

    fn note_past(&self, calendar: &Calendar) -> Result<(), ReadError> {
        self.shared().past.store(calendar.past()?, Ordering::Relaxed);
        self.shared().leapt.store(calendar.leapt(), Ordering::Relaxed);
        Ok(())
    }

    /// Until when a session is kept that ended with record `index` at `ended`, in Unix microseconds; none if that is over.
    pub(crate) fn kept_until(
        &self,
        retention: &Retention<'_>,
        index: u64,
        ended: u64,
    ) -> Result<Option<u64>, ShredError> {
        let reader = self.own_reader()?;
        let mut calendar = self.shared().calendar.lock();
        calendar.catch_up(&reader, *self.shared().synced.borrow(), u32::MAX)?;
        Ok(calendar.kept_until(retention, index, ended))
    }

    pub(crate) fn default_retention(&self) -> Retention<'static> {
        Retention::of_ledger(self.shared().retention)
    }

    pub(crate) fn own_reader(&self) -> Result<Reader, ReadError> {
        Reader::open(self.path(), Some(self.shared().seal_key().clone()))
    }

    /// A session that somebody destroyed is not due any more.
    pub(crate) fn forget_due(&self, session: SessionId) {
        if let Err(error) = self.shared().calendar.lock().forget(session) {
            tracing::warn!(%session, %error, "a destroyed session is counted as past its retention until the next start");
        }
    }
}

/// What the calendar has next, and what of it is there to be destroyed.
#[derive(Default)]
struct DueSessions {
    rows: Vec<Row>,
    doomed: Vec<(Row, Doomed<'static>)>,
}

#[cfg(test)]
mod tests;
