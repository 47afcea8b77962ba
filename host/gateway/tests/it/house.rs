use std::process::Stdio;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::BytesMut;
use grille_admin::view::{Activity, Changed, EpochSessions, Policies, Policy, Reload, Status};
use grille_admin::{
    Act, AdminConfig, Audit, Identify, NotIdentified, PolicyChanges, PolicyView, PolicyWish, RefusedChange, Rooms,
    StatusView, Unrecorded, router, serve,
};
use grille_gateway::views::{Contents, Decisions, Evidence, Live, Sessions};
use grille_ledger::{
    DecisionRecord, Direction, Ledger, LedgerConfig, MaskedColumn, Outcome, Record, SealKey, SessionLog, SessionOpen,
    SigningKey,
};
use grille_net::{DrainHandle, Listen, Listener, drain};
use grille_pg_codec::backend::{Field, TransactionStatus};
use grille_pg_codec::{Format, encode};
use grille_policy::testing::opinion;
use grille_policy::{
    BoxFuture, Decision, DecisionId, Digest, Epoch, Finding, Mode, SessionFacts, SessionId, Severity, Subject, Terms,
    TransactionState, Verdict,
};
use grille_review::{
    Ask, Asked, Desk, DeskConfig, Event, Journal, Outcome as Answer, Release, Signer, Unjournaled, Unsigned,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinHandle;

pub(crate) const UPDATE: &str = "update visits set ward = 'B'";

/// A gateway without its data paths.
pub(crate) struct House {
    admin: String,
    desk: Desk,
    ledger: Ledger,
    people: Arc<People>,
    sessions: Mutex<Vec<SessionLog>>,
    _drain: DrainHandle,
    pub(crate) dir: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn said(code: i32, stdout: &str) -> Said {
    Said { code, stdout: stdout.to_owned(), stderr: String::new() }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(async |config| Ledger::open(config)).await
    }

    /// One with a ledger that somebody opens in another way.
    pub(crate) async fn with<E: std::fmt::Debug>(open: impl AsyncFnOnce(LedgerConfig) -> Result<Ledger, E>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let seal = SealKey::generate().unwrap();
        let signing = SigningKey::generate().unwrap();
        let config = LedgerConfig::new(path.clone(), signing.clone(), seal.clone());
        let ledger = open(config).await.unwrap();
        let people = Arc::new(People::default());
        let config = DeskConfig { reviewers: vec!["reviewers".into()], ..DeskConfig::default() };
        let key = Key(Ed25519KeyPair::generate().unwrap());
        let desk = Desk::new(config, people.clone(), Arc::new(key)).unwrap();
        let rooms = Rooms {
            identify: people.clone(),
            status: people.clone(),
            policies: people.clone(),
            changes: people.clone(),
            decisions: Arc::new(Decisions::new(path.clone(), seal.clone())),
            evidence: Arc::new(Evidence::new(ledger.clone(), seal.clone(), signing, people.clone())),
            keeping: Arc::new(Contents::new(ledger.clone(), seal.clone())),
            sessions: Arc::new(Sessions::new(path, seal, people.clone())),
            audit: people.clone(),
            desk: desk.clone(),
        };
        let config = AdminConfig {
            operators: vec!["ops".into()],
            owners: vec!["owners".into()],
            auditors: vec!["auditors".into()],
            reviewers: vec!["reviewers".into()],
            hosts: Vec::new(),
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let listen = Listen { name: "admin".into(), address, max_connections: 64, max_unauthenticated: 64 };
        let listener = Listener::bind(listen).unwrap();
        let admin = format!("http://{}", listener.local_addr().unwrap());
        let (handle, ear) = drain();
        tokio::spawn(serve(listener, None, router(config, rooms), ear));
        Self { admin, desk, ledger, people, sessions: Mutex::default(), _drain: handle, dir }
    }

    /// Runs the real binary; tokens are names here.
    pub(crate) async fn run(&self, token: &str, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
        command.args(words).env_clear().env("GRILLE_ADMIN", &self.admin).stdin(Stdio::null());
        if words.contains(&"--admin") {
            command.env_remove("GRILLE_ADMIN");
        }
        if !token.is_empty() {
            command.env("GRILLE_TOKEN", token);
        }
        let output = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs it for somebody who has closed the pipe already.
    pub(crate) async fn run_unread(&self, token: &str, words: &[&str]) -> Said {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
        command.args(words).env_clear().env("GRILLE_ADMIN", &self.admin).env("GRILLE_TOKEN", token);
        let child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Said { code: output.status.code().unwrap(), stdout: String::new(), stderr }
    }

    pub(crate) async fn json(&self, token: &str, words: &[&str]) -> Value {
        let said = self.run(token, words).await;
        assert_eq!(said.code, 0, "{}", said.stderr);
        serde_json::from_str(&said.stdout).unwrap()
    }

    /// Holds somebody at the prompt: true once it ran under an approval.
    pub(crate) fn hold(&self, name: &str, text: &str) -> (String, JoinHandle<bool>) {
        let ask = Ask {
            session: Arc::new(facts(name)),
            text: text.into(),
            parameters: Arc::new([]),
            transaction: TransactionState::Idle,
            in_transaction: false,
            terms: Terms::standard("a bulk update"),
            findings: Vec::new(),
            epoch: Epoch(3),
            policies: Digest([7; 32]),
            justification: Some("ticket 4711".into()),
        };
        let Asked::Held(mut ticket) = self.desk.request(ask).unwrap() else { panic!("not held") };
        let (id, text) = (ticket.id().to_string(), text.to_owned());
        let waiting = tokio::spawn(async move {
            let session = SessionId::mint(5, 6);
            let release = Release { session, text: &text, parameters: &[], epoch: Epoch(3) };
            match ticket.outcome().await {
                Answer::Approved(grant) => grant.consume(release).is_ok(),
                _ => false,
            }
        });
        (id, waiting)
    }

    /// A session that asks for two things and ends.
    pub(crate) fn record_session(&self) -> String {
        let facts = facts("ann");
        let mut log = self.ledger.session(SessionOpen { masked: true, ..SessionOpen::new(&facts) }).unwrap();

        let mut wire = BytesMut::new();
        encode::query(&mut wire, b"select id, ssn from patients").unwrap();
        log.record_bytes(Direction::FromCaller, 1, 0, &wire).unwrap();
        let first = decide(&mut log, &facts, 0, "select id, ssn from patients", Verdict::Allow);
        let mut wire = BytesMut::new();
        encode::row_description(&mut wire, [column("id", 23), column("ssn", 25)].into_iter()).unwrap();
        for values in [["1", "tok-17"], ["2", "tok-25"]] {
            let mut row = encode::RowWriter::begin(&mut wire);
            values.iter().for_each(|value| row.value(Some(value.as_bytes())).unwrap());
            row.finish().unwrap();
        }
        encode::command_complete(&mut wire, "SELECT 2").unwrap();
        encode::ready_for_query(&mut wire, TransactionStatus::Idle);
        log.record_bytes(Direction::ToCaller, 1, 2, &wire).unwrap();
        let masked = vec![MaskedColumn { column: "ssn".into(), treatment: "token(ssn)".into(), count: 2 }];
        end(&mut log, first, 2, None, masked);

        let finding = Finding::new("delete-without-where", Severity::High, "DELETE without WHERE");
        let second = decide(&mut log, &facts, 1, "delete from patients", Verdict::Block(finding));
        let mut wire = BytesMut::new();
        let fields = [(b'S', "ERROR"), (b'C', "42501"), (b'M', "DELETE without WHERE")];
        encode::error_response(&mut wire, &fields).unwrap();
        encode::ready_for_query(&mut wire, TransactionStatus::Idle);
        log.record_bytes(Direction::ToCaller, 2, 0, &wire).unwrap();
        end(&mut log, second, 0, Some("42501"), Vec::new());
        log.close("terminate").unwrap();
        facts.id.to_string()
    }

    /// A session that goes on.
    pub(crate) fn begin_session(&self) -> String {
        let facts = facts("ann");
        let log = self.ledger.session(SessionOpen::new(&facts)).unwrap();
        self.sessions.lock().push(log);
        let id = facts.id.to_string();
        self.people.live.lock().push(Arc::new(facts));
        id
    }

    pub(crate) fn review_events(&self) -> Vec<&'static str> {
        self.people.events.lock().clone()
    }

    pub(crate) fn acts(&self) -> Vec<String> {
        self.people.acts.lock().clone()
    }

    pub(crate) fn ended(&self) -> Vec<String> {
        self.people.ended.lock().clone()
    }
}

fn decide(log: &mut SessionLog, facts: &SessionFacts, number: u64, text: &str, verdict: Verdict) -> DecisionId {
    let id = DecisionId { session: facts.id, number };
    let decision = Decision::new(Epoch(3), vec![opinion(verdict)]);
    let record = DecisionRecord {
        id,
        text: text.into(),
        parameters: Vec::new(),
        parameter_types: Vec::new(),
        facts: None,
        kinds: Vec::new().into(),
        relations: Vec::new().into(),
        decision: std::borrow::Cow::Owned(decision),
        transaction: TransactionState::Idle,
        request: None,
        justification: None,
    };
    log.append(&Record::Decision(record)).unwrap();
    id
}

fn end(
    log: &mut SessionLog,
    decision: DecisionId,
    rows: u64,
    sqlstate: Option<&'static str>,
    masked: Vec<MaskedColumn<'_>>,
) {
    let sqlstate = sqlstate.map(Into::into);
    let outcome = Outcome { decision, rows, bytes: 80, duration_us: 900, sqlstate, fault: None, message: None, masked };
    log.append(&Record::Outcome(outcome)).unwrap();
}

fn column(name: &str, type_oid: u32) -> Field<'_> {
    Field { name: name.as_bytes(), table_oid: 0, attnum: 0, type_oid, type_len: -1, typmod: -1, format: Format::Text }
}

fn subject(name: &str) -> Subject {
    let groups: &[&str] = match name {
        "ops" => &["ops"],
        "olga" => &["owners"],
        "audra" => &["auditors"],
        "rita" => &["reviewers"],
        _ => &["analysts"],
    };
    Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: name.into(),
        name: name.into(),
        groups: groups.iter().map(|&group| group.into()).collect(),
        actors: Vec::new(),
        expires_at: u64::MAX,
        claims: "{}".into(),
    }
}

