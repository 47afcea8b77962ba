//! Evidence bundles, as the Python verifier that goes along with them judges them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use grille_ledger::{
    By, Direction, ExportOptions, Kept, Ledger, MaskedColumn, Outcome, PolicyChange, PolicyInForce, Read, Reader,
    Record, ReviewEvent, SessionOpen, SessionQuery,
};
use grille_policy::{
    Decision, DecisionId, Digest, Epoch, Mode, RelationName, RelationUse, RequestId, SessionId, Verdict,
    testing::opinion,
};
use serde_json::Value;

use crate::support::{Keys, decision, facts, write_sessions};

/// A log with a policy set, two sessions worth exporting, a review, and noise.
struct Scene {
    dir: tempfile::TempDir,
    keys: Keys,
    sessions: [SessionId; 2],
}

/// A bundle taken apart, so that it can be put together otherwise.
type Files = BTreeMap<String, Vec<u8>>;

impl Scene {
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::generate();
        let ledger = keys.open(&dir.path().join("ledger"));
        let plugin = ledger.keep(Kept::Plugin, b"\0asm guard").unwrap();
        let settings = ledger.keep(Kept::Settings, b"{}").unwrap();
        let policies = [("guard".into(), PolicyInForce { plugin, settings, mode: Mode::Enforce })].into();
        let change = PolicyChange { by: By::Start, epoch: Epoch(1), policies, weakening: Vec::new(), refused: None };
        ledger.admin(&Record::PolicyChange(change)).unwrap();
        write_sessions(&ledger, 0..12, 3);
        let judged = judged(plugin, settings);
        let sessions = [ask(&ledger, 100, &judged, &keys), ask(&ledger, 101, &judged, &keys)];
        write_sessions(&ledger, 200..212, 3);
        let by = facts(1).subject;
        let (by, query) = (Cow::Borrowed(&*by), Some("session=…".into()));
        let read = Read { by, action: "ledger.export".into(), session: None, query };
        ledger.admin(&Record::Read(read)).unwrap();
        ledger.checkpoint().await.unwrap();
        Self { dir, keys, sessions }
    }

    fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    fn export(&self, query: &SessionQuery, with_contents: bool) -> Files {
        let reader = Reader::open(&self.ledger(), Some(self.keys.seal.clone())).unwrap();
        let key = self.keys.signing.verifier_key("grille/test").unwrap();
        let options = ExportOptions {
            signing_key: &self.keys.signing,
            with_contents,
            by: "Ada (user-1 at https://id.example.org)",
            at: 1_795_000_000_000_000,
        };
        let mut tar = Vec::new();
        reader.select(query, &key).unwrap().write(&options, &mut tar).unwrap();
        take_apart(&tar)
    }

    fn both(&self) -> SessionQuery {
        SessionQuery { sessions: self.sessions.to_vec(), ..SessionQuery::default() }
    }

    /// What the verifier says, by its exit code and its JSON.
    fn judge(&self, files: &Files, key: Option<&str>) -> Option<(i32, Value)> {
        let bundle = self.dir.path().join("bundle.tar");
        std::fs::write(&bundle, put_together(files)).unwrap();
        let own = self.keys.signing.verifier_key("grille/test").unwrap().to_string();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier/verify.py");
        let mut command = Command::new(python()?);
        command.arg(script).arg(&bundle).args(["--format", "json"]);
        if key != Some("none") {
            command.args(["--key", key.unwrap_or(&own)]);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap();
        assert!(!text.contains("Traceback"), "{text}");
        Some((code, serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::String(text.into_owned()))))
    }

    /// Damages a bundle; the verifier has to name it, and where.
    #[track_caller]
    fn notices(&self, kind: &str, session: Option<SessionId>, seq: Option<u64>, damage: impl FnOnce(&mut Files)) {
        let mut files = self.export(&self.both(), true);
        let before = files.clone();
        damage(&mut files);
        assert_ne!(files, before, "{kind}: nothing was damaged");
        let Some((code, said)) = self.judge(&files, None) else { return };
        assert_eq!(code, 1, "{kind}: {said}");
        let found = said["damage"].as_array().unwrap().iter().any(|found| {
            found["kind"] == kind
                && session.is_none_or(|session| found["session"] == session.to_string())
                && seq.is_none_or(|seq| found["seq"] == seq)
        });
        assert!(found, "{kind} {session:?} {seq:?}: {said:#}");
    }

    fn part(&self, number: usize, ending: &str) -> String {
        format!("sessions/{}/0000.{ending}", self.sessions[number])
    }
}

