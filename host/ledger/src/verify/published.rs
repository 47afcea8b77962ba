//! What lies beside the log: tiles of hashes and bundles of entries, compared with what the log says they hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::damage::{Damage, DamageKind, VerifyError};
use crate::merkle::{TILE_WIDTH, leaf_hash};
use crate::sha256::Hash;
use crate::tiles::{Sort, hashes_to_bytes, push_entry, read_tile, tile_path};

const WIDTH: u64 = TILE_WIDTH as u64;

pub(super) struct Published {
    dir: PathBuf,
    signed: u64,
    current: Option<Pair>,
    /// The entries, as the log says, of the bundle that is not full yet.
    derived: Vec<u8>,
    /// Where each of them starts.
    starts: Vec<usize>,
}

/// A lowest tile and its bundle.
struct Pair {
    number: u64,
    hashes: Option<(PathBuf, Vec<u8>)>,
    entries: Option<(PathBuf, Vec<u8>)>,
    /// Start and end of the leaves in the bundle, as far as it can be read.
    places: Vec<(usize, usize)>,
}

/// How a record of the log and what was published differ.
pub(super) enum Difference {
    /// The log has another record than both tile and bundle.
    Log,
    /// The log and one of them agree, so it is the other one.
    Published(Damage),
}

impl Published {
    pub(super) fn new(dir: &Path, signed: u64) -> Self {
        Self { dir: dir.to_owned(), signed, current: None, derived: Vec::new(), starts: Vec::new() }
    }

    /// Takes in a record of the log.
    pub(super) fn push(&mut self, leaf: &[u8]) {
        self.starts.push(self.derived.len());
        push_entry(&mut self.derived, leaf);
    }

    /// The leaf that was published under an index, if it can be read.
    pub(super) fn entry(&mut self, index: u64) -> Result<Option<&[u8]>, VerifyError> {
        if index >= self.signed {
            return Ok(None);
        }
        let pair = self.pair(index / WIDTH)?;
        Ok(pair.leaf(index))
    }

    /// Compares a record of the log with what was published under its index.
    pub(super) fn compare(&mut self, index: u64, leaf: &[u8]) -> Result<Option<Difference>, VerifyError> {
        let dir = self.dir.clone();
        let pair = self.pair(index / WIDTH)?;
        let hash = leaf_hash(leaf);
        let place = usize::try_from(index % WIDTH).expect("below 256");
        let missing = |sort| {
            let path = tile_path(&dir, sort, index / WIDTH, TILE_WIDTH);
            let detail = "the tile of the record is missing".to_owned();
            Ok(Some(Difference::Published(Damage::at(index, DamageKind::TileMissing, &path, 0, detail))))
        };
        let Some((hashes_path, hashes)) = &pair.hashes else { return missing(Sort::Hashes(0)) };
        let Some((entries_path, entries)) = &pair.entries else { return missing(Sort::Entries) };
        let is_entry = pair.leaf(index) == Some(leaf);
        let is_hash = hashes.get(place * 32..place * 32 + 32) == Some(&hash[..]);
        Ok(match (is_entry, is_hash) {
            (true, true) => None,
            (true, false) => {
                let detail = "the tile holds another hash than the record's".to_owned();
                let offset = place as u64 * 32;
                Some(Difference::Published(Damage::at(index, DamageKind::Tile, hashes_path, offset, detail)))
            }
            (false, true) => {
                let offset = pair.places.get(place).map_or(entries.len(), |place| place.0) as u64;
                let detail = "the bundle of entries holds another leaf than the record's".to_owned();
                Some(Difference::Published(Damage::at(index, DamageKind::Entries, entries_path, offset, detail)))
            }
            (false, false) => Some(Difference::Log),
        })
    }

    /// Compares every file of a tile with its hashes, and with the lowest level the bundles too.
    pub(super) fn check_tile(
        &mut self,
        level: u8,
        number: u64,
        hashes: &[Hash],
    ) -> Result<Option<Damage>, VerifyError> {
        let span = 1u64 << (8 * u32::from(level));
        let needed = (self.signed / span).saturating_sub(number * WIDTH).min(hashes.len() as u64);
        let needed = usize::try_from(needed).expect("at most 256");
        let first = number * WIDTH * span;
        let sort = Sort::Hashes(level);
        let found =
            self.check_files(sort, number, &hashes_to_bytes(hashes), hashes.len(), needed, |width| width * 32)?;
        if let Some((kind, path, offset)) = found {
            let index = first + offset / 32 * span;
            let detail = "a tile of hashes does not follow from the records".to_owned();
            return Ok(Some(Damage::at(index, kind, &path, offset, detail)).map(|damage| self.named(index, damage)));
        }
        if level > 0 {
            return Ok(None);
        }
        let (derived, starts) = (std::mem::take(&mut self.derived), std::mem::take(&mut self.starts));
        let end = |width: usize| starts.get(width).copied().unwrap_or(derived.len());
        let found = self.check_files(Sort::Entries, number, &derived, hashes.len(), needed, end)?;
        Ok(found.map(|(kind, path, offset)| {
            let kind = if kind == DamageKind::Tile { DamageKind::Entries } else { kind };
            let place = starts.partition_point(|&start| start as u64 <= offset).saturating_sub(1);
            let detail = "a bundle of entries does not follow from the records".to_owned();
            let mut damage = Damage::at(first + place as u64, kind, &path, offset, detail);
            damage.take_name(derived.get(starts.get(place).map_or(0, |start| start + 2)..end(place + 1)));
            damage
        }))
    }