pub(crate) fn facts(name: &str) -> SessionFacts {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    SessionFacts {
        id: SessionId::mint(u64::try_from(now.as_millis()).unwrap(), 7),
        subject: Arc::new(subject(name)),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:5".into(),
        client: "psql".into(),
        tls: None,
    }
}

/// Everybody that the ledger, the issuer and the data path would be.
#[derive(Default)]
struct People {
    acts: Mutex<Vec<String>>,
    events: Mutex<Vec<&'static str>>,
    live: Mutex<Vec<Arc<SessionFacts>>>,
    ended: Mutex<Vec<String>>,
}

impl Identify for People {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Subject, NotIdentified>> {
        Box::pin(async move {
            match token {
                "wrong" => Err(NotIdentified::Denied("the access token was not accepted".into())),
                name => Ok(subject(name)),
            }
        })
    }
}

impl Live for People {
    fn list(&self) -> Vec<(Arc<SessionFacts>, u64)> {
        self.live.lock().iter().map(|facts| (Arc::clone(facts), 0)).collect()
    }

    fn end(&self, id: SessionId, reason: &str) -> bool {
        let mut live = self.live.lock();
        let before = live.len();
        live.retain(|facts| facts.id != id);
        if live.len() < before {
            self.ended.lock().push(format!("{id} {reason}"));
        }
        live.len() < before
    }
}

