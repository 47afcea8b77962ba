//! A database, an issuer and a gateway, shared by the tests of one process.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use grille_demo::{
    cluster::{Cluster, Options},
    issuer::{AUDIENCE, Issuer},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    Raw, Reply,
    gateway::{Gateway, free_address},
};

/// Somebody with a token, who takes one of the roles it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    account: &'static str,
    role: &'static str,
}

impl Caller {
    /// One of the issuer's accounts, in a role that its groups give.
    pub const fn of(account: &'static str, role: &'static str) -> Self {
        Self { account, role }
    }
}

/// May do everything.
pub const OWNER: Caller = Caller { account: "dba", role: "owner" };
/// May only read.
pub const READER: Caller = Caller { account: "analyst", role: "reader" };
/// May read and write, but only the table of notes.
pub const CLERK: Caller = Caller { account: "reviewer", role: "clerk" };

/// The gateway sees the file, and compiles what changed.
const RELOAD: Duration = Duration::from_secs(60);
const TARGET: &str = "work";
const LOGIN: &str = "work_app";
const DIRECT: &str = "work_direct";
/// Only ever valid for a cluster that dies with the test.
const LOGIN_PASSWORD: &str = "correct horse battery staple";

/// The fields are dropped in this order.
#[derive(Debug)]
pub struct World {
    pub gateway: Mutex<Gateway>,
    issuer: Issuer,
    pub cluster: Cluster,
    pub address: SocketAddr,
    /// Of the admin API.
    pub admin: SocketAddr,
    runtime: Option<Runtime>,
    dir: TempDir,
}

