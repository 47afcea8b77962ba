//! What an archive holds of a log: closed segments, and the notes that were signed over it. There are no tiles; the tree is
//! derived from the segments, and each note has to be the root that it had at that size.

use std::fs;
use std::path::{Path, PathBuf};

use super::anchor::{Anchors, Note, coverage, key, open};
use super::damage::{Damage, DamageKind, VerifyError, VerifyOptions, VerifyReport};
use super::{Walk, io};
use crate::frame::segment_path;

/// Whether a directory is laid out as an archive keeps one log, rather than as the log itself.
#[must_use]
pub fn is_archived(path: &Path) -> bool {
    path.join("checkpoint").is_dir() && path.join("wal").is_dir()
}

/// Verifies what an archive holds of one log: a directory `<place>/<origin>`, mounted or copied.
///
/// A node keeps its newest segment to itself until it is closed, so that notes over more records than there are say how
/// much that is, and not that something is missing.
pub fn verify_archived(path: &Path, options: &mut VerifyOptions<'_>) -> Result<VerifyReport, VerifyError> {
    if !segment_path(path, 0).exists() {
        return Err(VerifyError::NotALedger { path: path.to_owned() });
    }
    match anchors(path, options)? {
        Ok(anchors) => Walk::new(path, anchors)?.run(options),
        Err(damage) => Ok(VerifyReport::Damage(*damage)),
    }
}

fn anchors(dir: &Path, options: &VerifyOptions<'_>) -> Result<Result<Anchors, Box<Damage>>, VerifyError> {
    let folder = dir.join("checkpoint");
    let mut paths = options.known.clone();
    for entry in fs::read_dir(&folder).map_err(io(&folder))? {
        paths.push(entry.map_err(io(&folder))?.path());
    }
    paths.sort();
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok(Note { text: String::from_utf8_lossy(&bytes).into_owned(), path }),
        Err(error) => Err(io(&path)(error)),
    };
    let notes = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (key, is_key_trusted) = key(dir, options, notes.first().map(|note| &*note.text))?;
    let Some(key) = key else { return Err(VerifyError::NoKey { path: dir.join("log.vkey") }) };
    let mut passed = Vec::new();
    for note in &notes {
        match open(&note.path, &note.text, &key) {
            Ok(checkpoint) => passed.push((note.path.clone(), checkpoint)),
            Err(damage) => return Ok(Err(damage)),
        }
    }
    let texts = notes.iter().map(|note| &*note.text);
    let witnessed = match options.policy.map(|policy| coverage(policy, texts)).transpose() {
        Ok(witnessed) => witnessed,
        Err(why) => return Ok(Err(Box::new(Damage::whole(DamageKind::Cosignature, &folder, why)))),
    };
    Ok(Ok(Anchors { newest: None, passed, witnessed, is_key_trusted }))
}
