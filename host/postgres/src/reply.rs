//! The target's messages: each is matched with what is owed, treated where a policy says so, recorded, and passed on.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use grille_pg_codec::backend::{
    CommandTag, DataRow, Message, OwnedField, Report, RowDescription, TransactionStatus, field,
};
use grille_pg_codec::{encode, frame, tag::backend as tag};
use grille_policy::{Fault, TransactionState};
use grille_sql::{RowPlan, SessionEffect, StatementInfo};

use crate::catalog::text_row;
use crate::copy::CopyOut;
use crate::large::REPLY_BYTES_MAX;
use crate::marks::Marks;
use crate::replies::{Owed, Own};
use crate::respond::{Answer, sqlstate};
use crate::sanitise::sanitised;
use crate::session::{End, Session};
use crate::statements::{Change, Changes, Fate, Portal, ResultFormats};

impl Session {
    /// Deals with everything that the target sent.
    pub(crate) async fn on_target(&mut self) -> Result<(), End> {
        loop {
            if self.drop_run() || self.pass_run()? {
                continue;
            }
            let head = frame::head(&self.target.inbox).map_err(|_| End::misbehaved("an impossible length"))?;
            let Some(head) = head else { break };
            if head.len > REPLY_BYTES_MAX {
                self.on_large_reply(head)?;
                continue;
            }
            if self.target.inbox.len() < head.len {
                break;
            }
            let is_data = matches!(head.tag, tag::DATA_ROW | tag::COPY_DATA);
            if is_data && self.state.swallows_to_sync && !matches!(self.owed.front_mut(), Some(Owed::Own(_))) {
                self.target.inbox.advance(head.len);
                continue;
            }
            if head.tag == tag::DATA_ROW && self.shape_rows().await? {
                let filter = self.owed.running().and_then(|running| running.filter.as_ref());
                match filter.map(|filter| filter.rewrites()) {
                    Some(true) => self.rewrite_run().await?,
                    Some(false) => self.treat_run()?,
                    // They pass as they are, with the next run.
                    None => {}
                }
                continue;
            }
            let message = self.target.inbox.split_to(head.len);
            self.on_reply(head.tag, message).await?;
            self.say_ours()?;
        }
        self.record_all()?;
        if self.target.is_ended { Err(End::TargetGone) } else { Ok(()) }
    }

    async fn on_reply(&mut self, tag: u8, message: BytesMut) -> Result<(), End> {
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        match tag {
            tag::DATA_ROW => self.on_row(body),
            tag::ROW_DESCRIPTION => self.on_description(message).await,
            tag::NO_DATA => self.on_no_data(message),
            tag::PARAMETER_DESCRIPTION => self.pass(&message),
            tag::COMMAND_COMPLETE => self.on_complete(message),
            tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => self.on_pause(tag, message),
            tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::CLOSE_COMPLETE => self.on_step(tag, &message),
            tag::ERROR_RESPONSE => self.on_error(message),
            tag::READY_FOR_QUERY => self.on_ready(message),
            tag::NOTICE_RESPONSE => self.on_notice(message),
            tag::NOTIFICATION_RESPONSE => {
                let dropped = self.view.protection.as_ref().is_some_and(|protection| !protection.notify);
                if dropped { Ok(()) } else { self.tell(&message) }
            }
            tag::PARAMETER_STATUS => self.on_parameter(&message),
            tag::COPY_OUT_RESPONSE => self.on_copy_out(message),
            tag::COPY_IN_RESPONSE if !self.owed.running().is_some_and(|running| running.judged.may_copy_in()) => {
                Err(End::misbehaved("a request for COPY data that no COPY made"))
            }
            tag::COPY_IN_RESPONSE if self.state.swallows_to_sync => {
                // The caller has read an error and will send no data.
                Ok(self.target.outbox.put(|out| encode::copy_fail(out, "a result before it was cut"))?)
            }
            tag::COPY_IN_RESPONSE => {
                let is_extended = matches!(self.owed.front_mut(), Some(Owed::Execute(_)));
                self.state.copies_in = !self.owed.begin_copy_in();
                self.state.in_pipeline |= is_extended && self.owed.count(Marks::SYNC) == 0;
                self.pass(&message)
            }
            tag::COPY_DATA => self.on_copy_data(&message),
            tag::COPY_DONE => self.on_copy_done(message),
            _ => Err(End::misbehaved("an unexpected type of message")),
        }
    }

