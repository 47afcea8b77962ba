//! Per session: gap-free numbers, each record naming the one before it, and an end that counts them.

use std::collections::HashMap;
use std::collections::VecDeque;

use grille_policy::SessionId;

use crate::clock::STEP_MIN;
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
    Log(String),
}

/// The sessions that are open at this point of the log: as many as were open at once.
#[derive(Default)]
pub(super) struct Chains {
    open: HashMap<SessionId, Chain>,
    sessions: u64,
    aborted: u64,
    shredded: u64,
    mono: u64,
    /// By how much the wall clock is ahead of the monotonic one, since the last start or step.
    ahead: Option<i64>,
    last_time: u64,
    clock_steps: u64,
    /// The log that every record names.
    origin: Option<String>,
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
    /// Of this log; else of the one that the first record names.
    pub(super) fn of(origin: Option<String>) -> Self {
        Self { origin, ..Self::default() }
    }

    pub(super) const fn clock_steps(&self) -> u64 {
        self.clock_steps
    }

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
        let origin = self.origin.get_or_insert_with(|| leaf.node.clone());
        if *origin != leaf.node {
            return Err(Fault::Log(format!("the record is of the log {}, and this is {origin}", leaf.node)));
        }
        if leaf.kind == "node.start" {
            // A clock that was set back while nobody ran: no record tells of it but this one.
            self.clock_steps += u64::from(leaf.log_time.saturating_add(STEP_MIN) < self.last_time);
            self.ahead = None;
            self.aborted += self.open();
            self.open.clear();
            self.policies.clear();
            self.mono = 0;
        }
        if leaf.mono < self.mono {
            return Err(Fault::Clock(format!("the monotonic clock fell from {} to {} µs", self.mono, leaf.mono)));
        }
        self.mono = leaf.mono;
        self.check_clock(leaf)?;
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

    /// Wall and monotonic clock go on together, or the log says so.
    fn check_clock(&mut self, leaf: &Leaf) -> Result<(), Fault> {
        let ahead = leaf.log_time.wrapping_sub(leaf.mono).cast_signed();
        let before = *self.ahead.get_or_insert(ahead);
        if leaf.kind == "clock.step" {
            self.clock_steps += 1;
            self.ahead = Some(ahead);
        } else if ahead.abs_diff(before) > STEP_MIN {
            let seconds = ahead.saturating_sub(before) / 1_000_000;
            return Err(Fault::Clock(format!("the wall clock was set by {seconds} s, and no record before says so")));
        }
        self.last_time = leaf.log_time;
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
            None if self.policies.len() < POLICY_SETS => {
                Err(Fault::Policy(format!("policy set {epoch} decided, and no record put it in force")))
            }
            _ => Ok(()),
        }
    }
}
