//! Reading back: sessions, their records and recordings. Works on a ledger in use; it ends at the last whole record.

mod decision;
mod opener;
mod places;
mod sessions;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use grille_policy::SessionId;
use zeroize::Zeroizing;

use crate::frame::{FrameReader, Next, SEGMENT_HEADER_BYTES, segment_path};
use crate::index::{Index, Unusable};
use crate::leaf::Leaf;
use crate::recording::Chunk;
use crate::seal::SALT_BYTES;
use crate::{ReadError, Record, SealKey};
use opener::{Broken, Opener};

pub use decision::DecisionFound;
pub(crate) use opener::unpack;
pub(crate) use places::Places;
pub use sessions::{SessionEnd, SessionSummary};

/// A session's records are looked for from this long before its id was minted, in microseconds: clocks are set back.
const CLOCK_STEP_MAX: u64 = 600_000_000;

/// A ledger that is read.
#[derive(Debug, Clone)]
pub struct Reader {
    dir: PathBuf,
    seal: Option<SealKey>,
    /// A log that was put aside because something was wrong with it: it is read up to there, and nobody goes on with it.
    is_kept: bool,
    /// Whether the index is asked where there is one.
    is_indexed: bool,
}

/// One record, as it is read back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The index in the log.
    pub index: u64,
    /// The public part.
    pub leaf: Leaf,
    /// The contents, unless they are sealed from this reader.
    pub contents: Contents,
    /// The exact bytes of the leaf, as the tree hashes them.
    pub bytes: Vec<u8>,
    /// The sealed contents, as the leaf names their digest.
    pub sealed: Vec<u8>,
}

/// The sealed part of a record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Contents {
    /// Opened, and proven to be what the leaf commits to.
    Open(Box<Opened>),
    /// There is no key for it here, for this reason.
    Sealed(&'static str),
}

/// Opened contents.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The record; none if it is of a kind that a later version writes.
    pub record: Option<Record<'static>>,
    /// The record's exact JSON.
    pub json: String,
    /// The bytes recorded with it.
    pub chunks: Vec<Chunk>,
    /// What the leaf's commitment is salted with: together with the contents it proves them.
    pub(crate) salt: [u8; SALT_BYTES],
}

impl Entry {
    /// The record, if it could be opened and is of a known kind.
    #[must_use]
    pub const fn record(&self) -> Option<&Record<'static>> {
        match &self.contents {
            Contents::Open(opened) => opened.record.as_ref(),
            Contents::Sealed(_) => None,
        }
    }

    /// The bytes recorded with it.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        match &self.contents {
            Contents::Open(opened) => &opened.chunks,
            Contents::Sealed(_) => &[],
        }
    }
}

impl Reader {
    /// Reads the ledger in `path`; without the key only leaves.
    pub fn open(path: &Path, seal: Option<SealKey>) -> Result<Self, ReadError> {
        if !segment_path(path, 0).exists() {
            return Err(ReadError::NotALedger { path: path.to_owned() });
        }
        Ok(Self { dir: path.to_owned(), seal, is_kept: false, is_indexed: true })
    }

    /// The ledger and the logs that it follows, the newest first. Those that hold nothing readable are left out.
    pub fn all(path: &Path, seal: Option<SealKey>) -> Result<Vec<Self>, ReadError> {
        let newest = Self::open(path, seal.clone())?;
        let kept = crate::recover::kept(path).into_iter().filter_map(|dir| Self::open(&dir, seal.clone()).ok());
        let kept = kept.map(|reader| Self { is_kept: true, ..reader }.without_index());
        Ok([newest].into_iter().chain(kept).collect())
    }

