//! Statements of sqlsmith, which knows the schema and nothing of us.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use grille_test_support::World;

/// How many it writes. Few of them succeed.
const STATEMENTS: &str = "1500";

pub(super) fn statements(world: &World, seed: u64) -> Result<Vec<String>> {
    let output = Command::new("sqlsmith")
        .args(["--dry-run", "--exclude-catalog"])
        .arg(format!("--max-queries={STATEMENTS}"))
        .arg(format!("--seed={seed}"))
        .arg(format!("--target={}", world.driver_direct()))
        .output()
        .context("start it")?;
    let text = String::from_utf8(output.stdout).context("read what it says")?;
    let statements: Vec<String> =
        text.split(";\n").map(|text| text.trim().to_owned()).filter(|text| text.starts_with("select")).collect();
    ensure!(
        statements.len() > 100,
        "it says {} statements: {}",
        statements.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(statements)
}
