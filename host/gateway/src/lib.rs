//! The gateway: the one place that knows all rooms, wires them from a configuration and keeps them running.
//!
//! What stands here is wiring and life cycle: start, reload, drain. Nothing is decided, parsed or masked here. This is
//! the only room that reads the environment and resolves secrets.
#![forbid(unsafe_code)]

mod causes;
mod check;
mod compose;
mod custody;
mod digests;
mod issuers;
mod keys;
mod logging;
mod lookups;
mod policies;
mod reload;
mod retention;
mod rooms;
mod routes;
mod run;
mod secrets;
mod state;
mod surplus;
pub mod views;
mod weakening;

pub use check::{Found, check, check_online};
pub use compose::{Gateway, Options, open_archive, read_config};
pub use custody::{Custody, owner};
pub use logging::{LogFormat, start as start_logging};
pub use run::{Running, Signals};
