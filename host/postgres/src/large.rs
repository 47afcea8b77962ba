//! Messages that are too large to be held whole: what nobody looks into streams, the rest is refused while its bytes pass
//! by, and the session goes on.

use std::sync::Arc;

use bytes::Buf;
use grille_pg_codec::frame::{self, Head};
use grille_pg_codec::{Malformed, frontend, tag::backend, tag::frontend as tag};
use grille_policy::{Fault, Finding, Severity};

use crate::forward::{Given, MESSAGE_BYTES_MAX};
use crate::operation::Judged;
use crate::record::no_parameters;
use crate::replies::Owed;
use crate::respond::{Answer, sqlstate};
use crate::session::{End, Session};

/// What is held of such a message: more than the names at its front ever take.
pub(crate) const FRONT_BYTES: usize = 4 * 1024;
/// A row of a masked result, a description or an error is held whole; a larger one of these is not treated.
pub(crate) const REPLY_BYTES_MAX: usize = 64 << 20;

impl Session {
    /// The caller begins a message of which only the front is here.
    pub(crate) async fn on_large(&mut self, head: Head) -> Result<(), End> {
        self.own_failure = None;
        self.await_cancel().await;
        if !self.state.skips_to_sync {
            self.await_copy_in().await?;
        }
        if self.state.copies_in {
            return Err(End::malformed("only COPY data belongs into a COPY"));
        }
        if self.state.skips_to_sync {
            self.state.dropping_up = head.len;
            return Ok(());
        }
        let front = self.caller.inbox.get(frame::HEADER_BYTES..FRONT_BYTES).unwrap_or_default().to_vec();
        if head.tag == tag::BIND {
            let names = frontend::Bind::names(&front).map_err(nameless)?;
            // Where results are limited, a failing message may have to go before the end of this one.
            if !self.policies.judges() && !self.view.is_masked() && self.budget.is_none() {
                return self.stream_bind(names, head).await;
            }
        }
        let answer = match head.tag {
            tag::FUNCTION_CALL => Answer::function_call(),
            _ => {
                let limit = MESSAGE_BYTES_MAX >> 20;
                let message = format!("a message of {} bytes exceeds what Grille judges: {limit} MiB", head.len);
                Answer::new(sqlstate::LIMIT, Fault::Caller, message)
            }
        };
        let answer = self.refuse_unread(answer).await;
        self.state.dropping_up = head.len;
        match head.tag {
            tag::QUERY | tag::FUNCTION_CALL => {
                self.end_cut_pipeline().await?;
                if self.state.skips_to_sync { Ok(()) } else { self.substitute_query(answer) }
            }
            tag::PARSE => self.refuse_parse(frontend::Parse::name(&front).map_err(nameless)?, answer),
            tag::BIND => self.refuse_in_pipeline(answer),
            _ => Err(End::malformed("a message of this type is never so long")),
        }
    }

    /// Writes down that something was refused of which there is no text.
    pub(crate) async fn refuse_unread(&mut self, answer: Answer) -> Answer {
        let finding = Finding::new("unread", Severity::Low, answer.message.clone());
        let judged = Arc::new(Judged::refused("".into(), finding));
        let decision = self.consult(&judged, &no_parameters()).await;
        self.own_failure = Some(answer);
        self.refuse(&judged, &no_parameters(), &decision).await
    }

    /// Parameters that no policy reads pass as they come. The recording holds them whole; the decision, that there were
    /// some.
    async fn stream_bind(&mut self, (portal, statement): (&[u8], &[u8]), head: Head) -> Result<(), End> {
        let given = Given { parameters: &|_| no_parameters(), formats: None, unread: head.len as u64 };
        let bound = self.bind(portal, statement, given).await?;
        let Some((change, portal)) = bound else {
            self.state.dropping_up = head.len;
            return Ok(());
        };
        (self.state.has_bound, self.state.in_pipeline) = (true, true);
        self.owed.push(Owed::Bind(change, portal));
        self.state.passing_up = head.len;
        Ok(())
    }

    /// The target begins a message that is not held.
    pub(crate) fn on_large_reply(&mut self, head: Head) -> Result<(), End> {
        let is_masked = self.view.is_masked();
        match head.tag {
            backend::DATA_ROW | backend::COPY_DATA => {
                let message = format!(
                    "a row of {} bytes cannot be treated, the limit is {} MiB",
                    head.len,
                    REPLY_BYTES_MAX >> 20
                );
                self.cut(Answer::new(sqlstate::LIMIT, Fault::Target, message));
            }
            backend::NOTICE_RESPONSE | backend::NOTIFICATION_RESPONSE if !is_masked => {
                self.state.passing_down = head.len;
                return Ok(());
            }
            // The caller misses nothing that it needs.
            backend::NOTICE_RESPONSE | backend::NOTIFICATION_RESPONSE => {}
            _ => return Err(End::misbehaved("a message that is too long")),
        }
        self.state.dropping_down = head.len;
        Ok(())
    }

    /// Drops what has come of a frame that nobody gets. Answers whether there was anything.
    pub(crate) fn drop_run(&mut self) -> bool {
        let run = self.state.dropping_down.min(self.target.inbox.len());
        self.target.inbox.advance(run);
        self.state.dropping_down -= run;
        run > 0
    }
}

fn nameless(malformed: Malformed) -> End {
    End::malformed(malformed.to_string())
}
