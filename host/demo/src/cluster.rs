//! A private PostgreSQL cluster: made, started and stopped by us, under a directory of its own.
//!
//! `Cluster::start(dir, &options)` makes the cluster on first use and starts it in about half a second afterwards. It
//! listens on loopback alone, asks every login for SCRAM-SHA-256, and belongs to an unprivileged account when we run as
//! root, because `initdb` refuses root. It never touches a directory that it did not make: `cluster.json` is its mark.
//!
//! Durability is off (`fsync = off`): what lives here can be made again from a seed.

mod account;
mod binaries;
mod mark;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

use crate::port;

pub use account::Account;
pub use binaries::Binaries;
use mark::Mark;

/// The superuser of the cluster; used to set up, never by a gateway.
pub const SUPERUSER: &str = "grille_setup";

/// From the start of the server to its first accepted login. A cold disk under two busy cores needed 9 s.
const READY: Duration = Duration::from_secs(60);
/// Another program may take the free port between our look and the server's bind.
const PORT_TRIES: usize = 5;

/// What a cluster is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The wished port; without it the port of last time if free, else any free one.
    pub port: Option<u16>,
    /// Further settings, as `("max_connections", "200")`.
    pub settings: Vec<(String, String)>,
}

/// A running cluster. Dropping it stops the server.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    data: PathBuf,
    binaries: Binaries,
    account: Account,
    password: String,
    port: u16,
    fresh: bool,
    server: Child,
    _lock: File,
}

impl Cluster {
    /// Makes the cluster under `dir` if it is not there yet, and starts it.
    ///
    /// # Errors
    /// No server binaries, a directory that is not ours or is in use, or a server that does not come up.
    pub fn start(dir: &Path, options: &Options) -> Result<Self> {
        let binaries = Binaries::find()?;
        let account = Account::for_server()?;
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        let lock = lock(&dir)?;

        let (mark, fresh) = match Mark::read(&dir)? {
            Some(mark) if mark.port.is_some() && mark.data.is_dir() => (mark, false),
            // The mark comes before initdb and gets its port when the server is up: half a cluster is ours to replace.
            Some(mark) => (make(&dir, &binaries, &account, Some(&mark))?, true),
            None => (make(&dir, &binaries, &account, None)?, true),
        };
        ensure!(
            fresh || mark.version == binaries.major()?,
            "{} was made by PostgreSQL {}, the binaries in {} are another version: remove the directory to make it anew",
            dir.display(),
            mark.version,
            binaries.dir().display()
        );
        let password = fs::read_to_string(dir.join(PASSWORD)).with_context(|| format!("read {PASSWORD}"))?;
        stop_leftover(&mark.data, &binaries, &account)?;

        let mut wished = options.port.or(mark.port);
        for _ in 0..PORT_TRIES {
            let port = free_port(wished.take())?;
            let mut server = launch(&dir, &mark.data, &binaries, &account, port, &options.settings)?;
            if !ready(&mut server, &mark.data)? {
                continue;
            }
            Mark { port: Some(port), ..mark.clone() }.write(&dir)?;
            let data = mark.data;
            return Ok(Self { dir, data, binaries, account, password, port, fresh, server, _lock: lock });
        }
        bail!("PostgreSQL does not start; it said: {}", last_lines(&dir.join(LOG)));
    }

    /// Whether another process has a cluster running in `dir`.
    #[must_use]
    pub fn is_in_use(dir: &Path) -> bool {
        dir.join("lock").is_file() && lock(dir).is_err()
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Whether this start made the cluster.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The directory given to [`Cluster::start`], absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// The password of [`SUPERUSER`].
    #[must_use]
    pub fn superuser_password(&self) -> &str {
        &self.password
    }

    /// The binaries that run it.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// `psql` as superuser, straight to the server, quiet and unaligned; stops at the first error.
    #[must_use]
    pub fn psql(&self, database: &str) -> Command {
        self.psql_as(SUPERUSER, &self.password, database)
    }

    /// `psql` as anybody, straight to the server.
    #[must_use]
    pub fn psql_as(&self, user: &str, password: &str, database: &str) -> Command {
        let mut command = Command::new(self.binaries.psql());
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", user, "-d", database])
            .env("PGPASSWORD", password)
            .env("PGCONNECT_TIMEOUT", "10")
            .env_remove("PGOPTIONS")
            .env_remove("PGSERVICE");
        command
    }

    /// Runs SQL as superuser and returns what `psql` printed.
    ///
    /// # Errors
    /// The server's message, if it refuses.
    pub fn sql(&self, database: &str, text: &str) -> Result<String> {
        let output = self.psql(database).args(["-c", text]).stdin(Stdio::null()).output().context("run psql")?;
        ensure!(
            output.status.success(),
            "the database refused `{}`: {}",
            text.chars().take(120).collect::<String>(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout).context("psql printed bytes that are not UTF-8")?.trim_end().to_owned())
    }

    /// Stops the server and waits for it.
    ///
    /// # Errors
    /// `pg_ctl` could not be run or gave up.
    pub fn stop(mut self) -> Result<()> {
        self.halt()
    }

    /// Stops the server and removes everything that this cluster ever made.
    ///
    /// # Errors
    /// As [`Cluster::stop`], or a directory that cannot be removed.
    pub fn remove(mut self) -> Result<()> {
        self.halt()?;
        let home = self.data.parent().context("the data have a home")?;
        for dir in [home, self.dir.as_path()] {
            if dir.exists() {
                fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
            }
        }
        Ok(())
    }

    fn halt(&mut self) -> Result<()> {
        if self.server.try_wait().is_ok_and(|status| status.is_some()) {
            return Ok(());
        }
        pg_ctl_stop(&self.data, &self.binaries, &self.account)?;
        self.server.wait().context("wait for postgres")?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.halt() {
            tracing::warn!(dir = %self.dir.display(), "PostgreSQL did not stop: {error:#}");
        }
    }
}

const PASSWORD: &str = "superuser.password";
const LOG: &str = "postgres.log";

/// A child of ours that another thread is just starting holds a copy of every open lock between its fork and its exec:
/// a lock that is busy for longer than this is somebody's.
const LOCK: Duration = Duration::from_millis(500);

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let deadline = Instant::now() + LOCK;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(fs::TryLockError::WouldBlock) => {
                bail!("{} is in use by another process: stop it first, or choose another directory", dir.display())
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
    }
}