    /// Compares the full file and all partial ones with `derived`, which holds `width` items. `needed` of them are
    /// signed and have to be there.
    fn check_files(
        &self,
        sort: Sort,
        number: u64,
        derived: &[u8],
        width: usize,
        needed: usize,
        end: impl Fn(usize) -> usize,
    ) -> Result<Option<(DamageKind, PathBuf, u64)>, VerifyError> {
        let full = tile_path(&self.dir, sort, number, TILE_WIDTH);
        let mut widest = 0;
        if let Some(bytes) = read(&full)? {
            // A log in use may have grown since it was read: then only the beginning can be compared.
            let bytes = if width < TILE_WIDTH { bytes.get(..derived.len()).unwrap_or(&bytes) } else { &bytes };
            if let Some(offset) = difference(bytes, derived) {
                return Ok(Some((DamageKind::Tile, full, offset)));
            }
            widest = width;
        }
        let one = tile_path(&self.dir, sort, number, 1);
        let partial = one.parent().expect("a partial tile has a directory");
        let names = match fs::read_dir(partial) {
            Ok(names) => names.collect::<Result<Vec<_>, _>>().map_err(super::io(partial))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(super::io(partial)(error)),
        };
        for name in names {
            let known = name.file_name().to_str().and_then(|name| name.parse::<usize>().ok());
            let Some(known) = known.filter(|known| (1..=width).contains(known)) else { continue };
            let path = name.path();
            let Some(bytes) = read(&path)? else { continue };
            if let Some(offset) = difference(&bytes, &derived[..end(known)]) {
                return Ok(Some((DamageKind::Tile, path, offset)));
            }
            widest = widest.max(known);
        }
        // A partial one goes when its successor is full.
        if widest < needed && !full.exists() {
            return Ok(Some((DamageKind::TileMissing, full, 0)));
        }
        Ok(None)
    }

    fn named(&mut self, index: u64, mut damage: Damage) -> Damage {
        if let Ok(leaf) = self.entry(index) {
            damage.take_name(leaf);
        }
        damage
    }

    fn pair(&mut self, number: u64) -> Result<&Pair, VerifyError> {
        if self.current.as_ref().is_none_or(|pair| pair.number != number) {
            let width = (self.signed - number * WIDTH).min(WIDTH);
            let width = usize::try_from(width).expect("at most 256");
            let load = |sort| {
                read_tile(&self.dir, sort, number, width).map_err(super::io(&tile_path(&self.dir, sort, number, width)))
            };
            let (hashes, entries) = (load(Sort::Hashes(0))?, load(Sort::Entries)?);
            let places = entries.as_ref().map(|(_, bytes)| places(bytes)).unwrap_or_default();
            self.current = Some(Pair { number, hashes, entries, places });
        }
        Ok(self.current.as_ref().expect("loaded above"))
    }
}

impl Pair {
    fn leaf(&self, index: u64) -> Option<&[u8]> {
        let (start, end) = *self.places.get(usize::try_from(index % WIDTH).expect("below 256"))?;
        self.entries.as_ref()?.1.get(start + 2..end)
    }
}

fn places(bundle: &[u8]) -> Vec<(usize, usize)> {
    let mut places = Vec::with_capacity(TILE_WIDTH);
    let mut start = 0;
    while let Some(length) = bundle.get(start..).and_then(|rest| rest.first_chunk::<2>()) {
        let end = start + 2 + usize::from(u16::from_be_bytes(*length));
        if end > bundle.len() {
            break;
        }
        places.push((start, end));
        start = end;
    }
    places
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, VerifyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(super::io(path)(error)),
    }
}

/// Where two byte strings differ first.
fn difference(found: &[u8], expected: &[u8]) -> Option<u64> {
    if found == expected {
        return None;
    }
    let common = found.iter().zip(expected).take_while(|(one, two)| one == two).count();
    Some(common as u64)
}
