//! Evidence bundles, whole and altered, before both verifiers.

use std::path::Path;
use std::process::Command;

use grille_ledger::{
    ExportOptions, Reader, Record, SessionOpen, SessionQuery, ShredRecord, SigningKey, TrustPolicy, VerifyOptions,
    Witness, verify_bundle,
};
use grille_policy::SessionId;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::damage::Harm;
use crate::scene::{Files, Scene, base64, drop_lines, edit, put_together, python, swap, take_apart};
use crate::support::{Keys, facts};

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
    scene.notices("truncated", Some(one), Some(6), |files| drop_lines(files, &rows, |number| number < 7));
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
    scene.notices("moved", Some(one), Some(3), |files| {
        let text = String::from_utf8(files[&rows].clone()).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(3, 4);
        files.insert(rows.clone(), (lines.join("\n") + "\n").into_bytes());
    });
    // Contents that somebody sealed anew, to the same length.
    scene.notices("contents", Some(one), Some(0), |files| {
        let bytes = files.get_mut(&sealed).unwrap();
        bytes[..12].fill(9);
    });
    // Another component under the digest, and none at all.
    scene.notices("plugin", None, Some(1), |files| plugin(files).1.extend(b" of somebody else"));
    scene.notices("plugin", None, Some(1), |files| {
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
    // What nothing signs: the name of the key, and how the envelope is written.
    for (from, to) in
        [("\"keyid\":\"grille", "\"keyid\":\"grilla"), ("{\"payload\"", "{ \"payload\""), ("]}", "],\"x\":1}")]
    {
        scene.notices("manifest", None, None, |files| {
            let envelope = String::from_utf8(files["manifest.json"].clone()).unwrap();
            files.insert("manifest.json".to_owned(), envelope.replacen(from, to, 1).into_bytes());
        });
    }
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

/// The log holds it just so; it is no approval of this gateway's.
#[tokio::test]
async fn an_approval_that_another_key_signed_is_named() {
    let scene = Scene::approved_by(Some(&Keys::generate())).await;
    let Some((code, said)) = scene.judge(&scene.export(&scene.both(), false), None) else { return };
    let first = &said["damage"][0];
    assert_eq!((code, &first["kind"]), (1, &"approval".into()), "{said:#}");
    assert!(first["index"].is_u64() && first["detail"].as_str().unwrap().contains("another key"), "{said:#}");
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

/// The record of its end goes along, and all strangers still say yes.
#[tokio::test]
async fn a_session_that_ended_with_its_retention_is_told_kindly_and_proven() {
    let scene = Scene::begin().await;
    let [ended, _] = scene.sessions;
    let reader = Reader::open(&scene.ledger(), Some(scene.keys.seal.clone())).unwrap();
    let first = reader.session(ended).unwrap().next().unwrap().unwrap();
    let Some(Record::SessionOpen(open)) = first.record() else { panic!("{first:?}") };
    let record = ShredRecord {
        by: None,
        session: ended,
        keys: vec![first.leaf.key_id.clone()],
        reason: "its retention is over".into(),
        retention: open.retention.clone(),
        is_early: false,
    };
    std::fs::write(scene.ledger().join("shredding"), serde_json::to_vec(&[record]).unwrap()).unwrap();
    scene.keys.open(&scene.ledger()).shutdown().await.unwrap();

    let files = scene.export(&scene.both(), true);
    let report = String::from_utf8(files["report.html"].clone()).unwrap();
    let told =
        "at the end of their time of 2196 days (ledger): its retention is over; that it happened is proven as before";
    assert!(report.contains(told) && !report.contains("not the exporter's"), "{report}");
    let table = String::from_utf8(files["report.csv"].clone()).unwrap();
    let kept = table.lines().filter(|line| line.ends_with(",2196 days (ledger)")).count();
    assert!(table.lines().next().unwrap().ends_with(",kept") && kept > 0, "{table}");
    let Some((code, said)) = scene.judge(&files, None) else { return };
    assert_eq!((code, &said["sessions"]), (0, &2.into()), "{said:#}");
    if let Some(said) = crate::go::verify(&scene.ledger()) {
        said.unwrap();
    }
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

/// Whatever is done to a file of a bundle is noticed, and whatever is done to the tar file, nobody panics.
#[tokio::test]
async fn any_harm_to_a_bundle_is_noticed_and_nobody_panics() {
    let scene = Scene::begin().await;
    let files = scene.export(&scene.both(), true);
    let (tar, path) = (put_together(&files), scene.dir.path().join("harmed.tar"));
    let names: Vec<&String> = files.keys().collect();
    let judge = |tar: &[u8]| {
        std::fs::write(&path, tar).unwrap();
        let key = scene.keys.signing.verifier_key("grille/test").unwrap();
        verify_bundle(&path, &mut VerifyOptions { key: Some(key), ..VerifyOptions::default() })
    };
    assert!(judge(&tar).unwrap().damage.is_empty());
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let harm = (any::<prop::sample::Index>(), Harm::any());
    let outcome = runner.run(&harm, |(name, harm)| {
        let mut harmed = files.clone();
        harm.apply(harmed.get_mut(*name.get(&names)).unwrap());
        if harmed != files {
            let told = judge(&put_together(&harmed));
            prop_assert!(told.is_ok_and(|report| !report.damage.is_empty()), "{} {harm:?}", name.get(&names));
        }
        let mut harmed = tar.clone();
        harm.apply(&mut harmed);
        drop(judge(&harmed));
        Ok(())
    });
    outcome.unwrap();
}

/// Both verifiers take the same policies, and refuse the same.
#[tokio::test]
async fn both_verifiers_read_policies_alike() {
    let Some(python) = python() else { return };
    let scene = Scene::begin().await;
    let bundle = scene.dir.path().join("bundle.tar");
    std::fs::write(&bundle, put_together(&scene.export(&scene.both(), false))).unwrap();
    let log = scene.keys.signing.verifier_key("grille/test").unwrap();
    let witness = |name: &str| {
        let (dir, key) = (scene.dir.path(), SigningKey::generate().unwrap());
        Witness::new(dir, name, key, Vec::new()).unwrap().verifier_key().to_string()
    };
    let (one, two) = (witness("w/1"), witness("w/2"));
    for (text, is_policy) in [
        ("quorum none\n".to_owned(), true),
        (format!("# ours\n\nlog {log} https://x\n\twitness a  {one} http://w \nquorum none"), true),
        (format!("witness a {one}\nwitness b {two}\ngroup g any a b\ngroup h 1 g\nquorum h\n"), true),
        (String::new(), false),
        ("quorum x\n".to_owned(), false),
        ("quorum none\nquorum none\n".to_owned(), false),
        ("quorum none\r\n".to_owned(), false),
        (format!("log {one}\nquorum none\n"), false),
        (format!("witness a {log}\nquorum none\n"), false),
        (format!("witness a {one}\nwitness b {one}\nquorum a\n"), false),
        (format!("log {log}\nlog {log}\nquorum none\n"), false),
        (format!("witness a {one}\nwitness a {two}\nquorum a\n"), false),
        (format!("witness none {one}\nquorum none\n"), false),
        (format!("witness a {one}\ngroup g 2 a\nquorum g\n"), false),
        (format!("witness a {one}\ngroup g 0 a\nquorum g\n"), false),
        (format!("witness a {one}\ngroup g all a\ngroup h all a\nquorum g\n"), false),
        (format!("witness a {one}\ngroup g all a a\nquorum g\n"), false),
        (format!("group g all a\nwitness a {one}\nquorum g\n"), false),
        ("monitor a\nquorum none\n".to_owned(), false),
    ] {
        assert_eq!(TrustPolicy::parse(&text).is_ok(), is_policy, "{text:?}");
        let policy = scene.dir.path().join("policy");
        std::fs::write(&policy, &text).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier/verify.py");
        let mut command = Command::new(&python);
        command.arg(script).arg(&bundle).arg("--key").arg(log.to_string()).arg("--policy").arg(policy);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        // A quorum that is not reached is another matter.
        assert_eq!(output.status.code() == Some(2), !is_policy, "{text:?}: {told}");
        assert!(!told.contains("Traceback"), "{told}");
    }
}
