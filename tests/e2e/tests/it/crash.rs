//! kill -9 of the gateway under load: what reached the database is in the ledger, and so is what the caller received.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use grille_demo::cluster::{Cluster, Options};
use grille_demo::issuer::{AUDIENCE, Issuer};
use grille_e2e::grille;
use grille_ledger::{Chunk, Direction, Reader, Record, SealKey};
use grille_test_support::free_address;
use tokio::time::{Instant, sleep};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Each with operations in flight on every connection.
/// 200 in both modes together.
const KILLS: u64 = 100;
/// The log grows, and so does the time to read all of it.
const VERIFY_EVERY: u64 = 10;
const CLIENTS: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(60);
/// What every statement of the load carries, followed by its number.
const MARK: &str = "mark-";

struct House {
    dir: tempfile::TempDir,
    database: Cluster,
    issuer: Issuer,
    listener: SocketAddr,
}

impl House {
    /// With `sync` as it stands in the configuration.
    async fn build(sync: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = dir.path().join("database");
        let database = tokio::task::spawn_blocking(move || {
            let settings = [("log_statement", "all"), ("log_line_prefix", "")];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let cluster = Cluster::start(&home, &Options { port: None, settings }).expect("a cluster");
            cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'app-password'").expect("a role");
            cluster.sql("postgres", "CREATE TABLE seen (mark text)").expect("a table");
            cluster.sql("postgres", "GRANT ALL ON seen TO app").expect("a grant");
            cluster
        })
        .await
        .expect("joins");
        let issuer = Issuer::start().await.expect("an issuer");
        let free = || free_address().expect("a port");
        let (listener, admin) = (free(), free());
        let config = format!(
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
[roles.dba]
groups = ["dbas"]
targets = ["postgres"]
relations = ["*"]
operations = ["*"]
[ledger]
path = "ledger"
sync = "{sync}"
[admin]
address = "{admin}"
"#,
            issuer = issuer.url(),
            database = database.address(),
        );
        fs::write(dir.path().join("grille.toml"), config).expect("a configuration");
        fs::write(dir.path().join("app.password"), "app-password").expect("a password");
        Self { dir, database, issuer, listener }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("gateway.log")).unwrap_or_default()
    }

    async fn start(&self) -> Child {
        let log = File::create(self.path("gateway.log")).expect("a log");
        let mut child = Command::new(grille().expect("a program"))
            .args(["serve", "--permit-demo-issuer", "--config"])
            .arg(self.path("grille.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.listener).is_err() {
            let ended = child.try_wait().expect("its state").is_some();
            assert!(!ended && Instant::now() < deadline, "the gateway did not start: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
        child
    }
}

/// What one round of load counts and learns.
#[derive(Default)]
struct Load {
    next: AtomicU64,
    answered: parking::Answers,
    is_over: AtomicBool,
}

/// Answers of many clients.
mod parking {
    use std::sync::{Mutex, PoisonError};

    #[derive(Default)]
    pub(super) struct Answers(Mutex<Vec<String>>);

    impl Answers {
        pub(super) fn add(&self, answer: &str) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer.to_owned());
        }

        pub(super) fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

/// One connection that asks until it breaks: simple queries, prepared ones, and writes.
async fn ask(listener: SocketAddr, token: String, load: Arc<Load>) {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(listener.port()).user("dba").dbname("postgres").password(token);
    let Ok((client, connection)) = config.connect(NoTls).await else { return };
    let driver = tokio::spawn(connection);
    while !load.is_over.load(Ordering::Relaxed) {
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{MARK}{number}.");
        let answer = match number % 3 {
            0 => client.simple_query(&format!("SELECT '{mark}'")).await.map(|messages| {
                messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                })
            }),
            1 => client.query_one(&format!("SELECT '{mark}'::text, $1::int4"), &[&7i32]).await.map(|row| row.get(0)),
            _ => client
                .query_one(&format!("INSERT INTO seen VALUES ('{mark}') RETURNING mark"), &[])
                .await
                .map(|row| row.get(0)),
        };
        match answer {
            Ok(Some(answer)) => load.answered.add(&answer),
            Ok(None) => panic!("no row for {mark}"),
            Err(_) => break,
        }
    }
    drop(client);
    drop(driver.await);
}

