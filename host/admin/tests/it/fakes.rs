use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use grille_admin::view::{
    Activity, Changed, DecisionDetail, EpochSessions, FoundSession, Hold, Ledger, Moment, OperationLine, Policies,
    Policy, Session, SessionDetail, SignedCheckpoint, Status, Tail,
};
use grille_admin::{
    Act, AdminConfig, Audit, BundleStream, DecisionView, EvidenceView, EvidenceWish, HeldObject, Identify, Keeping,
    NotIdentified, NotKept, PolicyChanges, PolicyView, PolicyWish, Problem, RecordingStream, RefusedChange, Rooms,
    SessionFilter, SessionSearch, SessionView, StatusView, Unreadable, Unrecorded, router, serve,
};
use grille_net::{DrainHandle, Listen, Listener, ServerTls, drain};
use grille_policy::{
    BoxFuture, Decision, DecisionId, Digest, Epoch, Mode, SessionFacts, SessionId, Subject, Terms, TransactionState,
};
use grille_review::{Ask, Desk, DeskConfig, Event, Journal, Person, Review, Signer, Unjournaled, Unsigned};
use parking_lot::Mutex;
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::task::JoinHandle;

pub(crate) const UPDATE: &str = "update visits set ward = 'B'";

pub(crate) struct Api {
    pub(crate) client: reqwest::Client,
    pub(crate) address: SocketAddr,
    pub(crate) desk: Desk,
    pub(crate) drain: DrainHandle,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
    fakes: Arc<Fakes>,
}

pub(crate) async fn start() -> Api {
    start_with(None).await
}

pub(crate) async fn start_with(tls: Option<Arc<ServerTls>>) -> Api {
    let fakes = Arc::new(Fakes { is_live: AtomicBool::new(true), ..Fakes::default() });
    let config = DeskConfig { reviewers: vec!["reviewers".into()], ..DeskConfig::default() };
    let key = Key(Ed25519KeyPair::generate().unwrap());
    let desk = Desk::new(config, Arc::new(Log), Arc::new(key)).unwrap();
    let rooms = Rooms {
        identify: fakes.clone(),
        status: fakes.clone(),
        policies: fakes.clone(),
        changes: fakes.clone(),
        sessions: fakes.clone(),
        decisions: fakes.clone(),
        evidence: fakes.clone(),
        keeping: fakes.clone(),
        audit: fakes.clone(),
        desk: desk.clone(),
    };
    let config = AdminConfig {
        operators: vec!["ops".into()],
        owners: vec!["owners".into()],
        auditors: vec!["auditors".into()],
        reviewers: vec!["reviewers".into()],
        hosts: vec!["grille.corp".into()],
    };
    let listen = Listen {
        name: "admin".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        max_connections: 64,
        max_unauthenticated: 64,
    };
    let listener = Listener::bind(listen).unwrap();
    let address = listener.local_addr().unwrap();
    let (handle, drain) = drain();
    let server = tokio::spawn(serve(listener, tls, router(config, rooms), drain));
    Api { client: reqwest::Client::new(), address, desk, drain: handle, server, fakes }
}

