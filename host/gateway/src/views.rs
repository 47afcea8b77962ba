//! What the admin API shows, out of the ledger, the live sessions, the policies and the configuration.

mod sessions;

pub use sessions::{Live, Sessions};
