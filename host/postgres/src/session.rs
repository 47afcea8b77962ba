//! One session, from the first statement to the last byte.
//!
//! What happens to a statement, in order: [`crate::forward`] takes the caller's message, [`crate::operation`] says what
//! its text means, [`crate::decide`] asks the policies and, where they say so, people, [`crate::record`] writes the
//! decision down, [`crate::forward`] sends it on; then [`crate::reply`] takes the target's messages,
//! [`crate::filter`] treats the rows, [`crate::record`] writes the outcome down.
//!
//! One task owns all of it. Nothing waits for one side alone: every wait is a [`Session::turn`], which moves bytes both
//! ways, hears orders from outside and keeps the clock.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use grille_ledger::{Position, SessionLog};
use grille_pg_codec::encode;
use grille_policy::{Policies, SessionFacts, TransactionState};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::cancel::CancelKey;
use crate::catalog::TextRow;
use crate::io::{Broken, Event, Wire, step};
use crate::live::{Order, Presence};
use crate::marks::Marks;
use crate::operation::View;
use crate::path::{Opened, PostgresPath};
use crate::replies::{Owed, Own, Replies};
use crate::respond::{Answer, sqlstate};
use crate::route::{Recording, Route};
use crate::statements::{Names, PORTALS_MAX, Portal, Prepared, STATEMENTS_MAX};
use crate::upstream::CancelAddress;

/// How long an expired session may still finish what it runs.
const EXPIRY_GRACE: Duration = Duration::from_secs(60);
/// How long the target may take to answer one of Grille's own questions.
const QUESTION_PATIENCE: Duration = Duration::from_secs(30);
/// The name of Grille's own statement and portal upstream. Callers' statements may not use it.
pub(crate) const OWN_NAME: &[u8] = b"grille own question";

/// A session with a subject, a target and a login there.
pub(crate) struct Session {
    pub(crate) path: Arc<PostgresPath>,
    pub(crate) facts: Arc<SessionFacts>,
    pub(crate) route: Route,
    pub(crate) caller: Wire,
    pub(crate) target: Wire,
    cancel: CancelAddress,
    /// Callers' cancels find the session as long as it lives.
    _key: CancelKey,
    pub(crate) presence: Presence,
    pub(crate) policies: Box<dyn Policies>,
    pub(crate) view: View,
    pub(crate) log: SessionLog,
    pub(crate) owed: Replies,
    pub(crate) statements: Names<Prepared>,
    pub(crate) portals: Names<Portal>,
    pub(crate) state: State,
    /// The number of the result that the recording is at.
    pub(crate) results: u64,
    pub(crate) keeps_recording: bool,
    /// Recorded bytes wait to be written, and may not leave before.
    pub(crate) is_unrecorded: bool,
    /// Why the policies in force would not have opened this session; nothing runs until others are.
    pub(crate) shut: Option<grille_policy::Finding>,
    /// Answers to Grille's own question, while one is asked.
    pub(crate) own_rows: Vec<TextRow>,
    /// Why the last one failed, until the message that it was asked for is refused with it.
    pub(crate) own_failure: Option<Answer>,
    /// Treated rows on their way to the caller's outbox.
    pub(crate) rows_out: BytesMut,
    pub(crate) scratch: Vec<u8>,
    /// A cancel on its way to the target; the next statement waits for it.
    cancelling: Option<tokio::task::JoinHandle<()>>,
    expires: Instant,
    has_expired: bool,
    /// How much of results may still be taken; none where there is no limit.
    pub(crate) budget: Option<Budget>,
    /// How long the session may rest.
    idle: Option<Duration>,
    /// When the caller or the target was heard last; kept where the session may not rest for ever.
    heard: Instant,
}

