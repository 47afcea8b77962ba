//! A process that writes a ledger under load until it is killed, and what it had acknowledged by then.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grille_ledger::{
    Ledger, LedgerConfig, Reader, SealKey, SessionOpen, SigningKey, Sound, Sync, VerifyOptions, VerifyReport, verify,
};

use crate::support::{Keys, allowed, decision, facts, outcome};

const CHILD: &str = "GRILLE_LEDGER_TEST_CHILD";
const STRICT: &str = "GRILLE_LEDGER_TEST_STRICT";
const ROUND: &str = "GRILLE_LEDGER_TEST_ROUND";
const WRITERS: u32 = 4;

/// The process that gets killed: several sessions at once say what was acknowledged, as soon as it was. As the paths do,
/// it waits for the disk before every forward in strict mode, and else before what changes something: one in 29.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let path = PathBuf::from(path);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok()).unwrap();
    let (round, is_strict) = (number(ROUND), number(STRICT) == 1);
    let seal = SealKey::from_file(&path.with_file_name("seal.key")).unwrap();
    let signing = SigningKey::from_file(&path.with_file_name("signing.key")).unwrap();
    let sync = if is_strict { Sync::Strict } else { Sync::default() };
    let ledger = Ledger::open(LedgerConfig { segment_bytes: 300_000, sync, ..LedgerConfig::new(path, signing, seal) });
    let ledger = ledger.unwrap();
    let write = |writer: u32| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let allowed = allowed();
        for number in 0.. {
            let facts = facts(round * 1_000_000 + writer * 100_000 + number);
            let mut log = ledger.session(SessionOpen::new(&facts)).unwrap();
            for pair in 0..30 {
                let text = format!("select {pair} from patients");
                for record in [decision(facts.id, pair, &text, &allowed), outcome(facts.id, pair)] {
                    let position = log.append(&record).unwrap();
                    let is_durable = is_strict || position.index.is_multiple_of(29);
                    if is_durable && runtime.block_on(ledger.durable(position)).is_err() {
                        return;
                    }
                    let line = format!("ack {} {} {} {is_durable} .\n", position.index, facts.id, unix_us());
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            log.close("terminate").unwrap();
        }
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let write = &write;
            scope.spawn(move || write(writer));
        }
    });
}

/// What the process said of one record.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    session: String,
    /// When, in microseconds.
    pub(crate) at: u64,
    /// Whether it had waited for the disk.
    pub(crate) is_durable: bool,
}

/// A ledger whose writer dies again and again.
pub(crate) struct Victim {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) keys: Keys,
    pub(crate) acknowledged: HashMap<u64, Ack>,
    is_strict: bool,
    rounds: u32,
}

impl Victim {
    pub(crate) fn new(is_strict: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::generate();
        fs::write(dir.path().join("seal.key"), keys.seal.to_text().as_bytes()).unwrap();
        fs::write(dir.path().join("signing.key"), keys.signing.to_text().as_bytes()).unwrap();
        Self { dir, keys, acknowledged: HashMap::new(), is_strict, rounds: 0 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// Lets it write for so long and kills it. Returns when it died.
    pub(crate) fn run(&mut self, load: Duration, environment: &[(&str, &Path)]) -> u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["load::child", "--exact", "--nocapture"])
            .env(CHILD, self.path())
            .env(STRICT, u32::from(self.is_strict).to_string())
            .env(ROUND, self.rounds.to_string())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.rounds += 1;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("ack "))).unwrap().unwrap();
        let reader = std::thread::spawn(move || {
            // The last line may be cut off in the middle.
            let rest = lines.map_while(Result::ok).filter(|line| line.starts_with("ack ") && line.ends_with(" ."));
            std::iter::once(first).chain(rest).collect::<Vec<_>>()
        });
        std::thread::sleep(load);
        child.kill().unwrap();
        let died = unix_us();
        child.wait().unwrap();
        let said = reader.join().unwrap();
        for line in &said {
            let words: Vec<_> = line.split(' ').collect();
            let [_, index, session, at, is_durable, _] = words[..] else { panic!("{line}") };
            let (at, is_durable) = (at.parse().unwrap(), is_durable.parse().unwrap());
            let ack = Ack { session: session.to_owned(), at, is_durable };
            self.acknowledged.insert(index.parse().unwrap(), ack);
        }
        died
    }

    /// What was acknowledged and is not there.
    pub(crate) fn lost(&self) -> HashMap<u64, Ack> {
        let mut lost = self.acknowledged.clone();
        for entry in Reader::open(&self.path(), Some(self.keys.seal.clone())).unwrap().records().unwrap() {
            let entry = entry.unwrap();
            if lost.get(&entry.index).is_some_and(|ack| ack.session == entry.leaf.sid.to_string()) {
                assert!(entry.record().is_some());
                lost.remove(&entry.index);
            }
        }
        lost
    }

    pub(crate) fn open(&self) -> Ledger {
        Ledger::open(LedgerConfig { origin: None, ..self.keys.config(&self.path()) }).unwrap()
    }
}

#[track_caller]
pub(crate) fn is_sound(path: &Path) -> Sound {
    match verify(path, &mut VerifyOptions::default()).unwrap() {
        VerifyReport::Ok(sound) => sound,
        report => panic!("{report:?}"),
    }
}

fn unix_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
