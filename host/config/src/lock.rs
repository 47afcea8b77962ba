use std::collections::BTreeMap;
use std::fmt::Write as _;

use grille_policy::{Digest, Mode};
use serde::Deserialize;

/// grille.lock: which component each pinned policy runs, written by `promote` and `rollback`, never by hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// By the policy's name.
    pub policies: BTreeMap<String, Locked>,
}

/// One policy's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The SHA-256 of the component.
    pub sha256: Digest,
    /// Instead of the mode in grille.toml.
    pub mode: Option<Mode>,
    /// What was in force before: where `rollback` goes.
    pub previous: Option<Choice>,
}

/// A component and how it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The SHA-256 of the component.
    pub sha256: Digest,
    /// Instead of the mode in grille.toml.
    pub mode: Option<Mode>,
}

impl Locked {
    /// What it chooses.
    #[must_use]
    pub const fn choice(&self) -> Choice {
        Choice { sha256: self.sha256, mode: self.mode }
    }

    /// Another choice, which remembers this one.
    #[must_use]
    pub const fn with(previous: Option<Choice>, choice: Choice) -> Self {
        Self { sha256: choice.sha256, mode: choice.mode, previous }
    }
}

/// Why a text is no grille.lock.
#[derive(Debug, thiserror::Error)]
#[error("read grille.lock: {0}")]
pub struct LockError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    policies: BTreeMap<String, Locked>,
}

impl Lock {
    /// Reads the text of grille.lock.
    ///
    /// # Errors
    /// When it is no TOML, of another version, or names no digest.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let file: File = toml::from_str(text).map_err(|error| LockError(error.to_string()))?;
        if file.version != 1 {
            return Err(LockError(format!("version {} is unknown, this gateway reads version 1", file.version)));
        }
        Ok(Self { policies: file.policies })
    }

    /// The text that reads back as this.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = "# Written by `grille policy promote` and `rollback`.\nversion = 1\n".to_owned();
        for (name, locked) in &self.policies {
            let name = crate::locate::join("policies", name);
            let (sha256, mode) = entries(locked.choice());
            let mode = mode.map(|mode| format!("{mode}\n")).unwrap_or_default();
            let previous = locked.previous.map(|previous| match entries(previous) {
                (sha256, Some(mode)) => format!("previous = {{ {sha256}, {mode} }}\n"),
                (sha256, None) => format!("previous = {{ {sha256} }}\n"),
            });
            let previous = previous.unwrap_or_default();
            write!(out, "\n[{name}]\n{sha256}\n{mode}{previous}").expect("a String takes what is written");
        }
        out
    }
}

fn entries(choice: Choice) -> (String, Option<&'static str>) {
    let mode = choice.mode.map(|mode| match mode {
        Mode::Enforce => "mode = \"enforce\"",
        Mode::Monitor => "mode = \"monitor\"",
    });
    (format!("sha256 = \"{}\"", choice.sha256), mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let choice = |byte, mode| Choice { sha256: Digest([byte; 32]), mode };
        for (mode, previous) in
            [(None, None), (Some(Mode::Monitor), Some(choice(8, None))), (None, Some(choice(8, Some(Mode::Enforce))))]
        {
            let lock = Lock { policies: [("phi".to_owned(), Locked::with(previous, choice(7, mode)))].into() };
            assert_eq!(Lock::parse(&lock.render()).unwrap(), lock, "{}", lock.render());
        }
        assert_eq!(Lock::parse(&Lock::default().render()).unwrap(), Lock::default());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "version = 2", "version = 1\n[policies.phi]\nsha256 = \"00\"", "version = 1\nx = 1"] {
            assert!(Lock::parse(text).is_err(), "{text}");
        }
    }
}