fn judged(plugin: Digest, settings: Digest) -> Decision {
    let opinion = grille_policy::Opinion { policy: "guard".into(), plugin, settings, ..opinion(Verdict::Allow) };
    Decision::new(Epoch(1), vec![opinion])
}

/// A session with everything that a report tells: a review, a mask, recorded bytes.
fn ask(ledger: &Ledger, number: u32, judged: &Decision, keys: &Keys) -> SessionId {
    let facts = facts(number);
    let request = RequestId::mint(1, number);
    let mut log = ledger.session(SessionOpen { masked: true, ..SessionOpen::new(&facts) }).unwrap();
    for event in ["requested", "approved"] {
        let envelope = (event == "approved").then(|| approval(request, keys).into());
        let by = Some(Cow::Borrowed(&*facts.subject));
        let event = ReviewEvent { request, event: event.into(), by, reason: Some("agreed".into()), envelope };
        ledger.admin(&Record::Review(event)).unwrap();
    }
    for pair in 0..3 {
        log.record_bytes(Direction::FromCaller, 0, 0, b"Qselect").unwrap();
        let text = format!("select ssn from patients where id = {pair} -- <b>{}", "x".repeat(1500));
        let Record::Decision(record) = decision(facts.id, pair, &text, judged) else { unreachable!() };
        let relation = RelationName { schema: "public".into(), name: "patients".into() };
        let relations = Cow::Owned(vec![RelationUse { relation, access: grille_policy::Access::Read }]);
        let request = (pair == 1).then_some(request);
        log.append(&Record::Decision(grille_ledger::DecisionRecord { relations, request, ..record })).unwrap();
        log.record_bytes(Direction::ToCaller, pair + 1, 1, &b"Dmasked ".repeat(300)).unwrap();
        let masked = vec![MaskedColumn { column: "ssn".into(), treatment: "token(ssn)".into(), count: 7 }];
        let decision = DecisionId { session: facts.id, number: pair };
        log.append(&Record::Outcome(Outcome {
            decision,
            rows: 7,
            bytes: 8,
            duration_us: 9,
            sqlstate: None,
            fault: None,
            message: None,
            masked,
        }))
        .unwrap();
    }
    log.close("terminate").unwrap();
    facts.id
}

fn approval(request: RequestId, keys: &Keys) -> String {
    let kind = "application/vnd.grille.approval.v1+json";
    let payload = format!("{{\"request_id\":\"{request}\",\"verdict\":\"approve\"}}");
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let sig = base64(&keys.signing.sign(signed.as_bytes()));
    let payload = base64(payload.as_bytes());
    format!(
        "{{\"payload\":\"{payload}\",\"payloadType\":\"{kind}\",\"signatures\":[{{\"keyid\":\"k\",\"sig\":\"{sig}\"}}]}}"
    )
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A Python with `cryptography`, or none with a word why.
fn python() -> Option<PathBuf> {
    let venv = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("venv/bin/python");
    let python = std::env::var_os("GRILLE_PYTHON").map(PathBuf::from).unwrap_or(venv);
    let has_it = Command::new(&python).args(["-c", "import cryptography"]).output();
    if has_it.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(std::env::var_os("GRILLE_PYTHON").is_none(), "{} has no cryptography", python.display());
    println!("{} has no cryptography: bundles were not verified (`cargo xtask test` prepares it)", python.display());
    None
}

fn take_apart(tar: &[u8]) -> Files {
    let (mut files, mut at) = (Files::new(), 0);
    while tar[at] != 0 {
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&tar[range]).trim_end_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(at + 124..at + 136), 8).unwrap();
        assert!(files.insert(text(at..at + 100), tar[at + 512..at + 512 + size].to_vec()).is_none());
        at += 512 + size.next_multiple_of(512);
    }
    assert_eq!(tar.len(), at + 1024);
    files
}

