//! The review desk's book, kept in the ledger.

use std::borrow::Cow;

use grille_ledger::{Ledger, Record, ReviewEvent, SigningKey};
use grille_policy::Subject;
use grille_review::{Edge, Event, Journal, Person, Signer, Unjournaled, Unsigned};

/// Every edge of a review is a record before it takes effect.
pub(crate) struct LedgerJournal(pub(crate) Ledger);

impl Journal for LedgerJournal {
    fn append(&self, event: &Event) -> Result<(), Unjournaled> {
        let Told { by, reason, envelope } = tell(&event.edge);
        let record = Record::Review(ReviewEvent {
            request: event.id,
            event: event.edge.name().into(),
            by: by.map(|person| Cow::Owned(subject(person))),
            reason: reason.map(Cow::Owned),
            envelope: envelope.map(Cow::Owned),
        });
        self.0.admin(&record).map(drop).map_err(|error| Unjournaled(error.to_string()))
    }

    /// The checkpoint as it lies beside the log.
    fn anchor(&self) -> Option<String> {
        std::fs::read_to_string(self.0.path().join("checkpoint")).ok()
    }
}

#[derive(Default)]
struct Told<'a> {
    by: Option<&'a Person>,
    reason: Option<String>,
    envelope: Option<String>,
}

fn tell(edge: &Edge) -> Told<'_> {
    match edge {
        Edge::Requested { review } => {
            let asked = format!("{}; statement sha256 {}", review.reason, review.content.sha256);
            Told { by: Some(&review.requester.person), reason: Some(asked), envelope: None }
        }
        Edge::Approved { by, reason, envelope, .. } | Edge::Denied { by, reason, envelope } => {
            Told { by: Some(by), reason: Some(reason.clone()), envelope: serde_json::to_string(envelope).ok() }
        }
        Edge::Superseded { reason } => Told { reason: Some(reason.clone()), ..Told::default() },
        Edge::Consumed { session } => Told { reason: Some(format!("by session {session}")), ..Told::default() },
        Edge::Revoked { by, reason } => Told { by: by.as_ref(), reason: Some(reason.clone()), envelope: None },
        Edge::Refused { by, attempt, why } => {
            Told { by: Some(by), reason: Some(format!("{attempt:?}: {why}")), envelope: None }
        }
        Edge::Mismatched { session, approved, presented, .. } => Told {
            reason: Some(format!("session {session} presented sha256 {presented}, approved was {approved}")),
            ..Told::default()
        },
        Edge::Withdrawn | Edge::TimedOut | Edge::Expired => Told::default(),
    }
}

/// What the desk still knows of a person: the pair that names them. The token is gone.
fn subject(person: &Person) -> Subject {
    Subject {
        provider: "".into(),
        issuer: person.issuer.clone(),
        sub: person.sub.clone(),
        name: person.name.clone(),
        groups: Vec::new(),
        actors: Vec::new(),
        expires_at: 0,
        claims: "".into(),
    }
}

/// Signs what reviewers decide with the key that signs the ledger's checkpoints; the two formats cannot be confused.
pub(crate) struct LedgerSigner {
    key: SigningKey,
    id: String,
}

impl LedgerSigner {
    pub(crate) fn new(key: SigningKey, ledger: &Ledger) -> Self {
        Self { key, id: ledger.verifier_key().to_string() }
    }
}

impl Signer for LedgerSigner {
    fn key_id(&self) -> &str {
        &self.id
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Unsigned> {
        Ok(self.key.sign(bytes).to_vec())
    }
}
