//! The caller's messages: each is understood, ruled on, recorded, and then sent on, or replaced by one that fails.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use grille_ledger::{Position, Unwritable};
use grille_pg_codec::frontend::{self, Message, Target};
use grille_pg_codec::{Formats, encode, frame, tag::frontend as tag};
use grille_policy::{Fault, Finding, Parameter, Severity, TransactionState, Verdict};
use grille_sql::Output;
use parking_lot::Mutex;

use crate::decide::Ruling;
use crate::large::FRONT_BYTES;
use crate::marks::Marks;
use crate::operation::Judged;
use crate::record::no_parameters;
use crate::replies::{Owed, Own, Running};
use crate::respond::{Answer, sqlstate};
use crate::session::{End, OWN_NAME, Session, State};
use crate::statements::{Change, Changes, Permit, Portal, Prepared, ResultFormats};

/// A statement with its parameters is held whole to be judged. 16 MiB of text and as much again for values.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// What stands in for a refused message: it cannot parse, and the server's log says why.
const SUBSTITUTE: &[u8] = b"REFUSED BY GRILLE";

const NAME_IN_DOUBT: &str = "the name holds letters that are not in UTF-8; set client_encoding to UTF8";

/// What a Bind gives a statement.
pub(crate) struct Given<'a> {
    pub(crate) parameters: &'a (dyn Fn(&Prepared) -> Arc<[Parameter]> + Sync),
    pub(crate) formats: Option<ResultFormats>,
    /// Bytes that nobody looks into, where the parameters are none.
    pub(crate) unread: u64,
}

impl Session {
    /// Deals with all complete messages of the caller.
    pub(crate) async fn on_caller(&mut self) -> Result<(), End> {
        loop {
            if self.state.passing_up + self.state.dropping_up > 0 {
                if self.caller.inbox.is_empty() {
                    break;
                }
                self.pass_up()?;
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
                if self.caller.inbox.len() < FRONT_BYTES {
                    break;
                }
                self.on_large(head).await?;
                continue;
            }
            if self.caller.inbox.len() < head.len {
                break;
            }
            let bytes = self.caller.inbox.split_to(head.len).freeze();
            self.on_message(head.tag, bytes).await?;
        }
        self.record_all()
    }

    /// Passes, or drops, what has come of a frame that was begun.
    pub(crate) fn pass_up(&mut self) -> Result<(), End> {
        let State { passing_up, dropping_up, .. } = &mut self.state;
        let (left, passes) = if *passing_up > 0 { (passing_up, true) } else { (dropping_up, false) };
        let piece = self.caller.inbox.split_to((*left).min(self.caller.inbox.len()));
        *left -= piece.len();
        self.record_request(&piece)?;
        if passes {
            self.target.outbox.push(piece);
        }
        Ok(())
    }

    async fn on_message(&mut self, tag: u8, bytes: Bytes) -> Result<(), End> {
        self.own_failure = None;
        let body = bytes.slice(frame::HEADER_BYTES..);
        let message = Message::parse(tag, &body).map_err(|error| End::malformed(error.to_string()))?;
        if !matches!(message, Message::Password(_)) {
            self.record_request(&bytes)?;
        }
        if self.state.skips_to_sync && !matches!(message, Message::Sync | Message::Terminate) {
            return Ok(());
        }
        self.await_cancel().await;
        if !matches!(message, Message::CopyDone | Message::CopyFail(_) | Message::Terminate) {
            self.await_copy_in().await?;
            if self.state.skips_to_sync && !matches!(message, Message::Sync) {
                return Ok(());
            }
        }
        if self.state.copies_in && !matches!(message, Message::CopyDone | Message::CopyFail(_) | Message::Terminate) {
            return match message {
                // libpq sends these without noticing that its command was a COPY. The server would ignore them, unless
                // the COPY has failed meanwhile: then the answer to a Sync would be one too many.
                Message::Sync | Message::Flush => Ok(()),
                _ => Err(End::malformed("only COPY data belongs into a COPY")),
            };
        }
        match message {
            Message::Query(query) => self.on_query(query, &bytes).await,
            Message::Parse(parse) => self.on_parse(parse, &bytes).await,
            Message::Bind(bind) => self.on_bind(bind, &bytes).await,
            Message::Execute(execute) => self.on_execute(execute, &bytes).await,
            Message::Describe(target) => self.on_describe(target, &bytes).await,
            Message::Close(target) => {
                self.on_close(target, &bytes);
                Ok(())
            }
            Message::Sync => {
                self.end_cut_pipeline().await?;
                self.state.skips_to_sync = false;
                self.ends_pipeline();
                self.target.outbox.append(|out| out.extend_from_slice(&bytes));
                self.owed.push(Owed::Sync);
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
                let answer = self.refuse_unread(Answer::function_call()).await;
                self.substitute_query(answer)
            }
            Message::Terminate => Err(End::Terminated),
            Message::CopyData(_) | Message::Password(_) => Err(End::malformed("a message that does not belong here")),
        }
    }

