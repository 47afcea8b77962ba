//! Rows on their way: passed as they are, treated natively, or rewritten by a policy's own code; and the end of a result
//! that must not go on.

use std::sync::Arc;

use bytes::Buf;
use grille_pg_codec::{encode, frame, tag::backend as tag};
use grille_policy::{Batch, Fault, TransactionState, Verdict};

use crate::budget::Left;
use crate::filter::{BadRow, Filter};
use crate::marks::Marks;
use crate::replies::Owed;
use crate::respond::{Answer, sqlstate};
use crate::session::{End, Session};
use crate::transform;

impl Session {
    /// Passes the bytes at the front that nobody looks into: rows without a treatment, COPY data, the rest of a frame
    /// that was begun. Answers whether there were any.
    pub(crate) fn pass_run(&mut self) -> Result<bool, End> {
        let available = self.target.inbox.len();
        let (mut run, mut rows) = (self.state.passing_down.min(available), 0);
        self.state.passing_down -= run;
        let mut too_much = None;
        if self.passes_data() {
            let mut left = self.left();
            while let Some(rest) = self.target.inbox.get(run..) {
                let head = frame::head(rest).map_err(|_| End::misbehaved("an impossible length"))?;
                let Some(head) = head.filter(|head| matches!(head.tag, tag::DATA_ROW | tag::COPY_DATA)) else {
                    break;
                };
                if left.as_mut().is_some_and(|left| !left.takes(head.len)) {
                    too_much = Some(head.len);
                    break;
                }
                rows += u64::from(head.tag == tag::DATA_ROW);
                if head.len > rest.len() {
                    self.state.passing_down = head.len - rest.len();
                    run = available;
                    break;
                }
                run += head.len;
            }
            self.settle_budget(left);
        }
        if run > 0 {
            self.pass_bytes(run, rows)?;
        }
        if let Some(bytes) = too_much {
            self.cut_exceeded(bytes);
        }
        Ok(run > 0 || too_much.is_some())
    }

    fn pass_bytes(&mut self, run: usize, rows: u64) -> Result<(), End> {
        let piece = self.target.inbox.split_to(run);
        self.record_reply(rows, &piece)?;
        if let Some(running) = self.owed.running() {
            running.seen += rows;
            running.bytes += run as u64;
        }
        self.caller.outbox.push(piece);
        Ok(())
    }

    /// Whether rows and COPY data that come now pass as they are.
    fn passes_data(&mut self) -> bool {
        if self.state.swallows_to_sync {
            return false;
        }
        let (masked, treats_copy) = (self.view.is_masked(), self.state.copy_out.is_some());
        self.owed.running().is_some_and(|running| {
            running.cut.is_none() && !treats_copy && (!masked || (running.is_shaped && running.filter.is_none()))
        })
    }

    /// Makes sure that the treatment of the rows that come now is known. Answers whether they go to the caller at all.
    pub(crate) async fn shape_rows(&mut self) -> Result<bool, End> {
        let Some(running) = self.owed.running() else {
            return Ok(false);
        };
        if running.cut.is_some() {
            return Ok(false);
        }
        if running.is_shaped {
            return Ok(true);
        }
        let Some(portal) = running.portal.clone() else {
            return Err(End::misbehaved("rows without a description"));
        };
        let judged = Arc::clone(&running.judged);
        let planned = if !self.view.is_masked() {
            Ok(None)
        } else if let Some(filter) = portal.filter.lock().clone() {
            Ok(Some(filter))
        } else {
            let columns = portal.prepared.columns.lock().clone();
            match columns {
                // A row of some columns where the target said that there are none.
                Some(columns) if columns.is_empty() && !self.has_empty_row() => {
                    return Err(End::misbehaved("rows of other columns than it described"));
                }
                Some(columns) => self.plan(&judged, 0, &columns, &portal.formats_of(&columns)).await,
                None => return Err(End::misbehaved("rows without a description")),
            }
        };
        match planned {
            Ok(filter) => {
                portal.filter.lock().clone_from(&filter);
                self.start_rows(filter);
                Ok(true)
            }
            Err(answer) => {
                self.cut(answer);
                Ok(false)
            }
        }
    }

