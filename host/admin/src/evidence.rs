use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::app::Shared;
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::quarter::Quarter;
use crate::rooms::{Action, EvidenceWish, SessionSearch};
use crate::sessions::find;
use crate::view::{FoundSessions, SignedCheckpoint};

/// A search tells at most so many sessions.
const FOUND_MAX: usize = 1_000;

/// What is looked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Ids or beginnings of ids, with commas between them.
    session: Option<String>,
    subject: Option<String>,
    target: Option<String>,
    from_us: Option<u64>,
    to_us: Option<u64>,
    relation: Option<String>,
    text: Option<String>,
    verdict: Option<String>,
    policy: Option<String>,
    plugin: Option<String>,
    limit: Option<usize>,
    contents: Option<bool>,
    hipaa: Option<String>,
}

impl Wanted {
    async fn search(self, app: &crate::app::App) -> Result<SessionSearch, Problem> {
        let mut sessions = Vec::new();
        for text in self.session.iter().flat_map(|sessions| sessions.split(',')) {
            sessions.push(find(app, text).await?);
        }
        if let Some(verdict) = self.verdict.as_deref().filter(|verdict| !["allow", "review", "block"].contains(verdict))
        {
            let detail = format!("`{verdict}` is no verdict: allow, review or block");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
        Ok(SessionSearch {
            sessions,
            subject: self.subject,
            target: self.target,
            from_us: self.from_us,
            to_us: self.to_us,
            relation: self.relation,
            text: self.text,
            verdict: self.verdict,
            policy: self.policy,
            plugin: self.plugin,
            limit: self.limit.unwrap_or(100).min(FOUND_MAX),
        })
    }
}

/// The sessions that match, with the operations that made them match.
pub(crate) async fn search(
    State(app): Shared,
    caller: Caller,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<FoundSessions>, Problem> {
    let Query(wanted) = wanted?;
    caller.need(&app, &[Right::Auditor], "search sessions")?;
    let search = wanted.search(&app).await?;
    caller.act(&app, Action::SessionSearch, None, Some(app.rooms.evidence.describe(&search)), None)?;
    Ok(Json(FoundSessions { sessions: app.rooms.evidence.search(search).await? }))
}

/// A bundle that proves what happened to whoever does not trust us: a tar file.
pub(crate) async fn export(
    State(app): Shared,
    caller: Caller,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted?;
    caller.need(&app, &[Right::Auditor], "export evidence")?;
    let with_contents = wanted.contents.unwrap_or(false);
    let hipaa = wanted.hipaa.as_deref().map(str::parse::<Quarter>).transpose();
    let hipaa = hipaa.map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let search = wanted.search(&app).await?;
    if hipaa.is_some() && search != (SessionSearch { limit: search.limit, ..SessionSearch::default() }) {
        let why = "a quarter is told as a whole: leave out session, subject, target, times and relation";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    let asked = hipaa.map_or_else(|| app.rooms.evidence.describe(&search), |quarter| format!("hipaa={quarter}"));
    let object = asked + if with_contents { " with contents" } else { "" };
    let session = if let [one] = search.sessions.as_slice() { Some(*one) } else { None };
    caller.act(&app, Action::LedgerExport, session, Some(object), None)?;
    let wish = EvidenceWish { search, hipaa, with_contents };
    let pieces = app.rooms.evidence.export(wish, &caller.subject).await?;
    let pieces = pieces.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no session matches"))?;
    // A piece that fails breaks the connection, so that nobody takes half a bundle for a whole one.
    let body = futures_util::stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece.map(Bytes::from), pieces))
    });
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    Ok(response)
}

/// Signs a checkpoint over everything that is written by now.
pub(crate) async fn checkpoint(State(app): Shared, caller: Caller) -> Result<Json<SignedCheckpoint>, Problem> {
    caller.need(&app, &[Right::Auditor, Right::Operator], "sign checkpoints")?;
    caller.act(&app, Action::LedgerCheckpoint, None, None, None)?;
    Ok(Json(app.rooms.evidence.checkpoint().await?))
}
