//! Closed segments and checkpoints go to the archive, in a thread of their own: a slow archive holds up no session. What it
//! has not taken yet is counted, and beyond a cap nothing new is written, unless the configuration says otherwise.
//!
//! Wrapped keys are never shipped: an archive that nobody can delete from would undo every shredding.

mod claim;
mod closed;
mod held;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grille_archive::{Archive, ArchiveError};
use grille_policy::Digest;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::SigningKey;
use crate::frame::segment_path;
use crate::ledger::Shared;
use crate::note::{Checkpoint, NoteError};
use crate::reader::first_index;
use crate::sha256::sha256;
use crate::tiles::{Durability, replace};
pub use claim::ClaimError;
pub(crate) use claim::claim;
use held::HeldSessions;

/// How often it is looked whether something has to go.
const LOOK: Duration = Duration::from_secs(1);
/// An archive that fails is asked again after one second, then after twice as long each time, up to this.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A checkpoint goes at least this often while records are written: hidden changes reach back this far at most.
const ANCHOR_EVERY: Duration = Duration::from_secs(300);
/// A segment with anything in it is closed after this, so that a quiet node's records go, too.
pub(crate) const SEGMENT_AGE: Duration = Duration::from_secs(3600);

/// What the note of a segment is called by, beside it.
pub(crate) const NOTE: &str = "checkpoint";

/// Where sealed segments go, and what happens while they cannot.
#[derive(Debug, Clone)]
pub struct Shipping {
    /// The archive.
    pub archive: Archive,
    /// How many bytes of closed segments may wait for it.
    pub queue_bytes: u64,
    /// Beyond that: whether records go on all the same.
    pub goes_on: bool,
}

/// How far the archive has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Shipped {
    /// Records under a checkpoint that the archive holds.
    pub anchored: u64,
    /// Closed segments that it has not taken.
    pub segments_waiting: u32,
    /// Their bytes.
    pub bytes_waiting: u64,
    /// Why the last attempt failed.
    pub trouble: Option<String>,
}

/// Ships until it is told to stop.
pub(crate) fn ship_loop(shared: &Shared, archive: &Archive, key: &SigningKey, mut stop: watch::Receiver<bool>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.stop_for_good(format!("the thread that fills the archive cannot start: {error}").into());
            return;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = ship(shared, archive, key) => {}
        }
    });
}

async fn ship(shared: &Shared, archive: &Archive, key: &SigningKey) {
    let mut pause = LOOK;
    let mut anchored = Anchored { size: shared.archived.borrow().anchored, at: None, witnessed: None };
    let mut held = HeldSessions::default();
    loop {
        let failed = turn(shared, archive, key, &mut held, &mut anchored).await.err();
        let trouble = failed.as_ref().map(Failed::describe);
        match (&failed, &trouble) {
            (Some(Failed::Conflict(name)), _) => {
                let why = format!("{name} in the archive is another ledger's: two nodes have one name");
                shared.stop_for_good(why.into());
                return;
            }
            (Some(_), Some(why)) if pause == LOOK => tracing::warn!(%why, "the archive takes nothing for now"),
            (None, _) if pause != LOOK => tracing::info!("the archive takes segments again"),
            _ => {}
        }
        pause = if failed.is_some() { (pause * 2).min(RETRY_MAX) } else { LOOK };
        shared.archived.send_modify(|state| {
            state.trouble = trouble;
            state.anchored = anchored.size;
        });
        sleep(pause).await;
    }
}

/// The newest notes that the archive holds.
struct Anchored {
    /// How many records they cover.
    size: u64,
    /// When the published one went.
    at: Option<Instant>,
    /// The one that witnesses signed.
    witnessed: Option<Digest>,
}

enum Failed {
    Archive(ArchiveError),
    Conflict(String),
    Local(String),
}

impl Failed {
    fn describe(&self) -> String {
        match self {
            Self::Archive(error) => {
                let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
                causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
            }
            Self::Conflict(why) | Self::Local(why) => why.clone(),
        }
    }
}

impl From<ArchiveError> for Failed {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Conflict { name } => Self::Conflict(name),
            error => Self::Archive(error),
        }
    }
}

