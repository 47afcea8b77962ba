//! The real `psql`, once or with an open session, and every byte that came back to it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use super::tap::Tap;

/// No statement of the tour takes a second; two busy cores may need ten times that.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to call `psql` as somebody.
#[derive(Debug, Clone)]
pub(super) struct Psql {
    pub(super) program: PathBuf,
    pub(super) gateway: std::net::SocketAddr,
    pub(super) user: String,
    pub(super) token: String,
}

/// What one `psql` printed and received.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) wire: Vec<u8>,
    pub(super) success: bool,
}

impl Psql {
    /// One text in one simple-protocol message, as `psql -c` sends it.
    pub(super) fn run(&self, text: &str) -> Result<Said> {
        let tap = Tap::open(self.gateway)?;
        let mut child = self.command(&tap)?.args(["-c", text]).stdin(Stdio::null()).spawn().context("run psql")?;
        let (stdout, stderr) = (Heard::from(child.stdout.take())?, Heard::from(child.stderr.take())?);
        let success = wait(&mut child, PATIENCE)?;
        Ok(Said { stdout: stdout.all()?, stderr: stderr.all()?, wire: tap.received(), success })
    }

    /// A session that stays open between statements.
    pub(super) fn open(&self) -> Result<Session> {
        let tap = Tap::open(self.gateway)?;
        let mut child = self.command(&tap)?.stdin(Stdio::piped()).spawn().context("run psql")?;
        let (stdout, stderr) = (Heard::from(child.stdout.take())?, Heard::from(child.stderr.take())?);
        let stdin = child.stdin.take().context("psql has no stdin")?;
        Ok(Session { child, stdin, stdout, stderr, tap, asked: 0 })
    }

    fn command(&self, tap: &Tap) -> Result<Command> {
        let address = tap.address();
        let mut command = Command::new(&self.program);
        command
            .args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-h", "127.0.0.1"])
            .args(["-p", &address.port().to_string(), "-U", &self.user, "-d", crate::clinic::DATABASE])
            .env("PGPASSWORD", &self.token)
            .env("PGCONNECT_TIMEOUT", "15")
            .env("PGSSLMODE", "disable")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env_remove("PGOPTIONS")
            .env_remove("PGSERVICE")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }
}

/// An open `psql`, driven through its standard input. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: Heard,
    stderr: Heard,
    tap: Tap,
    asked: u32,
}

impl Session {
    /// Sends one statement (or several) and returns what came back.
    pub(super) fn ask(&mut self, text: &str) -> Result<Said> {
        self.send(text)?;
        self.answer(PATIENCE)
    }

    /// Sends without waiting: the statement may be held.
    pub(super) fn send(&mut self, text: &str) -> Result<()> {
        self.asked += 1;
        let mark = self.mark();
        // psql prints the marks when everything before them is done.
        writeln!(self.stdin, "{text}\n\\echo {mark}\n\\warn {mark}").context("write to psql")?;
        self.stdin.flush().context("write to psql")
    }

    /// Waits for the answer to what was sent last.
    pub(super) fn answer(&self, patience: Duration) -> Result<Said> {
        let mark = format!("{}\n", self.mark());
        let stdout = self.stdout.until(&mark, patience)?;
        let stderr = self.stderr.until(&mark, patience)?;
        Ok(Said { stdout, stderr, wire: self.tap.received(), success: true })
    }

    /// Waits until what `psql` has printed on its standard error since the last answer is what is `wanted`.
    pub(super) fn notice<T>(&self, patience: Duration, wanted: impl Fn(&str) -> Option<T>) -> Result<(String, T)> {
        let (_, found) = self.stderr.wait(patience, |state| {
            let fresh = String::from_utf8_lossy(state.text.get(state.read..)?).into_owned();
            let found = wanted(&fresh)?;
            Some((fresh, found))
        })?;
        Ok(found)
    }

    fn mark(&self) -> String {
        format!("--answer-{}--", self.asked)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn wait(child: &mut Child, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().context("wait for psql")? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            child.kill().context("end psql")?;
            child.wait().context("wait for psql")?;
            bail!("psql did not finish within {} s", patience.as_secs());
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// A pipe being read to its end in the background.
#[derive(Debug, Clone)]
struct Heard(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Heard {
    fn from(pipe: Option<impl Read + Send + 'static>) -> Result<Self> {
        let mut pipe = pipe.context("psql has no pipe")?;
        let heard = Self(Arc::default());
        let shared = Arc::clone(&heard.0);
        thread::spawn(move || {
            let mut buffer = [0u8; 16 * 1024];
            loop {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                state.text.extend(buffer.iter().take(count));
                state.ended = count == 0;
                shared.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Ok(heard)
    }

    /// Everything up to the end of the pipe.
    fn all(&self) -> Result<String> {
        let state = self.wait(PATIENCE, |state| state.ended.then_some(()))?.0;
        Ok(String::from_utf8_lossy(&state).into_owned())
    }

    /// What follows the last answer up to `mark`, which is swallowed.
    fn until(&self, mark: &str, patience: Duration) -> Result<String> {
        let (_, text) = self.wait(patience, |state| {
            let fresh = state.text.get(state.read..)?;
            let at = find(fresh, mark.as_bytes())?;
            let text = String::from_utf8_lossy(fresh.get(..at)?).into_owned();
            state.read += at + mark.len();
            Some(text)
        })?;
        Ok(text)
    }

    fn wait<T>(&self, patience: Duration, mut done: impl FnMut(&mut State) -> Option<T>) -> Result<(Vec<u8>, T)> {
        let deadline = Instant::now() + patience;
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = done(&mut state) {
                return Ok((state.text.clone(), found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let why = if state.ended { "psql ended" } else { "psql stayed silent" };
                let rest = String::from_utf8_lossy(state.text.get(state.read..).unwrap_or_default()).into_owned();
                bail!("{why}; it had said: {}", rest.trim());
            }
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests;
