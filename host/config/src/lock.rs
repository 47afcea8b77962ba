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
            let mode = match locked.mode {
                None => "",
                Some(Mode::Enforce) => "mode = \"enforce\"\n",
                Some(Mode::Monitor) => "mode = \"monitor\"\n",
            };
            let name = crate::locate::join("policies", name);
            write!(out, "\n[{name}]\nsha256 = \"{}\"\n{mode}", locked.sha256).expect("a String takes what is written");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let locked = |mode| Locked { sha256: Digest([7; 32]), mode };
        let policies = [("phi".to_owned(), locked(Some(Mode::Monitor))), ("guard".to_owned(), locked(None))];
        let lock = Lock { policies: policies.into() };
        assert_eq!(Lock::parse(&lock.render()).unwrap(), lock);
        assert_eq!(Lock::parse(&Lock::default().render()).unwrap(), Lock::default());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "version = 2", "version = 1\n[policies.phi]\nsha256 = \"00\"", "version = 1\nx = 1"] {
            assert!(Lock::parse(text).is_err(), "{text}");
        }
    }
}
