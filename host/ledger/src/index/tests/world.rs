//! A node that lives: sessions come and go, clocks are set, contents are destroyed, it is killed and goes on.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_policy::testing::opinion;
use grille_policy::{
    Access, Actor, Decision, DecisionId, Digest, Epoch, Finding, RelationName, RelationUse, SessionFacts, SessionId,
    Severity, Subject, Terms, TransactionState, Verdict,
};

use crate::{
    DecisionRecord, Direction, Ledger, LedgerConfig, Record, SealKey, SessionLog, SessionOpen, SessionQuery, SigningKey,
};

/// What stands in records.
pub(super) const CLEAR: [&str; 8] = ["ada", "Ada Lovelace", "bot-1", "clinic", "select", "patients", "phi", "corp"];
const SUBJECTS: [(&str, &str); 4] =
    [("ada", "Ada Lovelace"), ("grace", "Grace"), ("linus", "Ada Lovelace"), ("zoe", "bot-1")];
const AGENTS: [&str; 2] = ["bot-1", "bot-2"];
const TARGETS: [&str; 3] = ["clinic", "billing", "archive"];
const RELATIONS: [&str; 3] = ["patients", "orders", "Staff"];
const WORDS: [&str; 4] = ["select", "ÄRZTE", "delete", "x"];
const POLICIES: [&str; 2] = ["phi", "guard"];

/// A small generator: the same seed lives the same life.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn maybe<T>(&mut self, one_in: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(one_in) == 0).then(|| make(self))
    }
}

