use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grille_admin::view::{Kept, Moment, OperationLine, OutcomeLine, Session, SessionDetail};
use grille_admin::{RecordingStream, SessionFilter, SessionView, Unreadable};
use grille_ledger::{
    Chunk, DecisionRecord, Direction, Entry, Outcome, Reader, Record, SealKey, SessionEnd, SessionSummary,
};
use grille_policy::{BoxFuture, DecisionId, Mode, SessionFacts, SessionId, Subject, Verdict};
use grille_review::Person;
use tokio::sync::mpsc;

/// A page that somebody reads; the recording has all of it.
const LINES_MAX: usize = 1_000;

/// So many of the newest sessions are looked through for a person, a target or the beginning of an id.
const SEARCHED_MAX: usize = 10_000;

/// A slow reader holds so many moments, of at most 256 KiB each.
const MOMENTS_IN_FLIGHT: usize = 8;

/// The sessions that are open now.
pub trait Live: Send + Sync {
    /// Who is connected, and how many operations were decided.
    fn list(&self) -> Vec<(Arc<SessionFacts>, u64)>;

    /// Ends a session; its caller reads the reason.
    fn end(&self, id: SessionId, reason: &str) -> bool;
}

/// Sessions as the ledger tells them.
#[derive(Clone)]
pub struct Sessions {
    ledger: PathBuf,
    seal: SealKey,
    live: Arc<dyn Live>,
}

impl Sessions {
    /// The sessions in a ledger, and those that are open now.
    #[must_use]
    pub fn new(ledger: PathBuf, seal: SealKey, live: Arc<dyn Live>) -> Self {
        Self { ledger, seal, live }
    }

    /// The ledger and the logs that it follows, the newest first.
    fn readers(&self) -> Result<Vec<Reader>, Unreadable> {
        Reader::all(&self.ledger, Some(self.seal.clone())).map_err(unreadable)
    }

    /// The log that a session stands in; none if it is in none.
    fn reader_of(&self, id: SessionId) -> Result<Option<Reader>, Unreadable> {
        for reader in self.readers()? {
            if reader.session(id).map_err(unreadable)?.next().transpose().map_err(unreadable)?.is_some() {
                return Ok(Some(reader));
            }
        }
        Ok(None)
    }

    /// The newest sessions of all logs.
    fn sessions(&self, limit: usize) -> Result<Vec<SessionSummary>, Unreadable> {
        let mut sessions = Vec::new();
        for reader in self.readers()? {
            let left = limit - sessions.len();
            if left == 0 {
                break;
            }
            sessions.extend(reader.sessions(left).map_err(unreadable)?);
        }
        Ok(sessions)
    }

    fn is_live(&self, id: SessionId) -> bool {
        self.live.list().iter().any(|(facts, _)| facts.id == id)
    }

    fn newest(&self, filter: &SessionFilter) -> Result<Vec<Session>, Unreadable> {
        let live: HashMap<SessionId, u64> =
            self.live.list().into_iter().map(|(facts, operations)| (facts.id, operations)).collect();
        let is_narrow = filter.is_live.is_some() || filter.person.is_some() || filter.target.is_some();
        let searched = if is_narrow { SEARCHED_MAX } else { filter.limit };
        let sessions = self.sessions(searched)?;
        let row = |summary: SessionSummary| {
            let is_live = live.contains_key(&summary.id);
            summary_row(summary, is_live)
        };
        let admits = |session: &Session| {
            filter.is_live.is_none_or(|wanted| wanted == session.is_live)
                && filter.target.as_ref().is_none_or(|target| **target == *session.target)
                && filter
                    .person
                    .as_ref()
                    .is_none_or(|person| **person == *session.person.sub || **person == *session.person.name)
        };
        Ok(sessions.into_iter().map(row).filter(admits).take(filter.limit).collect())
    }

    fn matching(&self, beginning: &str) -> Result<Vec<SessionId>, Unreadable> {
        if let Ok(id) = beginning.parse::<SessionId>() {
            return Ok(self.reader_of(id)?.map(|_| id).into_iter().collect());
        }
        let sessions = self.sessions(SEARCHED_MAX)?;
        let ids = sessions.into_iter().map(|session| session.id);
        Ok(ids.filter(|id| id.to_string().starts_with(beginning)).take(2).collect())
    }

