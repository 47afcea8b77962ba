//! What the exporter signed: the manifest, and the form that it shares with approvals (DSSE).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use grille_policy::{Digest, SessionId};
use serde::Deserialize;

use super::super::damage::{DamageKind, VerifyError};
use super::Judge;
use crate::VerifierKey;
use crate::note::Checkpoint;

const MANIFEST_TYPE: &str = "application/vnd.grille.evidence.v1+json";

#[derive(Deserialize)]
pub(super) struct Manifest {
    log: String,
    size: u64,
    root: String,
    pub(super) sessions: Vec<Session>,
    /// What decided and was not kept.
    pub(super) missing: BTreeSet<String>,
    files: Vec<Listed>,
}

#[derive(Deserialize)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) records: u64,
    pub(super) end: String,
    /// The index of its first record, and when it began, in Unix microseconds.
    #[serde(default)]
    pub(super) first: Option<u64>,
    #[serde(default)]
    pub(super) began: Option<u64>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    size: u64,
    sha256: String,
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

impl Manifest {
    /// The checkpoint that the bundle was made under.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let root = standard(&self.root)?.try_into().ok()?;
        Some(Checkpoint { origin: self.log.clone(), size: self.size, root })
    }
}

/// Reads the manifest and compares the files with it.
pub(super) fn manifest(judge: &mut Judge<'_>, key: &VerifierKey) -> Result<Option<Manifest>, VerifyError> {
    const NAME: &str = "manifest.json";
    let Some(text) = judge.archive.read(NAME)? else {
        judge.whole(DamageKind::Manifest, NAME, "the bundle has no manifest");
        return Ok(None);
    };
    let payload = match open(&text, MANIFEST_TYPE, key) {
        Ok(payload) => payload,
        Err(why) => {
            judge.whole(DamageKind::Manifest, NAME, &why);
            return Ok(None);
        }
    };
    if !is_as_written(&text, key) {
        judge.whole(DamageKind::Manifest, NAME, "around what is signed, it is not as the exporter wrote it");
    }
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&payload) else {
        judge.whole(DamageKind::Manifest, NAME, "it is in no known form");
        return Ok(None);
    };
    let listed: BTreeMap<&str, &Listed> = manifest.files.iter().map(|file| (&*file.name, file)).collect();
    for (name, file) in &listed {
        match judge.archive.bytes_of(name) {
            None => judge.whole(DamageKind::FileMissing, name, "the file is missing"),
            Some(bytes) if bytes != file.size || Digest(judge.archive.digest(name)?).to_string() != file.sha256 => {
                judge.whole(DamageKind::File, name, "it is not the file that the exporter put into the bundle");
            }
            Some(_) => {}
        }
    }
    let archive = judge.archive;
    for name in archive.names().filter(|name| *name != NAME && !listed.contains_key(name)) {
        judge.whole(DamageKind::FileAdded, name, "the exporter put no such file into the bundle");
    }
    Ok(Some(manifest))
}

/// Nothing signs the frame of an envelope, such as the name of its key: it has one form.
fn is_as_written(text: &[u8], key: &VerifierKey) -> bool {
    let Ok(Envelope { payload, payload_type, signatures }) = serde_json::from_slice(text) else { return false };
    let [Signature { sig }] = &signatures[..] else { return false };
    let written = format!(
        "{{\"payload\":\"{payload}\",\"payloadType\":\"{payload_type}\",\"signatures\":[{{\"keyid\":\"{key}\",\"sig\":\"{sig}\"}}]}}"
    );
    written.as_bytes() == text
}

/// The payload of a DSSE envelope that this key signed, or why there is none.
pub(super) fn open(text: &[u8], wanted: &str, key: &VerifierKey) -> Result<Vec<u8>, String> {
    let no_envelope = || "it is not a DSSE envelope".to_owned();
    let envelope: Envelope = serde_json::from_slice(text).map_err(|_| no_envelope())?;
    let payload = standard(&envelope.payload).ok_or_else(no_envelope)?;
    let kind = &envelope.payload_type;
    if kind != wanted {
        return Err(format!("it is signed as `{kind}`, not as `{wanted}`"));
    }
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    let fits = |one: &Signature| standard(&one.sig).is_some_and(|signature| key.verifies(&signed, &signature));
    if envelope.signatures.iter().any(fits) {
        Ok(payload)
    } else {
        Err("its signature does not fit it, or was made with another key".to_owned())
    }
}

pub(super) fn standard(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
