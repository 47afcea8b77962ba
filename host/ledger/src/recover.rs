//! A new beginning where the old log contradicts what was signed: the old one is kept as it is, and the new one says so.
//!
//! Nothing is ever signed on top of a log that does not hold, and nothing of it is thrown away: it moves into
//! `epochs/<n>/`, where `verify` still finds whatever is left to find. The new log has another name, so that no two
//! checkpoints of one name can contradict each other, and begins by naming the last checkpoint of the old one.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::keys::is_origin;
use crate::note::LastSigned;
use crate::tiles::{Durability, replace};
use crate::{By, Gap, Ledger, LedgerConfig, OpenError, Record};

/// What moves, in this order: whenever it is interrupted, a start refuses until it is done. While `last_signed` is there
/// its records are missing, and when it is gone the name in `log.vkey` is the new one.
const PARTS: [&str; 9] = ["settled", "shipped", "wal", "tile", "keys", "cut", "witnessed", "checkpoint", "last_signed"];
/// Written last into the old log's new place.
const DONE: &str = "moved";

/// A new beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The name of the log that did not hold.
    pub old: String,
    /// The name of the log that goes on.
    pub new: String,
    /// Where the old one is.
    pub kept: PathBuf,
    /// Why it did not hold; none if an earlier recovery was interrupted.
    pub why: Option<String>,
}

/// Why there is no new beginning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The log can go on as it is.
    #[error("the log at {} holds: nothing is wrong with it that a new one would mend", path.display())]
    Sound {
        /// The ledger.
        path: PathBuf,
    },
    /// Nobody said why.
    #[error("a new beginning takes a reason")]
    NoReason,
    /// It cannot be opened for a reason that a new beginning does not mend.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something could not be moved.
    #[error("cannot move {} into {}: the old log is partly in each; run this again", path.display(), to.display())]
    Move {
        /// What.
        path: PathBuf,
        /// Where to.
        to: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Puts a log aside that a start refuses because it contradicts its last signed checkpoint or was signed with another
/// key, and opens a new one whose first records say so. The new name follows from the log's own: `origin` of the configuration
/// does not matter.
pub fn recover(config: &LedgerConfig, by: By<'_>, reason: &str) -> Result<(Recovery, Ledger), RecoverError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(RecoverError::NoReason);
    }
    let config = &LedgerConfig { origin: None, ..config.clone() };
    let dir = &config.path;
    let lock = crate::open::lock(dir)?;
    let (number, is_begun) = next_epoch(dir);
    let why = if is_begun { None } else { Some(refusal(config)?) };
    let kept = dir.join("epochs").join(number.to_string());
    let failed = |path: &Path, to: &Path| {
        let (path, to) = (path.to_owned(), to.to_owned());
        move |source| RecoverError::Move { path, to, source }
    };
    fs::create_dir_all(&kept).map_err(failed(dir, &kept))?;

    let vkey = dir.join("log.vkey");
    let kept_vkey = kept.join("log.vkey");
    if !kept_vkey.exists() && vkey.exists() {
        let text = fs::read(&vkey).map_err(failed(&vkey, &kept))?;
        replace(&kept_vkey, &text, Durability::Synced).map_err(failed(&vkey, &kept))?;
    }
    let old = crate::open::origin(&LedgerConfig { path: kept.clone(), ..config.clone() })?;
    let new = name_of(&old, number + 1);
    for part in PARTS {
        if part == "checkpoint" {
            let key = config.signing_key.verifier_key(&new).map_err(OpenError::from)?;
            replace(&vkey, format!("{key}\n").as_bytes(), Durability::Synced).map_err(failed(&vkey, &kept))?;
        }
        let (from, to) = (dir.join(part), kept.join(part));
        // What is there already was moved by a run that was interrupted.
        if from.exists() && !to.exists() {
            fs::rename(&from, &to).map_err(failed(&from, &kept))?;
        }
    }
    for folder in [dir, &kept] {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder, &kept))?;
    }

    drop(lock);
    let config = LedgerConfig { origin: Some(new.clone()), ..config.clone() };
    let ledger = Ledger::open(config)?;
    let checkpoint = fs::read_to_string(kept.join("last_signed")).ok();
    let checkpoint = checkpoint.and_then(|text| LastSigned::parse(&text)).map(|last| Cow::Owned(last.note));
    let said = why.as_deref().unwrap_or("an earlier recovery was interrupted");
    let gap = Gap {
        reason: format!("{reason} ({said})").into(),
        by: Some(by),
        log: Some(old.as_str().into()),
        kept: Some(format!("epochs/{number}").into()),
        checkpoint,
    };
    ledger.admin(&Record::Gap(gap)).map_err(OpenError::from)?;
    replace(&kept.join(DONE), b"", Durability::Synced).map_err(failed(&kept, &kept))?;
    Ok((Recovery { old, new, kept, why }, ledger))
}

/// The logs that were put aside, the newest first.
pub(crate) fn kept(dir: &Path) -> Vec<PathBuf> {
    let path = |number: u32| dir.join("epochs").join(number.to_string());
    let mut kept: Vec<PathBuf> = (1..).map(path).take_while(|path| path.exists()).collect();
    kept.reverse();
    kept
}

/// The number under which the old log is kept, and whether that has begun already.
fn next_epoch(dir: &Path) -> (u32, bool) {
    let mut number = 1;
    loop {
        let kept = dir.join("epochs").join(number.to_string());
        if !kept.join(DONE).exists() {
            return (number, kept.exists());
        }
        number += 1;
    }
}

/// Why a start refuses.
fn refusal(config: &LedgerConfig) -> Result<String, RecoverError> {
    match crate::open::examine(config) {
        Ok(()) => Err(RecoverError::Sound { path: config.path.clone() }),
        Err(refused @ (OpenError::Backwards { .. } | OpenError::ForeignKey { .. })) => Ok(refused.why()),
        Err(other) => Err(other.into()),
    }
}

/// The name of the log that follows: `grille/node`, `grille/node/epoch-2`, `grille/node/epoch-3` …
fn name_of(old: &str, number: u32) -> String {
    let base = match old.rsplit_once("/epoch-") {
        Some((base, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => old,
    };
    let name = format!("{base}/epoch-{number}");
    // Only a name of nearly a hundred letters has no room for this.
    if is_origin(&name) { name } else { format!("grille/epoch-{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_on() {
        assert_eq!(name_of("grille/node", 2), "grille/node/epoch-2");
        assert_eq!(name_of("grille/node/epoch-2", 3), "grille/node/epoch-3");
        assert_eq!(name_of("grille/epoch-x", 2), "grille/epoch-x/epoch-2");
        assert_eq!(name_of(&"x".repeat(100), 2), "grille/epoch-2");
    }
}
