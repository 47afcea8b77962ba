//! Python drivers for the end-to-end tests, in a virtual environment under target/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{read, run, say, target_dir};

/// Bundles its own libpq, so that it speaks protocol 3.2 whatever the system has.
const PINNED: &str = "psycopg[binary]==3.3.9";

/// Makes the environment once and returns its interpreter.
pub(crate) fn prepare(root: &Path) -> Result<PathBuf> {
    let venv = target_dir(root)?.join("venv");
    let python = venv.join("bin").join("python");
    let mark = venv.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|what| what == PINNED) && python.exists() {
        return Ok(python);
    }
    say(&format!("{PINNED} into {}", venv.display()));
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .context("make a virtual environment (Debian: apt-get install python3-venv)")?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PINNED]))?;
    read(Command::new(&python).args(["-c", "import psycopg"]))?;
    fs::write(&mark, PINNED).with_context(|| format!("write {}", mark.display()))?;
    Ok(python)
}
