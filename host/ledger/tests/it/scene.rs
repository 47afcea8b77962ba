//! A log worth exporting, and its bundle as both verifiers judge it: ours, and the Python one that shares no code with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use grille_ledger::{
    By, Direction, ExportOptions, Kept, Ledger, MaskedColumn, Outcome, PolicyChange, PolicyInForce, Read, Reader,
    Record, ReviewEvent, SessionOpen, SessionQuery, TrustPolicy, VerifierKey, VerifyOptions, verify_bundle,
};
use grille_policy::{
    Decision, DecisionId, Digest, Epoch, Mode, RelationName, RelationUse, RequestId, SessionId, Verdict,
    testing::opinion,
};
use serde_json::Value;

use crate::support::{Keys, decision, facts, write_sessions};

/// A log with a policy set, two sessions worth exporting, a review, and noise.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) keys: Keys,
    pub(crate) sessions: [SessionId; 2],
}

/// A bundle taken apart, so that it can be put together otherwise.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl Scene {
    pub(crate) async fn begin() -> Self {
        Self::approved_by(None).await
    }

    /// With approvals that another key signed.
    pub(crate) async fn approved_by(other: Option<&Keys>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::generate();
        let approver = other.unwrap_or(&keys);
        let ledger = keys.open(&dir.path().join("ledger"));
        let plugin = ledger.keep(Kept::Plugin, b"\0asm guard").unwrap();
        let settings = ledger.keep(Kept::Settings, b"{}").unwrap();
        let policies = [("guard".into(), PolicyInForce { plugin, settings, mode: Mode::Enforce })].into();
        let change = PolicyChange { by: By::Start, epoch: Epoch(1), policies, weakening: Vec::new(), refused: None };
        ledger.admin(&Record::PolicyChange(change)).unwrap();
        write_sessions(&ledger, 0..12, 3);
        let judged = judged(plugin, settings);
        let sessions = [ask(&ledger, 100, &judged, approver), ask(&ledger, 101, &judged, approver)];
        write_sessions(&ledger, 200..212, 3);
        let by = facts(1).subject;
        let (by, query) = (Cow::Borrowed(&*by), Some("session=…".into()));
        let read = Read { by, action: "ledger.export".into(), session: None, query };
        ledger.admin(&Record::Read(read)).unwrap();
        ledger.checkpoint().await.unwrap();
        Self { dir, keys, sessions }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    pub(crate) fn export(&self, query: &SessionQuery, with_contents: bool) -> Files {
        self.export_of(&Reader::open(&self.ledger(), Some(self.keys.seal.clone())).unwrap(), query, with_contents)
    }

    pub(crate) fn export_of(&self, reader: &Reader, query: &SessionQuery, with_contents: bool) -> Files {
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

    pub(crate) fn both(&self) -> SessionQuery {
        SessionQuery { sessions: self.sessions.to_vec(), ..SessionQuery::default() }
    }

    /// What the verifier says, by its exit code and its JSON. Ours has to name the same damage in the same records.
    #[track_caller]
    pub(crate) fn judge(&self, files: &Files, key: Option<&str>) -> Option<(i32, Value)> {
        self.judge_by(files, key, None)
    }

    /// The same, with the policy of an auditor.
    #[track_caller]
    pub(crate) fn judge_by(&self, files: &Files, key: Option<&str>, policy: Option<&Path>) -> Option<(i32, Value)> {
        let bundle = self.dir.path().join("bundle.tar");
        std::fs::write(&bundle, put_together(files)).unwrap();
        let own = self.keys.signing.verifier_key("grille/test").unwrap().to_string();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier/verify.py");
        let mut command = Command::new(python()?);
        command.arg(script).arg(&bundle).args(["--format", "json"]);
        if key != Some("none") {
            command.args(["--key", key.unwrap_or(&own)]);
        }
        if let Some(policy) = policy {
            command.arg("--policy").arg(policy);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap();
        assert!(!text.contains("Traceback"), "{text}");
        if let Ok(said) = serde_json::from_slice::<Value>(&output.stdout) {
            self.agrees(&bundle, key.filter(|key| *key != "none"), key == Some("none"), policy, &said);
        }
        Some((code, serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::String(text.into_owned()))))
    }

    /// Two verifiers that share no line say the same.
    #[track_caller]
    fn agrees(&self, bundle: &Path, key: Option<&str>, is_untrusted: bool, policy: Option<&Path>, said: &Value) {
        let own = self.keys.signing.verifier_key("grille/test").unwrap();
        let key = key.map_or(own, |key| VerifierKey::from_text(key).unwrap());
        let policy = policy.map(|policy| TrustPolicy::parse(&std::fs::read_to_string(policy).unwrap()).unwrap());
        let key = (!is_untrusted).then_some(key);
        let mut options = VerifyOptions { key, policy: policy.as_ref(), ..VerifyOptions::default() };
        let report = match verify_bundle(bundle, &mut options) {
            Ok(report) => report,
            Err(error) => {
                // A bundle without any checkpoint is none for ours.
                assert_eq!(said["damage"][0]["kind"], "checkpoint-missing", "{error}");
                return;
            }
        };
        let ours: Vec<_> = report
            .damage
            .iter()
            .map(|one| {
                let session = one.session.map(|session| session.to_string());
                serde_json::json!([one.kind.name(), session, one.seq, one.index])
            })
            .collect();
        let theirs = said["damage"].as_array().unwrap().iter();
        let theirs: Vec<_> =
            theirs.map(|one| serde_json::json!([one["kind"], one["session"], one["seq"], one["index"]])).collect();
        let sorted = |mut list: Vec<Value>| {
            list.sort_by_key(Value::to_string);
            list
        };
        assert_eq!(sorted(ours), sorted(theirs), "{report:#?}\n{said:#}");
        let (ours, sound) = (report.damage.is_empty(), &report.sound);
        assert_eq!(said["ok"], ours);
        if ours {
            let told =
                [sound.records, sound.sessions, sound.closed, sound.texts_proven, sound.texts_opened, sound.approvals];
            let names = ["records", "sessions", "closed", "texts_proven", "texts_opened", "approvals"];
            for (name, told) in names.iter().zip(told) {
                assert_eq!(said[name], told, "{name}");
            }
            assert_eq!(said["notes"].as_array().unwrap().len(), sound.notes.len(), "{said:#} {sound:?}");
        }
    }

    /// Damages a bundle; the verifier has to name it, and where.
    #[track_caller]
    pub(crate) fn notices(
        &self,
        kind: &str,
        session: Option<SessionId>,
        seq: Option<u64>,
        damage: impl FnOnce(&mut Files),
    ) {
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
        // Whatever belongs to a record names it by index and time, and the first one first.
        let of_files = ["file", "file-added", "file-missing", "manifest", "checkpoint", "checkpoint-missing"];
        let first = &said["damage"][0];
        if !of_files.contains(&kind) {
            assert!(first["index"].is_u64() && first["time"].is_string(), "{kind}: {said:#}");
        }
        if let Some(seq) = seq {
            assert_eq!((&first["kind"], &first["seq"]), (&kind.into(), &seq.into()), "{said:#}");
        }
    }

    pub(crate) fn part(&self, number: usize, ending: &str) -> String {
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

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A Python with `cryptography`, or none with a word why.
pub(crate) fn python() -> Option<PathBuf> {
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

pub(crate) fn take_apart(tar: &[u8]) -> Files {
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
pub(crate) fn put_together(files: &Files) -> Vec<u8> {
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
pub(crate) fn edit(files: &mut Files, name: &str, number: usize, change: impl FnOnce(&mut Value)) {
    let text = String::from_utf8(files[name].clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut line: Value = serde_json::from_str(&lines[number]).unwrap();
    change(&mut line);
    lines[number] = line.to_string();
    files.insert(name.to_owned(), (lines.join("\n") + "\n").into_bytes());
}

pub(crate) fn drop_lines(files: &mut Files, name: &str, keep: impl Fn(usize) -> bool) {
    let text = String::from_utf8(files[name].clone()).unwrap();
    let lines = text.lines().enumerate().filter(|(number, _)| keep(*number)).map(|(_, line)| format!("{line}\n"));
    files.insert(name.to_owned(), lines.collect::<String>().into_bytes());
}

/// Replaces a piece of text in a string of JSON.
pub(crate) fn swap(value: &mut Value, from: &str, to: &str) {
    let text = value.as_str().unwrap();
    assert!(text.contains(from), "{from} in {text}");
    *value = text.replacen(from, to, 1).into();
}