    /// Records a message and queues it for the caller.
    fn pass(&mut self, message: &BytesMut) -> Result<(), End> {
        if matches!(self.owed.front_mut(), Some(Owed::Own(_))) {
            return Ok(());
        }
        self.emit(message)
    }

    /// Records a message and queues it, unless everything up to ReadyForQuery is dropped.
    pub(crate) fn emit(&mut self, message: &[u8]) -> Result<(), End> {
        if self.state.swallows_to_sync { Ok(()) } else { self.tell(message) }
    }

    /// Records a message and queues it, whatever it comes between: the server says it of its own accord, and only once.
    fn tell(&mut self, message: &[u8]) -> Result<(), End> {
        self.record_reply(0, message)?;
        self.caller.outbox.append(|out| out.extend_from_slice(message));
        Ok(())
    }

    /// A row that was not passed or treated in a run: Grille's own, or of a result that is cut.
    fn on_row(&mut self, body: &[u8]) -> Result<(), End> {
        match self.owed.front_mut() {
            Some(Owed::Own(Own::Execute)) => {
                let row = DataRow::from_body(body).map_err(|_| End::misbehaved("a malformed row"))?;
                self.own_rows.push(text_row(row.values()).map_err(|_| End::misbehaved("a malformed row"))?);
                Ok(())
            }
            Some(Owed::Query(running) | Owed::Execute(running)) if running.cut.is_some() => Ok(()),
            _ => Err(End::misbehaved("a row that nobody asked for")),
        }
    }

    async fn on_description(&mut self, message: BytesMut) -> Result<(), End> {
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        let description = RowDescription::from_body(body).map_err(|_| End::misbehaved("a malformed description"))?;
        let columns: Arc<[OwnedField]> = description.fields().map(|field| field.to_owned()).collect();
        match self.owed.front_mut() {
            Some(Owed::Query(running)) => {
                let (judged, statement) = (Arc::clone(&running.judged), running.statement);
                match self.plan(&judged, statement, &columns, &ResultFormats::described(&columns)).await {
                    Ok(filter) => self.start_rows(filter),
                    Err(answer) => {
                        self.cut(answer);
                        return Ok(());
                    }
                }
                self.pass(&message)
            }
            Some(Owed::DescribeStatement(_) | Owed::DescribePortal(_) | Owed::Own(Own::Describe(_))) => {
                self.described(columns);
                self.pass(&message)?;
                self.owed.pop();
                Ok(())
            }
            _ => Err(End::misbehaved("a description that nobody asked for")),
        }
    }

    fn on_no_data(&mut self, message: BytesMut) -> Result<(), End> {
        if !self.described(Arc::from([])) {
            return Err(End::misbehaved("an answer to no Describe"));
        }
        self.pass(&message)?;
        self.owed.pop();
        Ok(())
    }

    /// Keeps the columns of what the message at the front of the queue asks for; answers whether it asks for any.
    fn described(&mut self, columns: Arc<[OwnedField]>) -> bool {
        let prepared = match self.owed.front_mut() {
            Some(Owed::DescribeStatement(prepared)) => prepared.as_ref(),
            Some(Owed::DescribePortal(portal)) => portal.as_ref().map(|portal| &portal.prepared),
            Some(Owed::Own(Own::Describe(prepared))) => Some(&*prepared),
            _ => return false,
        };
        if let Some(prepared) = prepared {
            *prepared.columns.lock() = Some(columns);
        }
        true
    }

