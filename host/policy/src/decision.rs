use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Digest, Epoch, Finding, Severity, Terms, Verdict};

/// What all policies together said to one operation, and how each of them came to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The policy set that decided.
    pub epoch: Epoch,
    /// The verdict that is acted on.
    pub verdict: Verdict,
    /// Every policy that was asked, in the order of their names.
    pub opinions: Vec<Opinion>,
}

impl Decision {
    /// The decision out of what each policy said.
    #[must_use]
    pub fn new(epoch: Epoch, mut opinions: Vec<Opinion>) -> Self {
        opinions.sort_by(|one, two| one.policy.cmp(&two.policy));
        Self { epoch, verdict: combine(&opinions), opinions }
    }

    /// The decision where no policy binds the session.
    #[must_use]
    pub const fn unbound(epoch: Epoch) -> Self {
        Self { epoch, verdict: Verdict::Allow, opinions: Vec::new() }
    }
}

/// What one policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// The policy's name in the configuration.
    pub policy: Arc<str>,
    /// SHA-256 of the component.
    pub plugin: Digest,
    /// SHA-256 of the settings as JSON.
    pub settings: Digest,
    /// Whether the verdict counts.
    pub mode: Mode,
    /// The verdict; where the policy failed, what its failure counts as.
    pub verdict: Verdict,
    /// What it noticed, whatever the verdict.
    pub findings: Vec<Finding>,
    /// Why it gave no answer of its own.
    pub failure: Option<Failure>,
    /// The time that the call took, in nanoseconds; 0 where the answer was remembered.
    pub spent_ns: u64,
    /// What it asked of the host besides the facts of the session and the operation, and what the host said: with
    /// these the same component comes to the same verdict again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<HostCall>,
}

/// One question of a policy to the host that the host could answer differently the next time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCall {
    /// The function, such as `clock.now-ms`.
    pub function: Arc<str>,
    /// Its arguments as a JSON array; bytes in base64.
    pub asked: Arc<str>,
    /// The answer as JSON: `{"ok": …}` or `{"err": "not-granted"}`.
    pub answered: Arc<str>,
    /// Whether it was asked when the instance that judged was told of its session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_opening: bool,
}

/// Whether a policy acts or only watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It decides.
    Enforce,
    /// It decides and is recorded; nothing is done about it.
    Monitor,
}

/// A policy that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One sentence for the operator.
    pub message: Arc<str>,
    /// The limit that it ran into: bytes of memory, or microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Failure {
    /// What the failure of a policy counts as, unless its configuration lets operations pass.
    #[must_use]
    pub fn verdict(&self, policy: &str) -> Verdict {
        let message = format!("policy \"{policy}\" failed ({}), so the operation is refused", self.kind.describe());
        Verdict::Block(Finding::new("policy-failed", Severity::Critical, message))
    }
}

/// How a policy failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The component trapped.
    Trap,
    /// It used up its time.
    Timeout,
    /// It wanted more memory than its limit.
    Memory,
    /// Its answer makes no sense.
    Nonsense,
    /// It could not be instantiated or configured.
    Start,
    /// It failed again and again and is left alone for a while.
    Breaker,
}

impl FailureKind {
    /// In words, for people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Trap => "it trapped",
            Self::Timeout => "it exceeded its time limit",
            Self::Memory => "it exceeded its memory limit",
            Self::Nonsense => "it gave an answer that makes no sense",
            Self::Start => "it could not start",
            Self::Breaker => "it failed repeatedly and is paused",
        }
    }
}

/// The verdict of several policies: the most restrictive of those that count wins, review terms join, and of several
/// blocks the one with the severest finding is named. Independent of order; one more policy never weakens it.
#[must_use]
pub fn combine(opinions: &[Opinion]) -> Verdict {
    let mut block: Option<&Finding> = None;
    let mut review: Option<Terms> = None;
    for opinion in opinions.iter().filter(|opinion| opinion.mode == Mode::Enforce) {
        match &opinion.verdict {
            Verdict::Allow => {}
            Verdict::Review(terms) => {
                review = Some(review.map_or_else(|| terms.clone(), |joined| joined.join(terms)));
            }
            Verdict::Block(finding) => {
                let severest = block.is_none_or(|named| {
                    (finding.severity, std::cmp::Reverse(finding)) > (named.severity, std::cmp::Reverse(named))
                });
                if severest {
                    block = Some(finding);
                }
            }
        }
    }
    match (block, review) {
        (Some(finding), _) => Verdict::Block(finding.clone()),
        (None, Some(terms)) => Verdict::Review(terms),
        (None, None) => Verdict::Allow,
    }
}
