use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use grille_ledger::{DecisionRecord, Ledger, LedgerConfig, Outcome, Record, SealKey, SessionOpen, SigningKey};
use grille_policy::{
    Decision, DecisionId, Epoch, SessionFacts, SessionId, Subject, TransactionState, Verdict, testing::opinion,
};

pub(crate) struct Keys {
    pub(crate) signing: SigningKey,
    pub(crate) seal: SealKey,
}

impl Keys {
    pub(crate) fn generate() -> Self {
        Self { signing: SigningKey::generate().unwrap(), seal: SealKey::generate().unwrap() }
    }

    pub(crate) fn config(&self, path: &Path) -> LedgerConfig {
        let config = LedgerConfig::new(path.to_owned(), self.signing.clone(), self.seal.clone());
        LedgerConfig { origin: Some("grille/test".to_owned()), ..config }
    }

    pub(crate) fn open(&self, path: &Path) -> Ledger {
        Ledger::open(self.config(path)).unwrap()
    }

    /// Goes on with a log, and lets go of it.
    pub(crate) async fn write_more(&self, path: &Path, sessions: std::ops::Range<u32>) {
        let ledger = self.open(path);
        write_sessions(&ledger, sessions, 3);
        ledger.shutdown().await.unwrap();
    }
}

pub(crate) fn facts(number: u32) -> SessionFacts {
    let subject = Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: format!("user-{number}").into(),
        name: "Ada".into(),
        groups: vec!["data-analysts".into()],
        actors: Vec::new(),
        expires_at: 1_900_000_000,
        claims: "{}".into(),
    };
    SessionFacts {
        id: SessionId::mint(1_795_000_000_000 + u64::from(number), number),
        subject: Arc::new(subject),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:50000".into(),
        client: "psql".into(),
        tls: None,
    }
}

pub(crate) fn allowed() -> Decision {
    Decision::new(Epoch(1), vec![opinion(Verdict::Allow)])
}

pub(crate) fn decision<'a>(session: SessionId, number: u64, text: &'a str, decision: &'a Decision) -> Record<'a> {
    Record::Decision(DecisionRecord {
        id: DecisionId { session, number },
        text: text.into(),
        parameters: Vec::new(),
        parameter_types: Vec::new(),
        facts: None,
        kinds: Cow::Owned(vec!["SELECT".into()]),
        relations: Cow::Owned(Vec::new()),
        decision: Cow::Borrowed(decision),
        transaction: TransactionState::Idle,
        request: None,
        justification: None,
    })
}

pub(crate) fn outcome(session: SessionId, number: u64) -> Record<'static> {
    Record::Outcome(Outcome {
        decision: DecisionId { session, number },
        rows: 1,
        bytes: 100,
        duration_us: 321,
        sqlstate: None,
        fault: None,
        message: None,
        masked: Vec::new(),
    })
}

/// Writes sessions of `pairs` decisions and outcomes each.
pub(crate) fn write_sessions(ledger: &Ledger, sessions: std::ops::Range<u32>, pairs: u64) {
    let allowed = allowed();
    for number in sessions {
        let facts = facts(number);
        let mut log = ledger.session(SessionOpen::new(&facts)).unwrap();
        for pair in 0..pairs {
            let text = format!("select * from patients where id = {pair} -- secret-{number}-{pair}");
            log.append(&decision(facts.id, pair, &text, &allowed)).unwrap();
            log.append(&outcome(facts.id, pair)).unwrap();
        }
        log.close("terminate").unwrap();
    }
}
