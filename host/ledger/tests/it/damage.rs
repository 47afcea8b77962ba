//! Every mutation is named by its first bad record.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use grille_ledger::{Damage, DamageKind, Kept, Ledger, LedgerConfig, Reader, VerifyOptions, VerifyReport, verify};

use crate::support::{Keys, write_sessions};

/// Where a record lies and whose it is.
#[derive(Debug, Clone)]
struct Place {
    segment: u32,
    start: usize,
    end: usize,
    session: grille_policy::SessionId,
    time: u64,
}

struct Log {
    dir: tempfile::TempDir,
    keys: Keys,
    places: Vec<Place>,
}

impl Log {
    /// A small log over several segments and more than one tile, all of it signed.
    async fn write() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::generate();
        for round in 0..2 {
            let config = LedgerConfig { segment_bytes: 100_000, ..keys.config(dir.path()) };
            let ledger = Ledger::open(config).unwrap();
            write_sessions(&ledger, round * 100..round * 100 + 12, 6);
            ledger.shutdown().await.unwrap();
        }
        let mut places: Vec<Place> = Vec::new();
        for entry in Reader::open(dir.path(), None).unwrap().records().unwrap() {
            let leaf = entry.unwrap().leaf;
            let (segment, start) = leaf.place.split_once(':').unwrap();
            let start = start.parse().unwrap();
            if let Some(last) = places.last_mut().filter(|last| last.segment.to_string() == segment) {
                last.end = start;
            }
            let segment: u32 = segment.parse().unwrap();
            let end = usize::try_from(fs::metadata(wal(dir.path(), segment)).unwrap().len()).unwrap();
            places.push(Place { segment, start, end, session: leaf.sid, time: leaf.log_time });
        }
        assert!(places.len() > 300 && places.last().unwrap().segment > 1, "{} {:?}", places.len(), places.last());
        let log = Self { dir, keys, places };
        log.is_sound();
        log
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn verify(&self) -> VerifyReport {
        verify(self.path(), &mut VerifyOptions::default()).unwrap()
    }

    #[track_caller]
    fn is_sound(&self) {
        let report = self.verify();
        assert!(matches!(report, VerifyReport::Ok(_)), "{report:?}");
    }

    #[track_caller]
    fn damage(&self) -> Damage {
        match self.verify() {
            VerifyReport::Damage(damage) => damage,
            report => panic!("{report:?}"),
        }
    }

    /// Changes a segment, looks at what verification says, and puts the segment back.
    #[track_caller]
    fn with_segment(&self, segment: u32, change: impl FnOnce(&mut Vec<u8>)) -> Damage {
        self.with_file(&wal(self.path(), segment), change)
    }

    #[track_caller]
    fn with_file(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Damage {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        change(&mut bad);
        assert_ne!(good, bad);
        fs::write(path, bad).unwrap();
        let damage = self.damage();
        fs::write(path, good).unwrap();
        damage
    }

    #[track_caller]
    fn names(&self, damage: &Damage, index: usize, kinds: &[DamageKind]) {
        let place = &self.places[index];
        assert_eq!(damage.index, Some(index as u64), "{damage:?}");
        assert_eq!((damage.session, damage.time), (Some(place.session), Some(place.time)), "{damage:?}");
        assert!(kinds.contains(&damage.kind), "{damage:?}");
    }
}

fn wal(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("wal/{segment:08}.wal"))
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_flipped_byte_in_the_log_is_named() {
    let log = Log::write().await;
    let kinds = [DamageKind::Frame, DamageKind::Contents, DamageKind::SegmentHeader];
    let mut tried = 0;
    for segment in 0.. {
        let Ok(bytes) = fs::read(wal(log.path(), segment)) else { break };
        let first = log.places.iter().position(|place| place.segment == segment).unwrap();
        for at in (0..bytes.len()).step_by(419).chain(0..200) {
            let hit =
                log.places.iter().position(|place| place.segment == segment && (place.start..place.end).contains(&at));
            let damage = log.with_segment(segment, |bytes| bytes[at] ^= 1 << (at % 8));
            log.names(&damage, hit.unwrap_or(first), &kinds);
            assert_eq!(damage.file, wal(log.path(), segment));
            tried += 1;
        }
    }
    assert!(tried > 900, "{tried}");
    log.is_sound();
}

#[tokio::test]
async fn a_flipped_byte_in_a_tile_or_bundle_is_named() {
    let log = Log::write().await;
    let files = files_below(&log.path().join("tile"));
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let relative = file.strip_prefix(log.path().join("tile")).unwrap().to_str().unwrap().to_owned();
        let (level, rest) = relative.split_once('/').unwrap();
        let number: usize = rest.get(..3).unwrap().parse().unwrap();
        let step = if level == "entries" { 1499 } else { 211 };
        for at in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            let index = match level {
                "entries" => {
                    let mut start = 0;
                    let mut place = 0;
                    loop {
                        let next = start + 2 + usize::from(u16::from_be_bytes([bytes[start], bytes[start + 1]]));
                        if at < next {
                            break number * 256 + place;
                        }
                        (start, place) = (next, place + 1);
                    }
                }
                level => (number * 256 + at / 32) * 256usize.pow(level.parse().unwrap()),
            };
            let damage = log.with_file(&file, |bytes| bytes[at] ^= 0x20);
            log.names(&damage, index, &[DamageKind::Tile, DamageKind::Entries]);
            assert_eq!(damage.file, file);
        }
        let damage = log.with_file(&file, |bytes| bytes.truncate(bytes.len() - 1));
        assert_eq!(damage.file, file);
        let damage = log.with_file(&file, |bytes| bytes.push(0));
        assert_eq!(damage.file, file);
    }
    log.is_sound();
}

