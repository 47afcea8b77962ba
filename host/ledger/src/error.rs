use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::KeyError;

/// A record could not be written. The operation that it belongs to must not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// The file system is full. Later records are tried again.
    #[error("the ledger's file system is full at {}: free space there", path.display())]
    Full {
        /// The file.
        path: Arc<Path>,
    },
    /// Writing failed. Later records are tried again.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: Arc<Path>,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The archive does not take what was written. It goes on once it does.
    #[error(
        "{bytes} bytes of the ledger wait for the archive, more than the {limit} of `ledger.archive.queue`: see to the archive"
    )]
    Backlog {
        /// What waits.
        bytes: u64,
        /// What may.
        limit: u64,
    },
    /// Something failed after which the files cannot be trusted any more (a failed sync, a failed cut): nothing is
    /// written until the node has restarted and read them again.
    #[error("the ledger stopped: {why}; restart the node, which reads it again")]
    Stopped {
        /// What failed.
        why: Arc<str>,
    },
    /// The record exceeds what one frame may hold.
    #[error("a record of {bytes} bytes exceeds the ledger's limit of {limit} bytes")]
    TooLarge {
        /// The record's size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The record cannot be serialised or sealed.
    #[error("a record cannot be sealed: {why}")]
    Unsealable {
        /// What failed.
        why: Arc<str>,
    },
    /// The session's log, or the ledger, is closed.
    #[error("the ledger is closed")]
    Closed,
}

/// The ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Reading or writing failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process writes here.
    #[error("another process writes the ledger at {}: one node, one writer", path.display())]
    Locked {
        /// The ledger.
        path: PathBuf,
    },
    /// A key does not work.
    #[error("a key of the ledger")]
    Key(#[from] KeyError),
    /// The log belongs to another node.
    #[error("the log at {} is `{found}`, not `{configured}`: choose another path, or its origin", path.display())]
    Origin {
        /// The ledger.
        path: PathBuf,
        /// The name in the log.
        found: String,
        /// The name in the configuration.
        configured: String,
    },
    /// The log was signed with another key.
    #[error(
        "the last checkpoint in {} was not signed with the configured key: give back that key; if it is lost, `grille ledger recover --new-epoch --reason …` keeps this log and begins a new one",
        path.display()
    )]
    ForeignKey {
        /// The file.
        path: PathBuf,
    },
    /// The log holds less, or something else, than what was signed. Nothing is signed on top of it.
    #[error("the log at {} contradicts its last signed checkpoint: {why}; `grille ledger verify` names the damage: restore the directory, or `grille ledger recover --new-epoch --reason …` keeps this log and begins a new one", path.display())]
    Backwards {
        /// The ledger.
        path: PathBuf,
        /// How it differs.
        why: String,
    },
    /// The legal holds cannot be read.
    #[error("the legal holds of the ledger: remove the file `holds` there, and they are taken from the records again")]
    Holds {
        /// What is wrong.
        #[source]
        source: Box<ReadError>,
    },
    /// The log's name in the archive is another ledger's, or cannot be asked for.
    #[error("the log's name `{origin}` in the archive: one node, one writer")]
    Claim {
        /// The name.
        origin: String,
        /// Why.
        #[source]
        source: crate::ClaimError,
    },
    /// The first record could not be written.
    #[error("the first record of the node")]
    Unwritable(#[from] Unwritable),
}

impl OpenError {
    /// Why the log cannot go on, without the way out.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Backwards { why, .. } => why.clone(),
            Self::ForeignKey { .. } => "its last checkpoint was signed with another key".to_owned(),
            other => other.to_string(),
        }
    }
}

/// The ledger cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
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
    /// A record is damaged; `verify` says more.
    #[error("record {index} is damaged ({why}) in {} at byte {offset}: run `grille ledger verify`", path.display())]
    Damaged {
        /// The record.
        index: u64,
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// What was kept under a digest is something else by now.
    #[error("{} is not what its name says: its sha256 differs; restore it from a copy", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
    /// The contents are sealed under another key, or the key was destroyed.
    #[error("session {session} cannot be opened: {why}")]
    Sealed {
        /// The session.
        session: grille_policy::SessionId,
        /// What is missing.
        why: &'static str,
    },
    /// A key does not work.
    #[error("a key of the ledger")]
    Key(#[from] KeyError),
}
