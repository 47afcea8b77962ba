//! `grille serve` as a child process, as people run it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

/// A debug build on two busy cores.
const START: Duration = Duration::from_secs(60);

/// A running gateway. Dropping it ends it.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Gateway {
    /// Starts `grille serve` and waits until it listens on all of these.
    pub fn start(config: &Path, log: &Path, addresses: &[SocketAddr]) -> Result<Self> {
        Self::start_in(config, log, addresses, &[])
    }

    /// The same with more in its environment.
    pub fn start_in(
        config: &Path,
        log: &Path,
        addresses: &[SocketAddr],
        environment: &[(&str, &Path)],
    ) -> Result<Self> {
        let program = program()?;
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = Command::new(&program)
            .args(["serve", "--permit-demo-issuer", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("share the log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut gateway = Self { child, log: log.to_owned() };
        let deadline = Instant::now() + START;
        for address in addresses {
            while !answers(*address) {
                if !gateway.is_alive() || Instant::now() > deadline {
                    bail!("the gateway did not start; it said: {}", gateway.said());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(gateway)
    }

    /// What it wrote to its log.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Waits until it ended by itself; its exit code.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        let deadline = Instant::now() + START;
        while self.is_alive() {
            ensure!(Instant::now() < deadline, "the gateway does not end; it said: {}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(self.child.wait().context("wait for the gateway")?.code())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        resident_kib(self.pid())
    }

    /// Open file descriptors: sockets that are not given back show here.
    pub fn descriptors(&self) -> Result<usize> {
        let dir = format!("/proc/{}/fd", self.pid());
        Ok(fs::read_dir(&dir).with_context(|| format!("list {dir}"))?.count())
    }
}

/// Whether somebody listens there. Where nobody does yet, a connection may meet itself: its own port is chosen from the
/// same range.
fn answers(address: SocketAddr) -> bool {
    let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
    connected.and_then(|stream| stream.local_addr()).is_ok_and(|own| own != address)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Resident memory of a running process in KiB.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a running process has VmRSS")?;
    let number = line.trim().trim_end_matches(" kB").trim();
    number.parse().with_context(|| format!("understand {number:?}"))
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, grille_demo::port::free()?)))
}

/// A shim for `LD_PRELOAD`, compiled into `dir`, by which syncs fail and clocks step; `faults.c` says how.
pub fn faults(dir: &Path) -> Result<PathBuf> {
    let library = dir.join("faults.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/faults.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]);
    ensure!(compiler.status().context("run the C compiler `cc`")?.success(), "{source} does not compile");
    Ok(library)
}

/// A Python with psycopg, by which real clients of libpq 18 run.
#[must_use]
pub fn python() -> PathBuf {
    std::env::var_os("GRILLE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

/// `GRILLE_BIN`, or the one that cargo built beside this test.
///
/// # Errors
/// It is not built.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("GRILLE_BIN") {
        return Ok(named.into());
    }
    let test = std::env::current_exe().context("find our own program")?;
    let beside = test.ancestors().nth(2).context("a test lies in target/PROFILE/deps")?.join("grille");
    ensure!(beside.is_file(), "{} is missing: `cargo build -p grille-gateway` makes it", beside.display());
    Ok(beside)
}
