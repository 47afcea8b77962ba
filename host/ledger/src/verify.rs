//! Verification: the whole tree is derived from the write-ahead log again and compared, byte for byte, with what lies
//! beside it and with what was signed. It needs no key but the public one and memory for one record and a few tiles.

mod anchor;
mod archived;
mod bundle;
mod chain;
mod damage;
mod published;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use grille_policy::Digest;

use crate::frame::{Bad, BadFrame, Frame, FrameReader, Next, segment_path};
use crate::leaf::Leaf;
use crate::merkle::{Frontier, leaf_hash};
use crate::note::{Checkpoint, show_root};
use crate::sha256::{Sha256, sha256};
use anchor::Anchors;
pub use archived::{is_archived, verify_archived};
pub use bundle::verify_bundle;
use chain::{Chains, Fault};
pub use damage::{
    BundleReport, BundleSound, Coverage, Damage, DamageKind, Progress, Sound, VerifyError, VerifyOptions, VerifyReport,
};
use published::{Difference, Published};

/// How often progress is told.
const RECORDS_PER_PROGRESS: u64 = 4096;
/// A log that has been written for so long, in microseconds, has a checkpoint.
const UNSIGNED_AGE_MAX: u64 = 60_000_000;

/// Verifies the ledger in `path`, which may be in use.
pub fn verify(path: &Path, options: &mut VerifyOptions<'_>) -> Result<VerifyReport, VerifyError> {
    if !segment_path(path, 0).exists() {
        return Err(VerifyError::NotALedger { path: path.to_owned() });
    }
    let anchors = match anchor::anchors(path, options)? {
        Ok(anchors) => anchors,
        Err(damage) => return Ok(VerifyReport::Damage(*damage)),
    };
    Walk::new(path, anchors)?.run(options)
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    let path = path.to_owned();
    move |source| VerifyError::Io { path, source }
}

/// One pass over the log.
struct Walk {
    dir: PathBuf,
    anchors: Anchors,
    /// How many of the anchors' checkpoints, by their size, lie behind.
    met: usize,
    signed: u64,
    reader: FrameReader,
    frontier: Frontier,
    published: Published,
    chains: Chains,
    first_time: Option<u64>,
    last_time: u64,
    checkpoint_time: Option<u64>,
    /// The largest of the checkpoints that the log was found to hold.
    reached: Option<Checkpoint>,
}

impl Walk {
    fn new(dir: &Path, mut anchors: Anchors) -> Result<Self, VerifyError> {
        anchors.passed.sort_by_key(|(_, passed)| passed.size);
        let reader = FrameReader::open(dir).and_then(FrameReader::until_now).map_err(io(&segment_path(dir, 0)))?;
        let signed = anchors.newest.as_ref().map_or(0, |newest| newest.size);
        let any = anchors.newest.iter().chain(anchors.passed.iter().map(|(_, passed)| passed)).next();
        let origin = any.map(|any| any.origin.clone());
        Ok(Self {
            dir: dir.to_owned(),
            anchors,
            met: 0,
            signed,
            reader,
            frontier: Frontier::default(),
            published: Published::new(dir, signed),
            chains: Chains::of(origin),
            first_time: None,
            last_time: 0,
            checkpoint_time: None,
            reached: None,
        })
    }

    fn run(mut self, options: &mut VerifyOptions<'_>) -> Result<VerifyReport, VerifyError> {
        let torn = loop {
            let index = self.frontier.size();
            if index.is_multiple_of(RECORDS_PER_PROGRESS)
                && let Some(progress) = options.progress.as_mut()
            {
                progress(Progress { records: index, signed: self.signed });
            }
            let path = self.reader.path();
            let damage = match self.reader.next().map_err(io(&path))? {
                Next::Frame(frame) => {
                    let path = segment_path(&self.dir, frame.segment);
                    let context = Context { path: &path, signed: self.signed };
                    let found = context.judge(&frame, &mut self.published, &mut self.chains)?;
                    match found {
                        Found::Sound(time) => {
                            self.first_time.get_or_insert(time);
                            self.last_time = time;
                            let hash = leaf_hash(frame.leaf);
                            self.published.push(frame.leaf);
                            self.advance(hash)?
                        }
                        Found::Damage(damage) => Some(damage),
                        Found::Differs(different) => Some(self.differs(index, &path, &different)?),
                    }
                }
                Next::End { torn } => break torn,
                Next::Bad(bad) => Some(self.unreadable(index, bad)?),
            };
            if let Some(damage) = damage {
                return Ok(VerifyReport::Damage(damage));
            }
        };
        match self.finish()? {
            Some(damage) => Ok(VerifyReport::Damage(damage)),
            None => Ok(VerifyReport::Ok(self.sound(torn))),
        }
    }

