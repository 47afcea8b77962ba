//! What the API answers with. The command line reads the same types.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use grille_policy::{
    Actor, Decision, DecisionId, Digest, Epoch, Mode, RequestId, SessionFacts, SessionId, StatementFacts,
    TransactionState,
};
use grille_review::{Person, Review};
use serde::{Deserialize, Serialize};

/// `GET /v1/status`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of Grille.
    pub version: Arc<str>,
    /// When the gateway started, in Unix milliseconds.
    pub started_ms: u64,
    /// The policy set in force.
    pub epoch: Epoch,
    /// Where callers connect.
    pub listeners: Vec<Listener>,
    /// What is protected.
    pub targets: Vec<Arc<str>>,
    /// How many sessions are live.
    pub sessions: u64,
    /// How many requests wait for people.
    pub reviews: u64,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// How far the ledger has come.
    pub ledger: Ledger,
}

/// The ledger at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Records written.
    pub written: u64,
    /// Records that survive a power loss.
    pub synced: u64,
    /// Records under a published checkpoint.
    pub signed: u64,
    /// Records behind the published checkpoint.
    #[serde(default)]
    pub unsigned: Tail,
    /// Records that no witness signed for; none where none ever signed.
    #[serde(default)]
    pub unwitnessed: Option<Tail>,
    /// Records behind the newest note in the archive; none where there is no archive.
    #[serde(default)]
    pub unanchored: Option<Tail>,
    /// How far the archive has come, where there is one.
    #[serde(default)]
    pub archive: Option<Archived>,
    /// How retentions stand.
    #[serde(default)]
    pub retained: Retained,
    /// Why nothing can be written.
    pub trouble: Option<Arc<str>>,
}

/// Records that something does not vouch for yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// How many.
    pub records: u64,
    /// How old the first of them is.
    pub age_ms: u64,
}

/// How retentions stand, as of the last hourly look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// Sessions whose retention is over and whose contents are there.
    pub past: u64,
    /// Sessions whose contents were destroyed at the end of their retention since the start.
    pub destroyed: u64,
    /// Seconds that the clock leapt over and that count for no retention.
    pub leapt_s: u64,
}

/// The archive at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Records under a checkpoint that the archive holds.
    pub anchored: u64,
    /// Closed segments that it has not taken.
    pub segments_waiting: u32,
    /// Their bytes.
    pub bytes_waiting: u64,
    /// Why the last attempt failed.
    pub trouble: Option<Arc<str>>,
}

/// An address that callers reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// `postgres` or `http`.
    pub protocol: Arc<str>,
    /// Where it listens.
    pub address: Arc<str>,
}

/// `GET /v1/policies`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// The number of the set in force.
    pub epoch: Epoch,
    /// How many sessions are on which set; those on an old one follow with their next operation.
    pub sessions: Vec<EpochSessions>,
    /// All of them, by name.
    pub policies: Vec<Policy>,
    /// The last attempt to load another set.
    pub reload: Option<Reload>,
}

/// The sessions on one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochSessions {
    /// The set.
    pub epoch: Epoch,
    /// How many.
    pub sessions: u64,
}

/// One policy of the set in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The plugin's own name, else that of its file.
    pub plugin: Arc<str>,
    /// The plugin's version, where it says one.
    pub version: Option<Arc<str>>,
    /// The file or address that it comes from.
    pub source: Arc<str>,
    /// SHA-256 of the component in force.
    pub digest: Digest,
    /// SHA-256 of its settings as JSON.
    pub settings: Digest,
    /// Whether it acts.
    pub mode: Mode,
    /// Whom one instance serves: `session`, `request` or `shared`.
    pub isolation: Arc<str>,
    /// `in force`, or what somebody should know first: `paused`, `missing` (the file is gone, the last good component
    /// stays in force), `new digest waiting`.
    pub state: Arc<str>,
    /// The digest that is in its file and not in force.
    pub waiting: Option<Digest>,
    /// While it is left alone because it failed again and again: the seconds until it is tried again.
    pub paused_s: Option<u64>,
    /// Whether it answered the same question otherwise, though it says that it is stateless.
    pub broke_its_word: bool,
    /// The targets that it guards.
    pub targets: Vec<Arc<str>>,
    /// Whom it binds.
    pub roles: Vec<Arc<str>>,
    /// The hooks that it exports.
    pub hooks: Vec<Arc<str>>,
    /// What it may reach besides `log` and `detect`.
    pub grants: Vec<Arc<str>>,
    /// `block`, or `allow` where its failures let operations pass.
    pub on_failure: Arc<str>,
    /// What it has done since its component or its settings changed.
    pub activity: Activity,
    /// What somebody should know about it.
    pub notes: Vec<Arc<str>>,
}

