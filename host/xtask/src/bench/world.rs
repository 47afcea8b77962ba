//! The three ways to one database: `grille demo` with its cluster and gateway, and PgBouncer beside it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::measure::Way;
use crate::shell::{on_path, read, run as run_command};

/// Rows of pgbench's largest table, in units of 100,000.
const SCALE: u32 = 10;
/// The account whose session both policies bind.
const ACCOUNT: &str = "analyst";
const POLICIES: [&str; 2] = ["phi", "sql-guard"];
/// The demo loads the clinic the first time.
const START_TRIES: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that runs. The fields are dropped in this order.
pub(super) struct World {
    bouncer: Process,
    _demo: Process,
    grille: PathBuf,
    dir: PathBuf,
    database: Direct,
    listener: SocketAddr,
    gateway_pid: u32,
    bouncer_address: SocketAddr,
    pub(super) script: PathBuf,
}

struct Direct {
    address: SocketAddr,
    name: String,
    user: String,
    password: String,
}

impl World {
    pub(super) fn start(grille: &Path, dir: &Path, components: &Path) -> Result<Self> {
        ensure!(on_path("pgbench").is_some(), "pgbench is missing: it comes with Debian's postgresql packages");
        let bouncer =
            on_path("pgbouncer").or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|p| p.is_file()));
        let bouncer = bouncer.context("pgbouncer is missing: install Debian's package pgbouncer")?;
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;

        let demo_dir = dir.join("demo");
        let mut demo = Process::start(
            Command::new(grille).arg("demo").arg("--dir").arg(&demo_dir).arg("--components").arg(components),
            &dir.join("demo.log"),
        )?;
        let card = demo.wait_for(|process| card(&demo_dir, process.child.id()))?;
        let config = fs::read_to_string(text(&card, "/config")?).context("read the demo's configuration")?;
        for policy in POLICIES {
            ensure!(config.contains(&format!("[policies.{policy}]")), "the demo runs without the policy {policy}");
        }
        let database = Direct {
            address: address(&card, "/database/address")?,
            name: text(&card, "/database/name")?.to_owned(),
            user: text(&card, "/database/superuser")?.to_owned(),
            password: fs::read_to_string(text(&card, "/database/password_file")?).context("read the password")?,
        };
        let gateway_pid =
            card.pointer("/pids/gateway").and_then(Value::as_u64).context("demo.json has pids.gateway")?;
        load(&database)?;

        let bouncer_address = free_address()?;
        let bouncer = start_bouncer(&bouncer, dir, &database, bouncer_address)?;
        let script = dir.join("select.sql");
        let select = format!(
            "\\set aid random(1, {})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n",
            SCALE * 100_000
        );
        fs::write(&script, select).with_context(|| format!("write {}", script.display()))?;
        Ok(Self {
            bouncer,
            _demo: demo,
            grille: grille.to_owned(),
            dir: demo_dir,
            database,
            listener: address(&card, "/listeners/pg")?,
            gateway_pid: u32::try_from(gateway_pid).context("a process id")?,
            bouncer_address,
            script,
        })
    }

    /// The gateway's configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("grille.toml")
    }

    /// The file of a policy's component.
    pub(super) fn component(&self, policy: &str) -> Result<PathBuf> {
        let config = self.config();
        let text = fs::read_to_string(&config).with_context(|| format!("read {}", config.display()))?;
        let table = text.split_once(&format!("[policies.{policy}]")).map(|(_, rest)| rest);
        let line = table.and_then(|table| table.lines().find_map(|line| line.strip_prefix("plugin")));
        let path = line.and_then(|line| line.split('"').nth(1)).context("the policy names its component")?;
        Ok(self.dir.join(path))
    }

    /// How many sets of policies the gateway has put in force.
    pub(super) fn epochs(&self) -> Result<usize> {
        self.logged("policy epoch ")
    }

    /// How many configurations it has put in force since it started.
    pub(super) fn reloads(&self) -> Result<usize> {
        self.logged("reloaded: ")
    }

    fn logged(&self, words: &str) -> Result<usize> {
        let log = self.dir.join("gateway.log");
        let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        Ok(text.matches(words).count())
    }

    pub(super) fn direct(&self) -> Way {
        self.way("PostgreSQL", self.database.address, None)
    }

    pub(super) fn bouncer(&self) -> Way {
        self.way("PgBouncer", self.bouncer_address, Some(self.bouncer.child.id()))
    }

    fn way(&self, name: &'static str, address: SocketAddr, pid: Option<u32>) -> Way {
        let Direct { name: database, user, password, .. } = &self.database;
        Way { name, address, user: user.clone(), password: password.clone(), database: database.clone(), pid }
    }

    /// With a token of now: they live for minutes only.
    pub(super) fn grille(&self) -> Result<Way> {
        let mut command = Command::new(&self.grille);
        let token = read(command.args(["token", "--demo", ACCOUNT, "--dir"]).arg(&self.dir))?;
        Ok(Way {
            name: "Grille",
            address: self.listener,
            user: ACCOUNT.to_owned(),
            password: token.trim().to_owned(),
            database: self.database.name.clone(),
            pid: Some(self.gateway_pid),
        })
    }
}

