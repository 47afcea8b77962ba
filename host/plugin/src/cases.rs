//! A plugin's own test cases: what it promises to answer, kept beside it as `<plugin>.cases.json`.
//!
//! They run before a set is accepted, each on a fresh instance that reaches nothing of the running gateway: counters
//! and values start empty, the clock and the services are what the case says, log lines go nowhere. A case that fails
//! stops the swap like any other problem of a load.

mod analyst;
mod compare;
mod file;
mod play;
mod read;
mod stage;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use analyst::{Analyst, Table, TableColumn};
pub use compare::Mismatch;
pub use file::{
    ActorFacts, Body, Case, CaseColumn, CaseFile, CaseResultColumn, CaseSession, CertaintyWord, Expect, HostSide,
    KeyWord, Place, Request, Response, ResultCase, StatementCase, TransactionWord, TransformCase, VerdictWord,
    cases_schema,
};
pub use play::{Answer, CaseResult, Cost, Measured};
pub(crate) use play::{cost, measure, play, staged};
pub(crate) use stage::Stage;

use crate::engine::Shared;
use crate::loaded::Loaded;

/// Where the cases of a component lie: `phi.wasm` has `phi.cases.json`.
#[must_use]
pub fn cases_path(plugin: &Path) -> PathBuf {
    plugin.with_extension("cases.json")
}

/// A file of cases is written by people.
const BYTES_MAX: u64 = 4 << 20;
const CASES_MAX: usize = 1_000;

impl CaseFile {
    /// Reads a file; says in one line what is wrong with it.
    ///
    /// # Errors
    /// When it cannot be read or is no file of cases. The message does not name the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let length = path.metadata().map_err(|error| format!("it cannot be read: {error}"))?.len();
        if length > BYTES_MAX {
            return Err("it is larger than 4 MiB; keep fewer cases beside the plugin".into());
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
        Self::parse(&text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// When it is no file of cases.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unreadable = |error: serde_json::Error| format!("it is no file of cases: {error}");
        // A bare list needs nothing in common.
        let file = if text.trim_start().starts_with('[') {
            Self { cases: serde_json::from_str(text).map_err(unreadable)?, ..Self::default() }
        } else {
            serde_json::from_str(text).map_err(unreadable)?
        };
        if file.cases.len() > CASES_MAX {
            return Err(format!("it has {} cases, more than {CASES_MAX}", file.cases.len()));
        }
        for (index, case) in file.cases.iter().enumerate() {
            case.check().map_err(|wrong| format!("case {} \"{}\": {wrong}", index + 1, case.name))?;
            if file.cases.iter().take(index).any(|other| other.name == case.name) {
                return Err(format!("two cases are called \"{}\"; each needs a name of its own", case.name));
            }
        }
        Ok(file)
    }
}

/// Runs the cases beside a policy's component, if there are any. Says each that fails in one line.
pub(crate) async fn check(shared: &Arc<Shared>, policy: &Loaded, plugin: &Path) -> Result<(), Vec<String>> {
    if shared.analyst.is_none() {
        return Ok(());
    }
    let path = cases_path(plugin);
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(error) => return Err(vec![format!("{}: it cannot be read: {}", path.display(), unreadable(&error))]),
    }
    let file = CaseFile::read(&path).map_err(|wrong| vec![format!("{}: {wrong}", path.display())])?;
    let mut failed = Vec::new();
    for case in &file.cases {
        let result = play(shared, policy, &file, case, Some(&policy.settings)).await;
        if let Some(mismatch) = result.mismatches.first() {
            let advice = "correct the plugin or the case";
            failed.push(format!("{}: case \"{}\": {mismatch}; {advice}", path.display(), case.name));
        }
        if failed.len() >= FAILED_MAX {
            break;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Beyond that, nobody reads on.
const FAILED_MAX: usize = 5;

fn unreadable(error: &io::Error) -> String {
    error.to_string()
}
