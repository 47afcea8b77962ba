//! The ledger as other rooms use it, on a real file system.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod archive;
mod bundle;
mod crash;
mod damage;
mod decision;
mod faults;
mod forged;
mod go;
mod hipaa;
mod indexed;
mod load;
mod read;
mod recover;
mod scene;
mod settled;
mod shred;
mod strangers;
mod support;
mod tail;
mod witness;
mod write;