    fn detail(&self, id: SessionId) -> Result<Option<SessionDetail>, Unreadable> {
        let mut detail: Option<SessionDetail> = None;
        let mut places: HashMap<DecisionId, usize> = HashMap::new();
        let is_live = self.is_live(id);
        let Some(reader) = self.reader_of(id)? else { return Ok(None) };
        for entry in reader.session(id).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let at_ms = entry.leaf.log_time / 1000;
            let Some(record) = entry.record() else { continue };
            let Some(shown) = detail.as_mut() else {
                if let Record::SessionOpen(open) = record {
                    let session = row(&open.facts, Some(open.masked), at_ms, is_live);
                    let kept = open.retention.as_ref();
                    let kept = kept.map(|kept| Kept { class: kept.class.as_ref().into(), seconds: kept.seconds });
                    detail = Some(SessionDetail { session, kept, log: Vec::new(), more: 0 });
                }
                continue;
            };
            match record {
                Record::Decision(decision) => {
                    add(&mut shown.session.operations, 1);
                    add(&mut shown.session.refused, u64::from(matches!(decision.decision.verdict, Verdict::Block(_))));
                    if shown.log.len() < LINES_MAX {
                        places.insert(decision.id, shown.log.len());
                        shown.log.push(operation(decision, at_ms));
                    } else {
                        shown.more += 1;
                    }
                }
                Record::Outcome(outcome) => {
                    let line = places.get(&outcome.decision).and_then(|&place| shown.log.get_mut(place));
                    if let Some(line) = line {
                        line.outcome = Some(ended(outcome));
                    }
                }
                Record::SessionClose(close) => {
                    shown.session.closed_ms = Some(at_ms);
                    shown.session.end = Some(close.reason.as_ref().into());
                }
                _ => {}
            }
        }
        Ok(detail)
    }

    /// Reads the recording to its end, or to that of who listens.
    fn play(&self, reader: &Reader, id: SessionId, moments: &mpsc::Sender<Moment>) -> Result<(), Unreadable> {
        let is_live = self.is_live(id);
        for entry in reader.session(id).map_err(unreadable)? {
            for moment in told(&entry.map_err(unreadable)?, is_live) {
                if moments.blocking_send(moment).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads files, so away from the threads that serve.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Unreadable> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Unreadable>> {
        let this = self.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || read(&this)).await;
            read.unwrap_or_else(|error| Err(Unreadable(error.to_string())))
        })
    }
}

impl SessionView for Sessions {
    fn list(&self, filter: SessionFilter) -> BoxFuture<'_, Result<Vec<Session>, Unreadable>> {
        self.read(move |this| this.newest(&filter))
    }

    fn find<'a>(&'a self, beginning: &'a str) -> BoxFuture<'a, Result<Vec<SessionId>, Unreadable>> {
        let beginning = beginning.to_owned();
        self.read(move |this| this.matching(&beginning))
    }

    fn show(&self, id: SessionId) -> BoxFuture<'_, Result<Option<SessionDetail>, Unreadable>> {
        self.read(move |this| this.detail(id))
    }

    fn recording(&self, id: SessionId) -> BoxFuture<'_, Result<Option<RecordingStream>, Unreadable>> {
        Box::pin(async move {
            let found = self.read(move |this| {
                let Some(reader) = this.reader_of(id)? else { return Ok(None) };
                let first = reader.session(id).map_err(unreadable)?.next().transpose().map_err(unreadable)?;
                // What was shredded cannot be played.
                Ok(first.filter(|first| first.record().is_some()).map(|_| reader))
            });
            let Some(reader) = found.await? else { return Ok(None) };
            let (sender, receiver) = mpsc::channel(MOMENTS_IN_FLIGHT);
            let this = self.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = this.play(&reader, id, &sender) {
                    tracing::warn!(session = %id, %error, "a recording cannot be read to its end");
                    let broken = Moment::Broken { reason: error.to_string().into() };
                    // Nobody may be there any more to hear it.
                    drop(sender.blocking_send(broken));
                }
            });
            Ok(Some(receiver))
        })
    }

    fn kill(&self, id: SessionId, by: &Subject, reason: &str) -> bool {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        self.live.end(id, &format!("ended by {}{because}", by.name))
    }
}

