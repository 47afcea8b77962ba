use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use grille_policy::{DecisionId, Digest};

use crate::app::Shared;
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::rooms::Action;
use crate::view::DecisionDetail;

/// A decision with all that is known of it.
pub(crate) async fn show(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<DecisionDetail>, Problem> {
    let Path(text) = id?;
    caller.need(&app, &[Right::Auditor], "see decisions")?;
    let id: DecisionId = text.parse().map_err(|_| unknown(&text))?;
    caller.act(&app, Action::DecisionShow, Some(id.session), Some(id.to_string()), None)?;
    app.rooms.decisions.show(id).await?.map(Json).ok_or_else(|| unknown(&text))
}

/// A component that was in force once, byte by byte.
pub(crate) async fn component(
    State(app): Shared,
    caller: Caller,
    digest: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(text) = digest?;
    caller.need(&app, &[Right::Auditor], "fetch plugins")?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("no plugin with sha256 `{text}` was in force here"));
    let digest: Digest = text.parse().map_err(|_| missing())?;
    caller.act(&app, Action::PluginFetch, None, Some(digest.to_string()), None)?;
    let bytes = app.rooms.decisions.component(digest).await?.ok_or_else(missing)?;
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
    Ok(response)
}

fn unknown(text: &str) -> Problem {
    let detail =
        format!("no decision `{text}` is recorded here; callers read the id, and `grille session show` lists them");
    Problem::new(StatusCode::NOT_FOUND, detail)
}