/// What the session keeps in mind between messages.
pub(crate) struct State {
    pub(crate) transaction: TransactionState,
    /// Extended messages were forwarded since the last Sync.
    pub(crate) in_pipeline: bool,
    /// Something was bound since the last Sync: it lasts until then.
    pub(crate) has_bound: bool,
    /// Something was executed since the last Sync: locks may be held.
    pub(crate) has_executed: bool,
    /// What was sent may begin or end a transaction, and the last ReadyForQuery has not told yet.
    pub(crate) moves_transaction: bool,
    /// Something that may write was executed since the last Sync.
    pub(crate) has_written: bool,
    /// Something that can reach protected columns was done since the last ReadyForQuery.
    pub(crate) has_touched_protected: bool,
    /// A message was refused: the rest up to Sync is dropped, as the server would.
    pub(crate) skips_to_sync: bool,
    /// Bytes of a frame that still pass from the caller without being looked at.
    pub(crate) passing_up: usize,
    /// Bytes of a refused frame of the caller that are still to come and go no further.
    pub(crate) dropping_up: usize,
    /// Bytes of a frame that still pass from the target.
    pub(crate) passing_down: usize,
    /// Bytes of a frame of the target that are still to come and that nobody gets.
    pub(crate) dropping_down: usize,
    /// The caller sends COPY data.
    pub(crate) copies_in: bool,
    /// The target sends COPY data that must be treated.
    pub(crate) copy_out: Option<Box<crate::copy::CopyOut>>,
    /// The number of the next decision.
    pub(crate) decisions: u64,
    /// The number of the next substitute's name.
    pub(crate) substitutes: u64,
    /// Why the caller does what it does (`SET grille.reason`).
    pub(crate) reason: Option<Arc<str>>,
    /// The caller waits for people; a cancel withdraws that instead of reaching the target.
    pub(crate) is_held: bool,
    /// Why the session ends as soon as nothing is under way.
    pub(crate) leaves: Option<Arc<str>>,
    /// The target has said why it ends the session, and the caller has read it.
    pub(crate) target_said_why: bool,
    /// After a result that was cut, what the target says up to ReadyForQuery is dropped.
    pub(crate) swallows_to_sync: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            transaction: TransactionState::Idle,
            in_pipeline: false,
            has_bound: false,
            has_executed: false,
            moves_transaction: false,
            has_written: false,
            has_touched_protected: false,
            skips_to_sync: false,
            passing_up: 0,
            dropping_up: 0,
            passing_down: 0,
            dropping_down: 0,
            copies_in: false,
            copy_out: None,
            decisions: 0,
            substitutes: 0,
            reason: None,
            is_held: false,
            leaves: None,
            target_said_why: false,
            swallows_to_sync: false,
        }
    }
}

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The caller said goodbye.
    Terminated,
    /// The caller is gone.
    CallerGone,
    /// The target is gone, after it said what it had to say.
    TargetGone,
    /// The caller is told, then the connection closes.
    Fatal { reason: &'static str, answer: Answer },
}

impl End {
    pub(crate) fn fatal(reason: &'static str, answer: Answer) -> Self {
        Self::Fatal { reason, answer }
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::fatal("malformed", Answer::malformed(what))
    }

    /// The target did what no PostgreSQL server does.
    pub(crate) fn misbehaved(what: &str) -> Self {
        let message = format!("the target sent what does not belong here ({what}), so the session ends");
        Self::fatal("target", Answer::new(sqlstate::MALFORMED, grille_policy::Fault::Target, message))
    }

    pub(crate) fn unrecorded() -> Self {
        Self::fatal("unrecorded", Answer::unrecorded())
    }

    /// In a word, for the record.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Terminated => "terminate",
            Self::CallerGone => "disconnect",
            Self::TargetGone => "target",
            Self::Fatal { reason, .. } => reason,
        }
    }
}

impl From<encode::EncodeError> for End {
    fn from(error: encode::EncodeError) -> Self {
        let message = format!("a message of Grille's own cannot be written: {error}");
        Self::fatal("aborted", Answer::new("XX000", grille_policy::Fault::Gateway, message))
    }
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Caller(_) => Self::CallerGone,
            Broken::Target(_) => Self::TargetGone,
        }
    }
}

