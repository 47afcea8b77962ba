//! The background threads: one syncs, another hashes, signs and publishes what is synced, a third indexes what is closed
//! (`index/build.rs`). Where there is an archive, a fourth fills it (`ship.rs`).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use grille_archive::Archive;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::frame::{FrameReader, Next};
use crate::index::index_loop;
use crate::ledger::Shared;
use crate::merkle::{Frontier, FullTile, TILE_WIDTH, leaf_hash};
use crate::note::{Checkpoint, LastSigned};
use crate::settled::{SETTLE_EVERY, Settled};
use crate::ship::ship_loop;
use crate::tail::Place;
use crate::tiles::{Durability, Sort, drop_partial, edge, hashes_to_bytes, push_entry, replace, tile_path};
use crate::wal::unwritable;
use crate::{SigningKey, Unwritable};

/// A checkpoint is due after so many records.
const RECORDS_PER_CHECKPOINT: u64 = 256;
/// And after this time, if there was any.
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);
/// Checkpoints keep this distance, so that a storm of records does not become a storm of small files.
const CHECKPOINT_DISTANCE: Duration = Duration::from_millis(500);
/// A full disk is looked at again after this.
const RETRY: Duration = Duration::from_secs(1);

/// The running threads. Ends them when the last handle goes.
pub(crate) struct Threads {
    shared: Arc<Shared>,
    running: Mutex<Vec<JoinHandle<()>>>,
    /// Held while the ledger is open, so that no other process writes.
    _lock: File,
}

