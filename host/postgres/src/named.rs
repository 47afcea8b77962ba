//! Names that cross the protocols: what SQL prepared or declared and the extended protocol uses, and what the extended
//! protocol put down and SQL uses. And Grille's own setting, `grille.reason`, which is answered here in both.

use std::sync::Arc;

use bytes::BytesMut;
use grille_pg_codec::{backend::TransactionStatus, encode};
use grille_policy::TransactionState;
use grille_sql::{SessionEffect, Source};
use parking_lot::Mutex;

use crate::decide::Ruling;
use crate::marks::Marks;
use crate::record::no_parameters;
use crate::replies::Owed;
use crate::respond::Answer;
use crate::session::{End, Session};
use crate::statements::{Change, Changes, Fate, Permit, Portal, Prepared};

impl Session {
    /// A prepared statement by its name. One that SQL prepared is judged as its EXECUTE would be, which is judged by
    /// what was prepared.
    pub(crate) async fn prepared(&mut self, name: &[u8]) -> Result<Option<Arc<Prepared>>, End> {
        self.settle(Marks::CHANGES_NAMES).await?;
        if let Some(prepared) = self.statements.get(name)
            && self.statements.is_sure(name, self.owed.stretch())
        {
            return Ok(Some(Arc::clone(prepared)));
        }
        self.settle_all().await?;
        if let Some(prepared) = self.statements.get(name) {
            return Ok(Some(Arc::clone(prepared)));
        }
        match std::str::from_utf8(name) {
            Ok(name) if self.view.names.prepared(name).is_some() => {
                let judged = self.judge(format!("EXECUTE {}", quoted(name)).into()).await?;
                Ok(Some(Arc::new(Prepared { judged, parameter_types: Vec::new(), columns: Mutex::new(None) })))
            }
            _ => Ok(None),
        }
    }

