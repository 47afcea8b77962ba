//! What the ledger learns of a session: decisions before the effect, outcomes and what the caller saw before the
//! caller sees it.

use std::borrow::Cow;

use std::sync::Arc;

use grille_ledger::{
    DecisionRecord, Direction, MaskedColumn, Outcome, Position, Record, RecordedParameter, Unwritable,
};
use grille_policy::{Decision, DecisionId, Fault, Parameter, RequestId, TransactionState};

use crate::operation::Judged;
use crate::replies::Owed;
use crate::replies::Running;
use crate::respond::Answer;
use crate::session::{End, Session};

/// Longer parameters are recorded by their length: the recording of the request holds them whole.
const PARAMETER_BYTES_MAX: usize = 16 * 1024;

impl Session {
    /// Writes a decision down; nothing is forwarded before this.
    pub(crate) fn record_decision(
        &mut self,
        id: DecisionId,
        judged: &Judged,
        parameters: &[Parameter],
        (decision, transaction): (&Decision, TransactionState),
        request: Option<RequestId>,
    ) -> Result<Position, Unwritable> {
        let parameters = (parameters.iter().map(recorded_parameter).collect(), parameter_types(parameters));
        self.record_with(id, judged, parameters, (decision, transaction), request)
    }

    /// The same where the parameters were not read: so many bytes.
    pub(crate) fn record_unread(
        &mut self,
        id: DecisionId,
        judged: &Judged,
        bytes: u64,
        judged_in: (&Decision, TransactionState),
    ) -> Result<Position, Unwritable> {
        self.record_with(id, judged, (vec![RecordedParameter::Omitted(bytes)], Vec::new()), judged_in, None)
    }

    fn record_with(
        &mut self,
        id: DecisionId,
        judged: &Judged,
        (parameters, parameter_types): (Vec<RecordedParameter<'_>>, Vec<u32>),
        (decision, transaction): (&Decision, TransactionState),
        request: Option<RequestId>,
    ) -> Result<Position, Unwritable> {
        let (facts, reason) = (judged.facts_digest(), self.state.reason.clone());
        if let Some(digest) = facts {
            self.log.keep_facts(digest, &judged.facts)?;
        }
        self.append(&Record::Decision(DecisionRecord {
            id,
            text: Cow::Borrowed(&judged.text),
            parameters,
            parameter_types,
            facts,
            kinds: Cow::Borrowed(&judged.facts.kinds),
            relations: Cow::Borrowed(&judged.facts.relations),
            decision: Cow::Borrowed(decision),
            transaction,
            request,
            justification: reason.as_deref().map(Cow::Borrowed),
        }))
    }

    /// Writes down that an operation was refused.
    pub(crate) fn record_refused(&mut self, decision: DecisionId, answer: &Answer) -> Result<Position, Unwritable> {
        self.append(&Record::Outcome(Outcome {
            decision,
            rows: 0,
            bytes: 0,
            duration_us: 0,
            sqlstate: Some(Cow::Borrowed(answer.sqlstate)),
            fault: Some(answer.fault),
            message: Some(Cow::Borrowed(&answer.message)),
            masked: Vec::new(),
        }))
    }

    /// Writes down how an operation ended, before the caller learns of it.
    pub(crate) fn record_outcome(&mut self, running: &Running) -> Result<(), End> {
        let masked = running.masked.iter().flat_map(|(filter, counts)| {
            let treated = filter.columns.iter().zip(counts).filter(|(column, _)| !column.is_keep());
            treated.map(|(column, count)| MaskedColumn {
                column: Cow::Borrowed(&*column.name),
                treatment: Cow::Owned(column.treatment.to_string()),
                count: *count,
            })
        });
        let outcome = Outcome {
            decision: running.decision,
            rows: running.rows,
            bytes: running.bytes,
            duration_us: u64::try_from(running.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            sqlstate: running.sqlstate.as_deref().map(Cow::Borrowed),
            fault: running
                .sqlstate
                .as_ref()
                .map(|_| running.withheld.as_ref().map_or(Fault::Target, |ours| ours.fault)),
            message: running.withheld.as_ref().map(|ours| Cow::Borrowed(ours.message.as_str())),
            masked: masked.collect(),
        };
        self.recorded(|session| session.append(&Record::Outcome(outcome)).map(|_| ()))
    }

    /// What the caller sent. Written together with the next record.
    pub(crate) fn record_request(&mut self, bytes: &[u8]) -> Result<(), End> {
        if !self.keeps_recording {
            return Ok(());
        }
        let result = self.results;
        self.is_unrecorded |= !matches!(bytes.first(), Some(b'S' | b'H'));
        self.recorded(|session| session.log.record_bytes(Direction::FromCaller, result, 0, bytes))
    }

    /// What the caller is about to see.
    pub(crate) fn record_reply(&mut self, rows: u64, bytes: &[u8]) -> Result<(), End> {
        if !self.keeps_recording {
            return Ok(());
        }
        let result = self.results;
        self.is_unrecorded |= bytes.first() != Some(&b'Z');
        self.recorded(|session| session.log.record_bytes(Direction::ToCaller, result, rows, bytes))
    }

    /// Everything that was recorded reaches the file, so that it may leave. Messages that say nothing (Sync, Flush,
    /// ReadyForQuery) wait for the next record.
    pub(crate) fn record_all(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.is_unrecorded) {
            return Ok(());
        }
        self.recorded(|session| session.log.flush().map(|_| ()))
    }

    fn append(&mut self, record: &Record<'_>) -> Result<Position, Unwritable> {
        let position = self.log.append(record)?;
        self.is_unrecorded = false;
        Ok(position)
    }

    fn recorded(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Unwritable>) -> Result<(), End> {
        write(self).map_err(|error| {
            tracing::error!(session = %self.facts.id, %error, "the session ends because it cannot be recorded");
            End::unrecorded()
        })
    }

    /// What was forwarded and has no outcome yet gets one: the session ended before it.
    pub(crate) fn abandon_owed(&mut self, sqlstate: &str) {
        let owed: Vec<_> = self.owed.drain().collect();
        for one in owed {
            let recorded = match one {
                Owed::Query(mut running) | Owed::Execute(mut running) => {
                    running.sqlstate.get_or_insert_with(|| sqlstate.to_owned());
                    self.record_outcome(&running)
                }
                Owed::Bind(_, portal) => self.portal_ended(&portal),
                _ => Ok(()),
            };
            if recorded.is_err() {
                return;
            }
        }
        for portal in self.portals.retain(|_| false) {
            if self.portal_ended(&portal).is_err() {
                return;
            }
        }
    }
}

fn recorded_parameter(parameter: &Parameter) -> RecordedParameter<'_> {
    match &parameter.value {
        None => RecordedParameter::Null,
        Some(value) if value.len() > PARAMETER_BYTES_MAX => RecordedParameter::Omitted(value.len() as u64),
        Some(value) if parameter.is_binary => RecordedParameter::binary(parameter.type_oid, value),
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) => RecordedParameter::Text(Cow::Borrowed(text)),
            Err(_) => RecordedParameter::raw(value),
        },
    }
}

/// Most callers leave all types to the target, and the record is shorter by them.
fn parameter_types(parameters: &[Parameter]) -> Vec<u32> {
    if parameters.iter().all(|parameter| parameter.type_oid == 0) {
        return Vec::new();
    }
    parameters.iter().map(|parameter| parameter.type_oid).collect()
}

/// Parameters of a statement without any.
pub(crate) fn no_parameters() -> Arc<[Parameter]> {
    Arc::from([])
}
