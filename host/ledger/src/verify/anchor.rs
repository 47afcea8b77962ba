//! What was signed: the newest statement about the log, and older ones that it has to go on from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::damage::{Coverage, Damage, DamageKind, VerifyError, VerifyOptions};
use crate::note::{Checkpoint, LastSigned, NoteError};
use crate::{KeyError, TrustPolicy, VerifierKey};

/// Signed statements about one log.
#[derive(Default)]
pub(super) struct Anchors {
    pub(super) newest: Option<Checkpoint>,
    /// Checkpoints that the log has to hold on its way, and where they were found.
    pub(super) passed: Vec<(PathBuf, Checkpoint)>,
    /// How far the witnesses saw it, where somebody says whom to trust.
    pub(super) witnessed: Option<Coverage>,
    pub(super) is_key_trusted: bool,
}

/// A note in a file.
pub(super) struct Note {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Either what was signed, or what is wrong with it.
type Found<T> = Result<Result<T, Box<Damage>>, VerifyError>;

pub(super) fn anchors(dir: &Path, options: &VerifyOptions<'_>) -> Found<Anchors> {
    // In this order: what is signed first is read last, so that nothing is newer than what it is compared with.
    let mut passed = Vec::new();
    for path in options.known.iter().cloned().chain([dir.join("witnessed")]) {
        match read_optional(&path)? {
            Some(text) => passed.push(Note { path, text }),
            None if options.known.contains(&path) => {
                return Err(super::io(&path)(io::Error::from(io::ErrorKind::NotFound)));
            }
            None => {}
        }
    }
    let (last_path, path) = (dir.join("last_signed"), dir.join("checkpoint"));
    let last = read_optional(&last_path)?;
    let published = read_optional(&path)?.map(|text| Note { path, text });
    let any = published.iter().chain(&passed).next();
    let (key, is_key_trusted) = key(dir, options, any.map(|note| &*note.text))?;
    if last.is_none() && any.is_none() {
        return Ok(match lacking(options.policy, &[]) {
            Ok(witnessed) => Ok(Anchors { witnessed, is_key_trusted, ..Anchors::default() }),
            Err(why) => Err(Box::new(Damage::whole(DamageKind::Cosignature, &dir.join("checkpoint"), why))),
        });
    }
    let Some(key) = key else { return Err(VerifyError::NoKey { path: dir.join("log.vkey") }) };
    let newest = match newest(published.as_ref(), last.as_deref(), &last_path, &key) {
        Ok(newest) => newest,
        Err(damage) => return Ok(Err(damage)),
    };
    let mut opened = Vec::new();
    for note in &passed {
        match open(&note.path, &note.text, &key) {
            Ok(checkpoint) => opened.push((note.path.clone(), checkpoint)),
            Err(damage) => return Ok(Err(damage)),
        }
    }
    let size = newest.as_ref().map_or(0, |newest| newest.size);
    if let Some((path, seen)) = opened.iter().find(|(_, seen)| seen.size > size) {
        let (more, path) = (seen.size - size, path.display());
        let detail = format!("it covers {size} records, and {path} shows that {more} more were signed");
        let file = dir.join("checkpoint");
        return Ok(Err(Box::new(Damage::at(size, DamageKind::OlderCheckpoint, &file, 0, detail))));
    }
    let notes: Vec<&Note> = published.iter().chain(&passed).collect();
    let witnessed = match lacking(options.policy, &notes) {
        Ok(witnessed) => witnessed,
        Err(why) => {
            let file = notes.last().map_or_else(|| dir.join("checkpoint"), |note| note.path.clone());
            return Ok(Err(Box::new(Damage::whole(DamageKind::Cosignature, &file, why))));
        }
    };
    Ok(Ok(Anchors { newest, passed: opened, witnessed, is_key_trusted }))
}

/// The largest tree that enough witnesses signed, or what the best note lacks.
fn lacking(policy: Option<&TrustPolicy>, notes: &[&Note]) -> Result<Option<Coverage>, String> {
    let Some(policy) = policy else { return Ok(None) };
    coverage(policy, notes.iter().map(|note| &*note.text)).map(Some)
}

/// The largest tree among these notes that enough witnesses signed, or what the last one lacks.
pub(super) fn coverage<'a>(policy: &TrustPolicy, notes: impl Iterator<Item = &'a str>) -> Result<Coverage, String> {
    let mut best: Option<Coverage> = None;
    let mut lacks = "there is no checkpoint that a witness could have signed".to_owned();
    for note in notes {
        let Ok((checkpoint, judged)) = Checkpoint::peek(note).and_then(|told| Ok((told, policy.judge(note)?))) else {
            continue;
        };
        match judged.lacks {
            Some(why) => lacks = why,
            None if best.as_ref().is_none_or(|best| best.size < checkpoint.size) => {
                best =
                    Some(Coverage { size: checkpoint.size, by: judged.by.into_iter().map(|(name, _)| name).collect() });
            }
            None => {}
        }
    }
    best.ok_or(lacks)
}

