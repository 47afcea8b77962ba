use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;

use crate::app::Shared;
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::rooms::{Action, HeldObject};
use crate::sessions::find;
use crate::view::{HoldWish, Holds, ShredWish, Shredded};

/// The legal holds in force.
pub(crate) async fn list(State(app): Shared, caller: Caller) -> Result<Json<Holds>, Problem> {
    caller.need(&app, &[Right::Auditor], "see legal holds")?;
    caller.act(&app, Action::LedgerHolds, None, None, None)?;
    Ok(Json(Holds { holds: app.rooms.keeping.holds() }))
}

/// Puts something under a legal hold, or lifts it. The ledger's own record of it names the person.
pub(crate) async fn hold(
    State(app): Shared,
    caller: Caller,
    wish: Result<Json<HoldWish>, JsonRejection>,
) -> Result<Json<Holds>, Problem> {
    let Json(HoldWish { session, subject, is_held, reason }) = wish?;
    caller.need(&app, &[Right::Auditor], "put anything under a legal hold")?;
    let on = match (session, subject) {
        (Some(session), None) => HeldObject::Session(find(&app, &session).await?),
        (None, Some(subject)) => HeldObject::Subject(subject),
        _ => {
            let detail = "exactly one of `session` and `subject` is needed";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
    };
    app.rooms.keeping.hold(on, is_held, &caller.subject, &reason)?;
    Ok(Json(Holds { holds: app.rooms.keeping.holds() }))
}

/// Destroys the contents of a session. That it was tried is a record, too.
pub(crate) async fn shred(
    State(app): Shared,
    caller: Caller,
    wish: Result<Json<ShredWish>, JsonRejection>,
) -> Result<Json<Shredded>, Problem> {
    let Json(ShredWish { session, reason, early }) = wish?;
    caller.need(&app, &[Right::Auditor], "shred sessions")?;
    let session = find(&app, &session).await?;
    caller.act(&app, Action::LedgerShred, Some(session), Some(session.to_string()), Some(&reason))?;
    app.rooms.keeping.shred(session, &caller.subject, &reason, early).await?;
    Ok(Json(Shredded { session }))
}
