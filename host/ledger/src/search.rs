//! Finding sessions by who, where, when, what was asked, and what decided.

use std::collections::BTreeMap;

use grille_policy::{DecisionId, RelationUse, SessionFacts, SessionId};

use crate::index::{Index, Traced, Unusable, Verdict};
use crate::leaf::Leaf;
use crate::reader::{Places, Reader, SessionEnd, SessionSummary};
use crate::session::target_pseudonym;
use crate::{DecisionRecord, ReadError, Record};

/// Operations of one session that are told; the session has more.
const MATCHES_MAX: usize = 20;

/// Which sessions are meant. What is absent does not matter; everything else has to hold, that on operations for one
/// and the same operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// One of these; empty for all.
    pub sessions: Vec<SessionId>,
    /// The person's `sub` or name, or the `sub` of an agent who acts for them.
    pub subject: Option<String>,
    /// The target's name.
    pub target: Option<String>,
    /// From this time on, in Unix microseconds.
    pub from: Option<u64>,
    /// Until before this time, in Unix microseconds.
    pub to: Option<u64>,
    /// A relation that is named, as `schema.name` or by its name alone.
    pub relation: Option<String>,
    /// A part of the text, whatever its case.
    pub text: Option<String>,
    /// `allow`, `review` or `block`.
    pub verdict: Option<String>,
    /// The name of a policy that was asked.
    pub policy: Option<String>,
    /// The beginning of the digest of a component that was asked.
    pub plugin: Option<String>,
}

impl SessionQuery {
    /// For people and for the record of the search: what was asked for, in the order of the fields.
    #[must_use]
    pub fn describe(&self) -> String {
        let sessions = self.sessions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let time = |time: &Option<u64>| time.map(|time| time.to_string());
        let parts = [
            ("session", Some(sessions).filter(|sessions| !sessions.is_empty())),
            ("subject", self.subject.clone()),
            ("target", self.target.clone()),
            ("from", time(&self.from)),
            ("to", time(&self.to)),
            ("relation", self.relation.clone()),
            ("text", self.text.clone()),
            ("verdict", self.verdict.clone()),
            ("policy", self.policy.clone()),
            ("plugin", self.plugin.clone()),
        ];
        let said: Vec<String> =
            parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
        if said.is_empty() { "everything".to_owned() } else { said.join(" ") }
    }

    /// Whether anything is asked of operations.
    pub(crate) const fn is_about_operations(&self) -> bool {
        self.relation.is_some()
            || self.text.is_some()
            || self.verdict.is_some()
            || self.policy.is_some()
            || self.plugin.is_some()
    }

    pub(crate) fn admits_session(&self, facts: &SessionFacts) -> bool {
        let subject = &facts.subject;
        (self.sessions.is_empty() || self.sessions.contains(&facts.id))
            && self.target.as_ref().is_none_or(|target| **target == *facts.target)
            && self.subject.as_ref().is_none_or(|wanted| {
                **wanted == *subject.sub
                    || **wanted == *subject.name
                    || subject.actors.iter().any(|actor| **wanted == *actor.sub)
            })
    }

    /// Whether something between these two times lies in the range, in Unix microseconds.
    pub(crate) fn admits_time(&self, first: u64, last: u64) -> bool {
        self.from.is_none_or(|from| last >= from) && self.to.is_none_or(|to| first < to)
    }

    /// Whether a session may be meant, by what its leaves tell.
    fn may_admit(&self, traced: &Traced, target: Option<&str>) -> bool {
        if !self.sessions.is_empty() && !self.sessions.contains(&traced.id())
            || target.is_some_and(|target| traced.target() != Some(target))
        {
            return false;
        }
        if !self.is_about_operations() {
            let (first, last) = traced.span();
            return self.admits_time(first, last);
        }
        traced.decided().is_some_and(|(earliest, latest)| self.admits_time(earliest, latest))
            && traced.decisions().any(|(.., verdict)| self.may_admit_verdict(verdict))
    }

    fn may_admit_verdict(&self, verdict: Verdict) -> bool {
        self.verdict.as_deref().is_none_or(|wanted| verdict == Verdict::Other || verdict == Verdict::of(Some(wanted)))
    }

    /// Whether a decision may be meant, by its leaf.
    fn admits_decision(&self, leaf: &Leaf) -> bool {
        self.admits_time(leaf.log_time, leaf.log_time)
            && self.verdict.as_ref().is_none_or(|verdict| leaf.verdict.as_ref() == Some(verdict))
    }

    pub(crate) fn admits_operation(&self, record: &DecisionRecord<'_>) -> bool {
        let opinions = &record.decision.opinions;
        self.verdict.as_ref().is_none_or(|verdict| verdict == record.decision.verdict.name())
            && self.relation.as_ref().is_none_or(|wanted| record.relations.iter().any(|used| names(used, wanted)))
            && self.text.as_ref().is_none_or(|text| record.text.to_lowercase().contains(&text.to_lowercase()))
            && self.policy.as_ref().is_none_or(|policy| opinions.iter().any(|one| *one.policy == **policy))
            && self
                .plugin
                .as_ref()
                .is_none_or(|digest| opinions.iter().any(|one| one.plugin.to_string().starts_with(digest)))
    }
}

/// Whether a relation goes by this name, with or without its schema.
fn names(used: &RelationUse, wanted: &str) -> bool {
    *used.relation.name == *wanted || used.relation.to_string() == wanted
}

/// A session that was looked for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionFound {
    /// The session at a glance.
    pub session: SessionSummary,
    /// The first of its operations that match; empty where nothing was asked of operations.
    pub matches: Vec<Match>,
    /// How many more match.
    pub more: u64,
}