impl Threads {
    pub(crate) fn start(shared: Arc<Shared>, signer: Signer, archive: Option<Archive>, lock: File) -> io::Result<Self> {
        let threads = Self { shared: Arc::clone(&shared), running: Mutex::default(), _lock: lock };
        let sync = std::thread::Builder::new().name("ledger-sync".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || watched(&shared, || sync_loop(&shared))
        })?;
        threads.running.lock().push(sync);
        let key = signer.key.clone();
        let sign = std::thread::Builder::new().name("ledger-sign".to_owned());
        let sign = sign.spawn(move || watched(&shared, || sign_loop(&shared, signer)))?;
        threads.running.lock().push(sign);
        let index = std::thread::Builder::new().name("ledger-index".to_owned());
        let shared = Arc::clone(&threads.shared);
        // Not watched: the ledger is none the worse without its index.
        threads.running.lock().push(index.spawn(move || index_loop(&shared))?);
        if let Some(archive) = archive {
            let (shared, stop) = (Arc::clone(&threads.shared), threads.shared.shipper_stops.subscribe());
            let ship = std::thread::Builder::new().name("ledger-ship".to_owned());
            threads
                .running
                .lock()
                .push(ship.spawn(move || watched(&shared, || ship_loop(&shared, &archive, &key, stop)))?);
        }
        Ok(threads)
    }

    /// Ends them, after the work that they are at.
    pub(crate) fn stop(&self) {
        // The signer first: what the last sync covers is signed at the next start, not on the way out.
        let (signer, syncer) = (&self.shared.signer, &self.shared.syncer);
        for (wish, wakes) in [(signer, &self.shared.signer_wakes), (syncer, &self.shared.syncer_wakes)] {
            wish.lock().stop = true;
            wakes.notify_all();
        }
        self.shared.indexing.stop();
        self.shared.shipper_stops.send_replace(true);
        for thread in std::mem::take(&mut *self.running.lock()) {
            if thread.join().is_err() {
                tracing::error!("a background thread of the ledger panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that panics would leave those waiting who need its work.
fn watched(shared: &Shared, work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        shared.stop_for_good("a background thread of the ledger panicked".into());
    }
}

/// Sleeps while nothing is written; then syncs once per interval, or at once when somebody waits. While one sync runs,
/// those who come meanwhile gather for the next.
fn sync_loop(shared: &Shared) {
    let mut last = Instant::now();
    let mut beat = Instant::now();
    loop {
        let mut wish = shared.syncer.lock();
        while !wish.stop && !shared.is_dirty.load(Ordering::Acquire) {
            let left = shared.heartbeat.saturating_sub(beat.elapsed());
            shared.syncer_wakes.wait_for(&mut wish, left.max(Duration::from_millis(1)));
            if beat.elapsed() >= shared.heartbeat {
                break;
            }
        }
        if !wish.stop && beat.elapsed() >= shared.heartbeat {
            drop(wish);
            beat = Instant::now();
            shared.beat();
            continue;
        }
        while !wish.stop && wish.size <= *shared.synced.borrow() {
            let left = shared.interval().saturating_sub(last.elapsed());
            if left.is_zero() || shared.syncer_wakes.wait_for(&mut wish, left).timed_out() {
                break;
            }
        }
        let stop = wish.stop;
        drop(wish);
        shared.is_dirty.store(false, Ordering::Release);
        if let Err(why) = sync(shared) {
            shared.stop_for_good(why.into());
            return;
        }
        last = Instant::now();
        if stop {
            return;
        }
    }
}

pub(crate) fn sync(shared: &Shared) -> Result<(), String> {
    let failed = |error: io::Error| format!("a sync below {} failed: {error}", shared.dir.display());
    // Records first, keys second: a record is written after its key, so the keys taken here cover the records.
    let (files, has_rotated, size) = shared.wal.lock().take_unsynced();
    for file in shared.keys.lock().take_unsynced() {
        file.sync_data().map_err(failed)?;
    }
    for file in files {
        file.sync_data().map_err(failed)?;
    }
    if has_rotated {
        File::open(shared.dir.join("wal")).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    shared.synced.send_replace(size);
    if has_rotated {
        shared.indexing.wake();
    }
    let _wish = shared.signer.lock();
    shared.signer_wakes.notify_one();
    Ok(())
}

/// Sleeps until a checkpoint is due.
fn sign_loop(shared: &Shared, mut signer: Signer) {
    let mut since: Option<Instant> = None;
    loop {
        let synced = {
            let mut wish = shared.signer.lock();
            loop {
                if wish.stop {
                    return;
                }
                let (synced, signed) = (*shared.synced.borrow(), signer.signed);
                if synced <= signed {
                    since = None;
                    if shared.is_suspended() {
                        shared.signer_wakes.wait_for(&mut wish, RETRY);
                        shared.resume();
                    } else {
                        shared.signer_wakes.wait(&mut wish);
                    }
                    continue;
                }
                let age = since.get_or_insert_with(Instant::now).elapsed();
                let is_wanted = wish.size > signed && synced >= wish.size;
                if is_wanted || synced - signed >= RECORDS_PER_CHECKPOINT || age >= CHECKPOINT_AGE {
                    break synced;
                }
                shared.signer_wakes.wait_for(&mut wish, CHECKPOINT_AGE - age);
            }
        };
        match signer.publish(shared, synced) {
            Ok(()) => {
                shared.signed.send_replace(signer.signed);
                since = None;
            }
            Err(Halt::Stop) => return,
            Err(Halt::Broken(why)) => {
                shared.stop_for_good(why.into());
                return;
            }
        }
        let mut wish = shared.signer.lock();
        let until = Instant::now() + CHECKPOINT_DISTANCE;
        while !wish.stop && wish.size <= signer.signed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || shared.signer_wakes.wait_for(&mut wish, left).timed_out() {
                break;
            }
        }
    }
}

/// Why nothing more is signed.
enum Halt {
    /// The ledger is being closed.
    Stop,
    /// Something is wrong with the files.
    Broken(String),
}

/// Builds tiles out of the write-ahead log and signs what it has built. It reads the log back from its file: nothing
/// waits in memory, however far it falls behind, and only what is really there gets signed.
pub(crate) struct Signer {
    dir: PathBuf,
    key: SigningKey,
    key_id: [u8; 4],
    origin: String,
    reader: FrameReader,
    frontier: Frontier,
    /// The entries of the bundle that is not full yet.
    entries: Vec<u8>,
    signed: u64,
    /// Up to where tiles are settled.
    settled: u64,
    /// Where they can be once a checkpoint covers it.
    due: Option<Settled>,
}

impl Signer {
    pub(crate) fn new(dir: &Path, key: SigningKey, key_id: [u8; 4], origin: String, edge: Edge, signed: u64) -> Self {
        let Edge { reader, frontier, entries } = edge;
        let settled = Settled::read(dir).map_or(0, |settled| settled.size).min(signed);
        Self { dir: dir.to_owned(), key, key_id, origin, reader, frontier, entries, signed, settled, due: None }
    }

    /// Takes in the records below `size`, then publishes a checkpoint over them.
    fn publish(&mut self, shared: &Shared, size: u64) -> Result<(), Halt> {
        self.build(shared, size)?;
        for (path, bytes) in edge(&self.dir, &self.frontier, &self.entries) {
            write(shared, &path, &bytes, Durability::Derived)?;
        }
        let checkpoint =
            Checkpoint { origin: self.origin.clone(), size: self.frontier.size(), root: self.frontier.root() };
        let note = checkpoint.sign(&self.key, self.key_id);
        let last = LastSigned { note, previous: self.signed };
        write(shared, &self.dir.join("last_signed"), last.to_text().as_bytes(), Durability::Synced)?;
        write(shared, &self.dir.join("checkpoint"), last.note.as_bytes(), Durability::Synced)?;
        self.signed = checkpoint.size;
        let (segment, offset) = (self.reader.segment(), self.reader.offset());
        *shared.unsigned_from.lock() = Place { size: self.signed, segment, offset };
        if let Some(due) = self.due.take() {
            match due.settle(&self.dir, self.settled) {
                Ok(()) => self.settled = due.size,
                // A start derives more, that is all.
                Err(error) => tracing::warn!(%error, "the tiles of the ledger could not be synced"),
            }
        }
        Ok(())
    }

    fn build(&mut self, shared: &Shared, size: u64) -> Result<(), Halt> {
        while self.frontier.size() < size {
            let path = self.reader.path();
            let frame = match self.reader.next() {
                Ok(Next::Frame(frame)) => frame,
                Ok(Next::End { .. } | Next::Bad(_)) => {
                    let why = format!("record {} cannot be read back from {}", self.frontier.size(), path.display());
                    return Err(Halt::Broken(why));
                }
                Err(error) => return Err(Halt::Broken(format!("{} cannot be read back: {error}", path.display()))),
            };
            push_entry(&mut self.entries, frame.leaf);
            let (dir, entries) = (&self.dir, &mut self.entries);
            self.frontier.push(leaf_hash(frame.leaf), |tile| write_full(shared, dir, entries, &tile))?;
            let size = self.frontier.size();
            if size.is_multiple_of(SETTLE_EVERY) {
                let (segment, offset) = (self.reader.segment(), self.reader.offset());
                self.due = Some(Settled { size, segment, offset, root: self.frontier.root() });
            }
        }
        Ok(())
    }
}

/// Where a signer goes on.
pub(crate) struct Edge {
    pub(crate) reader: FrameReader,
    pub(crate) frontier: Frontier,
    pub(crate) entries: Vec<u8>,
}

/// Writes a full tile, and with one of the lowest level its entries. The partial tiles of the one before it go: readers
/// of an older checkpoint have had a whole tile's time.
fn write_full(shared: &Shared, dir: &Path, entries: &mut Vec<u8>, tile: &FullTile) -> Result<(), Halt> {
    let sort = Sort::Hashes(tile.level);
    write(shared, &tile_path(dir, sort, tile.number, TILE_WIDTH), &hashes_to_bytes(&tile.hashes), Durability::Derived)?;
    let before = tile.number.checked_sub(1);
    if let Some(number) = before {
        drop_partial(dir, sort, number);
    }
    if tile.level == 0 {
        write(shared, &tile_path(dir, Sort::Entries, tile.number, TILE_WIDTH), entries, Durability::Derived)?;
        if let Some(number) = before {
            drop_partial(dir, Sort::Entries, number);
        }
        entries.clear();
    }
    Ok(())
}

/// Replaces a file. While the disk is full nothing is appended either, and this is tried again.
fn write(shared: &Shared, path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Halt> {
    loop {
        let error = match replace(path, bytes, durability) {
            Ok(()) => {
                shared.resume();
                return Ok(());
            }
            Err(error) => error,
        };
        match unwritable(&path.into(), error) {
            full @ Unwritable::Full { .. } => {
                shared.suspend(full);
                let mut wish = shared.signer.lock();
                if !wish.stop {
                    shared.signer_wakes.wait_for(&mut wish, RETRY);
                }
                if wish.stop {
                    return Err(Halt::Stop);
                }
            }
            Unwritable::Write { source, .. } => {
                return Err(Halt::Broken(format!("{} could not be written: {source}", path.display())));
            }
            other => return Err(Halt::Broken(other.to_string())),
        }
    }
}
