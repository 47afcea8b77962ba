//! The caller's messages: each is understood, ruled on, recorded, and then sent on, or replaced by one that fails.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use grille_pg_codec::frontend::{self, Message, Target};
use grille_pg_codec::{Formats, encode, frame, tag::frontend as tag};
use grille_policy::{Decision, Fault, Finding, Parameter, Severity, TransactionState, Verdict};
use grille_sql::{Output, SessionEffect, SetValue};
use parking_lot::Mutex;

use crate::decide::Ruling;
use crate::operation::Judged;
use crate::record::no_parameters;
use crate::replies::{Owed, Own, Running};
use crate::respond::{Answer, sqlstate};
use crate::session::{End, OWN_NAME, Session};
use crate::statements::{Portal, Prepared, ResultFormats};

/// A statement with its parameters is held whole to be judged. 16 MiB of text and as much again for values.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// What stands in for a refused message: it cannot parse, and the server's log says why.
const SUBSTITUTE: &[u8] = b"REFUSED BY GRILLE";

impl Session {
    /// Deals with all complete messages of the caller.
    pub(crate) async fn on_caller(&mut self) -> Result<(), End> {
        loop {
            if self.state.passing_up > 0 {
                let passed = self.state.passing_up.min(self.caller.inbox.len());
                if passed == 0 {
                    break;
                }
                self.state.passing_up -= passed;
                let piece = self.caller.inbox.split_to(passed);
                self.record_request(&piece)?;
                self.target.outbox.push(piece);
                continue;
            }
            let head = frame::head(&self.caller.inbox).map_err(|error| End::malformed(error.to_string()))?;
            let Some(head) = head else { break };
            if head.tag == tag::COPY_DATA {
                // Data is not looked at: what it goes into was ruled on with the statement.
                self.state.passing_up = head.len;
                continue;
            }
            if head.len > MESSAGE_BYTES_MAX {
                let message = format!("a message of {} bytes exceeds the limit of {MESSAGE_BYTES_MAX} bytes", head.len);
                return Err(End::fatal("limit", Answer::new(sqlstate::LIMIT, Fault::Caller, message)));
            }
            if self.caller.inbox.len() < head.len {
                break;
            }
            let bytes = self.caller.inbox.split_to(head.len).freeze();
            self.on_message(head.tag, bytes).await?;
        }
        self.record_all()
    }

    async fn on_message(&mut self, tag: u8, bytes: Bytes) -> Result<(), End> {
        let body = bytes.slice(frame::HEADER_BYTES..);
        let message = Message::parse(tag, &body).map_err(|error| End::malformed(error.to_string()))?;
        if !matches!(message, Message::Password(_)) {
            self.record_request(&bytes)?;
        }
        if self.state.skips_to_sync && !matches!(message, Message::Sync | Message::Terminate) {
            return Ok(());
        }
        if self.state.copies_in && !matches!(message, Message::CopyDone | Message::CopyFail(_) | Message::Terminate) {
            return match message {
                // libpq sends these without noticing that its command was a COPY; the server ignores them.
                Message::Sync | Message::Flush => {
                    self.target.outbox.push(BytesMut::from(bytes));
                    Ok(())
                }
                _ => Err(End::malformed("only COPY data belongs into a COPY")),
            };
        }
        match message {
            Message::Query(query) => self.on_query(query, &bytes).await,
            Message::Parse(parse) => self.on_parse(parse, &bytes).await,
            Message::Bind(bind) => self.on_bind(bind, &bytes).await,
            Message::Execute(execute) => self.on_execute(execute, &bytes).await,
            Message::Describe(target) => {
                self.on_describe(target, &bytes);
                Ok(())
            }
            Message::Close(target) => self.on_close(target, &bytes),
            Message::Sync => {
                self.state.skips_to_sync = false;
                self.state.in_pipeline = false;
                self.state.has_executed = false;
                self.forward(&bytes, Owed::Sync);
                Ok(())
            }
            Message::Flush => {
                self.target.outbox.push(BytesMut::from(&*bytes));
                Ok(())
            }
            Message::CopyDone | Message::CopyFail(_) => {
                if !std::mem::take(&mut self.state.copies_in) && !self.owed.is_empty() {
                    self.owed.push(Owed::CopyEnd);
                }
                self.target.outbox.push(BytesMut::from(&*bytes));
                Ok(())
            }
            Message::FunctionCall => {
                let answer = Answer::new(
                    sqlstate::UNSUPPORTED,
                    Fault::Caller,
                    "function calls by OID bypass every statement and are refused; call the function in a SELECT",
                );
                self.substitute_query(answer)
            }
            Message::Terminate => Err(End::Terminated),
            Message::CopyData(_) | Message::Password(_) => Err(End::malformed("a message that does not belong here")),
        }
    }

