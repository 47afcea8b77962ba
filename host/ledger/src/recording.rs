//! What a caller sent and saw: chunks beside a record, in its sealed contents.
//!
//! Contents are the length of the record's JSON (four bytes, little-endian), the JSON, then chunks. A chunk is its
//! sort (one byte), the monotonic clock (8), the number of the result (8), rows that end in it (4), its length (4), and
//! its bytes.

use crate::sha256::{Hash, Sha256};

/// A session's chunks are written out when they reach this, at the latest.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
/// A session keeps a buffer of this size for its next chunks; larger ones are given back.
const BUFFER_BYTES_KEPT: usize = 8 << 10;
const CHUNK_HEADER_BYTES: usize = 25;
const FROM_CALLER: u8 = 0;
const TO_CALLER: u8 = 1;
const ELIDED: u8 = 2;

/// Who sent bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The caller.
    FromCaller,
    /// Grille, after masking.
    ToCaller,
}

/// How much of each result is kept whole. Requests are always whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingCaps {
    /// Rows of one result.
    pub rows: u64,
    /// Bytes of one result.
    pub bytes: u64,
}

impl RecordingCaps {
    /// Everything is kept.
    pub const FULL: Self = Self { rows: u64::MAX, bytes: u64::MAX };
}

impl Default for RecordingCaps {
    fn default() -> Self {
        Self { rows: 10_000, bytes: 4 << 20 }
    }
}

/// A piece of a recording, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunk {
    /// Bytes of the wire.
    Bytes {
        /// Who sent them.
        direction: Direction,
        /// When: microseconds since the node started.
        mono: u64,
        /// The number of the result that they belong to.
        result: u64,
        /// The rows that end in them.
        rows: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// What was sent and not kept, since the result began.
    Elided {
        /// When: microseconds since the node started.
        mono: u64,
        /// The number of the result.
        result: u64,
        /// Rows.
        rows: u64,
        /// Bytes.
        bytes: u64,
        /// SHA-256 of those bytes.
        sha256: [u8; 32],
    },
}

/// The chunks of a session that are not written yet, and where its current result stands.
pub(crate) struct Recording {
    caps: RecordingCaps,
    chunks: Vec<u8>,
    result: u64,
    rows: u64,
    bytes: u64,
    elided: Option<Elided>,
}

struct Elided {
    rows: u64,
    bytes: u64,
    hash: Sha256,
    is_told: bool,
}

impl Recording {
    pub(crate) const fn new(caps: RecordingCaps) -> Self {
        Self { caps, chunks: Vec::new(), result: 0, rows: 0, bytes: 0, elided: None }
    }

    pub(crate) const fn set_caps(&mut self, caps: RecordingCaps) {
        self.caps = caps;
    }

    /// What is to be written with the next record.
    pub(crate) fn chunks(&self) -> &[u8] {
        &self.chunks
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.chunks.len() >= BUFFER_BYTES
    }

    /// How many bytes may be added before it is full.
    pub(crate) const fn room(&self) -> usize {
        BUFFER_BYTES.saturating_sub(self.chunks.len())
    }

    /// The chunks are written.
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        if self.chunks.capacity() > BUFFER_BYTES_KEPT {
            self.chunks = Vec::new();
        }
    }

    /// Adds bytes of the caller.
    pub(crate) fn request(&mut self, mono: u64, result: u64, bytes: &[u8]) {
        push(&mut self.chunks, FROM_CALLER, mono, result, 0, bytes);
    }

    /// Begins another result if this is one.
    pub(crate) fn turn_to(&mut self, mono: u64, result: u64) {
        if result != self.result {
            self.tell_elided(mono);
            self.elided = None;
            self.result = result;
            self.rows = 0;
            self.bytes = 0;
        }
    }

    /// How many of `length` further bytes of the current result are kept.
    pub(crate) fn kept(&self, length: usize) -> usize {
        if self.elided.is_some() || self.rows >= self.caps.rows {
            return 0;
        }
        usize::try_from(self.caps.bytes.saturating_sub(self.bytes)).unwrap_or(usize::MAX).min(length)
    }

    /// Adds bytes of the current result that are kept.
    pub(crate) fn keep(&mut self, mono: u64, rows: u64, bytes: &[u8]) {
        self.rows += rows;
        self.bytes += bytes.len() as u64;
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        push(&mut self.chunks, TO_CALLER, mono, self.result, rows, bytes);
    }

    /// Counts bytes of the current result that are not kept.
    pub(crate) fn elide(&mut self, rows: u64, bytes: &[u8]) {
        let elided =
            self.elided.get_or_insert_with(|| Elided { rows: 0, bytes: 0, hash: Sha256::new(), is_told: true });
        elided.rows += rows;
        elided.bytes += bytes.len() as u64;
        elided.hash.update(bytes);
        elided.is_told = false;
    }

    /// Adds a chunk that says what was not kept so far, if that is news.
    pub(crate) fn tell_elided(&mut self, mono: u64) {
        let Some(elided) = self.elided.as_mut().filter(|elided| !elided.is_told) else { return };
        elided.is_told = true;
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&elided.rows.to_le_bytes());
        bytes[8..16].copy_from_slice(&elided.bytes.to_le_bytes());
        bytes[16..].copy_from_slice(&elided.hash.clone().finish());
        push(&mut self.chunks, ELIDED, mono, self.result, 0, &bytes);
    }
}