impl Api {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn send(&self, method: Method, path: &str, token: &str) -> Response {
        self.client.request(method, self.url(path)).bearer_auth(token).send().await.unwrap()
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str, token: &str) -> T {
        let answer = self.send(Method::GET, path, token).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    pub(crate) async fn problem(&self, method: Method, path: &str, token: &str) -> (u16, String) {
        let answer = self.send(method, path, token).await;
        let status = answer.status().as_u16();
        let problem: Problem = answer.json().await.unwrap();
        assert_eq!(problem.status, status);
        (status, problem.detail)
    }

    pub(crate) async fn decide(
        &self,
        id: &str,
        what: &str,
        token: &str,
        reason: &str,
    ) -> Result<Review, (u16, String)> {
        let url = self.url(&format!("/v1/reviews/{id}/{what}"));
        let answer = self.client.post(url).bearer_auth(token).json(&json!({"reason": reason})).send().await.unwrap();
        if answer.status().is_success() {
            return Ok(answer.json().await.unwrap());
        }
        let problem: Problem = answer.json().await.unwrap();
        Err((problem.status, problem.detail))
    }

    pub(crate) fn acts(&self) -> Vec<String> {
        self.fakes.acts.lock().clone()
    }

    pub(crate) fn fill_disk(&self) {
        self.fakes.is_full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.fakes.is_live.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Fakes {
    acts: Mutex<Vec<String>>,
    is_full: AtomicBool,
    is_live: AtomicBool,
}

/// Tokens are names here.
pub(crate) fn subject(name: &str) -> Subject {
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

impl Identify for Fakes {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Subject, NotIdentified>> {
        Box::pin(async move {
            match token {
                "wrong" => Err(NotIdentified::Denied("the token is not signed by a known issuer".into())),
                "later" => Err(NotIdentified::Unavailable("the issuer's keys cannot be fetched".into())),
                name => Ok(subject(name)),
            }
        })
    }
}

impl StatusView for Fakes {
    fn status(&self) -> Status {
        Status {
            version: "0.1.0".into(),
            started_ms: 1,
            epoch: Epoch(3),
            listeners: Vec::new(),
            targets: vec!["clinic".into()],
            sessions: 1,
            reviews: 77,
            warnings: Vec::new(),
            ledger: Ledger {
                written: 9,
                synced: 8,
                signed: 7,
                unsigned: Tail { records: 2, age_ms: 1_250 },
                unanchored: Some(Tail { records: 5, age_ms: 3_600_000 }),
                ..Ledger::default()
            },
        }
    }
}

impl PolicyChanges for Fakes {
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

impl PolicyView for Fakes {
    fn policies(&self) -> Policies {
        let guard = Policy {
            name: "guard".into(),
            plugin: "sql-guard \"q\"".into(),
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
        Policies {
            epoch: Epoch(3),
            sessions: vec![EpochSessions { epoch: Epoch(3), sessions: 1 }],
            policies: vec![guard],
            reload: None,
        }
    }
}

pub(crate) fn session_id() -> SessionId {
    SessionId::mint(1_795_000_000_123, 7)
}

fn session() -> Session {
    Session {
        id: session_id(),
        person: Person::from(&subject("ann")),
        actors: Vec::new(),
        target: "clinic".into(),
        roles: vec!["analyst".into()],
        protocol: "postgres".into(),
        peer: "127.0.0.1:5".into(),
        client: "psql".into(),
        masked: Some(true),
        opened_ms: 1,
        closed_ms: None,
        end: None,
        is_live: true,
        operations: Some(1),
        refused: Some(0),
    }
}

impl SessionView for Fakes {
    fn list(&self, filter: SessionFilter) -> BoxFuture<'_, Result<Vec<Session>, Unreadable>> {
        Box::pin(async move { Ok(vec![session(); filter.limit.min(1)]) })
    }

    fn find<'a>(&'a self, beginning: &'a str) -> BoxFuture<'a, Result<Vec<SessionId>, Unreadable>> {
        let found = session_id().to_string().starts_with(beginning).then(session_id);
        Box::pin(async move { Ok(found.into_iter().collect()) })
    }

    fn show(&self, _id: SessionId) -> BoxFuture<'_, Result<Option<SessionDetail>, Unreadable>> {
        let line = OperationLine {
            decision: DecisionId { session: session_id(), number: 0 },
            at_ms: 2,
            text: "select 1".into(),
            verdict: "allow".into(),
            reason: None,
            opinions: Vec::new(),
            request: None,
            outcome: None,
        };
        Box::pin(async move { Ok(Some(SessionDetail { kept: None, session: session(), log: vec![line], more: 0 })) })
    }

    fn recording(&self, _id: SessionId) -> BoxFuture<'_, Result<Option<RecordingStream>, Unreadable>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            for at_ms in 0..300 {
                let moment = Moment::Shown { at_ms, data: "AAAA".into() };
                if sender.send(moment).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(async move { Ok(Some(receiver)) })
    }

    fn kill(&self, _id: SessionId, _by: &Subject, _reason: &str) -> bool {
        self.is_live.swap(false, Ordering::SeqCst)
    }
}

pub(crate) fn decision_id() -> DecisionId {
    DecisionId { session: session_id(), number: 4 }
}

impl DecisionView for Fakes {
    fn show(&self, id: DecisionId) -> BoxFuture<'_, Result<Option<DecisionDetail>, Unreadable>> {
        let detail = DecisionDetail {
            id,
            at_ms: 2,
            session: (*ask("ann", "select 1").session).clone(),
            masked: true,
            text: "select 1".into(),
            parameters: Vec::new(),
            transaction: TransactionState::Idle,
            facts: None,
            decision: Decision::unbound(Epoch(3)),
            opening: None,
            plugins: Vec::new(),
            request: None,
            review: Vec::new(),
            justification: None,
            outcome: None,
            message: None,
        };
        Box::pin(async move { Ok((id == decision_id()).then_some(detail)) })
    }

    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Vec<u8>>, Unreadable>> {
        Box::pin(async move {
            match digest.0[0] {
                1 => Ok(Some(b"\0asm".to_vec())),
                2 => Err(Unreadable("it is not what its name says".into())),
                _ => Ok(None),
            }
        })
    }
}

impl Keeping for Fakes {
    fn holds(&self) -> Vec<Hold> {
        Vec::new()
    }

    fn hold(&self, on: HeldObject, _is_held: bool, _by: &Subject, reason: &str) -> Result<(), NotKept> {
        match (on, reason) {
            (_, "") => Err(NotKept::No("this takes a reason".into())),
            (HeldObject::Subject(subject), _) if subject == "broken" => {
                Err(NotKept::Unavailable("a disk failed".into()))
            }
            _ => Ok(()),
        }
    }

    fn shred<'a>(
        &'a self,
        _id: SessionId,
        _by: &'a Subject,
        reason: &'a str,
        _may_be_early: bool,
    ) -> BoxFuture<'a, Result<(), NotKept>> {
        Box::pin(async move { if reason == "held" { Err(NotKept::No("it is held".into())) } else { Ok(()) } })
    }

