//! `grille serve` as a child process.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

/// A start compiles two components the first time; half a minute covers an unoptimised build under load.
const START: Duration = Duration::from_secs(60);
/// SIGTERM drains; open sessions get this long before they are cut.
const DRAIN: Duration = Duration::from_secs(5);

/// The running gateway. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
}

impl Gateway {
    /// Starts it and waits until it accepts connections at each of `addresses`.
    pub(crate) fn start(grille: &Path, config: &Path, log: &Path, addresses: &[SocketAddr]) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(grille);
        command
            .args(["serve", "--permit-demo-issuer", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("share the log")?)
            .stderr(file)
            // Ctrl-C at the terminal reaches us, and we stop the gateway in order.
            .process_group(0);
        let child = command.spawn().with_context(|| format!("start {}", grille.display()))?;
        let mut gateway = Self { child };
        gateway.wait_until_ready(log, addresses)?;
        Ok(gateway)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn wait_until_ready(&mut self, log: &Path, addresses: &[SocketAddr]) -> Result<()> {
        let deadline = Instant::now() + START;
        for address in addresses {
            while TcpStream::connect_timeout(address, Duration::from_secs(1)).is_err() {
                if !self.runs() || Instant::now() > deadline {
                    bail!("the gateway did not start; it said: {}", tail(log, 8));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        // Who answers there may be somebody else.
        ensure!(self.runs(), "the gateway did not start; it said: {}", tail(log, 8));
        Ok(())
    }

    fn stop(&mut self) {
        if !self.runs() {
            return;
        }
        signal(self.pid(), "TERM");
        let deadline = Instant::now() + DRAIN;
        while self.runs() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        if self.runs() {
            tracing::warn!("the gateway did not drain within {} s and is ended", DRAIN.as_secs());
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends a gateway that outlived a killed demo: only if it is `serve` on our own configuration.
pub(crate) fn end_leftover(pid: u32, config: &Path) {
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = cmdline.split(|byte| *byte == 0).collect();
    if words.contains(&b"serve".as_slice()) && words.contains(&config.as_os_str().as_encoded_bytes()) {
        signal(pid, "KILL");
    }
}

fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: no C call of ours, and it is on every system.
    let script = format!("kill -{name} {pid}");
    drop(Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status());
}

/// The last lines of a file.
pub(crate) fn tail(log: &Path, count: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).copied().collect::<Vec<_>>().join("\n")
}

/// The gateway's program: the one that runs us.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("find our own program")
}
