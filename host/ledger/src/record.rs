use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use grille_policy::{
    Decision, DecisionId, Digest, Epoch, Fault, Mode, RelationUse, RequestId, SessionFacts, SessionId, StatementFacts,
    Subject, TransactionState,
};
use serde::{Deserialize, Serialize};

use crate::{Held, Retention};

/// One event. It is serialised once; those bytes are sealed, and never serialised again.
///
/// The kinds and their fields are a stored format: fields are only added, with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[non_exhaustive]
pub enum Record<'a> {
    /// A session began. Written by [`Ledger::session`](crate::Ledger::session).
    #[serde(rename = "session.open")]
    SessionOpen(SessionOpen<'a>),
    /// A session ended. Written by [`SessionLog::close`](crate::SessionLog::close).
    #[serde(rename = "session.close")]
    SessionClose(SessionClose<'a>),
    /// What a text means, once per session and before the first decision that names it. Written by
    /// [`SessionLog::keep_facts`](crate::SessionLog::keep_facts).
    #[serde(rename = "facts")]
    Facts(FactsRecord<'a>),
    /// What the policies said to an operation, before it is forwarded or refused.
    #[serde(rename = "decision")]
    Decision(DecisionRecord<'a>),
    /// How an operation ended.
    #[serde(rename = "outcome")]
    Outcome(Outcome<'a>),
    /// Something happened to a review request.
    #[serde(rename = "review")]
    Review(ReviewEvent<'a>),
    /// What was masked in one result, where no outcome carries it.
    #[serde(rename = "mask.summary")]
    MaskSummary(MaskSummary<'a>),
    /// Carries recorded bytes and nothing else. Written by [`SessionLog`](crate::SessionLog).
    #[serde(rename = "recording")]
    Recording {},
    /// Somebody was turned away before there was a session.
    #[serde(rename = "auth.denied")]
    Denied(Denied<'a>),
    /// The configuration changed, or a change was refused.
    #[serde(rename = "config.change")]
    ConfigChange(ConfigChange<'a>),
    /// Another policy set came into force.
    #[serde(rename = "policy.change")]
    PolicyChange(PolicyChange<'a>),
    /// Keys by which callers' tokens are checked changed, or could not be fetched.
    #[serde(rename = "key.event")]
    Keys(KeyEvent<'a>),
    /// Somebody read the ledger.
    #[serde(rename = "read")]
    Read(Read<'a>),
    /// Somebody did something else through the admin interface.
    #[serde(rename = "admin")]
    Admin(AdminAction<'a>),
    /// A legal hold was put on something, or lifted. Written by [`Ledger::hold`](crate::Ledger::hold).
    #[serde(rename = "hold")]
    Hold(HoldRecord<'a>),
    /// A session's contents were destroyed. Written by [`Ledger::shred`](crate::Ledger::shred).
    #[serde(rename = "shred")]
    Shred(ShredRecord<'a>),
    /// The node is there. Written every minute.
    #[serde(rename = "heartbeat")]
    Heartbeat {},
    /// The node started. Written by [`Ledger::open`](crate::Ledger::open).
    #[serde(rename = "node.start")]
    NodeStart(NodeStart<'a>),
    /// The node stopped in order. Written by [`Ledger::shutdown`](crate::Ledger::shutdown).
    #[serde(rename = "node.stop")]
    NodeStop {},
    /// A torn tail was cut at start. Written by [`Ledger::open`](crate::Ledger::open).
    #[serde(rename = "recovered")]
    Recovered(Recovered),
    /// The machine's clock was set. Written by the ledger itself, as the first record by the new time.
    #[serde(rename = "clock.step")]
    ClockStep(ClockStep),
    /// The gateway found something that weakens it and that nobody changed here.
    #[serde(rename = "warning")]
    Warning(Warning<'a>),
    /// Records are known to be missing.
    #[serde(rename = "gap")]
    Gap(Gap<'a>),
}

impl Record<'_> {
    /// The kind, as leaves name it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionOpen(_) => "session.open",
            Self::SessionClose(_) => "session.close",
            Self::Facts(_) => "facts",
            Self::Decision(_) => "decision",
            Self::Outcome(_) => "outcome",
            Self::Review(_) => "review",
            Self::MaskSummary(_) => "mask.summary",
            Self::Recording {} => "recording",
            Self::Denied(_) => "auth.denied",
            Self::ConfigChange(_) => "config.change",
            Self::PolicyChange(_) => "policy.change",
            Self::Keys(_) => "key.event",
            Self::Read(_) => "read",
            Self::Admin(_) => "admin",
            Self::Hold(_) => "hold",
            Self::Shred(_) => "shred",
            Self::Heartbeat {} => "heartbeat",
            Self::NodeStart(_) => "node.start",
            Self::NodeStop {} => "node.stop",
            Self::Recovered(_) => "recovered",
            Self::ClockStep(_) => "clock.step",
            Self::Warning(_) => "warning",
            Self::Gap(_) => "gap",
        }
    }
}

/// The opening of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionOpen<'a> {
    /// Who, from where, with which roles, to which target.
    pub facts: Cow<'a, SessionFacts>,
    /// What the policies said to the opening, when they were asked.
    pub decision: Option<Cow<'a, Decision>>,
    /// The peer of the socket, where a trusted proxy named another caller.
    pub proxy: Option<Cow<'a, str>>,
    /// Whether an enforced policy protects columns in this session.
    pub masked: bool,
    /// How long its contents are kept; none in records from before there were classes, for which the ledger's own counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention<'a>>,
}

impl<'a> SessionOpen<'a> {
    /// The opening of a session whose peer is the caller.
    #[must_use]
    pub const fn new(facts: &'a SessionFacts) -> Self {
        Self { facts: Cow::Borrowed(facts), decision: None, proxy: None, masked: false, retention: None }
    }
}

/// The end of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClose<'a> {
    /// Why, in a few words: `terminate`, `idle`, `expired`, `killed`, `shutdown`, `aborted` …
    pub reason: Cow<'a, str>,
}

/// What a text means, as policies were told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsRecord<'a> {
    /// SHA-256 of the facts as JSON: what decisions call them by.
    pub digest: Digest,
    /// The facts.
    pub facts: Cow<'a, StatementFacts>,
}

/// A decision on one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord<'a> {
    /// The decision's id, as the caller may be shown it.
    pub id: DecisionId,
    /// The exact text that was judged.
    pub text: Cow<'a, str>,
    /// Bound parameters, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<RecordedParameter<'a>>,
    /// The OIDs of the parameters' types, in order, as far as the caller named them; 0 where it left one to the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameter_types: Vec<u32>,
    /// What the text means: a `facts` record of the same session has this digest and stands before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Digest>,
    /// The commands inside, such as `SELECT`.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub kinds: Cow<'a, [Arc<str>]>,
    /// The relations that are named.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub relations: Cow<'a, [RelationUse]>,
    /// What each policy said and what follows.
    pub decision: Cow<'a, Decision>,
    /// The transaction that it would run in, as the policies were told.
    pub transaction: TransactionState,
    /// The review request that let it pass, or that it has to wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The caller's own words why (`grille.reason`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<Cow<'a, str>>,
}

/// A bound parameter, as the caller of the ledger chose to keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedParameter<'a> {
    /// SQL NULL.
    Null,
    /// The value in its text form.
    Text(Cow<'a, str>),
    /// The value in its binary form, as base64 (no padding, `-` and `_`), with the type's OID.
    Binary(u32, Cow<'a, str>),
    /// The value in its text form where that is not UTF-8, as base64 (no padding, `-` and `_`).
    Raw(Cow<'a, str>),
    /// The value after this treatment.
    Masked(Cow<'a, str>, Cow<'a, str>),
    /// Not kept; its length in bytes.
    Omitted(u64),
}

impl RecordedParameter<'_> {
    /// A value in binary form.
    #[must_use]
    pub fn binary(type_oid: u32, value: &[u8]) -> Self {
        Self::Binary(type_oid, Cow::Owned(crate::sha256::to_base64(value)))
    }

    /// A value in text form that is not UTF-8.
    #[must_use]
    pub fn raw(value: &[u8]) -> Self {
        Self::Raw(Cow::Owned(crate::sha256::to_base64(value)))
    }

    /// Whether it is in its binary form, and its bytes, none for NULL; or why they are not to be had.
    pub fn value(&self) -> Result<(bool, Option<Vec<u8>>), String> {
        let bytes = |text: &str| crate::sha256::from_base64(text).ok_or_else(|| "it is no base64".to_owned());
        match self {
            Self::Null => Ok((false, None)),
            Self::Text(text) => Ok((false, Some(text.as_bytes().to_vec()))),
            Self::Binary(_, text) => Ok((true, Some(bytes(text)?))),
            Self::Raw(text) => Ok((false, Some(bytes(text)?))),
            Self::Masked(treatment, _) => Err(format!("only its masked value was kept ({treatment})")),
            Self::Omitted(length) => Err(format!("only its length was kept ({length} bytes)")),
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome<'a> {
    /// The decision that let it pass or refused it.
    pub decision: DecisionId,
    /// Rows that were sent to the caller, or that the target counted.
    pub rows: u64,
    /// Bytes that were sent to the caller.
    pub bytes: u64,
    /// From the decision to the last byte, in microseconds.
    pub duration_us: u64,
    /// The SQLSTATE of the error that the caller saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<Cow<'a, str>>,
    /// Whose doing a failure was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The sentence that the caller read, where it was the gateway's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
    /// What was masked on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<MaskedColumn<'a>>,
}

/// How often one column's values were treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedColumn<'a> {
    /// The column as the caller sees it.
    pub column: Cow<'a, str>,
    /// The treatment in words.
    pub treatment: Cow<'a, str>,
    /// How many values.
    pub count: u64,
}

/// What was masked in one result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskSummary<'a> {
    /// The decision that the result belongs to.
    pub decision: DecisionId,
    /// The columns.
    pub masked: Vec<MaskedColumn<'a>>,
}

/// A step in the life of a review request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewEvent<'a> {
    /// The request.
    pub request: RequestId,
    /// `asked`, `approved`, `denied`, `expired`, `cancelled`, `consumed` …
    pub event: Cow<'a, str>,
    /// Who did it; none where time did.
    pub by: Option<Cow<'a, Subject>>,
    /// Why, in that person's words.
    pub reason: Option<Cow<'a, str>>,
    /// The signed statement (DSSE) as JSON text.
    pub envelope: Option<Cow<'a, str>>,
}

/// A caller that did not become a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied<'a> {
    /// The listener's name.
    pub listener: Cow<'a, str>,
    /// The caller's address.
    pub peer: Cow<'a, str>,
    /// What was asked for: the target, as far as it was said.
    pub target: Option<Cow<'a, str>>,
    /// Who it is, where the token was good and rights were missing.
    pub subject: Option<Cow<'a, Subject>>,
    /// What the caller was told: SQLSTATE or HTTP status.
    pub code: Cow<'a, str>,
    /// Why, for the operator.
    pub reason: Cow<'a, str>,
}

/// A change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange<'a> {
    /// Who; see [`By`].
    pub by: By<'a>,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// The keys that differ.
    pub changed: Vec<Cow<'a, str>>,
    /// What protects less than before, in words, where no policy set came into force with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weakening: Vec<Cow<'a, str>>,
    /// Why nothing changed, when it was refused.
    pub refused: Option<Cow<'a, str>>,
}

/// A change of the policy set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange<'a> {
    /// Who; see [`By`].
    pub by: By<'a>,
    /// The number of the set that is in force afterwards.
    pub epoch: Epoch,
    /// Every policy of that set by name.
    pub policies: BTreeMap<Cow<'a, str>, PolicyInForce>,
    /// What protects less than before, in words.
    pub weakening: Vec<Cow<'a, str>>,
    /// Why nothing changed, when it was refused; `epoch` and `policies` then are those still in force.
    pub refused: Option<Cow<'a, str>>,
}

/// One policy of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInForce {
    /// SHA-256 of the component.
    pub plugin: Digest,
    /// SHA-256 of the settings as JSON.
    pub settings: Digest,
    /// Whether it acts.
    pub mode: Mode,
}

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By<'a> {
    /// Somebody through the admin interface.
    Subject(Box<Cow<'a, Subject>>),
    /// Somebody who edited a file; the owner's user id where it is known.
    File {
        /// The file.
        path: Cow<'a, str>,
        /// Its owner.
        uid: Option<u32>,
    },
    /// The gateway itself, at start.
    Start,
}

/// What became of an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEvent<'a> {
    /// The issuer's name in the configuration.
    pub provider: Cow<'a, str>,
    /// Its URL.
    pub issuer: Cow<'a, str>,
    /// All keys by which its tokens are checked from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<IssuerKey<'a>>,
    /// Why there are no new ones; those that are known are used for an hour at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Cow<'a, str>>,
}

/// A public key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerKey<'a> {
    /// Its name in tokens.
    pub kid: Option<Cow<'a, str>>,
    /// Its thumbprint by RFC 7638.
    pub thumbprint: Cow<'a, str>,
    /// The key as JSON (RFC 7517), as it was fetched.
    pub jwk: Cow<'a, str>,
}

/// A look into the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read<'a> {
    /// Who looked.
    pub by: Cow<'a, Subject>,
    /// `list`, `show`, `replay`, `search`, `export`.
    pub action: Cow<'a, str>,
    /// Of which session, where it was one.
    pub session: Option<SessionId>,
    /// What was asked for: filters, ranges.
    pub query: Option<Cow<'a, str>>,
}

/// Anything else that somebody did through the admin interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminAction<'a> {
    /// Who.
    pub by: Cow<'a, Subject>,
    /// What: `session.kill`, `policy.promote` …
    pub action: Cow<'a, str>,
    /// To which thing.
    pub object: Cow<'a, str>,
    /// Why, in that person's words.
    pub reason: Option<Cow<'a, str>>,
}

/// A legal hold that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRecord<'a> {
    /// Who.
    pub by: Cow<'a, Subject>,
    /// What is held.
    pub on: Held,
    /// Whether it came.
    pub is_held: bool,
    /// Why, in that person's words.
    pub reason: Cow<'a, str>,
}

impl<'a> HoldRecord<'a> {
    pub(crate) const fn new(by: &'a Subject, on: Held, is_held: bool, reason: &'a str) -> Self {
        Self { by: Cow::Borrowed(by), on, is_held, reason: Cow::Borrowed(reason) }
    }
}

/// The end of a session's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShredRecord<'a> {
    /// Who; none where the end of its retention did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'a, Subject>>,
    /// Whose contents.
    pub session: SessionId,
    /// The keys that were destroyed, as leaves name them.
    pub keys: Vec<String>,
    /// Why, in that person's words.
    pub reason: Cow<'a, str>,
    /// How long they were to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention<'a>>,
    /// Whether that was not over, and the person said that this is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_early: bool,
}