    fn ends_pipeline(&mut self) {
        let state = &mut self.state;
        (state.in_pipeline, state.has_bound, state.has_executed, state.has_written) = (false, false, false, false);
    }

    /// Sends a message of the extended protocol on.
    pub(crate) fn forward(&mut self, bytes: &Bytes, owed: Owed) {
        self.state.in_pipeline = true;
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
        self.end_cut_pipeline().await?;
        if self.state.skips_to_sync {
            return Ok(());
        }
        let judged = self.understand(query.sql).await?;
        if let Some(reason) = judged.own_reason() {
            return self.answer_own_query(reason).await;
        }
        let judged = self.limitable(judged);
        let parameters = no_parameters();
        if self.state.skips_to_sync {
            return Ok(());
        }
        let ruling = self.rule(&judged, &parameters).await?;
        if self.state.skips_to_sync {
            return self.skip_ruled(&ruling);
        }
        let (id, judged) = match ruling {
            Ruling::Refuse(answer) => return self.substitute_query(answer),
            Ruling::Released(released) => (released.id, released.judged),
            Ruling::Allow(decision) => {
                let id = self.next_decision();
                let judged_in = (&decision, self.state.transaction);
                let recorded = self.record_decision(id, &judged, &parameters, judged_in, None);
                match self.recorded_before_forward(recorded, &judged).await {
                    Ok(()) => (id, judged),
                    Err(answer) => return self.substitute_query(answer),
                }
            }
        };
        // A simple query drops the unnamed statement, and the unnamed portal if there is anything to run; it ends the
        // pipeline that it stands in.
        let is_empty = judged.analysis.is_some() && judged.statements().is_empty();
        let stretch = self.owed.stretch();
        let changes = Changes {
            statement: Some(self.statements.take(b"", stretch)),
            portal: (!is_empty).then(|| self.portals.take(b"", stretch)),
        };
        self.ends_pipeline();
        self.state.moves_transaction |= judged.moves_transaction();
        let running = Running::new(id, judged, None);
        self.target.outbox.append(|out| out.extend_from_slice(bytes));
        self.owed.push_changing(Owed::Query(Box::new(running)), changes);
        Ok(())
    }

    /// Something before it in the pipeline failed while it was ruled on, so the server would skip it.
    fn skip_ruled(&mut self, ruling: &Ruling) -> Result<(), End> {
        if let Ruling::Released(released) = ruling {
            self.record_refused(released.id, &Answer::skipped()).map_err(|_| End::unrecorded())?;
        }
        Ok(())
    }

    /// The meaning of a text; bytes that are no text are judged by the host alone.
    async fn understand(&mut self, sql: &[u8]) -> Result<Arc<Judged>, End> {
        if self.view.is_limited() && !sql.is_ascii() {
            self.settle(Marks::CHANGES_MEANINGS).await?;
        }
        match std::str::from_utf8(sql) {
            Ok(text) if self.view.is_utf8 || text.is_ascii() || !self.view.is_limited() => {
                self.judge(text.into()).await
            }
            _ => {
                let text: Arc<str> = String::from_utf8_lossy(sql).into();
                self.refresh(&text).await?;
                let message = "the statement holds letters that are not in UTF-8; set client_encoding to UTF8";
                let refusal = Finding::new("not-understood", Severity::Medium, message);
                let mut judged = Judged::refused(text, refusal);
                if !self.view.is_limited() {
                    judged.refusal = None;
                }
                Ok(Arc::new(judged))
            }
        }
    }

