use axum::Json;
use axum::extract::State;
use grille_review::{Filter, State as ReviewState};

use crate::app::Shared;
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::view::Status;

/// How the gateway is; for everybody with any right here.
pub(crate) async fn show(State(app): Shared, caller: Caller) -> Result<Json<Status>, Problem> {
    caller.need(&app, &[Right::Operator, Right::Owner, Right::Auditor, Right::Reviewer], "see the gateway's status")?;
    let mut status = app.rooms.status.status();
    let pending = Filter { state: Some(ReviewState::Pending), ..Filter::default() };
    status.reviews = app.rooms.desk.count(&pending) as u64;
    Ok(Json(status))
}