    fn forward(&mut self, bytes: &Bytes, owed: Owed) {
        self.target.outbox.append(|out| out.extend_from_slice(bytes));
        self.owed.push(owed);
    }

    /// A text that changes rows and returns some, in the simple protocol, cannot be cut without doubt about what was
    /// committed: where results are limited it is refused instead.
    fn limitable(&self, judged: Arc<Judged>) -> Arc<Judged> {
        let statements = judged.statements();
        let writes = statements.iter().any(|statement| statement.writes_rows || statement.is_ddl);
        let returns = statements.iter().any(|statement| statement.output != Output::None);
        if self.budget.is_none() || judged.refusal.is_some() || !(writes && returns) {
            return judged;
        }
        let message = "your role limits results, and a text that both changes and returns rows cannot be cut; send the \
                       statements one by one, or with the extended protocol";
        Arc::new(Judged::refused(Arc::clone(&judged.text), Finding::new("limit", Severity::Low, message)))
    }

    async fn on_query(&mut self, query: frontend::Query<'_>, bytes: &Bytes) -> Result<(), End> {
        self.await_cancel().await;
        let judged = self.understand(query.sql).await?;
        if let Some(reason) = self.own_setting(&judged) {
            return self.answer_own_setting(reason);
        }
        let judged = self.limitable(judged);
        let parameters = no_parameters();
        let ruling = self.rule(&judged, &parameters).await?;
        let (id, judged) = match ruling {
            Ruling::Refuse(answer) => return self.substitute_query(answer),
            Ruling::Released(id, _) => (id, judged),
            Ruling::Allow(decision) => {
                let id = self.next_decision();
                let judged_in = (&decision, self.state.transaction);
                match self.record_before_forward(id, &judged, &parameters, judged_in).await {
                    Ok(()) => (id, judged),
                    Err(answer) => return self.substitute_query(answer),
                }
            }
        };
        // A simple query drops the unnamed statement and runs outside every pipeline.
        self.statements.remove(b"");
        self.portals.remove(b"");
        self.state.in_pipeline = false;
        let running = Running::new(id, judged, None);
        self.forward(bytes, Owed::Query(Box::new(running)));
        Ok(())
    }

    /// The meaning of a text; bytes that are no text are judged by the host alone.
    async fn understand(&mut self, sql: &[u8]) -> Result<Arc<Judged>, End> {
        match std::str::from_utf8(sql) {
            Ok(text) => self.judge(text.into()).await,
            Err(_) => {
                let text: Arc<str> = String::from_utf8_lossy(sql).into();
                self.refresh().await?;
                let message = "the statement is not valid UTF-8; set client_encoding to UTF8";
                let refusal = Finding::new("not-understood", Severity::Medium, message);
                let mut judged = Judged::refused(text, refusal);
                if !self.view.is_limited() {
                    judged.refusal = None;
                }
                Ok(Arc::new(judged))
            }
        }
    }