    /// ParseComplete, BindComplete, CloseComplete.
    fn on_step(&mut self, tag: u8, message: &BytesMut) -> Result<(), End> {
        let fits = matches!(
            (tag, self.owed.front_mut()),
            (tag::PARSE_COMPLETE, Some(Owed::Parse(..) | Owed::Own(Own::Parse | Own::ParseAgain)))
                | (tag::BIND_COMPLETE, Some(Owed::Bind(..) | Owed::Own(Own::Bind)))
                | (tag::CLOSE_COMPLETE, Some(Owed::Close | Owed::Own(Own::Close)))
        );
        if !fits {
            return Err(End::misbehaved("an answer out of order"));
        }
        self.pass(message)?;
        match self.owed.pop_with_changes() {
            Some((Owed::Parse(change, prepared), _)) => {
                drop(self.statements.settle(&change, Fate::Taken));
                self.name_prepared(&change, &prepared);
            }
            Some((Owed::Bind(change, portal), _)) => {
                self.settle_portal(&change, Fate::Taken)?;
                self.name_portal(&change, &portal);
            }
            Some((Owed::Close, Some(changes))) => {
                self.settle_changes(&changes, Fate::Taken)?;
                self.name_closed(changes.statement.as_ref(), changes.portal.as_ref());
            }
            Some((Owed::Own(_), Some(changes))) => self.settle_changes(&changes, Fate::Taken)?,
            _ => {}
        }
        Ok(())
    }

    fn on_complete(&mut self, message: BytesMut) -> Result<(), End> {
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        let counted = CommandTag::from_body(body).ok().and_then(|tag| tag.rows());
        self.state.copies_in = false;
        match self.owed.front_mut() {
            Some(Owed::Own(Own::Execute)) => {
                self.owed.pop();
                return Ok(());
            }
            Some(Owed::Query(_) | Owed::Execute(_)) => {}
            _ => {
                return Err(End::misbehaved("the end of a command that nobody asked for"));
            }
        }
        self.follow_effects();
        self.end_statement(message, counted.unwrap_or(0))
    }

    /// An empty query, or a portal that has more rows.
    fn on_pause(&mut self, tag: u8, message: BytesMut) -> Result<(), End> {
        if tag == tag::PORTAL_SUSPENDED && !matches!(self.owed.front_mut(), Some(Owed::Execute(_))) {
            return Err(End::misbehaved("a suspended portal that nobody executes"));
        }
        if self.owed.running().is_none() {
            return Err(End::misbehaved("an empty query that nobody sent"));
        }
        self.end_statement(message, 0)
    }

    /// One statement is answered: its outcome is written down before the caller learns of it.
    fn end_statement(&mut self, message: BytesMut, counted: u64) -> Result<(), End> {
        let is_query = matches!(self.owed.front_mut(), Some(Owed::Query(_)));
        if let Some(running) = self.owed.running()
            && let Some(answer) = running.cut.take()
        {
            // The result was complete before the target heard that it should stop.
            running.sqlstate = Some(answer.sqlstate.to_owned());
            running.withheld = Some(answer.clone());
            self.fail_in_place(answer)?;
            self.state.swallows_to_sync = true;
            self.state.skips_to_sync |= !is_query && self.owed.rounds_left() == 0;
        } else {
            self.emit(&message)?;
        }
        self.results += 1;
        if let Some(running) = self.owed.running() {
            self.state.has_touched_protected |= running.judged.touches_protected();
            running.end_statement(counted);
        }
        if is_query {
            return Ok(());
        }
        match self.owed.pop() {
            Some(Owed::Execute(running)) => self.record_outcome(&running),
            _ => Ok(()),
        }
    }

