use std::fmt;
use std::sync::Arc;

use grille_policy::{Actor, Digest, Epoch, Finding, Parameter, RequestId, SessionId, Subject, TransactionState};
use serde::{Deserialize, Serialize};

/// A request as people see it: what would run, who asks, what it needs, what was said so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: RequestId,
    /// Where it stands.
    pub state: State,
    /// Who asks.
    pub requester: Requester,
    /// The target that it would run on.
    pub target: Arc<str>,
    /// What would run.
    pub content: Content,
    /// Why the policies want a review.
    pub reason: Arc<str>,
    /// Why the caller wants it.
    pub justification: Option<Arc<str>>,
    /// What the policies noticed.
    pub findings: Vec<Finding>,
    /// The policy set that asked.
    pub epoch: Epoch,
    /// Which components with which settings asked.
    pub policies: Digest,
    /// Whether the caller waits at the prompt.
    pub held: bool,
    /// When it was asked, in Unix milliseconds.
    pub asked_ms: u64,
    /// When the request, or the grant, ends by itself; in Unix milliseconds.
    pub expires_ms: u64,
    /// Which approvals it needs: all of these.
    pub needs: Vec<Need>,
    /// How many approvals are missing at least.
    pub missing: u32,
    /// What reviewers said so far.
    pub votes: Vec<Vote>,
}

/// Who asks, from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The person or service.
    #[serde(flatten)]
    pub person: Person,
    /// Who acts for them.
    pub actors: Vec<Actor>,
    /// The session.
    pub session: SessionId,
    /// The held roles.
    pub roles: Vec<Arc<str>>,
    /// The caller's address.
    pub peer: Arc<str>,
    /// What the caller says it is.
    pub client: Arc<str>,
}

/// What would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The exact text.
    pub text: Arc<str>,
    /// Its SHA-256.
    pub sha256: Digest,
    /// The parameters, readable.
    pub parameters: Vec<ShownParameter>,
    /// The salted commitment to the parameters.
    pub parameters_commit: Digest,
    /// The transaction that it would run in.
    pub transaction: TransactionState,
}

/// A parameter, readable: text as it is, binary as `\x` and hexadecimal digits, NULL as none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownParameter {
    /// The type's OID, 0 when the caller left it to the server.
    pub type_oid: u32,
    /// The value.
    pub value: Option<String>,
}

impl From<&Parameter> for ShownParameter {
    fn from(parameter: &Parameter) -> Self {
        let value = parameter.value.as_deref().map(|value| match std::str::from_utf8(value) {
            Ok(text) if !parameter.is_binary => text.to_owned(),
            _ => value.iter().fold(String::from("\\x"), |mut hex, byte| {
                hex.extend([byte >> 4, byte & 15].map(|half| char::from_digit(u32::from(half), 16).unwrap_or('0')));
                hex
            }),
        });
        Self { type_oid: parameter.type_oid, value }
    }
}

/// A quorum: so many distinct people out of these groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Any of these groups.
    pub groups: Vec<Arc<str>>,
    /// So many people.
    pub people: u32,
}

/// What one reviewer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub by: Person,
    /// Whether they approved.
    pub approved: bool,
    /// Why.
    pub reason: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// One human being (or service), as far as one issuer can tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The `iss` claim.
    pub issuer: Arc<str>,
    /// The `sub` claim.
    pub sub: Arc<str>,
    /// The name for people; decides nothing.
    pub name: Arc<str>,
}

impl Person {
    /// Whether both are the same person, whatever they are called.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.sub == other.sub
    }
}

impl From<&Subject> for Person {
    fn from(subject: &Subject) -> Self {
        Self { issuer: Arc::clone(&subject.issuer), sub: Arc::clone(&subject.sub), name: Arc::clone(&subject.name) }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for people.
    Pending,
    /// It may run once.
    Granted,
    /// It ran.
    Consumed,
    /// It was approved and not run in time.
    Expired,
    /// It was approved and taken back.
    Revoked,
    /// A reviewer said no.
    Denied,
    /// The caller went away.
    Withdrawn,
    /// Nobody decided in time.
    TimedOut,
    /// The policies changed.
    Superseded,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Granted,
        Self::Consumed,
        Self::Expired,
        Self::Revoked,
        Self::Denied,
        Self::Withdrawn,
        Self::TimedOut,
        Self::Superseded,
    ];

    /// Its name in lists and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Consumed => "consumed",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::TimedOut => "timed-out",
            Self::Superseded => "superseded",
        }
    }

    /// Whether anything can still happen to it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Granted)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