/// The key to check with, and whether somebody outside vouches for it.
pub(super) fn key(
    dir: &Path,
    options: &VerifyOptions<'_>,
    note: Option<&str>,
) -> Result<(Option<VerifierKey>, bool), VerifyError> {
    if let Some(key) = &options.key {
        return Ok((Some(key.clone()), true));
    }
    let origin = note.and_then(|note| Checkpoint::peek(note).ok()).map(|told| told.origin);
    if let Some(key) = options.policy.zip(origin).and_then(|(policy, origin)| policy.log(&origin)) {
        return Ok((Some(key.clone()), true));
    }
    let path = dir.join("log.vkey");
    match VerifierKey::from_file(&path) {
        Ok(key) => Ok((Some(key), false)),
        Err(KeyError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok((None, false)),
        Err(source) => Err(VerifyError::Key { path, source }),
    }
}

/// The published checkpoint, or the signed one that a crash kept from being published.
fn newest(
    published: Option<&Note>,
    last: Option<&str>,
    last_path: &Path,
    key: &VerifierKey,
) -> Result<Option<Checkpoint>, Box<Damage>> {
    let published_path = last_path.with_file_name("checkpoint");
    let published = published.map(|note| open(&published_path, &note.text, key)).transpose()?;
    let Some(text) = last else { return Ok(published) };
    let Some(last) = LastSigned::parse(text) else {
        let detail = NoteError::Malformed.to_string();
        return Err(Box::new(Damage::whole(DamageKind::Checkpoint, last_path, detail)));
    };
    let previous = last.previous;
    let last = open(last_path, &last.note, key)?;
    let size = published.as_ref().map_or(0, |published| published.size);
    if last.size > size && size != previous {
        let detail = format!("it covers {size} records, and {} were signed since", last.size - size);
        return Err(Box::new(Damage::at(size, DamageKind::OlderCheckpoint, &published_path, 0, detail)));
    }
    match published {
        Some(published) if published.size == last.size && published.root != last.root => {
            let detail = format!("two checkpoints over {size} records were signed, and they differ");
            Err(Box::new(Damage::whole(DamageKind::Fork, &published_path, detail)))
        }
        Some(published) if published.size >= last.size => Ok(Some(published)),
        _ => Ok(Some(last)),
    }
}

pub(super) fn open(path: &Path, note: &str, key: &VerifierKey) -> Result<Checkpoint, Box<Damage>> {
    Checkpoint::open(note, key).map_err(|error| {
        let kind = match error {
            NoteError::Unsigned => DamageKind::ForeignKey,
            NoteError::Origin => DamageKind::ForeignLog,
            NoteError::Forged | NoteError::Malformed => DamageKind::Checkpoint,
        };
        Box::new(Damage::whole(kind, path, format!("{error} ({key})")))
    })
}

fn read_optional(path: &Path) -> Result<Option<String>, VerifyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(super::io(path)(error)),
    }
}
