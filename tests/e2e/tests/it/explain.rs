//! Decisions of a real gateway before a real database: explained, run again, and refused where they were altered.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use grille_e2e::{Demo, components, grille};
use grille_ledger::{Reader, Record, SealKey};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::NoTls;

/// A debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ALLOWED: &str = "SELECT state FROM patients ORDER BY id LIMIT 3";
const BOUND: &str = "SELECT state FROM patients WHERE id = $1";
const MASKED: &str = "SELECT ssn FROM patients ORDER BY id LIMIT 2";
const BLOCKED: &str = "DELETE FROM intake_drafts";
const HELD: &str = "UPDATE patients SET reminder_opt_in = true";
const FAILED: &str = "SELECT 4711";

/// A running demo and those who ask it.
struct Scene {
    demo: Demo,
    analyst: String,
    auditor: String,
}

impl Scene {
    fn start() -> Self {
        let demo = Demo::start().expect("starts");
        let (analyst, auditor) = (demo.token("analyst").expect("a token"), demo.token("reviewer").expect("a token"));
        Self { demo, analyst, auditor }
    }

    fn grille(&self, token: &str, words: &[&str]) -> Output {
        let mut command = Command::new(grille().expect("a binary"));
        command.args(words).env("GRILLE_ADMIN", &self.demo.card.admin).env("GRILLE_TOKEN", token);
        command.output().expect("runs")
    }

    /// What an auditor reads; the command has to do it.
    fn read(&self, words: &[&str]) -> String {
        let output = self.grille(&self.auditor, words);
        assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.read(&[words, &["--format", "json"]].concat())).expect("JSON")
    }

    fn psql(&self, statement: &str) -> Command {
        let mut command = Command::new("psql");
        let port = self.demo.card.listeners.pg.port().to_string();
        command.args(["-X", "-A", "-t", "-h", "127.0.0.1", "-p", &port, "-U", "analyst", "-d", "clinic"]);
        command.args(["-c", statement]).env("PGPASSWORD", &self.analyst);
        command
    }

    /// Adds to the configuration and waits until it is in force.
    fn configure(&self, policy: &str, epoch: u32) {
        let config = fs::read_to_string(&self.demo.card.config).expect("a configuration");
        fs::write(&self.demo.card.config, format!("{config}\n{policy}\n")).expect("writes");
        let line = format!("policy epoch {epoch}");
        let log = || self.demo.log().expect("a log");
        wait(|| log().contains(&line), || format!("{line} in {}", log()));
    }

    /// The decision on a text, by the sessions' logs.
    fn decision(&self, statement: &str) -> String {
        let sessions = self.json(&["session", "list"]);
        for session in sessions["sessions"].as_array().expect("a list") {
            let detail = self.json(&["session", "show", session["id"].as_str().expect("an id")]);
            for line in detail["log"].as_array().expect("a list") {
                if line["text"] == statement {
                    return line["decision"].as_str().expect("an id").to_owned();
                }
            }
        }
        panic!("{statement} is in no session");
    }

    /// Explains a decision and runs it again: from the gateway and from the directory.
    fn explained(&self, statement: &str, parts: &[&str]) -> String {
        let id = self.decision(statement);
        let explained = self.read(&["policy", "explain", &id]);
        for part in [&[&*id, "data-analysts", "clinic (postgres)", "sql-guard"][1..], parts].concat() {
            assert!(part == "data-analysts" || explained.contains(part), "{part}: {explained}");
        }
        let again = self.read(&["plugin", "run", "--decision", &id]);
        assert!(again.contains("sql-guard") && !again.contains("another verdict"), "{again}");
        assert!(again.contains("the same verdict"), "{again}");
        let offline = self.grille("", &self.offline(&["plugin", "run", "--decision", &id]));
        assert_eq!((offline.status.code(), text(&offline.stdout)), (Some(0), again), "{}", text(&offline.stderr));
        id
    }

    fn offline<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let ledger = self.demo.card.ledger.to_str().expect("a path");
        let key = Box::leak(self.seal_key().to_string_lossy().into_owned().into_boxed_str());
        [words, &["--ledger", ledger, "--seal-key", key]].concat()
    }

    fn seal_key(&self) -> PathBuf {
        self.demo.card.ledger.with_file_name("seal.key")
    }

    fn refuses(&self, words: &[&str], code: i32, why: &str) {
        let output = self.grille(&self.auditor, words);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(why), "{words:?}: {:?} {said}", output.status);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wait(mut until: impl FnMut() -> bool, what: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !until() {
        assert!(Instant::now() < deadline, "it did not come: {}", what());
        sleep(Duration::from_millis(50));
    }
}

