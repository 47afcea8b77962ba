//! Evidence by citation: counted over the whole period, shown by samples that the bundle proves, honest about the rest.

use std::borrow::Cow;

use grille_ledger::{Denied, ExportOptions, Held, Period, Reader, Record, Warning};
use serde_json::Value;

use crate::scene::{Files, Scene, take_apart};
use crate::support::facts;

const DAY: u64 = 86_400_000_000;

fn export(scene: &Scene, from: u64, to: u64, at: u64) -> Files {
    let reader = Reader::open(&scene.ledger(), Some(scene.keys.seal.clone())).unwrap();
    let key = scene.keys.signing.verifier_key("grille/test").unwrap();
    let options = ExportOptions { signing_key: &scene.keys.signing, with_contents: false, by: "Ada", at };
    let period = Period { name: "2026-Q3".to_owned(), from, to };
    let selection = reader.select_period(period, &key).unwrap();
    assert!(!selection.is_empty(), "a period without a record tells just that");
    let mut tar = Vec::new();
    selection.write(&options, &mut tar).unwrap();
    take_apart(&tar)
}

fn cited<'a>(evidence: &'a Value, citation: &str) -> &'a Value {
    let found = evidence["citations"].as_array().unwrap().iter().find(|one| one["citation"] == citation);
    found.unwrap_or_else(|| panic!("{citation}"))
}

