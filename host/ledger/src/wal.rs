//! The writer's end of the write-ahead log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::Unwritable;
use crate::clock::Clock;
use crate::frame::{HEADER_BYTES, SEGMENT_HEADER_BYTES, segment_header, segment_path, write_header};
use crate::leaf;

/// How many closed segments may wait for their sync; beyond, the appender does it.
const RETIRED_MAX: usize = 4;
/// The longest end of a leaf: three numbers of at most 20 digits, a segment and their names.
const LEAF_END_BYTES: u64 = 128;

/// Why a frame was not written.
pub(crate) enum Failed {
    /// Nothing of it remains; the next one may succeed.
    Once(Unwritable),
    /// What is in the file now is unknown.
    ForGood(Arc<str>),
}

pub(crate) struct Wal {
    dir: PathBuf,
    path: Arc<Path>,
    segment_bytes: u64,
    segment: u32,
    file: Arc<File>,
    offset: u64,
    next: u64,
    retired: Vec<Arc<File>>,
    clock: Clock,
    /// A segment with anything in it is closed when it is so old.
    segment_age: Option<Duration>,
    /// When the segment began, in microseconds since the start.
    begun: u64,
}

impl Wal {
    /// Goes on at segment and offset `at`, where record number `next` will stand. Everything behind is cut.
    pub(crate) fn resume(dir: &Path, segment_bytes: u64, at: (u32, u64), next: u64, clock: Clock) -> io::Result<Self> {
        let (segment, offset) = at;
        let path = segment_path(dir, segment);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.set_len(offset)?;
        let mut wal = Self {
            dir: dir.to_owned(),
            path: path.into(),
            segment_bytes,
            segment,
            file: Arc::new(file),
            offset,
            next,
            retired: Vec::new(),
            begun: clock.mono(),
            clock,
            segment_age: None,
        };
        if offset < SEGMENT_HEADER_BYTES as u64 {
            wal.file.set_len(0)?;
            wal.file.write_all_at(&segment_header(segment, next), 0)?;
            wal.offset = SEGMENT_HEADER_BYTES as u64;
        }
        wal.file.sync_all()?;
        File::open(dir.join("wal"))?.sync_all()?;
        Ok(wal)
    }

    /// Closes segments by age, too.
    pub(crate) fn with_segment_age(self, segment_age: Option<Duration>) -> Self {
        Self { segment_age, ..self }
    }

    /// Completes and writes a frame: header space, sealed contents, and the beginning of a leaf from `leaf_at` on. Returns the record's index.
    pub(crate) fn append(&mut self, frame: &mut Vec<u8>, leaf_at: usize, sealed_crc: u32) -> Result<u64, Failed> {
        let longest = frame.len() as u64 + LEAF_END_BYTES;
        let is_old = self.segment_age.is_some_and(|age| u128::from(self.clock.mono() - self.begun) > age.as_micros());
        let is_used = self.offset > SEGMENT_HEADER_BYTES as u64;
        if is_used && (is_old || self.offset + longest > self.segment_bytes) {
            self.rotate()?;
        }
        let begun = frame.len();
        let (log_time, mono) = self.clock.now();
        leaf::finish(frame, log_time, mono, self.segment, self.offset);
        let crc = crc32c::crc32c_append(sealed_crc, &frame[leaf_at..]);
        let leaf_len = frame.len() - leaf_at;
        write_header(frame, leaf_len, crc);
        if let Err(error) = self.file.write_all_at(frame, self.offset) {
            // What was written of the frame must not stay in the middle of the log.
            if let Err(cut) = self.file.set_len(self.offset) {
                let why = format!("{} could neither be written ({error}) nor cut ({cut})", self.path.display());
                return Err(Failed::ForGood(why.into()));
            }
            // The same frame may be tried again, in another place.
            frame.truncate(begun);
            return Err(Failed::Once(unwritable(&self.path, error)));
        }
        let index = self.next;
        self.offset += frame.len() as u64;
        self.next += 1;
        Ok(index)
    }

    /// The number of records written.
    pub(crate) const fn written(&self) -> u64 {
        self.next
    }

    /// The segment that is written to.
    pub(crate) const fn segment(&self) -> u32 {
        self.segment
    }

    /// Where the next frame starts.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The files to sync so that everything written so far is safe; whether the directory has to be synced too.
    pub(crate) fn take_unsynced(&mut self) -> (Vec<Arc<File>>, bool, u64) {
        let mut files = std::mem::take(&mut self.retired);
        let has_rotated = !files.is_empty();
        files.push(Arc::clone(&self.file));
        (files, has_rotated, self.next)
    }

    fn rotate(&mut self) -> Result<(), Failed> {
        if self.retired.len() >= RETIRED_MAX {
            for file in self.retired.drain(..) {
                if let Err(error) = file.sync_data() {
                    return Err(Failed::ForGood(format!("a sync below {} failed: {error}", self.dir.display()).into()));
                }
            }
        }
        let segment = self.segment + 1;
        let path: Arc<Path> = segment_path(&self.dir, segment).into();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| Failed::Once(unwritable(&path, error)))?;
        if let Err(error) = file.write_all_at(&segment_header(segment, self.next), 0) {
            if let Err(remove) = std::fs::remove_file(&path) {
                let why = format!("{} could neither be written ({error}) nor removed ({remove})", path.display());
                return Err(Failed::ForGood(why.into()));
            }
            return Err(Failed::Once(unwritable(&path, error)));
        }
        self.retired.push(std::mem::replace(&mut self.file, Arc::new(file)));
        self.path = path;
        self.segment = segment;
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.begun = self.clock.mono();
        Ok(())
    }
}

pub(crate) fn unwritable(path: &Arc<Path>, error: io::Error) -> Unwritable {
    let path = Arc::clone(path);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Unwritable::Full { path },
        _ => Unwritable::Write { path, source: Arc::new(error) },
    }
}

/// The length of a frame's fixed front, for those who build one.
pub(crate) const FRAME_FRONT_BYTES: usize = HEADER_BYTES;
