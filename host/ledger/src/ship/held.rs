use std::collections::HashSet;

use grille_policy::SessionId;

use crate::ledger::Shared;
use crate::{Held, ReadError, Reader, Record};

/// The sessions under a legal hold, as far as the segments were looked at.
#[derive(Default)]
pub(super) struct HeldSessions {
    of_subjects: HashSet<SessionId>,
}

impl HeldSessions {
    /// Whether a segment has records of one of them. Segments come in their order, because only a session's beginning says
    /// whose it is.
    pub(super) fn touch(&mut self, shared: &Shared, segment: u32) -> Result<bool, ReadError> {
        let (mut sessions, mut subjects) = (HashSet::new(), HashSet::new());
        for hold in shared.holds.lock().iter() {
            match &hold.on {
                Held::Session(id) => drop(sessions.insert(*id)),
                Held::Subject(sub) => drop(subjects.insert(sub.clone())),
            }
        }
        if sessions.is_empty() && subjects.is_empty() {
            return Ok(false);
        }
        let mut is_held = false;
        let mut entries = Reader::open(&shared.dir, Some(shared.seal_key().clone()))?.segment_on(segment)?;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            if entries.segment() != segment {
                break;
            }
            if leaf.kind == "session.open"
                && !subjects.is_empty()
                && let Some(Record::SessionOpen(open)) = entries.open_record(&leaf, &sealed)?
                && subjects.contains(&*open.facts.subject.sub)
            {
                self.of_subjects.insert(leaf.sid);
            }
            is_held |= sessions.contains(&leaf.sid) || self.of_subjects.contains(&leaf.sid);
        }
        Ok(is_held)
    }
}