fn count(citation: &Value, what: &str) -> u64 {
    let artefacts = citation["artefacts"].as_array().unwrap().iter();
    let found = artefacts.filter(|one| one["what"].as_str().unwrap().contains(what)).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{what}: {citation:#}");
    found[0]["count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_period_is_told_by_citation_with_counts_samples_and_gaps() {
    let scene = Scene::begin().await;
    let ledger = scene.keys.open(&scene.ledger());
    let denied = Denied {
        listener: "pg".into(),
        peer: "10.0.0.9:5".into(),
        target: None,
        subject: None,
        code: "28P01".into(),
        reason: Cow::Borrowed("the token is not of a known issuer"),
    };
    ledger.admin(&Record::Denied(denied)).unwrap();
    ledger.shutdown().await.unwrap();

    let files = export(&scene, 0, u64::MAX / 2, 1_795_000_000_000_000);
    let evidence: Value = serde_json::from_slice(&files["hipaa.json"]).unwrap();
    let access = cited(&evidence, "164.312(a)(1)");
    assert_eq!((count(access, "sessions, each"), count(access, "refused")), (26, 0), "{access:#}");
    assert_eq!(count(cited(&evidence, "164.312(a)(2)(i)"), "distinct people"), 26);
    assert_eq!(count(cited(&evidence, "164.308(a)(5)(ii)(C)"), "turned away"), 1);
    let audit = cited(&evidence, "164.312(b)");
    assert_eq!((count(audit, "operations allowed"), count(audit, "exports")), (78, 1), "{audit:#}");
    assert_eq!(count(cited(&evidence, "164.502(b)"), "values masked"), 42);
    // Honest: what is not there is said, and what no record can show.
    let gaps = |citation: &str| cited(&evidence, citation)["gaps"].to_string();
    assert!(gaps("164.312(a)(2)(iii)").contains("none in this period: sessions ended for idling"));
    assert!(gaps("164.312(a)(2)(ii)").contains("no break-glass grant of its own"));
    assert!(gaps("164.312(e)(1), (2)").contains("to be explained: 26 sessions without TLS"));
    let undisturbed = gaps("164.312(c)(1), (2)");
    assert!(!undisturbed.contains("none in this period") && !undisturbed.contains("to be explained"), "{undisturbed}");
    assert!(gaps("164.308(b)").contains("no record of it stands for a contract"));
    for (name, file) in files.iter().filter(|(name, _)| name.starts_with("hipaa.")) {
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(text.contains("no certification") || name.ends_with(".csv"), "{name}");
        for word in ["compliant", "certified", "guarantee"] {
            assert!(!text.to_lowercase().contains(word), "{name}: {word}");
        }
    }
    let page = String::from_utf8(files["hipaa.html"].clone()).unwrap();
    assert!(page.contains("164.316(b)(1), (2)(i)") && page.contains("the token is not of a known issuer"), "{page}");
    let table = String::from_utf8(files["hipaa.csv"].clone()).unwrap();
    assert!(
        table
            .lines()
            .all(|line| line.starts_with("164.") || line.starts_with("\"164.") || line.starts_with("citation,"))
    );

    // Every sample is a record of the bundle, which both verifiers prove.
    let mut records = std::collections::BTreeSet::new();
    for (name, part) in files.iter().filter(|(name, _)| name.ends_with(".ndjson")) {
        for line in String::from_utf8(part.clone()).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            assert!(records.insert(row["index"].as_u64().unwrap()), "{name}");
        }
    }
    let samples: Vec<u64> = evidence["citations"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|one| one["samples"].as_array().unwrap())
        .map(|sample| sample["record"].as_u64().unwrap())
        .collect();
    assert!(samples.len() > 30 && samples.iter().all(|sample| records.contains(sample)), "{samples:?} {records:?}");
    let Some((code, said)) = scene.judge(&files, None) else { return };
    assert_eq!(code, 0, "{said:#}");
    assert!(said["sessions"].as_u64().unwrap() < 12, "samples, not everything: {said:#}");
}

#[tokio::test]
async fn what_was_destroyed_on_purpose_or_kept_from_it_is_told_with_person_and_reason() {
    let scene = Scene::begin().await;
    let ledger = scene.keys.open(&scene.ledger());
    let (by, session) = (facts(1).subject, facts(3).id);
    ledger.hold(Held::Subject("user-7".to_owned()), &by, "case 4711").unwrap();
    ledger.shred(session, &by, "retention is over", true).await.unwrap();
    let message = "targets.work.login: the login is a superuser".into();
    ledger.admin(&Record::Warning(Warning { message })).unwrap();
    ledger.shutdown().await.unwrap();

    let files = export(&scene, 0, u64::MAX / 2, 1_795_000_000_000_000);
    let evidence: Value = serde_json::from_slice(&files["hipaa.json"]).unwrap();
    let encryption = cited(&evidence, "164.312(a)(2)(iv)");
    assert_eq!(count(encryption, "destroyed on purpose"), 1, "{encryption:#}");
    assert!(count(encryption, "key was destroyed") > 1, "{encryption:#}");
    let documents = cited(&evidence, "164.316(b)(1), (2)(i)");
    assert_eq!(count(documents, "legal holds that"), 1);
    let class = |what: &str| count(documents, &format!("kept 2196 days (ledger): {what}"));
    let of =
        ["sessions of the period", "of these under", "destroyed in the period before", "destroyed in the period at"];
    assert_eq!(of.map(class), [25, 1, 1, 0], "{documents:#}");
    let early = documents["gaps"].to_string();
    assert!(early.contains("to be explained: 1 kept 2196 days (ledger) destroyed before"), "{early}");
    let integrity = cited(&evidence, "164.312(c)(1), (2)");
    assert!(integrity["gaps"].to_string().contains("to be explained: 1 sessions whose contents"), "{integrity:#}");
    let access = cited(&evidence, "164.312(a)(1)");
    assert!(access["gaps"].to_string().contains("to be explained: 1 warnings of logins"), "{access:#}");
    let page = String::from_utf8(files["hipaa.html"].clone()).unwrap();
    for told in ["retention is over", "case 4711", "the login is a superuser"] {
        assert!(page.contains(told), "{told}");
    }
    let Some((code, said)) = scene.judge(&files, None) else { return };
    assert_eq!(code, 0, "what is gone was proven to have been there: {said:#}");
}

#[tokio::test]
async fn a_period_that_the_log_does_not_cover_says_so() {
    let scene = Scene::begin().await;
    let files = export(&scene, 0, DAY, 2 * DAY);
    let evidence: Value = serde_json::from_slice(&files["hipaa.json"]).unwrap();
    assert_eq!(evidence["gaps"], serde_json::json!(["the log holds nothing of this period"]));
    assert_eq!(count(cited(&evidence, "164.312(b)"), "sessions recorded"), 0);
    assert!(!files.keys().any(|name| name.starts_with("sessions/")), "{:?}", files.keys());
    let Some((code, said)) = scene.judge(&files, None) else { return };
    assert_eq!(code, 0, "{said:#}");

    // A period to come, and what was recorded before it.
    let files = export(&scene, u64::MAX / 4, u64::MAX / 2, 1_795_000_000_000_000);
    let evidence: Value = serde_json::from_slice(&files["hipaa.json"]).unwrap();
    assert_eq!(count(cited(&evidence, "164.312(b)"), "sessions recorded"), 0);
    let gaps = evidence["gaps"].to_string();
    assert!(gaps.contains("holds nothing of this period") && gaps.contains("the period is not over"), "{gaps}");

    // Half of it is before the log began, and it is not over.
    let files = export(&scene, DAY, u64::MAX / 2, 1_795_000_000_000_000);
    let evidence: Value = serde_json::from_slice(&files["hipaa.json"]).unwrap();
    let gaps = evidence["gaps"].to_string();
    assert!(gaps.contains("after the period did") && gaps.contains("the period is not over"), "{gaps}");
}
