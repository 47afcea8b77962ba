use axum::Json;
use axum::extract::State;

use crate::app::Shared;
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::view::Policies;

/// The policies in force.
pub(crate) async fn list(State(app): Shared, caller: Caller) -> Result<Json<Policies>, Problem> {
    caller.need(&app, &[Right::Operator, Right::Auditor], "see the policies")?;
    Ok(Json(app.rooms.policies.policies()))
}