/// All marks in a text or in bytes.
fn marks(bytes: &[u8], found: &mut HashSet<String>) {
    for (start, window) in bytes.windows(MARK.len()).enumerate() {
        if window == MARK.as_bytes() {
            let rest = &bytes[start + MARK.len()..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 && rest.get(digits) == Some(&b'.') {
                found.insert(String::from_utf8_lossy(&bytes[start..start + MARK.len() + digits + 1]).into_owned());
            }
        }
    }
}

#[derive(Default)]
struct Recorded {
    decided: HashSet<String>,
    shown: HashSet<String>,
}

fn recorded(path: &Path, seal: &SealKey) -> Recorded {
    let mut recorded = Recorded::default();
    for entry in Reader::open(path, Some(seal.clone())).expect("a ledger").records().expect("records") {
        let entry = entry.expect("a sound record");
        if let Some(Record::Decision(decision)) = entry.record() {
            marks(decision.text.as_bytes(), &mut recorded.decided);
        }
        for chunk in entry.chunks() {
            if let Chunk::Bytes { direction: Direction::ToCaller, bytes, .. } = chunk {
                marks(bytes, &mut recorded.shown);
            }
        }
    }
    recorded
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_happened_is_missing_after_kill_9() {
    nothing_is_missing_after_kills("interval").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_happened_is_missing_after_kill_9_in_strict_mode() {
    nothing_is_missing_after_kills("strict").await;
}

async fn nothing_is_missing_after_kills(sync: &str) {
    let house = House::build(sync).await;
    let load = Arc::new(Load::default());
    let mut answered: HashSet<String> = HashSet::new();
    for round in 0..KILLS {
        let mut gateway = house.start().await;
        let before = load.next.load(Ordering::Relaxed);
        let token = house.issuer.token("dba").expect("a token");
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(ask(house.listener, token.clone(), Arc::clone(&load)))).collect();
        let deadline = Instant::now() + PATIENCE;
        while load.next.load(Ordering::Relaxed) < before + 10 * CLIENTS {
            assert!(Instant::now() < deadline, "there is no load: {}", house.log());
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(round * 53 % 311)).await;
        gateway.kill().expect("is killed");
        gateway.wait().expect("ends");
        for client in clients {
            client.await.expect("a client that met nothing but a broken connection");
        }
        answered.extend(load.answered.take());
        if round % VERIFY_EVERY != VERIFY_EVERY - 1 {
            continue;
        }
        let verified = Command::new(grille().expect("a program"))
            .args(["ledger", "verify", "--format", "json"])
            .arg(house.path("ledger"))
            .output()
            .expect("runs");
        assert_eq!(verified.status.code(), Some(0), "round {round}: {}", String::from_utf8_lossy(&verified.stdout));
    }
    // One that goes past the gateway, so that we know the comparison can find something.
    let past = format!("{MARK}{}.", u64::MAX);
    house.database.sql("postgres", &format!("SELECT '{past}'")).expect("answers");
    // The database finishes what it was asked before we compare.
    let deadline = Instant::now() + PATIENCE;
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    while house.database.sql("postgres", busy).expect("answers") != "0" {
        assert!(Instant::now() < deadline, "the database does not notice that its callers are gone");
        sleep(Duration::from_millis(50)).await;
    }
    let seal = SealKey::from_file(&house.path("seal.key")).expect("the seal key beside the ledger");
    let recorded = recorded(&house.path("ledger"), &seal);
    let mut reached = HashSet::new();
    marks(&fs::read(house.database.dir().join("postgres.log")).expect("the database's log"), &mut reached);
    assert!(reached.len() > 2000 && answered.len() > 1500, "{} reached, {} answered", reached.len(), answered.len());

    let unrecorded: Vec<_> = reached.difference(&recorded.decided).collect();
    assert_eq!(unrecorded, [&past], "{} statements ran and were not recorded: {unrecorded:?}", unrecorded.len());
    let unseen: Vec<_> = answered.difference(&recorded.shown).collect();
    assert!(unseen.is_empty(), "{} rows were received and are in no recording: {unseen:?}", unseen.len());
    let lost: Vec<_> = answered.difference(&reached).collect();
    assert!(lost.is_empty(), "the database's log is incomplete: {lost:?}");
}