    async fn on_parse(&mut self, parse: frontend::Parse<'_>, bytes: &Bytes) -> Result<(), End> {
        if parse.name == OWN_NAME {
            return self.refuse_in_pipeline(Answer::new(sqlstate::REFUSED, Fault::Caller, "this name is Grille's own"));
        }
        if self.is_named_in_doubt(parse.name) {
            return self.refuse_in_pipeline(Answer::new(sqlstate::REFUSED, Fault::Caller, NAME_IN_DOUBT));
        }
        // What forgets names may not forget one that is put down behind it.
        self.settle(Marks::FORGETS_NAMES).await?;
        let judged = self.understand(parse.sql).await?;
        if self.state.skips_to_sync {
            return Ok(());
        }
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
        let is_own = prepared.judged.own_reason().is_some();
        match self.statements.put(parse.name, Arc::clone(&prepared), self.owed.stretch()) {
            Some(change) if is_own => {
                let changes = Changes { statement: Some(change), ..Changes::default() };
                self.answer_changing(encode::parse_complete, changes)
            }
            Some(change) => {
                self.forward(bytes, Owed::Parse(change, prepared));
                Ok(())
            }
            None => self.refuse_in_pipeline(too_many("prepared statements")),
        }
    }

    async fn on_bind(&mut self, bind: frontend::Bind<'_>, bytes: &Bytes) -> Result<(), End> {
        let formats = ResultFormats(formats(bind.result_formats));
        let given = Given { parameters: &|prepared| parameters(&bind, prepared), formats: Some(formats), unread: 0 };
        if let Some((change, portal)) = self.bind(bind.portal, bind.statement, given).await? {
            self.state.has_bound = true;
            self.forward(bytes, Owed::Bind(change, portal));
        }
        Ok(())
    }

