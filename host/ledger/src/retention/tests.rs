use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grille_policy::{SessionFacts, SessionId, Subject};

use super::Retention;
use crate::{
    AdminAction, AtEnd, Held, Ledger, LedgerConfig, Reader, Record, SealKey, SessionOpen, ShredError, SigningKey,
    VerifyOptions, VerifyReport, verify,
};

const HOUR: u64 = 3_600_000_000;
const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    dir: tempfile::TempDir,
    signing: SigningKey,
    seal: SealKey,
    /// What the clock is ahead by, in hours.
    ahead: u64,
}

impl Scene {
    fn new() -> Self {
        let (signing, seal) = (SigningKey::generate().unwrap(), SealKey::generate().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), signing, seal, ahead: 0 }
    }

    fn open(&self, at_end: AtEnd) -> Ledger {
        let config = LedgerConfig::new(self.dir.path().to_owned(), self.signing.clone(), self.seal.clone());
        let ledger = Ledger::open(LedgerConfig { at_end, retention: DAY * 30, ..config }).unwrap();
        self.set(&ledger);
        ledger
    }

    fn set(&self, ledger: &Ledger) {
        let by = (self.ahead * HOUR).cast_signed();
        ledger.shared().clock.set_by.store(by, Ordering::Release);
    }

    /// The clock goes on, and the log sees each of these steps.
    async fn pass(&mut self, ledger: &Ledger, steps: usize, hours: u64) {
        for _ in 0..steps {
            self.ahead += hours;
            self.set(ledger);
            let by = Cow::Owned(subject(0));
            let act = AdminAction { by, action: "look".into(), object: "x".into(), reason: None };
            ledger.admin(&Record::Admin(act)).unwrap();
        }
        ledger.checkpoint().await.unwrap();
    }

    /// The directory as a crash at this moment leaves it.
    fn crash(&mut self) {
        let left = tempfile::tempdir().unwrap();
        let from = self.dir.path().join(".");
        let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(left.path()).status();
        assert!(copied.unwrap().success());
        self.dir = left;
    }

    fn is_there(&self, number: u32) -> bool {
        let first = self.reader().session(id(number)).unwrap().next().unwrap().unwrap();
        first.record().is_some()
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.path(), Some(self.seal.clone())).unwrap()
    }
}

fn subject(number: u32) -> Subject {
    Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: format!("user-{number}").into(),
        name: "Ada".into(),
        groups: Vec::new(),
        actors: Vec::new(),
        expires_at: u64::MAX,
        claims: "{}".into(),
    }
}

fn id(number: u32) -> SessionId {
    SessionId::mint(1_795_000_000_000, number)
}

fn begin(ledger: &Ledger, number: u32, retention: Option<Retention<'static>>) -> crate::SessionLog {
    let facts = SessionFacts {
        id: id(number),
        subject: Arc::new(subject(number)),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: Vec::new(),
        listener: "pg".into(),
        peer: "127.0.0.1:1".into(),
        client: "psql".into(),
        tls: None,
    };
    ledger.session(SessionOpen { retention, ..SessionOpen::new(&facts) }).unwrap()
}

fn record(ledger: &Ledger, number: u32, days: Option<u32>) {
    let retention = days.map(|days| Retention::of_target("clinic", DAY * days));
    let mut log = begin(ledger, number, retention);
    log.append(&Record::Recording {}).unwrap();
    log.close("terminate").unwrap();
}

async fn end_all(ledger: &Ledger) {
    while ledger.end_retentions().await.unwrap() {}
}

fn is_sound(dir: &Path) -> u64 {
    let report = verify(dir, &mut VerifyOptions::default()).unwrap();
    let VerifyReport::Ok(sound) = report else { panic!("{report:?}") };
    sound.sessions_shredded
}