/// What a turn brought that its caller may have to act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// New bytes of the caller are in its inbox.
    Caller,
    /// Messages of the target were dealt with.
    Target,
    /// Somebody cancelled what the session does.
    Cancel,
}

/// What a wait ended with.
pub(crate) enum Waited<T> {
    Turned(Turn),
    Done(T),
}

impl Session {
    pub(crate) fn new(path: Arc<PostgresPath>, opened: Box<Opened>, caller: Wire) -> Self {
        let Opened { facts, route, upstream, key, presence, policies, log, lifetime, idle, budget } = *opened;
        let mut view = View::new(Arc::clone(&path.no_catalog), &route, policies.protection().cloned());
        let mut encodings = upstream.parameters.iter().filter(|(name, _)| name == b"client_encoding");
        view.is_utf8 = encodings.all(|(_, encoding)| matches!(&encoding[..], b"UTF8" | b"SQL_ASCII"));
        Self {
            view,
            keeps_recording: route.target.recording != Recording::Decisions,
            path,
            facts,
            route,
            caller,
            target: upstream.wire,
            cancel: upstream.cancel,
            _key: key,
            presence,
            policies,
            log,
            owed: Replies::default(),
            statements: Names::new(STATEMENTS_MAX),
            portals: Names::new(PORTALS_MAX),
            state: State::default(),
            results: 0,
            is_unrecorded: false,
            shut: None,
            own_rows: Vec::new(),
            own_failure: None,
            rows_out: BytesMut::new(),
            scratch: Vec::new(),
            cancelling: None,
            expires: Instant::now() + lifetime,
            has_expired: false,
            budget,
            idle,
            heard: Instant::now(),
        }
    }

    /// Serves the caller until one side ends.
    pub(crate) async fn run(mut self) {
        let end = self.serve().await;
        self.finish(end).await;
    }

    async fn serve(&mut self) -> End {
        let end = self.converse().await;
        if matches!(end, End::Terminated | End::CallerGone) && !self.state.copies_in {
            // As the server does: what was asked before the goodbye is answered, and its outcome recorded; but COPY data
            // that it may still ask for will not come.
            while !self.owed.is_empty() && !self.state.copies_in && self.turn(false).await.is_ok() {}
        }
        end
    }

    async fn converse(&mut self) -> End {
        // A caller may send its first statements along with the password.
        if let Err(end) = self.on_caller().await {
            return end;
        }
        loop {
            let reads_caller = !self.owed.is_full();
            match self.turn(reads_caller).await {
                Err(end) => return end,
                Ok(Turn::Caller) => {
                    if let Err(end) = self.on_caller().await {
                        return end;
                    }
                }
                Ok(Turn::Target) if self.is_idle() && self.has_expired => return self.expired(),
                Ok(Turn::Target) if self.is_idle() && self.state.leaves.is_some() => return self.leaving(),
                Ok(Turn::Target | Turn::Cancel) => {}
            }
        }
    }

    /// Moves bytes once, in whichever direction has some; the target's messages are dealt with on the way.
    pub(crate) async fn turn(&mut self, reads_caller: bool) -> Result<Turn, End> {
        match self.wait(reads_caller, std::future::pending::<std::convert::Infallible>()).await? {
            Waited::Turned(turn) => Ok(turn),
            Waited::Done(never) => match never {},
        }
    }

    /// The same, until something else is done. Only that and reading are ever broken off; a message of the target that
    /// was begun is finished.
    pub(crate) async fn wait<T>(
        &mut self,
        reads_caller: bool,
        done: impl Future<Output = T>,
    ) -> Result<Waited<T>, End> {
        tokio::pin!(done);
        loop {
            let deadline = self.deadline();
            let event = tokio::select! {
                biased;
                order = self.presence.orders.recv() => return self.obey(order).map(Waited::Turned),
                event = step(&mut self.caller, &mut self.target, reads_caller) => event?,
                done = &mut done => return Ok(Waited::Done(done)),
                () = tokio::time::sleep_until(deadline) => {
                    if self.has_rested() {
                        return Err(Self::rested());
                    }
                    if Instant::now() < self.expires {
                        continue;
                    }
                    if self.has_expired || self.is_idle() || self.state.leaves.is_some() {
                        return Err(self.expired());
                    }
                    self.has_expired = true;
                    continue;
                }
            };
            if self.idle.is_some() {
                self.heard = Instant::now();
            }
            return match event {
                Event::Caller if self.caller.is_ended => Err(End::CallerGone),
                Event::Caller => Ok(Waited::Turned(Turn::Caller)),
                Event::Target => {
                    self.on_target().await?;
                    Ok(Waited::Turned(Turn::Target))
                }
            };
        }
    }

