use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who the caller proved to be. The principal is the pair of issuer and `sub`, never a name or an address alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The configured name of the issuer (`identity.<name>`).
    pub provider: Arc<str>,
    /// The `iss` claim.
    pub issuer: Arc<str>,
    /// The `sub` claim: the person, or the service itself.
    pub sub: Arc<str>,
    /// A name for people (`preferred_username`, `email` or `sub`); never used to decide.
    pub name: Arc<str>,
    /// The groups of the token.
    pub groups: Vec<Arc<str>>,
    /// Who acts for `sub`, outermost first (RFC 8693 `act`). Empty for a person at the keyboard.
    pub actors: Vec<Actor>,
    /// The end of the token, in Unix seconds.
    pub expires_at: u64,
    /// All claims of the token as JSON text, so that policies can read any of them. Holds no signature.
    pub claims: Arc<str>,
}

impl Subject {
    /// Whether both are the same principal, whatever acts for them.
    #[must_use]
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.sub == other.sub
    }

    /// Whether a program acts for somebody here.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        !self.actors.is_empty()
    }

    /// Whether the subject is in one of the groups.
    #[must_use]
    pub fn is_in_any(&self, groups: &[Arc<str>]) -> bool {
        self.groups.iter().any(|group| groups.contains(group))
    }
}

/// One link of the chain of those who act for a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The `iss` of the `act` claim, or the token's.
    pub issuer: Arc<str>,
    /// The `sub` of the `act` claim.
    pub sub: Arc<str>,
}
