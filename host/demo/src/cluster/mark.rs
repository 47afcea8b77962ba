use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

const FILE: &str = "cluster.json";

/// The sign on a directory that we made: without it we touch nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mark {
    /// PostgreSQL's data directory; elsewhere if the server's account cannot reach ours.
    pub(super) data: PathBuf,
    /// Major version of the server that made it.
    pub(super) version: String,
    /// The port of last time.
    pub(super) port: Option<u16>,
}

impl Mark {
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let mark = serde_json::from_str(&text)
            .with_context(|| format!("understand {}: remove {} to start afresh", path.display(), dir.display()))?;
        Ok(Some(mark))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self).context("write the mark as JSON")?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// The directory above the data, which we made as well.
    pub(super) fn home(&self) -> Result<&Path> {
        match self.data.parent() {
            Some(home) if self.data.ends_with("data") => Ok(home),
            _ => bail!("`{}` is no data directory of ours", self.data.display()),
        }
    }
}
