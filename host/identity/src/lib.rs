//! Who is calling: an access token becomes a [`policy::Subject`](grille_policy::Subject), or a reason why not.
//!
//! Issuers are discovered through OpenID Connect, their keys are cached. A principal is the pair of issuer and `sub`.
//! Unknown is not empty: groups that are missing, malformed or left out by the provider deny. Keys that cannot be
//! refreshed within [`MAX_STALE`] deny. What a token says about where its key is to be found is never followed.
//! This room keeps no tokens, asks for none, and knows nothing of roles.
#![forbid(unsafe_code)]

mod claims;
mod denied;
mod http;
mod issuer;
mod journal;
mod keys;
mod token;
mod verifier;

pub use denied::Denied;
pub use http::{Http, HttpError, build_client};
pub use issuer::{DiscoverError, MAX_STALE};
pub use journal::{IssuerEvent, Journal, PublicKey};
pub use verifier::{Issuer, Verifier};
