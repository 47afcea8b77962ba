//! Programs that other people wrote, run against a demo: drivers in their own languages and PostgreSQL's own clients.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use grille_test_support::python;

use crate::{Demo, NEW_KEY, unexpected};

/// What a script prints last, and only if nothing in it failed.
const HOLDS: &str = "all of it holds";

/// A test: a demo of its own, the script, and a look at the gateway's log.
///
/// # Panics
/// The script ended early, or the gateway warned of something.
pub fn works(script: &str, words: &[&str]) {
    let demo = Demo::start().expect("starts");
    if let Err(error) = run(script, words, &demo) {
        panic!("{error:#}\nthe gateway said:\n{}", demo.log().unwrap_or_default());
    }
    let log = demo.log().expect("a log");
    assert!(unexpected(&log, &[NEW_KEY]).is_empty(), "{log}");
}

/// Runs a script of `tests/it/drivers` with these words and the program for its language.
///
/// The script finds the gateway by `GRILLE_PORT`, `demo.json` in `GRILLE_CARD`, and a token for each account in a
/// variable named after it.
///
/// # Errors
/// The program or a library of the language is missing, or the script did not say that all of it holds.
pub fn run(script: &str, words: &[&str], demo: &Demo) -> Result<()> {
    let mut command = command(script)?;
    command.args(words);
    command.env("GRILLE_PORT", demo.card.listeners.pg.port().to_string());
    command.env("GRILLE_CARD", serde_json::to_string(&demo.card).context("write the card")?);
    for account in ["analyst", "dba", "reviewer"] {
        command.env(account.to_uppercase(), demo.token(account)?);
    }
    holds(&mut command, script)
}

/// Runs a command whose script prints [`HOLDS`] at its end.
///
/// # Errors
/// It did not.
pub fn holds(command: &mut Command, script: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| {
        format!("run {} for {script}: `cargo xtask test` prepares what these tests need", program.display())
    })?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && said.lines().any(|line| line == HOLDS), "{script} ended early:\n{said}");
    Ok(())
}

/// A script of `tests/it/drivers` and the program that runs it, with its libraries where `cargo xtask test` put them.
///
/// # Errors
/// The libraries are nowhere.
pub fn command(script: &str) -> Result<Command> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/drivers").join(script);
    let mut command = match script.extension().and_then(OsStr::to_str) {
        Some("py") => {
            let mut python = Command::new(python());
            python.env("PYTHONDONTWRITEBYTECODE", "1");
            python
        }
        Some("js") => {
            let mut node = Command::new("node");
            node.env("NODE_PATH", prepared("GRILLE_NODE_MODULES")?);
            node
        }
        Some("java") => {
            let mut java = Command::new("java");
            java.arg("-cp").arg(prepared("GRILLE_JDBC")?);
            java
        }
        _ => anyhow::bail!("nobody knows how to run {}", script.display()),
    };
    command.arg(script);
    Ok(command)
}

fn prepared(variable: &str) -> Result<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    named.with_context(|| format!("{variable} is not set: `cargo xtask test` prepares the drivers and sets it"))
}
