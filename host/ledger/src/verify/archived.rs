//! What an archive holds of a log: closed segments, each with the note that was signed over all records up to its end, and
//! the notes that were published meanwhile. There are no tiles; the tree is derived from the segments, and each note has to
//! be the root that it had at that size.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::anchor::{Anchors, Note, coverage, key, open};
use super::damage::{Damage, DamageKind, VerifyError, VerifyOptions, VerifyReport};
use super::{Walk, io};
use crate::frame::segment_path;
use crate::reader::first_index;
use crate::ship::NOTE;

/// Whether a directory is laid out as an archive keeps one log, rather than as the log itself.
#[must_use]
pub fn is_archived(path: &Path) -> bool {
    path.join("wal").is_dir() && (path.join("checkpoint").is_dir() || path.join("writer").is_file())
}

/// Verifies what an archive holds of one log: a directory `<place>/<origin>`, mounted or copied.
///
/// A node keeps its newest segment to itself until it is closed, so that notes of the archive over more records than there
/// are say how much that is. A note that somebody else kept has to be met: who has one asks for the records below it.
pub fn verify_archived(path: &Path, options: &mut VerifyOptions<'_>) -> Result<VerifyReport, VerifyError> {
    if !segment_path(path, 0).exists() {
        return Err(VerifyError::NotALedger { path: path.to_owned() });
    }
    let (anchors, ends) = match anchors(path, options)? {
        Ok(found) => found,
        Err(damage) => return Ok(VerifyReport::Damage(*damage)),
    };
    let known: Vec<_> = anchors.passed.iter().filter(|(from, _)| options.known.contains(from)).cloned().collect();
    let report = Walk::new(path, anchors)?.run(options)?;
    let VerifyReport::Ok(sound) = &report else { return Ok(report) };
    let segments = (0..).take_while(|segment| segment_path(path, *segment).exists()).count();
    let segments = u32::try_from(segments).expect("segments are numbered by 32 bits");
    if let Some(damage) = judge_ends(path, segments, sound.records, &ends)? {
        return Ok(VerifyReport::Damage(damage));
    }
    Ok(match known.iter().find(|(_, seen)| seen.size > sound.records) {
        Some((from, seen)) => {
            let (records, from, more) = (sound.records, from.display(), seen.size - sound.records);
            let detail = format!(
                "the archive ends after {records} records, and {from} shows that {more} more were signed: its end is gone, \
                 or still with the node, which closes a segment after an hour at the latest"
            );
            VerifyReport::Damage(Damage::at(records, DamageKind::Truncated, &segment_path(path, segments), 0, detail))
        }
        None => report,
    })
}

/// The sizes that the segments' own notes were signed over.
type Ends = BTreeMap<u32, u64>;

/// Each segment ends where its own note says. The first of them may have none: earlier versions wrote none.
fn judge_ends(dir: &Path, segments: u32, records: u64, ends: &Ends) -> Result<Option<Damage>, VerifyError> {
    let Some((&first, _)) = ends.first_key_value() else { return Ok(None) };
    for segment in first..segments {
        let wal = segment_path(dir, segment);
        let start = index_of(dir, segment)?;
        let end = if segment + 1 < segments { index_of(dir, segment + 1)? } else { records };
        let damage = match ends.get(&segment) {
            Some(&size) if size == end => continue,
            None => {
                let detail = format!("nothing proves where segment {segment} ends: the note beside it is missing");
                Damage::at(start, DamageKind::CheckpointMissing, &wal.with_extension(NOTE), 0, detail)
            }
            Some(&size) if size > end => {
                let detail = format!("segment {segment} ends before record {end}, and its note covers {}", size - end);
                Damage::at(end, DamageKind::Truncated, &wal, 0, format!("{detail} more"))
            }
            Some(&size) => {
                let detail = format!("segment {segment} holds {} records behind the end that was signed", end - size);
                Damage::at(size, DamageKind::Inserted, &wal, 0, detail)
            }
        };
        return Ok(Some(damage));
    }
    // A segment's note is written before it, so that one of them may be on its way.
    if ends.last_key_value().is_some_and(|(&last, _)| last > segments) {
        let detail = format!("the archive ends after {records} records, and the notes of later segments are there");
        let path = segment_path(dir, segments);
        return Ok(Some(Damage::at(records, DamageKind::SegmentMissing, &path, 0, detail)));
    }
    Ok(None)
}

fn index_of(dir: &Path, segment: u32) -> Result<u64, VerifyError> {
    // The log was read by these first lines before.
    first_index(dir, segment).map_err(|error| io(&segment_path(dir, segment))(io::Error::other(error.to_string())))
}

fn anchors(dir: &Path, options: &VerifyOptions<'_>) -> Result<Result<(Anchors, Ends), Box<Damage>>, VerifyError> {
    let mut paths = files(&dir.join("checkpoint"))?;
    paths.extend(files(&dir.join("wal"))?.into_iter().filter(|path| segment_of(path).is_some()));
    paths.sort();
    paths.extend(options.known.iter().cloned());
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok(Note { text: String::from_utf8_lossy(&bytes).into_owned(), path }),
        Err(error) => Err(io(&path)(error)),
    };
    let notes = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (key, is_key_trusted) = key(dir, options, notes.first().map(|note| &*note.text))?;
    let Some(key) = key else { return Err(VerifyError::NoKey { path: dir.join("log.vkey") }) };
    let (mut passed, mut ends) = (Vec::new(), Ends::new());
    for note in &notes {
        match open(&note.path, &note.text, &key) {
            Ok(checkpoint) => {
                if let Some(segment) = segment_of(&note.path).filter(|_| note.path.starts_with(dir)) {
                    ends.insert(segment, checkpoint.size);
                }
                passed.push((note.path.clone(), checkpoint));
            }
            Err(damage) => return Ok(Err(damage)),
        }
    }
    let texts = notes.iter().map(|note| &*note.text);
    let witnessed = match options.policy.map(|policy| coverage(policy, texts)).transpose() {
        Ok(witnessed) => witnessed,
        Err(why) => return Ok(Err(Box::new(Damage::whole(DamageKind::Cosignature, &dir.join("checkpoint"), why)))),
    };
    Ok(Ok((Anchors { newest: None, passed, witnessed, is_key_trusted }, ends)))
}

/// The segment that a note belongs to by its name.
fn segment_of(path: &Path) -> Option<u32> {
    let is_note = path.extension().is_some_and(|ending| ending == NOTE);
    path.file_stem().filter(|_| is_note)?.to_str()?.parse().ok()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(io(folder))?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(folder)(error)),
    }
}
