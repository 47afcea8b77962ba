use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use grille_policy::SessionId;

use crate::leaf::Leaf;
use crate::{KeyError, TrustPolicy, VerifierKey};

/// How a ledger is verified.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// The key to trust. Without it the `log.vkey` beside the log is taken, which proves less: whoever replaces the
    /// log can replace that as well.
    pub key: Option<VerifierKey>,
    /// Whose signatures have to stand under a checkpoint. It may name the log's key as well.
    pub policy: Option<&'a TrustPolicy>,
    /// Files with checkpoints that somebody kept: the log has to go on from each of them.
    pub known: Vec<PathBuf>,
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
    /// Records that were signed and are not here, of an archive: what its node still had to itself.
    pub ahead: u64,
    /// Sessions that ended with their node and have no end of their own.
    pub sessions_aborted: u64,
    /// How often a session's contents were destroyed, with a record of it.
    pub sessions_shredded: u64,
    /// How often the machine's clock was set: the log says when, or began anew with an earlier time.
    pub clock_steps: u64,
    /// How far enough witnesses saw the log, where a policy says who they are.
    pub witnessed: Option<Coverage>,
    /// Whether the key came from the outside rather than from beside the log.
    pub is_key_trusted: bool,
}

/// What a verification of an evidence bundle found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleReport {
    /// What was looked at, and how far it proves something.
    pub sound: BundleSound,
    /// What is wrong: the first bad record first, what names no record last. Empty where everything holds.
    pub damage: Vec<Damage>,
}

/// What a bundle holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleSound {
    /// The log's name.
    pub origin: String,
    /// Records under the checkpoint that the bundle was made under.
    pub size: u64,
    /// The root that was signed.
    pub root: [u8; 32],
    /// Records in the bundle.
    pub records: u64,
    /// Sessions in the bundle.
    pub sessions: u64,
    /// Sessions that are whole from their opening to their close.
    pub closed: u64,
    /// Texts that their salts prove.
    pub texts_proven: u64,
    /// Texts that the sessions' keys opened.
    pub texts_opened: u64,
    /// Texts that the exporter's signature vouches for.
    pub texts_told: u64,
    /// Signed approvals.
    pub approvals: u64,
    /// How far enough witnesses saw the log, where a policy says who they are.
    pub witnessed: Option<Coverage>,
    /// Whether that policy came from the outside rather than with the bundle.
    pub is_policy_trusted: bool,
    /// Whether the key came from the outside rather than with the bundle.
    pub is_key_trusted: bool,
    /// What a reader should know although nothing is wrong.
    pub notes: Vec<String>,
}

/// What witnesses vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// The size of the tree that they signed.
    pub size: u64,
    /// Who signed, by the policy's names.
    pub by: Vec<String>,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The first record that is not proven, or none where it cannot be told apart from the others.
    pub index: Option<u64>,
    /// Its session.
    pub session: Option<SessionId>,
    /// Its number within the session.
    pub seq: Option<u64>,
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
        Self { index: Some(index), session: None, seq: None, time: None, kind, file: file.to_owned(), offset, detail }
    }

    pub(super) fn whole(kind: DamageKind, file: &Path, detail: String) -> Self {
        Self { index: None, session: None, seq: None, time: None, kind, file: file.to_owned(), offset: 0, detail }
    }

    /// Takes session and time from a leaf, if it can be read.
    pub(super) fn take_name(&mut self, leaf: Option<&[u8]>) {
        if let Some(leaf) = leaf.and_then(Leaf::parse) {
            self.session = Some(leaf.sid);
            self.seq = Some(leaf.seq);
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
    /// The monotonic clock runs backwards, or the wall clock was set and no record says so.
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
    /// A component that was kept is not the one that its name says, or one that decided is gone.
    Plugin,
    /// Witnesses that have to have signed did not.
    Cosignature,
    /// A text is not what its record commits to.
    Record,
    /// A session is gone.
    SessionMissing,
    /// A record is another session's.
    ForeignSession,
    /// What the exporter says of the bundle is gone, altered or another's.
    Manifest,
    /// A file is not the one that the exporter put into the bundle.
    File,
    /// A file of the bundle is gone.
    FileMissing,
    /// A file was put into the bundle.
    FileAdded,
    /// A key does not open the contents that it is there for.
    Keys,
    /// What a reviewer signed is altered, gone, or in no record.
    Approval,
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
            Self::Cosignature => "cosignature",
            Self::Record => "record",
            Self::SessionMissing => "session-missing",
            Self::ForeignSession => "foreign-session",
            Self::Manifest => "manifest",
            Self::File => "file",
            Self::FileMissing => "file-missing",
            Self::FileAdded => "file-added",
            Self::Keys => "keys",
            Self::Approval => "approval",
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
    /// The file is no bundle.
    #[error("{} is no evidence bundle: {why}", path.display())]
    NotABundle {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        why: String,
    },
    /// There is no key.
    #[error("no key to check the checkpoint with: {} is missing, give one with --key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}
