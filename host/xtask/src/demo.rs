//! `cargo xtask demo`: from a bare machine to the running clinic.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::shell::{cargo, run as run_command, say, target_dir};
use crate::{components, system};

/// Prepares, builds in release and hands over to `grille demo`, whose exit code becomes ours.
pub(crate) fn run(root: &Path, check: bool, yes: bool) -> Result<ExitCode> {
    system::prepare(&system::DEMO, yes)?;
    say("building the policies");
    components::build(root)?;
    let grille = build(root)?;
    let mut command = Command::new(&grille);
    command.current_dir(root).arg("demo");
    if check {
        command.arg("--check");
    }
    let status = command.status().with_context(|| format!("run {}", grille.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn build(root: &Path) -> Result<PathBuf> {
    say("building grille in release (some ten minutes on two cores the first time)");
    run_command(cargo(root).args(["build", "--release", "--locked", "--package", "grille-gateway"]))?;
    Ok(target_dir(root)?.join("release").join("grille"))
}
