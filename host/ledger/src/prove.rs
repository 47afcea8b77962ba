//! Proofs that a record is in the log, and that the log only grew, out of the published tiles alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

use crate::ReadError;
use crate::merkle::{TILE_WIDTH, consistency, extends, includes, inclusion, leaf_hash, perfect_root, range_hash};
use crate::note::Checkpoint;
use crate::sha256::Hash;
use crate::tiles::{Sort, read_tile, tile_path};

/// Tiles that are kept while proofs are made: 2 MiB.
const TILES_KEPT: usize = 256;

/// A proof that a leaf is in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inclusion {
    /// The index of the leaf.
    pub index: u64,
    /// The size of the tree.
    pub size: u64,
    /// The hashes of RFC 6962's audit path, lowest first.
    pub path: Vec<[u8; 32]>,
}

impl Inclusion {
    /// Whether it proves that `leaf` is under `root`.
    #[must_use]
    pub fn proves(&self, leaf: &[u8], root: &[u8; 32]) -> bool {
        includes(self.index, self.size, leaf_hash(leaf), &self.path, root)
    }
}

/// A proof that one tree is the beginning of another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consistency {
    /// The size of the smaller tree.
    pub old: u64,
    /// The size of the larger one.
    pub size: u64,
    /// The hashes of RFC 6962's consistency proof.
    pub path: Vec<[u8; 32]>,
}

impl Consistency {
    /// Whether it proves that the tree under `old` is the beginning of the one under `new`.
    #[must_use]
    pub fn proves(&self, old: &[u8; 32], new: &[u8; 32]) -> bool {
        extends(self.old, old, self.size, new, &self.path)
    }
}

/// Proves that record `index` is under the checkpoint; none if it is not covered by it.
pub fn prove_inclusion(dir: &Path, index: u64, checkpoint: &Checkpoint) -> Result<Option<Inclusion>, ReadError> {
    let size = checkpoint.size;
    if index >= size {
        return Ok(None);
    }
    let path = inclusion(index, size, &mut subtrees(dir, size))?;
    Ok(Some(Inclusion { index, size, path }))
}

/// Proves many records under one checkpoint: neighbours share most of the tiles that their proofs are made of.
pub(crate) struct Prover {
    dir: PathBuf,
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl Prover {
    pub(crate) fn new(dir: &Path, checkpoint: &Checkpoint) -> Self {
        Self { dir: dir.to_owned(), size: checkpoint.size, tiles: HashMap::new() }
    }

    /// The audit path of a record; none if the checkpoint does not cover it.
    pub(crate) fn path(&mut self, index: u64) -> Result<Option<Vec<Hash>>, ReadError> {
        let Self { dir, size, tiles } = self;
        if index >= *size {
            return Ok(None);
        }
        inclusion(index, *size, &mut |height, number| subtree(dir, *size, height, number, tiles)).map(Some)
    }
}

/// Proves that the first `old` records are the beginning of the checkpoint's; none if it covers fewer, or for `old` = 0.
pub fn prove_consistency(dir: &Path, old: u64, checkpoint: &Checkpoint) -> Result<Option<Consistency>, ReadError> {
    let size = checkpoint.size;
    if old == 0 || old > size {
        return Ok(None);
    }
    let path = consistency(old, size, &mut subtrees(dir, size))?;
    Ok(Some(Consistency { old, size, path }))
}

/// The tree when it had `size` records, out of the tiles; none if the checkpoint does not go on from it.
pub(crate) fn earlier(dir: &Path, size: u64, checkpoint: &Checkpoint) -> Result<Option<Checkpoint>, ReadError> {
    let Some(proof) = prove_consistency(dir, size, checkpoint)? else { return Ok(None) };
    let root = range_hash(0, size, &mut subtrees(dir, checkpoint.size))?;
    let origin = checkpoint.origin.clone();
    Ok(proof.proves(&root, &checkpoint.root).then_some(Checkpoint { origin, size, root }))
}

/// The leaf of record `index` as the tiles hold it; none if the checkpoint does not cover it.
pub fn published_leaf(dir: &Path, index: u64, checkpoint: &Checkpoint) -> Result<Option<Vec<u8>>, ReadError> {
    if index >= checkpoint.size {
        return Ok(None);
    }
    let (number, place) = (index / TILE_WIDTH as u64, index % TILE_WIDTH as u64);
    let width = (checkpoint.size - number * TILE_WIDTH as u64).min(TILE_WIDTH as u64);
    let width = usize::try_from(width).expect("at most 256");
    let path = tile_path(dir, Sort::Entries, number, width);
    let io = |path: PathBuf, source| ReadError::Io { path, source };
    let found = read_tile(dir, Sort::Entries, number, width).map_err(|source| io(path.clone(), source))?;
    let (path, bytes) = found.ok_or_else(|| io(path, io::Error::from(io::ErrorKind::NotFound)))?;
    let mut rest = bytes.as_slice();
    for at in 0..=place {
        let entry = rest
            .split_first_chunk::<2>()
            .and_then(|(length, behind)| behind.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let Some((leaf, behind)) = entry else {
            return Err(io(path, io::Error::from(io::ErrorKind::UnexpectedEof)));
        };
        if at == place {
            return Ok(Some(leaf.to_vec()));
        }
        rest = behind;
    }
    Ok(None)
}

fn subtrees(dir: &Path, size: u64) -> impl FnMut(u32, u64) -> Result<Hash, ReadError> {
    let (dir, mut tiles) = (dir.to_owned(), HashMap::new());
    move |height, number| subtree(&dir, size, height, number, &mut tiles)
}

/// The root of a whole subtree, out of the tile that holds its lower edge.
fn subtree(
    dir: &Path,
    size: u64,
    height: u32,
    number: u64,
    tiles: &mut HashMap<(u8, u64), Vec<Hash>>,
) -> Result<Hash, ReadError> {
    let level = u8::try_from(height / 8).expect("a tree has at most eight levels of tiles");
    let count = 1usize << (height % 8);
    let first = number << (height % 8);
    let (tile, place) = (first / TILE_WIDTH as u64, first % TILE_WIDTH as u64);
    let place = usize::try_from(place).expect("below 256");
    if tiles.len() >= TILES_KEPT && !tiles.contains_key(&(level, tile)) {
        tiles.clear();
    }
    let hashes = match tiles.entry((level, tile)) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(hashes(dir, size, level, tile)?),
    };
    let whole = hashes.get(place..place + count).ok_or_else(|| ReadError::Io {
        path: tile_path(dir, Sort::Hashes(level), tile, TILE_WIDTH),
        source: io::Error::from(io::ErrorKind::UnexpectedEof),
    })?;
    Ok(perfect_root(whole))
}

fn hashes(dir: &Path, size: u64, level: u8, tile: u64) -> Result<Vec<Hash>, ReadError> {
    let on_level = (size >> (8 * u32::from(level))) - tile * TILE_WIDTH as u64;
    let width = usize::try_from(on_level.min(TILE_WIDTH as u64)).expect("at most 256");
    let sort = Sort::Hashes(level);
    let path = tile_path(dir, sort, tile, width);
    let io = |path: PathBuf, source| ReadError::Io { path, source };
    let found = read_tile(dir, sort, tile, width).map_err(|source| io(path.clone(), source))?;
    let (_, bytes) = found.ok_or_else(|| io(path, io::Error::from(io::ErrorKind::NotFound)))?;
    Ok(bytes.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect())
}
