use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use grille_policy::{SessionId, Subject};

use crate::app::App;
use crate::problem::Problem;
use crate::rooms::{Act, Action};

/// The other end of the connection, put into each request by the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
}

/// Who sent a request: the holder of its bearer token.
pub(crate) struct Caller {
    pub(crate) subject: Subject,
    peer: Arc<str>,
}

/// What a group may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Operator,
    /// The stronger one: who may also weaken what protects.
    Owner,
    Auditor,
    Reviewer,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = bearer(parts)?;
        let subject = app.rooms.identify.identify(token).await?;
        let peer = parts.extensions.get::<Peer>().map_or_else(|| "".into(), |peer| peer.address.to_string().into());
        Ok(Self { subject, peer })
    }
}

fn bearer(parts: &Parts) -> Result<&str, Problem> {
    let detail = "this needs a token: `Authorization: Bearer …`";
    let missing = || Problem::new(StatusCode::UNAUTHORIZED, detail);
    let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

impl Caller {
    pub(crate) fn has(&self, app: &App, right: Right) -> bool {
        self.subject.is_in_any(right.groups(app))
    }

    /// Goes on only with one of these rights; who asks without is recorded.
    pub(crate) fn need(&self, app: &App, rights: &[Right], what: &str) -> Result<(), Problem> {
        if rights.iter().any(|&right| self.has(app, right)) {
            return Ok(());
        }
        self.act(app, Action::Refused, None, Some(what.to_owned()), None)?;
        let mut groups: Vec<&str> = rights.iter().flat_map(|right| right.groups(app)).map(|group| &**group).collect();
        groups.sort_unstable();
        groups.dedup();
        let keys: Vec<&str> = rights.iter().map(|right| right.key()).collect();
        let keys = keys.join(", ");
        let takes = match groups.as_slice() {
            [] => format!("no group may, as the configuration stands ({keys})"),
            groups => format!("that takes one of the groups {} ({keys})", groups.join(", ")),
        };
        Err(Problem::new(StatusCode::FORBIDDEN, format!("{} may not {what}: {takes}", self.subject.name)))
    }

    /// Records what is about to happen.
    pub(crate) fn act(
        &self,
        app: &App,
        action: Action,
        session: Option<SessionId>,
        object: Option<String>,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        let act = Act { by: &self.subject, peer: Arc::clone(&self.peer), action, session, object, reason };
        Ok(app.rooms.audit.record(&act)?)
    }
}

impl Right {
    /// Its key in the configuration.
    const fn key(self) -> &'static str {
        match self {
            Self::Operator => "[admin] operators",
            Self::Owner => "[admin] owners",
            Self::Auditor => "[admin] auditors",
            Self::Reviewer => "[review] reviewers",
        }
    }

    fn groups(self, app: &App) -> &[Arc<str>] {
        match self {
            Self::Operator => &app.config.operators,
            Self::Owner => &app.config.owners,
            Self::Auditor => &app.config.auditors,
            Self::Reviewer => &app.config.reviewers,
        }
    }
}