impl Audit for People {
    fn record(&self, act: &Act<'_>) -> Result<(), Unrecorded> {
        self.acts.lock().push(format!("{} {}", act.by.name, act.action.name()));
        Ok(())
    }
}

impl Journal for People {
    fn append(&self, event: &Event) -> Result<(), Unjournaled> {
        self.events.lock().push(event.edge.name());
        Ok(())
    }
}

impl StatusView for People {
    fn status(&self) -> Status {
        Status {
            version: "0.1.0".into(),
            started_ms: 1,
            epoch: Epoch(3),
            listeners: Vec::new(),
            targets: Vec::new(),
            sessions: 0,
            reviews: 0,
            warnings: Vec::new(),
            ledger: grille_admin::view::Ledger { written: 9, synced: 8, signed: 7, ..Default::default() },
        }
    }
}

impl PolicyChanges for People {
    fn change<'a>(
        &'a self,
        name: &'a str,
        wish: &'a PolicyWish,
        _by: &'a Subject,
        may_weaken: bool,
    ) -> BoxFuture<'a, Result<Changed, RefusedChange>> {
        Box::pin(async move {
            let mode = match wish {
                _ if name != "guard" => return Err(RefusedChange::NotFound(format!("there is no policy `{name}`"))),
                PolicyWish::Rollback => return Err(RefusedChange::No("nothing to go back to".into())),
                PolicyWish::Promote(promotion) => promotion.mode.unwrap_or(Mode::Enforce),
            };
            let weakening = match mode {
                Mode::Monitor => vec!["policy \"guard\" only monitors".to_owned()],
                Mode::Enforce => Vec::new(),
            };
            if !weakening.is_empty() && !may_weaken {
                return Err(RefusedChange::Weakens(weakening));
            }
            Ok(Changed {
                policy: name.into(),
                epoch: Epoch(4),
                digest: Digest([1; 32]),
                mode,
                is_changed: true,
                is_pinned: true,
                weakening: weakening.into_iter().map(Into::into).collect(),
            })
        })
    }
}

