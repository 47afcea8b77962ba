//! Which records go into a bundle.

use std::collections::{BTreeMap, BTreeSet};

use grille_policy::{RequestId, SessionId};

use super::ExportError;
use super::sheet::OPERATIONS_MAX;
use crate::leaf::Leaf;
use crate::reader::{Entries, Reader, SessionEnd};
use crate::{Checkpoint, Held, Record, SessionOpen, SessionQuery};

/// The sessions of a bundle and the node's own records that belong to them.
pub(super) struct Picked {
    pub(super) checkpoint: Checkpoint,
    /// The checkpoint as it was published.
    pub(super) note: String,
    pub(super) sessions: BTreeMap<SessionId, PickedSession>,
    /// Their indexes.
    pub(super) node: BTreeSet<u64>,
}

/// A session as far as the checkpoint covers it.
pub(super) struct PickedSession {
    pub(super) records: u64,
    pub(super) end: SessionEnd,
    /// Where it begins: every session is read from there on, however many there are.
    pub(super) open: Leaf,
    pub(super) index: u64,
    pub(super) first: u64,
    last: u64,
    operations: usize,
    is_matched: bool,
    /// The starts of the node and the policy sets that decided.
    sets: BTreeSet<(usize, u64)>,
    requests: BTreeSet<RequestId>,
    /// The person, by `sub`, unless that is sealed.
    subject: Option<String>,
    /// The keys by which the issuer's tokens were checked when it began.
    keys: Option<u64>,
}

/// The node's own records, by what they are about.
#[derive(Default)]
struct Node {
    starts: Vec<u64>,
    /// Where the clock was set, and in which run of the node.
    steps: Vec<(usize, u64)>,
    changes: Vec<(usize, u64, u64)>,
    reviews: Vec<(RequestId, u64)>,
    reads: Vec<(SessionId, u64)>,
    holds: Vec<(Held, u64)>,
    shreds: Vec<(SessionId, u64)>,
    /// The last keys of each issuer.
    keys: BTreeMap<String, u64>,
    /// The last export: this one.
    export: Option<u64>,
}

pub(super) fn pick(
    reader: &Reader,
    query: &SessionQuery,
    checkpoint: Checkpoint,
    note: String,
    node_records: &BTreeSet<u64>,
) -> Result<Picked, ExportError> {
    let mut sessions: BTreeMap<SessionId, PickedSession> = BTreeMap::new();
    let mut node = Node::default();
    let mut entries = reader.records()?;
    while let Some((leaf, sealed)) = entries.next_leaf()? {
        let index = entries.index();
        if index >= checkpoint.size {
            break;
        }
        match leaf.kind.as_str() {
            "node.start" => {
                node.starts.push(index);
                for session in sessions.values_mut().filter(|session| session.end == SessionEnd::Open) {
                    session.end = SessionEnd::Lost;
                }
            }
            "clock.step" => node.steps.push((node.starts.len(), index)),
            "policy.change" | "review" | "read" | "hold" | "shred" | "key.event" => {
                node.take(index, &leaf, entries.open_record(&leaf, &sealed)?)
            }
            "session.open" => {
                let open = opening(&leaf, &mut entries, &sealed)?;
                if is_candidate(query, &leaf, open.as_ref()) {
                    let mut session = PickedSession::begin(&leaf, index, query);
                    session.note_set(&node, &leaf);
                    session.note_subject(&node, open.as_ref());
                    sessions.insert(leaf.sid, session);
                }
            }
            _ => {
                let Some(session) = sessions.get_mut(&leaf.sid) else { continue };
                session.records += 1;
                session.last = leaf.log_time;
                if leaf.kind == "decision" {
                    session.operations += 1;
                    session.note_set(&node, &leaf);
                    if let Some(Record::Decision(record)) = entries.open_record(&leaf, &sealed)? {
                        session.requests.extend(record.request);
                        session.is_matched |= query.admits_operation(&record);
                    }
                }
                if leaf.kind == "session.close" {
                    session.end = SessionEnd::Closed(None);
                    if !session.is_wanted(query) {
                        sessions.remove(&leaf.sid);
                    }
                }
            }
        }
    }
    if reader.is_kept() {
        // Nobody goes on with it, and this look is a record of the log that follows.
        for session in sessions.values_mut().filter(|session| session.end == SessionEnd::Open) {
            session.end = SessionEnd::Lost;
        }
        node.export = None;
    }
    sessions.retain(|_, session| session.is_wanted(query));
    if sessions.values().map(|session| session.operations).sum::<usize>() > OPERATIONS_MAX {
        return Err(ExportError::TooLarge { limit: OPERATIONS_MAX });
    }
    let node = node.of(&sessions, node_records);
    Ok(Picked { checkpoint, note, sessions, node })
}