fn probe(name: &str, more: &str) -> String {
    let file = components().expect("components").join("guests/probe.wasm");
    format!("[policies.{name}]\nplugin = {file:?}\ntargets = [\"clinic\"]\nallow_unsigned = true\n{more}")
}

/// Puts something else into a file while something is tried.
fn altered(file: &Path, change: impl FnOnce(&mut Vec<u8>), attempt: impl FnOnce()) {
    let whole = fs::read(file).expect("is there");
    let mut other = whole.clone();
    change(&mut other);
    fs::write(file, other).expect("writes");
    attempt();
    fs::write(file, whole).expect("writes");
}

fn bound(scene: &Scene) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(scene.demo.card.listeners.pg.port()).user("analyst").dbname("clinic");
        let (client, connection) = config.password(&scene.analyst).connect(NoTls).await.expect("connects");
        let driver = tokio::spawn(connection);
        client.query_one(BOUND, &[&7i64]).await.expect("answers");
        drop(client);
        driver.await.expect("joins").expect("ends well");
    });
}

fn held(scene: &Scene) {
    let waiting = scene.psql(HELD).spawn().expect("psql runs");
    let mut request = String::new();
    let pending = || {
        let list = scene.json(&["review", "list"]);
        request = list["reviews"][0]["id"].as_str().unwrap_or_default().to_owned();
        !request.is_empty()
    };
    wait(pending, || "a request".to_owned());
    scene.read(&["review", "approve", &request, "--reason", "agreed"]);
    assert!(waiting.wait_with_output().expect("ends").status.success());
}

