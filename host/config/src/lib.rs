//! `grille.toml`: the text as it is written → a [`Config`] in which every name is resolved and nothing impossible is
//! left.
//!
//! Two sets of types: [`file`] is the text one to one and gives the JSON Schema; [`Config`] is what the gateway wires
//! from. Between them every problem is collected, each with its key, line and, where there is one, the fix.
//! This room reads no environment and no secret; [`parse`] reads no file either, only [`check_files`] looks whether
//! what is named is there.
#![forbid(unsafe_code)]

mod config;
pub mod file;
mod files;
mod locate;
mod lock;
mod problem;
mod schema;
mod shape;
mod suggest;
mod units;
mod validate;

use std::path::Path;

pub use config::{
    Accepts, Admin, Archive, ArchivePlace, Auth, Bucket, CertPair, ClientCerts, Config, Isolation, Issuer, KeyRef,
    Ledger, Limits, Listener, ListenerTls, Login, Lookup, Masking, ObjectLock, Pin, Policy, Protocol, Record, Review,
    Rights, Role, RoleLimits, SecretRef, Sync, Target, TargetTls, TlsMode, UpstreamAddress, Volume,
};
pub use files::check_files;
pub use locate::Locations;
pub use lock::{Choice, Lock, LockError, Locked};
pub use problem::{Problem, render};
pub use schema::schema;
pub use suggest::closest;

/// Reads the text of `grille.toml`; `path` is where it stands, for the paths in it are relative to its folder.
///
/// # Errors
/// All problems at once, in the order of the text.
pub fn parse(text: &str, path: &Path) -> Result<Config, Vec<Problem>> {
    let (file, locations, mut problems) = shape::read(text);
    let Some(file) = file else {
        return Err(problems);
    };
    let config = validate::validate(file, path, locations, &mut problems);
    problems.sort_by(|one, two| (one.line, one.column, &one.key).cmp(&(two.line, two.column, &two.key)));
    problems.dedup();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}