    /// Reads all of the log also where there is an index.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self { is_indexed: false, ..self }
    }

    /// What `ask` has to say by the index; none where that does not help, and the log has to be read.
    pub(crate) fn by_index<T>(&self, ask: impl FnOnce(&Index<'_>) -> Result<T, Unusable>) -> Option<T> {
        let seal = self.seal().filter(|_| self.is_indexed)?;
        let answer = ask(&Index::open(&self.dir, seal)?);
        answer.inspect_err(|error| tracing::warn!(%error, "the log is read without its index")).ok()
    }

    pub(crate) const fn seal(&self) -> Option<&SealKey> {
        self.seal.as_ref()
    }

    fn opener(&self) -> Opener {
        Opener::new(&self.dir, self.seal.clone())
    }

    /// Whether its last word is spoken.
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every record of the log, in its order.
    pub fn records(&self) -> Result<Entries, ReadError> {
        Entries::begin(self, None, 0)
    }

    /// The records of one session, in their order. Empty if there is no such session.
    pub fn session(&self, id: SessionId) -> Result<Entries, ReadError> {
        self.entries_of(id, Some(id))
    }

    /// All records from the beginning of a segment on.
    pub(crate) fn segment_on(&self, segment: u32) -> Result<Entries, ReadError> {
        Entries::begin(self, None, segment)
    }

    /// All records from the one on that stands there.
    pub(crate) fn records_at(&self, segment: u32, offset: u64, index: u64) -> Result<Entries, ReadError> {
        Entries::begin_at(self, None, (segment, offset), index)
    }

    /// All records from where a session begins on.
    pub(crate) fn session_on(&self, id: SessionId) -> Result<Entries, ReadError> {
        self.entries_of(id, None)
    }

    /// From the session's first record on, where the index knows it, and else from before it can have begun.
    fn entries_of(&self, id: SessionId, only: Option<SessionId>) -> Result<Entries, ReadError> {
        match self.by_index(|index| index.start_of(id)) {
            Some((segment, Some(at))) => Entries::begin_at(self, only, (segment, at.offset), at.index),
            Some((segment, None)) => Entries::begin(self, only, segment),
            None => Entries::begin(self, only, self.segment_of(id)?),
        }
    }

    /// The records of a session whose first one stands where this leaf, number `index` of the log, says.
    pub(crate) fn session_from(&self, leaf: &Leaf, index: u64) -> Result<Entries, ReadError> {
        match leaf.position() {
            Some((segment, offset)) => Entries::begin_at(self, Some(leaf.sid), (segment, offset), index),
            None => self.session(leaf.sid),
        }
    }

    /// The last segment that begins before the session can have.
    fn segment_of(&self, id: SessionId) -> Result<u32, ReadError> {
        let from = id.minted_ms().saturating_mul(1000).saturating_sub(CLOCK_STEP_MAX);
        let mut segment = 0;
        while segment_path(&self.dir, segment + 1).exists() {
            segment += 1;
        }
        while segment > 0 && first_time(&self.dir, segment)?.is_none_or(|time| time > from) {
            segment -= 1;
        }
        Ok(segment)
    }
}

/// Records, one after the other. Ends at the last whole one that was there when it began.
pub struct Entries {
    reader: Reader,
    frames: FrameReader,
    index: u64,
    /// The bytes of the leaf that was read last.
    leaf: Vec<u8>,
    only: Option<SessionId>,
    /// Whether anything that is asked for was met.
    has_begun: bool,
    opener: Opener,
    is_done: bool,
}

impl Entries {
    fn begin(reader: &Reader, only: Option<SessionId>, segment: u32) -> Result<Self, ReadError> {
        let index = if segment == 0 { 0 } else { first_index(&reader.dir, segment)? };
        Self::begin_at(reader, only, (segment, 0), index)
    }

    /// From a byte of a segment on, where record `index` starts; byte 0 is before the first.
    fn begin_at(reader: &Reader, only: Option<SessionId>, at: (u32, u64), index: u64) -> Result<Self, ReadError> {
        let (segment, offset) = at;
        let path = segment_path(&reader.dir, segment);
        let frames = FrameReader::open_at(&reader.dir, segment, offset, index).and_then(FrameReader::until_now);
        let frames = frames.map_err(io(&path))?;
        let opener = reader.opener();
        Ok(Self {
            reader: reader.clone(),
            frames,
            index,
            leaf: Vec::new(),
            only,
            has_begun: false,
            opener,
            is_done: false,
        })
    }