#[test]
fn decisions_are_explained_and_run_again() {
    let scene = Scene::start();
    let clocked = r#"mode = "monitor"
roles = ["*", "!dba"]
grants = ["clock"]
settings = { judge = "clock", open = "count-and-allow" }"#;
    scene.configure(&probe("clocked", clocked), 2);
    for statement in [ALLOWED, MASKED, BLOCKED] {
        scene.psql(statement).output().expect("psql runs");
    }
    bound(&scene);
    held(&scene);

    let allowed = scene.explained(ALLOWED, &["verdict      allow", "agreed", "only watched", "outcome      3 rows"]);
    scene.explained(BOUND, &["parameters   $1 = (8 bytes)", "verdict      allow"]);
    scene.explained(MASKED, &[", masked", "masked ssn: redact × 2"]);
    let blocked = scene.explained(
        BLOCKED,
        &["verdict      block, high delete-without-where", "caller read  DELETE from", "decided", "failed with 42501"],
    );
    scene.explained(
        HELD,
        &["verdict      review, UPDATE of", "request      r-", "approved by", "(agreed)", "20000 rows"],
    );
    // What the host answered is recorded, and is what the component gets again.
    let told = scene.read(&["policy", "explain", &blocked]);
    let opening =
        "asked counters.add[\"n\",1,60000] and got {\"err\":\"not-granted\"}, when it was told of the session";
    assert!(told.contains(opening) && told.contains("asked clock.now-ms[] and got {\"ok\":1"), "{told}");

    // Another component on the same inputs.
    let closed = components().expect("components").join("demo/closed.wasm");
    let other = ["plugin", "run", "--decision", &allowed, "--policy", "sql-guard", &closed.to_string_lossy()];
    let output = scene.grille(&scene.auditor, &other);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("another verdict") && said.contains("then  allow") && said.contains("now   block"), "{said}");
    let both = scene.grille(&scene.auditor, &[&other[..], &["--format", "json"]].concat());
    let report: Value = serde_json::from_str(&text(&both.stdout)).expect("JSON");
    assert_eq!((&report["is_same"], &report["policies"][0]["then"]["verdict"]), (&false.into(), &"allow".into()));

    // Who may not, what is not there, and that every look is in the ledger.
    let denied = scene.grille(&scene.analyst, &["policy", "explain", &blocked]);
    assert!(denied.status.code() == Some(1) && text(&denied.stderr).contains("may not see decisions"));
    scene.refuses(&["policy", "explain", "d-0123456789abcdef-0"], 1, "no decision `d-0123456789abcdef-0`");
    scene.refuses(&["plugin", "run", "--decision", &format!("{blocked}9")], 1, "is recorded here");
    scene.refuses(&["plugin", "run", "--decision", &blocked, "--policy", "phi"], 1, "asked were: clocked, sql-guard");
    let seal = || Some(SealKey::from_file(&scene.seal_key()).expect("a key"));
    let reader = Reader::open(&scene.demo.card.ledger, seal()).expect("a ledger");
    let looked = |entry: &grille_ledger::Entry| matches!(entry.record(), Some(Record::Read(read)) if read.action == "decision.show" && read.query.as_deref() == Some(&*blocked));
    assert!(reader.records().expect("records").filter(|entry| looked(entry.as_ref().expect("reads"))).count() >= 3);

    // A policy that fails.
    let failing = "roles = [\"*\", \"!dba\"]\nsettings = { judge = \"trap\" }";
    scene.configure(&probe("failing", failing), 3);
    let refused = scene.psql(FAILED).output().expect("psql runs");
    assert!(text(&refused.stderr).contains("policy \"failing\" failed"), "{}", text(&refused.stderr));
    scene.explained(FAILED, &["caller read  policy \"failing\" failed", "failing: failed, it trapped", "lost"]);

    altered_records_are_refused(&scene, &reader, &blocked);
}

fn altered_records_are_refused(scene: &Scene, reader: &Reader, id: &str) {
    let run = ["plugin", "run", "--decision", id, "--policy", "sql-guard"];
    let detail = scene.json(&["policy", "explain", id]);
    let opinions = detail["decision"]["opinions"].as_array().expect("a list");
    let guard = opinions.iter().find(|opinion| opinion["policy"] == "sql-guard").expect("was asked");
    let kept = |digest: &Value, ending: &str| {
        scene.demo.card.ledger.join(format!("plugins/{}.{ending}", digest.as_str().expect("a digest")))
    };
    let (component, settings) = (kept(&guard["plugin"], "wasm"), kept(&guard["settings"], "json"));
    altered(&component, |bytes| bytes.push(0), || scene.refuses(&run, 3, "is not what its name says"));
    altered(&settings, |bytes| *bytes = b"{}".to_vec(), || scene.refuses(&run, 3, "is not what its name says"));

    let found = |entry: &grille_ledger::Entry| matches!(entry.record(), Some(Record::Decision(decision)) if decision.id.to_string() == id);
    let mut entries = reader.records().expect("records").map(|entry| entry.expect("reads"));
    let place = entries.find(found).expect("the decision").leaf.place;
    let (segment, offset) = place.split_once(':').expect("segment and offset");
    let file = scene.demo.card.ledger.join(format!("wal/{segment:0>8}.wal"));
    let offset: u64 = offset.parse().expect("a number");
    // In place: the gateway goes on writing behind it.
    let flip = || {
        let file = OpenOptions::new().read(true).write(true).open(&file).expect("opens");
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset + 60).expect("reads");
        file.write_all_at(&[byte[0] ^ 1], offset + 60).expect("writes");
    };
    flip();
    scene.refuses(&run, 3, "is damaged");
    scene.refuses(&["policy", "explain", id], 3, "is damaged");
    let offline = scene.grille("", &scene.offline(&run));
    assert!(offline.status.code() == Some(3) && text(&offline.stderr).contains("is damaged"));
    flip();
    scene.read(&run);
}