/// The least that is a tar file: written anew, not with the code under test.
fn put_together(files: &Files) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o} ", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Changes line `number` of a part, as JSON.
fn edit(files: &mut Files, name: &str, number: usize, change: impl FnOnce(&mut Value)) {
    let text = String::from_utf8(files[name].clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut line: Value = serde_json::from_str(&lines[number]).unwrap();
    change(&mut line);
    lines[number] = line.to_string();
    files.insert(name.to_owned(), (lines.join("\n") + "\n").into_bytes());
}

fn drop_lines(files: &mut Files, name: &str, keep: impl Fn(usize) -> bool) {
    let text = String::from_utf8(files[name].clone()).unwrap();
    let lines = text.lines().enumerate().filter(|(number, _)| keep(*number)).map(|(_, line)| format!("{line}\n"));
    files.insert(name.to_owned(), lines.collect::<String>().into_bytes());
}

/// Replaces a piece of text in a string of JSON.
fn swap(value: &mut Value, from: &str, to: &str) {
    let text = value.as_str().unwrap();
    assert!(text.contains(from), "{from} in {text}");
    *value = text.replacen(from, to, 1).into();
}

#[tokio::test]
async fn an_untouched_bundle_holds_with_and_without_contents() {
    let scene = Scene::begin().await;
    for with_contents in [false, true] {
        let files = scene.export(&scene.both(), with_contents);
        assert_eq!(files.contains_key("keys/contents.json"), with_contents);
        let Some((code, said)) = scene.judge(&files, None) else { return };
        assert_eq!((code, &said["damage"]), (0, &Value::Array(Vec::new())), "{said:#}");
        assert_eq!((&said["sessions"], &said["closed"], &said["approvals"]), (&2.into(), &2.into(), &2.into()));
        assert_eq!(said["texts_opened"], if with_contents { 16 } else { 0 });
        assert_eq!(said["key"], "given");
        let (code, said) = scene.judge(&files, Some("none")).unwrap();
        assert_eq!((code, &said["key"]), (0, &"inside the bundle".into()), "{said}");
    }

    // Nothing but the salt proves this text here.
    let mut files = scene.export(&scene.both(), false);
    edit(&mut files, &scene.part(0, "ndjson"), 0, |row| swap(&mut row["record"], "user-100", "user-007"));
    let (code, said) = scene.judge(&files, None).unwrap();
    let found = said["damage"].as_array().unwrap().iter().any(|found| found["kind"] == "record" && found["seq"] == 0);
    assert!(code == 1 && found, "{said:#}");
}

#[tokio::test]
async fn only_what_was_asked_for_goes_along() {
    let scene = Scene::begin().await;
    let folders = |query: &SessionQuery| {
        let files = scene.export(query, true);
        let keys: Value = serde_json::from_slice(&files["keys/contents.json"]).unwrap();
        let sessions: Vec<SessionId> = keys.as_object().unwrap().keys().map(|id| id.parse().unwrap()).collect();
        let parts = files.keys().filter(|name| name.starts_with("sessions/")).count();
        assert_eq!(parts, 2 * sessions.len());
        sessions
    };
    let query = SessionQuery::default;
    assert_eq!(folders(&SessionQuery { sessions: vec![scene.sessions[1]], ..query() }), [scene.sessions[1]]);
    assert_eq!(folders(&SessionQuery { relation: Some("public.patients".into()), ..query() }), scene.sessions);
    assert_eq!(folders(&SessionQuery { subject: Some("user-100".into()), ..query() }), [scene.sessions[0]]);
    assert_eq!(folders(&SessionQuery { subject: Some("user-7".into()), ..query() }), [facts(7).id]);
    assert_eq!(folders(&SessionQuery { to: Some(1), ..query() }), []);
    assert_eq!(folders(&SessionQuery { relation: Some("mart.patients".into()), ..query() }), []);
    assert_eq!(folders(&query()).len(), 26);
}

#[tokio::test]
async fn the_report_says_who_what_authorised_by_whom_and_what_was_masked() {
    let scene = Scene::begin().await;
    let files = scene.export(&SessionQuery { sessions: vec![scene.sessions[0]], ..SessionQuery::default() }, false);
    let report = String::from_utf8(files["report.html"].clone()).unwrap();
    for part in [
        "Who connected?",
        "Ada (user-100 at https://id.example.org)",
        "select ssn from patients where id = 2 -- &lt;b&gt;",
        "approved, signed",
        "21 values in 1 column.",
        "token(ssn)",
        "Who has looked at these records?",
        "break-before: page",
        "prefers-color-scheme: dark",
    ] {
        assert!(report.contains(part), "{part}");
    }
    for part in ["<script", "http-equiv=\"refresh", "src=", "@import", "<b>x"] {
        assert!(!report.contains(part), "{part}");
    }
    let csv = String::from_utf8(files["report.csv"].clone()).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains("ssn: token(ssn) × 7"), "{csv}");
}

