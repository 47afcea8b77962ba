//! `grille serve` as a process: what it makes, what it follows, what it refuses, how it stops.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use grille_ledger::{PolicyChange, Reader, Record, SealKey};
use grille_net::{ClientTls, ClientTlsMode, dial};

use crate::check::{component, repository};

/// Long enough for a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration, and what it takes to serve it.
struct Place {
    dir: tempfile::TempDir,
}

struct Served<'a> {
    place: &'a Place,
    child: Child,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::copy(component("phi.wasm"), place.path("phi.wasm")).unwrap();
        place.write(&place.config(PHI));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, policies: &str) -> String {
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

    fn write(&self, text: &str) {
        // As editors do: another file takes the place of the old one.
        fs::write(self.path("new.toml"), text).unwrap();
        fs::rename(self.path("new.toml"), self.path("grille.toml")).unwrap();
    }

    fn serve(&self) -> Served<'_> {
        let mut served = Served { place: self, child: self.spawn() };
        served.wait_for("listener pg is ready");
        served
    }

    fn spawn(&self) -> Child {
        let log = File::create(self.path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
        command.args(["serve", "--drain", "1", "-c"]).arg(self.path("grille.toml"));
        command.env_remove("RUST_LOG").stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Expects that it does not start; what it said.
    fn refuses(&self) -> String {
        let status = self.spawn().wait().unwrap();
        assert_eq!(status.code(), Some(3), "{}", self.log());
        self.log()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// All changes of policies that the ledger holds.
    fn changes(&self) -> Vec<PolicyChange<'static>> {
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

const PHI: &str = r#"
[policies.phi]
plugin = "phi.wasm"
targets = ["clinic"]
allow_unsigned = true
settings = { profile = "safe-harbor" }
"#;

impl Served<'_> {
    fn wait_for(&mut self, what: &str) {
        let deadline = SystemTime::now() + PATIENCE;
        while !self.place.log().contains(what) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && SystemTime::now() < deadline, "no {what:?} in:\n{}", self.place.log());
            sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    fn stop(mut self) -> ExitStatus {
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

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_keys_and_later_ones_want_them_back() {
    let place = Place::new();
    assert!(place.serve().stop().success(), "{}", place.log());
    for key in ["var/mask.key", "var/ledger.key", "var/seal.key"] {
        assert_eq!(mode(&place.path(key)), 0o600, "{key}");
        assert!(place.log().contains(&format!("made a new key at {}", place.path(key).display())), "{}", place.log());
    }
    let key = fs::read(place.path("var/ledger.key")).unwrap();
    assert!(place.serve().stop().success(), "{}", place.log());
    assert_eq!(fs::read(place.path("var/ledger.key")).unwrap(), key);
    fs::remove_file(place.path("var/mask.key")).unwrap();
    let said = place.refuses();
    assert!(said.contains("masking.key") && said.contains("mask.key cannot be read"), "{said}");
    assert!(!place.path("var/mask.key").exists());
}

#[test]
fn what_makes_no_gateway_is_refused_at_start() {
    let place = Place::new();
    let good = place.config(PHI);
    for (config, says) in [
        (good.replace("\"grille\"", "\"grille-demo\""), "only `grille demo` may use"),
        (good.replace("phi.wasm", "gone.wasm"), "gone.wasm cannot be read"),
        (good.replace("safe-harbor", "unsafe-harbor"), "policies.phi.settings"),
        (good.replace("allow_unsigned = true", ""), "nothing says which component"),
        (
            good.replace(
                "\"postgres\", address = \"127.0.0.1:0\"",
                "\"postgres\", auth = \"oauthbearer\", address = \"127.0.0.1:0\"",
            ),
            "not built yet",
        ),
        (good.replace("version = 1", "version = 1\nnonsense = 2"), "grille.toml:2:1 nonsense"),
    ] {
        place.write(&config);
        let said = place.refuses();
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn edits_come_into_force_or_change_nothing_and_the_ledger_knows() {
    let place = Place::new();
    let good = place.config(PHI);
    let mut served = place.serve();
    place.write(&good.replace("profile = \"safe-harbor\"", "profile = \"safe-harbor\", inference = \"refuse\""));
    served.wait_for("policy epoch 2");

    place.write("version = 1\n[[[");
    served.wait_for("this is no TOML");
    place.write(&good.replace("phi.wasm", "gone.wasm"));
    served.wait_for("gone.wasm cannot be read");
    fs::remove_file(place.path("phi.wasm")).unwrap();
    place.write(&good);
    served.wait_for("phi.wasm cannot be read");
    fs::copy(repository().join("target/components/phi.wasm"), place.path("phi.wasm")).unwrap();
    served.wait_for("weaker: policy \"phi\" guards masked sessions less strictly");
    place.write(&place.config(""));
    served.wait_for("weaker: policy \"phi\" is gone");
    place.write(&good.replace("127.0.0.1:0", "127.0.0.1:6"));
    served.wait_for("[listeners] takes effect at the next start");
    assert!(served.stop().success(), "{}", place.log());

    let changes = place.changes();
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.epoch.0, change.policies.len(), change.refused.is_some(), change.weakening.len()))
        .collect();
    assert_eq!(
        told,
        [
            (1, 1, false, 0),
            (2, 1, false, 0),
            (2, 1, true, 0),
            (2, 1, true, 0),
            (2, 1, true, 0),
            (3, 1, false, 1),
            (4, 0, false, 1),
            (5, 1, false, 0)
        ],
        "{}",
        place.log()
    );
    let component = changes[0].policies["phi"].plugin;
    assert!(place.path(&format!("var/ledger/plugins/{component}.wasm")).exists());
}

#[tokio::test]
async fn new_certificates_are_shown_without_a_restart() {
    let place = Place::new();
    let issue = || {
        let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = rcgen::CertifiedIssuer::self_signed(root, rcgen::KeyPair::generate().unwrap()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
        fs::write(place.path("root.pem"), root.pem()).unwrap();
        fs::write(place.path("cert.pem"), leaf.pem()).unwrap();
        fs::write(place.path("key.pem"), key.serialize_pem()).unwrap();
    };
    issue();
    let tls = r#"address = "127.0.0.1:0", tls = { cert = "cert.pem", key = { file = "key.pem" } }"#;
    place.write(&place.config(PHI).replace(r#"address = "127.0.0.1:0""#, tls));
    let _served = place.serve();
    let log = place.log();
    let address = log.split("listener pg is ready on ").nth(1).unwrap().split(' ').next().unwrap();
    let greets = async || {
        let client =
            ClientTls::new(ClientTlsMode::VerifyFull, Some(&place.path("root.pem")), &[b"postgresql"]).unwrap();
        let stream = dial(address, PATIENCE).await.unwrap();
        client.connect(stream, "127.0.0.1").await.is_ok()
    };
    assert!(greets().await);
    issue();
    let deadline = SystemTime::now() + PATIENCE;
    while !greets().await {
        assert!(SystemTime::now() < deadline, "{}", place.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_signal_reloads_and_untouched_files_change_nothing() {
    let place = Place::new();
    let mut served = place.serve();
    fs::write(place.path("grille.toml"), place.config(PHI)).unwrap();
    served.signal("HUP");
    sleep(Duration::from_millis(500));
    fs::write(place.path("grille.toml"), "").unwrap();
    served.signal("HUP");
    served.wait_for("reload refused");
    place.write(&place.config(PHI));
    served.wait_for("the files agree again with what is in force");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(place.changes().iter().filter(|change| change.refused.is_none()).count(), 1);
}