#[tokio::test]
async fn dropped_inserted_and_swapped_records_are_named() {
    let log = Log::write().await;
    let last = log.places.len() - 1;
    for index in [1, 2, 3, 100, 255, 256, 257, last - 1] {
        let (one, two) = (log.places[index].clone(), log.places[index + 1].clone());
        if one.segment != two.segment {
            continue;
        }
        let damage = log.with_segment(one.segment, |bytes| drop(bytes.drain(one.start..one.end)));
        log.names(&damage, index, &[DamageKind::Missing]);

        let damage = log.with_segment(one.segment, |bytes| {
            let copy = bytes[one.start..one.end].to_vec();
            bytes.splice(two.start..two.start, copy);
        });
        assert_eq!((damage.index, damage.kind), (Some(index as u64 + 1), DamageKind::Inserted), "{damage:?}");
        assert_eq!(damage.session, Some(one.session));

        let damage = log.with_segment(one.segment, |bytes| bytes[one.start..two.end].rotate_left(one.end - one.start));
        log.names(&damage, index, &[DamageKind::Missing, DamageKind::Inserted, DamageKind::Moved]);
    }
    log.is_sound();
}

#[tokio::test]
async fn a_dropped_session_is_named() {
    let log = Log::write().await;
    let session = log.places[50].session;
    let segment = log.places[50].segment;
    let first = log.places.iter().position(|place| place.session == session).unwrap();
    let damage = log.with_segment(segment, |bytes| {
        for place in log.places.iter().rev().filter(|place| place.session == session && place.segment == segment) {
            bytes.drain(place.start..place.end);
        }
    });
    let first = (first..).find(|&index| log.places[index].segment == segment).unwrap();
    log.names(&damage, first, &[DamageKind::Missing, DamageKind::Moved]);
}

#[tokio::test]
async fn a_rewritten_record_is_named() {
    let log = Log::write().await;
    for index in [5, 200, 280] {
        let place = log.places[index].clone();
        // A forger who knows the format: another verdict or other contents, with every checksum right.
        let damage = log.with_segment(place.segment, |bytes| {
            let frame = &mut bytes[place.start..place.end];
            let at = frame.windows(9).position(|window| window == b"\"commit\":").unwrap() + 10;
            frame[at] ^= 1;
            refit(frame);
        });
        log.names(&damage, index, &[DamageKind::Altered]);
        let damage = log.with_segment(place.segment, |bytes| {
            let frame = &mut bytes[place.start..place.end];
            frame[20] ^= 1;
            refit(frame);
        });
        log.names(&damage, index, &[DamageKind::Contents]);
    }
}

/// Makes the checksums of a frame right again.
pub(crate) fn refit(frame: &mut [u8]) {
    let crc = crc32c::crc32c(&frame[16..]);
    frame[8..12].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&frame[..12]);
    frame[12..16].copy_from_slice(&crc.to_le_bytes());
}