    /// `SET grille.reason = '…'`: the justification for reviewers, which is none of the target's business.
    fn own_setting(&self, judged: &Judged) -> Option<Arc<str>> {
        let [statement] = judged.statements() else {
            return None;
        };
        match statement.session.as_slice() {
            [SessionEffect::Set { name, value: SetValue::Constant(values), .. }]
                if &**name == "grille.reason" && self.owed.is_empty() =>
            {
                values.first().cloned()
            }
            _ => None,
        }
    }

    fn answer_own_setting(&mut self, reason: Arc<str>) -> Result<(), End> {
        self.state.reason = Some(reason);
        let status = match self.state.transaction {
            TransactionState::Idle => grille_pg_codec::backend::TransactionStatus::Idle,
            TransactionState::Open => grille_pg_codec::backend::TransactionStatus::Open,
            TransactionState::Failed => grille_pg_codec::backend::TransactionStatus::Failed,
        };
        self.caller.outbox.put(|out| encode::command_complete(out, "SET"))?;
        self.caller.outbox.append(|out| encode::ready_for_query(out, status));
        Ok(())
    }

    async fn on_parse(&mut self, parse: frontend::Parse<'_>, bytes: &Bytes) -> Result<(), End> {
        self.state.in_pipeline = true;
        if parse.name == OWN_NAME {
            return self.refuse_in_pipeline(Answer::new(sqlstate::REFUSED, Fault::Caller, "this name is Grille's own"));
        }
        let judged = self.understand(parse.sql).await?;
        let none = no_parameters();
        let decision = self.consult(&judged, &none).await;
        if matches!(decision.verdict, Verdict::Block(_)) {
            let answer = self.refuse(&judged, &none, &decision).await;
            return self.refuse_parse(parse.name, answer);
        }
        let prepared = Arc::new(Prepared {
            judged,
            parameter_types: parse.parameter_types().collect(),
            columns: Mutex::new(None),
        });
        match self.statements.put(parse.name, prepared) {
            Some(before) => self.forward(bytes, Owed::Parse(before)),
            None => return self.refuse_in_pipeline(too_many("prepared statements")),
        }
        Ok(())
    }

    async fn on_bind(&mut self, bind: frontend::Bind<'_>, bytes: &Bytes) -> Result<(), End> {
        self.state.in_pipeline = true;
        let Some(prepared) = self.statements.get(bind.statement).map(Arc::clone) else {
            let name = String::from_utf8_lossy(bind.statement);
            let message = format!("prepared statement \"{name}\" does not exist");
            return self.refuse_in_pipeline(Answer::new(sqlstate::NO_STATEMENT, Fault::Caller, message));
        };
        let parameters = parameters(&bind, &prepared)?;
        // What was true at Parse may not be true any more.
        let judged = self.judge(Arc::clone(&prepared.judged.text)).await?;
        let transaction = self.state.transaction;
        let (decision, recorded) = match self.rule(&judged, &parameters).await? {
            Ruling::Refuse(answer) => return self.refuse_in_pipeline(answer),
            Ruling::Allow(decision) => (decision, None),
            Ruling::Released(id, decision) => (decision, Some(id)),
        };
        let prepared = if Arc::ptr_eq(&judged, &prepared.judged) {
            prepared
        } else {
            let parameter_types = prepared.parameter_types.clone();
            Arc::new(Prepared { judged, parameter_types, columns: Mutex::new(prepared.columns.lock().clone()) })
        };
        let portal = Portal {
            prepared,
            parameters,
            formats: ResultFormats(formats(bind.result_formats)),
            decision,
            transaction,
            recorded: Mutex::new(recorded),
            filter: Mutex::new(None),
        };
        match self.portals.put(bind.portal, Arc::new(portal)) {
            Some(before) => self.forward(bytes, Owed::Bind(before)),
            None => return self.refuse_in_pipeline(too_many("portals")),
        }
        Ok(())
    }

