//! Evidence from the command line: searched, exported, and each time a record.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use grille_ledger::{Ledger, LedgerConfig, Reader, Record, SealKey, SessionOpen, SigningKey, VerifyOptions, verify};

use crate::house::{House, facts};

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_comes_whole_or_not_at_all() {
    let house = House::open().await;
    let id = house.record_session();
    let path = house.dir.path().join("case.tar");
    let out = path.to_str().unwrap();
    let export = |words: &[&'static str]| [&["ledger", "export", "--out", out], words].concat();
    let said = house.run("audra", &[&export(&[])[..], &["--session", &id]].concat()).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("verify.py") && said.stdout.contains("--key LOG.vkey"), "{}", said.stdout);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let bundle = fs::read(&path).unwrap();
    for name in [&*format!("sessions/{id}/0000.ndjson"), "report.html", "manifest.json", "keys/log.vkey"] {
        assert!(holds(&bundle, name), "{name}");
    }
    assert!(!holds(&bundle, "keys/contents.json"));

    let there = house.run("audra", &[&export(&[])[..], &["--session", &id]].concat()).await;
    assert_eq!((there.code, there.stderr), (2, format!("grille: {out} is there already: name another file\n")));
    fs::remove_file(&path).unwrap();
    for (who, words, code, why) in [
        ("ann", &["--subject", "ann"][..], 1, "ann may not export evidence"),
        ("audra", &["--subject", "nobody"], 1, "no session matches"),
        ("audra", &["--session", "s-zzzz"], 1, "no session `s-zzzz`"),
        ("audra", &[], 2, "what is to be exported?"),
        ("audra", &["--from", "yesterday"], 2, "is no time"),
    ] {
        let said = house.run(who, &export(words)).await;
        assert!(said.code == code && said.stderr.contains(why), "{words:?}: {} {}", said.code, said.stderr);
        assert_eq!(fs::read_dir(house.dir.path()).unwrap().count(), 1, "{words:?}: only the ledger is left");
    }
    let said = house.run("audra", &export(&["--relation", "patients", "--to", "2100-01-01", "--with-contents"])).await;
    assert!(said.code == 1 && said.stderr.contains("no session matches"), "that names no relation: {}", said.stderr);
    let acts = house.acts();
    assert!(acts.iter().filter(|act| *act == "audra ledger.export").count() >= 3, "{acts:?}");
    assert!(acts.contains(&"ann refused".to_owned()), "{acts:?}");
}

/// Whether a tar file has a file of this name: its headers stand at whole blocks.
fn holds(tar: &[u8], name: &str) -> bool {
    tar.chunks(512).any(|block| block.starts_with(format!("{name}\0").as_bytes()))
}

/// Runs the real binary where no gateway is.
fn offline(dir: &Path, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
    let output = command.args(words).arg("-c").arg(dir.join("grille.toml")).env_clear().output().unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A folder with a configuration and the ledger that it names.
struct Own {
    dir: tempfile::TempDir,
    signing: SigningKey,
    seal: SealKey,
}

impl Own {
    fn new() -> Self {
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

    fn open(&self) -> Ledger {
        let path = self.dir.path().join("ledger");
        Ledger::open(LedgerConfig::new(path, self.signing.clone(), self.seal.clone())).unwrap()
    }

    /// A session in a ledger that is closed again.
    async fn record(&self) -> String {
        let ledger = self.open();
        let facts = facts("ann");
        ledger.session(SessionOpen::new(&facts)).unwrap().close("terminate").unwrap();
        ledger.shutdown().await.unwrap();
        facts.id.to_string()
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        offline(self.dir.path(), words)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_its_owner_exports_and_that_is_a_record_too() {
    let own = Own::new();
    let path = own.dir.path().join("case.tar");
    let export =
        |id: &str| own.run(&["ledger", "export", "--offline", "--session", id, "--out", path.to_str().unwrap()]);
    let (code, said) = export("s-0123456789abcdef");
    assert!(code == 3 && said.contains("there is no ledger at"), "{said}");
    let id = own.record().await;
    let (code, said) = export(&id);
    assert_eq!(code, 0, "{said}");
    let bundle = fs::read(&path).unwrap();
    assert!(bundle.windows(id.len()).any(|bytes| bytes == id.as_bytes()));
    fs::remove_file(&path).unwrap();
    let (code, said) = export("s-zzzzzzzzzzzzzzzz");
    assert!(code == 1 && said.contains("no session matches"), "{said}");

    let ledger = own.open();
    let (code, said) = export(&id);
    assert!(code == 3 && said.contains("another process writes the ledger"), "{said}");
    drop(ledger);
    let reader = Reader::open(&own.dir.path().join("ledger"), Some(own.seal.clone())).unwrap();
    let looks = reader.records().unwrap().filter_map(|entry| match entry.unwrap().record() {
        Some(Record::Read(read)) => Some((read.by.name.to_string(), read.action.to_string(), read.query.clone())),
        _ => None,
    });
    let looks: Vec<_> = looks.collect();
    assert_eq!(looks.len(), 2, "{looks:?}");
    assert!(looks[0].0.starts_with("the local user uid ") && looks[0].1 == "ledger.export", "{looks:?}");
    assert_eq!(looks[0].2.as_deref(), Some(&*format!("session={id}")));
    assert!(verify(&own.dir.path().join("ledger"), &mut VerifyOptions::default()).is_ok());
}
