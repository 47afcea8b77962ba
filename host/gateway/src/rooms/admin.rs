//! What the admin API sees of the gateway.

use std::sync::Arc;

use grille_admin::view::Changed;
use grille_admin::{Act, Action, Audit, Identify, NotIdentified, PolicyChanges, PolicyWish, RefusedChange, Unrecorded};
use grille_identity::{Denied, Verifier};
use grille_ledger::{AdminAction, Ledger, Read, Record};
use grille_policy::{BoxFuture, Subject};

use crate::state::State;

/// The same tokens as on the data paths.
pub(crate) struct Identity(pub(crate) Arc<Verifier>);

impl Identify for Identity {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Subject, NotIdentified>> {
        Box::pin(async move {
            self.0.verify(token).await.map_err(|denied| {
                tracing::info!("admin API: token refused: {denied}");
                let text = denied.caller_text().to_owned();
                match denied {
                    Denied::Unreachable { .. } => NotIdentified::Unavailable(text),
                    _ => NotIdentified::Denied(text),
                }
            })
        })
    }
}

/// Promotions and their way back.
pub(crate) struct Changes(pub(crate) Arc<State>);

impl PolicyChanges for Changes {
    fn change<'a>(
        &'a self,
        name: &'a str,
        wish: &'a PolicyWish,
        by: &'a Subject,
        may_weaken: bool,
    ) -> BoxFuture<'a, Result<Changed, RefusedChange>> {
        Box::pin(self.0.change_policy(name, wish, by, may_weaken))
    }
}

/// Every look and every act is a record first.
pub(crate) struct LedgerAudit(pub(crate) Ledger);

impl Audit for LedgerAudit {
    fn record(&self, act: &Act<'_>) -> Result<(), Unrecorded> {
        let by = std::borrow::Cow::Borrowed(act.by);
        let record = if act.action.is_look() {
            Record::Read(Read {
                by,
                action: act.action.name().into(),
                session: act.session,
                query: act.object.as_deref().map(Into::into),
            })
        } else {
            let object = match (act.action, act.session) {
                (Action::SessionKill, Some(session)) => session.to_string(),
                _ => act.object.clone().unwrap_or_default(),
            };
            let reason = act.reason.map(Into::into);
            Record::Admin(AdminAction { by, action: act.action.name().into(), object: object.into(), reason })
        };
        self.0.admin(&record).map(drop).map_err(|error| Unrecorded(error.to_string()))
    }
}
