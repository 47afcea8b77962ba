//! Sessions at a glance.

use std::collections::BTreeMap;

use grille_policy::{SessionFacts, SessionId};

use super::{Places, Reader};
use crate::index::{Index, Traced, Unusable, Verdict};
use crate::leaf::Leaf;
use crate::{ReadError, Record};

/// One session at a glance.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionSummary {
    /// The session.
    pub id: SessionId,
    /// Who, from where, to which target; none where the contents are sealed from this reader.
    pub facts: Option<SessionFacts>,
    /// The time of its first record, in Unix microseconds.
    pub first: u64,
    /// The time of its last one.
    pub last: u64,
    /// How many records it has.
    pub records: u64,
    /// Operations that were decided.
    pub operations: u64,
    /// How many of them were allowed.
    pub allowed: u64,
    /// How many waited for people.
    pub reviewed: u64,
    /// How many were refused.
    pub blocked: u64,
    /// How it ended.
    pub end: SessionEnd,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// Not yet.
    Open,
    /// In order, for this reason; none where the contents are sealed from this reader.
    Closed(Option<String>),
    /// Its node stopped before it.
    Lost,
}

impl Reader {
    /// The newest `limit` sessions, newest first.
    pub fn sessions(&self, limit: usize) -> Result<Vec<SessionSummary>, ReadError> {
        match self.by_index(|index| self.indexed_sessions(index, limit)) {
            Some(sessions) => Ok(sessions),
            None => self.scan_sessions(limit),
        }
    }

    /// Opens two records of each session.
    pub(crate) fn indexed_sessions(&self, index: &Index<'_>, limit: usize) -> Result<Vec<SessionSummary>, Unusable> {
        let (mut newest, mut places) = (index.newest()?, Places::of(self));
        let mut sessions = Vec::new();
        while sessions.len() < limit
            && let Some(traced) = newest.next()?
        {
            let facts = match places.opening(&traced)? {
                Some(Record::SessionOpen(open)) => Some(open.facts.into_owned()),
                _ => None,
            };
            let mut session = SessionSummary::trace(&traced, facts);
            if let Some(close) = places.closing(&traced)? {
                session.end = SessionEnd::Closed(match close {
                    Some(Record::SessionClose(close)) => Some(close.reason.into_owned()),
                    _ => None,
                });
            }
            sessions.push(session);
        }
        Ok(sessions)
    }

    fn scan_sessions(&self, limit: usize) -> Result<Vec<SessionSummary>, ReadError> {
        let mut sessions: BTreeMap<SessionId, SessionSummary> = BTreeMap::new();
        let mut entries = self.records()?;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            if leaf.kind == "node.start" && leaf.seq == 0 {
                for session in sessions.values_mut().filter(|session| session.end == SessionEnd::Open) {
                    session.end = SessionEnd::Lost;
                }
            }
            if leaf.kind == "session.open" {
                let facts = match entries.open_record(&leaf, &sealed)? {
                    Some(Record::SessionOpen(open)) => Some(open.facts.into_owned()),
                    _ => None,
                };
                sessions.insert(leaf.sid, SessionSummary::begin(&leaf, facts));
                if sessions.len() > limit {
                    sessions.pop_first();
                }
                continue;
            }
            let Some(session) = sessions.get_mut(&leaf.sid) else { continue };
            session.count(&leaf);
            if leaf.kind == "session.close" {
                let reason = match entries.open_record(&leaf, &sealed)? {
                    Some(Record::SessionClose(close)) => Some(close.reason.into_owned()),
                    _ => None,
                };
                session.end = SessionEnd::Closed(reason);
            }
        }
        if self.is_kept {
            for session in sessions.values_mut().filter(|session| session.end == SessionEnd::Open) {
                session.end = SessionEnd::Lost;
            }
        }
        Ok(sessions.into_values().rev().collect())
    }
}
impl SessionSummary {
    pub(crate) fn begin(leaf: &Leaf, facts: Option<SessionFacts>) -> Self {
        Self {
            id: leaf.sid,
            facts,
            first: leaf.log_time,
            last: leaf.log_time,
            records: 1,
            operations: 0,
            allowed: 0,
            reviewed: 0,
            blocked: 0,
            end: SessionEnd::Open,
        }
    }

    /// What leaves tell of it; its end is lost or open.
    pub(crate) fn trace(traced: &Traced, facts: Option<SessionFacts>) -> Self {
        let (first, last) = traced.span();
        Self {
            id: traced.id(),
            facts,
            first,
            last,
            records: traced.records(),
            operations: traced.count(|_| true),
            allowed: traced.count(|verdict| verdict == Verdict::Allow),
            reviewed: traced.count(|verdict| verdict == Verdict::Review),
            blocked: traced.count(|verdict| matches!(verdict, Verdict::Block | Verdict::Other)),
            end: if traced.is_outlived() { SessionEnd::Lost } else { SessionEnd::Open },
        }
    }

    /// Takes in a further record of the session.
    pub(crate) fn count(&mut self, leaf: &Leaf) {
        self.records += 1;
        self.last = leaf.log_time;
        if leaf.kind == "decision" {
            self.operations += 1;
            match leaf.verdict.as_deref() {
                Some("allow") => self.allowed += 1,
                Some("review") => self.reviewed += 1,
                _ => self.blocked += 1,
            }
        }
    }
}
