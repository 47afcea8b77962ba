use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use grille_policy::SessionId;
use serde::Deserialize;

use crate::app::{App, Shared};
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::rooms::{Action, SessionFilter};
use crate::view::{Killed, SessionDetail, Sessions};

/// A list holds at most so many.
const LIST_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    live: Option<bool>,
    person: Option<String>,
    target: Option<String>,
    limit: Option<usize>,
}

impl Wanted {
    /// For the record.
    fn describe(&self) -> String {
        let live = self.live.map_or("any", |live| if live { "true" } else { "false" });
        let (person, target) = (self.person.as_deref().unwrap_or("any"), self.target.as_deref().unwrap_or("any"));
        format!("live={live} person={person} target={target}")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    #[serde(default)]
    reason: String,
}

/// The sessions that match.
pub(crate) async fn list(
    State(app): Shared,
    caller: Caller,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Sessions>, Problem> {
    let Query(wanted) = wanted?;
    caller.need(&app, &[Right::Auditor], "list sessions")?;
    caller.act(&app, Action::SessionList, None, Some(wanted.describe()), None)?;
    let filter = SessionFilter {
        is_live: wanted.live,
        person: wanted.person,
        target: wanted.target,
        limit: wanted.limit.unwrap_or(100).min(LIST_MAX),
    };
    Ok(Json(Sessions { sessions: app.rooms.sessions.list(filter).await? }))
}

/// One session with what it asked.
pub(crate) async fn show(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<SessionDetail>, Problem> {
    caller.need(&app, &[Right::Auditor], "see sessions")?;
    let id = find(&app, &id?).await?;
    caller.act(&app, Action::SessionShow, Some(id), None, None)?;
    match app.rooms.sessions.show(id).await? {
        Some(detail) => Ok(Json(detail)),
        None => Err(gone(&app, id).await?),
    }
}

/// Why a session cannot be shown.
async fn gone(app: &App, id: SessionId) -> Result<Problem, Problem> {
    let tombstone = app.rooms.keeping.tombstone(id).await?;
    Ok(tombstone.map_or_else(|| unknown(&id.to_string()), |said| Problem::new(StatusCode::GONE, said)))
}

/// What its caller sent and saw, as JSON lines.
pub(crate) async fn recording(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    caller.need(&app, &[Right::Auditor], "replay sessions")?;
    let id = find(&app, &id?).await?;
    caller.act(&app, Action::SessionReplay, Some(id), None, None)?;
    let Some(moments) = app.rooms.sessions.recording(id).await? else { return Err(gone(&app, id).await?) };
    let lines = futures_util::stream::unfold(moments, |mut moments| async move {
        let moment = moments.recv().await?;
        let line = serde_json::to_vec(&moment).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((line, moments))
    });
    let mut response = Body::from_stream(lines).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// Ends a live session.
pub(crate) async fn kill(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    why: Result<Query<Why>, QueryRejection>,
) -> Result<Json<Killed>, Problem> {
    let Query(Why { reason }) = why?;
    caller.need(&app, &[Right::Operator], "end sessions")?;
    let id = find(&app, &id?).await?;
    caller.act(&app, Action::SessionKill, Some(id), None, Some(&reason))?;
    if app.rooms.sessions.kill(id, &caller.subject, &reason) {
        return Ok(Json(Killed { id }));
    }
    Err(Problem::new(StatusCode::CONFLICT, format!("session {id} is not live any more")))
}

/// The session that a text names: an id, or a beginning that only one has.
pub(crate) async fn find(app: &App, text: &str) -> Result<SessionId, Problem> {
    let letters = text.strip_prefix("s-").unwrap_or(text);
    if letters.is_empty() || letters.len() > 16 || !letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(unknown(text));
    }
    let found = app.rooms.sessions.find(&format!("s-{letters}")).await?;
    match found.as_slice() {
        [] => Err(unknown(text)),
        [id] => Ok(*id),
        _ => Err(Problem::new(StatusCode::CONFLICT, format!("`{text}` begins several sessions; write more of the id"))),
    }
}

fn unknown(text: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("no session `{text}` is recorded here; `grille session list` shows them"),
    )
}