impl World {
    /// The world of this process: made by the first test that asks, ended by the last one that lets go.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let world = Arc::new(Self::with(""));
            *shared = Arc::downgrade(&world);
            world
        })
    }

    /// A world of its own, with more in its configuration. `{database}` there is the server's address, `{secret}` the
    /// file with the password of [`LOGIN`].
    pub fn with(more: &str) -> Self {
        // A thread of its own, since the caller may be inside a runtime.
        let start = || Self::start(more);
        let started = thread::scope(|scope| scope.spawn(start).join().expect("starting does not panic"));
        started.unwrap_or_else(|error| panic!("no world to test in: {error:#}"))
    }

    fn start(more: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("grille-it-").tempdir().context("make a temporary directory")?;
        let cluster = Cluster::start(&dir.path().join("pg"), &Options::default())?;
        cluster.sql("postgres", &format!("CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN_PASSWORD}'"))?;
        cluster.sql("postgres", &format!("CREATE DATABASE {TARGET} OWNER {LOGIN}"))?;
        cluster.sql(TARGET, &format!("SET ROLE {LOGIN}; {TABLES}"))?;
        open_direct_way(&cluster)?;

        let runtime = Runtime::new().context("start a runtime")?;
        let issuer = runtime.block_on(Issuer::start())?;
        let password = dir.path().join("login.password");
        fs::write(&password, LOGIN_PASSWORD).context("write the login's password")?;
        let config = dir.path().join("grille.toml");
        let text = |address: SocketAddr, admin: SocketAddr| {
            format!(
                r#"version = 1

[identity.test]
issuer = "{issuer}"
audience = "{AUDIENCE}"

[listeners.pg]
protocol = "postgres"
address = "{address}"

[targets.{TARGET}]
protocol = "postgres"
address = "{database}"
database = "{TARGET}"
login = {{ user = "{LOGIN}", password = {{ file = {password:?} }} }}
tls = "disable"

[roles.owner]
groups = ["dbas"]
targets = ["{TARGET}"]
relations = ["*"]
operations = ["*"]

[roles.reader]
groups = ["data-analysts"]
targets = ["{TARGET}"]
relations = ["public.*"]

[roles.clerk]
groups = ["reviewers"]
targets = ["{TARGET}"]
relations = ["public.notes"]
operations = ["read", "write"]

[ledger]
path = {ledger:?}

[admin]
address = "{admin}"

{more}"#,
                issuer = issuer.url(),
                database = cluster.address(),
                ledger = dir.path().join("ledger"),
                more = more
                    .replace("{database}", &cluster.address().to_string())
                    .replace("{secret}", &password.display().to_string()),
            )
        };
        let mut attempts = 0;
        let (gateway, address, admin) = loop {
            let (address, admin) = (free_address()?, free_address()?);
            fs::write(&config, text(address, admin)).context("write grille.toml")?;
            match Gateway::start(&config, &dir.path().join("gateway.log"), &[address, admin]) {
                // Others look for free ports, too, and may have taken one meanwhile.
                Err(error) if attempts < 3 && error.to_string().contains("cannot listen") => attempts += 1,
                started => break (started?, address, admin),
            }
        };
        Ok(Self { gateway: Mutex::new(gateway), issuer, cluster, address, admin, runtime: Some(runtime), dir })
    }

    /// A fresh token.
    pub fn token(&self, caller: Caller) -> String {
        self.issuer.token(caller.account).expect("the issuer signs for its accounts")
    }

    /// The bytes that open a session: startup packet and token.
    pub fn hello(&self, caller: Caller) -> Vec<u8> {
        Raw::hello(caller.role, TARGET, &self.token(caller)).expect("a packet of a few bytes").to_vec()
    }

    /// The same with a token that is good for a time only.
    pub fn hello_for(&self, caller: Caller, lifetime: Duration) -> Vec<u8> {
        let token = self.issuer.token_for(caller.account, lifetime).expect("the issuer signs for its accounts");
        Raw::hello(caller.role, TARGET, &token).expect("a packet of a few bytes").to_vec()
    }

    /// A session through the gateway.
    pub fn session(&self, caller: Caller) -> Raw {
        self.session_on(TARGET, caller.role, caller)
    }

    /// A session on another target, under the role or person named.
    pub fn session_on(&self, target: &str, user: &str, caller: Caller) -> Raw {
        Raw::login(self.address, user, target, &self.token(caller))
            .unwrap_or_else(|error| panic!("no session for {caller:?}: {error:#}; the gateway said:\n{}", self.said()))
    }

    /// A session straight to the server, with the same rights: what it answers is what the gateway should have passed.
    pub fn direct(&self) -> Raw {
        Raw::login(self.cluster.address(), DIRECT, TARGET, LOGIN_PASSWORD)
            .unwrap_or_else(|error| panic!("no direct session: {error:#}"))
    }

    /// What the server greets such a session with.
    pub fn direct_greeting(&self) -> Vec<Reply> {
        let greeting = || {
            let mut raw = Raw::connect(self.cluster.address())?;
            raw.send(&Raw::hello(DIRECT, TARGET, LOGIN_PASSWORD)?)?;
            raw.until_ready()
        };
        greeting().unwrap_or_else(|error| panic!("no direct session: {error:#}"))
    }

    /// A session must still open and answer.
    pub fn serves(&self) {
        let answer = self.session(READER).value("SELECT count(*) FROM numbers");
        assert_eq!(answer.expect("an answer"), "1000");
        assert!(!self.said().contains("panicked"), "the gateway said:\n{}", self.said());
    }

    /// Settings for a driver.
    pub fn driver(&self, caller: Caller) -> String {
        let (host, port) = (self.address.ip(), self.address.port());
        format!("host={host} port={port} user={} dbname={TARGET} password={}", caller.role, self.token(caller))
    }

    /// Edits the gateway's configuration, as an operator does while it runs.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let config = self.config();
        let text = fs::read_to_string(&config).expect("the configuration");
        fs::write(&config, change(text)).expect("the configuration");
    }

    /// Settings for a driver that goes straight to the server, with the same rights.
    pub fn driver_direct(&self) -> String {
        let (host, port) = (self.cluster.address().ip(), self.cluster.address().port());
        format!("host={host} port={port} user={DIRECT} dbname={TARGET} password='{LOGIN_PASSWORD}'")
    }

    /// Changes the configuration while the gateway runs, and waits until the policies of it are in force.
    pub fn reconfigure(&self, from: &str, to: &str) -> Result<()> {
        let epochs = || self.said().matches("policy epoch").count();
        let before = epochs();
        self.edit(|text| text.replace(from, to));
        let deadline = Instant::now() + RELOAD;
        while epochs() == before {
            ensure!(Instant::now() < deadline, "no new policies; the gateway said:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the gateway if it still runs, and starts it again in this environment.
    pub fn restart(&self, environment: &[(&str, &Path)]) {
        let mut gateway = self.gateway();
        gateway.kill();
        let (config, log) = (self.config(), self.dir.path().join("gateway.log"));
        *gateway = Gateway::start_in(&config, &log, &[self.address, self.admin], environment)
            .unwrap_or_else(|error| panic!("it does not start again: {error:#}"));
    }

    /// The gateway's configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("grille.toml")
    }

    /// Where the gateway writes its ledger, and the key that opens what is sealed in it.
    pub fn ledger(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("ledger"), self.dir.path().join("seal.key"))
    }

    pub fn said(&self) -> String {
        self.gateway().said()
    }

    pub fn gateway(&self) -> std::sync::MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The last test to let go may be inside a runtime, where waiting for another one is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets [`DIRECT`] log in with a cleartext password, which the raw client speaks; everybody else keeps SCRAM.
fn open_direct_way(cluster: &Cluster) -> Result<()> {
    let database = "postgres";
    cluster.sql(database, &format!("CREATE ROLE {DIRECT} LOGIN PASSWORD '{LOGIN_PASSWORD}' IN ROLE {LOGIN}"))?;
    let file = cluster.sql(database, "SHOW hba_file")?;
    let rules =
        format!("(VALUES ('host all {DIRECT} 127.0.0.1/32 password'), ('host all all 127.0.0.1/32 scram-sha-256'))");
    cluster.sql(database, &format!("COPY {rules} TO '{file}'"))?;
    cluster.sql(database, "SELECT pg_reload_conf()")?;
    Ok(())
}

const TABLES: &str = "
CREATE TABLE numbers (id int PRIMARY KEY, name text NOT NULL, ratio float8, big numeric, payload bytea);
INSERT INTO numbers SELECT n, 'number ' || n, n / 8.0, n * 1000000007.5, decode(lpad(to_hex(n), 8, '0'), 'hex')
  FROM generate_series(1, 1000) n;
CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL);
";
