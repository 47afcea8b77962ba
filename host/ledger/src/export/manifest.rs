//! What a bundle says of itself, signed by who made it: every file with its digest, every session with its end.

use std::io::{self, Write};

use serde::Serialize;

use super::pick::Picked;
use super::sheet::Sheet;
use super::{ExportOptions, tar, to_standard};
use crate::VerifierKey;
use crate::sha256::sha256;

/// The type of the signed payload.
const PAYLOAD_TYPE: &str = "application/vnd.grille.evidence.v1+json";

/// The tar file and what is in it so far.
pub(super) struct Bundle<'o> {
    out: &'o mut dyn Write,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    name: String,
    size: usize,
    sha256: String,
}

#[derive(Serialize)]
struct Manifest<'a> {
    v: u8,
    log: &'a str,
    size: u64,
    root: String,
    exported_by: &'a str,
    exported_at: u64,
    query: &'a str,
    with_contents: bool,
    sessions: Vec<Session>,
    /// What decided and is not among the ledger's plugins.
    missing: &'a [String],
    files: &'a [File],
}

#[derive(Serialize)]
struct Session {
    id: String,
    records: u64,
    end: &'static str,
    /// The index of its first record, and when it began, in Unix microseconds.
    first: u64,
    began: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    payload: String,
    payload_type: &'a str,
    signatures: [Signature; 1],
}

#[derive(Serialize)]
struct Signature {
    keyid: String,
    sig: String,
}

impl<'o> Bundle<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { out, files: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let sha256 = grille_policy::Digest(sha256(bytes)).to_string();
        self.files.push(File { name: name.to_owned(), size: bytes.len(), sha256 });
        tar::add(self.out, name, bytes)
    }

    /// Signs what was added, and ends the file.
    pub(super) fn finish(
        self,
        sheet: &Sheet,
        picked: &Picked,
        missing: &[String],
        key: &VerifierKey,
        options: &ExportOptions<'_>,
    ) -> io::Result<()> {
        let sessions = picked.sessions.iter().map(|(id, session)| Session {
            id: id.to_string(),
            records: session.records,
            end: session.end.name(),
            first: session.index,
            began: session.first,
        });
        let manifest = Manifest {
            v: 1,
            log: &picked.checkpoint.origin,
            size: picked.checkpoint.size,
            root: to_standard(&picked.checkpoint.root),
            exported_by: options.by,
            exported_at: options.at,
            query: &sheet.query,
            with_contents: options.with_contents,
            sessions: sessions.collect(),
            missing,
            files: &self.files,
        };
        let payload = serde_json::to_vec(&manifest)?;
        let mut signed = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
        signed.extend_from_slice(&payload);
        let envelope = Envelope {
            payload: to_standard(&payload),
            payload_type: PAYLOAD_TYPE,
            signatures: [Signature { keyid: key.to_string(), sig: to_standard(&options.signing_key.sign(&signed)) }],
        };
        tar::add(self.out, "manifest.json", &serde_json::to_vec(&envelope)?)?;
        tar::end(self.out)
    }
}