/// A start of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStart<'a> {
    /// The version of Grille.
    pub version: Cow<'a, str>,
    /// The process.
    pub pid: u32,
    /// How many records the log holds before this one.
    pub size: u64,
    /// The last signed checkpoint, as text; none in a new log.
    pub checkpoint: Option<Cow<'a, str>>,
    /// The key that checks the checkpoints from here on, as `log.vkey` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_key: Option<Cow<'a, str>>,
    /// The id of the key that wraps the sessions' keys from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_key: Option<Cow<'a, str>>,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The segment.
    pub segment: u32,
    /// Where the last good record ends.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// Their SHA-256.
    pub digest: Digest,
}

/// A step of the machine's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStep {
    /// The time by which records were written before, in Unix microseconds.
    pub from: u64,
    /// The time that the machine's clock shows since.
    pub to: u64,
}

/// What weakens the gateway from outside, say an upstream login with the rights of a superuser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning<'a> {
    /// Where, what and what would end it; as the status says it.
    pub message: Cow<'a, str>,
}

/// Missing records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap<'a> {
    /// What is missing and why.
    pub reason: Cow<'a, str>,
    /// Who began anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By<'a>>,
    /// The log that this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Cow<'a, str>>,
    /// Where that one is kept, below the ledger's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Cow<'a, str>>,
    /// The newest checkpoint that was signed of it, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Cow<'a, str>>,
}