#[tokio::test]
async fn every_mutation_is_named() {
    let scene = Scene::begin().await;
    let [one, two] = scene.sessions;
    let (rows, sealed) = (scene.part(0, "ndjson"), scene.part(0, "sealed"));

    // A byte of a leaf, of sealed contents, of a text that a salt proves, of one that only the key proves.
    scene.notices("altered", Some(one), Some(3), |files| {
        edit(files, &rows, 3, |row| swap(&mut row["leaf"], "\"verdict\":\"allow\"", "\"verdict\":\"block\""));
    });
    scene.notices("contents", Some(one), None, |files| files.get_mut(&sealed).unwrap()[700] ^= 1);
    scene.notices("record", Some(one), Some(0), |files| {
        edit(files, &rows, 0, |row| swap(&mut row["record"], "user-100", "user-007"));
    });
    scene.notices("record", Some(one), Some(1), |files| {
        edit(files, &rows, 1, |row| swap(&mut row["record"], "id = 0", "id = 9"));
    });
    // A record is gone, the end, a whole session; one stands twice.
    scene.notices("missing", Some(one), Some(4), |files| drop_lines(files, &rows, |number| number != 3));
    scene.notices("truncated", Some(one), Some(7), |files| drop_lines(files, &rows, |number| number < 7));
    scene.notices("session-missing", Some(one), None, |files| {
        files.remove(&rows);
        files.remove(&sealed);
    });
    scene.notices("inserted", Some(one), Some(0), |files| {
        let twice = files[&rows].repeat(2);
        files.insert(rows.clone(), twice);
    });
    scene.notices("foreign-session", Some(two), None, |files| {
        let other = files[&scene.part(1, "ndjson")].clone();
        files.insert(rows.clone(), other);
    });
    // Another component under the digest, and none at all.
    scene.notices("plugin", None, None, |files| plugin(files).1.extend(b" of somebody else"));
    scene.notices("plugin", None, None, |files| {
        let name = plugin(files).0.clone();
        files.remove(&name);
    });
    // A reviewer's word.
    scene.notices("approval", None, None, |files| {
        let (_, approval) = files.iter_mut().find(|(name, _)| name.starts_with("approvals/")).unwrap();
        let envelope = String::from_utf8(approval.clone()).unwrap();
        *approval = envelope.replace(&base64(b"{\"request"), &base64(b"{\"REQUEST")).into_bytes();
    });
    scene.notices("approval", None, None, |files| files.retain(|name, _| !name.starts_with("approvals/")));
    // The policy set that a decision names.
    scene.notices("policy", Some(one), None, |files| {
        let text = String::from_utf8(files["node/0000.ndjson"].clone()).unwrap();
        let change = text.lines().position(|line| line.contains("policy.change")).unwrap();
        drop_lines(files, "node/0000.ndjson", |number| number != change);
    });
    // Whatever lies beside the records.
    scene.notices("file", None, None, |files| files.get_mut("report.csv").unwrap().push(b'x'));
    scene.notices("file-added", None, None, |files| drop(files.insert("more.txt".into(), b"x".to_vec())));
    scene.notices("file-missing", None, None, |files| drop(files.remove("report.html")));
    scene.notices("manifest", None, None, |files| drop(files.remove("manifest.json")));
    scene.notices("checkpoint-missing", None, None, |files| drop(files.remove("checkpoint")));
    scene.notices("checkpoint", None, None, |files| {
        let note = String::from_utf8(files["checkpoint"].clone()).unwrap();
        let size = note.lines().nth(1).unwrap().to_owned();
        files.insert("checkpoint".into(), note.replacen(&size, &format!("{size}0"), 1).into_bytes());
    });
}

fn plugin(files: &mut Files) -> (&String, &mut Vec<u8>) {
    files.iter_mut().find(|(name, _)| name.ends_with(".wasm")).unwrap()
}