    /// Adds a record to the tree; looks at tiles that it completes and at the signed root.
    fn advance(&mut self, hash: [u8; 32]) -> Result<Option<Damage>, VerifyError> {
        let mut damage = None;
        let published = &mut self.published;
        self.frontier.push(hash, |tile| {
            if damage.is_none() {
                damage = published.check_tile(tile.level, tile.number, &tile.hashes)?;
            }
            Ok::<_, VerifyError>(())
        })?;
        if damage.is_some() {
            return Ok(damage);
        }
        let size = self.frontier.size();
        while let Some((path, seen)) = self.anchors.passed.get(self.met).filter(|(_, seen)| seen.size <= size) {
            self.met += 1;
            if seen.size < size {
                continue;
            }
            if seen.root != self.frontier.root() {
                let detail = format!("the log was another one when its first {size} records were signed here");
                return Ok(Some(Damage::whole(DamageKind::Fork, path, detail)));
            }
            self.checkpoint_time = Some(self.last_time);
            self.reached = Some(seen.clone());
        }
        let Some(newest) = self.anchors.newest.as_ref().filter(|newest| newest.size == size) else { return Ok(None) };
        self.checkpoint_time = Some(self.last_time);
        self.reached = Some(newest.clone());
        if newest.root != self.frontier.root() {
            let (is, was) = (show_root(&self.frontier.root()), show_root(&newest.root));
            let detail = format!("the {size} records below it have the root {is}, and {was} was signed");
            return Ok(Some(Damage::whole(DamageKind::Root, &self.dir.join("checkpoint"), detail)));
        }
        Ok(None)
    }

    /// What remains to be looked at once the log has ended.
    fn finish(&mut self) -> Result<Option<Damage>, VerifyError> {
        let (count, path) = (self.frontier.size(), self.reader.path());
        let next = segment_path(&self.dir, self.reader.segment() + 1);
        if count < self.signed || self.has_later_segment()? {
            let is_gone = self.has_later_segment()?;
            let (kind, path, offset) = if is_gone {
                (DamageKind::SegmentMissing, next, 0)
            } else {
                (DamageKind::Truncated, path, self.reader.offset())
            };
            let detail = format!("the log ends after {count} records, and {} were signed", self.signed);
            return Ok(Some(self.name(count, Damage::at(count, kind, &path, offset, detail))?));
        }
        let partial: Vec<_> =
            self.frontier.partial().map(|(level, number, hashes)| (level, number, hashes.to_vec())).collect();
        for (level, number, hashes) in partial {
            if let Some(damage) = self.published.check_tile(level, number, &hashes)? {
                return Ok(Some(damage));
            }
        }
        let age = self.last_time.saturating_sub(self.first_time.unwrap_or(self.last_time));
        if self.reached.is_none() && age > UNSIGNED_AGE_MAX {
            let detail = "the log has been written for more than a minute, and no checkpoint is there".to_owned();
            return Ok(Some(Damage::whole(DamageKind::CheckpointMissing, &self.dir.join("checkpoint"), detail)));
        }
        self.check_plugins()
    }

