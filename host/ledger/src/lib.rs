//! The tamper-evident log of everything that was decided and done, and the recordings of what callers sent and saw.
//!
//! Every record is one frame of a write-ahead log: contents sealed under a key of its session, and a *leaf* without any
//! of them. The leaves are the entries of a Merkle log in the C2SP tlog-tiles layout with signed-note checkpoints, so
//! that other people's tools verify the directory as it lies. Appending is synchronous and returns when the bytes have
//! reached the page cache; two background threads sync, hash, sign and publish.
//!
//! This room decides nothing, knows no protocol, opens no network connection and reads no environment. It never
//! deletes a record. FORMAT.md beside this crate describes every byte that it writes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod keys;
mod record;
mod sha256;

pub use error::{OpenError, ReadError, Unwritable};
pub use keys::{KeyError, SealKey, SigningKey, VerifierKey};
pub use record::{
    AdminAction, By, ConfigChange, DecisionRecord, Denied, Gap, MaskSummary, MaskedColumn, NodeStart, Outcome,
    PolicyChange, PolicyInForce, Read, Record, RecordedParameter, Recovered, ReviewEvent, SessionClose, SessionOpen,
};
