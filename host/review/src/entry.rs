use std::sync::Arc;

use grille_policy::{Digest, RequestId, Subject};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ask::Ask;
use crate::bind::{Binding, Salt};
use crate::quorum::Quorums;
use crate::view::{Content, Person, Requester, Review, ShownParameter, State, Vote};

/// A request remembers the last look of so many people.
const SEEN_MAX: usize = 64;

/// One request, as the desk keeps it.
pub(crate) struct Entry {
    pub(crate) id: RequestId,
    pub(crate) ask: Ask,
    pub(crate) bytes: usize,
    pub(crate) binding: Binding,
    pub(crate) salt: Salt,
    pub(crate) text_digest: Digest,
    pub(crate) parameters_digest: Digest,
    pub(crate) quorums: Quorums,
    pub(crate) state: State,
    /// Whether a caller waits at the prompt for it, so that nobody else may use the grant.
    pub(crate) attended: bool,
    /// Whether a caller waited when it was asked.
    pub(crate) held: bool,
    pub(crate) asked_ms: u64,
    pub(crate) deadline: Instant,
    pub(crate) expires_ms: u64,
    pub(crate) votes: Vec<Vote>,
    /// The groups of each person who approved, as their token said then.
    pub(crate) approvals: Vec<Vec<Arc<str>>>,
    pub(crate) seen: Vec<(Person, u64)>,
    pub(crate) wake: Arc<Notify>,
}

impl Entry {
    pub(crate) fn parameters_commit(&self) -> Digest {
        self.salt.commit(&self.parameters_digest)
    }

    pub(crate) fn requester(&self) -> &Subject {
        &self.ask.session.subject
    }

    pub(crate) fn missing(&self) -> u32 {
        self.quorums.missing(&self.approvals)
    }

    /// What would be missing after one more approval by somebody in these groups.
    pub(crate) fn missing_after(&self, groups: &[Arc<str>]) -> u32 {
        let mut approvals = self.approvals.clone();
        approvals.push(groups.to_vec());
        self.quorums.missing(&approvals)
    }

    pub(crate) fn look(&mut self, viewer: &Subject, at_ms: u64) {
        let person = Person::from(viewer);
        self.seen.retain(|(known, _)| !known.is(&person));
        if self.seen.len() == SEEN_MAX {
            self.seen.remove(0);
        }
        self.seen.push((person, at_ms));
    }

    pub(crate) fn seen_by(&self, viewer: &Subject) -> Option<u64> {
        let person = Person::from(viewer);
        self.seen.iter().find(|(known, _)| known.is(&person)).map(|(_, at_ms)| *at_ms)
    }

    pub(crate) fn view(&self) -> Review {
        let session = &self.ask.session;
        Review {
            id: self.id,
            state: self.state,
            requester: Requester {
                person: Person::from(&*session.subject),
                actors: session.subject.actors.clone(),
                session: session.id,
                roles: session.roles.clone(),
                peer: Arc::clone(&session.peer),
                client: Arc::clone(&session.client),
            },
            target: Arc::clone(&session.target),
            content: Content {
                text: Arc::clone(&self.ask.text),
                sha256: self.text_digest,
                parameters: self.ask.parameters.iter().map(ShownParameter::from).collect(),
                parameters_commit: self.parameters_commit(),
                transaction: self.ask.transaction,
            },
            reason: Arc::clone(&self.ask.terms.reason),
            justification: self.ask.justification.clone(),
            findings: self.ask.findings.clone(),
            epoch: self.ask.epoch,
            policies: self.ask.policies,
            held: self.held,
            asked_ms: self.asked_ms,
            expires_ms: self.expires_ms,
            needs: self.quorums.needs(),
            missing: self.missing(),
            votes: self.votes.clone(),
        }
    }
}
