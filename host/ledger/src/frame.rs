//! The write-ahead log's bytes: segments of frames, and a reader over them.
//!
//! A segment starts with one line of text padded to 64 bytes. A frame is a header of 16 bytes, then the sealed
//! contents, then the leaf. The header has a checksum of its own, so that a damaged length is told apart from a tail
//! that is still being written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::leaf::LEAF_BYTES_MAX;

/// body length, leaf length, crc32c of the body, crc32c of the twelve bytes before.
pub(crate) const HEADER_BYTES: usize = 16;
/// A whole statement of 16 MiB, twice for escapes, with as many bytes of parameters, fits with room to spare.
pub(crate) const SEALED_BYTES_MAX: usize = 128 << 20;
/// What a segment starts with.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
/// One read from the file.
const READ_BYTES: usize = 256 << 10;

pub(crate) fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join("wal").join(format!("{segment:08}.wal"))
}

/// The first bytes of a segment: all of them follow from its number and the index of its first record.
pub(crate) fn segment_header(segment: u32, first: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [b' '; SEGMENT_HEADER_BYTES];
    let text = format!("grille-wal 1 segment {segment} first {first}");
    header[..text.len()].copy_from_slice(text.as_bytes());
    header[SEGMENT_HEADER_BYTES - 1] = b'\n';
    header
}

/// Fills in the header of a frame whose body follows it.
pub(crate) fn write_header(frame: &mut [u8], leaf_len: usize, body_crc: u32) {
    let (header, body) = frame.split_at_mut(HEADER_BYTES);
    let body_len = u32::try_from(body.len()).expect("a body is far below 4 GiB");
    header[..4].copy_from_slice(&body_len.to_le_bytes());
    header[4..8].copy_from_slice(&u32::try_from(leaf_len).expect("a leaf is small").to_le_bytes());
    header[8..12].copy_from_slice(&body_crc.to_le_bytes());
    let crc = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
}

/// A frame's lengths, once its header proved sound.
#[derive(Debug, Clone, Copy)]
struct Head {
    body: usize,
    leaf: usize,
    crc: u32,
}

fn read_header(bytes: &[u8; HEADER_BYTES]) -> Option<Head> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (body, leaf) = (word(0) as usize, word(4) as usize);
    let is_sound = crc32c::crc32c(&bytes[..12]) == word(12)
        && (1..=LEAF_BYTES_MAX).contains(&leaf)
        && (leaf..=SEALED_BYTES_MAX + LEAF_BYTES_MAX).contains(&body);
    is_sound.then_some(Head { body, leaf, crc: word(8) })
}

/// Sealed contents and leaf of the one frame that starts at a byte of a segment; none if no sound one does.
pub(crate) fn read_at<'a>(
    file: &File,
    offset: u64,
    buffer: &'a mut Vec<u8>,
) -> io::Result<Option<(&'a [u8], &'a [u8])>> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, offset)?;
    let Some(head) = read_header(&header) else { return Ok(None) };
    buffer.resize(head.body, 0);
    file.read_exact_at(buffer, offset + HEADER_BYTES as u64)?;
    let is_sound = crc32c::crc32c(buffer) == head.crc;
    Ok(is_sound.then(|| buffer.split_at(head.body - head.leaf)))
}

/// One whole, sound frame.
pub(crate) struct Frame<'a> {
    pub(crate) index: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) sealed: &'a [u8],
    pub(crate) leaf: &'a [u8],
}

/// What a reader came upon.
pub(crate) enum Next<'a> {
    Frame(Frame<'a>),
    /// No whole frame follows; so many bytes of one that is incomplete do.
    End {
        torn: u64,
    },
    Bad(Bad),
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) why: BadFrame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// The segment's first line is not what it has to be.
    SegmentHeader,
    /// The frame's header fails its checksum.
    Header,
    /// The frame's body fails its checksum.
    Checksum,
    /// A segment ends within a frame although another one follows.
    CutShort,
}

/// Reads frames one after the other across segments, with memory for one frame.
pub(crate) struct FrameReader {
    dir: PathBuf,
    file: File,
    segment: u32,
    index: u64,
    /// Where the next frame starts in the segment.
    offset: u64,
    /// The bytes of the file from `offset` on that are read already: `buffer[start..filled]`.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    has_header: bool,
    /// Where to end although more may be there: the log as it was at this moment.
    limit: Option<(u32, u64)>,
}

