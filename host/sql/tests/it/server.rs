//! A private PostgreSQL for the tests of this crate: started once, stopped at the end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use grille_sql::{Catalog, catalog};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

pub(crate) struct Server {
    directory: PathBuf,
    binaries: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let binaries = binaries();
        let directory = std::env::temp_dir().join(format!("grille-sql-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let server = Self { directory, binaries };
        server.give_away();
        let data = server.directory.join("data");
        let data = data.to_str().expect("a readable path");
        server.run("initdb", &["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]);
        let socket = server.directory.to_str().expect("a readable path");
        let options =
            format!("-c listen_addresses= -c unix_socket_directories={socket} -c fsync=off -c max_connections=20");
        server.run("pg_ctl", &["-D", data, "-w", "-t", "60", "-o", &options, "-l", &format!("{socket}/log"), "start"]);
        server
    }

    /// The directory of the socket, as clients name it.
    pub(crate) fn socket(&self) -> &str {
        self.directory.to_str().expect("a readable path")
    }

    pub(crate) async fn connect(&self) -> Client {
        let text = format!("host={} user=postgres dbname=postgres", self.directory.display());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match tokio_postgres::connect(&text, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => {
                    assert!(Instant::now() < deadline, "the server does not answer: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(self.binaries.join(program));
            command
        } else {
            Command::new(self.binaries.join(program))
        };
        let output = command
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `initdb` refuses root.
    fn give_away(&self) {
        if is_root() {
            let status = Command::new("chown").arg("postgres:postgres").arg(&self.directory).status().expect("chown");
            assert!(status.success(), "chown {}", self.directory.display());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.directory.join("data");
        self.run("pg_ctl", &["-D", data.to_str().unwrap_or_default(), "-m", "immediate", "-w", "stop"]);
        std::fs::remove_dir_all(&self.directory).expect("the temporary directory can go");
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.starts_with(b"0")
}

/// PATH first, then Debian's versioned directories.
fn binaries() -> PathBuf {
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .find(|directory| directory.join("initdb").exists());
    let versioned = || {
        let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default();
        found.retain(|directory| Path::new(directory).join("initdb").exists());
        found.sort();
        found.pop()
    };
    on_path.or_else(versioned).expect("PostgreSQL's server programs (Debian: apt-get install postgresql)")
}

pub(crate) async fn rows(client: &Client, text: &str) -> Vec<Vec<Option<String>>> {
    try_rows(client, text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// The rows of a text, all values as text.
pub(crate) async fn try_rows(client: &Client, text: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let messages = client.simple_query(text).await?;
    let rows = messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect();
    Ok(rows)
}

pub(crate) async fn version(client: &Client) -> String {
    rows(client, catalog::VERSION).await.remove(0).remove(0).expect("a version")
}

pub(crate) async fn read_catalog(client: &Client) -> Catalog {
    let version = version(client).await;
    let mut parts = Vec::new();
    for (_, text) in catalog::queries() {
        parts.push(rows(client, text).await);
    }
    Catalog::from_rows(&version, parts).expect("the server's answers make a catalog")
}