fn make(dir: &Path, binaries: &Binaries, account: &Account, half: Option<&Mark>) -> Result<Mark> {
    if half.is_none() {
        let strangers: Vec<_> = fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|name| name != "lock")
            .collect();
        ensure!(
            strangers.is_empty(),
            "{} holds `{}` and was not made by grille: it stays untouched; choose an empty directory",
            dir.display(),
            strangers.first().map_or("", String::as_str)
        );
    }
    // The server's account may be unable to reach the directory (a home with mode 0700): then the data live in a
    // directory of ours below the system's temporary one, and the mark says where.
    let home = match half {
        Some(mark) => mark.home()?.to_owned(),
        None if account.reaches(dir)? => dir.join("server"),
        None => tempfile::Builder::new().prefix("grille-pg-").tempdir().context("make a temporary directory")?.keep(),
    };
    let mark = Mark { data: home.join("data"), version: binaries.major()?, port: None };
    mark.write(dir)?;
    if mark.data.exists() {
        fs::remove_dir_all(&mark.data).with_context(|| format!("remove {}", mark.data.display()))?;
    }
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    account.own(&home)?;

    let password = crate::random_hex::<24>()?;
    write_secret(&dir.join(PASSWORD), &password)?;
    // initdb reads the password as the server's account; the file is gone before the server listens.
    let handed = home.join("pwfile");
    write_secret(&handed, &password)?;
    account.own(&handed)?;
    let mut command = account.command(&binaries.server("initdb"));
    command
        .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "-U", SUPERUSER])
        .arg(format!("--pwfile={}", handed.display()))
        .arg("-D")
        .arg(&mark.data);
    let output = command.output().context("run initdb");
    fs::remove_file(&handed).with_context(|| format!("remove {}", handed.display()))?;
    let output = output?;
    ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(mark)
}

fn launch(
    dir: &Path,
    data: &Path,
    binaries: &Binaries,
    account: &Account,
    port: u16,
    settings: &[(String, String)],
) -> Result<Child> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join(LOG)).context("open the log")?;
    let mut command = account.command(&binaries.server("postgres"));
    command.arg("-D").arg(data).arg("-p").arg(port.to_string());
    for (name, value) in SETTINGS.iter().copied().chain(settings.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // Its own process group: Ctrl-C at the terminal reaches us, and we stop the server in order.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("start {}", binaries.server("postgres").display()))
}

/// What a server for repeatable data needs: loopback only, no Unix socket (their paths are limited to 107 bytes), a
/// fast load (`wal_level = minimal` lets COPY into a new table skip the log).
const SETTINGS: [(&str, &str); 10] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("password_encryption", "scram-sha-256"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "2GB"),
    ("maintenance_work_mem", "256MB"),
];

/// True once the server accepts logins; false when it exited, as it does when the port was taken.
fn ready(server: &mut Child, data: &Path) -> Result<bool> {
    let deadline = Instant::now() + READY;
    let pid_file = data.join("postmaster.pid");
    loop {
        if server.try_wait().context("ask for the state of postgres")?.is_some() {
            return Ok(false);
        }
        // The eighth line of postmaster.pid is the server's own word on its state.
        let state = fs::read_to_string(&pid_file).unwrap_or_default();
        let ours = state.lines().next().is_some_and(|pid| pid.trim() == server.id().to_string());
        if ours && state.lines().nth(7).is_some_and(|word| word.trim() == "ready") {
            return Ok(true);
        }
        ensure!(Instant::now() < deadline, "PostgreSQL is not ready after {} s", READY.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server that outlived its killed parent still holds the data directory: stop it, it is ours.
fn stop_leftover(data: &Path, binaries: &Binaries, account: &Account) -> Result<()> {
    let Ok(state) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let Some(pid) = state.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else { return Ok(()) };
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let wanted = data.as_os_str().as_encoded_bytes();
    if cmdline.split(|byte| *byte == 0).any(|argument| argument == wanted) {
        pg_ctl_stop(data, binaries, account)?;
    }
    Ok(())
}

fn pg_ctl_stop(data: &Path, binaries: &Binaries, account: &Account) -> Result<()> {
    let mut command = account.command(&binaries.server("pg_ctl"));
    command.args(["stop", "-s", "-w", "-t", "30", "-m", "fast", "-D"]).arg(data);
    let output = command.output().context("run pg_ctl")?;
    ensure!(output.status.success(), "pg_ctl stop failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn free_port(wished: Option<u16>) -> Result<u16> {
    match wished {
        Some(port) if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() => Ok(port),
        _ => port::free(),
    }
}

pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = open().with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests;
