//! The tamper-evident log of everything that was decided and done, and the recordings of what callers sent and saw.
//!
//! Every record is one frame of a write-ahead log: contents sealed under a key of its session, and a *leaf* without any
//! of them. The leaves are the entries of a Merkle log in the C2SP tlog-tiles layout with signed-note checkpoints, so
//! that other people's tools verify the directory as it lies. Appending is synchronous and returns when the bytes have
//! reached the page cache; two background threads sync, hash, sign and publish.
//!
//! This room decides nothing, knows no protocol, reaches the network through the archive only and reads no environment. It
//! never deletes a record. FORMAT.md beside this crate describes every byte that it writes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod background;
mod clock;
mod error;
mod export;
mod frame;
mod index;
mod kept;
mod keys;
mod leaf;
mod ledger;
mod merkle;
mod note;
mod open;
mod prove;
mod quorum;
mod reader;
mod record;
mod recording;
mod recover;
mod retention;
mod seal;
mod search;
mod session;
mod settled;
mod sha256;
mod ship;
mod shred;
mod tail;
mod tiles;
mod verify;
mod wal;
mod witness;

pub use error::{OpenError, ReadError, Unwritable};
pub use export::{ExportError, ExportOptions, Exported, Period, Selection};
pub use kept::{Kept, read_kept};
pub use keys::{KeyError, SealKey, SigningKey, VerifierKey};
pub use leaf::Leaf;
pub use ledger::{Ledger, LedgerConfig, Status, Sync};
pub use note::{Checkpoint, NoteError};
pub use prove::{Consistency, Inclusion, prove_consistency, prove_inclusion, published_leaf};
pub use quorum::{PolicyError, TrustPolicy, Witnessed};
pub use reader::{Contents, DecisionFound, Entries, Entry, Opened, Reader, SessionEnd, SessionSummary};
pub use record::{
    AdminAction, By, ClockStep, ConfigChange, DecisionRecord, Denied, FactsRecord, Gap, HoldRecord, IssuerKey,
    KeyEvent, MaskSummary, MaskedColumn, NodeStart, Outcome, PolicyChange, PolicyInForce, Read, Record,
    RecordedParameter, Recovered, ReviewEvent, SessionClose, SessionOpen, ShredRecord, Warning,
};
pub use recording::{Chunk, Direction, RecordingCaps};
pub use recover::{RecoverError, Recovery, recover};
pub use retention::{AtEnd, Retained, Retention};
pub use search::{Match, SessionFound, SessionQuery};
pub use session::{Position, SessionLog, digest_of};
pub use ship::{ClaimError, Shipped, Shipping};
pub use shred::{Held, LegalHold, ShredError, Tombstone};
pub use tail::{Tail, Tails};
pub use verify::{
    BundleReport, BundleSound, Coverage, Damage, DamageKind, Progress, Sound, VerifyError, VerifyOptions, VerifyReport,
    is_archived, verify, verify_archived, verify_bundle,
};
pub use witness::{WITNESS_REQUEST_BYTES_MAX, Witness, WitnessAnswer, cosignature, witness_request};
