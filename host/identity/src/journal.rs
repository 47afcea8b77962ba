use std::sync::Arc;

use crate::Issuer;

/// One public key of an issuer, as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name in tokens.
    pub kid: Option<String>,
    /// Its thumbprint by RFC 7638: SHA-256 as base64 (no padding, `-` and `_`).
    pub thumbprint: String,
    /// The key as JSON (RFC 7517).
    pub jwk: String,
}

/// What became of an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerEvent {
    /// These are the keys by which tokens are checked from now on: the first ones, other ones, or the same after the
    /// issuer was away.
    Keys(Vec<PublicKey>),
    /// It could not be asked, or said nothing that can be used. Keys that are known are good for
    /// [`MAX_STALE`](crate::MAX_STALE).
    Unreachable(Arc<str>),
}

/// Where such events are written down before they count.
pub trait Journal: Send + Sync {
    /// Keys that cannot be written down are not used.
    ///
    /// # Errors
    /// Why not, in words.
    fn write(&self, issuer: &Issuer, event: &IssuerEvent) -> Result<(), String>;
}
