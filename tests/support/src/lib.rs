//! What the integration tests stand on: a real PostgreSQL, a real issuer and the real binary `grille` in front
//! ([`World`]), and a client that speaks raw frames, so that a test can say things no driver would ([`Raw`]).
//!
//! Cluster and issuer are the demo's. Tests wait for states, never for time to pass.
#![forbid(unsafe_code)]

mod chance;
mod gateway;
mod raw;
mod statements;
mod world;

pub use chance::Chance;
pub use gateway::{Gateway, faults, free_address, program, python, resident_kib};
pub use raw::{Raw, Reply};
pub use statements::{STATEMENTS, statements};
pub use world::{CLERK, Caller, OWNER, READER, World};
