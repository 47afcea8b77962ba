//! Evidence bundles: one tar file that somebody who does not trust us verifies without our software.
//!
//! A bundle holds whole sessions: every leaf with its inclusion proof under one signed checkpoint, the sealed contents,
//! and the text of each record. A record without recorded bytes comes with its salt, which proves the text; the others
//! take the session's key, which is added only when it is asked for. Of the node's own records those go along that the
//! sessions hang on: starts, policy sets, review events, and who looked.

mod csv;
mod hipaa;
mod manifest;
mod pages;
mod pick;
mod report;
mod sheet;
mod tar;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use grille_policy::{Digest, RequestId, SessionId};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::note::LastSigned;
use crate::prove::{Prover, prove_consistency};
use crate::reader::{Contents, Entry, Reader, SessionEnd};
use crate::sha256::to_base64;
use crate::{Checkpoint, Kept, NoteError, ReadError, Record, SessionQuery, SigningKey, VerifierKey, read_kept};
pub use hipaa::Period;
use hipaa::Tally;
use manifest::Bundle;
pub(crate) use pages::time;
use pick::{Picked, PickedSession};
use sheet::Sheet;

/// A part of a session's records is closed at this size, so that memory stays bounded.
const PART_BYTES: usize = 8 << 20;
/// The verifier that goes along. It is Python, so it shares nothing with this program.
const VERIFIER: &[u8] = include_bytes!("../verifier/verify.py");
const READ_ME: &[u8] = include_bytes!("../verifier/README.txt");

/// How a bundle is made.
#[derive(Debug, Clone)]
pub struct ExportOptions<'a> {
    /// Signs the bundle's manifest: the key of the log.
    pub signing_key: &'a SigningKey,
    /// Whether the keys go along that open the sealed contents of the exported sessions, and of no others.
    pub with_contents: bool,
    /// Who exports, for the manifest and the report.
    pub by: &'a str,
    /// Now, in Unix microseconds.
    pub at: u64,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no checkpoint under which anything could be proven.
    #[error("there is no signed checkpoint to prove anything with: {0}")]
    Checkpoint(NoteError),
    /// What witnesses signed is not of this log.
    #[error("the file `witnessed` beside the log: {0}; run `grille ledger verify`")]
    Witnessed(NoteError),
    /// It would be larger than what one report holds.
    #[error("these sessions hold more than {limit} operations: narrow the export by time, subject, target or relation")]
    TooLarge {
        /// How many one bundle holds.
        limit: usize,
    },
    /// The bundle cannot be written.
    #[error("cannot write the bundle")]
    Write(#[from] io::Error),
}

/// The sessions that a bundle is to hold, and what they hang on.
pub struct Selection {
    reader: Reader,
    query: SessionQuery,
    picked: Picked,
    tally: Option<Tally>,
}

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Sessions.
    pub sessions: u64,
    /// Records, those of the node included.
    pub records: u64,
    /// The size of the tree that they are proven to be in.
    pub size: u64,
}

impl Reader {
    /// Looks for the sessions to export, as far as the published checkpoint covers them. It has to be signed with
    /// `key`. Reads the log once.
    pub fn select(&self, query: &SessionQuery, key: &VerifierKey) -> Result<Selection, ExportError> {
        let (checkpoint, note) = self.published(key)?;
        let picked = pick::pick(self, query, checkpoint, note, &BTreeSet::new())?;
        Ok(Selection { reader: self.clone(), query: query.clone(), picked, tally: None })
    }

    /// Gathers what a period shows for each paragraph of the HIPAA Security Rule: counts of all of it, and the sessions
    /// that the samples stand in. Reads the log twice.
    pub fn select_period(&self, period: Period, key: &VerifierKey) -> Result<Selection, ExportError> {
        let (checkpoint, note) = self.published(key)?;
        let tally = Tally::of(self, period, checkpoint.size)?;
        let (sessions, node) = tally.samples();
        // Without any sample none is meant, and not every session.
        let to = sessions.is_empty().then_some(0);
        let query = SessionQuery { sessions, to, ..SessionQuery::default() };
        let picked = pick::pick(self, &query, checkpoint, note, &node)?;
        Ok(Selection { reader: self.clone(), query, picked, tally: Some(tally) })
    }

    /// The name of the log, as it tells it itself.
    pub fn origin(&self) -> Result<String, ReadError> {
        Ok(VerifierKey::from_file(&self.dir().join("log.vkey"))?.origin().to_owned())
    }

    fn published(&self, key: &VerifierKey) -> Result<(Checkpoint, String), ExportError> {
        // Of a log that was put aside the last word counts, also where that was never published.
        let last = read_beside(self.dir(), "last_signed")?.filter(|_| self.is_kept());
        let last = last.and_then(|text| LastSigned::parse(&text)).map(|last| last.note);
        let note = match last {
            Some(note) => Some(note),
            None => read_beside(self.dir(), "checkpoint")?,
        };
        let note = note.ok_or(ExportError::Checkpoint(NoteError::Malformed))?;
        Ok((Checkpoint::open(&note, key).map_err(ExportError::Checkpoint)?, note))
    }