    /// Names, settings and definitions that a statement changed, now that it has succeeded.
    fn follow_effects(&mut self) {
        let Some(running) = self.owed.running() else {
            return;
        };
        let (judged, index) = (Arc::clone(&running.judged), running.statement);
        let Some(statement) = judged.statements().get(index) else {
            // What was not understood may have changed anything.
            self.view.definitions_changed();
            return;
        };
        for effect in &statement.session {
            self.view.names.apply(effect, || judged.source(Some(statement.text_range.clone())));
            self.view.follow(effect);
            match effect {
                // It took the place of a portal that the server has dropped.
                SessionEffect::Declare { cursor, .. } => self.portals.remove(cursor.as_bytes()),
                SessionEffect::Commit if self.view.has_own_ddl => {
                    self.path.catalogs.of(&self.route.target).invalidate(self.view.needs_catalog());
                }
                SessionEffect::Discard(grille_sql::Discard::All)
                | SessionEffect::Deallocate { name: None }
                | SessionEffect::Unfollowed => {
                    self.statements.clear_named();
                }
                SessionEffect::Deallocate { name: Some(name) } => self.statements.remove(name.as_bytes()),
                _ => {}
            }
        }
        if statement.is_ddl {
            self.view.definitions_changed();
        }
    }

    fn on_error(&mut self, message: BytesMut) -> Result<(), End> {
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        let Ok(Message::Error(report)) = Message::parse(tag::ERROR_RESPONSE, body) else {
            return Err(End::misbehaved("a malformed error"));
        };
        let sqlstate = String::from_utf8_lossy(report.sqlstate().unwrap_or_default()).into_owned();
        self.state.copies_in = false;
        self.state.copy_out = None;
        self.state.target_said_why |= report.ends_session();
        // What was set in a transaction that failed is as before.
        self.view.is_stale |= match self.owed.front_mut() {
            _ if self.state.transaction != TransactionState::Idle => true,
            Some(Owed::Query(running)) => running.judged.changes_meanings() || running.judged.reads_names_late(),
            Some(Owed::RefusedQuery(_)) => false,
            _ => true,
        };
        let may_quote = self.view.is_masked() && (self.may_quote_protected() || self.ends_earlier_work());
        // ReadyForQuery follows at once: also on a Sync that fails because the transaction cannot be committed.
        let is_query = matches!(self.owed.front_mut(), Some(Owed::Query(_) | Owed::RefusedQuery(_) | Owed::Sync));
        let mut answer = None;
        match self.owed.front_mut() {
            Some(Owed::RefusedQuery(ours)) => answer = Some((**ours).clone()),
            Some(Owed::RefusedParse(ours)) => answer = Some((**ours).clone()),
            Some(Owed::Query(running) | Owed::Execute(running)) => {
                answer = running.cut.take();
                let seen = answer.as_ref().map_or(sqlstate.as_str(), |answer| answer.sqlstate);
                running.sqlstate = Some(seen.to_owned());
                running.withheld.clone_from(&answer);
            }
            // What cannot be described cannot be executed: the caller reads why.
            Some(Owed::Own(Own::Describe(_) | Own::ParseAgain)) => {}
            Some(Owed::Own(_)) => answer = self.own_question_failed(&report),
            _ => {}
        }
        match answer {
            Some(answer) => self.fail_in_place(answer)?,
            None if self.owed.front_mut().is_some_and(|owed| owed.fails_unheard()) => {}
            None if may_quote => {
                let mut clean = BytesMut::new();
                sanitised(&report, &self.view.catalog, &mut clean)?;
                self.emit(&clean)?;
            }
            None => self.emit(&message)?,
        }
        if is_query || self.owed.is_empty() {
            return Ok(());
        }
        self.skip_after_error(&sqlstate)
    }

