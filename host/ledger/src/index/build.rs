//! Making the index, in a thread of its own: once a segment is closed and synced it is read once more. Nothing waits for it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::head::{Head, clear_others};
use super::row::Segment;
use crate::ledger::Shared;
use crate::reader::first_index;

/// It rests so many times as long as it worked: a start that finds no index takes a quarter of a core, not all of it.
const REST: u32 = 3;
/// What is missing is looked for this often, also where nothing is written: somebody may have removed it.
const LOOK: Duration = Duration::from_secs(60);

/// How the thread is woken and ended.
#[derive(Default)]
pub(crate) struct Indexing {
    has_work: Mutex<bool>,
    wakes: Condvar,
    stops: AtomicBool,
}

impl Indexing {
    /// A segment was closed, and is synced.
    pub(crate) fn wake(&self) {
        *self.has_work.lock() = true;
        self.wakes.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        self.wake();
    }

    fn goes_on(&self) -> bool {
        !self.stops.load(Ordering::Acquire)
    }

    /// Waits until there is work, or for so long.
    fn wait(&self, most: Duration) {
        let mut has_work = self.has_work.lock();
        if !*has_work && self.goes_on() {
            self.wakes.wait_for(&mut has_work, most);
        }
        *has_work = false;
    }

    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut has_work = self.has_work.lock();
        while self.goes_on() && !self.wakes.wait_until(&mut has_work, until.into_std()).timed_out() {}
    }
}

/// Indexes what is closed until it is told to stop. What goes wrong is tried again later: without an index the log is read.
pub(crate) fn index_loop(shared: &Shared) {
    let indexing = &shared.indexing;
    let mut is_fresh = true;
    let mut is_told = false;
    while indexing.goes_on() {
        match turn(shared, is_fresh) {
            Ok(()) => is_told = false,
            Err(error) if is_told => tracing::debug!(%error, "the index of the ledger is behind"),
            Err(error) => {
                is_told = true;
                tracing::warn!(%error, "the index of the ledger is behind: searches read more of the log");
            }
        }
        is_fresh = false;
        indexing.wait(LOOK);
    }
}

/// Looks at every closed segment; at all of its file when the ledger was opened, then at the head.
fn turn(shared: &Shared, is_fresh: bool) -> io::Result<()> {
    let (dir, seal) = (&shared.dir, shared.seal_key());
    if is_fresh {
        clear_others(dir, shared.wal.lock().segment())?;
    }
    let mut segment = 0;
    while segment < shared.wal.lock().segment() && shared.indexing.goes_on() {
        let told = |error: crate::ReadError| io::Error::other(error.to_string());
        if first_index(dir, segment + 1).map_err(told)? > *shared.synced.borrow() {
            break;
        }
        let begun = Instant::now();
        let head = Head::read(dir, seal, segment);
        if !head.is_some_and(|head| !is_fresh || head.rows(dir).is_some()) && !shared.is_suspended() {
            let gathered = Segment::gather(dir, segment, || shared.indexing.goes_on()).map_err(told)?;
            if let Some(gathered) = gathered {
                Head::write(dir, seal, &gathered)?;
            }
            shared.indexing.rest(begun.elapsed() * REST);
        }
        segment += 1;
    }
    Ok(())
}
