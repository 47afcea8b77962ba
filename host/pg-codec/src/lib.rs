//! PostgreSQL frames and messages, both ways, over bytes that somebody else reads and writes.
//!
//! The room slices frames itself ([`frame`]), turns one exact and complete frame into a borrowed view
//! ([`frontend`], [`backend`], [`startup`]) and writes every message a gateway sends in either direction ([`encode`]).
//! A view is only handed out when the frame holds that message and nothing else: where a lenient decoder and the server
//! could disagree about what was said, the frame is malformed.
//!
//! What it deliberately does not do: no I/O, no state machine, no authentication, no character sets (texts stay bytes,
//! since a session in LATIN1 would not survive a detour through UTF-8), no parsing by pgwire. pgwire's message types
//! write the rare messages of login and of errors; they never read, because their decoders see the connection's
//! buffer instead of the frame.
//!
//! **Invariants:** no input makes this room panic; nothing is allocated by a length that a peer claimed; reading
//! allocates only for the parameters of a startup packet, which is at most [`startup::PACKET_MAX`] bytes.
#![forbid(unsafe_code)]
#![deny(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod backend;
mod cells;
pub mod encode;
mod error;
mod format;
pub mod frame;
pub mod frontend;
mod read;
pub mod startup;
pub mod tag;

#[cfg(test)]
mod tests;

pub use cells::{CellIter, Cells};
pub use error::Malformed;
pub use format::{Format, Formats};