fn opening(leaf: &Leaf, entries: &mut Entries, sealed: &[u8]) -> Result<Option<SessionOpen<'static>>, ExportError> {
    Ok(match entries.open_record(leaf, sealed)? {
        Some(Record::SessionOpen(open)) => Some(open),
        _ => None,
    })
}

/// Whether a session that begins may be meant. One whose key was destroyed is known by its id alone.
fn is_candidate(query: &SessionQuery, leaf: &Leaf, open: Option<&SessionOpen<'_>>) -> bool {
    if !query.sessions.is_empty() && !query.sessions.contains(&leaf.sid) {
        return false;
    }
    match open {
        Some(open) => query.admits_session(&open.facts),
        None => query.subject.is_none() && query.target.is_none() && !query.is_about_operations(),
    }
}

impl PickedSession {
    fn begin(leaf: &Leaf, index: u64, query: &SessionQuery) -> Self {
        Self {
            records: 1,
            end: SessionEnd::Open,
            open: leaf.clone(),
            index,
            first: leaf.log_time,
            last: leaf.log_time,
            operations: 0,
            is_matched: !query.is_about_operations(),
            sets: BTreeSet::new(),
            requests: BTreeSet::new(),
            subject: None,
            keys: None,
        }
    }

    fn note_subject(&mut self, node: &Node, open: Option<&SessionOpen<'_>>) {
        let Some(open) = open else { return };
        let subject = &open.facts.subject;
        self.keys = node.keys.get(&*subject.issuer).copied();
        self.subject = Some(subject.sub.to_string());
    }

    fn note_set(&mut self, node: &Node, leaf: &Leaf) {
        self.sets.insert((node.starts.len(), leaf.epoch.unwrap_or_default()));
    }

    fn is_wanted(&self, query: &SessionQuery) -> bool {
        self.is_matched && query.admits_time(self.first, self.last)
    }
}

impl Node {
    fn take(&mut self, index: u64, leaf: &Leaf, record: Option<Record<'static>>) {
        match record {
            Some(Record::PolicyChange(change)) if change.refused.is_none() => {
                self.changes.push((self.starts.len(), leaf.epoch.unwrap_or_default(), index));
            }
            Some(Record::Review(event)) => self.reviews.push((event.request, index)),
            Some(Record::Shred(shred)) => self.shreds.push((shred.session, index)),
            Some(Record::Read(read)) => {
                self.reads.extend(read.session.map(|session| (session, index)));
                if read.action == "ledger.export" {
                    self.export = Some(index);
                }
            }
            Some(Record::Hold(hold)) => self.holds.push((hold.on, index)),
            Some(Record::Keys(event)) if event.failure.is_none() => {
                self.keys.insert(event.issuer.into_owned(), index);
            }
            _ => {}
        }
    }

    /// The indexes of those that belong to these sessions.
    fn of(self, sessions: &BTreeMap<SessionId, PickedSession>, wanted: &BTreeSet<u64>) -> BTreeSet<u64> {
        let sets: BTreeSet<(usize, u64)> = sessions.values().flat_map(|session| session.sets.clone()).collect();
        let requests: BTreeSet<RequestId> = sessions.values().flat_map(|session| session.requests.clone()).collect();
        let mut node = wanted.clone();
        node.extend(self.changes.iter().filter(|(start, set, _)| sets.contains(&(*start, *set))).map(|(.., at)| *at));
        node.extend(self.reviews.iter().filter(|(request, _)| requests.contains(request)).map(|(_, at)| *at));
        let of_sessions = self.reads.iter().chain(&self.shreds);
        node.extend(of_sessions.filter(|(session, _)| sessions.contains_key(session)).map(|(_, at)| *at));
        let subjects: BTreeSet<&str> = sessions.values().filter_map(|session| session.subject.as_deref()).collect();
        let is_held = |held: &Held| match held {
            Held::Session(session) => sessions.contains_key(session),
            Held::Subject(sub) => subjects.contains(&**sub),
        };
        node.extend(self.holds.iter().filter(|(held, _)| is_held(held)).map(|(_, at)| *at));
        node.extend(sessions.values().filter_map(|session| session.keys));
        node.extend(self.export);
        // Every record stands between a start and, where the clock was set, the steps that explain its time.
        let firsts = sessions.values().map(|session| session.index);
        let run = |index: u64| self.starts.partition_point(|&start| start <= index);
        let runs: BTreeSet<usize> = node.iter().copied().chain(firsts).map(run).collect();
        node.extend(runs.iter().filter_map(|run| self.starts.get(run.checked_sub(1)?)));
        node.extend(self.steps.iter().filter(|(run, _)| runs.contains(run)).map(|(_, at)| *at));
        node
    }
}
