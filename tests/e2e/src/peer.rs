//! Programs that other people wrote, run against a demo: drivers in their own languages and PostgreSQL's own clients.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use grille_demo::Card;
use grille_test_support::{Gateway, free_address, python};

use crate::{Demo, NEW_KEY, unexpected};

/// What a script prints last, and only if nothing in it failed.
const HOLDS: &str = "all of it holds";

/// A test: a demo of its own, the script, and a look at the gateway's log.
///
/// # Panics
/// The script ended early, or the gateway warned of something.
pub fn works(script: &str, words: &[&str]) {
    let demo = Demo::start().expect("starts");
    if let Err(error) = run(script, words, &demo, &demo.card, None) {
        panic!("{error:#}\nthe gateway said:\n{}", demo.log().unwrap_or_default());
    }
    let log = demo.log().expect("a log");
    assert!(unexpected(&log, &[NEW_KEY]).is_empty(), "{log}");
}

/// The same over TLS alone: another gateway before the demo's database shows a certificate of a new authority, which the
/// script trusts by `PGSSLROOTCERT`.
///
/// # Panics
/// As [`works`].
pub fn works_over_tls(script: &str) {
    let demo = Demo::start().expect("starts");
    let place = tempfile::tempdir().expect("a temporary directory");
    let (gateway, card) = encrypted(&demo.card, place.path()).expect("starts");
    if let Err(error) = run(script, &[], &demo, &card, Some(&place.path().join("root.pem"))) {
        panic!("{error:#}\nthe gateway said:\n{}", gateway.said());
    }
    assert!(unexpected(&gateway.said(), &[NEW_KEY]).is_empty(), "{}", gateway.said());
}

/// A gateway with the demo's configuration, but for its addresses, its ledger, and a listener that demands TLS.
fn encrypted(demo: &Card, place: &Path) -> Result<(Gateway, Card)> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (cert, key) = (place.join("root.pem"), place.join("key.pem"));
    fs::write(&cert, certified.cert.pem()).context("write the certificate")?;
    fs::write(&key, certified.signing_key.serialize_pem()).context("write its key")?;
    let address = free_address()?;
    let admin = std::iter::repeat_with(free_address).find(|other| other.as_ref().ok() != Some(&address));
    let admin = admin.context("there is always another")??;
    let changes = [
        (
            format!("address = \"{}\"\n", demo.listeners.pg),
            format!("address = \"{address}\"\ntls = {{ cert = {cert:?}, key = {{ file = {key:?} }} }}\n"),
        ),
        (demo.admin.trim_start_matches("http://").to_owned(), admin.to_string()),
        (demo.ledger.display().to_string(), place.join("ledger").display().to_string()),
    ];
    let mut text = fs::read_to_string(&demo.config).context("read the demo's configuration")?;
    for (from, to) in changes {
        ensure!(text.contains(&from), "the demo's configuration does not say {from}");
        text = text.replace(&from, &to);
    }
    let mut card = demo.clone();
    (card.config, card.log) = (place.join("grille.toml"), place.join("gateway.log"));
    (card.listeners.pg, card.admin) = (address, format!("http://{admin}"));
    fs::write(&card.config, text).context("write the configuration")?;
    let gateway = Gateway::start(&card.config, &card.log, &[address])?;
    Ok((gateway, card))
}

/// Runs a script of `tests/it/drivers` with these words and the program for its language.
///
/// The script finds the gateway by `GRILLE_PORT`, its card in `GRILLE_CARD`, and a token for each account in a variable
/// named after it; `root` is the authority where it is to speak TLS.
///
/// # Errors
/// The program or a library of the language is missing, or the script did not say that all of it holds.
fn run(script: &str, words: &[&str], demo: &Demo, card: &Card, root: Option<&Path>) -> Result<()> {
    let mut command = command(&format!("drivers/{script}"))?;
    command.args(words);
    command.env("GRILLE_PORT", card.listeners.pg.port().to_string());
    command.env("GRILLE_CARD", serde_json::to_string(card).context("write the card")?);
    if let Some(root) = root {
        command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", root);
    }
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

/// A script of `tests/it` and the program that runs it, with its libraries where `cargo xtask test` put them.
///
/// # Errors
/// The libraries are nowhere.
pub fn command(script: &str) -> Result<Command> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
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
