//! Evidence from the command line: searched, exported, and each time a record.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use grille_ledger::{Ledger, LedgerConfig, Reader, Record, SigningKey, VerifyOptions, verify};
use tokio::time::Instant;

use crate::house::House;
use crate::own::{Own, watch};

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
pub(crate) fn holds(tar: &[u8], name: &str) -> bool {
    tar.chunks(512).any(|block| block.starts_with(format!("{name}\0").as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_found_by_what_they_asked() {
    let house = House::open().await;
    let id = house.record_session();
    let search = async |words: &[&str]| house.run("audra", &[&["session", "search"], words].concat()).await;
    let found = search(&["--text", "SSN from", "--verdict", "allow"]).await;
    assert_eq!(found.code, 0, "{}", found.stderr);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert!(lines[0].starts_with(&id) && lines[0].ends_with(" ann on clinic as analyst"), "{lines:?}");
    assert!(lines.len() == 2 && lines[1].ends_with("allow   select id, ssn from patients"), "{lines:?}");

    let count = async |words: &[&str]| {
        let words = [&["session", "search", "--format", "json"], words].concat();
        house.json("audra", &words).await["sessions"].as_array().unwrap().len()
    };
    let now = "2100-01-01";
    for (words, expected) in [
        (&[][..], 1),
        (&["--limit", "0"], 0),
        (&["--subject", "ann"], 1),
        (&["--subject", "bob"], 0),
        (&["--target", "clinic", "--verdict", "block"], 1),
        (&["--target", "mart"], 0),
        (&["--verdict", "review"], 0),
        // Both of one operation, not of two.
        (&["--text", "ssn", "--verdict", "block"], 0),
        (&["--policy", "fake"], 1),
        (&["--policy", "phi"], 0),
        (&["--from", "2020-01-01", "--to", now], 1),
        (&["--from", now], 0),
        (&["--to", "2020-01-01", "--text", "ssn"], 0),
        (&["--relation", "public.patients"], 0),
        (&["--plugin", "0000"], 1),
        (&["--plugin", "ffff"], 0),
    ] {
        assert_eq!(count(words).await, expected, "{words:?}");
    }
    let nothing = search(&["--subject", "bob"]).await;
    assert_eq!((nothing.code, &*nothing.stderr), (1, "grille: no session matches\n"));
    assert_eq!(search(&["--verdict", "odd"]).await.code, 2);
    let denied = house.run("ann", &["session", "search", "--text", "ssn"]).await;
    assert!(denied.code == 1 && denied.stderr.contains("may not search sessions"), "{}", denied.stderr);
    assert!(house.acts().iter().filter(|act| *act == "audra session.search").count() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_does_not_hang_on_the_index() {
    let house = House::with(async |config| Ledger::open(LedgerConfig { segment_bytes: 4_000, ..config })).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(house.record_session());
        // Here the millisecond tells two ids apart.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let path = house.dir.path().join("ledger");
    let closed = (1..).take_while(|segment| path.join(format!("wal/{segment:08}.wal")).exists()).count();
    let index = path.join("index");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&index).map_or(0, Iterator::count) < closed {
        assert!(Instant::now() < deadline, "{closed} closed segments");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(closed > 5);
    let questions = [
        &["session", "list", "--limit", "5"][..],
        &["session", "list", "--person", "ann"],
        &["session", "show", &ids[0]],
        &["session", "search", "--verdict", "block"],
        &["session", "search", "--text", "SSN from", "--limit", "3"],
        &["session", "search", "--subject", "bob"],
    ];
    let mut answers = Vec::new();
    for words in questions {
        answers.push(house.run("audra", words).await);
    }
    assert!(answers[0].stdout.contains(&ids[11]) && answers[3].stdout.contains(&ids[0]), "{answers:?}");
    fs::remove_dir_all(&index).unwrap();
    for (words, answer) in questions.iter().zip(&answers) {
        assert_eq!(house.run("audra", words).await, *answer, "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_told_in_other_forms_and_from_any_point() {
    let house = House::open().await;
    let id = house.record_session();
    let replay = async |words: &[&str]| {
        let said = house.run("audra", &[&["session", "replay", &id], words].concat()).await;
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.stdout
    };
    let csv = replay(&["--format", "csv"]).await;
    let events: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(events, ["opened", "asked", "ended", "asked", "ended", "closed"], "{csv}");
    assert!(csv.starts_with("at,event,decision,") && csv.contains("ssn: token(ssn) × 2"), "{csv}");
    let cast = replay(&["--format", "asciicast", "--max-wait", "0.5"]).await;
    let lines: Vec<serde_json::Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["version"], 2);
    let shown: String = lines[1..].iter().map(|event| event[2].as_str().unwrap()).collect();
    assert!(shown.contains("  1 | tok-17\r\n") && shown.contains("42501: DELETE without WHERE"), "{shown}");

    // From beyond the end: how it began, and nothing else.
    for at in ["1h", "2100-01-01T00:00:00Z"] {
        let text = replay(&["--at", at]).await;
        assert!(text.starts_with(&format!("-- {id}")) && text.lines().count() == 1, "{text}");
        assert_eq!(replay(&["--at", at, "--format", "csv"]).await.lines().count(), 2);
    }
    assert_eq!(replay(&["--at", "0s"]).await, replay(&[]).await);
    for words in [&["--at", "later"][..], &["--max-wait", "-1"], &["--format", "gif"]] {
        assert_eq!(house.run("audra", &[&["session", "replay", &id], words].concat()).await.code, 2, "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_shown_and_signed_afresh() {
    let house = House::open().await;
    house.record_session();
    let ledger = house.dir.path().join("ledger");
    let ledger = ledger.to_str().unwrap();
    let fresh = house.json("audra", &["ledger", "checkpoint", "--fresh", "--format", "json"]).await;
    let size = fresh["size"].as_u64().unwrap();
    assert!(size >= 7, "{fresh}");
    house.record_session();
    let again = house.json("ops", &["ledger", "checkpoint", "--fresh", "--format", "json"]).await;
    assert!(again["size"].as_u64().unwrap() > size, "{again}");
    let denied = house.run("ann", &["ledger", "checkpoint", "--fresh"]).await;
    assert!(denied.code == 1 && denied.stderr.contains("may not sign checkpoints"), "{}", denied.stderr);
    assert!(house.acts().contains(&"audra ledger.checkpoint".to_owned()));
    let told = house.run("ops", &["ledger", "status"]).await;
    assert!(told.code == 0 && told.stdout.contains("unwitnessed  no witness has signed this log"), "{}", told.stdout);
    let told = house.json("audra", &["ledger", "status", "--format", "json"]).await;
    assert!(
        told["unsigned"]["records"] == 0 && told["unwitnessed"].is_null() && told["unanchored"].is_null(),
        "{told}"
    );

    let shown = house.run("", &["ledger", "checkpoint", ledger]).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let note = again["note"].as_str().unwrap();
    assert!(shown.stdout.ends_with(note) && shown.stdout.contains("log.vkey beside the log"), "{}", shown.stdout);
    let both = house.run("", &["ledger", "checkpoint", "--fresh", ledger]).await;
    assert_eq!(both.code, 2, "{}", both.stderr);
    let nothing = house.run("", &["ledger", "checkpoint", "/nowhere"]).await;
    assert!(nothing.code == 3 && nothing.stderr.contains("/nowhere has no checkpoint"), "{}", nothing.stderr);

    // A log proves what it holds, and that it only grew.
    let beside = |name: &str, text: &str| {
        let path = house.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = beside("old", fresh["note"].as_str().unwrap());
    let prove = async |words: &[&str]| house.run("", &[&["ledger", "prove", ledger], words].concat()).await;
    let record = prove(&["--record", "3"]).await;
    assert_eq!(record.code, 0, "{}", record.stderr);
    assert!(record.stdout.starts_with("OK: record 3 of grille/"), "{}", record.stdout);
    let words = ["ledger", "prove", ledger, "--record", "3", "--checkpoint", &old, "--format", "json"];
    let record = house.json("", &words).await;
    assert_eq!((&record["size"], &record["index"]), (&fresh["size"], &3.into()));
    assert!(record["leaf"].as_str().unwrap().contains("\"kind\":"), "{record}");
    let grown = prove(&["--since", &old]).await;
    assert_eq!(grown.code, 0, "{}", grown.stderr);
    assert!(grown.stdout.contains(&format!("only grew, from {size} to ")), "{}", grown.stdout);

    let new = beside("new", note);
    let foreign = beside("foreign", &note.replacen("grille/", "elsewhere/", 1));
    let forged = beside("forged", &note.replacen(&format!("\n{}\n", again["size"]), "\n9\n", 1));
    let other = SigningKey::generate().unwrap().verifier_key(fresh["origin"].as_str().unwrap()).unwrap();
    let other = beside("other.vkey", &other.to_string());
    for (words, code, why) in [
        (&["--record", "99999"][..], 1, "record 99999 is not under this checkpoint, which covers"),
        (&["--since", &new, "--checkpoint", &old], 1, "the log was cut or replaced"),
        (&["--since", &foreign], 1, "it belongs to another log"),
        (&["--since", &forged], 1, "its signature does not fit its text"),
        (&["--record", "0", "--key", &other], 1, "it is not signed with this key"),
        (&["--record", "0", "--since", &old], 2, "cannot be used with"),
        (&[], 2, "required"),
        (&["--record", "-1"], 2, ""),
    ] {
        let said = prove(words).await;
        assert!(said.code == code && said.stderr.contains(why), "{words:?}: {} {}", said.code, said.stderr);
    }
    let tile = house.dir.path().join("ledger/tile/entries");
    let tile = fs::read_dir(tile.join("000.p"))
        .unwrap()
        .map(|one| one.unwrap().path())
        .max_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap());
    let tile = tile.unwrap();
    let mut bytes = fs::read(&tile).unwrap();
    bytes[20] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let said = prove(&["--record", "0"]).await;
    assert!(said.code == 1 && said.stderr.contains("the published tiles were altered"), "{}", said.stderr);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_log_is_followed_by_another_that_says_so() {
    let own = Own::new();
    let id = own.record().await;
    let recover = |words: &[&str]| own.run(&[&["ledger", "recover"], words].concat());
    let (code, said) = recover(&["--new-epoch", "--reason", "why not"]);
    assert!(code == 1 && said.contains("holds: nothing is wrong with it"), "{said}");
    let wal = own.dir.path().join("ledger/wal/00000000.wal");
    let whole = fs::read(&wal).unwrap();
    fs::write(&wal, &whole[..whole.len() - 700]).unwrap();
    let (code, said) = own.run(&["serve"]);
    assert!(code == 3 && said.contains("`grille ledger recover --new-epoch --reason …`"), "{said}");
    for words in [&["--reason", "x"][..], &["--new-epoch"], &["--new-epoch", "--reason", ""]] {
        assert_eq!(recover(words).0, 2, "{words:?}");
    }
    let (code, said) = recover(&["--new-epoch", "--reason", "a disk was replaced"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("epoch-2") && said.contains("kept in ") && said.contains("were signed"), "{said}");
    assert_eq!(own.run(&["ledger", "verify"]).0, 0);
    let kept = own.dir.path().join("ledger/epochs/1");
    let (code, said) = own.run(&["ledger", "verify", kept.to_str().unwrap()]);
    assert!(code == 1 && said.contains("DAMAGED"), "{said}");

    // What is left of its sessions is exported under its own name and key.
    let (bundle, key) = (own.dir.path().join("case.tar"), kept.join("log.vkey"));
    let words = ["ledger", "export", "--offline", "--session", &id, "--out", bundle.to_str().unwrap()];
    let (code, said) = own.run(&words);
    assert_eq!(code, 0, "{said}");
    let (code, said) = own.run(&["ledger", "verify", bundle.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    let is_old = said.contains("OK: ") && said.contains("log        ") && !said.contains("epoch-2");
    assert!(code == 0 && is_old, "{said}");
    fs::remove_file(&bundle).unwrap();
    let later = own.record().await;
    let (code, said) = own.run(&[&words[..], &["--session", &later]].concat());
    assert!(code == 3 && said.contains("export those of each log apart"), "{said}");

    let reader = Reader::open(&own.dir.path().join("ledger"), Some(own.seal.clone())).unwrap();
    let gap = reader.records().unwrap().find_map(|entry| match entry.unwrap().record() {
        Some(Record::Gap(gap)) => Some(format!("{:?} {}", gap.by, gap.reason)),
        _ => None,
    });
    let gap = gap.unwrap();
    assert!(gap.contains("the local user uid") && gap.contains("a disk was replaced"), "{gap}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_signs_what_only_grows() {
    let own = Own::new();
    own.record().await;
    let dir = own.dir.path();
    let (watching, url, key) = watch(dir, &dir.join("ledger/log.vkey"), "w1");
    let key = key.to_str().unwrap().to_owned();
    let cosign = |url: &str| own.run(&["ledger", "checkpoint", "--cosign", url, "--witness-key", &key]);
    let (code, said) = cosign(&url);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("cosigned  20") && said.contains("\u{2014} witness.example/w1 "), "{said}");
    own.record().await;
    assert_eq!(cosign(&url).0, 0);
    drop(watching);
    let (code, said) = cosign(&url);
    assert!(code == 3 && said.contains("ask http://"), "{said}");

    // A log that was set back is not the one that the witness knows, also after its restart.
    let (_watching, url, _) = watch(dir, &dir.join("ledger/log.vkey"), "w1");
    fs::remove_dir_all(dir.join("ledger")).unwrap();
    own.record().await;
    let (code, said) = cosign(&url);
    assert!(code == 1 && said.contains("the log was cut or replaced"), "{said}");
    for _ in 0..2 {
        own.record().await;
    }
    let (code, said) = cosign(&url);
    assert!(code == 1 && said.contains("FORKED"), "{said}");
    let log_key = dir.join("ledger/log.vkey");
    let words = ["ledger", "checkpoint", "--cosign", &url, "--witness-key", log_key.to_str().unwrap()];
    let (code, said) = own.run(&words);
    assert!(code == 2 && said.contains("is a log's key"), "{said}");
    assert_eq!(own.run(&["ledger", "checkpoint", "--cosign", &url]).0, 2);
}
