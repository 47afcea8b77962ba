//! Verification of an evidence bundle, tar or unpacked: the checkpoint, every record under it, whole sessions, what
//! decided, who approved. `verify.py` judges the same without a line of this; tests hold them to the same words.

mod archive;
mod decided;
mod records;
mod signed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_policy::SessionId;

use super::anchor::coverage;
use super::damage::{BundleReport, BundleSound, Damage, DamageKind, VerifyError, VerifyOptions};
use crate::leaf::Leaf;
use crate::merkle::extends;
use crate::note::Checkpoint;
use crate::{TrustPolicy, VerifierKey};
use archive::Archive;
use decided::Decided;
use records::Told;
use signed::Manifest;

/// Who reads a thousand has read enough; the report says that there is more.
const DAMAGE_MAX: usize = 1_000;

/// Verifies an evidence bundle: a tar file, or the directory that it was unpacked into.
pub fn verify_bundle(path: &Path, options: &mut VerifyOptions<'_>) -> Result<BundleReport, VerifyError> {
    let archive = Archive::open(path)?;
    let Some(note) = archive.read("checkpoint")? else {
        return Err(VerifyError::NotABundle { path: path.to_owned(), why: "it has no checkpoint".to_owned() });
    };
    let note = String::from_utf8_lossy(&note).into_owned();
    let (key, is_key_trusted) = key(&archive, options, &note, path)?;
    let mut judge = Judge { archive: &archive, damage: Vec::new() };
    let mut sound = BundleSound { is_key_trusted, ..BundleSound::default() };
    for name in &archive.twice {
        judge.whole(DamageKind::FileAdded, name, "the bundle holds this file twice");
    }
    match super::anchor::open(Path::new("checkpoint"), &note, &key) {
        Ok(checkpoint) => judge.all(&note, checkpoint, &key, options, &mut sound)?,
        Err(damage) => judge.damage.push(*damage),
    }
    let mut damage = judge.damage;
    // The first bad record first; what cannot name one stands behind. Contents are displaced by what is told before.
    damage.sort_by_key(|one| (one.index.unwrap_or(u64::MAX), one.kind == DamageKind::Contents));
    Ok(BundleReport { sound, damage })
}

/// Collects what is wrong.
struct Judge<'a> {
    archive: &'a Archive,
    damage: Vec<Damage>,
}

/// A record that damage is named by: where its row stands, and what its leaf says.
#[derive(Clone)]
struct Named {
    file: Arc<str>,
    offset: u64,
    index: u64,
    session: SessionId,
    seq: u64,
    time: u64,
    mono: u64,
}

impl Named {
    fn new(file: &Arc<str>, offset: u64, index: u64, leaf: &Leaf) -> Self {
        let file = Arc::clone(file);
        Self { file, offset, index, session: leaf.sid, seq: leaf.seq, time: leaf.log_time, mono: leaf.mono }
    }

    fn damage(&self, kind: DamageKind, detail: String) -> Damage {
        let (session, seq, time) = (Some(self.session), Some(self.seq), Some(self.time));
        Damage { session, seq, time, ..Damage::at(self.index, kind, Path::new(&*self.file), self.offset, detail) }
    }
}

