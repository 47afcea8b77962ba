//! One decision with everything that belongs to it.

use std::collections::HashMap;

use grille_policy::{DecisionId, Digest, RequestId, StatementFacts};

use super::{CLOCK_STEP_MAX, Contents, Reader};
use crate::{DecisionRecord, Outcome, ReadError, Record, ReviewEvent, SessionOpen};

/// A decision, and what is needed to understand it and to run it again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecisionFound {
    /// When it was written down, in Unix microseconds.
    pub time: u64,
    /// The opening of its session.
    pub open: SessionOpen<'static>,
    /// The decision.
    pub record: DecisionRecord<'static>,
    /// What the text means; none in records that name no facts.
    pub facts: Option<StatementFacts>,
    /// What happened to its review request until the operation ended, with the times in Unix microseconds.
    pub review: Vec<(u64, ReviewEvent<'static>)>,
    /// How the operation ended, if it has.
    pub outcome: Option<Outcome<'static>>,
}

/// What has been seen on the way.
#[derive(Default)]
struct Seen {
    open: Option<SessionOpen<'static>>,
    facts: HashMap<Digest, StatementFacts>,
    reviews: HashMap<RequestId, Vec<(u64, ReviewEvent<'static>)>>,
    found: Option<DecisionFound>,
}

impl Reader {
    /// A decision by its id; none if there is no such decision. Reads from where its session can have begun to where the
    /// operation ended: ids hold the time at which they were minted.
    pub fn decision(&self, id: DecisionId) -> Result<Option<DecisionFound>, ReadError> {
        let latest = id.session.minted_ms().saturating_mul(1000).saturating_add(CLOCK_STEP_MAX);
        let mut entries = self.session_on(id.session)?;
        let mut seen = Seen::default();
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            let is_own = leaf.sid == id.session;
            let is_over = seen.open.is_some() && (leaf.kind == "node.start" || is_own && leaf.kind == "session.close");
            if is_over || seen.open.is_none() && leaf.log_time > latest {
                break;
            }
            if !is_own && leaf.kind != "review" {
                continue;
            }
            let record = match entries.contents(&leaf, &sealed)? {
                Contents::Open(opened) => opened.record,
                Contents::Sealed(why) if is_own => return Err(ReadError::Sealed { session: id.session, why }),
                Contents::Sealed(_) => None,
            };
            if let Some(record) = record
                && seen.take(id, leaf.log_time, record)
            {
                break;
            }
        }
        Ok(seen.finish())
    }
}

impl Seen {
    /// Takes a record; true once nothing is missing.
    fn take(&mut self, id: DecisionId, time: u64, record: Record<'static>) -> bool {
        match record {
            Record::SessionOpen(open) => self.open = Some(open),
            Record::Facts(facts) => {
                self.facts.insert(facts.digest, facts.facts.into_owned());
            }
            Record::Review(event) => self.reviews.entry(event.request).or_default().push((time, event)),
            Record::Decision(record) if record.id == id => {
                let facts = record.facts.and_then(|digest| self.facts.remove(&digest));
                let Some(open) = self.open.clone() else { return false };
                self.found = Some(DecisionFound { time, open, record, facts, review: Vec::new(), outcome: None });
            }
            Record::Outcome(outcome) if outcome.decision == id => {
                if let Some(found) = &mut self.found {
                    found.outcome = Some(outcome);
                    return true;
                }
            }
            _ => {}
        }
        false
    }

    fn finish(self) -> Option<DecisionFound> {
        let Self { mut found, mut reviews, .. } = self;
        if let Some(found) = &mut found
            && let Some(request) = found.record.request
        {
            found.review = reviews.remove(&request).unwrap_or_default();
        }
        found
    }
}
