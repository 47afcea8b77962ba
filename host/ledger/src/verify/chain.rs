//! Per session: gap-free numbers, each record naming the one before it, and an end that counts them.

use std::collections::HashMap;
use std::collections::VecDeque;

use grille_policy::SessionId;

use crate::leaf::Leaf;
use crate::merkle::leaf_hash;
use crate::sha256::Hash;

/// Policy sets that a decision may still name.
const POLICY_SETS: usize = 64;

/// What does not follow.
pub(super) enum Fault {
    Chain(String),
    Clock(String),
    Policy(String),
}

/// The sessions that are open at this point of the log: as many as were open at once.
#[derive(Default)]
pub(super) struct Chains {
    open: HashMap<SessionId, Chain>,
    sessions: u64,
    aborted: u64,
    shredded: u64,
    mono: u64,
    policies: VecDeque<(u64, String)>,
}

struct Chain {
    next: u64,
    hash: Hash,
    first: u64,
    last: u64,
    is_node: bool,
}

impl Chains {
    pub(super) const fn sessions(&self) -> u64 {
        self.sessions
    }

    pub(super) fn open(&self) -> u64 {
        self.open.values().filter(|chain| !chain.is_node).count() as u64
    }

    pub(super) const fn aborted(&self) -> u64 {
        self.aborted
    }

    pub(super) const fn shredded(&self) -> u64 {
        self.shredded
    }

    /// Takes in the next record of the log.
    pub(super) fn follow(&mut self, index: u64, leaf: &Leaf, bytes: &[u8]) -> Result<(), Fault> {
        if leaf.kind == "node.start" {
            self.aborted += self.open();
            self.open.clear();
            self.policies.clear();
            self.mono = 0;
        }
        if leaf.mono < self.mono {
            return Err(Fault::Clock(format!("the monotonic clock fell from {} to {} µs", self.mono, leaf.mono)));
        }
        self.mono = leaf.mono;
        self.check_policy(leaf)?;
        self.shredded += u64::from(leaf.kind == "shred");
        if leaf.seq == 0 {
            if leaf.prev.is_some() || self.open.contains_key(&leaf.sid) {
                return Err(Fault::Chain(format!("session {} begins a second time", leaf.sid)));
            }
            let is_node = leaf.kind == "node.start";
            self.sessions += u64::from(!is_node);
            let chain = Chain { next: 1, hash: leaf_hash(bytes), first: index, last: index, is_node };
            self.open.insert(leaf.sid, chain);
            return Ok(());
        }
        let Some(chain) = self.open.get_mut(&leaf.sid) else {
            return Err(Fault::Chain(format!(
                "records of session {} before number {} are missing",
                leaf.sid, leaf.seq
            )));
        };
        if leaf.seq != chain.next {
            let detail = format!("session {} goes from number {} to {}", leaf.sid, chain.next - 1, leaf.seq);
            return Err(Fault::Chain(detail));
        }
        if leaf.prev_hash() != Some(chain.hash) {
            return Err(Fault::Chain(format!("number {} of session {} follows another record", leaf.seq, leaf.sid)));
        }
        if matches!(leaf.kind.as_str(), "session.close" | "node.stop") {
            let told = (leaf.first, leaf.last, leaf.count);
            if told != (Some(chain.first), Some(chain.last), Some(leaf.seq + 1)) {
                return Err(Fault::Chain(format!("the end of session {} miscounts it", leaf.sid)));
            }
            self.open.remove(&leaf.sid);
            return Ok(());
        }
        chain.next += 1;
        chain.hash = leaf_hash(bytes);
        chain.last = index;
        Ok(())
    }

    fn check_policy(&mut self, leaf: &Leaf) -> Result<(), Fault> {
        let (Some(epoch), Some(policy)) = (leaf.epoch, &leaf.policy) else { return Ok(()) };
        if leaf.kind == "policy.change" {
            self.policies.push_front((epoch, policy.clone()));
            self.policies.truncate(POLICY_SETS);
            return Ok(());
        }
        match self.policies.iter().find(|(known, _)| *known == epoch) {
            Some((_, known)) if known != policy => {
                Err(Fault::Policy(format!("policy set {epoch} is {known}, and the decision names {policy}")))
            }
            _ => Ok(()),
        }
    }
}