    /// Whether the row at the front has no columns.
    fn has_empty_row(&self) -> bool {
        self.target.inbox.get(frame::HEADER_BYTES..frame::HEADER_BYTES + 2) == Some(&[0, 0])
    }

    pub(crate) fn start_rows(&mut self, filter: Option<Arc<Filter>>) {
        self.results += 1;
        if let Some(running) = self.owed.running() {
            running.is_shaped = true;
            if let Some(filter) = &filter {
                running.masked.push((Arc::clone(filter), vec![0; filter.columns.len()]));
            }
            running.filter = filter;
        }
    }

    /// Treats all complete rows at the front of the inbox.
    pub(crate) fn treat_run(&mut self) -> Result<(), End> {
        let (mut left, mut too_much) = (self.left(), None);
        let Self { target, owed, rows_out, scratch, .. } = self;
        let Some(running) = owed.running() else {
            return Ok(());
        };
        let Some(filter) = running.filter.clone() else {
            return Ok(());
        };
        let Some((_, counts)) = running.masked.last_mut() else {
            return Ok(());
        };
        let (mut consumed, mut rows) = (0, 0);
        let mut bad = None;
        while let Some(rest) = target.inbox.get(consumed..) {
            let head = frame::head(rest).map_err(|_| End::misbehaved("an impossible length"))?;
            let Some(head) = head.filter(|head| head.tag == tag::DATA_ROW) else {
                break;
            };
            let Some(body) = rest.get(frame::HEADER_BYTES..head.len) else {
                break;
            };
            if left.as_mut().is_some_and(|left| !left.takes(head.len)) {
                too_much = Some(head.len);
                break;
            }
            let before = rows_out.len();
            if let Err(error) = filter.row(body, rows_out, scratch, counts, (&[], 0)) {
                rows_out.truncate(before);
                bad = Some(error);
                break;
            }
            consumed += head.len;
            rows += 1;
        }
        target.inbox.advance(consumed);
        running.seen += rows;
        running.bytes += rows_out.len() as u64;
        let treated = rows_out.split();
        self.record_reply(rows, &treated)?;
        self.caller.outbox.push(treated);
        self.settle_budget(left);
        if let Some(bytes) = too_much {
            self.cut_exceeded(bytes);
        }
        bad.map_or(Ok(()), |error| self.cut_misfit(0, &error))
    }

    /// The same where policies' own code rewrites columns: one call per column for all rows that one read delivered.
    pub(crate) async fn rewrite_run(&mut self) -> Result<(), End> {
        let Some(filter) = self.owed.running().and_then(|running| running.filter.clone()) else { return Ok(()) };
        let (mut rows, mut consumed) = transform::rows_at_front(&self.target.inbox);
        let mut left = self.left();
        let mut fits = |place: &std::ops::Range<usize>| {
            left.as_mut().is_none_or(|left| left.takes(place.len() + frame::HEADER_BYTES))
        };
        let fitting = rows.iter().take_while(|place| fits(place)).count();
        self.settle_budget(left);
        let too_much = rows.get(fitting).map(|place| place.len() + frame::HEADER_BYTES);
        if too_much.is_some() {
            rows.truncate(fitting);
            consumed = rows.last().map_or(0, |place| place.end);
        }
        let mut rewritten: Vec<(usize, Batch)> = Vec::new();
        for (column, policy) in filter.transforms() {
            let batch = match transform::collect(&filter, column, &self.target.inbox, &rows) {
                Ok(batch) => batch,
                Err(error) => return self.cut_misfit(consumed, &error),
            };
            match self.policies.transform(policy, &filter.shape, batch).await {
                Ok(batch) => rewritten.push((column, batch)),
                Err(decision) => {
                    let message = match &decision.verdict {
                        Verdict::Block(finding) => finding.message.to_string(),
                        _ => format!("policy \"{policy}\" gave no values, so the result was cut"),
                    };
                    self.target.inbox.advance(consumed);
                    self.cut(Answer::new(sqlstate::REFUSED, Fault::Plugin, message));
                    return Ok(());
                }
            }
        }
        let Self { target, owed, rows_out, scratch, .. } = self;
        let Some(running) = owed.running() else { return Ok(()) };
        let Some((_, counts)) = running.masked.last_mut() else { return Ok(()) };
        for (index, place) in rows.iter().enumerate() {
            let body = target.inbox.get(place.clone()).unwrap_or_default();
            if let Err(error) = filter.row(body, rows_out, scratch, counts, (&rewritten, index)) {
                rows_out.clear();
                return self.cut_misfit(consumed, &error);
            }
        }
        target.inbox.advance(consumed);
        running.seen += rows.len() as u64;
        running.bytes += rows_out.len() as u64;
        let treated = rows_out.split();
        self.record_reply(rows.len() as u64, &treated)?;
        self.caller.outbox.push(treated);
        if let Some(bytes) = too_much {
            self.cut_exceeded(bytes);
        }
        Ok(())
    }

