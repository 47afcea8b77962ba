use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use grille_policy::SessionId;

use crate::leaf::Leaf;
use crate::{KeyError, VerifierKey};

/// How a ledger is verified.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// The key to trust. Without it the `log.vkey` beside the log is taken, which proves less: whoever replaces the
    /// log can replace that as well.
    pub key: Option<VerifierKey>,
    /// Told now and then how far it is.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Records looked at.
    pub records: u64,
    /// Records under the checkpoint.
    pub signed: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyReport {
    /// Everything holds together.
    Ok(Sound),
    /// Something does not; this is the first of it.
    Damage(Damage),
}

/// A ledger that holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sound {
    /// The log's name, once there is a checkpoint.
    pub origin: Option<String>,
    /// Records in the log.
    pub records: u64,
    /// Records under the checkpoint.
    pub signed: u64,
    /// The root that was signed.
    pub root: Option<[u8; 32]>,
    /// The time of the last record under the checkpoint, in Unix microseconds.
    pub checkpoint_time: Option<u64>,
    /// Records behind the checkpoint: sound by themselves, not signed yet.
    pub unsigned: u64,
    /// Bytes of an incomplete record at the end: one that is being written, or that a crash cut off.
    pub torn_bytes: u64,
    /// Sessions, those of the node itself not counted.
    pub sessions: u64,
    /// Sessions that have no end yet.
    pub sessions_open: u64,
    /// Sessions that ended with their node and have no end of their own.
    pub sessions_aborted: u64,
    /// How often a session's contents were destroyed, with a record of it.
    pub sessions_shredded: u64,
    /// Whether the key came from the outside rather than from beside the log.
    pub is_key_trusted: bool,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The first record that is not proven, or none where it cannot be told apart from the others.
    pub index: Option<u64>,
    /// Its session.
    pub session: Option<SessionId>,
    /// Its time in Unix microseconds.
    pub time: Option<u64>,
    /// What is wrong.
    pub kind: DamageKind,
    /// In which file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// In words.
    pub detail: String,
}

impl Damage {
    pub(super) fn at(index: u64, kind: DamageKind, file: &Path, offset: u64, detail: String) -> Self {
        Self { index: Some(index), session: None, time: None, kind, file: file.to_owned(), offset, detail }
    }

    pub(super) fn whole(kind: DamageKind, file: &Path, detail: String) -> Self {
        Self { index: None, session: None, time: None, kind, file: file.to_owned(), offset: 0, detail }
    }

    /// Takes session and time from a leaf, if it can be read.
    pub(super) fn take_name(&mut self, leaf: Option<&[u8]>) {
        if let Some(leaf) = leaf.and_then(Leaf::parse) {
            self.session = Some(leaf.sid);
            self.time = Some(leaf.log_time);
        }
    }
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// The first line of a segment.
    SegmentHeader,
    /// A segment is gone.
    SegmentMissing,
    /// A frame's header or leaf was altered.
    Frame,
    /// The sealed contents were altered or replaced.
    Contents,
    /// A record was replaced by another one.
    Altered,
    /// A record was removed.
    Missing,
    /// A record was added.
    Inserted,
    /// A record stands where another one stood.
    Moved,
    /// The end is gone.
    Truncated,
    /// A session's records do not follow one another.
    Chain,
    /// The monotonic clock runs backwards.
    Clock,
    /// A decision names another policy set than the one in force.
    Policy,
    /// A tile of hashes was altered.
    Tile,
    /// A bundle of entries was altered.
    Entries,
    /// A tile or a bundle is gone.
    TileMissing,
    /// The tree is not the signed one.
    Root,
    /// A checkpoint's form or signature is broken.
    Checkpoint,
    /// The checkpoint is signed by another key.
    ForeignKey,
    /// The checkpoint is another log's.
    ForeignLog,
    /// An older checkpoint was put in place of the newest.
    OlderCheckpoint,
    /// Two checkpoints contradict each other.
    Fork,
    /// There is no checkpoint.
    CheckpointMissing,
    /// A component that was kept is not the one that its name says.
    Plugin,
}

impl DamageKind {
    /// The name in JSON and for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SegmentHeader => "segment-header",
            Self::SegmentMissing => "segment-missing",
            Self::Frame => "frame",
            Self::Contents => "contents",
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Inserted => "inserted",
            Self::Moved => "moved",
            Self::Truncated => "truncated",
            Self::Chain => "chain",
            Self::Clock => "clock",
            Self::Policy => "policy",
            Self::Tile => "tile",
            Self::Entries => "entries",
            Self::TileMissing => "tile-missing",
            Self::Root => "root",
            Self::Checkpoint => "checkpoint",
            Self::ForeignKey => "foreign-key",
            Self::ForeignLog => "foreign-log",
            Self::OlderCheckpoint => "older-checkpoint",
            Self::Fork => "fork",
            Self::CheckpointMissing => "checkpoint-missing",
            Self::Plugin => "plugin",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A ledger that cannot be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no ledger.
    #[error("{} holds no ledger: it has no wal/00000000.wal", path.display())]
    NotALedger {
        /// The directory.
        path: PathBuf,
    },
    /// The key beside the log does not work.
    #[error("the verifier key in {}: give the right one with --key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// There is no key.
    #[error("no key to check the checkpoint with: {} is missing, give one with --key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}
