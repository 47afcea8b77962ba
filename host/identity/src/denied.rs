use std::sync::Arc;

/// Why a token is not accepted. `Display` is for the record; callers read [`Denied::caller_text`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Too long to be read.
    #[error("the token has {0} bytes, at most 65536 are read")]
    TooLong(usize),
    /// Not a signed JWT.
    #[error("this is no JWT: {0}")]
    Malformed(&'static str),
    /// `none`, a symmetric algorithm, or one that nobody should use.
    #[error("the algorithm {0:?} is not accepted")]
    Algorithm(String),
    /// Not an access token.
    #[error("the token is of another type: {0}")]
    Type(String),
    /// An extension that must be understood and is not.
    #[error("the header's `{0}` is not supported")]
    Extension(&'static str),
    /// Issued by nobody who is configured.
    #[error("the issuer {0:?} is not configured")]
    ForeignIssuer(String),
    /// The issuer's keys are not to be had.
    #[error("no usable keys of issuer `{issuer}`: {cause}")]
    Unreachable {
        /// The issuer's name in the configuration.
        issuer: Arc<str>,
        /// What happened.
        cause: Arc<str>,
    },
    /// The issuer has no key that fits.
    #[error("issuer `{issuer}` has no {algorithm} key {kid:?}")]
    UnknownKey {
        /// The issuer's name in the configuration.
        issuer: Arc<str>,
        /// The token's `alg`.
        algorithm: &'static str,
        /// The token's `kid`.
        kid: Option<String>,
    },
    /// The signature is not the issuer's.
    #[error("the signature does not verify with any key of issuer `{0}`")]
    Signature(Arc<str>),
    /// The token is over.
    #[error("the token expired")]
    Expired,
    /// The token has not begun.
    #[error("the token is not valid yet ({0} is in the future)")]
    TooEarly(&'static str),
    /// For somebody else.
    #[error("the token's audience is not {0:?}")]
    Audience(Arc<str>),
    /// A claim that must be there is not, or makes no sense.
    #[error("the claim `{claim}` {what}")]
    Claim {
        /// Which one.
        claim: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The groups cannot be told, which is not the same as none.
    #[error("the groups are unknown: {0}")]
    GroupsUnknown(String),
}

impl Denied {
    /// One honest sentence without our secrets.
    #[must_use]
    pub fn caller_text(&self) -> &'static str {
        match self {
            Self::TooLong(_) | Self::Malformed(_) => "the password is not an access token",
            Self::Expired => "the access token has expired: get a fresh one and connect again",
            Self::TooEarly(_) => "the access token is not valid yet: is this machine's clock right?",
            Self::ForeignIssuer(_) => "the access token comes from an issuer that this gateway does not know",
            Self::Audience(_) => "the access token is meant for another service",
            Self::Unreachable { .. } => "the issuer of the access token cannot be asked right now: try again later",
            Self::GroupsUnknown(_) => "the access token does not say which groups you are in",
            Self::Algorithm(_)
            | Self::Type(_)
            | Self::Extension(_)
            | Self::UnknownKey { .. }
            | Self::Signature(_)
            | Self::Claim { .. } => "the access token was not accepted",
        }
    }
}
