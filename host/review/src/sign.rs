use grille_policy::{Actor, Digest, Epoch, RequestId, SessionId, Subject, TransactionState};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::dsse::{Envelope, seal};
use crate::entry::Entry;
use crate::view::Person;

/// The gateway's signing key (Ed25519), held elsewhere.
pub trait Signer: Send + Sync {
    /// A hint which key it is. Not authenticated: verifiers must not trust it.
    fn key_id(&self) -> &str;

    /// The Ed25519 signature of exactly these bytes.
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Unsigned>;
}

/// A decision could not be signed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unsigned(pub String);

/// The type of the signed payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.grille.approval.v1+json";

/// What is signed: everything the reviewer decided on, and the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub v: u32,
    pub cluster: Arc<str>,
    pub request_id: RequestId,
    pub session: SessionId,
    pub requester: Person,
    pub actors: Vec<Actor>,
    pub peer: Arc<str>,
    pub client: Arc<str>,
    pub target: Arc<str>,
    pub roles: Vec<Arc<str>>,
    /// `statement`: the grant is good for these bytes only.
    pub kind: Arc<str>,
    pub statement_sha256: Digest,
    pub params_commit: Digest,
    pub tx_state: TransactionState,
    pub policy_epoch: Epoch,
    pub policy_digest: Digest,
    pub reason: Arc<str>,
    pub justification: Option<Arc<str>>,
    pub max_uses: u32,
    /// How long the grant lives from the last approval, in milliseconds.
    pub window_ms: u64,
    pub reviewer: Person,
    pub reviewer_acr: Option<String>,
    pub reviewer_amr: Vec<String>,
    /// `approve` or `deny`.
    pub verdict: Arc<str>,
    pub comment: String,
    /// When the reviewer last looked at the request, in Unix milliseconds.
    pub seen_ms: Option<u64>,
    pub decided_ms: u64,
    /// `L1`: Grille attests that the holder of a valid token decided; the reviewer holds no key of their own.
    pub assurance: Arc<str>,
    pub prev_checkpoint: Option<String>,
}

/// What the desk adds to a reviewer's word.
pub(crate) struct Word<'a> {
    pub(crate) reviewer: &'a Subject,
    pub(crate) approves: bool,
    pub(crate) comment: &'a str,
    pub(crate) at_ms: u64,
    pub(crate) window_ms: u64,
    pub(crate) cluster: &'a Arc<str>,
    pub(crate) anchor: Option<String>,
}

pub(crate) fn sign(entry: &Entry, word: Word<'_>, signer: &dyn Signer) -> Result<Envelope, Unsigned> {
    let claims: Claims = serde_json::from_str(&word.reviewer.claims).unwrap_or_default();
    let session = &entry.ask.session;
    let payload = Payload {
        v: 1,
        cluster: Arc::clone(word.cluster),
        request_id: entry.id,
        session: session.id,
        requester: Person::from(&*session.subject),
        actors: session.subject.actors.clone(),
        peer: Arc::clone(&session.peer),
        client: Arc::clone(&session.client),
        target: Arc::clone(&session.target),
        roles: session.roles.clone(),
        kind: "statement".into(),
        statement_sha256: entry.text_digest,
        params_commit: entry.parameters_commit(),
        tx_state: entry.ask.transaction,
        policy_epoch: entry.ask.epoch,
        policy_digest: entry.ask.policies,
        reason: Arc::clone(&entry.ask.terms.reason),
        justification: entry.ask.justification.clone(),
        max_uses: 1,
        window_ms: word.window_ms,
        reviewer: Person::from(word.reviewer),
        reviewer_acr: claims.acr,
        reviewer_amr: claims.amr,
        verdict: if word.approves { "approve" } else { "deny" }.into(),
        comment: word.comment.to_owned(),
        seen_ms: entry.seen_by(word.reviewer),
        decided_ms: word.at_ms,
        assurance: "L1".into(),
        prev_checkpoint: word.anchor,
    };
    let bytes = serde_json::to_vec(&payload).map_err(|error| Unsigned(error.to_string()))?;
    seal(PAYLOAD_TYPE, &bytes, signer)
}

/// How the reviewer logged in, where the token says so.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims {
    acr: Option<String>,
    amr: Vec<String>,
}
