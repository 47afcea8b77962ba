use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, Shared};
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::rooms::{Action, PolicyWish, RefusedChange};
use crate::view::{Changed, Policies, Promotion};

/// The policies in force.
pub(crate) async fn list(State(app): Shared, caller: Caller) -> Result<Json<Policies>, Problem> {
    caller.need(&app, &[Right::Operator, Right::Owner, Right::Auditor], "see the policies")?;
    Ok(Json(app.rooms.policies.policies()))
}

/// Chooses the component or the mode of a policy.
pub(crate) async fn promote(
    State(app): Shared,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    promotion: Result<Json<Promotion>, JsonRejection>,
) -> Result<Json<Changed>, Problem> {
    let (Path(name), Json(promotion)) = (name?, promotion?);
    change(&app, &caller, &name, PolicyWish::Promote(promotion)).await
}

/// Goes back to what was chosen before.
pub(crate) async fn rollback(
    State(app): Shared,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Changed>, Problem> {
    change(&app, &caller, &name?, PolicyWish::Rollback).await
}

async fn change(app: &App, caller: &Caller, name: &str, wish: PolicyWish) -> Result<Json<Changed>, Problem> {
    caller.need(app, &[Right::Operator, Right::Owner], &format!("change policy \"{name}\""))?;
    let (action, object) = match &wish {
        PolicyWish::Promote(promotion) => (Action::PolicyPromote, format!("{name}{promotion}")),
        PolicyWish::Rollback => (Action::PolicyRollback, name.to_owned()),
    };
    caller.act(app, action, None, Some(object), None)?;
    let may_weaken = caller.has(app, Right::Owner);
    let refused = match app.rooms.changes.change(name, &wish, &caller.subject, may_weaken).await {
        Ok(changed) => return Ok(Json(changed)),
        Err(refused) => refused,
    };
    let (status, why) = match refused {
        RefusedChange::Weakens(findings) => {
            let what = format!("weaken what protects ({})", findings.join("; "));
            caller.need(app, &[Right::Owner], &what)?;
            (StatusCode::FORBIDDEN, what)
        }
        RefusedChange::NotFound(why) => (StatusCode::NOT_FOUND, why),
        RefusedChange::No(why) => (StatusCode::CONFLICT, why),
        RefusedChange::Unclear(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
        RefusedChange::Failed(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    Err(Problem::new(status, why))
}