    /// A description holds names and types, no values; so also what was named by SQL may be described.
    fn on_describe(&mut self, target: Target<'_>, bytes: &Bytes) {
        self.state.in_pipeline = true;
        let owed = match target {
            Target::Statement(name) => Owed::DescribeStatement(self.statements.get(name).map(Arc::clone)),
            Target::Portal(name) => Owed::DescribePortal(self.portals.get(name).map(Arc::clone)),
        };
        self.forward(bytes, owed);
    }

    fn on_close(&mut self, target: Target<'_>, bytes: &Bytes) -> Result<(), End> {
        self.state.in_pipeline = true;
        match target {
            Target::Statement(OWN_NAME) | Target::Portal(OWN_NAME) => {}
            Target::Statement(name) => self.statements.remove(name),
            Target::Portal(name) => self.portals.remove(name),
        }
        self.forward(bytes, Owed::Close);
        Ok(())
    }

    async fn on_execute(&mut self, execute: frontend::Execute<'_>, bytes: &Bytes) -> Result<(), End> {
        self.await_cancel().await;
        self.state.in_pipeline = true;
        let Some(portal) = self.portals.get(execute.portal).map(Arc::clone) else {
            return self.no_portal(execute.portal);
        };
        let judged = Arc::clone(&portal.prepared.judged);
        let recorded = portal.recorded.lock().take();
        let id = match recorded {
            Some(id) => id,
            None => {
                let (decision, transaction, judged) = match self.decision_now(&portal).await? {
                    Ok(now) => now,
                    Err(answer) => return self.refuse_in_pipeline(answer),
                };
                let id = self.next_decision();
                let judged_in = (&decision, transaction);
                if let Err(answer) = self.record_before_forward(id, &judged, &portal.parameters, judged_in).await {
                    return self.refuse_in_pipeline(answer);
                }
                id
            }
        };
        if let Err(answer) = self.shape_before_execute(execute.portal, &portal).await? {
            return self.refuse_in_pipeline(answer);
        }
        self.state.has_executed = true;
        let running = Running::new(id, judged, Some(portal));
        self.forward(bytes, Owed::Execute(Box::new(running)));
        Ok(())
    }

    /// The decision of the Bind with what was judged then, if the policies are still those; else a new one.
    async fn decision_now(
        &mut self,
        portal: &Arc<Portal>,
    ) -> Result<Result<(Decision, TransactionState, Arc<Judged>), Answer>, End> {
        if self.path.services.evaluator.epoch() == portal.decision.epoch {
            return Ok(Ok((portal.decision.clone(), portal.transaction, Arc::clone(&portal.prepared.judged))));
        }
        let judged = self.judge(Arc::clone(&portal.prepared.judged.text)).await?;
        let decision = self.consult(&judged, &portal.parameters).await;
        match decision.verdict {
            Verdict::Allow => Ok(Ok((decision, self.state.transaction, judged))),
            Verdict::Block(_) | Verdict::Review(_) => {
                Ok(Err(self.refuse(&judged, &portal.parameters, &decision).await))
            }
        }
    }

    /// Makes sure that the rows of a treated result will be understood: their columns are asked for if nobody has.
    /// A statement that writes is only executed once the plan for its rows stands, so that it cannot fail after the
    /// effect.
    async fn shape_before_execute(&mut self, name: &[u8], portal: &Arc<Portal>) -> Result<Result<(), Answer>, End> {
        let judged = &portal.prepared.judged;
        if !judged.has_treatments() || portal.filter.lock().is_some() {
            return Ok(Ok(()));
        }
        if portal.prepared.columns.lock().is_none() {
            self.target.outbox.put(|out| encode::describe(out, Target::Portal(name)))?;
            self.owed.push(Owed::Own(Own::Describe(Arc::clone(&portal.prepared))));
        }
        if !judged.statements().iter().any(|statement| statement.has_result_and_writes) {
            return Ok(Ok(()));
        }
        self.finish_own(false).await?;
        let Some(columns) = portal.prepared.columns.lock().clone() else {
            // The pipeline failed before; the server skips this one too.
            return Ok(Ok(()));
        };
        match self.plan(judged, 0, &columns, &portal.formats).await {
            Ok(filter) => {
                *portal.filter.lock() = filter;
                Ok(Ok(()))
            }
            Err(answer) => Ok(Err(answer)),
        }
    }

