//! Closed segments go to the archive, and what happens while they cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grille_archive::Archive;
use grille_ledger::{
    DamageKind, Ledger, LedgerConfig, OpenError, SessionOpen, Shipped, Shipping, SigningKey, TrustPolicy, Unwritable,
    VerifierKey, VerifyError, VerifyOptions, VerifyReport, Witness, WitnessAnswer, is_archived, verify_archived,
    witness_request,
};
use tokio::time::Instant;

use crate::load::is_sound;
use crate::support::{Keys, facts, outcome, write_sessions};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(keys: &Keys, path: &Path, archive: &Path, goes_on: bool) -> LedgerConfig {
    let archive = Archive::folder(archive).unwrap();
    let shipping = Some(Shipping { archive, queue_bytes: 200_000, goes_on });
    LedgerConfig { segment_bytes: 60_000, shipping, ..keys.config(path) }
}

#[track_caller]
fn wait(ledger: &Ledger, what: &str, is_so: impl Fn(&Shipped) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ledger.status().archive.is_some_and(|archive| is_so(&archive)) {
        assert!(Instant::now() < deadline, "{what}: {:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "wal")).collect()
}

#[tokio::test]
async fn closed_segments_and_checkpoints_are_in_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let mut sessions = 0;
    for _ in 0..2 {
        // Whoever writes faster than the archive takes it must not be refused here.
        let ledger = Ledger::open(config(&keys, &path, &archive, true)).unwrap();
        write_sessions(&ledger, sessions..sessions + 20, 10);
        sessions += 20;
        ledger.checkpoint().await.unwrap();
        wait(&ledger, "all is shipped", |archive| archive.segments_waiting == 0 && archive.anchored > 0);
        ledger.shutdown().await.unwrap();
    }
    let shipped = segments(&archive.join("grille/test/wal"));
    assert!(shipped.len() > 3, "{shipped:?}");
    for (own, copy) in segments(&path.join("wal")).iter().zip(&shipped) {
        assert_eq!(fs::read(own).unwrap(), fs::read(copy).unwrap(), "{}", own.display());
    }
    let notes = files(&archive.join("grille/test/checkpoint"));
    let note = fs::read_to_string(notes.last().unwrap()).unwrap();
    assert!(note.starts_with("grille/test\n"), "{note}");
    assert!(!archive.join("grille/test/keys").exists(), "what is destroyed here is destroyed there");
    assert_eq!(is_sound(&path).unsigned, 0);
}

#[tokio::test]
async fn an_archive_that_is_away_stops_new_work_at_the_cap_and_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let ledger = Ledger::open(config(&keys, &path, &archive, false)).unwrap();
    let away = dir.path().join("away");
    fs::rename(&archive, &away).unwrap();
    fs::write(&archive, "no folder").unwrap();
    let mut under_way = ledger.session(SessionOpen::new(&facts(1_000))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    let refused = loop {
        write_some(&ledger, number);
        number += 1;
        match ledger.session(SessionOpen::new(&facts(2_000 + number))) {
            Ok(session) => session.close("terminate").unwrap(),
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline, "{:?}", ledger.status());
    };
    assert!(matches!(refused, Unwritable::Backlog { limit: 200_000, .. }), "{refused:?}");
    // However fast they came: the segment that went beyond the cap was the last one.
    let wal = segments(&path.join("wal"));
    let closed: u64 = wal[..wal.len() - 1].iter().map(|segment| fs::metadata(segment).unwrap().len()).sum();
    assert!((200_001..=260_000).contains(&closed), "{closed} bytes of closed segments");
    assert!(ledger.status().trouble.unwrap().contains("wait for the archive"));
    // What is under way comes to its end.
    under_way.append(&outcome(facts(1_000).id, 1)).unwrap();
    under_way.close("limit").unwrap();

    fs::remove_file(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    wait(&ledger, "it catches up", |archive| archive.segments_waiting == 0 && archive.trouble.is_none());
    while ledger.session(SessionOpen::new(&facts(3_000))).is_err() {
        assert!(Instant::now() < deadline + PATIENCE, "{:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    ledger.shutdown().await.unwrap();
}

/// Writes while it may.
fn write_some(ledger: &Ledger, number: u32) {
    if let Ok(mut log) = ledger.session(SessionOpen::new(&facts(10_000 + number))) {
        for pair in 0..50 {
            drop(log.append(&outcome(log.id(), pair)));
        }
    }
}

#[tokio::test]
async fn records_go_on_without_the_archive_where_that_is_wanted_and_a_restart_does_not_need_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let settings = config(&keys, &path, &archive, true);
    let ledger = Ledger::open(settings.clone()).unwrap();
    fs::rename(&archive, dir.path().join("away")).unwrap();
    fs::write(&archive, "no folder").unwrap();
    write_sessions(&ledger, 0..60, 20);
    wait(&ledger, "it waits", |archive| archive.bytes_waiting > 200_000 && archive.trouble.is_some());
    write_sessions(&ledger, 60..61, 1);
    ledger.shutdown().await.unwrap();
    drop(ledger);
    let ledger = Ledger::open(settings).unwrap();
    write_sessions(&ledger, 61..62, 1);
    ledger.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_name_in_an_archive_has_one_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, keys) = (dir.path().join("archive"), Keys::generate());
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let ledger = Ledger::open(config(&keys, &first, &archive, true)).unwrap();
    let refused = Ledger::open(config(&keys, &second, &archive, true)).err().unwrap();
    assert!(matches!(refused, OpenError::Claim { .. }), "{refused:?}");
    ledger.shutdown().await.unwrap();
    drop(ledger);

    // A copy of the whole directory has the same claim; its first segment that differs gives it away.
    drop(fs::remove_dir_all(&second));
    assert!(std::process::Command::new("cp").arg("-r").args([&first, &second]).status().unwrap().success());
    let [ledger, copy] = [&first, &second].map(|path| Ledger::open(config(&keys, path, &archive, true)).unwrap());
    write_sessions(&ledger, 0..20, 10);
    ledger.checkpoint().await.unwrap();
    wait(&ledger, "all is shipped", |archive| archive.segments_waiting == 0);
    write_sessions(&copy, 0..20, 10);
    copy.checkpoint().await.unwrap();
    let stopped = tokio::time::timeout(PATIENCE, copy.stopped()).await.unwrap();
    assert!(stopped.to_string().contains("two nodes have one name"), "{stopped}");
    ledger.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_the_archive_holds_verifies_by_itself_and_harm_to_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    for part in 0..3 {
        let ledger = Ledger::open(config(&keys, &path, &archive, true)).unwrap();
        write_sessions(&ledger, part * 20..part * 20 + 20, 10);
        ledger.checkpoint().await.unwrap();
        // What the status counts may be a second old.
        let (closed, shipped) = (segments(&path.join("wal")).len() - 1, archive.join("grille/test/wal"));
        wait(&ledger, "all is shipped", |archive| {
            archive.anchored > 0 && shipped.exists() && segments(&shipped).len() >= closed
        });
        ledger.shutdown().await.unwrap();
    }
    let (whole, key) = (archive.join("grille/test"), keys.signing.verifier_key("grille/test").unwrap());
    let judge = |path: &Path, key: &VerifierKey| {
        assert!(is_archived(path) && !is_archived(&dir.path().join("ledger")));
        let mut options = VerifyOptions { key: Some(key.clone()), ..VerifyOptions::default() };
        verify_archived(path, &mut options).unwrap()
    };
    let VerifyReport::Ok(sound) = judge(&whole, &key) else { panic!("{:?}", judge(&whole, &key)) };
    assert_eq!(sound.origin.as_deref(), Some("grille/test"));
    assert!(sound.is_key_trusted && sound.root.is_some(), "{sound:?}");
    assert!(sound.records > 1_000 && sound.signed == sound.records && sound.unsigned == 0, "each is proven: {sound:?}");
    assert!(sound.ahead > 0, "the segment that is written to is the node's own: {sound:?}");
    let without = verify_archived(&whole, &mut VerifyOptions::default());
    assert!(matches!(without, Err(VerifyError::NoKey { .. })), "an archive vouches for no key: {without:?}");

    let other = SigningKey::generate().unwrap();
    let notes = files(&whole.join("checkpoint"));
    let (wal, note) = (segments(&whole.join("wal")), notes.last().unwrap().file_name().unwrap().to_owned());
    let middle = wal[wal.len() / 2].file_name().unwrap().to_owned();
    type Harm<'a> = &'a dyn Fn(&Path);
    let flip = |file: &Path| {
        let mut bytes = fs::read(file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(file, bytes).unwrap();
    };
    let (last, before) = (wal[wal.len() - 1].clone(), wal[wal.len() - 2].clone());
    let place =
        |path: &Path, own: &Path, ending: &str| path.join("wal").join(own.with_extension(ending).file_name().unwrap());
    let harms: [(&str, Harm<'_>, &[DamageKind]); 11] = [
        (
            "a byte of a segment",
            &|path| flip(&path.join("wal").join(&middle)),
            &[DamageKind::Contents, DamageKind::Frame],
        ),
        ("a segment", &|path| fs::remove_file(path.join("wal").join(&middle)).unwrap(), &[DamageKind::SegmentMissing]),
        ("a note", &|path| flip(&path.join("checkpoint").join(&note)), &[DamageKind::Checkpoint]),
        (
            "a note over another log",
            &|path| {
                let note = over_another_log(&fs::read_to_string(&notes[0]).unwrap(), &keys.signing);
                fs::write(path.join("checkpoint/0"), note).unwrap();
            },
            &[DamageKind::Fork],
        ),
        (
            "the note of a segment",
            &|path| fs::remove_file(place(path, &before, "checkpoint")).unwrap(),
            &[DamageKind::CheckpointMissing],
        ),
        (
            "the note of the last segment",
            &|path| fs::remove_file(place(path, &last, "checkpoint")).unwrap(),
            &[DamageKind::CheckpointMissing],
        ),
        ("a byte of a segment's note", &|path| flip(&place(path, &before, "checkpoint")), &[DamageKind::Checkpoint]),
        (
            "an earlier note in place of a segment's",
            &|path| {
                fs::copy(place(path, &before, "checkpoint"), place(path, &last, "checkpoint")).unwrap();
            },
            &[DamageKind::Inserted],
        ),
        ("the end of the last segment", &|path| cut_a_record(&place(path, &last, "wal")), &[DamageKind::Truncated]),
        (
            "the newest segments without their notes",
            &|path| {
                fs::remove_file(place(path, &last, "wal")).unwrap();
                fs::remove_file(place(path, &before, "wal")).unwrap();
            },
            &[DamageKind::SegmentMissing],
        ),
        (
            "all notes that were published",
            &|path| {
                fs::remove_dir_all(path.join("checkpoint")).unwrap();
                fs::remove_file(place(path, &last, "wal")).unwrap();
                fs::remove_file(place(path, &before, "wal")).unwrap();
            },
            &[DamageKind::SegmentMissing],
        ),
    ];
    for (number, (what, harm, kinds)) in harms.into_iter().enumerate() {
        let copy = dir.path().join(number.to_string());
        assert!(std::process::Command::new("cp").arg("-r").args([&whole, &copy]).status().unwrap().success());
        harm(&copy);
        let report = judge(&copy, &key);
        assert!(matches!(&report, VerifyReport::Damage(damage) if kinds.contains(&damage.kind)), "{what}: {report:?}");
    }
    // An archive that an earlier version began: the notes of its first segments are missing, and later ones prove all of it.
    let copy = dir.path().join("begun earlier");
    assert!(std::process::Command::new("cp").arg("-r").args([&whole, &copy]).status().unwrap().success());
    for own in &wal[..2] {
        fs::remove_file(place(&copy, own, "checkpoint")).unwrap();
    }
    let report = judge(&copy, &key);
    assert!(matches!(&report, VerifyReport::Ok(sound) if sound.unsigned == 0), "{report:?}");
    let VerifyReport::Damage(damage) = judge(&whole, &other.verifier_key("grille/test").unwrap()) else {
        panic!("another key signed nothing here")
    };
    assert_eq!(damage.kind, DamageKind::ForeignKey);
}

/// Takes the last record of a segment away, and not a byte of the one before.
fn cut_a_record(segment: &Path) {
    let bytes = fs::read(segment).unwrap();
    let length = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 64;
    while at + 16 + length(at) < bytes.len() {
        at += 16 + length(at);
    }
    fs::write(segment, &bytes[..at]).unwrap();
}

#[tokio::test]
async fn an_archive_that_was_cut_does_not_meet_a_note_that_somebody_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let ledger = Ledger::open(config(&keys, &path, &archive, true)).unwrap();
    write_sessions(&ledger, 0..40, 10);
    ledger.checkpoint().await.unwrap();
    wait(&ledger, "all is shipped", |archive| archive.segments_waiting == 0 && archive.anchored > 0);
    ledger.shutdown().await.unwrap();
    let whole = archive.join("grille/test");
    let judge = |known: &Path| {
        let key = Some(keys.signing.verifier_key("grille/test").unwrap());
        verify_archived(&whole, &mut VerifyOptions { key, known: vec![known.to_owned()], ..VerifyOptions::default() })
    };
    let wal = segments(&whole.join("wal"));
    let last = wal.last().unwrap();
    let kept = dir.path().join("kept");
    fs::copy(last.with_extension("checkpoint"), &kept).unwrap();
    let report = judge(&kept).unwrap();
    assert!(matches!(&report, VerifyReport::Ok(sound) if sound.signed == sound.records), "{report:?}");
    // The node's own checkpoint covers what the archive does not have yet.
    let published = judge(&path.join("checkpoint")).unwrap();
    let is_short = |report: &VerifyReport, kind| matches!(report, VerifyReport::Damage(damage) if damage.kind == kind);
    assert!(is_short(&published, DamageKind::Truncated), "{published:?}");

    // Segment and note are gone together, and only somebody's note tells.
    fs::remove_file(last).unwrap();
    fs::remove_file(last.with_extension("checkpoint")).unwrap();
    let VerifyReport::Damage(damage) = judge(&kept).unwrap() else { panic!("the end is gone") };
    let proven = first_of(&wal[wal.len() - 1], &path);
    assert_eq!((damage.kind, damage.index), (DamageKind::Truncated, Some(proven)), "{damage:?}");
    assert!(damage.detail.contains("kept") && damage.file.ends_with(last.file_name().unwrap()), "{damage:?}");

    // What an earlier version put there verifies as far as its notes go, and says how far that is.
    for segment in &wal[..wal.len() - 1] {
        fs::remove_file(segment.with_extension("checkpoint")).unwrap();
    }
    let key = Some(keys.signing.verifier_key("grille/test").unwrap());
    let report = verify_archived(&whole, &mut VerifyOptions { key, ..VerifyOptions::default() }).unwrap();
    let VerifyReport::Ok(sound) = report else { panic!("{report:?}") };
    assert_eq!((sound.records, sound.signed + sound.unsigned), (proven, proven), "{sound:?}");
}

#[tokio::test]
async fn what_witnesses_signed_is_in_the_archive_and_nothing_else_stands_there_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let ledger = Ledger::open(config(&keys, &path, &archive, true)).unwrap();
    // What is no note of this log does not go.
    fs::write(path.join("witnessed"), "grille/other\n1\nAAAA\n").unwrap();
    write_sessions(&ledger, 0..40, 10);
    ledger.checkpoint().await.unwrap();
    wait(&ledger, "it says why", |archive| {
        archive.trouble.as_ref().is_some_and(|why| why.contains("witnessed: it is"))
    });

    let log = keys.signing.verifier_key("grille/test").unwrap();
    let witness = Witness::new(dir.path(), "w.example", SigningKey::generate().unwrap(), vec![log.clone()]).unwrap();
    let note = fs::read_to_string(path.join("checkpoint")).unwrap();
    let request = witness_request(&path, 0, &note).unwrap().unwrap();
    let WitnessAnswer::Cosigned(line) = witness.add_checkpoint(&request, 1_795_000_000).unwrap() else {
        panic!("not signed");
    };
    fs::write(path.join("witnessed"), note.clone() + &line).unwrap();
    wait(&ledger, "it goes on", |archive| archive.segments_waiting == 0 && archive.trouble.is_none());
    ledger.shutdown().await.unwrap();

    let text = format!("witness w {}\nquorum w\n", witness.verifier_key());
    let policy = TrustPolicy::parse(&text).unwrap();
    let mut options = VerifyOptions { key: Some(log), policy: Some(&policy), ..VerifyOptions::default() };
    let report = verify_archived(&archive.join("grille/test"), &mut options).unwrap();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let VerifyReport::Ok(sound) = report else { panic!("{report:?}") };
    assert_eq!(sound.witnessed.map(|seen| (seen.size, seen.by)), Some((size, vec!["w".to_owned()])));
}

/// The index of a segment's first record, as its first line in the ledger says.
fn first_of(segment: &Path, ledger: &Path) -> u64 {
    let own = fs::read(ledger.join("wal").join(segment.file_name().unwrap())).unwrap();
    let line = String::from_utf8_lossy(&own[..64]).trim_end().to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Tiles that are not those of the published tree sign nothing.
#[tokio::test]
async fn no_note_of_a_segment_is_signed_that_the_published_tree_does_not_prove() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive, keys) = (dir.path().join("ledger"), dir.path().join("archive"), Keys::generate());
    let ledger = Ledger::open(config(&keys, &path, &archive, true)).unwrap();
    let away = dir.path().join("away");
    fs::rename(&archive, &away).unwrap();
    fs::write(&archive, "no folder").unwrap();
    write_sessions(&ledger, 0..60, 10);
    ledger.checkpoint().await.unwrap();
    let tile = path.join("tile/0/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    fs::write(&tile, &bytes).unwrap();
    fs::remove_file(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    wait(&ledger, "it says why", |archive| archive.trouble.as_ref().is_some_and(|why| why.contains("tiles beside it")));
    assert!(!archive.join("grille/test/wal/00000000.checkpoint").exists());
    bytes[40] ^= 1;
    fs::write(&tile, &bytes).unwrap();
    wait(&ledger, "it goes on", |archive| archive.segments_waiting == 0);
    ledger.shutdown().await.unwrap();
}

/// The same note with another root, signed by the same key.
fn over_another_log(note: &str, key: &SigningKey) -> String {
    let (body, signature) = note.split_once("\n\n").unwrap();
    let (name, signature) = signature.trim_end().rsplit_once(' ').unwrap();
    let id = STANDARD.decode(signature).unwrap()[..4].to_vec();
    let (head, root) = body.rsplit_once('\n').unwrap();
    let mut root = STANDARD.decode(root).unwrap();
    root[0] ^= 1;
    let body = format!("{head}\n{}\n", STANDARD.encode(root));
    let signature = [id, key.sign(body.as_bytes()).to_vec()].concat();
    format!("{body}\n{name} {}\n", STANDARD.encode(signature))
}