    /// The next leaf that is asked for, with its sealed contents.
    pub(crate) fn next_leaf(&mut self) -> Result<Option<(Leaf, Vec<u8>)>, ReadError> {
        loop {
            let (path, index) = (self.frames.path(), self.frames.index());
            let dir = &self.reader.dir;
            let damaged = |index, segment, offset, why: &str| ReadError::Damaged {
                index,
                why: why.to_owned(),
                path: segment_path(dir, segment),
                offset,
            };
            match self.frames.next().map_err(io(&path))? {
                Next::Frame(frame) => {
                    self.index = frame.index;
                    let leaf = Leaf::parse(frame.leaf).ok_or_else(|| {
                        damaged(frame.index, frame.segment, frame.offset, "its leaf is in no known form")
                    })?;
                    if self.only.is_none_or(|only| only == leaf.sid) {
                        self.has_begun = true;
                        self.leaf.clear();
                        self.leaf.extend_from_slice(frame.leaf);
                        return Ok(Some((leaf, frame.sealed.to_vec())));
                    }
                    // No session outlives its node.
                    if self.has_begun && leaf.kind == "node.start" {
                        return Ok(None);
                    }
                }
                Next::End { .. } => return Ok(None),
                // `verify` names what is wrong with a log that was put aside.
                Next::Bad(_) if self.reader.is_kept => return Ok(None),
                Next::Bad(bad) => {
                    return Err(damaged(index, bad.segment, bad.offset, "its frame fails its checksum"));
                }
            }
        }
    }

    /// The segment that is read from.
    pub(crate) const fn segment(&self) -> u32 {
        self.frames.segment()
    }

    /// The index of the leaf that was read last.
    pub(crate) const fn index(&self) -> u64 {
        self.index
    }

    /// A session's own key, for whoever may hand it on; none where it is not to be had.
    pub(crate) fn session_key(&self, id: SessionId) -> Option<Zeroizing<[u8; 32]>> {
        self.opener.session_key(id)
    }

    pub(crate) fn open_record(&mut self, leaf: &Leaf, sealed: &[u8]) -> Result<Option<Record<'static>>, ReadError> {
        match self.contents(leaf, sealed)? {
            Contents::Open(opened) => Ok(opened.record),
            Contents::Sealed(_) => Ok(None),
        }
    }

    fn contents(&mut self, leaf: &Leaf, sealed: &[u8]) -> Result<Contents, ReadError> {
        self.opener.open(leaf, sealed)?.map_err(|Broken(why)| ReadError::Damaged {
            index: self.index,
            why: why.to_owned(),
            path: self.frames.path(),
            offset: leaf.position().map_or(0, |(_, offset)| offset),
        })
    }

    fn advance(&mut self) -> Result<Option<Entry>, ReadError> {
        let Some((leaf, sealed)) = self.next_leaf()? else { return Ok(None) };
        let index = self.index;
        let contents = self.contents(&leaf, &sealed)?;
        self.is_done = self.only.is_some() && matches!(leaf.kind.as_str(), "session.close" | "node.stop");
        Ok(Some(Entry { index, leaf, contents, bytes: self.leaf.clone(), sealed }))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let entry = self.advance().transpose();
        if !matches!(entry, Some(Ok(_))) {
            self.is_done = true;
        }
        entry
    }
}

/// The index of a segment's first record, as its first line says.
pub(crate) fn first_index(dir: &Path, segment: u32) -> Result<u64, ReadError> {
    let path = segment_path(dir, segment);
    let mut header = [0; SEGMENT_HEADER_BYTES];
    File::open(&path).and_then(|mut file| file.read_exact(&mut header)).map_err(io(&path))?;
    let text = String::from_utf8_lossy(&header);
    let index = text.trim_end().rsplit(' ').next().and_then(|index| index.parse().ok());
    index.ok_or_else(|| ReadError::Damaged {
        index: 0,
        why: "the segment's first line is altered".to_owned(),
        path,
        offset: 0,
    })
}

/// The time of a segment's first record; none if it has no whole one yet.
fn first_time(dir: &Path, segment: u32) -> Result<Option<u64>, ReadError> {
    let path = segment_path(dir, segment);
    if fs::metadata(&path).map_err(io(&path))?.len() < SEGMENT_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let index = first_index(dir, segment)?;
    let mut frames = FrameReader::open_at(dir, segment, 0, index).map_err(io(&path))?;
    match frames.next().map_err(io(&path))? {
        Next::Frame(frame) => Ok(Leaf::parse(frame.leaf).map(|leaf| leaf.log_time)),
        Next::End { .. } | Next::Bad(_) => Ok(None),
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::Io { path, source }
}
