//! The end of contents: a session's key is destroyed, and a record says who did it, when and why. Leaves and proofs stay as
//! they are. What is under a legal hold cannot be destroyed.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use grille_policy::{SessionId, Subject};
use serde::{Deserialize, Serialize};

use crate::record::{HoldRecord, ShredRecord};
use crate::seal::{NoKey, destroy_row};
use crate::tiles::{Durability, replace};
use crate::{Contents, Ledger, ReadError, Reader, Record, SealKey, Unwritable};

/// The holds in force. It follows from the records, and is made again from them if it is gone.
const HOLDS: &str = "holds";
/// A shredding that has begun: the record of it. Whatever interrupts it, the next start ends it.
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
    /// Who.
    pub by: Subject,
    /// When, in Unix microseconds.
    pub at: u64,
    /// Why.
    pub reason: String,
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

    /// Destroys what a session's callers sent and saw, and all that its records hold.
    pub async fn shred(&self, session: SessionId, by: &Subject, reason: &str) -> Result<(), ShredError> {
        let reason = said(reason)?;
        if self.shared().live.lock().contains(&session) {
            return Err(ShredError::Live(session));
        }
        let keys = self.shreddable(session)?;
        let record = ShredRecord { by: Cow::Borrowed(by), session, keys, reason: reason.into() };
        let text = serde_json::to_vec(&record).map_err(|error| io::Error::other(error.to_string()));
        text.and_then(|text| replace(&self.path().join(SHREDDING), &text, Durability::Synced))
            .map_err(failed(SHREDDING))?;
        let position = self.admin(&Record::Shred(record.clone()))?;
        self.durable(position).await?;
        destroy(self.path(), &record).map_err(failed("keys"))
    }

    /// The keys of a session that may be destroyed.
    fn shreddable(&self, session: SessionId) -> Result<Vec<String>, ShredError> {
        let mut entries = Reader::open(self.path(), Some(self.shared().seal_key().clone()))?.session(session)?;
        let Some(first) = entries.next().transpose()? else { return Err(ShredError::Unknown(session)) };
        let open = match (first.record(), &first.contents) {
            (Some(Record::SessionOpen(open)), _) => open,
            (None, Contents::Sealed(why)) if *why == NoKey::Destroyed.describe() => {
                return Err(ShredError::Shredded(session));
            }
            _ => return Err(ShredError::Unknown(session)),
        };
        let subject = open.facts.subject.sub.to_string();
        let is_meant = |hold: &&LegalHold| match &hold.on {
            Held::Session(id) => *id == session,
            Held::Subject(sub) => *sub == subject,
        };
        if let Some(hold) = self.shared().holds.lock().iter().find(is_meant) {
            return Err(ShredError::Held { hold: Box::new(hold.clone()) });
        }
        let mut keys = vec![first.leaf.key_id.clone()];
        for entry in entries {
            let key = entry?.leaf.key_id;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

impl Reader {
    /// Who destroyed the contents of a session, when and why; none if nobody did.
    pub fn tombstone(&self, session: SessionId) -> Result<Option<Tombstone>, ReadError> {
        let mut entries = self.session_on(session)?;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            if leaf.kind == "shred"
                && let Some(Record::Shred(shred)) = entries.open_record(&leaf, &sealed)?
                && shred.session == session
            {
                let (by, reason) = (shred.by.into_owned(), shred.reason.into_owned());
                return Ok(Some(Tombstone { by, at: leaf.log_time, reason }));
            }
        }
        Ok(None)
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

/// A shredding that a crash interrupted.
pub(crate) fn interrupted(dir: &Path) -> io::Result<Option<ShredRecord<'static>>> {
    match fs::read(dir.join(SHREDDING)) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| io::Error::other(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Destroys the keys of a shredding whose record is safe.
pub(crate) fn destroy(dir: &Path, record: &ShredRecord<'_>) -> io::Result<()> {
    for key in &record.keys {
        destroy_row(dir, key)?;
    }
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