struct Running {
    log: SessionLog,
    decisions: u64,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) seal: SealKey,
    signing: SigningKey,
    /// Each kill leaves a directory behind.
    root: tempfile::TempDir,
    dir: PathBuf,
    lives: u32,
    ledger: Option<Ledger>,
    running: Vec<Running>,
    ids: Vec<SessionId>,
    closed: Vec<SessionId>,
    times: Vec<u64>,
}

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        Self::under(seed, SealKey::generate().unwrap()).await
    }

    pub(super) async fn under(seed: u64, seal: SealKey) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut world = Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            seal,
            signing: SigningKey::generate().unwrap(),
            dir: root.path().join("0"),
            root,
            lives: 0,
            ledger: None,
            running: Vec::new(),
            ids: Vec::new(),
            closed: Vec::new(),
            times: Vec::new(),
        };
        world.open().await;
        world
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    pub(super) async fn open(&mut self) {
        let config = LedgerConfig::new(self.dir.clone(), self.signing.clone(), self.seal.clone());
        self.ledger = Some(Ledger::open(LedgerConfig { segment_bytes: 20_000, ..config }).unwrap());
    }

    /// Ends in order, and lets go of the directory.
    pub(super) async fn close(&mut self) {
        while !self.running.is_empty() {
            self.end_session();
        }
        if let Some(ledger) = self.ledger.take() {
            ledger.shutdown().await.unwrap();
        }
    }

    pub(super) async fn end(mut self) -> PathBuf {
        self.close().await;
        // Removed by the system's own care for temporary directories; it is small.
        let dir = self.dir.clone();
        drop(self.root.keep());
        dir
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    /// Sessions and operations, and nothing worse.
    pub(super) async fn write(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// That, and what happens to a node.
    pub(super) async fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.below(60) {
                0 => self.kill().await,
                1 => {
                    self.close().await;
                    // The key in force seals what comes; what came before is sealed from its holder.
                    if self.random.below(6) == 0 {
                        self.seal = SealKey::generate().unwrap();
                    }
                    self.open().await;
                }
                2 => {
                    let by = i64::try_from(self.random.below(500_000_000)).unwrap() - 250_000_000;
                    self.ledger().shared().clock.set_by(by);
                }
                3 | 4 if !self.closed.is_empty() => {
                    let id = self.closed.swap_remove(0);
                    // It may be sealed from this key by now.
                    drop(self.ledger().shred(id, &self.subject(0, false), "over", true).await);
                }
                _ => self.step(),
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 | 1 => self.begin_session(),
            2 if self.running.len() > 1 => self.end_session(),
            _ if self.running.is_empty() => self.begin_session(),
            _ => self.operate(),
        }
    }

    fn subject(&self, number: usize, is_agent: bool) -> Subject {
        let (sub, name) = SUBJECTS[number];
        let actors = if is_agent {
            vec![Actor { issuer: "https://id".into(), sub: AGENTS[number % 2].into() }]
        } else {
            Vec::new()
        };
        Subject {
            provider: "corp".into(),
            issuer: "https://id".into(),
            sub: sub.into(),
            name: name.into(),
            groups: Vec::new(),
            actors,
            expires_at: u64::MAX,
            claims: "{}".into(),
        }
    }

    fn begin_session(&mut self) {
        let now = self.ledger().shared().wall();
        let random = u32::try_from(self.random.below(u64::from(u32::MAX))).unwrap();
        let (number, is_agent) = (usize::try_from(self.random.below(4)).unwrap(), self.random.below(3) == 0);
        let facts = SessionFacts {
            id: SessionId::mint(now / 1000, random),
            subject: Arc::new(self.subject(number, is_agent)),
            target: self.random.of(&TARGETS).into(),
            protocol: "postgres".into(),
            roles: Vec::new(),
            listener: "pg".into(),
            peer: "127.0.0.1:1".into(),
            client: "psql".into(),
            tls: None,
        };
        let log = self.ledger().session(SessionOpen::new(&facts)).unwrap();
        self.running.push(Running { log, decisions: 0 });
        self.ids.push(facts.id);
        self.times.push(now);
    }

    fn end_session(&mut self) {
        let at = usize::try_from(self.random.below(self.running.len() as u64)).unwrap();
        let Running { log, .. } = self.running.swap_remove(at);
        self.closed.push(log.id());
        match self.random.below(3) {
            0 => drop(log),
            _ => log.close("terminate").unwrap(),
        }
    }

    fn operate(&mut self) {
        let random = &mut self.random;
        let verdict = match random.below(6) {
            0 => Verdict::Block(Finding::new("no", Severity::High, "no")),
            1 => Verdict::Review(Terms::standard("ask")),
            _ => Verdict::Allow,
        };
        let policy = random.below(2);
        let mut opinion = opinion(verdict);
        opinion.policy = POLICIES[usize::try_from(policy).unwrap()].into();
        opinion.plugin = Digest([u8::try_from(policy).unwrap() + 0xa0; 32]);
        let decision = Decision::new(Epoch(1), vec![opinion]);
        let relation = RelationName { schema: "public".into(), name: random.of(&RELATIONS).into() };
        let relations = [RelationUse { relation, access: Access::Read }];
        let text = format!("{} {} from {}", random.of(&WORDS), random.below(20), random.of(&RELATIONS));
        let (request, reply) = (random.below(600), random.below(900));
        let at = usize::try_from(random.below(self.running.len() as u64)).unwrap();
        let Running { log, decisions } = &mut self.running[at];
        log.record_bytes(Direction::FromCaller, *decisions, 0, &vec![b'q'; usize::try_from(request).unwrap()]).unwrap();
        log.append(&Record::Decision(DecisionRecord {
            id: DecisionId { session: log.id(), number: *decisions },
            text: text.into(),
            parameters: Vec::new(),
            parameter_types: Vec::new(),
            facts: None,
            kinds: Cow::Borrowed(&[]),
            relations: Cow::Borrowed(&relations),
            decision: Cow::Borrowed(&decision),
            transaction: TransactionState::Idle,
            request: None,
            justification: None,
        }))
        .unwrap();
        log.record_bytes(Direction::ToCaller, *decisions, 1, &vec![b'r'; usize::try_from(reply).unwrap()]).unwrap();
        *decisions += 1;
        if reply % 2 == 0 {
            log.flush().unwrap();
        }
    }

    /// What a process leaves that dies at this moment, and another one on top of it.
    async fn kill(&mut self) {
        self.lives += 1;
        let next = self.root.path().join(self.lives.to_string());
        copy(&self.dir, &next);
        self.running.clear();
        drop(self.ledger.take());
        self.dir = next;
        self.open().await;
    }

    pub(super) fn some_session(&mut self) -> SessionId {
        if self.random.below(8) == 0 { SessionId::mint(self.times[0] / 1000, 1) } else { self.random.of(&self.ids) }
    }

    /// Anything that somebody may look for, and how many of it.
    pub(super) fn question(&mut self) -> (SessionQuery, usize) {
        let (ids, times) = (&self.ids, &self.times);
        let random = &mut self.random;
        let mut query = SessionQuery {
            subject: random
                .maybe(4, |random| random.of(&["ada", "grace", "Ada Lovelace", "bot-1", "nobody"]).to_owned()),
            target: random.maybe(4, |random| random.of(&["clinic", "billing", "elsewhere"]).to_owned()),
            from: random.maybe(4, |random| random.of(times)),
            to: random.maybe(4, |random| random.of(times)),
            relation: random.maybe(5, |random| random.of(&["patients", "public.orders", "staff"]).to_owned()),
            text: random.maybe(4, |random| random.of(&["SELECT", "ärzte", "delete 7", "nowhere"]).to_owned()),
            verdict: random.maybe(4, |random| random.of(&["block", "review", "allow", "change"]).to_owned()),
            policy: random.maybe(6, |random| random.of(&POLICIES).to_owned()),
            plugin: random.maybe(6, |random| random.of(&["a0a0", "a1", "ff"]).to_owned()),
            ..SessionQuery::default()
        };
        if random.below(8) == 0 {
            query.sessions = (0..=random.below(3)).map(|_| random.of(ids)).collect();
            query.sessions.dedup();
        }
        (query, usize::try_from(random.of(&[1, 2, 5, 20, 1000])).unwrap())
    }
}

/// As a crash would leave it, though the ledger goes on meanwhile: what vouches for something comes before it.
fn copy(from: &Path, to: &Path) {
    const FIRST: [&str; 5] = ["checkpoint", "last_signed", "settled", "wal", "keys"];
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| FIRST.iter().position(|first| entry.file_name() == *first).unwrap_or(FIRST.len()));
    for entry in entries {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            // Tiles and the index are replaced meanwhile.
            match fs::copy(entry.path(), to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}