impl Judge<'_> {
    fn all(
        &mut self,
        note: &str,
        checkpoint: Checkpoint,
        key: &VerifierKey,
        options: &mut VerifyOptions<'_>,
        sound: &mut BundleSound,
    ) -> Result<(), VerifyError> {
        let manifest = signed::manifest(self, key)?;
        let checkpoint = self.settle(checkpoint, manifest.as_ref());
        self.witnesses(note, &checkpoint, key, options, sound)?;
        self.known(&checkpoint, key, options)?;
        let mut decided = Decided::default();
        let told = records::check(self, &checkpoint, manifest.as_ref(), &mut decided, &mut options.progress)?;
        decided.check(self, key, manifest.as_ref(), sound)?;
        let Told { records, sessions, closed, proven, told, opened, notes } = told;
        sound.origin = checkpoint.origin;
        (sound.size, sound.root) = (checkpoint.size, checkpoint.root);
        (sound.records, sound.sessions, sound.closed) = (records, sessions, closed);
        (sound.texts_proven, sound.texts_opened, sound.texts_told) = (proven, opened, told.saturating_sub(opened));
        sound.notes.extend(notes);
        Ok(())
    }

    /// The checkpoint that the bundle was made under. Another one of the same log is told once, and not for each record.
    fn settle(&mut self, checkpoint: Checkpoint, manifest: Option<&Manifest>) -> Checkpoint {
        let Some(made) = manifest.and_then(|manifest| manifest.checkpoint()) else { return checkpoint };
        if made.origin != checkpoint.origin || made == checkpoint {
            return checkpoint;
        }
        let (is, was) = (checkpoint.size, made.size);
        let mut damage = if is == was {
            let detail = format!("two checkpoints over {is} records were signed, and they differ");
            Damage::whole(DamageKind::Fork, Path::new("checkpoint"), detail)
        } else {
            let detail = format!("it covers {is} records, and the bundle was made under one over {was}");
            Damage::whole(DamageKind::OlderCheckpoint, Path::new("checkpoint"), detail)
        };
        damage.index = (is < was).then_some(is);
        self.push(damage);
        made
    }

    /// How far witnesses saw the log, and that this log is the one they saw.
    fn witnesses(
        &mut self,
        note: &str,
        checkpoint: &Checkpoint,
        key: &VerifierKey,
        options: &VerifyOptions<'_>,
        sound: &mut BundleSound,
    ) -> Result<(), VerifyError> {
        let read = |name| Ok(self.archive.read(name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        let (witnessed, proof) = (read("witnessed")?, read("witnessed.proof")?);
        let own = read("policy.txt")?;
        let mut seen = vec![note];
        if let Some(witnessed) = &witnessed {
            match super::anchor::open(Path::new("witnessed"), witnessed, key) {
                Ok(old) if old.size > checkpoint.size => {
                    let detail = format!("it covers {} records, and a witness saw {}", checkpoint.size, old.size);
                    let file = Path::new("checkpoint");
                    let damage = Damage::at(checkpoint.size, DamageKind::OlderCheckpoint, file, 0, detail);
                    self.push(damage);
                }
                Ok(old) if !goes_on(&old, checkpoint, proof.as_deref().unwrap_or_default()) => {
                    let detail = "the log is not the one that was witnessed: the proof between the two fails";
                    self.whole(DamageKind::Fork, "witnessed.proof", detail);
                }
                Ok(_) => seen.push(witnessed),
                Err(damage) => self.push(*damage),
            }
        }
        let own = own.map(|text| TrustPolicy::parse(&text)).transpose();
        let own = match own {
            Ok(own) => own,
            Err(error) => {
                self.whole(DamageKind::Manifest, "policy.txt", &format!("it is no policy: {error}"));
                None
            }
        };
        sound.is_policy_trusted = options.policy.is_some();
        let Some(policy) = options.policy.or(own.as_ref()) else { return Ok(()) };
        match coverage(policy, seen.into_iter()) {
            Ok(coverage) => sound.witnessed = Some(coverage),
            Err(why) => self.whole(DamageKind::Cosignature, "witnessed", &why),
        }
        Ok(())
    }

    /// Checkpoints that the reader kept: this one may not be older, nor another over as many records.
    fn known(
        &mut self,
        checkpoint: &Checkpoint,
        key: &VerifierKey,
        options: &VerifyOptions<'_>,
    ) -> Result<(), VerifyError> {
        for path in &options.known {
            let text = std::fs::read_to_string(path).map_err(super::io(path))?;
            let name = path.display();
            match super::anchor::open(path, &text, key) {
                Ok(kept) if kept.size > checkpoint.size => {
                    let detail = format!("it covers {} records, and {name} covers {}", checkpoint.size, kept.size);
                    let file = Path::new("checkpoint");
                    self.push(Damage::at(checkpoint.size, DamageKind::OlderCheckpoint, file, 0, detail));
                }
                Ok(kept) if kept.size == checkpoint.size && kept.root != checkpoint.root => {
                    let detail = format!("it differs from {name}, which covers as many records");
                    self.whole(DamageKind::Fork, "checkpoint", &detail);
                }
                Ok(_) => {}
                Err(damage) => self.push(*damage),
            }
        }
        Ok(())
    }

    fn push(&mut self, damage: Damage) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(damage);
        }
    }

    fn whole(&mut self, kind: DamageKind, file: &str, detail: &str) {
        self.push(Damage::whole(kind, Path::new(file), detail.to_owned()));
    }
}

/// Whether `checkpoint` is proven to go on from `old`, by hashes in base64, one per line.
fn goes_on(old: &Checkpoint, checkpoint: &Checkpoint, proof: &str) -> bool {
    let path: Option<Vec<_>> = proof.lines().map(|line| signed::standard(line)?.try_into().ok()).collect();
    let extended = |path: Vec<_>| extends(old.size, &old.root, checkpoint.size, &checkpoint.root, &path);
    old.size == 0 || path.is_some_and(extended)
}

/// The key to check with, and whether somebody outside vouches for it.
fn key(
    archive: &Archive,
    options: &VerifyOptions<'_>,
    note: &str,
    path: &Path,
) -> Result<(VerifierKey, bool), VerifyError> {
    if let Some(key) = &options.key {
        return Ok((key.clone(), true));
    }
    let origin = Checkpoint::peek(note).ok().map(|told| told.origin);
    if let Some(key) = options.policy.zip(origin).and_then(|(policy, origin)| policy.log(&origin)) {
        return Ok((key.clone(), true));
    }
    let file: PathBuf = path.join("keys/log.vkey");
    let Some(text) = archive.read("keys/log.vkey")? else { return Err(VerifyError::NoKey { path: file }) };
    let key = VerifierKey::from_text(&String::from_utf8_lossy(&text));
    Ok((key.map_err(|source| VerifyError::Key { path: file, source })?, false))
}
