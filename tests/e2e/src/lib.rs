//! What the end-to-end tests share: the real binary as a child, the real database behind it, and the check of its log.
//!
//! It links none of the gateway: what is tested is the program that people run.

#![forbid(unsafe_code)]

pub mod peer;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use grille_demo::Card;
use tempfile::TempDir;
use tokio::time::Instant;

/// A loaded machine makes a start slow; nothing here waits this long otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test: `GRILLE_BIN`, else the one that cargo built beside these tests.
///
/// # Errors
/// There is none; says how to build it.
pub fn grille() -> Result<PathBuf> {
    let named = env::var_os("GRILLE_BIN").map(PathBuf::from);
    let beside = env::current_exe()?.ancestors().nth(2).map(|dir| dir.join("grille"));
    let found = named.or(beside).filter(|path| path.is_file());
    found.context("no grille to test: `cargo build --workspace --all-targets`, or set GRILLE_BIN")
}

/// Where the policies' components are.
///
/// # Errors
/// They are not built; says how.
pub fn components() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("tests/e2e lies two below the root")?;
    let dir = root.join("target").join("components");
    ensure!(dir.join("phi.wasm").is_file(), "no components in {}: `cargo xtask components`", dir.display());
    Ok(dir)
}

/// What one `grille demo --check` did.
#[derive(Debug)]
pub struct Checked {
    /// Its exit code.
    pub code: Option<i32>,
    /// The steps that held.
    pub held: Vec<String>,
    /// The steps that did not.
    pub failed: Vec<String>,
    /// All it printed.
    pub transcript: String,
    /// What the gateway said meanwhile.
    pub log: String,
}

/// Runs `grille demo --check` with these components, in a directory of its own.
///
/// # Errors
/// It could not be run.
pub fn check(components: &Path) -> Result<Checked> {
    let place = tempfile::tempdir().context("make a temporary directory")?;
    let dir = place.path().join("demo");
    let mut command = Command::new(grille()?);
    command.args(["demo", "--check", "--dir"]).arg(&dir).arg("--components").arg(components);
    let output = command.stdin(Stdio::null()).output().context("run grille demo --check")?;
    let transcript = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let marked = |mark: char| {
        let lines = transcript.lines().filter_map(|line| line.strip_prefix(mark));
        lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    Ok(Checked {
        code: output.status.code(),
        held: marked('✓'),
        failed: marked('✗'),
        log: fs::read_to_string(dir.join("gateway.log")).unwrap_or_default(),
        transcript,
    })
}

/// A running `grille demo`. Dropping it stops it as Ctrl-C would.
#[derive(Debug)]
pub struct Demo {
    child: Child,
    dir: PathBuf,
    /// How it is reached.
    pub card: Card,
    _place: Option<TempDir>,
}

impl Demo {
    /// Starts one in a directory of its own and waits until it is ready.
    ///
    /// # Errors
    /// It does not start; holds what it said.
    pub fn start() -> Result<Self> {
        let place = tempfile::tempdir().context("make a temporary directory")?;
        let mut demo = Self::start_in(&place.path().join("demo"))?;
        demo._place = Some(place);
        Ok(demo)
    }

    /// Starts one in this directory.
    ///
    /// # Errors
    /// As [`Demo::start`].
    pub fn start_in(dir: &Path) -> Result<Self> {
        let mut command = Command::new(grille()?);
        command.arg("demo").arg("--dir").arg(dir).arg("--components").arg(components()?);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start grille demo")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(card) = Card::read(dir)
                && card.pids.demo == child.id()
            {
                return Ok(Self { child, dir: dir.to_owned(), card, _place: None });
            }
            let ended = child.try_wait().context("ask for the state of the demo")?.is_some();
            if ended || Instant::now() > deadline {
                drop(child.kill());
                let output = child.wait_with_output().context("read what the demo said")?;
                bail!("the demo did not start: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A token of one of its accounts, by `grille token --demo`.
    ///
    /// # Errors
    /// What the command said.
    pub fn token(&self, account: &str) -> Result<String> {
        let mut command = Command::new(grille()?);
        let output =
            command.args(["token", "--demo", account, "--dir"]).arg(&self.dir).output().context("run grille")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout).context("a token is text")?.trim().to_owned())
    }

    /// What the gateway has said.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.card.log).with_context(|| format!("read {}", self.card.log.display()))
    }

    /// Ctrl-C; waits until it ended and returns its exit code.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<Option<i32>> {
        self.interrupt()
    }

    fn interrupt(&mut self) -> Result<Option<i32>> {
        signal(self.child.id(), "INT");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("wait for the demo")? {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().context("end the demo")?;
        bail!("the demo ignores Ctrl-C")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.interrupt());
        }
    }
}

/// Sends a signal by the shell's own `kill`; a process that is gone already is no failure.
pub fn signal(pid: u32, name: &str) {
    drop(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status());
}

/// Whether a process of that id runs.
#[must_use]
pub fn runs(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; its parent has not looked yet.
    state.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

/// What a first start says of each key that it makes.
pub const NEW_KEY: &str = "made a new key";

/// The lines of a log that warn, apart from those that hold one of the `expected` texts.
#[must_use]
pub fn unexpected<'a>(log: &'a str, expected: &[&str]) -> Vec<&'a str> {
    let warns = |line: &&str| line.contains("WARN") || line.contains("ERROR") || line.contains("panicked");
    log.lines().filter(warns).filter(|line| !expected.iter().any(|text| line.contains(text))).collect()
}
