//! The ledger as other rooms use it, on a real file system.

mod support;
mod write;