/// What a thief of the log's name makes is not the log.
#[tokio::test]
async fn other_keys_and_other_logs_are_told_apart() {
    let (scene, other) = (Scene::begin().await, Scene::begin().await);
    let files = scene.export(&scene.both(), false);
    let foreign = other.keys.signing.verifier_key("grille/test").unwrap().to_string();
    let Some((code, said)) = scene.judge(&files, Some(&foreign)) else { return };
    assert_eq!((code, &said["damage"][0]["kind"]), (1, &"foreign-key".into()), "{said}");
    let named = scene.keys.signing.verifier_key("grille/other").unwrap().to_string();
    let (code, said) = scene.judge(&files, Some(&named)).unwrap();
    assert_eq!((code, &said["damage"][0]["kind"]), (1, &"foreign-log".into()), "{said}");
    assert_eq!(scene.judge(&files, Some("no key")).unwrap().0, 2);

    // Records of another log of the same name, and the whole log of another key.
    let theirs = other.export(&other.both(), false);
    let mut mixed = files.clone();
    mixed.extend(theirs.iter().filter(|(name, _)| name.starts_with("sessions/")).map(|(a, b)| (a.clone(), b.clone())));
    let (code, said) = scene.judge(&mixed, None).unwrap();
    assert_eq!(
        (code, &said["damage"].as_array().unwrap().iter().filter(|one| one["kind"] == "altered").count()),
        (1, &16)
    );
    let (code, said) = scene.judge(&theirs, None).unwrap();
    assert_eq!((code, &said["damage"][0]["kind"]), (1, &"foreign-key".into()), "{said}");

    // One of a log with another name, put in the place of one of ours.
    let mut renamed = files;
    edit(&mut renamed, &scene.part(0, "ndjson"), 2, |row| swap(&mut row["leaf"], "grille/test", "grille/else"));
    let (_, said) = scene.judge(&renamed, None).unwrap();
    let found = said["damage"].as_array().unwrap().iter().find(|one| one["kind"] == "foreign-log").unwrap().clone();
    assert_eq!(found["seq"], 2, "{found}");
}

/// What a destroyed key takes away is gone from bundles too; that it happened is still proven.
#[tokio::test]
async fn a_session_whose_key_was_destroyed_is_still_proven() {
    let scene = Scene::begin().await;
    let [shredded, whole] = scene.sessions;
    let reader = Reader::open(&scene.ledger(), None).unwrap();
    let key_id = reader.session(shredded).unwrap().next().unwrap().unwrap().leaf.key_id;
    let row: usize = key_id.split('.').next().unwrap().parse().unwrap();
    let path = scene.ledger().join("keys/00000000.keys");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[row * 128..(row + 1) * 128].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let files = scene.export(&scene.both(), true);
    let report = String::from_utf8(files["report.html"].clone()).unwrap();
    assert!(report.contains("its key was destroyed") && !report.contains("user-100"), "{report}");
    let keys: Value = serde_json::from_slice(&files["keys/contents.json"]).unwrap();
    assert_eq!(keys.as_object().unwrap().keys().collect::<Vec<_>>(), [&whole.to_string()]);
    let Some((code, said)) = scene.judge(&files, None) else { return };
    assert_eq!((code, &said["sessions"], &said["texts_opened"]), (0, &2.into(), &8.into()), "{said:#}");
}

#[tokio::test]
async fn a_session_without_an_end_says_so() {
    let scene = Scene::begin().await;
    let path = scene.ledger().with_file_name("second");
    let ledger = scene.keys.open(&path);
    let open = facts(5);
    let log = ledger.session(SessionOpen::new(&open)).unwrap();
    ledger.checkpoint().await.unwrap();
    let reader = Reader::open(&path, Some(scene.keys.seal.clone())).unwrap();
    let key = scene.keys.signing.verifier_key("grille/test").unwrap();
    let options = ExportOptions { signing_key: &scene.keys.signing, with_contents: true, by: "", at: 0 };
    let mut tar = Vec::new();
    reader.select(&SessionQuery::default(), &key).unwrap().write(&options, &mut tar).unwrap();
    let Some((code, said)) = scene.judge(&take_apart(&tar), None) else { return };
    assert_eq!(code, 0, "{said}");
    let note = said["notes"][0].as_str().unwrap();
    assert!(note.contains("was still open when it was exported"), "{note}");
    drop(log);
}