    /// A question of Grille's own ran into a limit of the caller's, or was cancelled. Within a pipeline that fails it, and
    /// what the caller reads in the place of the answer to its own message is returned; else that message is refused.
    fn own_question_failed(&mut self, report: &Report<'_>) -> Option<Answer> {
        let text = |code| report.get(code).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        tracing::info!(session = %self.facts.id, "a question of Grille's own failed: {}", text(field::MESSAGE));
        let code = [sqlstate::CANCELED, sqlstate::LOCKED].into_iter().find(|code| *code == text(field::SQLSTATE));
        let answer = Answer::new(code.unwrap_or("XX000"), Fault::Target, text(field::MESSAGE))
            .with_detail("Grille asked the server for names and settings that the statement hangs on.");
        let is_alone = self.owed.ends_own_question();
        if !is_alone {
            return Some(answer);
        }
        self.own_failure = Some(answer);
        None
    }

    /// The server skips everything up to the next Sync; what was put down for it is taken back.
    fn skip_after_error(&mut self, sqlstate: &str) -> Result<(), End> {
        let is_own = matches!(self.owed.front_mut(), Some(Owed::Own(_)));
        match self.owed.pop_with_changes() {
            Some((Owed::Parse(change, _), _)) => drop(self.statements.settle(&change, Fate::Refused)),
            Some((Owed::Bind(change, _), _)) => self.settle_portal(&change, Fate::Refused)?,
            Some((Owed::Execute(running), _)) => self.record_outcome(&running)?,
            Some((Owed::Own(Own::ParseAgain), Some(changes))) => self.settle_changes(&changes, Fate::Refused)?,
            // What stands in for a refused Parse is read like it.
            Some((_, Some(changes))) => self.settle_changes(&changes, Fate::Taken)?,
            _ => {}
        }
        let mut skipped = Vec::new();
        for (owed, changes) in self.owed.skip_to_sync() {
            if let Some(changes) = changes {
                self.settle_changes(&changes, Fate::Skipped)?;
            }
            match owed {
                Owed::Parse(change, _) => drop(self.statements.settle(&change, Fate::Skipped)),
                Owed::Bind(change, _) => self.settle_portal(&change, Fate::Skipped)?,
                Owed::Execute(running) | Owed::Query(running) => skipped.push(running),
                _ => {}
            }
        }
        // Outcomes in the order of the decisions.
        for mut running in skipped.into_iter().rev() {
            running.sqlstate = Some(sqlstate.to_owned());
            self.record_outcome(&running)?;
        }
        // Without a Sync on its way the server skips what the caller still sends, so it is not even forwarded.
        // The Sync of a question of Grille's own is none of the caller's: what failed before it has failed for all.
        let foreign = usize::from(!is_own && self.owed.ends_own_question());
        self.state.skips_to_sync |= self.owed.count(Marks::SYNC) == foreign;
        Ok(())
    }

    pub(crate) fn settle_changes(&mut self, changes: &Changes, fate: Fate) -> Result<(), End> {
        changes.statement.iter().for_each(|change| drop(self.statements.settle(change, fate)));
        changes.portal.iter().try_for_each(|change| self.settle_portal(change, fate))
    }

    fn settle_portal(&mut self, change: &Change, fate: Fate) -> Result<(), End> {
        self.portals.settle(change, fate).into_iter().flatten().try_for_each(|portal| self.portal_ended(&portal))
    }

    /// What people let pass and nobody executed has an outcome, too.
    pub(crate) fn portal_ended(&mut self, portal: &Portal) -> Result<(), End> {
        let Some(id) = portal.take_approval() else { return Ok(()) };
        self.record_refused(id, &Answer::unused()).map(|_| ()).map_err(|_| End::unrecorded())
    }

    /// Writes our error where the target's, or its answer, would stand.
    fn fail_in_place(&mut self, answer: Answer) -> Result<(), End> {
        let mut error = BytesMut::new();
        answer.write_error(&mut error);
        self.emit(&error)
    }