/// Ships what can go: segments that are closed and signed, then a checkpoint where one is due.
async fn turn(
    shared: &Shared,
    archive: &Archive,
    key: &SigningKey,
    held: &mut HeldSessions,
    anchored: &mut Anchored,
) -> Result<(), Failed> {
    if shared.holds_changed.swap(false, Ordering::AcqRel)
        && let Err(failed) = tell_holds(shared, archive, held).await
    {
        shared.holds_changed.store(true, Ordering::Release);
        return Err(failed);
    }
    let mut has_shipped = false;
    loop {
        let segment = shared.shipped.load(Ordering::Acquire);
        if segment >= shared.wal.lock().segment() {
            break;
        }
        let next = first_index(&shared.dir, segment + 1).map_err(|error| Failed::Local(error.to_string()))?;
        if next > *shared.signed.borrow() {
            break;
        }
        let is_held = held.touch(shared, segment).map_err(|error| Failed::Local(error.to_string()))?;
        let bytes = read(&segment_path(&shared.dir, segment))?;
        // The note first: nothing is there without its proof.
        let note = closed::note(shared, key, next).map_err(Failed::Local)?;
        archive.put(&note_name(shared, segment), note.into(), is_held).await?;
        archive.put(&segment_name(shared, segment), bytes.into(), is_held).await?;
        mark(&shared.dir, segment + 1).map_err(|error| Failed::Local(format!("note what was shipped: {error}")))?;
        shared.shipped.store(segment + 1, Ordering::Release);
        shared.count_waiting();
        anchored.size = anchored.size.max(next);
        has_shipped = true;
    }
    let is_due = anchored.at.is_none_or(|at| at.elapsed() >= ANCHOR_EVERY);
    if has_shipped || (is_due && *shared.signed.borrow() > anchored.size) {
        anchor(shared, archive, anchored).await?;
    }
    anchor_witnessed(shared, archive, anchored).await
}

async fn anchor(shared: &Shared, archive: &Archive, anchored: &mut Anchored) -> Result<(), Failed> {
    let path = shared.dir.join("checkpoint");
    let size = put_note(shared, archive, &path, read(&path)?).await?;
    anchored.size = anchored.size.max(size);
    anchored.at = Some(Instant::now());
    Ok(())
}

/// What witnesses signed goes, too, whenever there is more of it.
async fn anchor_witnessed(shared: &Shared, archive: &Archive, anchored: &mut Anchored) -> Result<(), Failed> {
    let path = shared.dir.join("witnessed");
    let Some(note) = path.exists().then(|| read(&path)).transpose()? else { return Ok(()) };
    let digest = Digest(sha256(&note));
    if anchored.witnessed != Some(digest) {
        put_note(shared, archive, &path, note).await?;
        anchored.witnessed = Some(digest);
    }
    Ok(())
}

/// Puts a note of this log among the others; how many records it covers. Anything else would stand there for good.
async fn put_note(shared: &Shared, archive: &Archive, path: &Path, note: Vec<u8>) -> Result<u64, Failed> {
    let text = std::str::from_utf8(&note).map_err(|_| NoteError::Malformed);
    let told = text.and_then(|text| Checkpoint::open(text, shared.verifier_key()));
    let Checkpoint { size, .. } = told.map_err(|error| Failed::Local(format!("{}: {error}", path.display())))?;
    // Several may be of one tree: witnesses sign later.
    let digest = Digest(sha256(&note)).to_string();
    let what = format!("checkpoint/{size:020}-{}", digest.get(..8).unwrap_or_default());
    archive.put(&name(shared, &what), note.into(), false).await?;
    Ok(size)
}

/// Puts legal holds on what is in the archive already, and takes away those that are over.
async fn tell_holds(shared: &Shared, archive: &Archive, held: &mut HeldSessions) -> Result<(), Failed> {
    *held = HeldSessions::default();
    for segment in 0..shared.shipped.load(Ordering::Acquire) {
        let is_held = held.touch(shared, segment).map_err(|error| Failed::Local(error.to_string()))?;
        archive.hold(&segment_name(shared, segment), is_held).await?;
        // Earlier versions put none there.
        let note = note_name(shared, segment);
        if archive.get(&note).await?.is_some() {
            archive.hold(&note, is_held).await?;
        }
    }
    Ok(())
}

fn segment_name(shared: &Shared, segment: u32) -> String {
    name(shared, &format!("wal/{segment:08}.wal"))
}

fn note_name(shared: &Shared, segment: u32) -> String {
    name(shared, &format!("wal/{segment:08}.{NOTE}"))
}

fn name(shared: &Shared, what: &str) -> String {
    format!("{}/{what}", shared.origin())
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    fs::read(path).map_err(|error| Failed::Local(format!("read {}: {error}", path.display())))
}

/// The first segment that is not in the archive, as the last run knew it. Without the note all are offered again.
pub(crate) fn marked(dir: &Path) -> u32 {
    fs::read_to_string(dir.join("shipped")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn mark(dir: &Path, next: u32) -> io::Result<()> {
    replace(&dir.join("shipped"), format!("{next}\n").as_bytes(), Durability::Derived)
}
