//! The end of contents: a session's key is destroyed, and a record says who did it, when and why. Leaves and proofs stay as
//! they are. What is under a legal hold cannot be destroyed.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use grille_policy::{SessionId, Subject};
use serde::{Deserialize, Serialize};

use crate::export::time;
use crate::index::{Index, Unusable};
use crate::reader::Places;
use crate::record::{HoldRecord, ShredRecord};
use crate::seal::{NoKey, destroy_rows};
use crate::session::Position;
use crate::tiles::{Durability, replace};
use crate::{Contents, Ledger, ReadError, Reader, Record, Retention, SealKey, Unwritable};

/// The holds in force. It follows from the records, and is made again from them if it is gone.
const HOLDS: &str = "holds";
/// A shredding that has begun: the records of it. Whatever interrupts it, the next start ends it.
const SHREDDING: &str = "shredding";

/// What nobody may shred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// One session.
    Session(SessionId),
    /// All sessions of a person, by the `sub` of their tokens.
    Subject(String),
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session {id}"),
            Self::Subject(sub) => write!(f, "subject {sub}"),
        }
    }
}

/// A legal hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalHold {
    /// What is held.
    pub on: Held,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, in Unix microseconds.
    pub since: u64,
}

/// Who destroyed a session's contents, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tombstone {
    /// Who; none where the end of its retention did it.
    pub by: Option<Subject>,
    /// When, in Unix microseconds.
    pub at: u64,
    /// Why.
    pub reason: String,
    /// How long they were to be kept, as far as that was recorded.
    pub retention: Option<Retention<'static>>,
    /// Whether that was not over.
    pub is_early: bool,
}

/// A session that is to be destroyed, and whose it was.
#[derive(Clone)]
pub(crate) struct Doomed<'a> {
    pub(crate) record: ShredRecord<'a>,
    pub(crate) subject: String,
}

