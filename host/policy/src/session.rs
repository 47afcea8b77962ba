use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{SessionId, Subject};

/// What is known of a session once it has a subject, a target and roles. Policies read it; nothing in it changes while
/// the session lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The id of the session.
    pub id: SessionId,
    /// Who calls.
    pub subject: Arc<Subject>,
    /// The target's name in the configuration.
    pub target: Arc<str>,
    /// `postgres` or `http`.
    pub protocol: Arc<str>,
    /// The names of the held roles, sorted.
    pub roles: Vec<Arc<str>>,
    /// The listener's name in the configuration.
    pub listener: Arc<str>,
    /// The caller's address as `ip:port`.
    pub peer: Arc<str>,
    /// What the caller says it is (`application_name`, `User-Agent`). Only for display.
    pub client: Arc<str>,
    /// The TLS version and cipher of the caller's side, or none on loopback plaintext.
    pub tls: Option<Arc<str>>,
}
