//! Policies are swapped again and again under load: nobody is dropped, nothing wrong is shown, nothing is decided by half
//! a set.
#![allow(clippy::print_stdout, reason = "the figures are what people want of it")]

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use grille_demo::cluster::{Cluster, Options};
use grille_demo::issuer::{AUDIENCE, Issuer};
use grille_e2e::{components, grille};
use grille_ledger::{PolicyInForce, Reader, Record, SealKey};
use grille_test_support::{free_address, resident_kib};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

const SESSIONS: usize = 500;
const SWAPS: u64 = 200;
const ACCOUNTS: i32 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// Each session pauses this long on average, so that 500 of them fill two cores and do not drown them.
const PAUSE: Duration = Duration::from_millis(600);
/// What the swaps may leave behind. Two hundred sets of 1 MiB each would be seen.
const GROWTH_KIB_MAX: u64 = 96 << 10;

struct House {
    dir: tempfile::TempDir,
    _database: Cluster,
    issuer: Issuer,
    listener: SocketAddr,
    base: String,
}

impl House {
    async fn build() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = dir.path().join("database");
        let database = tokio::task::spawn_blocking(move || {
            let settings = vec![("max_connections".to_owned(), (SESSIONS + 50).to_string())];
            let cluster = Cluster::start(&home, &Options { port: None, settings }).expect("a cluster");
            let sql = format!(
                "CREATE ROLE app LOGIN PASSWORD 'app-password';
                 CREATE TABLE accounts (aid int PRIMARY KEY, abalance int, ssn text);
                 INSERT INTO accounts SELECT n, n * 7, 'clear-' || n FROM generate_series(1, {ACCOUNTS}) n;
                 CREATE TABLE scratch (id int PRIMARY KEY);
                 GRANT ALL ON accounts, scratch TO app"
            );
            cluster.sql("postgres", &sql).expect("tables");
            cluster
        })
        .await
        .expect("joins");
        let issuer = Issuer::start().await.expect("an issuer");
        let free = || free_address().expect("a port");
        let (listener, admin) = (free(), free());
        let base = format!(
            r#"version = 1
[identity.demo]
issuer = "{issuer}"
audience = "{AUDIENCE}"
[listeners.pg]
protocol = "postgres"
address = "{listener}"
[targets.postgres]
protocol = "postgres"
address = "{database}"
database = "postgres"
login = {{ user = "app", password = {{ file = "app.password" }} }}
tls = "disable"
[roles.analyst]
groups = ["data-analysts"]
targets = ["postgres"]
relations = ["*"]
operations = ["*"]
[ledger]
path = "ledger"
[admin]
address = "{admin}"
"#,
            issuer = issuer.url(),
            database = database.address(),
        );
        let house = Self { dir, _database: database, issuer, listener, base };
        fs::write(house.path("app.password"), "app-password").expect("a password");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("gateway.log")).unwrap_or_default()
    }

    /// Puts down the `n`th set, both policies of which differ from the one before; every fifth has another component.
    fn put(&self, n: u64) {
        let is_odd = n % 2 == 1;
        let phi = if n.is_multiple_of(5) { "demo/phi-next.wasm" } else { "phi.wasm" };
        put(&components().expect("components").join(phi), &self.path("phi.wasm"));
        let text = format!(
            r#"{}
[policies.phi]
plugin = "phi.wasm"
targets = ["postgres"]
allow_unsigned = true
settings = {{ profile = "safe-harbor", columns = ["public.accounts.ssn", "public.set_{n}.x"] }}
[policies.guard]
plugin = "sql-guard.wasm"
targets = ["postgres"]
allow_unsigned = true
mode = "{}"
"#,
            self.base,
            if is_odd { "enforce" } else { "monitor" },
        );
        fs::write(self.path("grille.new"), text).expect("a configuration");
        fs::rename(self.path("grille.new"), self.path("grille.toml")).expect("put it in place");
    }

    async fn start(&self) -> Gateway {
        put(&components().expect("components").join("sql-guard.wasm"), &self.path("sql-guard.wasm"));
        self.put(1);
        let log = File::create(self.path("gateway.log")).expect("a log");
        let child = Command::new(grille().expect("a program"))
            .args(["serve", "--permit-demo-issuer", "--config"])
            .arg(self.path("grille.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut gateway = Gateway(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.listener).is_err() {
            let ended = gateway.0.try_wait().expect("its state").is_some();
            assert!(!ended && Instant::now() < deadline, "the gateway did not start: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    /// Waits until the `n`th set is in force: its settings name it in the log's line about the epoch.
    async fn in_force(&self, epochs_before: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.epochs() <= epochs_before {
            assert!(Instant::now() < deadline, "no swap: {}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn epochs(&self) -> usize {
        self.log().matches("policy epoch ").count()
    }

    async fn open(&self, token: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.listener.port()).user("analyst").dbname("postgres").password(token);
        let opened = timeout(PATIENCE, config.connect(NoTls)).await.expect("in time");
        let (client, connection) = opened.unwrap_or_else(|error| panic!("{error:?}: {}", self.log()));
        tokio::spawn(connection);
        client
    }
}

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// As tools that know their craft do it: beside, then in its place.
fn put(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).expect("copy");
    fs::rename(&beside, to).expect("rename");
}

#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    reads: AtomicU64,
    refused: AtomicU64,
    passed: AtomicU64,
}

/// One session that asks until it is told to stop. Anything but the right answer ends the test.
async fn ask(client: Client, number: usize, load: Arc<Load>) {
    let mut chance = number as u64;
    let read = client.prepare("SELECT aid, abalance, ssn FROM accounts WHERE aid = $1").await.expect("prepares");
    while !load.is_over.load(Ordering::Relaxed) {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let aid = i32::try_from((chance >> 33) % 1_000).expect("small") + 1;
        let row = client.query_one(&read, &[&aid]).await.unwrap_or_else(|error| panic!("session {number}: {error:?}"));
        assert_eq!(row.get::<_, i32>(0), aid);
        // The stricter component shows NULL, the other one what is there; the protected column never shows.
        assert!(row.get::<_, Option<i32>>(1).is_none_or(|balance| balance == aid * 7));
        assert!(row.get::<_, Option<&str>>(2).is_none_or(|ssn| !ssn.contains("clear")), "{:?}", row.get::<_, &str>(2));
        load.reads.fetch_add(1, Ordering::Relaxed);
        if chance >> 33 & 3 == 0 {
            match client.execute("DELETE FROM scratch", &[]).await {
                Ok(0) => load.passed.fetch_add(1, Ordering::Relaxed),
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    load.refused.fetch_add(1, Ordering::Relaxed)
                }
                other => panic!("session {number}: {other:?}"),
            };
        }
        let share = (chance >> 40 & 1_023) as u32;
        sleep(PAUSE * 2 * share / 1_024).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_sessions_notice_nothing_of_two_hundred_swaps() {
    let house = House::build().await;
    let gateway = house.start().await;
    let token = house.issuer.token("analyst").expect("a token");
    let load = Arc::new(Load::default());
    let mut sessions = Vec::new();
    for number in 0..SESSIONS {
        let client = house.open(&token).await;
        sessions.push(tokio::spawn(ask(client, number, Arc::clone(&load))));
    }
    let mut resident = Vec::new();
    let (began, mut took) = (Instant::now(), Vec::new());
    for swap in 2..=SWAPS + 1 {
        let (before, put_at) = (house.epochs(), Instant::now());
        house.put(swap);
        house.in_force(before).await;
        took.push(put_at.elapsed());
        resident.push(resident_kib(gateway.0.id()).expect("its memory"));
        assert!(sessions.iter().all(|session| !session.is_finished()), "a session ended after swap {swap}");
    }
    let lasted = began.elapsed();
    // Each session still answers under the last set.
    let reads = load.reads.load(Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while load.reads.load(Ordering::Relaxed) < reads + SESSIONS as u64 {
        assert!(Instant::now() < deadline, "the load stopped");
        sleep(Duration::from_millis(50)).await;
    }
    load.is_over.store(true, Ordering::Relaxed);
    for session in sessions {
        session.await.expect("no session met anything but the right answers");
    }
    took.sort();
    let (reads, refused, passed) =
        (load.reads.load(Ordering::Relaxed), load.refused.load(Ordering::Relaxed), load.passed.load(Ordering::Relaxed));
    let (early, late) = (resident[resident.len() / 4], resident[resident.len() - 1]);
    println!(
        "{SESSIONS} sessions, {SWAPS} swaps in {lasted:.1?}: saved to in force median {:?}, worst {:?}; {reads} reads, \
         {refused} deletes refused, {passed} passed; resident {early} KiB after 50 swaps, {late} KiB after {SWAPS}",
        took[took.len() / 2],
        took[took.len() - 1],
    );
    assert!(reads > 5 * SESSIONS as u64 && refused > 100 && passed > 100, "{reads} {refused} {passed}");
    assert!(late < early + GROWTH_KIB_MAX, "memory grows: {early} KiB, then {late} KiB");

    drop(gateway);
    each_decision_is_of_one_set(&house);
}

/// What the ledger says: every policy that was asked is exactly what the set of that epoch has under its name.
fn each_decision_is_of_one_set(house: &House) {
    let seal = SealKey::from_file(&house.path("seal.key")).expect("the seal key beside the ledger");
    let mut sets: BTreeMap<u64, BTreeMap<String, PolicyInForce>> = BTreeMap::new();
    let mut decisions = Vec::new();
    for entry in Reader::open(&house.path("ledger"), Some(seal)).expect("a ledger").records().expect("records") {
        let entry = entry.expect("a sound record");
        match entry.record() {
            Some(Record::PolicyChange(change)) => {
                assert!(change.refused.is_none(), "{:?}", change.refused);
                let set = change.policies.iter().map(|(name, policy)| (name.to_string(), policy.clone())).collect();
                sets.insert(change.epoch.0, set);
            }
            Some(Record::Decision(decision)) => decisions.push(decision.decision.as_ref().clone()),
            _ => {}
        }
    }
    assert!(sets.len() as u64 > SWAPS, "{} sets", sets.len());
    let mut epochs_used = std::collections::BTreeSet::new();
    for decision in &decisions {
        let set = &sets[&decision.epoch.0];
        for opinion in &decision.opinions {
            let said = PolicyInForce { plugin: opinion.plugin, settings: opinion.settings, mode: opinion.mode };
            assert_eq!(set.get(&*opinion.policy), Some(&said), "epoch {}", decision.epoch);
        }
        // The guard judges each statement; whoever was asked was asked of the whole set.
        assert!(decision.opinions.iter().any(|opinion| &*opinion.policy == "guard"), "{decision:?}");
        epochs_used.insert(decision.epoch.0);
    }
    println!("{} decisions under {} of {} sets", decisions.len(), epochs_used.len(), sets.len());
    assert!(epochs_used.len() as u64 > SWAPS / 2, "{} sets decided something", epochs_used.len());
}