/// pgbench's tables, readable for everybody.
fn load(database: &Direct) -> Result<()> {
    let at = |program: &str| {
        let mut command = Command::new(program);
        let (ip, port) = (database.address.ip().to_string(), database.address.port().to_string());
        command.args(["-h", &ip, "-p", &port, "-U", &database.user]).env("PGPASSWORD", &database.password);
        command
    };
    let mut fill = at("pgbench");
    fill.args(["-i", "-q", "-s", &SCALE.to_string(), &database.name]).stderr(Stdio::null());
    run_command(&mut fill)?;
    let grant = "GRANT SELECT ON pgbench_accounts TO PUBLIC";
    run_command(at("psql").args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", grant, "-d", &database.name]))
}

/// Session mode, as Grille's sessions are; its clients need no password, which costs nothing per transaction.
fn start_bouncer(program: &Path, dir: &Path, database: &Direct, address: SocketAddr) -> Result<Process> {
    let Direct { address: upstream, name, user, password } = database;
    let config = dir.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n{name} = host={} port={} dbname={name} user={user} password={password}\n\n[pgbouncer]\n\
         listen_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = session\n\
         max_client_conn = 200\ndefault_pool_size = 100\nlog_connections = 0\nlog_disconnections = 0\n",
        upstream.ip(),
        upstream.port(),
        address.ip(),
        address.port(),
    );
    fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).context("close the configuration")?;
    let mut command = Command::new(program);
    if fs::metadata("/proc/self").context("look at /proc/self")?.uid() == 0 {
        // It refuses to run as root and reads its configuration before it changes.
        let uid = uid_of("postgres")?;
        chown(&config, Some(uid), None).context("hand over the configuration")?;
        command.args(["-u", "postgres"]);
    }
    let mut process = Process::start(command.arg(&config), &dir.join("pgbouncer.log"))?;
    process.wait_for(|_| Ok(TcpStream::connect_timeout(&address, PAUSE).ok()))?;
    Ok(process)
}

fn uid_of(user: &str) -> Result<u32> {
    let accounts = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let line = accounts.lines().find(|line| line.split(':').next() == Some(user));
    let uid = line.and_then(|line| line.split(':').nth(2)).and_then(|uid| uid.parse().ok());
    uid.with_context(|| format!("there is no account `{user}`"))
}

/// The card of the demo that runs as `pid`, once it is written.
fn card(dir: &Path, pid: u32) -> Result<Option<Value>> {
    let Ok(text) = fs::read_to_string(dir.join("demo.json")) else { return Ok(None) };
    let card: Value = serde_json::from_str(&text).context("understand demo.json")?;
    let is_its = card.pointer("/pids/demo").and_then(Value::as_u64) == Some(pid.into());
    Ok(Some(card).filter(|_| is_its))
}

fn text<'a>(card: &'a Value, pointer: &str) -> Result<&'a str> {
    card.pointer(pointer).and_then(Value::as_str).with_context(|| format!("demo.json has no {pointer}"))
}

fn address(card: &Value, pointer: &str) -> Result<SocketAddr> {
    text(card, pointer)?.parse().with_context(|| format!("{pointer} of demo.json is an address"))
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free loopback port")?;
    listener.local_addr().context("read the port")
}

/// A child that ends with us.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone().context("share the log")?).stderr(file);
        let child = command.spawn().with_context(|| format!("run {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    fn wait_for<T>(&mut self, mut ready: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        for _ in 0..START_TRIES {
            if let Some(state) = ready(self)? {
                return Ok(state);
            }
            if self.child.try_wait().context("ask for its state")?.is_some() {
                break;
            }
            thread::sleep(PAUSE);
        }
        bail!("it does not start; see {}", self.log.display());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // As Ctrl-C: the demo stops what it started, PgBouncer has nothing to stop.
        let stop = format!("kill -INT {}", self.child.id());
        drop(Command::new("sh").args(["-c", &stop]).status());
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(PAUSE);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