    /// Kept components are named by their digest, so that a decision is run again with the bytes that made it.
    fn check_plugins(&self) -> Result<Option<Damage>, VerifyError> {
        let plugins = self.dir.join("plugins");
        let names = match fs::read_dir(&plugins) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(&plugins)(error)),
        };
        for name in names {
            let path = name.map_err(io(&plugins))?.path();
            let told = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".wasm"));
            let Some(told) = told.and_then(|told| told.parse::<Digest>().ok()) else { continue };
            let mut hash = Sha256::new();
            let mut file = fs::File::open(&path).map_err(io(&path))?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                match file.read(&mut buffer).map_err(io(&path))? {
                    0 => break,
                    read => hash.update(&buffer[..read]),
                }
            }
            if Digest(hash.finish()) != told {
                let detail = "the kept component is not the one that decisions name by this digest".to_owned();
                return Ok(Some(Damage::whole(DamageKind::Plugin, &path, detail)));
            }
        }
        Ok(None)
    }

    fn has_later_segment(&self) -> Result<bool, VerifyError> {
        let wal = self.dir.join("wal");
        for entry in fs::read_dir(&wal).map_err(io(&wal))? {
            let name = entry.map_err(io(&wal))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".wal")).and_then(|name| name.parse().ok());
            let next = self.reader.segment() + 1;
            // A segment that follows at once was begun after the log was read to its end.
            if number.is_some_and(|number: u32| number > next) && !segment_path(&self.dir, next).exists() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes that are no frame, where record `index` should stand.
    fn unreadable(&mut self, index: u64, bad: Bad) -> Result<Damage, VerifyError> {
        let known = self.published.entry(index)?.map(<[u8]>::to_vec);
        let damaged = self.reader.damaged_body().map(|(_, leaf)| leaf.to_vec());
        let (kind, detail) = match bad.why {
            BadFrame::SegmentHeader => (DamageKind::SegmentHeader, "the first line of the segment is altered"),
            BadFrame::Header => (DamageKind::Frame, "the header of the record's frame is altered"),
            BadFrame::CutShort => (DamageKind::Truncated, "the segment ends within the record"),
            BadFrame::Checksum if damaged.is_some() && damaged == known => {
                (DamageKind::Contents, "the record's sealed contents fail their checksum")
            }
            BadFrame::Checksum => (DamageKind::Frame, "the record's frame fails its checksum"),
        };
        let path = segment_path(&self.dir, bad.segment);
        let mut damage = Damage::at(index, kind, &path, bad.offset, detail.to_owned());
        damage.take_name(known.or(damaged).as_deref());
        Ok(damage)
    }

    /// A sound frame that is not the record which was published under this index.
    fn differs(&mut self, index: u64, path: &Path, different: &Different) -> Result<Damage, VerifyError> {
        let leaf = different.leaf.as_slice();
        let expected = self.published.entry(index)?.map(<[u8]>::to_vec);
        let following = self.published.entry(index + 1)?.map(<[u8]>::to_vec);
        let next = match self.reader.next().map_err(io(path))? {
            Next::Frame(frame) => Some(frame.leaf.to_vec()),
            _ => None,
        };
        let (kind, detail, named) = if following.as_deref() == Some(leaf) {
            (DamageKind::Missing, "the record is missing: the next one stands in its place", expected)
        } else if expected.is_some() && next == expected {
            (DamageKind::Inserted, "a record was inserted that is not in the tree", Some(leaf.to_vec()))
        } else if different.is_in_place {
            (DamageKind::Altered, "the record is not the one that was published", expected)
        } else {
            (DamageKind::Moved, "another record stands in the place of this one", expected)
        };
        let mut damage = Damage::at(index, kind, path, different.offset, detail.to_owned());
        damage.take_name(named.as_deref());
        Ok(damage)
    }

    fn name(&mut self, index: u64, mut damage: Damage) -> Result<Damage, VerifyError> {
        damage.take_name(self.published.entry(index)?);
        Ok(damage)
    }

    fn sound(&self, torn: u64) -> Sound {
        let (records, reached) = (self.frontier.size(), self.reached.as_ref());
        let signed = reached.map_or(0, |reached| reached.size);
        let told = self.anchors.passed.iter().map(|(_, told)| told.size).max().unwrap_or(0);
        Sound {
            origin: reached.map(|reached| reached.origin.clone()),
            records,
            signed,
            root: reached.map(|reached| reached.root),
            checkpoint_time: self.checkpoint_time,
            unsigned: records - signed,
            ahead: told.saturating_sub(records),
            torn_bytes: torn,
            sessions: self.chains.sessions(),
            sessions_open: self.chains.open(),
            sessions_aborted: self.chains.aborted(),
            sessions_shredded: self.chains.shredded(),
            clock_steps: self.chains.clock_steps(),
            witnessed: self.anchors.witnessed.clone(),
            is_key_trusted: self.anchors.is_key_trusted,
        }
    }
}

struct Context<'a> {
    path: &'a Path,
    signed: u64,
}

enum Found {
    /// The record is what it has to be; its time.
    Sound(u64),
    Damage(Damage),
    /// The frame is sound but holds another leaf than the published one.
    Differs(Different),
}

struct Different {
    leaf: Vec<u8>,
    offset: u64,
    is_in_place: bool,
}

impl Context<'_> {
    fn judge(&self, frame: &Frame<'_>, published: &mut Published, chains: &mut Chains) -> Result<Found, VerifyError> {
        let parsed = Leaf::parse(frame.leaf);
        let is_in_place = parsed.as_ref().is_some_and(|leaf| leaf.is_at(frame.segment, frame.offset));
        if frame.index < self.signed {
            match published.compare(frame.index, frame.leaf)? {
                None => {}
                Some(Difference::Log) => {
                    let different = Different { leaf: frame.leaf.to_vec(), offset: frame.offset, is_in_place };
                    return Ok(Found::Differs(different));
                }
                Some(Difference::Published(mut damage)) => {
                    damage.take_name(Some(frame.leaf));
                    return Ok(Found::Damage(damage));
                }
            }
        }
        let damage = |kind, detail: &str| {
            let mut damage = Damage::at(frame.index, kind, self.path, frame.offset, detail.to_owned());
            damage.take_name(Some(frame.leaf));
            Ok(Found::Damage(damage))
        };
        let Some(leaf) = parsed else { return damage(DamageKind::Altered, "the leaf is not in the form of a leaf") };
        if !is_in_place {
            return damage(DamageKind::Moved, "the record says that it stands elsewhere");
        }
        if leaf.len != frame.sealed.len() as u64 || leaf.ciphertext_hash() != Some(sha256(frame.sealed)) {
            return damage(DamageKind::Contents, "the sealed contents are not those that the leaf names");
        }
        match chains.follow(frame.index, &leaf, frame.leaf) {
            Ok(()) => Ok(Found::Sound(leaf.log_time)),
            Err(Fault::Chain(detail)) => damage(DamageKind::Chain, &detail),
            Err(Fault::Clock(detail)) => damage(DamageKind::Clock, &detail),
            Err(Fault::Policy(detail)) => damage(DamageKind::Policy, &detail),
            Err(Fault::Log(detail)) => damage(DamageKind::ForeignLog, &detail),
        }
    }
}
