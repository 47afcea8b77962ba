//! What a report tells, gathered while the records are written.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use grille_policy::{DecisionId, Epoch, Mode, RequestId, SessionFacts, SessionId, Subject, Verdict};

use super::pages;
use super::pick::PickedSession;
use super::{ExportError, ExportOptions};
use crate::reader::Entry;
use crate::{By, Chunk, DecisionRecord, MaskedColumn, Outcome, PolicyInForce, Record, ShredRecord};

/// Operations of one bundle: its report is held in memory.
pub(super) const OPERATIONS_MAX: usize = 200_000;
/// A text in a report is cut to this; the records have all of it.
const TEXT_CHARACTERS: usize = 2_000;

pub(super) struct Sheet {
    pub(super) query: String,
    pub(super) by: String,
    pub(super) at: u64,
    pub(super) with_contents: bool,
    pub(super) sessions: BTreeMap<SessionId, SessionSheet>,
    pub(super) operations: Vec<OperationSheet>,
    pub(super) reviews: Vec<ReviewSheet>,
    pub(super) policies: Vec<PolicySheet>,
    pub(super) looks: Vec<LookSheet>,
    pub(super) keys: Vec<KeySheet>,
    places: HashMap<DecisionId, usize>,
}

#[derive(Default)]
pub(super) struct SessionSheet {
    /// None where the key was destroyed.
    pub(super) facts: Option<SessionFacts>,
    pub(super) masked: bool,
    /// How long its contents are kept, as far as that was recorded.
    pub(super) kept: Option<String>,
    /// How they ended.
    pub(super) destroyed: Option<String>,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) records: u64,
    pub(super) end: String,
    /// Rows that the caller saw and that are not kept.
    pub(super) elided: u64,
}

pub(super) struct OperationSheet {
    pub(super) id: DecisionId,
    pub(super) index: u64,
    pub(super) time: u64,
    pub(super) text: String,
    pub(super) verdict: &'static str,
    pub(super) reason: Option<Arc<str>>,
    pub(super) policies: Vec<String>,
    pub(super) request: Option<RequestId>,
    pub(super) justification: Option<String>,
    pub(super) outcome: Option<Ended>,
}

pub(super) struct Ended {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sqlstate: Option<String>,
    pub(super) masked: Vec<MaskedColumn<'static>>,
}

pub(super) struct ReviewSheet {
    pub(super) index: u64,
    pub(super) time: u64,
    pub(super) request: RequestId,
    pub(super) event: String,
    pub(super) by: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) is_signed: bool,
}

pub(super) struct PolicySheet {
    pub(super) index: u64,
    pub(super) time: u64,
    pub(super) epoch: Epoch,
    pub(super) by: String,
    pub(super) policies: Vec<(String, PolicyInForce)>,
    pub(super) weakening: Vec<String>,
}

pub(super) struct LookSheet {
    pub(super) index: u64,
    pub(super) time: u64,
    pub(super) by: String,
    pub(super) action: String,
    pub(super) of: String,
}

pub(super) struct KeySheet {
    pub(super) index: u64,
    pub(super) time: u64,
    pub(super) issuer: String,
    /// Name and thumbprint.
    pub(super) keys: Vec<String>,
}