/// An operation that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Match {
    /// The decision.
    pub decision: DecisionId,
    /// When it was written down, in Unix microseconds.
    pub time: u64,
    /// `allow`, `review` or `block`.
    pub verdict: &'static str,
    /// The text.
    pub text: String,
}

impl Reader {
    /// The newest `limit` sessions that match, newest first; sessions that are sealed from this reader match nothing.
    /// Opens what the index leaves in question until there are enough, or reads the log once.
    pub fn search(&self, query: &SessionQuery, limit: usize) -> Result<Vec<SessionFound>, ReadError> {
        match self.by_index(|index| self.indexed_search(index, query, limit)) {
            Some(found) => Ok(found),
            None => self.search_all(query, limit),
        }
    }

    pub(crate) fn indexed_search(
        &self,
        index: &Index<'_>,
        query: &SessionQuery,
        limit: usize,
    ) -> Result<Vec<SessionFound>, Unusable> {
        let limit = if query.sessions.is_empty() { limit } else { limit.min(query.sessions.len()) };
        let target = query.target.as_ref().and_then(|target| Some(target_pseudonym(self.seal()?, target)));
        let (mut newest, mut places) = (index.newest()?, Places::of(self));
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(traced) = newest.next()?
        {
            if !query.may_admit(&traced, target.as_deref()) {
                continue;
            }
            let Some(Record::SessionOpen(open)) = places.opening(&traced)? else { continue };
            if !query.admits_session(&open.facts) {
                continue;
            }
            let session = SessionSummary::trace(&traced, Some(open.facts.into_owned()));
            let mut one = SessionFound { session, matches: Vec::new(), more: 0 };
            if query.is_about_operations() {
                for (segment, offset, verdict) in traced.decisions() {
                    if !query.may_admit_verdict(verdict) {
                        continue;
                    }
                    let leaf = places.leaf((segment, offset), Some(traced.id()), "decision")?;
                    if query.admits_decision(&leaf)
                        && let Some(Record::Decision(record)) = places.record(&leaf)?
                    {
                        one.take(query, &leaf, record);
                    }
                }
            }
            if one.is_wanted(query) {
                if let Some(Some(Record::SessionClose(close))) = places.closing(&traced)? {
                    one.session.end = SessionEnd::Closed(Some(close.reason.into_owned()));
                }
                found.push(one);
            }
        }
        Ok(found)
    }

    fn search_all(&self, query: &SessionQuery, limit: usize) -> Result<Vec<SessionFound>, ReadError> {
        let mut found: BTreeMap<SessionId, SessionFound> = BTreeMap::new();
        let mut entries = self.records()?;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            if leaf.kind == "node.start" && leaf.seq == 0 {
                for one in found.values_mut().filter(|one| one.session.end == SessionEnd::Open) {
                    one.session.end = SessionEnd::Lost;
                }
            }
            if leaf.kind == "session.open" {
                if let Some(Record::SessionOpen(open)) = entries.open_record(&leaf, &sealed)?
                    && query.admits_session(&open.facts)
                {
                    let session = SessionSummary::begin(&leaf, Some(open.facts.into_owned()));
                    found.insert(leaf.sid, SessionFound { session, matches: Vec::new(), more: 0 });
                }
                continue;
            }
            let Some(one) = found.get_mut(&leaf.sid) else { continue };
            one.session.count(&leaf);
            let is_close = leaf.kind == "session.close";
            let is_asked = leaf.kind == "decision" && query.is_about_operations() && query.admits_decision(&leaf);
            if !is_close && !is_asked {
                continue;
            }
            match entries.open_record(&leaf, &sealed)? {
                Some(Record::SessionClose(close)) => {
                    one.session.end = SessionEnd::Closed(Some(close.reason.into_owned()));
                    if !one.is_wanted(query) {
                        found.remove(&leaf.sid);
                    } else if found.len() > limit.saturating_mul(2).saturating_add(1024) {
                        // Live ones that match nothing yet stand among them, so more than the limit are kept.
                        thin_out(&mut found, query, limit);
                    }
                }
                Some(Record::Decision(record)) => one.take(query, &leaf, record),
                _ => {}
            }
        }
        found.retain(|_, one| one.is_wanted(query));
        if self.is_kept() {
            for one in found.values_mut().filter(|one| one.session.end == SessionEnd::Open) {
                one.session.end = SessionEnd::Lost;
            }
        }
        Ok(found.into_values().rev().take(limit).collect())
    }
}

impl SessionFound {
    /// Takes in an operation, if it is meant.
    fn take(&mut self, query: &SessionQuery, leaf: &Leaf, record: DecisionRecord<'_>) {
        if !query.admits_operation(&record) {
            return;
        }
        if self.matches.len() >= MATCHES_MAX {
            self.more += 1;
            return;
        }
        self.matches.push(Match {
            decision: record.id,
            time: leaf.log_time,
            verdict: record.decision.verdict.name(),
            text: record.text.into_owned(),
        });
    }

    fn is_wanted(&self, query: &SessionQuery) -> bool {
        if query.is_about_operations() {
            return !self.matches.is_empty();
        }
        query.admits_time(self.session.first, self.session.last)
    }
}

/// Forgets the oldest sessions beyond the newest `limit` that are wanted for certain.
fn thin_out(found: &mut BTreeMap<SessionId, SessionFound>, query: &SessionQuery, limit: usize) {
    let wanted = found.iter().rev().filter(|(_, one)| one.is_wanted(query)).map(|(id, _)| *id);
    if let Some(oldest) = wanted.take(limit).last() {
        found.retain(|id, one| *id >= oldest || one.session.end == SessionEnd::Open);
    }
}