    fn tombstone(&self, _id: SessionId) -> BoxFuture<'_, Result<Option<String>, Unreadable>> {
        Box::pin(async { Ok(None) })
    }
}

impl EvidenceView for Fakes {
    fn describe(&self, search: &SessionSearch) -> String {
        format!("target={}", search.target.as_deref().unwrap_or("any"))
    }

    fn search(&self, search: SessionSearch) -> BoxFuture<'_, Result<Vec<FoundSession>, Unreadable>> {
        let found = FoundSession { session: session(), matches: Vec::new(), more: 0 };
        Box::pin(async move {
            if search.target.as_deref() == Some("years") {
                tokio::time::sleep(Duration::from_secs(900)).await;
            }
            Ok(vec![found; search.limit.min(1)])
        })
    }

    fn export<'a>(
        &'a self,
        wish: EvidenceWish,
        _by: &'a Subject,
    ) -> BoxFuture<'a, Result<Option<BundleStream>, Unreadable>> {
        Box::pin(async move {
            let (sender, receiver) = tokio::sync::mpsc::channel(4);
            let last = match wish.search.target.as_deref() {
                Some("nowhere") => return Ok(None),
                Some("years") => {
                    tokio::time::sleep(Duration::from_secs(900)).await;
                    Ok(b"end".to_vec())
                }
                Some("broken") => Err(Unreadable("a disk failed".into())),
                _ => Ok(b"end".to_vec()),
            };
            for piece in [Ok(b"begin ".to_vec()), last] {
                sender.send(piece).await.expect("somebody listens");
            }
            Ok(Some(receiver))
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<SignedCheckpoint, Unreadable>> {
        let signed = SignedCheckpoint { origin: "grille/test".into(), size: 9, root: "r".into(), note: "n".into() };
        Box::pin(async move { Ok(signed) })
    }
}

impl Audit for Fakes {
    fn record(&self, act: &Act<'_>) -> Result<(), Unrecorded> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(Unrecorded("disk full".into()));
        }
        let what = act.session.map(|id| id.to_string()).or_else(|| act.object.clone()).unwrap_or_default();
        self.acts.lock().push(format!("{} {} {what}", act.by.name, act.action.name()));
        Ok(())
    }
}

struct Log;

impl Journal for Log {
    fn append(&self, _event: &Event) -> Result<(), Unjournaled> {
        Ok(())
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

pub(crate) fn ask(name: &str, text: &str) -> Ask {
    let session = SessionFacts {
        id: session_id(),
        subject: Arc::new(subject(name)),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:5".into(),
        client: "psql".into(),
        tls: None,
    };
    Ask {
        session: Arc::new(session),
        text: text.into(),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
        in_transaction: false,
        terms: Terms::standard("a bulk update"),
        findings: Vec::new(),
        epoch: Epoch(3),
        policies: Digest([7; 32]),
        justification: None,
    }
}