#[tokio::test]
async fn a_tail_cut_below_the_checkpoint_is_named() {
    let log = Log::write().await;
    let last = log.places.last().unwrap().clone();
    for index in [log.places.len() - 1, log.places.len() - 5] {
        let place = log.places[index].clone();
        assert_eq!(place.segment, last.segment);
        for cut in [place.start, place.start + 1, place.start + 16, place.end - 1] {
            let damage = log.with_segment(place.segment, |bytes| bytes.truncate(cut));
            log.names(&damage, index, &[DamageKind::Truncated]);
        }
    }
    for segment in [0, last.segment - 1, last.segment] {
        let path = wal(log.path(), segment);
        let aside = log.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        if segment > 0 {
            let index = log.places.iter().position(|place| place.segment == segment).unwrap();
            log.names(&log.damage(), index, &[DamageKind::Truncated, DamageKind::SegmentMissing]);
        } else {
            assert!(verify(log.path(), &mut VerifyOptions::default()).is_err());
        }
        fs::rename(&aside, &path).unwrap();
    }
    // The writer refuses as well.
    let path = wal(log.path(), last.segment);
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..last.start]).unwrap();
    let refused = Ledger::open(log.keys.config(log.path()));
    assert!(matches!(refused, Err(grille_ledger::OpenError::Backwards { .. })));
    fs::write(&path, &good).unwrap();
    Ledger::open(log.keys.config(log.path())).unwrap();
}

#[tokio::test]
async fn a_replaced_checkpoint_is_named() {
    let log = Log::write().await;
    let checkpoint = log.path().join("checkpoint");
    let good = fs::read(&checkpoint).unwrap();

    // An older one of the same log.
    let ledger = log.keys.open(log.path());
    for round in 0..3 {
        write_sessions(&ledger, 300 + round * 10..310 + round * 10, 20);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    ledger.shutdown().await.unwrap();
    log.is_sound();
    let damage = log.with_file(&checkpoint, |bytes| bytes.clone_from(&good));
    assert_eq!((damage.index, damage.kind), (Some(log.places.len() as u64), DamageKind::OlderCheckpoint), "{damage:?}");

    // One that another key signed, over the same tree.
    let other = Log::write().await;
    let damage = log.with_file(&checkpoint, |bytes| *bytes = fs::read(other.path().join("checkpoint")).unwrap());
    assert_eq!(damage.kind, DamageKind::ForeignKey);
    let key = other.keys.signing.verifier_key("grille/test").unwrap();
    let options = &mut VerifyOptions { key: Some(key), ..VerifyOptions::default() };
    let report = verify(log.path(), options).unwrap();
    assert!(matches!(report, VerifyReport::Damage(Damage { kind: DamageKind::ForeignKey, .. })), "{report:?}");

    // Every byte of it counts.
    for at in 0..fs::read(&checkpoint).unwrap().len() {
        log.with_file(&checkpoint, |bytes| bytes[at] ^= 1);
    }
    fs::remove_file(&checkpoint).unwrap();
    assert_eq!(log.damage().kind, DamageKind::OlderCheckpoint);
}

#[tokio::test]
async fn a_log_put_together_from_others_does_not_open_under_a_wrong_key() {
    let log = Log::write().await;
    let other = Keys::generate();
    assert!(matches!(Ledger::open(other.config(log.path())), Err(grille_ledger::OpenError::ForeignKey { .. })));
    let config = LedgerConfig { origin: Some("grille/elsewhere".to_owned()), ..log.keys.config(log.path()) };
    assert!(matches!(Ledger::open(config), Err(grille_ledger::OpenError::Origin { .. })));
}

#[tokio::test]
async fn a_swapped_plugin_is_named() {
    let log = Log::write().await;
    let ledger = log.keys.open(log.path());
    let digest = ledger.keep(Kept::Plugin, b"a component").unwrap();
    assert_eq!(ledger.keep(Kept::Plugin, b"a component").unwrap(), digest);
    ledger.shutdown().await.unwrap();
    log.is_sound();
    let path = log.path().join(format!("plugins/{digest}.wasm"));
    let damage = log.with_file(&path, |bytes| bytes[3] ^= 1);
    assert_eq!((damage.kind, &damage.file), (DamageKind::Plugin, &path));
}

#[tokio::test]
async fn a_copy_of_a_record_behind_the_end_is_never_signed() {
    let log = Log::write().await;
    let last = log.places.last().unwrap().clone();
    let path = wal(log.path(), last.segment);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_within(last.start..last.end);
    fs::write(&path, bytes).unwrap();
    let damage = log.damage();
    assert_eq!((damage.index, damage.kind), (Some(log.places.len() as u64), DamageKind::Moved), "{damage:?}");
    log.keys.open(log.path()).shutdown().await.unwrap();
    log.is_sound();
    let cut = log.path().join(format!("cut/{:08}-{}", last.segment, last.end));
    assert_eq!(fs::read(cut).unwrap().len(), last.end - last.start);
}

/// What may happen to a file.
#[derive(Debug, Clone)]
pub(crate) enum Harm {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, prop::sample::Index),
}