impl FrameReader {
    /// From the first record on.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Self::open_at(dir, 0, 0, 0)
    }

    /// From a byte of a segment on, where record `index` starts; byte 0 is before the segment's first line.
    pub(crate) fn open_at(dir: &Path, segment: u32, offset: u64, index: u64) -> io::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            file: File::open(segment_path(dir, segment))?,
            segment,
            index,
            offset,
            buffer: vec![0; READ_BYTES],
            start: 0,
            filled: 0,
            has_header: offset > 0,
            limit: None,
        })
    }

    /// Ends where the log ends now, so that a reader need not chase a writer.
    pub(crate) fn until_now(mut self) -> io::Result<Self> {
        let mut last = self.segment;
        while segment_path(&self.dir, last + 1).exists() {
            last += 1;
        }
        self.limit = Some((last, std::fs::metadata(segment_path(&self.dir, last))?.len()));
        Ok(self)
    }

    pub(crate) const fn segment(&self) -> u32 {
        self.segment
    }

    /// Where the next frame starts.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The index of the next frame.
    pub(crate) const fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn path(&self) -> PathBuf {
        segment_path(&self.dir, self.segment)
    }

    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        let head = loop {
            if self.limit.is_some_and(|limit| (self.segment, self.offset) >= limit) {
                return Ok(Next::End { torn: 0 });
            }
            if !self.has_header {
                if !self.fill(SEGMENT_HEADER_BYTES)? {
                    match self.at_end()? {
                        AtEnd::Again => continue,
                        AtEnd::Stop(stop) => return Ok(stop),
                    }
                }
                let expected = segment_header(self.segment, self.index);
                if self.buffer[self.start..self.start + SEGMENT_HEADER_BYTES] != expected {
                    return Ok(self.bad(BadFrame::SegmentHeader));
                }
                self.consume(SEGMENT_HEADER_BYTES);
                self.has_header = true;
            }
            if !self.fill(HEADER_BYTES)? {
                match self.at_end()? {
                    AtEnd::Again => continue,
                    AtEnd::Stop(stop) => return Ok(stop),
                }
            }
            let header = self.buffer[self.start..].first_chunk::<HEADER_BYTES>().expect("filled above");
            let Some(head) = read_header(header) else { return Ok(self.bad(BadFrame::Header)) };
            if self.fill(HEADER_BYTES + head.body)? {
                break head;
            }
            match self.at_end()? {
                AtEnd::Again => {}
                AtEnd::Stop(stop) => return Ok(stop),
            }
        };
        let body_at = self.start + HEADER_BYTES;
        if crc32c::crc32c(&self.buffer[body_at..body_at + head.body]) != head.crc {
            return Ok(self.bad(BadFrame::Checksum));
        }
        let (index, offset) = (self.index, self.offset);
        self.consume(HEADER_BYTES + head.body);
        self.index += 1;
        let (sealed, leaf) = self.buffer[body_at..body_at + head.body].split_at(head.body - head.leaf);
        Ok(Next::Frame(Frame { index, segment: self.segment, offset, sealed, leaf }))
    }

    /// The body of a frame whose checksum failed, as sealed contents and leaf.
    pub(crate) fn damaged_body(&self) -> Option<(&[u8], &[u8])> {
        let header = self.buffer.get(self.start..self.filled)?.first_chunk::<HEADER_BYTES>()?;
        let head = read_header(header)?;
        let body = self.buffer.get(self.start + HEADER_BYTES..self.filled)?.get(..head.body)?;
        Some(body.split_at(head.body - head.leaf))
    }

    fn bad(&self, why: BadFrame) -> Next<'static> {
        Next::Bad(Bad { segment: self.segment, offset: self.offset, why })
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Makes `wanted` bytes from `start` on available; false when the file ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.filled - self.start >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted.next_multiple_of(READ_BYTES), 0);
        } else if self.buffer.len() > READ_BYTES && wanted <= READ_BYTES && self.filled <= READ_BYTES {
            self.buffer.truncate(READ_BYTES);
            self.buffer.shrink_to_fit();
        }
        while self.filled < self.buffer.len() {
            let read = match self.file.read_at(&mut self.buffer[self.filled..], self.offset + self.filled as u64) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.filled += read;
            if read == 0 || self.filled >= wanted {
                break;
            }
        }
        Ok(self.filled >= wanted)
    }

    /// The file gave no more bytes: goes on to the next segment if there is one.
    fn at_end(&mut self) -> io::Result<AtEnd> {
        let next = match File::open(segment_path(&self.dir, self.segment + 1)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(AtEnd::Stop(Next::End { torn: (self.filled - self.start) as u64 }));
            }
            Err(error) => return Err(error),
        };
        // The writer may have added to this segment before it began the next one.
        if self.file.metadata()?.len() > self.offset + (self.filled - self.start) as u64 {
            return Ok(AtEnd::Again);
        }
        if self.filled > self.start || !self.has_header {
            return Ok(AtEnd::Stop(self.bad(BadFrame::CutShort)));
        }
        self.file = next;
        self.segment += 1;
        self.offset = 0;
        self.start = 0;
        self.filled = 0;
        self.has_header = false;
        Ok(AtEnd::Again)
    }
}

enum AtEnd {
    Again,
    Stop(Next<'static>),
}
