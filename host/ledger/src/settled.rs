//! Up to where tiles are known to be on the disk, so that a start need not derive the whole log again.
//!
//! Every 65,536 records the tiles below are synced and the place in the log is written down. A start takes the tree up to there
//! from its tiles, derives the rest, and must still meet the root that was signed last; where anything is missing or differs,
//! it derives all. Whether old records are what their tiles say is `verify`'s question.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::frame::{FrameReader, segment_path};
use crate::merkle::{Frontier, TILE_WIDTH};
use crate::sha256::{Hash, hash_from_base64, to_base64};
use crate::tiles::{Durability, Sort, read_tile, replace, tile_path};

const FILE: &str = "settled";
/// A whole tile of the second level: some 40 MiB of log, which a start reads in less than a second.
pub(crate) const SETTLE_EVERY: u64 = (TILE_WIDTH * TILE_WIDTH) as u64;

/// A place in the log where the two lowest levels of tiles are full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) size: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) root: Hash,
}

impl Settled {
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        let mut words = text.split_whitespace();
        let size: u64 = words.next()?.parse().ok()?;
        let (segment, offset) = words.next()?.split_once(':')?;
        let (segment, offset) = (segment.parse().ok()?, offset.parse().ok()?);
        let root = hash_from_base64(words.next()?)?;
        (size > 0 && size.is_multiple_of(SETTLE_EVERY)).then_some(Self { size, segment, offset, root })
    }

    /// Syncs the tiles between `from` and here, then writes the place down.
    pub(crate) fn settle(&self, dir: &Path, from: u64) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for path in tiles(dir, from, self.size) {
            File::open(&path)?.sync_all()?;
            let above = path.ancestors().skip(1).take_while(|folder| *folder != dir);
            folders.extend(above.map(Path::to_owned));
        }
        for folder in folders {
            File::open(folder)?.sync_all()?;
        }
        let Self { size, segment, offset, root } = self;
        let text = format!("{size} {segment}:{offset} {}\n", to_base64(root));
        replace(&dir.join(FILE), text.as_bytes(), Durability::Synced)
    }

    /// The tree up to here and a reader of what follows; none if the log or its tiles are not what they were.
    pub(crate) fn resume(&self, dir: &Path) -> Option<(FrameReader, Frontier)> {
        if !(0..=self.segment).all(|segment| segment_path(dir, segment).exists()) {
            return None;
        }
        let frontier = Frontier::from_tiles(self.size, |level, number| {
            let (_, bytes) = read_tile(dir, Sort::Hashes(level), number, TILE_WIDTH).ok().flatten()?;
            bytes.chunks(32).map(|hash| hash.try_into().ok()).collect()
        })?;
        let reader = FrameReader::open_at(dir, self.segment, self.offset, self.size).ok()?;
        (frontier.root() == self.root).then_some((reader, frontier))
    }
}

/// The full tiles that lie between two sizes.
fn tiles(dir: &Path, from: u64, to: u64) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    // A tile of the eighth level would span more leaves than a size can say.
    for level in 0u8..7 {
        let width = 8 * (u32::from(level) + 1);
        for number in from >> width..to >> width {
            paths.push(tile_path(dir, Sort::Hashes(level), number, TILE_WIDTH));
            if level == 0 {
                paths.push(tile_path(dir, Sort::Entries, number, TILE_WIDTH));
            }
        }
    }
    paths
}
