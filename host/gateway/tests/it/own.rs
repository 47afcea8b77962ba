//! A ledger in the hands of its owner, without a gateway, and witnesses beside it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use grille_ledger::{Ledger, LedgerConfig, SealKey, SessionOpen, SigningKey};

use crate::house::facts;

/// Runs the real binary where no gateway is.
pub(crate) fn offline(dir: &Path, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
    let output = command.args(words).arg("-c").arg(dir.join("grille.toml")).env_clear().output().unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A folder with a configuration and the ledger that it names.
pub(crate) struct Own {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) signing: SigningKey,
    pub(crate) seal: SealKey,
}

impl Own {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (signing, seal) = (SigningKey::generate().unwrap(), SealKey::generate().unwrap());
        fs::write(dir.path().join("signing.key"), signing.to_text().as_bytes()).unwrap();
        fs::write(dir.path().join("seal.key"), seal.to_text().as_bytes()).unwrap();
        fs::write(dir.path().join("mask.key"), [7; 32]).unwrap();
        let config = r#"version = 1
identity.corp = { issuer = "http://127.0.0.1:1", audience = "grille" }
listeners.pg = { protocol = "postgres", address = "127.0.0.1:0" }
targets.clinic = { protocol = "postgres", address = "127.0.0.1:1", database = "clinic", login = { user = "app" } }
roles.analyst = { groups = ["analysts"], targets = ["clinic"], relations = ["public.*"] }
masking.key = { file = "mask.key" }
ledger = { path = "ledger", signing_key = { file = "signing.key" }, seal_key = { file = "seal.key" } }
"#;
        fs::write(dir.path().join("grille.toml"), config).unwrap();
        Self { dir, signing, seal }
    }

    pub(crate) fn open(&self) -> Ledger {
        let path = self.dir.path().join("ledger");
        Ledger::open(LedgerConfig::new(path, self.signing.clone(), self.seal.clone())).unwrap()
    }

    /// A session in a ledger that is closed again.
    pub(crate) async fn record(&self) -> String {
        let ledger = self.open();
        let facts = facts("ann");
        ledger.session(SessionOpen::new(&facts)).unwrap().close("terminate").unwrap();
        ledger.shutdown().await.unwrap();
        facts.id.to_string()
    }

    pub(crate) fn run(&self, words: &[&str]) -> (i32, String) {
        offline(self.dir.path(), words)
    }
}

/// Ends a child whatever happens.
pub(crate) struct Watching(std::process::Child);

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A witness of this log as a process: its address and the file with its key.
pub(crate) fn watch(dir: &Path, log: &Path, name: &str) -> (Watching, String, std::path::PathBuf) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
    let named = format!("witness.example/{name}");
    command.args(["witness", "--name", &named, "--listen", "127.0.0.1:0", "--key"]);
    command.arg(dir.join(format!("{name}.key"))).arg("--state").arg(dir.join(name)).arg("--log").arg(log);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let key = dir.join(format!("{name}.vkey"));
    fs::write(&key, lines.next().unwrap()).unwrap();
    let url = lines.next().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    (Watching(child), url, key)
}