    /// Rules on a statement with its parameters. None where nothing is to be sent: it is refused, skipped, or answered.
    pub(crate) async fn bind(
        &mut self,
        portal: &[u8],
        statement: &[u8],
        given: Given<'_>,
    ) -> Result<Option<(Change, Arc<Portal>)>, End> {
        if self.is_named_in_doubt(portal) || self.is_named_in_doubt(statement) {
            let answer = Answer::new(sqlstate::REFUSED, Fault::Caller, NAME_IN_DOUBT);
            return self.refuse_in_pipeline(answer).map(|()| None);
        }
        let found = self.prepared(statement).await?;
        if self.state.skips_to_sync {
            return Ok(None);
        }
        let Some(prepared) = found else {
            let message = match statement {
                b"" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name)),
            };
            let answer = Answer::new(sqlstate::NO_STATEMENT, Fault::Caller, message);
            return self.refuse_in_pipeline(answer).map(|()| None);
        };
        let parameters = (given.parameters)(&prepared);
        // What was true at Parse may not be true any more.
        let judged = self.judge(Arc::clone(&prepared.judged.text)).await?;
        if self.state.skips_to_sync {
            return Ok(None);
        }
        let transaction = self.state.transaction;
        let ruling = self.rule(&judged, &parameters).await?;
        if self.state.skips_to_sync {
            return self.skip_ruled(&ruling).map(|()| None);
        }
        let (decision, permit, judged) = match ruling {
            Ruling::Refuse(answer) => return self.refuse_in_pipeline(answer).map(|()| None),
            Ruling::Allow(decision) => (decision, Permit::Policies, judged),
            Ruling::Released(released) => {
                (released.decision, Permit::Approved(released.id, released.until), released.judged)
            }
        };
        let prepared = if Arc::ptr_eq(&judged, &prepared.judged) {
            prepared
        } else {
            let moved = self.keeps_old_plan(statement, &prepared.judged, &judged);
            let columns = Mutex::new(if moved { None } else { prepared.columns.lock().clone() });
            let parameter_types = prepared.parameter_types.clone();
            let prepared = Arc::new(Prepared { judged, parameter_types, columns });
            if moved {
                self.parse_again(statement, &prepared)?;
            }
            prepared
        };
        let bound = Arc::new(Portal {
            prepared,
            parameters,
            unread: given.unread,
            formats: given.formats,
            decision,
            transaction,
            permit: Mutex::new(permit),
            filter: Mutex::new(None),
            round: self.owed.rounds(),
        });
        let is_own = judged_is_own(&bound);
        match self.portals.put(portal, Arc::clone(&bound), self.owed.stretch()) {
            Some(change) if is_own => {
                let changes = Changes { portal: Some(change), ..Changes::default() };
                self.answer_changing(encode::bind_complete, changes).map(|()| None)
            }
            Some(change) => Ok(Some((change, bound))),
            None => self.refuse_in_pipeline(too_many("portals")).map(|()| None),
        }
    }

    /// Whether the server makes other letters of a name than it has here.
    fn is_named_in_doubt(&self, name: &[u8]) -> bool {
        !self.view.is_utf8 && self.view.is_limited() && !name.is_ascii()
    }

    /// Whether the server may run a plan for what the names of a prepared statement meant before. It makes none for what
    /// reads names late, and a failed transaction runs nothing.
    fn keeps_old_plan(&self, name: &[u8], then: &Judged, now: &Judged) -> bool {
        self.view.needs_catalog()
            && self.statements.get(name).is_some()
            && !now.names_the_same(then)
            && !now.reads_names_late()
            && self.state.transaction != TransactionState::Failed
    }

    /// Has the server understand a statement anew: it keeps its plan although a new relation stands before the old one,
    /// and what is judged must be what runs.
    fn parse_again(&mut self, name: &[u8], prepared: &Arc<Prepared>) -> Result<(), End> {
        self.state.in_pipeline = true;
        let outbox = &mut self.target.outbox;
        outbox.put(|out| encode::close(out, Target::Statement(name)))?;
        outbox.put(|out| encode::parse(out, name, prepared.judged.text.as_bytes(), &prepared.parameter_types))?;
        let stretch = self.owed.stretch();
        let statement = Some(self.statements.take(name, stretch));
        self.owed.push_changing(Owed::Own(Own::Close), Changes { statement, ..Changes::default() });
        let statement = self.statements.put(name, Arc::clone(prepared), stretch);
        self.owed.push_changing(Owed::Own(Own::ParseAgain), Changes { statement, ..Changes::default() });
        Ok(())
    }

    /// A description holds names and types, no values; so also what was named by SQL may be described.
    async fn on_describe(&mut self, target: Target<'_>, bytes: &Bytes) -> Result<(), End> {
        let is_sure = match target {
            Target::Statement(name) => self.statements.is_sure(name, self.owed.stretch()),
            Target::Portal(name) => self.portals.is_sure(name, self.owed.stretch()),
        };
        if !is_sure {
            self.settle_all().await?;
            if self.state.skips_to_sync {
                return Ok(());
            }
        }
        let owed = match target {
            Target::Statement(name) => Owed::DescribeStatement(self.statements.get(name).map(Arc::clone)),
            Target::Portal(name) => Owed::DescribePortal(self.portals.get(name).map(Arc::clone)),
        };
        match &owed {
            Owed::DescribeStatement(Some(prepared)) if prepared.judged.own_reason().is_some() => self.answer(|out| {
                encode::parameter_description(out, &[]).expect("an empty list fits");
                encode::no_data(out);
            }),
            Owed::DescribePortal(Some(portal)) if judged_is_own(portal) => self.answer(encode::no_data),
            _ => {
                self.forward(bytes, owed);
                Ok(())
            }
        }
    }

    fn on_close(&mut self, target: Target<'_>, bytes: &Bytes) {
        let stretch = self.owed.stretch();
        let changes = match target {
            Target::Statement(OWN_NAME) | Target::Portal(OWN_NAME) => Changes::default(),
            Target::Statement(name) => {
                Changes { statement: Some(self.statements.take(name, stretch)), ..Changes::default() }
            }
            Target::Portal(name) => Changes { portal: Some(self.portals.take(name, stretch)), ..Changes::default() },
        };
        self.state.in_pipeline = true;
        self.target.outbox.append(|out| out.extend_from_slice(bytes));
        self.owed.push_changing(Owed::Close, changes);
    }

    /// Lets a statement leave whose decision was recorded: only once that is on disk if it may write.
    pub(crate) fn recorded_before_forward(
        &self,
        recorded: Result<Position, Unwritable>,
        judged: &Judged,
    ) -> impl Future<Output = Result<(), Answer>> + Send + use<> {
        let waits = self.path.services.is_strict || judged.may_write();
        let (ledger, session) = (self.path.services.ledger.clone(), self.facts.id);
        async move {
            let recorded = match recorded {
                Ok(position) if waits => ledger.durable(position).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            recorded.map_err(|error| {
                tracing::error!(%session, %error, "refusing what cannot be recorded");
                Answer::unrecorded()
            })
        }
    }

    /// Puts a failing query in place of a refused one: the transaction fails as the server's own would.
    pub(crate) fn substitute_query(&mut self, answer: Answer) -> Result<(), End> {
        let statement = Some(self.statements.take(b"", self.owed.stretch()));
        let changes = Changes { statement, ..Changes::default() };
        self.ends_pipeline();
        self.target.outbox.put(|out| encode::query(out, SUBSTITUTE))?;
        self.owed.push_changing(Owed::RefusedQuery(Box::new(answer)), changes);
        Ok(())
    }

    /// Puts a failing Parse of the same name in place of a refused one.
    pub(crate) fn refuse_parse(&mut self, name: &[u8], answer: Answer) -> Result<(), End> {
        self.state.in_pipeline = true;
        let mut changes = Changes::default();
        if name.is_empty() {
            changes.statement = Some(self.statements.take(b"", self.owed.stretch()));
        }
        self.target.outbox.put(|out| encode::parse(out, name, SUBSTITUTE, &[]))?;
        self.owed.push_changing(Owed::RefusedParse(Box::new(answer)), changes);
        self.state.skips_to_sync = true;
        Ok(())
    }

    /// Puts a failing Parse in place of a refused Bind or Execute; under a name of its own it leaves the caller's
    /// unnamed statement alone.
    pub(crate) fn refuse_in_pipeline(&mut self, answer: Answer) -> Result<(), End> {
        self.state.in_pipeline = true;
        let name = format!("grille refused {}", self.state.substitutes);
        self.state.substitutes += 1;
        self.target.outbox.put(|out| encode::parse(out, name.as_bytes(), SUBSTITUTE, &[]))?;
        self.owed.push(Owed::RefusedParse(Box::new(answer)));
        self.state.skips_to_sync = true;
        Ok(())
    }
}

fn judged_is_own(portal: &Portal) -> bool {
    portal.prepared.judged.own_reason().is_some()
}

fn formats(formats: Formats<'_>) -> Vec<grille_pg_codec::Format> {
    formats.iter().collect()
}

fn parameters(bind: &frontend::Bind<'_>, prepared: &Prepared) -> Arc<[Parameter]> {
    if bind.values.is_empty() {
        return no_parameters();
    }
    let values = bind.values.iter().enumerate().map(|(index, value)| Parameter {
        type_oid: prepared.parameter_types.get(index).copied().unwrap_or(0),
        is_binary: bind.formats.of(index) == Some(grille_pg_codec::Format::Binary),
        value: value.map(Arc::from),
    });
    values.collect()
}

fn too_many(what: &str) -> Answer {
    let message = format!("the session holds too many {what}; close some");
    Answer::new(sqlstate::LIMIT, Fault::Caller, message)
}
