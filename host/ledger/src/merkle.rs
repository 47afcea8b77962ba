//! Merkle tree hashing and proofs of RFC 6962, section 2.1.

use crate::sha256::{Hash, Sha256, sha256};

/// The leaves of a tile, and of a bundle of entries.
pub(crate) const TILE_WIDTH: usize = 256;
/// A tile spans eight levels of the tree.
const TILE_HEIGHT: u32 = 8;

pub(crate) fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    hash.update(leaf);
    hash.finish()
}

pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    sha256(&input)
}

/// The root of a tree without leaves.
pub(crate) fn empty_root() -> Hash {
    sha256(b"")
}

/// The root over hashes that stand side by side on one level; `hashes.len()` is a power of two.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&perfect_root(left), &perfect_root(right))
        }
    }
}

/// The growing right edge of a tree, tile by tile: what is needed to go on and to know the root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frontier {
    size: u64,
    /// Per level of tiles, bottom first, the hashes in the tile that is not full yet.
    levels: Vec<Vec<Hash>>,
}

/// A tile that just became full.
pub(crate) struct FullTile {
    pub(crate) level: u8,
    pub(crate) number: u64,
    pub(crate) hashes: Vec<Hash>,
}

impl Frontier {
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The edge of a tree of `size` leaves, a multiple of a tile's, out of its full tiles; none if one is missing.
    pub(crate) fn from_tiles(size: u64, mut tile: impl FnMut(u8, u64) -> Option<Vec<Hash>>) -> Option<Self> {
        let mut levels = vec![Vec::with_capacity(TILE_WIDTH)];
        let mut above = size >> TILE_HEIGHT;
        while above > 0 {
            let below = u8::try_from(levels.len() - 1).ok()?;
            let first = above - above % TILE_WIDTH as u64;
            let roots = (first..above).map(|number| {
                tile(below, number).filter(|hashes| hashes.len() == TILE_WIDTH).map(|hashes| perfect_root(&hashes))
            });
            levels.push(roots.collect::<Option<_>>()?);
            above >>= TILE_HEIGHT;
        }
        Some(Self { size, levels })
    }

    /// Adds a leaf's hash and hands each tile that it completes to `full`, bottom first.
    pub(crate) fn push<E>(&mut self, leaf: Hash, mut full: impl FnMut(FullTile) -> Result<(), E>) -> Result<(), E> {
        let mut carry = leaf;
        let mut tiles = self.size;
        self.size += 1;
        for level in 0u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let hashes = &mut self.levels[usize::from(level)];
            hashes.push(carry);
            if hashes.len() < TILE_WIDTH {
                return Ok(());
            }
            carry = perfect_root(hashes);
            tiles >>= TILE_HEIGHT;
            let hashes = std::mem::replace(hashes, Vec::with_capacity(TILE_WIDTH));
            full(FullTile { level, number: tiles, hashes })?;
        }
        Ok(())
    }

    /// The tiles at the edge that are neither empty nor full: level, number, hashes.
    pub(crate) fn partial(&self) -> impl Iterator<Item = (u8, u64, &[Hash])> {
        (0u8..)
            .zip(&self.levels)
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(|(level, hashes)| (level, self.size >> (TILE_HEIGHT * (u32::from(level) + 1)), hashes.as_slice()))
    }

    pub(crate) fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.levels {
            // The perfect subtrees of a level stand left to right from the largest; fold them from the right.
            let mut end = hashes.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let subtree = perfect_root(&hashes[end - width..end]);
                root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                end -= width;
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

/// The largest power of two below `size`, which is at least 2.
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The hash over the leaves `start..end`, out of a way to read the roots of whole subtrees: `subtree(height, n)` is the
/// root over the leaves `n << height..(n + 1) << height`.
pub(crate) fn range_hash<E>(
    start: u64,
    end: u64,
    subtree: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let size = end - start;
    if size == 0 {
        return Ok(empty_root());
    }
    if size.is_power_of_two() {
        return subtree(size.trailing_zeros(), start >> size.trailing_zeros());
    }
    let middle = start + split(size);
    Ok(node_hash(&range_hash(start, middle, subtree)?, &range_hash(middle, end, subtree)?))
}

/// The audit path of leaf `index` in the tree of `size` leaves, lowest first.
pub(crate) fn inclusion<E>(
    index: u64,
    size: u64,
    subtree: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_hash(middle, end, subtree)?);
            end = middle;
        } else {
            path.push(range_hash(start, middle, subtree)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that the leaf with `hash` is number `index` under `root`.
pub(crate) fn includes(index: u64, size: u64, hash: Hash, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, hash);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `size` leaves (`0 < old <= size`).
pub(crate) fn consistency<E>(
    old: u64,
    size: u64,
    subtree: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end, mut old, mut is_whole) = (0, size, old, true);
    let mut path = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_hash(middle, end, subtree)?);
            end = middle;
        } else {
            path.push(range_hash(start, middle, subtree)?);
            start = middle;
            is_whole = false;
        }
        old = old.max(start);
    }
    if !is_whole {
        path.push(range_hash(start, end, subtree)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that the tree with `old_root` is a prefix of the one with `root`.
pub(crate) fn extends(old: u64, old_root: &Hash, size: u64, root: &Hash, path: &[Hash]) -> bool {
    if old == 0 || old > size {
        return false;
    }
    if old == size {
        return path.is_empty() && old_root == root;
    }
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut path = path.iter();
    let Some(first) = (if node == 0 { Some(old_root) } else { path.next() }) else { return false };
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && hash == *root
}

#[cfg(test)]
mod tests;
