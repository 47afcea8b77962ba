//! Whatever happened to a log, its index says what the log says.

mod world;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::head::{Head, path};
use super::{Index, look::UNINDEXED_MAX};
use crate::frame::segment_path;
use crate::{Contents, Entry, Reader, SealKey, SessionQuery, VerifyOptions, VerifyReport, verify};
use world::{Random, World};

/// Worlds, and questions to each at several moments.
const WORLDS: u64 = 4;
const QUESTIONS: usize = 40;

#[tokio::test]
async fn hundreds_of_questions_are_answered_as_the_whole_log_answers_them() {
    let (mut by_index, mut found) = (0, 0);
    for seed in 1..=WORLDS {
        let mut world = World::new(seed).await;
        for _ in 0..4 {
            world.live(150).await;
            // Often the index is complete, sometimes it is being made.
            if world.random.below(4) > 0 {
                indexed(world.path(), &world.seal).await;
            }
            for limit in [1, 3, 1000] {
                lists_agree(world.path(), &world.seal, limit);
            }
            for _ in 0..QUESTIONS {
                let (query, limit) = world.question();
                let (asked, hits) = agree(world.path(), &world.seal, &query, limit, &format!("seed {seed}"));
                by_index += usize::from(asked);
                found += hits;
            }
            sessions_agree(&mut world);
        }
        let last = world.end().await;
        assert!(matches!(verify(&last, &mut VerifyOptions::default()).unwrap(), VerifyReport::Ok(_)), "seed {seed}");
    }
    println!("{by_index} questions went to the index, {found} sessions were found");
    assert!(by_index > 300 && found > 1000, "{by_index} {found}");
}

/// Asks both ways; says whether the index was of use, and how many were found.
#[track_caller]
fn agree(dir: &Path, seal: &SealKey, query: &SessionQuery, limit: usize, told: &str) -> (bool, usize) {
    let reader = Reader::open(dir, Some(seal.clone())).unwrap();
    let expected = reader.clone().without_index().search(query, limit).unwrap();
    let answer = reader.by_index(|index| reader.indexed_search(index, query, limit));
    if let Some(answer) = &answer {
        assert_eq!(*answer, expected, "{told}: {query:?}, {limit}");
    }
    (answer.is_some(), expected.len())
}

#[track_caller]
fn lists_agree(dir: &Path, seal: &SealKey, limit: usize) {
    let reader = Reader::open(dir, Some(seal.clone())).unwrap();
    let expected = reader.clone().without_index().sessions(limit).unwrap();
    if let Some(answer) = reader.by_index(|index| reader.indexed_sessions(index, limit)) {
        assert_eq!(answer, expected, "{limit}");
    }
    assert_eq!(reader.sessions(limit).unwrap(), expected);
}