fn push(out: &mut Vec<u8>, sort: u8, mono: u64, result: u64, rows: u32, bytes: &[u8]) {
    out.push(sort);
    out.extend_from_slice(&mono.to_le_bytes());
    out.extend_from_slice(&result.to_le_bytes());
    out.extend_from_slice(&rows.to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("pieces stay below the buffer's size").to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The JSON and the chunks of contents.
pub(crate) fn parse(contents: &[u8]) -> Option<(&[u8], Vec<Chunk>)> {
    let (length, rest) = contents.split_first_chunk::<4>()?;
    let (json, mut rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (header, behind) = rest.split_first_chunk::<CHUNK_HEADER_BYTES>()?;
        let long = |at: usize| header[at..].first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        let short = |at: usize| header[at..].first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        let (mono, result, rows) = (long(1)?, long(9)?, short(17)?);
        let (bytes, behind) = behind.split_at_checked(short(21)? as usize)?;
        chunks.push(match header[0] {
            FROM_CALLER => Chunk::Bytes { direction: Direction::FromCaller, mono, result, rows, bytes: bytes.to_vec() },
            TO_CALLER => Chunk::Bytes { direction: Direction::ToCaller, mono, result, rows, bytes: bytes.to_vec() },
            ELIDED => {
                let (rows, bytes) = bytes.split_first_chunk::<8>()?;
                let (length, sha256) = bytes.split_first_chunk::<8>()?;
                let sha256: Hash = sha256.try_into().ok()?;
                Chunk::Elided {
                    mono,
                    result,
                    rows: u64::from_le_bytes(*rows),
                    bytes: u64::from_le_bytes(*length),
                    sha256,
                }
            }
            _ => return None,
        });
        rest = behind;
    }
    Some((json, chunks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256::sha256;

    fn contents(recording: &Recording) -> Vec<Chunk> {
        parse(&[&2u32.to_le_bytes()[..], b"{}", recording.chunks()].concat()).unwrap().1
    }

    fn reply(recording: &mut Recording, mono: u64, result: u64, rows: u64, bytes: &[u8]) {
        recording.turn_to(mono, result);
        let kept = recording.kept(bytes.len());
        if kept > 0 {
            recording.keep(mono, rows, &bytes[..kept]);
        }
        if kept < bytes.len() {
            recording.elide(if kept > 0 { 0 } else { rows }, &bytes[kept..]);
        }
    }

    #[test]
    fn beyond_the_caps_only_counts_and_a_digest_remain() {
        let mut recording = Recording::new(RecordingCaps { rows: 3, bytes: 10 });
        recording.request(1, 1, b"select");
        reply(&mut recording, 2, 1, 2, b"aaaa");
        reply(&mut recording, 3, 1, 2, b"bbbb");
        reply(&mut recording, 4, 1, 1, b"cc");
        reply(&mut recording, 5, 1, 1, b"dd");
        reply(&mut recording, 6, 2, 1, b"0123456789abc");
        recording.tell_elided(7);
        recording.tell_elided(8);
        let bytes = |direction, mono, result, rows, bytes: &[u8]| Chunk::Bytes {
            direction,
            mono,
            result,
            rows,
            bytes: bytes.to_vec(),
        };
        assert_eq!(
            contents(&recording),
            [
                bytes(Direction::FromCaller, 1, 1, 0, b"select"),
                bytes(Direction::ToCaller, 2, 1, 2, b"aaaa"),
                bytes(Direction::ToCaller, 3, 1, 2, b"bbbb"),
                Chunk::Elided { mono: 6, result: 1, rows: 2, bytes: 4, sha256: sha256(b"ccdd") },
                bytes(Direction::ToCaller, 6, 2, 1, b"0123456789"),
                Chunk::Elided { mono: 7, result: 2, rows: 0, bytes: 3, sha256: sha256(b"abc") },
            ]
        );
    }

    #[test]
    fn broken_contents_are_refused_at_every_length() {
        let mut recording = Recording::new(RecordingCaps { rows: 0, bytes: 0 });
        recording.request(1, 1, b"select");
        reply(&mut recording, 2, 1, 1, b"x");
        recording.tell_elided(3);
        let whole = [&2u32.to_le_bytes()[..], b"{}", recording.chunks()].concat();
        let boundaries = [6, 6 + 31, whole.len()];
        for end in 0..=whole.len() {
            assert_eq!(parse(&whole[..end]).is_some(), boundaries.contains(&end), "{end}");
        }
    }
}