#[tokio::test]
async fn a_session_ends_with_the_retention_of_its_class_and_not_before() {
    let mut scene = Scene::new();
    let ledger = scene.open(AtEnd::Shred);
    record(&ledger, 1, Some(2));
    record(&ledger, 2, Some(2));
    record(&ledger, 3, None);
    let live = begin(&ledger, 4, Some(Retention::of_target("clinic", DAY)));
    ledger.hold(Held::Subject("user-2".to_owned()), &subject(9), "case 4711").unwrap();
    scene.pass(&ledger, 1, 20).await;
    end_all(&ledger).await;
    assert_eq!((scene.is_there(1), ledger.status().retained.past), (true, 0));

    scene.pass(&ledger, 3, 20).await;
    end_all(&ledger).await;
    assert_eq!([1, 2, 3, 4].map(|number| scene.is_there(number)), [false, true, true, true]);
    let retained = ledger.status().retained;
    assert_eq!((retained.past, retained.destroyed, retained.leapt), (1, 1, 0), "the one that is held is past, too");
    let tombstone = scene.reader().tombstone(id(1)).unwrap().unwrap();
    assert_eq!((tombstone.by, tombstone.is_early), (None, false));
    assert_eq!(tombstone.retention, Some(Retention { class: "targets.clinic".into(), seconds: 2 * 86_400 }));

    // The next start goes on where this one was, and what was open in it ended with it.
    scene.crash();
    drop((live, ledger));
    let taken_in = fs::read(scene.dir.path().join("due/state")).unwrap();
    assert!(taken_in.len() < 2_000, "{}", String::from_utf8_lossy(&taken_in));
    let ledger = scene.open(AtEnd::Shred);
    ledger.release(&Held::Subject("user-2".to_owned()), &subject(9), "closed").unwrap();
    scene.pass(&ledger, 3, 20).await;
    end_all(&ledger).await;
    assert_eq!([1, 2, 3, 4].map(|number| scene.is_there(number)), [false, false, true, false]);
    scene.pass(&ledger, 33, 23).await;
    end_all(&ledger).await;
    assert!(!scene.is_there(3), "the ledger's own class");
    let tombstone = scene.reader().tombstone(id(3)).unwrap().unwrap();
    assert_eq!(tombstone.retention, Some(Retention { class: "ledger".into(), seconds: 30 * 86_400 }));
    assert_eq!(ledger.status().retained.past, 0);
    ledger.shutdown().await.unwrap();
    assert_eq!(is_sound(scene.dir.path()), 4);
}

#[tokio::test]
async fn a_clock_that_leaps_ends_no_retention() {
    let mut scene = Scene::new();
    let ledger = scene.open(AtEnd::Shred);
    record(&ledger, 1, Some(2));
    scene.pass(&ledger, 1, 10 * 366 * 24).await;
    end_all(&ledger).await;
    assert!(scene.is_there(1));
    assert!(ledger.status().retained.leapt > 9 * 366 * 24 * HOUR, "{:?}", ledger.status());
    let kept = ledger.shred(id(1), &subject(9), "over", false).await.unwrap_err();
    assert!(matches!(kept, ShredError::Kept { .. }), "nor by hand: {kept}");
    ledger.shutdown().await.unwrap();
    drop(ledger);

    // Nor does a start ten years later.
    scene.ahead += 10 * 366 * 24;
    let ledger = scene.open(AtEnd::Shred);
    scene.pass(&ledger, 1, 20).await;
    end_all(&ledger).await;
    assert!(scene.is_there(1));
    // What is seen to pass counts from there on.
    scene.pass(&ledger, 4, 20).await;
    end_all(&ledger).await;
    assert!(!scene.is_there(1));
    ledger.shutdown().await.unwrap();
    assert_eq!(is_sound(scene.dir.path()), 1);
}

#[tokio::test]
async fn what_is_kept_is_told_and_the_calendar_is_only_a_cache() {
    let mut scene = Scene::new();
    let ledger = scene.open(AtEnd::Keep);
    (0..600).for_each(|number| record(&ledger, number, Some(1)));
    scene.pass(&ledger, 4, 20).await;
    end_all(&ledger).await;
    assert_eq!((ledger.status().retained.past, scene.is_there(7)), (600, true));
    ledger.shred(id(7), &subject(9), "over", false).await.unwrap();
    end_all(&ledger).await;
    assert_eq!((ledger.status().retained.past, scene.is_there(7)), (599, false));
    let tombstone = scene.reader().tombstone(id(7)).unwrap().unwrap();
    assert!(!tombstone.is_early && tombstone.by.is_some());
    ledger.shutdown().await.unwrap();
    drop(ledger);

    fs::remove_dir_all(scene.dir.path().join("due")).unwrap();
    let ledger = scene.open(AtEnd::Keep);
    end_all(&ledger).await;
    assert_eq!(ledger.status().retained.past, 599);
    ledger.shutdown().await.unwrap();
    drop(ledger);

    // Places that the log does not have.
    let state = scene.dir.path().join("due/state");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replacen("\"segment\":0", "\"segment\":9", 1)).unwrap();
    let ledger = scene.open(AtEnd::Keep);
    end_all(&ledger).await;
    assert_eq!(ledger.status().retained.past, 599);
    ledger.shutdown().await.unwrap();
    drop(ledger);

    // Another log than the one that was taken in.
    let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    text["place"]["index"] = 9.into();
    text["passed"]["last"] = 9.into();
    fs::write(&state, text.to_string()).unwrap();
    let ledger = scene.open(AtEnd::Shred);
    let before = ledger.status().synced;
    end_all(&ledger).await;
    let retained = ledger.status().retained;
    assert_eq!((retained.past, retained.destroyed), (0, 599));
    assert!((0..600).all(|number| !scene.is_there(number)));
    assert!(ledger.status().synced >= before + 599, "each has its record");
    ledger.shutdown().await.unwrap();
    assert_eq!(is_sound(scene.dir.path()), 600);
}