    /// Where the components and the witnesses' policy lie: a log that was put aside left them to the one that follows it.
    fn home(&self) -> &Path {
        self.dir().ancestors().nth(2).filter(|_| self.is_kept()).unwrap_or_else(|| self.dir())
    }
}

impl Selection {
    /// Whether there is nothing to tell. A period without a record tells just that.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.picked.sessions.is_empty() && self.tally.is_none()
    }

    /// How many sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.picked.sessions.len()
    }

    /// Writes the bundle. Memory is bounded by the largest record and the report's lines.
    pub fn write(self, options: &ExportOptions<'_>, out: &mut dyn Write) -> Result<Exported, ExportError> {
        let Self { reader, query, picked, tally } = self;
        let key = options.signing_key.verifier_key(&picked.checkpoint.origin).map_err(ReadError::from)?;
        let asked = match &tally {
            Some(tally) => format!("HIPAA evidence of {}, by its samples", tally.period()),
            None => query.describe(),
        };
        let mut writer = Writer {
            reader: &reader,
            picked: &picked,
            prover: Prover::new(reader.dir(), &picked.checkpoint),
            bundle: Bundle::new(out),
            sheet: Sheet::new(asked, options),
            components: BTreeSet::new(),
            settings: BTreeSet::new(),
            records: 0,
        };
        writer.bundle.add("README.txt", READ_ME)?;
        writer.bundle.add("verify.py", VERIFIER)?;
        writer.bundle.add("checkpoint", picked.note.as_bytes())?;
        writer.bundle.add("keys/log.vkey", format!("{key}\n").as_bytes())?;
        writer.witnesses(&key)?;
        writer.node()?;
        let mut keys = serde_json::Map::new();
        for (id, session) in &picked.sessions {
            if let Some(key) = writer.session(*id, session)?.filter(|_| options.with_contents) {
                keys.insert(id.to_string(), key.into());
            }
        }
        if options.with_contents {
            let text = Zeroizing::new(serde_json::to_vec(&keys).map_err(io::Error::from)?);
            writer.bundle.add("keys/contents.json", &text)?;
        }
        let missing = writer.plugins()?;
        let Writer { mut bundle, sheet, records, .. } = writer;
        bundle.add("report.csv", csv::table(&sheet).as_bytes())?;
        bundle.add("report.html", report::page(&sheet, &picked.checkpoint).as_bytes())?;
        if let Some(tally) = &tally {
            let evidence = tally.evidence(&picked.checkpoint, options.at);
            bundle.add("hipaa.html", evidence.page().as_bytes())?;
            bundle.add("hipaa.csv", evidence.table().as_bytes())?;
            bundle.add("hipaa.json", &serde_json::to_vec_pretty(&evidence).map_err(io::Error::from)?)?;
        }
        bundle.finish(&sheet, &picked, &missing, &key, options)?;
        Ok(Exported { sessions: picked.sessions.len() as u64, records, size: picked.checkpoint.size })
    }
}

/// One bundle that is being written.
struct Writer<'a, 'o> {
    reader: &'a Reader,
    picked: &'a Picked,
    prover: Prover,
    bundle: Bundle<'o>,
    sheet: Sheet,
    /// What decided.
    components: BTreeSet<Digest>,
    settings: BTreeSet<Digest>,
    records: u64,
}

/// One line of a part.
#[derive(Serialize)]
struct Row<'a> {
    index: u64,
    /// The leaf's exact text.
    leaf: &'a str,
    /// RFC 6962's audit path, lowest first, in base64.
    proof: Vec<String>,
    /// The record's exact text.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    /// Proves the text, where nothing was recorded beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

impl Writer<'_, '_> {
    /// What witnesses signed of this log, that it goes on to the bundle's checkpoint, and who they are said to be.
    fn witnesses(&mut self, key: &VerifierKey) -> Result<(), ExportError> {
        let (dir, checkpoint) = (self.reader.dir(), &self.picked.checkpoint);
        if let Some(text) = read_beside(self.reader.home(), "policy.txt")? {
            self.bundle.add("policy.txt", text.as_bytes())?;
        }
        let Some(note) = read_beside(dir, "witnessed")? else { return Ok(()) };
        let seen = Checkpoint::open(&note, key).map_err(ExportError::Witnessed)?;
        if seen.size > checkpoint.size {
            return Err(ExportError::Witnessed(NoteError::Malformed));
        }
        let proof = prove_consistency(dir, seen.size, checkpoint)?;
        let lines = proof.iter().flat_map(|proof| &proof.path).map(|hash| format!("{}\n", to_standard(hash)));
        self.bundle.add("witnessed", note.as_bytes())?;
        Ok(self.bundle.add("witnessed.proof", lines.collect::<String>().as_bytes())?)
    }