impl PolicyView for People {
    fn policies(&self) -> Policies {
        let guard = Policy {
            name: "guard".into(),
            plugin: "sql-guard".into(),
            version: Some("0.1.0".into()),
            source: "plugins/sql-guard.wasm".into(),
            digest: Digest([1; 32]),
            settings: Digest([2; 32]),
            mode: Mode::Enforce,
            isolation: "session".into(),
            state: "in force".into(),
            waiting: None,
            paused_s: Some(4),
            broke_its_word: false,
            targets: vec!["clinic".into()],
            roles: vec!["*".into()],
            hooks: vec!["sql".into()],
            grants: vec!["clock".into()],
            on_failure: "block".into(),
            activity: Activity {
                calls: 12,
                remembered: 30,
                allowed: 40,
                reviewed: 0,
                blocked: 2,
                failures: 1,
                failures_by_kind: [("timeout".into(), 1)].into(),
                last_error: Some("the time limit of 50 ms is over".into()),
                p50_us: 1.5,
                p99_us: 1234.5,
                memory: 1 << 20,
            },
            notes: Vec::new(),
        };
        let lines = vec!["policies.guard: the file is truncated".into()];
        let reload = Some(Reload { at_ms: 1_795_000_000_000, is_done: false, lines });
        Policies {
            epoch: Epoch(3),
            sessions: vec![EpochSessions { epoch: Epoch(3), sessions: 1 }],
            policies: vec![guard],
            reload,
        }
    }
}

struct Key(Ed25519KeyPair);

impl Signer for Key {
    fn key_id(&self) -> &str {
        "test"
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Unsigned> {
        Ok(self.0.sign(bytes).as_ref().to_vec())
    }
}