/// Why nothing was destroyed, held or let go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShredError {
    /// Nobody said why.
    #[error("this takes a reason")]
    NoReason,
    /// The session is not in the ledger.
    #[error("there is no session {0} in this ledger")]
    Unknown(SessionId),
    /// It still runs.
    #[error("session {0} is still open: end it first, with `grille session kill`")]
    Live(SessionId),
    /// A legal hold is in force.
    #[error("{} is under a legal hold ({}): `grille ledger hold remove` lifts it", hold.on, hold.reason)]
    Held {
        /// The hold.
        hold: Box<LegalHold>,
    },
    /// Its retention is not over.
    #[error(
        "session {session} is kept until {}, {retention} from its end on: `--early` destroys it before, and the record \
         says so",
        time(*until)
    )]
    Kept {
        /// The session.
        session: SessionId,
        /// Until when, in Unix microseconds.
        until: u64,
        /// By which class.
        retention: Retention<'static>,
    },
    /// It was destroyed before.
    #[error("the contents of session {0} are destroyed already")]
    Shredded(SessionId),
    /// There is no such hold.
    #[error("{0} is under no legal hold")]
    NotHeld(Held),
    /// The ledger cannot be read.
    #[error("read the session")]
    Read(#[from] ReadError),
    /// It cannot be recorded.
    #[error("record this")]
    Unwritable(#[from] Unwritable),
    /// A file could not be written.
    #[error("cannot write {file} of the ledger")]
    Io {
        /// Which.
        file: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Ledger {
    /// The legal holds in force.
    #[must_use]
    pub fn holds(&self) -> Vec<LegalHold> {
        self.shared().holds.lock().clone()
    }

    /// Keeps a session, or all of a person's, from being shredded.
    pub fn hold(&self, on: Held, by: &Subject, reason: &str) -> Result<(), ShredError> {
        let reason = said(reason)?;
        let mut holds = self.shared().holds.lock();
        if let Held::Session(session) = on
            && (self.shared().doomed.lock().contains(&session) || self.is_destroyed(session)?)
        {
            return Err(ShredError::Shredded(session));
        }
        let (name, since) = (format!("{} at {}", by.sub, by.issuer), self.shared().wall());
        let mut changed: Vec<_> = holds.iter().filter(|hold| hold.on != on).cloned().collect();
        changed.push(LegalHold { on: on.clone(), by: name, reason: reason.to_owned(), since });
        // In force first: a hold that nobody recorded destroys nothing.
        keep(self.path(), &changed).map_err(failed(HOLDS))?;
        *holds = changed;
        self.shared().holds_changed.store(true, Ordering::Release);
        self.admin(&Record::Hold(HoldRecord::new(by, on, true, reason)))?;
        Ok(())
    }

    /// Lifts a legal hold.
    pub fn release(&self, on: &Held, by: &Subject, reason: &str) -> Result<(), ShredError> {
        let reason = said(reason)?;
        let mut holds = self.shared().holds.lock();
        if !holds.iter().any(|hold| hold.on == *on) {
            return Err(ShredError::NotHeld(on.clone()));
        }
        self.admin(&Record::Hold(HoldRecord::new(by, on.clone(), false, reason)))?;
        let changed: Vec<_> = holds.iter().filter(|hold| hold.on != *on).cloned().collect();
        keep(self.path(), &changed).map_err(failed(HOLDS))?;
        *holds = changed;
        self.shared().holds_changed.store(true, Ordering::Release);
        Ok(())
    }

    /// Destroys what a session's callers sent and saw, and all that its records hold; before the end of its retention only
    /// where that is meant.
    pub async fn shred(
        &self,
        session: SessionId,
        by: &Subject,
        reason: &str,
        may_be_early: bool,
    ) -> Result<(), ShredError> {
        let reason = said(reason)?;
        if self.shared().live.lock().contains(&session) {
            return Err(ShredError::Live(session));
        }
        let ledger = self.clone();
        let found = tokio::task::spawn_blocking(move || ledger.shreddable(session, may_be_early)).await;
        let found = found.map_err(|_| Unwritable::Stopped { why: "reading the session panicked".into() })??;
        let (by, reason) = (Some(Cow::Owned(by.clone())), reason.to_owned().into());
        let record = ShredRecord { by, reason, ..found.record };
        match self.destroy_unheld(vec![Doomed { record, subject: found.subject }]).await?.pop() {
            Some(Some(hold)) => return Err(ShredError::Held { hold: Box::new(hold) }),
            _ => self.forget_due(session),
        }
        Ok(())
    }

    /// Destroys what no legal hold keeps, and says of each session which hold that is. One sync is for all of them.
    pub(crate) async fn destroy_unheld(
        &self,
        doomed: Vec<Doomed<'static>>,
    ) -> Result<Vec<Option<LegalHold>>, ShredError> {
        let ledger = self.clone();
        // What has begun is ended, also where nobody waits for it any more.
        let ended = tokio::spawn(async move { ledger.destroy_now(&doomed).await }).await;
        ended.map_err(|_| Unwritable::Stopped { why: "a shredding was broken off: the next start ends it".into() })?
    }

    async fn destroy_now(&self, doomed: &[Doomed<'static>]) -> Result<Vec<Option<LegalHold>>, ShredError> {
        let _one = self.shared().shredding.lock().await;
        let (held, records, position, trouble) = {
            // From the look at the holds to the records: what stands first in the log is what counted.
            let holds = self.shared().holds.lock();
            let hold = |doomed: &Doomed<'_>| holds.iter().find(|hold| hold.is_on(doomed)).cloned();
            let held: Vec<Option<LegalHold>> = doomed.iter().map(hold).collect();
            let free = doomed.iter().zip(&held).filter(|(_, held)| held.is_none());
            let free: Vec<_> = free.map(|(doomed, _)| doomed.record.clone()).collect();
            if free.is_empty() {
                return Ok(held);
            }
            // One that failed after its record stays to be ended.
            let mut records = interrupted(self.path()).map_err(failed(SHREDDING))?;
            let pending = records.len();
            records.extend(free);
            begin(self.path(), &records).map_err(failed(SHREDDING))?;
            let (positions, trouble) = self.tell(&records[pending..]);
            if trouble.is_some() {
                // What no record tells of is not destroyed.
                records.truncate(pending + positions.len());
                begin(self.path(), &records).map_err(failed(SHREDDING))?;
            }
            self.shared().doomed.lock().extend(records.iter().map(|record| record.session));
            (held, records, positions.last().copied(), trouble)
        };
        if let Some(position) = position {
            self.durable(position).await?;
        }
        destroy(self.path(), &records).map_err(failed("keys"))?;
        self.shared().doomed.lock().retain(|session| records.iter().all(|record| record.session != *session));
        trouble.map_or(Ok(held), |trouble| Err(trouble.into()))
    }

    /// Where the records stand that could be written, and why the others could not.
    fn tell(&self, records: &[ShredRecord<'_>]) -> (Vec<Position>, Option<Unwritable>) {
        let mut positions = Vec::new();
        for record in records {
            match self.admin(&Record::Shred(record.clone())) {
                Ok(position) => positions.push(position),
                Err(error) => return (positions, Some(error)),
            }
        }
        (positions, None)
    }

    /// What is to be destroyed of a session, if it may be.
    fn shreddable(&self, session: SessionId, may_be_early: bool) -> Result<Doomed<'static>, ShredError> {
        let mut entries = self.own_reader()?.session(session)?;
        let Some(first) = entries.next().transpose()? else { return Err(ShredError::Unknown(session)) };
        let open = match (first.record(), &first.contents) {
            (Some(Record::SessionOpen(open)), _) => open,
            (None, Contents::Sealed(why)) if *why == NoKey::Destroyed.describe() => {
                return Err(ShredError::Shredded(session));
            }
            _ => return Err(ShredError::Unknown(session)),
        };
        let retention = open.retention.clone().unwrap_or_else(|| self.default_retention());
        let (mut keys, mut last) = (vec![first.leaf.key_id.clone()], (first.index, first.leaf.log_time));
        for entry in entries {
            let entry = entry?;
            last = (entry.index, entry.leaf.log_time);
            if !keys.contains(&entry.leaf.key_id) {
                keys.push(entry.leaf.key_id);
            }
        }
        let until = self.kept_until(&retention, last.0, last.1)?;
        let doomed = Doomed {
            subject: open.facts.subject.sub.to_string(),
            record: ShredRecord {
                by: None,
                session,
                keys,
                reason: "".into(),
                retention: Some(retention.clone()),
                is_early: until.is_some(),
            },
        };
        if let Some(hold) = self.shared().holds.lock().iter().find(|hold| hold.is_on(&doomed)) {
            return Err(ShredError::Held { hold: Box::new(hold.clone()) });
        }
        match until {
            Some(until) if !may_be_early => Err(ShredError::Kept { session, until, retention }),
            _ => Ok(doomed),
        }
    }

    fn is_destroyed(&self, session: SessionId) -> Result<bool, ReadError> {
        let first = self.own_reader()?.session(session)?.next().transpose()?;
        let is_gone = |contents| matches!(contents, Contents::Sealed(why) if why == NoKey::Destroyed.describe());
        Ok(first.is_some_and(|first| is_gone(first.contents)))
    }
}

impl LegalHold {
    fn is_on(&self, doomed: &Doomed<'_>) -> bool {
        match &self.on {
            Held::Session(id) => *id == doomed.record.session,
            Held::Subject(sub) => *sub == doomed.subject,
        }
    }
}

impl Reader {
    /// Who destroyed the contents of a session, when and why; none if nobody did.
    pub fn tombstone(&self, session: SessionId) -> Result<Option<Tombstone>, ReadError> {
        if let Some(tombstone) = self.by_index(|index| self.indexed_tombstone(index, session)) {
            return Ok(tombstone);
        }
        let mut entries = self.session_on(session)?;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            if leaf.kind == "shred"
                && let Some(tombstone) = Tombstone::of(entries.open_record(&leaf, &sealed)?, session, leaf.log_time)
            {
                return Ok(Some(tombstone));
            }
        }
        Ok(None)
    }

    pub(crate) fn indexed_tombstone(
        &self,
        index: &Index<'_>,
        session: SessionId,
    ) -> Result<Option<Tombstone>, Unusable> {
        let mut places = Places::of(self);
        for (segment, at) in index.shreds()? {
            let leaf = places.leaf((segment, at.offset), None, "shred")?;
            if let Some(tombstone) = Tombstone::of(places.record(&leaf)?, session, leaf.log_time) {
                return Ok(Some(tombstone));
            }
        }
        Ok(None)
    }
}

impl Tombstone {
    fn of(record: Option<Record<'static>>, session: SessionId, at: u64) -> Option<Self> {
        match record {
            Some(Record::Shred(shred)) if shred.session == session => {
                let ShredRecord { by, reason, retention, is_early, .. } = shred;
                let (by, reason) = (by.map(Cow::into_owned), reason.into_owned());
                Some(Self { by, at, reason, retention, is_early })
            }
            _ => None,
        }
    }
}

/// The holds in force: as they were kept, or from the records if that is gone.
pub(crate) fn holds(dir: &Path, seal: &SealKey) -> Result<Vec<LegalHold>, ReadError> {
    let path = dir.join(HOLDS);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| ReadError::Altered { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let holds = recorded_holds(dir, seal)?;
            keep(dir, &holds).map_err(|source| ReadError::Io { path, source })?;
            Ok(holds)
        }
        Err(source) => Err(ReadError::Io { path, source }),
    }
}

fn recorded_holds(dir: &Path, seal: &SealKey) -> Result<Vec<LegalHold>, ReadError> {
    let mut holds: Vec<LegalHold> = Vec::new();
    let mut entries = Reader::open(dir, Some(seal.clone()))?.records()?;
    while let Some((leaf, sealed)) = entries.next_leaf()? {
        if leaf.kind == "hold"
            && let Some(Record::Hold(record)) = entries.open_record(&leaf, &sealed)?
        {
            holds.retain(|hold| hold.on != record.on);
            if record.is_held {
                let by = format!("{} at {}", record.by.sub, record.by.issuer);
                holds.push(LegalHold { on: record.on, by, reason: record.reason.into_owned(), since: leaf.log_time });
            }
        }
    }
    Ok(holds)
}

fn keep(dir: &Path, holds: &[LegalHold]) -> io::Result<()> {
    let text = serde_json::to_vec(holds).map_err(|error| io::Error::other(error.to_string()))?;
    replace(&dir.join(HOLDS), &text, Durability::Synced)
}

fn begin(dir: &Path, records: &[ShredRecord<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(records).map_err(|error| io::Error::other(error.to_string()))?;
    replace(&dir.join(SHREDDING), &text, Durability::Synced)
}

/// A shredding that a crash interrupted.
pub(crate) fn interrupted(dir: &Path) -> io::Result<Vec<ShredRecord<'static>>> {
    let text = match fs::read(dir.join(SHREDDING)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let records = serde_json::from_slice(&text);
    // Versions that ended one session at a time wrote it alone.
    records
        .or_else(|error| serde_json::from_slice(&text).map(|one| vec![one]).map_err(|_| error))
        .map_err(io::Error::other)
}

/// Destroys the keys of a shredding whose records are safe.
pub(crate) fn destroy(dir: &Path, records: &[ShredRecord<'_>]) -> io::Result<()> {
    destroy_rows(dir, records.iter().flat_map(|record| &record.keys))?;
    fs::remove_file(dir.join(SHREDDING))?;
    File::open(dir)?.sync_all()
}

fn said(reason: &str) -> Result<&str, ShredError> {
    match reason.trim() {
        "" => Err(ShredError::NoReason),
        reason => Ok(reason),
    }
}

fn failed(file: &'static str) -> impl FnOnce(io::Error) -> ShredError {
    move |source| ShredError::Io { file, source }
}