    /// The node's own records, and the approvals among them once more as files of their own.
    fn node(&mut self) -> Result<(), ExportError> {
        let Some((&first, &last)) = self.picked.node.first().zip(self.picked.node.last()) else { return Ok(()) };
        let (mut part, mut votes) = (Part::default(), std::collections::BTreeMap::<RequestId, u32>::new());
        for entry in self.reader.records()? {
            let entry = entry?;
            if entry.index > last {
                break;
            }
            if entry.index < first || !self.picked.node.contains(&entry.index) {
                continue;
            }
            self.row(&mut part, &entry)?;
            let Some(record) = entry.record() else { continue };
            self.sheet.node(entry.index, entry.leaf.log_time, record);
            match record {
                Record::Review(event) => {
                    if let Some(envelope) = &event.envelope {
                        let vote = votes.entry(event.request).or_default();
                        *vote += 1;
                        let name = format!("approvals/{}-{vote}.dsse.json", event.request);
                        self.bundle.add(&name, envelope.as_bytes())?;
                    }
                }
                Record::PolicyChange(change) => {
                    for policy in change.policies.values() {
                        self.components.insert(policy.plugin);
                        self.settings.insert(policy.settings);
                    }
                }
                _ => {}
            }
            if part.rows.len() >= PART_BYTES {
                part.close("node", &mut self.bundle, false)?;
            }
        }
        Ok(part.close("node", &mut self.bundle, false)?)
    }

    /// A whole session; its key in base64, where there is one.
    fn session(&mut self, id: SessionId, picked: &PickedSession) -> Result<Option<String>, ExportError> {
        let folder = format!("sessions/{id}");
        let mut part = Part::default();
        let mut entries = self.reader.session_from(&picked.open, picked.index)?;
        let mut written = 0;
        while written < picked.records
            && let Some(entry) = entries.next()
        {
            let entry = entry?;
            written += 1;
            self.row(&mut part, &entry)?;
            part.sealed.extend_from_slice(&entry.sealed);
            self.note(&entry)?;
            if part.rows.len() + part.sealed.len() >= PART_BYTES {
                part.close(&folder, &mut self.bundle, true)?;
            }
        }
        part.close(&folder, &mut self.bundle, true)?;
        self.sheet.end(id, picked);
        Ok(entries.session_key(id).map(|key| to_standard(key.as_slice())))
    }

    fn row(&mut self, part: &mut Part, entry: &Entry) -> Result<(), ExportError> {
        let proof = self.prover.path(entry.index)?.unwrap_or_default();
        let opened = match &entry.contents {
            Contents::Open(opened) => Some(opened),
            Contents::Sealed(_) => None,
        };
        let row = Row {
            index: entry.index,
            leaf: std::str::from_utf8(&entry.bytes).unwrap_or_default(),
            proof: proof.iter().map(|hash| to_standard(hash)).collect(),
            record: opened.map(|opened| opened.json.as_str()),
            salt: opened.filter(|opened| opened.chunks.is_empty()).map(|opened| to_base64(&opened.salt)),
        };
        serde_json::to_writer(&mut part.rows, &row).map_err(io::Error::from)?;
        part.rows.push(b'\n');
        self.records += 1;
        Ok(())
    }

    /// Takes a session's record into the report, and notes what decided.
    fn note(&mut self, entry: &Entry) -> Result<(), ExportError> {
        let decision = match entry.record() {
            Some(Record::Decision(record)) => Some(&record.decision),
            Some(Record::SessionOpen(open)) => open.decision.as_ref(),
            _ => None,
        };
        let opinions = decision.iter().flat_map(|decision| &decision.opinions);
        for opinion in opinions.filter(|opinion| opinion.plugin != Digest([0; 32])) {
            self.components.insert(opinion.plugin);
            self.settings.insert(opinion.settings);
        }
        self.sheet.session(entry)
    }

    /// What decided, byte by byte; the names of what the ledger does not have.
    fn plugins(&mut self) -> Result<Vec<String>, ExportError> {
        let mut missing = Vec::new();
        for (kept, digests, ending) in
            [(Kept::Plugin, &self.components, "wasm"), (Kept::Settings, &self.settings, "json")]
        {
            for digest in digests {
                let name = format!("plugins/{digest}.{ending}");
                match read_kept(self.reader.home(), kept, digest)? {
                    Some(bytes) => self.bundle.add(&name, &bytes)?,
                    None => missing.push(name),
                }
            }
        }
        Ok(missing)
    }
}

/// Records of one session that go into one pair of files.
#[derive(Default)]
struct Part {
    number: u32,
    rows: Vec<u8>,
    sealed: Vec<u8>,
}

impl Part {
    fn close(&mut self, folder: &str, bundle: &mut Bundle<'_>, has_contents: bool) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        bundle.add(&format!("{folder}/{:04}.ndjson", self.number), &self.rows)?;
        if has_contents {
            bundle.add(&format!("{folder}/{:04}.sealed", self.number), &self.sealed)?;
        }
        self.number += 1;
        self.rows.clear();
        self.sealed.clear();
        Ok(())
    }
}

impl SessionEnd {
    const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed(_) => "closed",
            Self::Lost => "lost",
        }
    }
}

/// A text beside the log; none if it is not there.
fn read_beside(dir: &Path, name: &str) -> Result<Option<String>, ReadError> {
    let path = dir.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadError::Io { path, source }),
    }
}

fn to_standard(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
