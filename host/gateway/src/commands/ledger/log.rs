//! Which log a command means, and which key it is checked with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use grille_config::{Config, SecretRef, parse};
use grille_ledger::{Checkpoint, SigningKey, VerifierKey};
use serde::Serialize;

use crate::commands::complain;

/// A log that is read.
pub(super) struct Log {
    pub(super) path: PathBuf,
    /// The key to trust; none for the one beside the log.
    pub(super) key: Option<VerifierKey>,
    pub(super) trust: Trust,
    /// Where it was read.
    pub(super) config: Option<Config>,
}

impl Log {
    /// The log in a directory, else that of the configuration, which is needed only if the command line leaves
    /// something open. None, with a word on standard error, if it is not said which.
    pub(super) fn find(path: Option<&Path>, key: Option<&Path>, config: &Path) -> anyhow::Result<Option<Self>> {
        let configured = configured(config, path.is_some())?;
        let Some(path) =
            path.map(Path::to_owned).or_else(|| configured.as_ref().map(|config| config.ledger.path.clone()))
        else {
            let config = config.display();
            complain(&format!("which ledger? Give its directory, or a configuration with -c ({config} is not there)"));
            return Ok(None);
        };
        let (key, trust) = trusted(&path, key, configured.as_ref())?;
        Ok(Some(Self { path, key, trust, config: configured }))
    }

    /// The key to check with, from beside the log if need be.
    pub(super) fn any_key(&self) -> anyhow::Result<VerifierKey> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let path = self.path.join("log.vkey");
        VerifierKey::from_file(&path)
            .with_context(|| format!("read the key in {}: give one with --key", path.display()))
    }

    /// A checkpoint in a file, by default the published one, signed by the key; its note too.
    pub(super) fn checkpoint(&self, file: Option<&Path>) -> anyhow::Result<(Checkpoint, String)> {
        let path = file.map_or_else(|| self.path.join("checkpoint"), Path::to_owned);
        let note = match fs::read_to_string(&path) {
            Ok(note) => note,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} has no checkpoint: nothing was signed there yet", self.path.display())
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let checkpoint = Checkpoint::open(&note, &self.any_key()?);
        Ok((checkpoint.with_context(|| format!("the checkpoint in {}", path.display()))?, note))
    }
}

fn configured(path: &Path, is_optional: bool) -> anyhow::Result<Option<Config>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    match parse(&text, path) {
        Ok(config) => Ok(Some(config)),
        Err(_) if is_optional => Ok(None),
        Err(_) => bail!("{} has problems: `grille check -c {0}` names them", path.display()),
    }
}

/// The key to trust, and where it comes from.
fn trusted(path: &Path, key: Option<&Path>, config: Option<&Config>) -> anyhow::Result<(Option<VerifierKey>, Trust)> {
    if let Some(file) = key {
        let key = VerifierKey::from_file(file).with_context(|| format!("read the key in {}", file.display()))?;
        return Ok((Some(key), Trust::Given));
    }
    let is_same = |config: &&Config| match (fs::canonicalize(&config.ledger.path), fs::canonicalize(path)) {
        (Ok(one), Ok(two)) => one == two,
        _ => false,
    };
    if let Some(config) = config.filter(is_same)
        && let SecretRef::File(file) = &config.ledger.signing_key.source
        && let Ok(key) = SigningKey::from_file(file)
        && let Some(origin) = origin(path)
    {
        let key = key.verifier_key(&origin).with_context(|| format!("the name of the log in {}", path.display()))?;
        return Ok((Some(key), Trust::Configured));
    }
    Ok((None, Trust::Beside))
}

/// The name that the log gives itself. It is no secret and proves nothing; the key does.
fn origin(path: &Path) -> Option<String> {
    let note = fs::read_to_string(path.join("checkpoint")).ok();
    let told = note.and_then(|note| Checkpoint::peek(&note).ok()).map(|checkpoint| checkpoint.origin);
    told.or_else(|| VerifierKey::from_file(&path.join("log.vkey")).ok().map(|key| key.origin().to_owned()))
}

/// Where the key comes from that the answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Trust {
    Given,
    Configured,
    Policy,
    Beside,
    Within,
}

impl Trust {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Given => "the one given with --key",
            Self::Configured => "the configuration's signing key",
            Self::Policy => "the log's in the policy that was given with --policy",
            Self::Within => {
                "CAUTION: the one inside the bundle, which whoever made the bundle chose; give yours with --key"
            }
            Self::Beside => {
                "log.vkey beside the log: whoever replaced the whole log could replace it too; give yours with --key"
            }
        }
    }
}
