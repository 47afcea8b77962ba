//! The ledger as other rooms use it, on a real file system.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod damage;
mod read;
mod support;
mod write;