    /// Records a decision so that the statement may leave: at once on disk if it may write.
    async fn record_before_forward(
        &mut self,
        id: grille_policy::DecisionId,
        judged: &Judged,
        parameters: &[Parameter],
        judged_in: (&Decision, TransactionState),
    ) -> Result<(), Answer> {
        let recorded = match self.record_decision(id, judged, parameters, judged_in, None) {
            Ok(position) if self.path.services.is_strict || judged.may_write() => self.durable(position).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        recorded.map_err(|error| {
            tracing::error!(session = %self.facts.id, %error, "refusing what cannot be recorded");
            Answer::unrecorded()
        })
    }

    /// Puts a failing query in place of a refused one: the transaction fails as the server's own would.
    fn substitute_query(&mut self, answer: Answer) -> Result<(), End> {
        self.statements.remove(b"");
        self.state.in_pipeline = false;
        self.target.outbox.put(|out| encode::query(out, SUBSTITUTE))?;
        self.owed.push(Owed::RefusedQuery(Box::new(answer)));
        Ok(())
    }

    /// Puts a failing Parse of the same name in place of a refused one.
    fn refuse_parse(&mut self, name: &[u8], answer: Answer) -> Result<(), End> {
        if name.is_empty() {
            self.statements.remove(b"");
        }
        self.target.outbox.put(|out| encode::parse(out, name, SUBSTITUTE, &[]))?;
        self.owed.push(Owed::RefusedParse(Box::new(answer)));
        self.state.skips_to_sync = true;
        Ok(())
    }

    /// Puts a failing Parse in place of a refused Bind or Execute; under a name of its own it leaves the caller's
    /// unnamed statement alone.
    fn refuse_in_pipeline(&mut self, answer: Answer) -> Result<(), End> {
        let name = format!("grille refused {}", self.state.substitutes);
        self.state.substitutes += 1;
        self.target.outbox.put(|out| encode::parse(out, name.as_bytes(), SUBSTITUTE, &[]))?;
        self.owed.push(Owed::RefusedParse(Box::new(answer)));
        self.state.skips_to_sync = true;
        Ok(())
    }

    fn no_portal(&mut self, name: &[u8]) -> Result<(), End> {
        let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
        self.refuse_in_pipeline(Answer::new(sqlstate::NO_PORTAL, Fault::Caller, message))
    }

    /// Whether something that is under way may change what names mean.
    pub(crate) fn has_names_pending(&self) -> bool {
        self.owed.iter().any(|owed| match owed {
            Owed::Query(running) | Owed::Execute(running) => running.judged.uses_names(),
            _ => false,
        })
    }

    /// Waits until nothing under way changes what names mean.
    pub(crate) async fn settle(&mut self) -> Result<(), End> {
        if self.state.in_pipeline {
            self.target.outbox.append(encode::flush);
        }
        while self.has_names_pending() {
            self.turn(false).await?;
        }
        Ok(())
    }
}

fn formats(formats: Formats<'_>) -> Vec<grille_pg_codec::Format> {
    formats.iter().collect()
}

fn parameters(bind: &frontend::Bind<'_>, prepared: &Prepared) -> Result<Arc<[Parameter]>, End> {
    if bind.values.is_empty() {
        return Ok(no_parameters());
    }
    let values = bind.values.iter().enumerate().map(|(index, value)| Parameter {
        type_oid: prepared.parameter_types.get(index).copied().unwrap_or(0),
        is_binary: bind.formats.of(index) == Some(grille_pg_codec::Format::Binary),
        value: value.map(Arc::from),
    });
    Ok(values.collect())
}

fn too_many(what: &str) -> Answer {
    let message = format!("the session holds too many {what}; close some");
    Answer::new(sqlstate::LIMIT, Fault::Caller, message)
}