    /// What the caller may still take with the operation that answers now; none where nothing is limited.
    pub(crate) fn left(&mut self) -> Option<Left> {
        let budget = self.budget.as_ref()?;
        Some(budget.left(self.owed.running()?.taken))
    }

    /// Writes down what was taken.
    pub(crate) fn settle_budget(&mut self, left: Option<Left>) {
        if let (Some(left), Some(budget), Some(running)) = (left, &mut self.budget, self.owed.running()) {
            budget.settle(&left, &mut running.taken);
        }
    }

    /// Cuts a result before a row of so many bytes, which is one too many.
    pub(crate) fn cut_exceeded(&mut self, bytes: usize) {
        let operation = self.owed.running().map(|running| running.taken).unwrap_or_default();
        if let Some(answer) = self.budget.as_ref().map(|budget| budget.exceeded(operation, bytes)) {
            self.cut(answer);
        }
    }

    /// Cuts a result at rows that do not fit.
    fn cut_misfit(&mut self, consumed: usize, error: &BadRow) -> Result<(), End> {
        self.target.inbox.advance(consumed);
        tracing::warn!(session = %self.facts.id, %error, "a result is cut");
        let message = format!("the result does not fit its description ({error}), so it was cut");
        self.cut(Answer::new(sqlstate::REFUSED, Fault::Target, message));
        Ok(())
    }

    /// Ends a result: the target is told to stop, what it still sends is dropped, and the caller reads why.
    pub(crate) fn cut(&mut self, answer: Answer) {
        if let Some(running) = self.owed.running()
            && running.cut.is_none()
        {
            running.cut = Some(answer);
            // A cancel must not hit what runs behind it; the rest of the result is read and dropped then.
            if self.owed.count(Marks::OPERATION) == 1 {
                self.cancel_upstream();
            }
        }
    }

    /// A result that was complete before the target heard of the cut has not failed there. At Sync a failing Parse goes
    /// before it, so that the pipeline is rolled back. Where something was written before in the same pipeline, that is
    /// waited for; else what was only read may as well be committed.
    pub(crate) async fn end_cut_pipeline(&mut self) -> Result<(), End> {
        if self.state.has_written && self.budget.is_some() {
            self.settle(Marks::RETURNS_ROWS).await?;
        } else if self.state.has_written && self.view.is_masked() {
            self.settle(Marks::TREATED).await?;
        }
        if self.state.swallows_to_sync && self.owed.rounds_left() == 0 {
            self.refuse_in_pipeline(Answer::skipped())?;
        }
        Ok(())
    }

    /// The same where ReadyForQuery came without that, inside a transaction block: a failing query makes it fail. The
    /// caller reads only what comes of that. Answers whether that is still to come.
    pub(crate) fn fails_cut_transaction(&mut self) -> Result<bool, End> {
        if !self.state.swallows_to_sync || self.state.transaction != TransactionState::Open {
            return Ok(false);
        }
        if self.owed.rounds_left() > 0 || self.state.in_pipeline {
            let message = "a result was cut after more of its transaction was sent, so the transaction must end";
            return Err(End::fatal("cut", Answer::new(sqlstate::REFUSED, Fault::Gateway, message)));
        }
        self.refuse_in_pipeline(Answer::skipped())?;
        self.target.outbox.append(encode::sync);
        self.owed.push(Owed::Sync);
        (self.state.skips_to_sync, self.state.in_pipeline) = (false, false);
        Ok(true)
    }
}