/// What one record and the bytes before it tell.
fn told(entry: &Entry, is_live: bool) -> Vec<Moment> {
    let leaf = &entry.leaf;
    let at_ms = leaf.log_time / 1000;
    // The bytes carry the monotonic clock, the record both.
    let then_ms = |mono: u64| leaf.log_time.saturating_sub(leaf.mono.saturating_sub(mono)) / 1000;
    let mut moments: Vec<Moment> = entry
        .chunks()
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::Bytes { direction, mono, bytes, .. } => {
                let (at_ms, data) = (then_ms(*mono), STANDARD.encode(bytes));
                Some(match direction {
                    Direction::FromCaller => Moment::Sent { at_ms, data },
                    Direction::ToCaller => Moment::Shown { at_ms, data },
                })
            }
            Chunk::Elided { mono, rows, bytes, .. } => {
                Some(Moment::Elided { at_ms: then_ms(*mono), rows: *rows, bytes: *bytes })
            }
            _ => None,
        })
        .collect();
    match entry.record() {
        Some(Record::SessionOpen(open)) => {
            let session = Box::new(row(&open.facts, Some(open.masked), at_ms, is_live));
            moments.push(Moment::Opened { session });
        }
        Some(Record::Decision(decision)) => moments.push(Moment::Asked {
            at_ms,
            decision: decision.id,
            text: decision.text.as_ref().into(),
            verdict: decision.decision.verdict.name().into(),
        }),
        Some(Record::Outcome(outcome)) => {
            moments.push(Moment::Ended { at_ms, decision: outcome.decision, outcome: ended(outcome) });
        }
        Some(Record::SessionClose(close)) => {
            moments.push(Moment::Closed { at_ms, reason: close.reason.as_ref().into() });
        }
        Some(_) => {}
        None => moments.push(Moment::Broken { reason: "its contents are sealed from this gateway".into() }),
    }
    moments
}

fn row(facts: &SessionFacts, masked: Option<bool>, opened_ms: u64, is_live: bool) -> Session {
    Session {
        id: facts.id,
        person: Person::from(&*facts.subject),
        actors: facts.subject.actors.clone(),
        target: Arc::clone(&facts.target),
        roles: facts.roles.clone(),
        protocol: Arc::clone(&facts.protocol),
        peer: Arc::clone(&facts.peer),
        client: Arc::clone(&facts.client),
        masked,
        opened_ms,
        closed_ms: None,
        end: None,
        is_live,
        operations: None,
        refused: None,
    }
}

pub(super) fn summary_row(summary: SessionSummary, is_live: bool) -> Session {
    let mut session = match &summary.facts {
        Some(facts) => row(facts, None, summary.first / 1000, is_live),
        None => sealed(&summary, is_live),
    };
    session.operations = Some(summary.operations);
    session.refused = Some(summary.blocked);
    if !is_live {
        session.closed_ms = Some(summary.last / 1000);
        session.end = Some(match summary.end {
            SessionEnd::Closed(reason) => reason.as_deref().unwrap_or("ended").into(),
            SessionEnd::Lost | SessionEnd::Open => "lost".into(),
        });
    }
    session
}

/// A session whose contents nobody here can open.
fn sealed(summary: &SessionSummary, is_live: bool) -> Session {
    let unknown: Arc<str> = "(sealed)".into();
    Session {
        id: summary.id,
        person: Person { issuer: Arc::clone(&unknown), sub: Arc::clone(&unknown), name: Arc::clone(&unknown) },
        actors: Vec::new(),
        target: Arc::clone(&unknown),
        roles: Vec::new(),
        protocol: Arc::clone(&unknown),
        peer: Arc::clone(&unknown),
        client: unknown,
        masked: None,
        opened_ms: summary.first / 1000,
        closed_ms: None,
        end: None,
        is_live,
        operations: None,
        refused: None,
    }
}

fn operation(record: &DecisionRecord<'_>, at_ms: u64) -> OperationLine {
    let decision = &record.decision;
    let reason = match &decision.verdict {
        Verdict::Allow => None,
        Verdict::Review(terms) => Some(Arc::clone(&terms.reason)),
        Verdict::Block(finding) => Some(Arc::clone(&finding.message)),
    };
    let opinions = decision.opinions.iter().map(|opinion| {
        let mode = if opinion.mode == Mode::Monitor { " (monitor)" } else { "" };
        let failure =
            opinion.failure.as_ref().map_or_else(String::new, |failure| format!(", {}", failure.kind.describe()));
        format!("{}: {}{mode}{failure}", opinion.policy, opinion.verdict.name()).into()
    });
    OperationLine {
        decision: record.id,
        at_ms,
        text: record.text.as_ref().into(),
        verdict: decision.verdict.name().into(),
        reason,
        opinions: opinions.collect(),
        request: record.request,
        outcome: None,
    }
}

pub(super) fn ended(outcome: &Outcome<'_>) -> OutcomeLine {
    OutcomeLine {
        rows: outcome.rows,
        bytes: outcome.bytes,
        duration_us: outcome.duration_us,
        sqlstate: outcome.sqlstate.as_deref().map(Into::into),
        masked: outcome
            .masked
            .iter()
            .map(|masked| format!("{}: {} × {}", masked.column, masked.treatment, masked.count).into())
            .collect(),
    }
}

fn add(counter: &mut Option<u64>, more: u64) {
    *counter = Some(counter.unwrap_or(0) + more);
}

pub(super) fn unreadable(error: grille_ledger::ReadError) -> Unreadable {
    Unreadable(error.to_string())
}
