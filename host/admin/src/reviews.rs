use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use grille_review::{Filter, Person, Review, State as ReviewState};
use serde::Deserialize;

use crate::app::{App, Shared};
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::rooms::Action;
use crate::view::{Reason, Reviews};

/// A list holds at most so many.
const LIST_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    state: Option<ReviewState>,
    target: Option<String>,
    limit: Option<usize>,
}

/// The requests that the caller may see.
pub(crate) async fn list(
    State(app): Shared,
    caller: Caller,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Reviews>, Problem> {
    let Query(Wanted { state, target, limit }) = wanted?;
    let object =
        format!("state={} target={}", state.map_or("any", ReviewState::name), target.as_deref().unwrap_or("any"));
    caller.act(&app, Action::ReviewList, None, Some(object), None)?;
    let mut reviews = app.rooms.desk.list(&Filter { state, target, limit: 0 });
    if !sees_all(&app, &caller) {
        reviews.retain(|review| concerns(review, &caller));
    }
    reviews.truncate(limit.unwrap_or(LIST_MAX).min(LIST_MAX));
    Ok(Json(Reviews { reviews }))
}

/// One request.
pub(crate) async fn show(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Review>, Problem> {
    let Path(id) = id?;
    caller.act(&app, Action::ReviewShow, None, Some(id.clone()), None)?;
    let review = app.rooms.desk.show(&id, &caller.subject)?;
    if sees_all(&app, &caller) || concerns(&review, &caller) {
        return Ok(Json(review));
    }
    let detail =
        format!("{} may not see {}: you neither asked for it nor may you decide it", caller.subject.name, review.id);
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Says yes. Who may is the desk's to say, and it records who tried.
pub(crate) async fn approve(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    reason: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Review>, Problem> {
    Ok(Json(app.rooms.desk.approve(&id?, &caller.subject, &reason?.reason)?))
}

/// Says no.
pub(crate) async fn deny(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    reason: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Review>, Problem> {
    Ok(Json(app.rooms.desk.deny(&id?, &caller.subject, &reason?.reason)?))
}

/// Takes a yes back.
pub(crate) async fn revoke(
    State(app): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    reason: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Review>, Problem> {
    Ok(Json(app.rooms.desk.revoke(&id?, &caller.subject, &reason?.reason)?))
}

fn sees_all(app: &App, caller: &Caller) -> bool {
    caller.has(app, Right::Reviewer) || caller.has(app, Right::Auditor)
}

/// Whether the caller asked for it, or is one of those who can decide it.
fn concerns(review: &Review, caller: &Caller) -> bool {
    review.requester.person.is(&Person::from(&caller.subject))
        || review.needs.iter().any(|need| caller.subject.is_in_any(&need.groups))
}