    /// Whether texts of the target may quote values that the session must not see.
    fn may_quote_protected(&mut self) -> bool {
        match self.owed.front_mut() {
            Some(Owed::Query(running) | Owed::Execute(running)) => running.judged.touches_protected(),
            Some(Owed::DescribePortal(Some(portal))) => portal.prepared.judged.touches_protected(),
            Some(Owed::DescribePortal(None)) => true,
            Some(Owed::Parse(..) | Owed::DescribeStatement(_) | Owed::Close | Owed::Sync) => false,
            Some(Owed::Bind(_, portal)) => portal.prepared.judged.touches_protected(),
            _ => false,
        }
    }

    /// Whether what fails may be work of statements before it: deferred checks, cursors that are read to their end.
    fn ends_earlier_work(&mut self) -> bool {
        match self.owed.front_mut() {
            Some(Owed::Query(running) | Owed::Execute(running)) => {
                let statement = running.judged.statements().get(running.statement);
                statement.is_none_or(ends_earlier_work)
            }
            Some(Owed::Sync) => true,
            _ => false,
        }
    }

    fn on_notice(&mut self, message: BytesMut) -> Result<(), End> {
        if !self.view.is_masked() || !self.may_quote_protected() {
            return self.pass(&message);
        }
        // A notice tells nothing that the caller needs, so it is dropped rather than emptied.
        Ok(())
    }

    /// The server tells settings just before ReadyForQuery. What runs inside it may have put a value of a row into one.
    fn on_parameter(&mut self, message: &BytesMut) -> Result<(), End> {
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        if let Some(encoding) = body.strip_prefix(b"client_encoding\0") {
            self.view.is_utf8 = matches!(encoding, b"UTF8\0" | b"SQL_ASCII\0");
        }
        let may_hold_value = self.view.is_masked() && (self.state.has_touched_protected || self.may_quote_protected());
        if may_hold_value && !has_fixed_words(body) { Ok(()) } else { self.tell(message) }
    }

    fn on_ready(&mut self, message: BytesMut) -> Result<(), End> {
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        let status = TransactionStatus::from_body(body).map_err(|_| End::misbehaved("an unknown status"))?;
        self.state.transaction = match status {
            TransactionStatus::Idle => TransactionState::Idle,
            TransactionStatus::Open => TransactionState::Open,
            TransactionStatus::Failed => TransactionState::Failed,
        };
        (self.state.copies_in, self.state.has_touched_protected) = (false, false);
        self.state.moves_transaction &= self.owed.rounds_left() > 1;
        let Some((owed, changes)) = self.owed.pop_with_changes() else {
            return Err(End::misbehaved("ready although nothing is owed"));
        };
        if let Some(changes) = changes {
            self.settle_changes(&changes, Fate::Taken)?;
        }
        match owed {
            Owed::Query(running) => self.record_outcome(&running)?,
            Owed::RefusedQuery(_) | Owed::Sync => {}
            Owed::Own(Own::Sync) => {
                return self.transaction_stands();
            }
            _ => return Err(End::misbehaved("ready although more is owed")),
        }
        self.transaction_stands()?;
        if self.fails_cut_transaction()? {
            return Ok(());
        }
        self.state.swallows_to_sync = false;
        self.emit(&message)
    }

    /// What ends with the transaction has ended, if it has.
    fn transaction_stands(&mut self) -> Result<(), End> {
        if self.state.transaction != TransactionState::Idle {
            return Ok(());
        }
        let said = self.owed.rounds() - self.owed.rounds_left();
        let ended = self.portals.retain(|portal| portal.round >= said);
        ended.iter().try_for_each(|portal| self.portal_ended(portal))?;
        self.view.names.transaction_ended();
        self.view.is_stale |= std::mem::take(&mut self.view.has_local_settings);
        self.view.has_moved_within &= self.owed.rounds_left() > 0;
        if std::mem::take(&mut self.view.has_own_ddl) {
            self.view.seen_by_all = None;
            self.path.catalogs.of(&self.route.target).invalidate(self.view.needs_catalog());
            self.view.is_own_catalog_stale = false;
            self.view.protected = None;
            self.view.is_stale = true;
            self.view.forget();
        }
        Ok(())
    }