    /// A portal by its name. A cursor that SQL declared is judged as a FETCH of all its rows.
    pub(crate) async fn portal(&mut self, name: &[u8]) -> Result<Result<Option<Arc<Portal>>, Answer>, End> {
        self.settle(Marks::CHANGES_NAMES).await?;
        if let Some(portal) = self.portals.get(name)
            && self.portals.is_sure(name, self.owed.stretch())
        {
            return Ok(Ok(Some(Arc::clone(portal))));
        }
        self.settle_all().await?;
        if let Some(portal) = self.portals.get(name) {
            return Ok(Ok(Some(Arc::clone(portal))));
        }
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| self.view.names.cursor(name).is_some()) else {
            return Ok(Ok(None));
        };
        let judged = self.judge(format!("FETCH ALL FROM {}", quoted(name)).into()).await?;
        let (parameters, transaction) = (no_parameters(), self.state.transaction);
        let (decision, permit, judged) = match self.rule(&judged, &parameters).await? {
            Ruling::Refuse(answer) => return Ok(Err(answer)),
            Ruling::Allow(decision) => (decision, Permit::Policies, judged),
            Ruling::Released(released) => {
                (released.decision, Permit::Approved(released.id, released.until), released.judged)
            }
        };
        Ok(Ok(Some(Arc::new(Portal {
            prepared: Arc::new(Prepared { judged, parameter_types: Vec::new(), columns: Mutex::new(None) }),
            parameters,
            unread: 0,
            formats: None,
            decision,
            transaction,
            permit: Mutex::new(permit),
            filter: Mutex::new(None),
            round: self.owed.rounds(),
        }))))
    }

    /// SQL may EXECUTE what Parse has prepared.
    pub(crate) fn name_prepared(&mut self, change: &Change, prepared: &Prepared) {
        let Some(name) = change.sql_name() else { return };
        // What changes the session is followed where it stands for itself.
        let is_followed = !self.view.needs_catalog() || prepared.judged.session_effects().next().is_none();
        match prepared.judged.body().filter(|_| is_followed) {
            Some(body) => self.view.names.prepare(name, body, prepared.judged.source(None)),
            None => self.view.names.apply(&SessionEffect::Deallocate { name: Some(name) }, Source::default),
        }
    }

    /// SQL may FETCH from what Bind has opened.
    pub(crate) fn name_portal(&mut self, change: &Change, portal: &Portal) {
        let Some(cursor) = change.sql_name() else { return };
        // What a name stood for when it was bound may be something else when it is fetched from.
        match portal.prepared.judged.body().filter(|_| !portal.prepared.judged.uses_names()) {
            Some(body) => self.view.names.declare(cursor, body, false),
            None => self.view.names.apply(&SessionEffect::Close { cursor: Some(cursor) }, Source::default),
        }
    }

    /// Close has taken a name away for SQL too.
    pub(crate) fn name_closed(&mut self, statement: Option<&Change>, portal: Option<&Change>) {
        if let Some(name) = statement.and_then(Change::sql_name) {
            self.view.names.apply(&SessionEffect::Deallocate { name: Some(name) }, Source::default);
        }
        if let Some(cursor) = portal.and_then(Change::sql_name) {
            self.view.names.apply(&SessionEffect::Close { cursor: Some(cursor) }, Source::default);
        }
    }

    /// Waits for all answers: a failure among them puts names back that were taken away behind it.
    pub(crate) async fn settle_all(&mut self) -> Result<(), End> {
        self.settle(Marks::ANSWERED).await
    }

    /// Waits until nothing with this mark is owed. A COPY that waits for its data is not waited for.
    pub(crate) async fn settle(&mut self, mark: Marks) -> Result<(), End> {
        self.flush_until_no(mark).await?;
        self.not_into_copy()
    }

    /// Waits until a COPY FROM STDIN under way has asked for its data, or has ended: what the server takes a message for
    /// hangs on that.
    pub(crate) async fn await_copy_in(&mut self) -> Result<(), End> {
        self.flush_until_no(Marks::COPY_IN).await
    }

    async fn flush_until_no(&mut self, mark: Marks) -> Result<(), End> {
        if self.owed.count(mark) > 0 && !self.state.copies_in {
            // Also behind a Sync: the server ignores one that it reads inside COPY data.
            self.target.outbox.append(encode::flush);
        }
        while self.owed.count(mark) > 0 && !self.state.copies_in {
            self.turn(false).await?;
        }
        Ok(())
    }

    /// Waits until the status of the last ReadyForQuery is the state of the transaction.
    pub(crate) async fn settle_transaction(&mut self) -> Result<(), End> {
        while self.owed.rounds_left() > 0 && !self.state.copies_in {
            self.turn(false).await?;
        }
        self.not_into_copy()
    }

    /// A COPY began while a message was waited with that does not belong into its data.
    fn not_into_copy(&self) -> Result<(), End> {
        if self.state.copies_in { Err(End::malformed("only COPY data belongs into a COPY")) } else { Ok(()) }
    }

    /// Answers a message that is not forwarded, when its turn comes.
    pub(crate) fn answer(&mut self, write: impl FnOnce(&mut BytesMut)) -> Result<(), End> {
        self.answer_changing(write, Changes::default())
    }

    /// The same for one that changes what a name stands for.
    pub(crate) fn answer_changing(&mut self, write: impl FnOnce(&mut BytesMut), changes: Changes) -> Result<(), End> {
        let mut answer = BytesMut::new();
        write(&mut answer);
        self.owed.push_changing(Owed::Ours(answer.freeze()), changes);
        self.say_ours()
    }

    /// Says the answers of Grille's own whose turn it is.
    pub(crate) fn say_ours(&mut self) -> Result<(), End> {
        while let Some((answer, changes)) = self.owed.pop_ours() {
            self.emit(&answer)?;
            changes.iter().try_for_each(|changes| self.settle_changes(changes, Fate::Taken))?;
        }
        Ok(())
    }

    /// `SET grille.reason = '…'` by the simple protocol.
    pub(crate) async fn answer_own_query(&mut self, reason: Arc<str>) -> Result<(), End> {
        self.settle_transaction().await?;
        if self.state.skips_to_sync {
            return Ok(());
        }
        self.state.reason = Some(reason);
        let status = match self.state.transaction {
            TransactionState::Idle => TransactionStatus::Idle,
            TransactionState::Open => TransactionStatus::Open,
            TransactionState::Failed => TransactionStatus::Failed,
        };
        self.answer(|out| {
            encode::command_complete(out, "SET").expect("a short word without zero bytes");
            encode::ready_for_query(out, status);
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