/// What a policy has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Calls into the plugin.
    pub calls: u64,
    /// Answers that were remembered instead.
    pub remembered: u64,
    /// Verdicts, remembered ones included.
    pub allowed: u64,
    /// See `allowed`.
    pub reviewed: u64,
    /// See `allowed`.
    pub blocked: u64,
    /// Calls without a usable answer.
    pub failures: u64,
    /// The same by kind: `trap`, `timeout`, `memory`, `nonsense`, `start`, `breaker`.
    pub failures_by_kind: BTreeMap<Arc<str>, u64>,
    /// Why it failed last.
    pub last_error: Option<Arc<str>>,
    /// The median time of a call, in microseconds.
    pub p50_us: f64,
    /// The time that 99 of 100 calls stay below, in microseconds.
    pub p99_us: f64,
    /// The most memory that one instance has had, in bytes.
    pub memory: u64,
}

/// The body of `POST /v1/policies/{name}/promote`: a component, a mode, or nothing for the component in its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// The SHA-256 of the component, or its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// As records have it, behind a policy's name.
impl fmt::Display for Promotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(digest) = &self.digest {
            write!(f, " sha256={digest}")?;
        }
        match self.mode {
            Some(Mode::Enforce) => f.write_str(" mode=enforce"),
            Some(Mode::Monitor) => f.write_str(" mode=monitor"),
            None => Ok(()),
        }
    }
}

/// The answer of `POST /v1/policies/{name}/promote` and `…/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The policy.
    pub policy: Arc<str>,
    /// The set in force now.
    pub epoch: Epoch,
    /// The component that the policy runs now.
    pub digest: Digest,
    /// Whether it acts now.
    pub mode: Mode,
    /// Whether another set came into force.
    pub is_changed: bool,
    /// Whether grille.lock says something else than before.
    pub is_pinned: bool,
    /// What protects less than before.
    pub weakening: Vec<Arc<str>>,
}

/// An attempt to load another policy set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Whether it came into force.
    pub is_done: bool,
    /// One line per problem, or what changed.
    pub lines: Vec<Arc<str>>,
}

/// `GET /v1/sessions`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Newest first.
    pub sessions: Vec<Session>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who called.
    pub person: Person,
    /// Who acted for them.
    pub actors: Vec<Actor>,
    /// What they were connected to.
    pub target: Arc<str>,
    /// The held roles.
    pub roles: Vec<Arc<str>>,
    /// `postgres` or `http`.
    pub protocol: Arc<str>,
    /// The caller's address.
    pub peer: Arc<str>,
    /// What the caller said it was.
    pub client: Arc<str>,
    /// Whether columns were masked; lists do not say.
    pub masked: Option<bool>,
    /// When it began, in Unix milliseconds.
    pub opened_ms: u64,
    /// When it ended, in Unix milliseconds.
    pub closed_ms: Option<u64>,
    /// Why it ended.
    pub end: Option<Arc<str>>,
    /// Whether it goes on now.
    pub is_live: bool,
    /// How many operations were judged, as far as counted.
    pub operations: Option<u64>,
    /// How many of them did not pass.
    pub refused: Option<u64>,
}

/// How long the contents of a session are kept, counted from its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What says so: `ledger`, or `targets.NAME`.
    pub class: Arc<str>,
    /// How long.
    pub seconds: u64,
}

/// `GET /v1/sessions/{id}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDetail {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// How long its contents are kept.
    #[serde(default)]
    pub kept: Option<Kept>,
    /// What it asked, in order.
    pub log: Vec<OperationLine>,
    /// How many more there are than are listed.
    pub more: u64,
}

/// One operation: what was asked, what was decided, how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationLine {
    /// The decision.
    pub decision: DecisionId,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The text.
    pub text: Arc<str>,
    /// `allow`, `review` or `block`.
    pub verdict: Arc<str>,
    /// Why it was not simply allowed.
    pub reason: Option<Arc<str>>,
    /// The policies that were asked, with what each said: `guard: block`.
    pub opinions: Vec<Arc<str>>,
    /// The review that it took.
    pub request: Option<RequestId>,
    /// How it ended, once it has.
    pub outcome: Option<OutcomeLine>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeLine {
    /// Rows sent or counted.
    pub rows: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The SQLSTATE that the caller saw.
    pub sqlstate: Option<Arc<str>>,
    /// What was masked: `ssn: token(ssn) × 20`.
    pub masked: Vec<Arc<str>>,
}

/// `GET /v1/decisions/{id}`: what was asked, what was said to it, and what it takes to ask the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionDetail {
    /// The decision.
    pub id: DecisionId,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Who asked, as policies were told.
    pub session: SessionFacts,
    /// Whether columns were masked.
    pub masked: bool,
    /// The text.
    pub text: Arc<str>,
    /// Bound parameters, in order.
    pub parameters: Vec<ParameterDetail>,
    /// The transaction that it would run in.
    pub transaction: TransactionState,
    /// What the text means, as policies were told; none where that was not recorded.
    pub facts: Option<StatementFacts>,
    /// What each policy said and what follows.
    pub decision: Decision,
    /// What the policies said to the opening of the session.
    pub opening: Option<Decision>,
    /// What the policies that were asked are made of.
    pub plugins: Vec<PluginDetail>,
    /// The review request that let it pass, or that it had to wait for.
    pub request: Option<RequestId>,
    /// What happened to that request until the operation ended.
    pub review: Vec<ReviewStep>,
    /// The caller's own words why.
    pub justification: Option<Arc<str>>,
    /// How it ended, once it has.
    pub outcome: Option<OutcomeLine>,
    /// The sentence that the caller read, where it was the gateway's own.
    pub message: Option<Arc<str>>,
}