impl Harm {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            (index(), 1u8..).prop_map(|(at, bits)| Self::Flip(at, bits)),
            (index(), index()).prop_map(|(one, two)| Self::Cut(one, two)),
            (index(), prop::collection::vec(any::<u8>(), 1..100)).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            (index(), index()).prop_map(|(one, two)| Self::Repeat(one, two)),
        ]
    }

    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let range = |one: &prop::sample::Index, two: &prop::sample::Index| {
            let (one, two) = (one.index(length), two.index(length));
            one.min(two)..one.max(two) + 1
        };
        match self {
            Self::Flip(at, bits) => bytes[at.index(length)] ^= bits,
            Self::Cut(one, two) => drop(bytes.drain(range(one, two))),
            Self::Insert(at, new) => drop(bytes.splice(at.index(length)..at.index(length), new.iter().copied())),
            Self::Repeat(one, two) => {
                let copy = bytes[range(one, two)].to_vec();
                bytes.extend(copy);
            }
        }
    }
}

/// Whatever is done to a file of log or tree: it is noticed, nobody panics, and no writer goes on from rubbish.
#[tokio::test]
async fn any_harm_is_noticed_and_nobody_panics() {
    let log = Log::write().await;
    let files: Vec<PathBuf> = files_below(log.path())
        .into_iter()
        .filter(|file| {
            let name = file.strip_prefix(log.path()).unwrap().to_str().unwrap();
            ["wal/", "tile/", "checkpoint", "keys/"].iter().any(|start| name.starts_with(start))
        })
        .collect();
    let key = log.keys.signing.verifier_key("grille/test").unwrap();
    let last = wal(Path::new(""), log.places.last().unwrap().segment);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let harm = (any::<prop::sample::Index>(), Harm::any());
    let outcome = runner.run(&harm, |(file, harm)| {
        let file = file.get(&files);
        let good = fs::read(file).unwrap();
        let mut bad = good.clone();
        harm.apply(&mut bad);
        if bad == good {
            return Ok(());
        }
        fs::write(file, &bad).unwrap();
        let report = verify(log.path(), &mut VerifyOptions { key: Some(key.clone()), ..VerifyOptions::default() });
        let read: u64 = Reader::open(log.path(), Some(log.keys.seal.clone()))
            .unwrap()
            .records()
            .map(|entries| entries.take_while(Result::is_ok).count() as u64)
            .unwrap_or_default();
        let copy = crate::crash::fast_dir();
        copy_dir(log.path(), copy.path());
        fs::write(file, &good).unwrap();
        // A writer refuses, or cuts what is no record and goes on from what verifies.
        if file.starts_with(log.path().join("wal"))
            && let Ok(ledger) = Ledger::open(log.keys.config(copy.path()))
        {
            drop(ledger);
            let report = verify(copy.path(), &mut VerifyOptions::default());
            prop_assert!(matches!(report, Ok(VerifyReport::Ok(_))), "{report:?}");
        }
        prop_assert!(read <= log.places.len() as u64 * 2);
        if !file.starts_with(log.path().join("keys")) {
            let is_tail = file.ends_with(last.as_path()) && bad.starts_with(&good);
            let is_told = match &report {
                Ok(VerifyReport::Damage(_)) => true,
                // Half a record more at the end of the log is what a writer leaves behind in the middle of one.
                Ok(VerifyReport::Ok(sound)) => is_tail && sound.torn_bytes > 0,
                _ => false,
            };
            prop_assert!(is_told, "{} after {harm:?}: {report:?}", file.display());
        }
        Ok(())
    });
    outcome.unwrap();
    log.is_sound();
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}
