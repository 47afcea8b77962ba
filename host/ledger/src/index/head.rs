//! The front of a file of the index: what it is of, and that it is ours.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use grille_policy::SessionId;

use super::bytes::Bytes;
use super::row::Segment;
use crate::SealKey;
use crate::frame::segment_path;
use crate::sha256::{Hash, Sha256, sha256, to_base64};
use crate::tiles::{Durability, replace};

/// The number goes up whenever a file means something else; older ones are made again.
const MAGIC: &[u8; 16] = b"grille-index 1 \n";
const MAC_BYTES: usize = 16;
/// segment, first, records, edges, oldest, newest, start, shreds, length and digest of the body.
const FACTS_BYTES: usize = 4 + 8 + 8 + 32 + 18 + 18 + 8 + 8 + 8 + 32;
const HEAD_BYTES: usize = MAGIC.len() + MAC_BYTES + FACTS_BYTES;
/// A segment of 64 MiB that holds nothing but sessions of one record has an index of some 20 MiB.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// So many bytes at either end tell one segment from another: the last are those of a leaf, with digests of its own.
const EDGE_BYTES: u64 = 512;

/// Files of the index are these and no others.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("index")
}

pub(super) fn path(dir: &Path, segment: u32) -> PathBuf {
    folder(dir).join(format!("{segment:08}.idx"))
}

/// What a file of the index says of its segment as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) segment: u32,
    pub(crate) first: u64,
    pub(crate) records: u64,
    edges: Hash,
    /// The ids of its rows lie between these.
    pub(crate) oldest: SessionId,
    pub(crate) newest: SessionId,
    pub(crate) started: Option<u64>,
    /// How many records tell that contents were destroyed.
    pub(crate) shreds: u64,
    body_len: u64,
    body_hash: Hash,
}

impl Head {
    /// Writes the file of a segment that is closed.
    pub(super) fn write(dir: &Path, seal: &SealKey, segment: &Segment) -> io::Result<()> {
        let (Some(oldest), Some(newest)) = (segment.rows.first(), segment.rows.last()) else { return Ok(()) };
        let body = segment.body();
        let head = Self {
            segment: segment.number,
            first: segment.first,
            records: segment.records,
            edges: edges(dir, segment.number)?,
            oldest: oldest.id,
            newest: newest.id,
            started: segment.started,
            shreds: segment.shreds.len() as u64,
            body_len: body.len() as u64,
            body_hash: sha256(&body),
        };
        let facts = head.to_bytes();
        let file = [&MAGIC[..], &mac(seal, &facts), &facts, &body].concat();
        replace(&path(dir, segment.number), &file, Durability::Derived)
    }

    /// The head of a segment's file, if it is of this format, whole, ours, and of this very segment.
    pub(crate) fn read(dir: &Path, seal: &SealKey, segment: u32) -> Option<Self> {
        let mut bytes = [0; HEAD_BYTES];
        File::open(path(dir, segment)).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        let mut bytes = Bytes(&bytes);
        let is_known = bytes.array()? == *MAGIC;
        let is_ours = bytes.array()? == mac(seal, bytes.0);
        let head = Self::from_bytes(bytes).filter(|_| is_known && is_ours)?;
        (head.segment == segment && edges(dir, segment).ok()? == head.edges).then_some(head)
    }

    /// All that the file says; none if it is damaged, or another one by now.
    pub(crate) fn rows(&self, dir: &Path) -> Option<Segment> {
        if self.body_len > BODY_BYTES_MAX {
            return None;
        }
        let mut body = vec![0; usize::try_from(self.body_len).ok()?];
        File::open(path(dir, self.segment)).ok()?.read_exact_at(&mut body, HEAD_BYTES as u64).ok()?;
        if sha256(&body) != self.body_hash {
            return None;
        }
        let Self { segment: number, first, records, started, .. } = *self;
        let mut segment = Segment { number, first, records, started, shreds: Vec::new(), rows: Vec::new() };
        segment.read_body(&body)?;
        Some(segment)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let started = self.started.unwrap_or(u64::MAX);
        let (oldest, newest) = (self.oldest.to_string(), self.newest.to_string());
        let parts: [&[u8]; 10] = [
            &self.segment.to_le_bytes(),
            &self.first.to_le_bytes(),
            &self.records.to_le_bytes(),
            &self.edges,
            oldest.as_bytes(),
            newest.as_bytes(),
            &started.to_le_bytes(),
            &self.shreds.to_le_bytes(),
            &self.body_len.to_le_bytes(),
            &self.body_hash,
        ];
        parts.concat()
    }

    fn from_bytes(mut bytes: Bytes<'_>) -> Option<Self> {
        let id = |bytes: &mut Bytes<'_>| std::str::from_utf8(bytes.take(18)?).ok()?.parse().ok();
        Some(Self {
            segment: u32::from_le_bytes(bytes.array()?),
            first: u64::from_le_bytes(bytes.array()?),
            records: u64::from_le_bytes(bytes.array()?),
            edges: bytes.array()?,
            oldest: id(&mut bytes)?,
            newest: id(&mut bytes)?,
            started: Some(u64::from_le_bytes(bytes.array()?)).filter(|&started| started != u64::MAX),
            shreds: u64::from_le_bytes(bytes.array()?),
            body_len: u64::from_le_bytes(bytes.array()?),
            body_hash: bytes.array()?,
        })
    }
}

/// Only a holder of the seal key can make it; the ledger's pseudonyms of people and targets begin with other words.
fn mac(seal: &SealKey, facts: &[u8]) -> [u8; MAC_BYTES] {
    seal.pseudonym(&["index", &to_base64(&sha256(facts))])
}

/// Tells a closed segment from every other, and from itself where its end was cut and written anew.
fn edges(dir: &Path, segment: u32) -> io::Result<Hash> {
    let file = File::open(segment_path(dir, segment))?;
    let length = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(&length.to_le_bytes());
    let mut edge = [0; EDGE_BYTES as usize];
    let edge = &mut edge[..usize::try_from(length.min(EDGE_BYTES)).unwrap_or_default()];
    for at in [0, length.saturating_sub(EDGE_BYTES)] {
        file.read_exact_at(edge, at)?;
        hash.update(edge);
    }
    Ok(hash.finish())
}

/// Removes what stands for no closed segment: another log's, or what an interrupted write left.
pub(super) fn clear_others(dir: &Path, open: u32) -> io::Result<()> {
    let files = match fs::read_dir(folder(dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    for file in files {
        let file = file?.path();
        let number = file.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if !number.is_some_and(|number| number < open && path(dir, number) == file) {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