impl Sheet {
    pub(super) fn new(query: String, options: &ExportOptions<'_>) -> Self {
        Self {
            query,
            by: options.by.to_owned(),
            at: options.at,
            with_contents: options.with_contents,
            sessions: BTreeMap::new(),
            operations: Vec::new(),
            reviews: Vec::new(),
            policies: Vec::new(),
            looks: Vec::new(),
            keys: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Takes in a record of the node.
    pub(super) fn node(&mut self, index: u64, time: u64, record: &Record<'_>) {
        match record {
            Record::Review(event) => self.reviews.push(ReviewSheet {
                index,
                time,
                request: event.request,
                event: event.event.clone().into_owned(),
                by: event.by.as_deref().map(person),
                reason: event.reason.as_deref().map(cut),
                is_signed: event.envelope.is_some(),
            }),
            Record::Keys(event) => self.keys.push(KeySheet {
                index,
                time,
                issuer: event.issuer.clone().into_owned(),
                keys: event
                    .keys
                    .iter()
                    .map(|key| format!("{} {}", key.kid.as_deref().unwrap_or("(no name)"), key.thumbprint))
                    .collect(),
            }),
            Record::PolicyChange(change) => self.policies.push(PolicySheet {
                index,
                time,
                epoch: change.epoch,
                by: changer(&change.by),
                policies: change.policies.iter().map(|(name, policy)| (name.to_string(), policy.clone())).collect(),
                weakening: change.weakening.iter().map(|line| cut(line)).collect(),
            }),
            Record::Read(read) => self.looks.push(LookSheet {
                index,
                time,
                by: person(&read.by),
                action: read.action.clone().into_owned(),
                of: read
                    .session
                    .map(|id| id.to_string())
                    .or_else(|| read.query.as_deref().map(cut))
                    .unwrap_or_default(),
            }),
            Record::Shred(shred) => {
                self.sessions.entry(shred.session).or_default().destroyed = Some(destroyed(time, shred));
            }
            _ => {}
        }
    }

    /// Takes in a record of a session.
    pub(super) fn session(&mut self, entry: &Entry) -> Result<(), ExportError> {
        let leaf = &entry.leaf;
        let sheet = self.sessions.entry(leaf.sid).or_default();
        if leaf.seq == 0 {
            sheet.first = leaf.log_time;
        }
        sheet.last = leaf.log_time;
        for chunk in entry.chunks() {
            if let Chunk::Elided { rows, .. } = chunk {
                sheet.elided += rows;
            }
        }
        match entry.record() {
            Some(Record::SessionOpen(open)) => {
                sheet.facts = Some(open.facts.clone().into_owned());
                sheet.masked = open.masked;
                sheet.kept = open.retention.as_ref().map(ToString::to_string);
            }
            Some(Record::Decision(record)) => {
                if self.operations.len() >= OPERATIONS_MAX {
                    return Err(ExportError::TooLarge { limit: OPERATIONS_MAX });
                }
                self.places.insert(record.id, self.operations.len());
                self.operations.push(OperationSheet::new(entry.index, leaf.log_time, record));
            }
            Some(Record::Outcome(outcome)) => {
                let place = self.places.get(&outcome.decision);
                if let Some(operation) = place.and_then(|&place| self.operations.get_mut(place)) {
                    operation.outcome = Some(Ended::new(outcome));
                }
            }
            Some(Record::MaskSummary(summary)) => {
                let place = self.places.get(&summary.decision);
                if let Some(operation) = place.and_then(|&place| self.operations.get_mut(place)) {
                    let ended = operation.outcome.get_or_insert_with(Ended::nothing);
                    ended.masked.extend(summary.masked.iter().map(owned));
                }
            }
            Some(Record::SessionClose(close)) => sheet.end = close.reason.clone().into_owned(),
            _ => {}
        }
        Ok(())
    }

    /// A session's records are all told.
    pub(super) fn end(&mut self, id: SessionId, picked: &PickedSession) {
        self.places.clear();
        let sheet = self.sessions.entry(id).or_default();
        sheet.records = picked.records;
        if sheet.end.is_empty() {
            sheet.end = match picked.end.name() {
                "lost" => "its node stopped before it".to_owned(),
                "open" => "still open".to_owned(),
                _ => "closed".to_owned(),
            };
        }
    }

    /// Who approved a request, as far as the records say.
    pub(super) fn approvers(&self, request: RequestId) -> Vec<&str> {
        let events = self.reviews.iter().filter(|review| review.request == request && review.event == "approved");
        events.filter_map(|review| review.by.as_deref()).collect()
    }
}

impl OperationSheet {
    fn new(index: u64, time: u64, record: &DecisionRecord<'_>) -> Self {
        let decision = &record.decision;
        let policies = decision.opinions.iter().map(|opinion| {
            let mode = if opinion.mode == Mode::Monitor { " (monitor)" } else { "" };
            format!("{}: {}{mode}", opinion.policy, opinion.verdict.name())
        });
        Self {
            id: record.id,
            index,
            time,
            text: cut(&record.text),
            verdict: decision.verdict.name(),
            reason: match &decision.verdict {
                Verdict::Allow => None,
                Verdict::Review(terms) => Some(Arc::clone(&terms.reason)),
                Verdict::Block(finding) => Some(Arc::clone(&finding.message)),
            },
            policies: policies.collect(),
            request: record.request,
            justification: record.justification.as_deref().map(cut),
            outcome: None,
        }
    }
}

impl Ended {
    fn new(outcome: &Outcome<'_>) -> Self {
        Self {
            rows: outcome.rows,
            bytes: outcome.bytes,
            sqlstate: outcome.sqlstate.as_deref().map(str::to_owned),
            masked: outcome.masked.iter().map(owned).collect(),
        }
    }

    const fn nothing() -> Self {
        Self { rows: 0, bytes: 0, sqlstate: None, masked: Vec::new() }
    }
}

fn owned(column: &MaskedColumn<'_>) -> MaskedColumn<'static> {
    MaskedColumn {
        column: Cow::Owned(column.column.clone().into_owned()),
        treatment: Cow::Owned(column.treatment.clone().into_owned()),
        count: column.count,
    }
}

fn destroyed(time: u64, shred: &ShredRecord<'_>) -> String {
    let by =
        shred.by.as_deref().map_or_else(|| "at the end of their time".to_owned(), |by| format!("by {}", person(by)));
    let time = pages::time(time);
    let was = shred.retention.as_ref().map(|retention| format!(" of {retention}")).unwrap_or_default();
    let early = if shred.is_early { format!(", before the end of their time{was}") } else { was };
    format!(
        "its contents were destroyed on {time} {by}{early}: {}; that it happened is proven as before",
        cut(&shred.reason)
    )
}

/// A person for people: the name, and the pair that names them for certain.
pub(super) fn person(subject: &Subject) -> String {
    format!("{} ({} at {})", subject.name, subject.sub, subject.issuer)
}

fn changer(by: &By<'_>) -> String {
    match by {
        By::Subject(subject) => person(subject),
        By::File { path, uid: Some(uid) } => format!("the file {path}, of user {uid}"),
        By::File { path, uid: None } => format!("the file {path}"),
        By::Start => "the start of the gateway".to_owned(),
    }
}

pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