    fn obey(&mut self, order: Option<Order>) -> Result<Turn, End> {
        match order {
            Some(Order::Cancel) => {
                if !self.state.is_held {
                    self.cancel_upstream();
                }
                Ok(Turn::Cancel)
            }
            Some(Order::End { reason }) => {
                self.state.leaves = Some(reason);
                Err(self.leaving())
            }
            Some(Order::EndWhenIdle { reason, patience }) => {
                self.state.leaves = Some(reason);
                if let Some(patience) = patience {
                    self.expires = self.expires.min(Instant::now() + patience);
                }
                if self.is_idle() { Err(self.leaving()) } else { Ok(Turn::Target) }
            }
            None => Err(End::CallerGone),
        }
    }

    /// Nothing is under way and no transaction is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.owed.is_empty() && !self.state.in_pipeline && self.state.transaction == TransactionState::Idle
    }

    fn leaving(&self) -> End {
        let message = format!("the session was ended: {}", self.state.leaves.as_deref().unwrap_or_default());
        End::fatal("killed", Answer::new(sqlstate::ENDED, grille_policy::Fault::Gateway, message))
    }

    fn expired(&self) -> End {
        if self.state.leaves.is_some() {
            return self.leaving();
        }
        let message = "the session has ended because the token expired or the role's time is over; connect again";
        End::fatal("expired", Answer::new(sqlstate::ENDED, grille_policy::Fault::Caller, message))
    }

    /// When the session ends, or has to be looked at, if nothing happens until then.
    fn deadline(&self) -> Instant {
        let expires = if self.has_expired { self.expires + EXPIRY_GRACE } else { self.expires };
        match self.idle {
            Some(idle) if self.rests() => expires.min(self.heard + idle),
            _ => expires,
        }
    }

    /// Nothing is asked for: the target works on nothing, and the caller is not held.
    fn rests(&self) -> bool {
        self.owed.is_empty() && !self.state.is_held && !self.state.copies_in
    }

    fn has_rested(&self) -> bool {
        self.rests() && self.idle.is_some_and(|idle| self.heard + idle <= Instant::now())
    }

    fn rested() -> End {
        let message = "the session has ended because nothing was asked for longer than your role allows; connect again";
        End::fatal("idle", Answer::new(sqlstate::ENDED, grille_policy::Fault::Caller, message))
    }

    /// Sends a cancel to the target if it works on something.
    pub(crate) fn cancel_upstream(&mut self) {
        if self.owed.is_empty() || self.cancelling.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (target, address) = (Arc::clone(&self.route.target), self.cancel.clone());
        self.cancelling = Some(tokio::spawn(async move {
            if let Err(error) = crate::upstream::cancel(&target, &address).await {
                tracing::debug!(target = %target.name, %error, "cancel did not reach the target");
            }
        }));
    }

    /// A cancel that is under way must not hit the statement that comes now.
    pub(crate) async fn await_cancel(&mut self) {
        if self.owed.is_empty()
            && let Some(task) = self.cancelling.take()
            && let Err(error) = task.await
        {
            tracing::debug!(%error, "cancel task ended early");
        }
    }

    /// Asks the target something on the session's own connection, so that its uncommitted work is seen. The caller's
    /// pipeline and transaction are as before.
    ///
    /// It runs under the caller's own limits and cancels, so it may fail as any statement of the caller may: then there
    /// are no rows, and the message that it was asked for fails by [`Self::own_failure`], or has failed already.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Vec<TextRow>, End> {
        // A Sync in the caller's pipeline would end its portals and commit what it has executed; without one the server
        // takes what comes next for a part of ours, and refuses what must stand alone.
        let ends_with_sync = !self.state.has_bound && !self.state.has_executed;
        let name = grille_pg_codec::frontend::Target::Statement(OWN_NAME);
        let outbox = &mut self.target.outbox;
        outbox.put(|out| encode::parse(out, OWN_NAME, sql.as_bytes(), &[]))?;
        outbox.put(|out| encode::bind(out, OWN_NAME, OWN_NAME, [].into_iter(), [], [].into_iter()))?;
        outbox.put(|out| encode::execute(out, OWN_NAME, 0))?;
        outbox.put(|out| encode::close(out, name))?;
        outbox.put(|out| encode::close(out, grille_pg_codec::frontend::Target::Portal(OWN_NAME)))?;
        for own in [Own::Parse, Own::Bind, Own::Execute, Own::Close, Own::Close] {
            self.owed.push(Owed::Own(own));
        }
        self.own_rows.clear();
        self.finish_own(ends_with_sync).await?;
        Ok(std::mem::take(&mut self.own_rows))
    }

    /// Ends Grille's own messages with Sync or Flush, and waits until all of them are answered.
    pub(crate) async fn finish_own(&mut self, ends_with_sync: bool) -> Result<(), End> {
        if ends_with_sync {
            self.target.outbox.append(encode::sync);
            self.owed.push(Owed::Own(Own::Sync));
        } else {
            self.target.outbox.append(encode::flush);
        }
        let mut deadline = None;
        while self.owed.count(Marks::OWN) > 0 {
            if !matches!(self.owed.front_mut(), Some(Owed::Own(_))) {
                // What the caller asked for before it may take as long as it likes.
                self.turn(false).await?;
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + QUESTION_PATIENCE);
            let turn = tokio::time::timeout_at(deadline, self.turn(false)).await;
            turn.map_err(|_| End::misbehaved("no answer to a question of Grille's own"))??;
        }
        Ok(())
    }

    /// Waits until a record is on the disk.
    pub(crate) fn durable(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<(), grille_ledger::Unwritable>> + Send + use<> {
        let ledger = self.path.services.ledger.clone();
        async move { ledger.durable(position).await }
    }

    async fn finish(mut self, end: End) {
        if let End::Fatal { answer, .. } = &end {
            // A server that works on something does not notice that nobody is there any more.
            self.cancel_upstream();
            self.abandon_owed(answer.sqlstate);
        } else {
            self.abandon_owed(sqlstate::UNREACHABLE);
        }
        let cancelling = self.cancelling.take();
        let last_word = match &end {
            End::Fatal { answer, .. } => Some(answer.clone()),
            End::TargetGone if !self.state.target_said_why => {
                let message = "the target closed the connection";
                Some(Answer::new(sqlstate::UNREACHABLE, grille_policy::Fault::Target, message))
            }
            _ => None,
        };
        if let Some(answer) = last_word {
            tracing::info!(session = %self.facts.id, fault = ?answer.fault, "session ends: {}", answer.message);
            // A frame that was passed in part cannot be taken back; more bytes would only be read as its rest.
            if self.state.passing_down == 0 {
                self.caller.outbox.append(|out| answer.write_fatal(out));
            }
        }
        self.target.outbox.append(encode::terminate);
        let farewell = async {
            let told = self.caller.shutdown().await;
            if let Some(cancelling) = cancelling {
                // It tells of its own failures.
                drop(cancelling.await);
            }
            let left = self.target.shutdown().await;
            told.and(left)
        };
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(5), farewell).await {
            tracing::debug!(session = %self.facts.id, %error, "a side was gone before goodbye");
        }
        let reason = end.reason();
        if let Err(error) = self.log.close(reason) {
            tracing::error!(session = %self.facts.id, %error, "the end of a session cannot be recorded");
        }
        tracing::debug!(session = %self.facts.id, reason, "session ended");
    }
}