    fn on_copy_out(&mut self, message: BytesMut) -> Result<(), End> {
        let Some(running) = self.owed.running() else {
            return Err(End::misbehaved("COPY that nobody asked for"));
        };
        let (judged, index) = (Arc::clone(&running.judged), running.statement);
        running.is_shaped = true;
        if let Some(plan) = judged.rows(index).filter(|plan| !plan.is_keep()) {
            let copy = judged.statements().get(index).and_then(|statement| statement.copy.as_ref());
            let planned = match (copy, plan) {
                (Some(copy), RowPlan::Columns(plan)) => {
                    CopyOut::new(copy, plan, &self.view.catalog, &self.path.mask_context())
                }
                _ => Err("its columns are not known".to_owned()),
            };
            match planned {
                Ok(treated) => self.state.copy_out = Some(Box::new(treated)),
                Err(reason) => {
                    let message = format!("COPY of protected columns cannot be treated: {reason}");
                    self.cut(Answer::new(sqlstate::REFUSED, Fault::Gateway, message));
                }
            }
        }
        self.results += 1;
        self.pass(&message)
    }

    fn on_copy_data(&mut self, message: &BytesMut) -> Result<(), End> {
        if self.owed.running().is_none_or(|running| running.cut.is_some()) {
            return Ok(());
        }
        let mut left = self.left();
        let is_too_much = left.as_mut().is_some_and(|left| !left.takes(message.len()));
        self.settle_budget(left);
        if is_too_much {
            self.cut_exceeded(message.len());
            return Ok(());
        }
        let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
        let Some(copy) = &mut self.state.copy_out else {
            return Err(End::misbehaved("COPY data out of place"));
        };
        match copy.treat(body) {
            Ok(treated) => self.copied(&treated),
            Err(reason) => {
                let message = format!("COPY of protected columns cannot be treated: {reason}");
                self.cut(Answer::new(sqlstate::REFUSED, Fault::Gateway, message));
                Ok(())
            }
        }
    }

    fn copied(&mut self, treated: &[u8]) -> Result<(), End> {
        if treated.is_empty() {
            return Ok(());
        }
        let mut data = BytesMut::new();
        encode::copy_data(&mut data, treated)?;
        self.record_reply(1, &data)?;
        if let Some(running) = self.owed.running() {
            running.bytes += data.len() as u64;
        }
        self.caller.outbox.push(data);
        Ok(())
    }

    fn on_copy_done(&mut self, message: BytesMut) -> Result<(), End> {
        if let Some(mut copy) = self.state.copy_out.take() {
            match copy.finish() {
                Ok(()) => {}
                Err(reason) => {
                    let message = format!("COPY of protected columns cannot be treated: {reason}");
                    self.cut(Answer::new(sqlstate::REFUSED, Fault::Gateway, message));
                }
            }
        }
        if self.owed.running().is_some_and(|running| running.cut.is_some()) {
            return Ok(());
        }
        self.pass(&message)
    }
}

/// Whether a ParameterStatus is of a setting that takes the server's own words alone.
fn has_fixed_words(body: &[u8]) -> bool {
    const NAMES: [&[u8]; 10] = [
        b"DateStyle",
        b"IntervalStyle",
        b"client_encoding",
        b"default_transaction_read_only",
        b"in_hot_standby",
        b"integer_datetimes",
        b"is_superuser",
        b"server_encoding",
        b"server_version",
        b"standard_conforming_strings",
    ];
    body.split(|&byte| byte == 0).next().is_some_and(|name| NAMES.contains(&name))
}

fn ends_earlier_work(statement: &StatementInfo) -> bool {
    let ends = |effect: &SessionEffect| {
        matches!(effect, SessionEffect::Commit | SessionEffect::Move { .. } | SessionEffect::PrepareTransaction)
    };
    &*statement.kind == "SET CONSTRAINTS" || statement.session.iter().any(ends)
}
