//! A folder with a configuration, and a gateway as a process that serves it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use grille_ledger::{PolicyChange, Reader, Record, SealKey};

use crate::check::component;

/// Long enough for a machine that does other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration, and what it takes to serve it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

pub(crate) struct Served<'a> {
    place: &'a Place,
    child: Child,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::copy(component("phi.wasm"), place.path("phi.wasm")).unwrap();
        // In a folder of its own: a line of the log is no event beside the configuration.
        fs::create_dir(place.path("log")).unwrap();
        place.write(&place.config(PHI));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn config(&self, policies: &str) -> String {
        format!(
            r#"version = 1
identity.corp = {{ issuer = "http://127.0.0.1:1", audience = "grille" }}
listeners.pg = {{ protocol = "postgres", address = "127.0.0.1:0" }}
targets.clinic = {{ protocol = "postgres", address = "127.0.0.1:1", database = "clinic", login = {{ user = "app" }} }}
roles.analyst = {{ groups = ["analysts"], targets = ["clinic"], relations = ["public.*"] }}
{policies}
"#
        )
    }

    pub(crate) fn write(&self, text: &str) {
        // As editors do: another file takes the place of the old one.
        fs::write(self.path("new.toml"), text).unwrap();
        fs::rename(self.path("new.toml"), self.path("grille.toml")).unwrap();
    }

    pub(crate) fn serve(&self) -> Served<'_> {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, words: &[&str]) -> Served<'_> {
        let mut served = Served { place: self, child: self.spawn(words) };
        served.wait_for("listener pg is ready");
        served
    }

    fn spawn(&self, words: &[&str]) -> Child {
        let log = File::create(self.path("log/gateway")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
        command.args(["serve", "--drain", "1", "-c"]).arg(self.path("grille.toml")).args(words);
        command.env_remove("RUST_LOG").stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Expects that it does not start; what it said.
    pub(crate) fn refuses(&self) -> String {
        let status = self.spawn(&[]).wait().unwrap();
        assert_eq!(status.code(), Some(3), "{}", self.log());
        self.log()
    }

    /// Puts a component in the place of a file, in one go.
    pub(crate) fn install(&self, component: &Path, name: &str) {
        let (place, beside) = (self.path(name), self.path(name).with_extension("new"));
        fs::copy(component, &beside).unwrap();
        fs::rename(beside, place).unwrap();
    }

    /// How often the log says it.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log/gateway")).unwrap_or_default()
    }

    /// All changes of policies that the ledger holds.
    pub(crate) fn changes(&self) -> Vec<PolicyChange<'static>> {
        let seal = SealKey::from_file(&self.path("var/seal.key")).unwrap();
        let entries = Reader::open(&self.path("var/ledger"), Some(seal)).unwrap().records().unwrap();
        let records = entries.map(|entry| entry.unwrap().record().cloned());
        records
            .filter_map(|record| match record {
                Some(Record::PolicyChange(change)) => Some(change),
                _ => None,
            })
            .collect()
    }
}

pub(crate) const PHI: &str = r#"
[policies.phi]
plugin = "phi.wasm"
targets = ["clinic"]
allow_unsigned = true
settings = { profile = "safe-harbor" }
"#;

impl Served<'_> {
    pub(crate) fn wait_for(&mut self, what: &str) {
        let deadline = SystemTime::now() + PATIENCE;
        while !self.place.log().contains(what) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && SystemTime::now() < deadline, "no {what:?} in:\n{}", self.place.log());
            sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let deadline = SystemTime::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(SystemTime::now() < deadline, "it does not stop:\n{}", self.place.log());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}