/// A bound parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterDetail {
    /// The type's OID, 0 where the caller left it to the target.
    pub type_oid: u32,
    /// Whether the value is in the type's binary format.
    pub is_binary: bool,
    /// The value in base64; none for NULL, and where it is missing.
    pub value: Option<String>,
    /// Why the value was not recorded.
    pub missing: Option<Arc<str>>,
}

impl ParameterDetail {
    /// The value; none for NULL, and where it is missing.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(self.value.as_deref()?).ok()
    }
}

/// What a policy was made of when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginDetail {
    /// The policy's name in the configuration.
    pub policy: Arc<str>,
    /// The plugin's own name, where it says one.
    pub name: Option<Arc<str>>,
    /// The plugin's version, where it says one.
    pub version: Option<Arc<str>>,
    /// The settings as JSON, exactly as it got them.
    pub settings: Option<Arc<str>>,
    /// Why something of it is not to be had.
    pub problem: Option<Arc<str>>,
}

/// Something that happened to a review request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewStep {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// `requested`, `approved`, `denied` …
    pub event: Arc<str>,
    /// Who did it; none where time did.
    pub by: Option<Arc<str>>,
    /// Why, in that person's words.
    pub reason: Option<Arc<str>>,
}

/// One line of `GET /v1/sessions/{id}/recording`, which is a stream of JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "moment", rename_all = "kebab-case")]
pub enum Moment {
    /// The session began.
    Opened {
        /// The session.
        session: Box<Session>,
    },
    /// The caller asked something.
    Asked {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// The decision on it.
        decision: DecisionId,
        /// The text.
        text: Arc<str>,
        /// `allow`, `review` or `block`.
        verdict: Arc<str>,
    },
    /// The caller sent these bytes, exactly.
    Sent {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// The bytes in base64.
        data: String,
    },
    /// The caller saw these bytes, exactly: messages of the protocol, after masking.
    Shown {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// The bytes in base64.
        data: String,
    },
    /// The caller saw more than is kept.
    Elided {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// How many rows are not kept.
        rows: u64,
        /// How many bytes are not kept.
        bytes: u64,
    },
    /// An operation ended.
    Ended {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// The decision on it.
        decision: DecisionId,
        /// How.
        outcome: OutcomeLine,
    },
    /// The session ended.
    Closed {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// Why.
        reason: Arc<str>,
    },
    /// The recording cannot be read further.
    Broken {
        /// Why.
        reason: Arc<str>,
    },
}

/// `GET /v1/reviews`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviews {
    /// Newest first.
    pub reviews: Vec<Review>,
}

/// The body of `POST /v1/reviews/{id}/approve`, `…/deny` and `…/revoke`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why, in the reviewer's words.
    #[serde(default)]
    pub reason: String,
}

/// `GET /v1/sessions/search`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSessions {
    /// Newest first.
    pub sessions: Vec<FoundSession>,
}

/// A session that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSession {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// The first operations that match; empty where nothing was asked of operations.
    pub matches: Vec<FoundOperation>,
    /// How many more match than are told.
    pub more: u64,
}

/// An operation that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundOperation {
    /// The decision.
    pub decision: DecisionId,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// `allow`, `review` or `block`.
    pub verdict: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

/// What is put under a legal hold, or let go: a session, or all of a person's. The body of `POST /v1/ledger/holds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldWish {
    /// A session, or the beginning of its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// A person, by the `sub` of their tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether it is put on, not lifted.
    pub is_held: bool,
    /// Why.
    pub reason: String,
}

/// The answer of `GET /v1/ledger/holds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Those in force.
    pub holds: Vec<Hold>,
}

/// A legal hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The session that is held, if it is one.
    pub session: Option<SessionId>,
    /// The person whose sessions are held.
    pub subject: Option<Arc<str>>,
    /// Who asked for it.
    pub by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
}

/// The body of `POST /v1/ledger/shred`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShredWish {
    /// The session, or the beginning of its id.
    pub session: String,
    /// Why.
    pub reason: String,
    /// Whether it is meant although its retention is not over.
    #[serde(default)]
    pub early: bool,
}

/// The answer of `POST /v1/ledger/shred`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shredded {
    /// The session.
    pub session: SessionId,
}

/// The answer of `POST /v1/ledger/checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// The log.
    pub origin: Arc<str>,
    /// How many records it covers.
    pub size: u64,
    /// The root hash over them, in base64.
    pub root: String,
    /// The signed note, exactly.
    pub note: String,
}

/// The answer of `DELETE /v1/sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// The session.
    pub id: SessionId,
}