/// Each session's records, and what became of it.
fn sessions_agree(world: &mut World) {
    let reader = Reader::open(world.path(), Some(world.seal.clone())).unwrap();
    let all: Vec<Entry> = reader.records().unwrap().map(Result::unwrap).collect();
    for _ in 0..6 {
        let id = world.some_session();
        let told = |entry: &Entry| (entry.index, entry.bytes.clone(), matches!(entry.contents, Contents::Open(_)));
        let expected: Vec<_> = all.iter().filter(|entry| entry.leaf.sid == id).map(told).collect();
        let plain = reader.clone().without_index();
        for reader in [&reader, &plain] {
            let records: Vec<_> = reader.session(id).unwrap().map(|entry| told(&entry.unwrap())).collect();
            assert_eq!(records, expected, "{id}");
        }
        let tombstone = plain.tombstone(id).unwrap();
        assert_eq!(reader.tombstone(id).unwrap(), tombstone);
        if let Some(answer) = reader.by_index(|index| reader.indexed_tombstone(index, id)) {
            assert_eq!(answer, tombstone);
        }
        let decision = grille_policy::DecisionId { session: id, number: world.random.below(5) };
        let tell = |reader: &Reader| match reader.decision(decision) {
            Ok(found) => format!("{found:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(tell(&reader), tell(&plain));
    }
}

/// Waits until every closed segment has its file.
async fn indexed(dir: &Path, seal: &SealKey) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let closed = (0..).take_while(|&segment| segment_path(dir, segment + 1).exists());
        let missing: Vec<u32> = closed.filter(|&segment| Head::read(dir, seal, segment).is_none()).collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{missing:?} are not indexed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What one harmed file of the index would be missed for.
fn everything() -> SessionQuery {
    SessionQuery::default()
}

/// A log of many segments that is let go of, and indexed.
async fn written(seed: u64) -> World {
    written_under(seed, SealKey::generate().unwrap()).await
}

async fn written_under(seed: u64, seal: SealKey) -> World {
    let mut world = World::under(seed, seal).await;
    world.write(300).await;
    indexed(world.path(), &world.seal).await;
    assert!(segment_path(world.path(), UNINDEXED_MAX as u32 + 3).exists());
    world
}

#[tokio::test]
async fn a_file_that_is_damaged_or_anothers_is_not_believed_and_made_again() {
    let mut world = written(7).await;
    world.close().await;
    let (mut other, mut foreign) = (written_under(8, world.seal.clone()).await, written(8).await);
    other.close().await;
    foreign.close().await;
    let dir = world.path().to_owned();
    let good = fs::read(path(&dir, 2)).unwrap();
    let mut random = Random(99);
    let mut harms: Vec<Option<Vec<u8>>> = vec![
        None,
        Some(Vec::new()),
        Some(vec![b'x'; 4000]),
        Some([b"grille-index 0 \n", &good[16..]].concat()),
        Some(fs::read(path(&dir, 3)).unwrap()),
        Some(fs::read(path(other.path(), 2)).unwrap()),
        Some(fs::read(path(foreign.path(), 2)).unwrap()),
        // Whole, and without a session: who may write here but has no key would leave out what they did.
        Some(without_a_session(&dir, &world.seal)),
        Some(good[..good.len() - 1].to_vec()),
        Some(good[..100].to_vec()),
    ];
    for _ in 0..60 {
        let mut bytes = good.clone();
        let at = usize::try_from(random.below(good.len() as u64)).unwrap();
        bytes[at] ^= 1 << random.below(8);
        harms.push(Some(bytes));
    }
    for (number, harm) in harms.into_iter().enumerate() {
        match harm {
            Some(bytes) => fs::write(path(&dir, 2), bytes).unwrap(),
            None => fs::remove_file(path(&dir, 2)).unwrap(),
        }
        let is_believed = Head::read(&dir, &world.seal, 2).is_some_and(|head| head.rows(&dir).is_some());
        assert!(!is_believed, "harm {number}");
        agree(&dir, &world.seal, &everything(), 1000, &format!("harm {number}"));
        if number % 10 == 0 {
            // It is made again when the ledger is opened, byte for byte.
            world.open().await;
            indexed(&dir, &world.seal).await;
            let until = Instant::now() + Duration::from_secs(60);
            while fs::read(path(&dir, 2)).unwrap() != good {
                assert!(Instant::now() < until, "harm {number}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            world.close().await;
        }
    }
}

/// A file as somebody makes it who knows the format and has another key.
fn without_a_session(dir: &Path, seal: &SealKey) -> Vec<u8> {
    let good = fs::read(path(dir, 2)).unwrap();
    let mut segment = Head::read(dir, seal, 2).unwrap().rows(dir).unwrap();
    segment.rows.remove(0);
    Head::write(dir, &SealKey::generate().unwrap(), &segment).unwrap();
    let forged = fs::read(path(dir, 2)).unwrap();
    fs::write(path(dir, 2), good).unwrap();
    forged
}

#[tokio::test]
async fn an_index_that_is_gone_is_made_again_and_what_stands_for_nothing_is_removed() {
    let mut world = written(9).await;
    world.close().await;
    let dir = world.path().to_owned();
    let files = |dir: &Path| {
        let mut files: Vec<_> = fs::read_dir(dir.join("index")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    let before = files(&dir);
    fs::remove_dir_all(dir.join("index")).unwrap();
    assert!(Index::open(&dir, &world.seal).is_none());
    agree(&dir, &world.seal, &everything(), 1000, "gone");
    fs::create_dir(dir.join("index")).unwrap();
    let left_over = ["00009999.idx", ".00000001.idx.new", "x"];
    for left in left_over {
        fs::write(dir.join("index").join(left), b"left over").unwrap();
    }
    world.open().await;
    indexed(&dir, &world.seal).await;
    assert_eq!(files(&dir)[..before.len()], before);
    assert!(left_over.iter().all(|left| !dir.join("index").join(left).exists()));
    // Removed while the node runs, it is made again with the next segment that is closed.
    fs::remove_dir_all(dir.join("index")).unwrap();
    agree(&dir, &world.seal, &everything(), 1000, "gone meanwhile");
    world.write(60).await;
    indexed(&dir, &world.seal).await;
    agree(&dir, &world.seal, &everything(), 1000, "made again");
    world.close().await;
}

#[tokio::test]
async fn who_cannot_use_the_index_reads_the_log() {
    let mut world = written(10).await;
    world.close().await;
    let dir = world.path().to_owned();
    let foreign = SealKey::generate().unwrap();
    assert!(Index::open(&dir, &foreign).is_none(), "a file that another key vouches for is none");
    lists_agree(&dir, &foreign, 50);
    let plain = Reader::open(&dir, None).unwrap();
    assert_eq!(plain.sessions(50).unwrap(), plain.clone().without_index().sessions(50).unwrap());
    // What the index has no reason to read, it does not: damage in there is `verify`'s to name.
    let newest = Reader::open(&dir, Some(world.seal.clone())).unwrap();
    let expected = newest.sessions(3).unwrap();
    let mut bytes = fs::read(segment_path(&dir, 1)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(segment_path(&dir, 1), bytes).unwrap();
    assert_eq!(newest.sessions(3).unwrap(), expected);
    assert!(newest.without_index().sessions(3).is_err());
}

#[tokio::test]
async fn nothing_of_a_records_contents_is_in_the_index() {
    let world = written(11).await;
    let mut bytes = Vec::new();
    for file in fs::read_dir(world.path().join("index")).unwrap() {
        bytes.extend(fs::read(file.unwrap().path()).unwrap());
    }
    assert!(bytes.len() > 10_000);
    for clear in world::CLEAR {
        let clear = clear.as_bytes();
        assert!(!bytes.windows(clear.len()).any(|window| window == clear), "{}", String::from_utf8_lossy(clear));
    }
}
