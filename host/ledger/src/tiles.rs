//! Files of the C2SP tlog-tiles layout, and how they are replaced in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::merkle::{Frontier, TILE_WIDTH};
use crate::sha256::Hash;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Hashes of this level of tiles.
    Hashes(u8),
    /// Leaves.
    Entries,
}

/// `tile/<level>/<number>[.p/<width>]`, the number in groups of three digits of which all but the last carry an `x`.
pub(crate) fn tile_path(dir: &Path, sort: Sort, number: u64, width: usize) -> PathBuf {
    let mut path = dir.join("tile");
    match sort {
        Sort::Hashes(level) => path.push(level.to_string()),
        Sort::Entries => path.push("entries"),
    }
    let mut groups = vec![format!("{:03}", number % 1000)];
    let mut rest = number / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        groups[0].push_str(".p");
    }
    path.extend(groups.iter().rev());
    if width < TILE_WIDTH {
        path.push(width.to_string());
    }
    path
}

/// Removes the partial tiles of one that is full.
pub(crate) fn drop_partial(dir: &Path, sort: Sort, number: u64) {
    let one = tile_path(dir, sort, number, 1);
    if let Some(partial) = one.parent()
        && let Err(error) = fs::remove_dir_all(partial)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %partial.display(), %error, "an outdated partial tile stays");
    }
}

/// The bytes of a tile, or none if it is not there. A partial one may have been replaced by its full successor.
pub(crate) fn read_tile(dir: &Path, sort: Sort, number: u64, width: usize) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
    for width in [width, TILE_WIDTH] {
        let path = tile_path(dir, sort, number, width);
        match fs::read(&path) {
            Ok(bytes) => return Ok(Some((path, bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

pub(crate) fn push_entry(bundle: &mut Vec<u8>, leaf: &[u8]) {
    let length = u16::try_from(leaf.len()).expect("a leaf has at most 4096 bytes");
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(leaf);
}

/// The files of a tree's edge: its partial tiles, and the entries of the bundle that is not full.
pub(crate) fn edge(dir: &Path, frontier: &Frontier, entries: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
    let tile = |(level, number, hashes): (u8, u64, &[Hash])| {
        (tile_path(dir, Sort::Hashes(level), number, hashes.len()), hashes_to_bytes(hashes))
    };
    let mut files: Vec<_> = frontier.partial().map(tile).collect();
    let width = usize::try_from(frontier.size() % TILE_WIDTH as u64).expect("below 256");
    if width > 0 {
        let number = frontier.size() / TILE_WIDTH as u64;
        files.push((tile_path(dir, Sort::Entries, number, width), entries.to_vec()));
    }
    files
}

pub(crate) fn hashes_to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// Replaces a file in one step; readers see the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = parent.join(temporary);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = match options.open(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent)?;
            options.open(&temporary)?
        }
        opened => opened?,
    };
    file.write_all(bytes)?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    if durability == Durability::Synced {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Whether a replaced file has to survive a power loss at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// File and directory are synced.
    Synced,
    /// It can be made again from the write-ahead log.
    Derived,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (sort, number, width, expected) in [
            (Sort::Hashes(0), 0, 256, "tile/0/000"),
            (Sort::Hashes(3), 1_234_067, 256, "tile/3/x001/x234/067"),
            (Sort::Hashes(0), 273, 8, "tile/0/273.p/8"),
            (Sort::Entries, 1_000, 255, "tile/entries/x001/000.p/255"),
        ] {
            assert_eq!(tile_path(Path::new(""), sort, number, width), Path::new(expected));
        }
    }
}
