//! What is written and not vouched for yet: how many records, and since when.

use std::fs;
use std::time::Duration;

use crate::frame::{FrameReader, Next};
use crate::leaf::Leaf;
use crate::ledger::Shared;
use crate::prove::published_leaf;
use crate::{Checkpoint, Ledger};

/// The records behind a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// How many.
    pub records: u64,
    /// How old the first of them is; zero where there is none.
    pub age: Duration,
}

/// The tails of a log. What there is no witness or no archive for is none, and not nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tails {
    /// Behind the published checkpoint.
    pub unsigned: Tail,
    /// Behind what witnesses signed, as the note beside the log says; none where none ever did.
    pub unwitnessed: Option<Tail>,
    /// Behind the newest note that the archive holds; none where there is no archive.
    pub unanchored: Option<Tail>,
}

/// Where the first record stands that no checkpoint covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) size: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

impl Ledger {
    /// How far everything that vouches for the log is behind it. Reads a few small files.
    #[must_use]
    pub fn tails(&self) -> Tails {
        let (shared, status) = (self.shared(), self.status());
        let tail = |covered: u64| match status.written.saturating_sub(covered) {
            0 => Tail::default(),
            records => Tail { records, age: age(shared, covered).unwrap_or_default() },
        };
        Tails {
            unsigned: tail(status.signed),
            unwitnessed: witnessed(shared).map(tail),
            unanchored: status.archive.map(|archive| tail(archive.anchored)),
        }
    }
}

/// The size of the tree that witnesses signed last. A note that is not this log's vouches for nothing.
fn witnessed(shared: &Shared) -> Option<u64> {
    let note = fs::read_to_string(shared.dir.join("witnessed")).ok()?;
    Some(Checkpoint::open(&note, shared.verifier_key()).map_or(0, |seen| seen.size))
}

/// How long ago a record was written.
fn age(shared: &Shared, index: u64) -> Option<Duration> {
    let leaf = leaf(shared, index)?;
    Some(Duration::from_micros(shared.wall().saturating_sub(leaf.log_time)))
}

fn leaf(shared: &Shared, index: u64) -> Option<Leaf> {
    let Place { size, segment, offset } = *shared.unsigned_from.lock();
    if index == size {
        let mut frames = FrameReader::open_at(&shared.dir, segment, offset, index).ok()?;
        return match frames.next().ok()? {
            Next::Frame(frame) => Leaf::parse(frame.leaf),
            Next::End { .. } | Next::Bad(_) => None,
        };
    }
    let note = fs::read_to_string(shared.dir.join("checkpoint")).ok()?;
    let published = Checkpoint::open(&note, shared.verifier_key()).ok()?;
    // Before the first checkpoint of this run, what a crash left unsigned is as old as the last record that was signed.
    let index = index.min(published.size.checked_sub(1)?);
    Leaf::parse(&published_leaf(&shared.dir, index, &published).ok()??)
}
