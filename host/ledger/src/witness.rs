//! Witnesses: somebody else's signature that a log only grew (C2SP tlog-witness and tlog-cosignature, Ed25519).
//!
//! A witness remembers of each log the last checkpoint that it signed, and signs another one only with the proof that it
//! goes on from there. Who holds such signatures knows that nobody was shown another log.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::keys::KeyKind;
use crate::merkle::extends;
use crate::note::{SIGNATURE_MARK, split};
use crate::prove::prove_consistency;
use crate::sha256::{Hash, sha256};
use crate::tiles::{Durability, replace};
use crate::{Checkpoint, Consistency, KeyError, NoteError, ReadError, SigningKey, VerifierKey};

/// A proof has at most so many lines (tlog-witness).
const PROOF_LINES_MAX: usize = 63;
/// A request of more bytes is none: a note and 63 hashes.
pub const WITNESS_REQUEST_BYTES_MAX: usize = 72 << 10;

/// One who watches logs.
pub struct Witness {
    dir: PathBuf,
    key: SigningKey,
    own: VerifierKey,
    logs: Vec<VerifierKey>,
    /// A check and what it leads to are one step.
    one: Mutex<()>,
}

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// 200: the line of its signature.
    Cosigned(String),
    /// 400: this is no request.
    Malformed,
    /// 403: no key of the log signed this.
    Unsigned,
    /// 404: it does not watch this log.
    Unknown,
    /// 409: it has signed a tree of this size last.
    Elsewhere(u64),
    /// 409: it has signed another tree of this size.
    Forked,
    /// 422: this does not go on from what it has signed.
    Unproven,
}

impl Witness {
    /// A witness of these logs, which remembers in `dir` what it has signed.
    pub fn new(dir: &Path, name: &str, key: SigningKey, logs: Vec<VerifierKey>) -> Result<Self, KeyError> {
        let own = key.verifier_key(name)?.of_kind(KeyKind::Cosignature);
        Ok(Self { dir: dir.to_owned(), key, own, logs, one: Mutex::new(()) })
    }

    /// The key that checks its signatures, for those who trust it.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.own
    }

    /// Answers `add-checkpoint` at this time, in Unix seconds. What it signs it has written down before.
    pub fn add_checkpoint(&self, request: &str, now: u64) -> io::Result<WitnessAnswer> {
        let Some((old, proof, note)) = parse(request) else { return Ok(WitnessAnswer::Malformed) };
        let Ok(told) = Checkpoint::peek(note) else { return Ok(WitnessAnswer::Malformed) };
        let mut keys = self.logs.iter().filter(|log| log.origin() == told.origin).peekable();
        if keys.peek().is_none() {
            return Ok(WitnessAnswer::Unknown);
        }
        let Some(checkpoint) = keys.find_map(|key| Checkpoint::open(note, key).ok()) else {
            return Ok(WitnessAnswer::Unsigned);
        };
        if old > checkpoint.size {
            return Ok(WitnessAnswer::Malformed);
        }
        let _one = self.one.lock();
        let path = self.dir.join(hex_name(&checkpoint.origin));
        let last = self.last(&path)?;
        let (last_size, last_root) = last.map_or((0, None), |last| (last.size, Some(last.root)));
        if old != last_size {
            return Ok(WitnessAnswer::Elsewhere(last_size));
        }
        match last_root {
            Some(root) if old == checkpoint.size && root != checkpoint.root => return Ok(WitnessAnswer::Forked),
            Some(root) if old > 0 && !extends(old, &root, checkpoint.size, &checkpoint.root, &proof) => {
                return Ok(WitnessAnswer::Unproven);
            }
            _ if old == 0 && !proof.is_empty() => return Ok(WitnessAnswer::Unproven),
            _ => {}
        }
        replace(&path, note.as_bytes(), Durability::Synced)?;
        Ok(WitnessAnswer::Cosigned(self.cosign(note, now)))
    }

    /// What it has signed last. A file that cannot be read is not "nothing yet".
    fn last(&self, path: &Path) -> io::Result<Option<Checkpoint>> {
        match fs::read_to_string(path) {
            Ok(note) => {
                let damaged = |error: NoteError| io::Error::new(io::ErrorKind::InvalidData, error);
                Checkpoint::peek(&note).map(Some).map_err(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn cosign(&self, note: &str, now: u64) -> String {
        let body = split(note).map_or("", |(body, _)| body);
        let mut signature = self.own.id().to_vec();
        signature.extend_from_slice(&now.to_be_bytes());
        signature.extend_from_slice(&self.key.sign(&message(now, body)));
        format!("{SIGNATURE_MARK}{} {}\n", self.own.origin(), STANDARD.encode(signature))
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({})", self.own)
    }
}

/// The request that asks for a signature of this note, for a witness that has last signed a tree of `old` records; none
/// if the checkpoint covers fewer. Reads the tiles in `dir`.
pub fn witness_request(dir: &Path, old: u64, note: &str) -> Result<Option<String>, ReadError> {
    let Ok(checkpoint) = Checkpoint::peek(note) else { return Ok(None) };
    if old > checkpoint.size {
        return Ok(None);
    }
    let proof: Option<Consistency> = prove_consistency(dir, old, &checkpoint)?;
    let lines = proof.iter().flat_map(|proof| &proof.path).map(|hash| format!("{}\n", STANDARD.encode(hash)));
    Ok(Some(format!("old {old}\n{}\n{note}", lines.collect::<String>())))
}

/// The line among a witness's answer by which `key` signed this note, and when, in Unix seconds.
pub fn cosignature(answer: &str, note: &str, key: &VerifierKey) -> Result<(String, u64), NoteError> {
    let (body, _) = split(note)?;
    let mut outcome = NoteError::Unsigned;
    for line in answer.lines() {
        let Some((name, encoded)) = line.strip_prefix(SIGNATURE_MARK).and_then(|line| line.split_once(' ')) else {
            return Err(NoteError::Malformed);
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
        let Some((id, rest)) = bytes.split_first_chunk::<4>() else { return Err(NoteError::Malformed) };
        if name != key.origin() || *id != key.id() {
            continue;
        }
        let Some((time, signature)) = rest.split_first_chunk::<8>() else { return Err(NoteError::Malformed) };
        let time = u64::from_be_bytes(*time);
        if key.verifies(&message(time, body), signature) {
            return Ok((format!("{line}\n"), time));
        }
        outcome = NoteError::Forged;
    }
    Err(outcome)
}

/// What a cosignature signs.
fn message(time: u64, body: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{body}").into_bytes()
}

/// The old size, the proof and the note of a request.
fn parse(request: &str) -> Option<(u64, Vec<Hash>, &str)> {
    if request.len() > WITNESS_REQUEST_BYTES_MAX {
        return None;
    }
    let (head, note) = request.split_once("\n\n")?;
    let mut lines = head.split('\n');
    let old = lines.next()?.strip_prefix("old ")?;
    let is_number = old == "0" || (!old.starts_with('0') && old.bytes().all(|byte| byte.is_ascii_digit()));
    let old = old.parse().ok().filter(|_| is_number)?;
    let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
    let proof: Vec<Hash> = lines.map(hash).collect::<Option<_>>()?;
    (proof.len() <= PROOF_LINES_MAX).then_some((old, proof, note))
}

/// A file name for a log, whatever its name holds.
fn hex_name(origin: &str) -> String {
    format!("{}.checkpoint", grille_policy::Digest(sha256(origin.as_bytes())))
}
