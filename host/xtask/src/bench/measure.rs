//! One run of pgbench, and the processor time that the proxy in its way took meanwhile.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

/// How a client reaches the database.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    /// The proxy's process, if there is one.
    pub(super) pid: Option<u32>,
}

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) tps: f64,
    /// Of the proxy, per transaction; 0 without one.
    pub(super) cpu_micros: f64,
}

/// Runs `script` for `seconds`. Connecting and the first second are not counted: they are logins and warm-up.
pub(super) fn pgbench(way: &Way, script: &Path, mode: &str, clients: u32, seconds: u32) -> Result<Sample> {
    let mut child = Command::new("pgbench")
        .args(["-n", "-P", "1", "-M", mode, "-c", &clients.to_string(), "-j", "2", "-T", &seconds.to_string(), "-f"])
        .arg(script)
        .args(["-h", &way.address.ip().to_string(), "-p", &way.address.port().to_string(), "-U", &way.user])
        .arg(&way.database)
        .env("PGPASSWORD", &way.password)
        .env("PGSSLMODE", "disable")
        .env("PGGSSENCMODE", "disable")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run pgbench")?;
    let mut stdout = child.stdout.take().context("pgbench has an output")?;
    let printed = thread::spawn(move || std::io::read_to_string(&mut stdout));

    let mut said = Vec::new();
    let mut window: Option<Window> = None;
    for line in BufReader::new(child.stderr.take().context("pgbench reports")?).lines() {
        let line = line.context("read what pgbench reports")?;
        match progress(&line) {
            Some((at, tps)) => {
                let cpu = way.pid.map_or(Ok(0), cpu_nanos)?;
                match &mut window {
                    None => window = Some(Window { at, transactions: 0.0, cpu, last_cpu: cpu }),
                    Some(window) => window.grow(at, tps, cpu),
                }
            }
            None => said.push(line),
        }
    }
    let status = child.wait().context("wait for pgbench")?;
    let printed = printed.join().ok().context("read what pgbench printed")??;
    ensure!(status.success(), "pgbench failed ({status}): {}", said.join("; "));
    ensure!(printed.contains("number of failed transactions: 0 "), "transactions failed: {printed}");
    let window = window.filter(|window| window.transactions > 0.0).context("pgbench reported no progress")?;
    let tps = printed.lines().find_map(|line| line.strip_prefix("tps = ")).and_then(first_number);
    Ok(Sample { tps: tps.context("pgbench printed no tps")?, cpu_micros: window.cpu_micros() })
}

/// From the first progress report to the last.
struct Window {
    at: f64,
    transactions: f64,
    cpu: u64,
    last_cpu: u64,
}

impl Window {
    fn grow(&mut self, at: f64, tps: f64, cpu: u64) {
        self.transactions += tps * (at - self.at);
        self.at = at;
        self.last_cpu = cpu;
    }

    fn cpu_micros(&self) -> f64 {
        (self.last_cpu - self.cpu) as f64 / 1000.0 / self.transactions
    }
}

/// `progress: 2.0 s, 12345.6 tps, lat 0.6 ms stddev 0.2, 0 failed` → time and rate.
fn progress(line: &str) -> Option<(f64, f64)> {
    let (at, rest) = line.strip_prefix("progress: ")?.split_once(" s, ")?;
    Some((at.parse().ok()?, first_number(rest)?))
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Time on a processor, by the scheduler's own account, of all threads that the process has.
pub(super) fn cpu_nanos(pid: u32) -> Result<u64> {
    let dir = format!("/proc/{pid}/task");
    let mut nanos = 0;
    for thread in fs::read_dir(&dir).with_context(|| format!("the proxy is gone: list {dir}"))? {
        // A thread that ends between listing and reading takes its share with it; the proxies keep theirs.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let first = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        nanos += first.context("/proc/PID/task/TID/schedstat begins with a number")?;
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::{cpu_nanos, progress};

    #[test]
    fn progress_reports_are_read() {
        let line = "progress: 2.0 s, 12345.6 tps, lat 0.646 ms stddev 0.211, 0 failed";
        assert_eq!(progress(line), Some((2.0, 12345.6)));
        assert_eq!(progress("pgbench: error: connection failed"), None);
    }

    #[test]
    fn our_own_time_can_be_read() {
        assert!(cpu_nanos(std::process::id()).expect("our own process") > 0);
    }
}
