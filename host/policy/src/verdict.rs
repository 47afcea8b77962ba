use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a policy, or all of them together, say to one operation. Ordered: a later variant is the stricter one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Let it pass.
    Allow,
    /// Let people decide first.
    Review(Terms),
    /// Refuse it, with the reason that the caller reads.
    Block(Finding),
}

impl Verdict {
    /// `allow`, `review` or `block`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Review(_) => "review",
            Self::Block(_) => "block",
        }
    }

    /// The order of strictness: allow < review < block.
    #[must_use]
    pub const fn strictness(&self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Review(_) => 1,
            Self::Block(_) => 2,
        }
    }
}

/// Something a policy noticed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's short name, such as `delete-without-where`.
    pub rule: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence for people: what was found and what to do.
    pub message: Arc<str>,
    /// Further facts, as pairs of name and value.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

impl Finding {
    /// A finding without attributes.
    #[must_use]
    pub fn new(rule: &str, severity: Severity, message: impl Into<Arc<str>>) -> Self {
        Self { rule: rule.into(), severity, message: message.into(), attributes: Vec::new() }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Unusual.
    Low,
    /// Risky.
    Medium,
    /// Harmful.
    High,
    /// Disastrous.
    Critical,
}

/// What a review asks for. Terms of several policies join: see [`Terms::join`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Each quorum must be met: so many distinct people out of these groups (empty = the configured reviewers).
    pub quorums: Vec<(Vec<Arc<str>>, u32)>,
    /// How long to hold the caller, in milliseconds; none = the configured time; 0 = do not hold, ask and re-run.
    pub hold_ms: Option<u64>,
    /// Hold inside an open transaction too, although the target keeps its locks meanwhile.
    pub hold_in_transaction: bool,
    /// One sentence for the reviewer: why this needs a second pair of eyes.
    pub reason: Arc<str>,
}

impl Terms {
    /// One reviewer out of the configured groups, held for the configured time.
    #[must_use]
    pub fn standard(reason: impl Into<Arc<str>>) -> Self {
        Self { quorums: vec![(Vec::new(), 1)], hold_ms: None, hold_in_transaction: false, reason: reason.into() }
    }

    /// The terms that satisfy both: all quorums, the shorter hold, and holding in a transaction only if both say so.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut quorums = self.quorums.clone();
        quorums.extend(other.quorums.iter().cloned());
        quorums.sort();
        quorums.dedup();
        let mut reasons: Vec<&str> = self.reason.split("; ").chain(other.reason.split("; ")).collect();
        reasons.sort_unstable();
        reasons.dedup();
        Self {
            quorums,
            hold_ms: match (self.hold_ms, other.hold_ms) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            },
            hold_in_transaction: self.hold_in_transaction && other.hold_in_transaction,
            reason: reasons.join("; ").into(),
        }
    }
}
