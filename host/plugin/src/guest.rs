//! What a guest sees: the handles of one call, and the few things it may ask of the host.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use grille_mask::detect::Detector;
use grille_policy::{
    Access, BaseColumn, Certainty, ColumnName, Filter, KeyKind, ResultShape, SessionFacts, Statement, TransactionState,
};
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime::{Engine, format_err};

use crate::bindings::grille::policy::{clock, context, detect, log, sql_data};
use crate::bindings::handles::{ColumnsHandle, SessionHandle, ShapeHandle, StatementHandle};
use crate::limits::{Limiter, Stopwatch};
use crate::log::LogQuota;

/// The data of a store: limits, and what the call under way is about.
pub(crate) struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) log: Arc<LogQuota>,
    pub(crate) has_clock: bool,
    /// There if the plugin imports `detect`.
    pub(crate) detector: Option<Arc<Detector>>,
    /// Bytes of text scanned in the call under way.
    pub(crate) scanned: usize,
    /// None while settings are validated: then there is nobody to judge.
    pub(crate) session: Option<Arc<SessionFacts>>,
    pub(crate) asked: Asked,
    pub(crate) reads: Reads,
    pub(crate) lines: u32,
}

/// What the call under way is about.
pub(crate) enum Asked {
    Nothing,
    Statement(Statement),
    Columns(Arc<[BaseColumn]>),
    Shape(Arc<ResultShape>),
}

/// What the guest has read in the call under way beyond what a remembered answer is bound to anyway.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reads {
    pub(crate) session: bool,
    pub(crate) parameters: bool,
    pub(crate) transaction: bool,
    /// Something that may answer differently each time.
    pub(crate) outside: bool,
}

pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    context::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    sql_data::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    clock::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    detect::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    crate::bindings::grille::policy::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

type Answer<T> = wasmtime::Result<T>;

impl Guest {
    fn session(&mut self) -> Answer<&SessionFacts> {
        self.reads.session = true;
        self.session.as_deref().ok_or_else(|| format_err!("there is no session while settings are validated"))
    }

    fn statement(&self) -> Answer<&Statement> {
        match &self.asked {
            Asked::Statement(statement) => Ok(statement),
            _ => Err(format_err!("the handle is of another call")),
        }
    }

    fn base_columns(&self) -> Answer<&Arc<[BaseColumn]>> {
        match &self.asked {
            Asked::Columns(columns) => Ok(columns),
            _ => Err(format_err!("the handle is of another call")),
        }
    }

    fn shape(&self) -> Answer<&ResultShape> {
        match &self.asked {
            Asked::Shape(shape) => Ok(shape),
            _ => Err(format_err!("the handle is of another call")),
        }
    }
}

impl crate::bindings::grille::policy::types::Host for Guest {}
impl context::Host for Guest {}
impl sql_data::Host for Guest {}

fn texts(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

impl context::HostSession for Guest {
    fn id(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.id.to_string())
    }

    fn target(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.target.to_string())
    }

    fn protocol(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.protocol.to_string())
    }

    fn roles(&mut self, _: Resource<SessionHandle>) -> Answer<Vec<String>> {
        Ok(texts(&self.session()?.roles))
    }

    fn has_role(&mut self, _: Resource<SessionHandle>, role: String) -> Answer<bool> {
        Ok(self.session()?.roles.iter().any(|held| **held == *role))
    }

    fn listener(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.listener.to_string())
    }

    fn peer(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.peer.to_string())
    }

    fn client(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.client.to_string())
    }

    fn tls(&mut self, _: Resource<SessionHandle>) -> Answer<Option<String>> {
        Ok(self.session()?.tls.as_ref().map(|tls| tls.to_string()))
    }

    fn issuer(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.subject.issuer.to_string())
    }

    fn subject(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.subject.sub.to_string())
    }

    fn display_name(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.subject.name.to_string())
    }

    fn groups(&mut self, _: Resource<SessionHandle>) -> Answer<Vec<String>> {
        Ok(texts(&self.session()?.subject.groups))
    }

    fn has_group(&mut self, _: Resource<SessionHandle>, group: String) -> Answer<bool> {
        Ok(self.session()?.subject.groups.iter().any(|held| **held == *group))
    }

    fn actors(&mut self, _: Resource<SessionHandle>) -> Answer<Vec<context::Actor>> {
        let actors = self.session()?.subject.actors.iter();
        let actor = |actor: &grille_policy::Actor| context::Actor {
            issuer: actor.issuer.to_string(),
            subject: actor.sub.to_string(),
        };
        Ok(actors.map(actor).collect())
    }

    fn expires_at(&mut self, _: Resource<SessionHandle>) -> Answer<u64> {
        Ok(self.session()?.subject.expires_at)
    }

    fn claims(&mut self, _: Resource<SessionHandle>) -> Answer<String> {
        Ok(self.session()?.subject.claims.to_string())
    }

    fn drop(&mut self, _: Resource<SessionHandle>) -> Answer<()> {
        Ok(())
    }
}

impl sql_data::HostStatement for Guest {
    fn text(&mut self, _: Resource<StatementHandle>) -> Answer<String> {
        Ok(self.statement()?.text.to_string())
    }

    fn fingerprint(&mut self, _: Resource<StatementHandle>) -> Answer<String> {
        Ok(self.statement()?.facts.fingerprint.to_string())
    }

    fn statement_count(&mut self, _: Resource<StatementHandle>) -> Answer<u32> {
        Ok(self.statement()?.facts.statements)
    }

    fn kinds(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<String>> {
        Ok(texts(&self.statement()?.facts.kinds))
    }

    fn has_kind(&mut self, _: Resource<StatementHandle>, kind: String) -> Answer<bool> {
        Ok(self.statement()?.facts.kinds.iter().any(|known| **known == *kind))
    }

    fn effects(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<String>> {
        Ok(self.statement()?.facts.effects.iter().map(|effect| effect.name().to_owned()).collect())
    }

    fn has_effect(&mut self, _: Resource<StatementHandle>, effect: String) -> Answer<bool> {
        Ok(self.statement()?.facts.effects.iter().any(|known| known.name() == effect))
    }

    fn relations(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::RelationUse>> {
        let relations = self.statement()?.facts.relations.iter();
        let relation = |used: &grille_policy::RelationUse| sql_data::RelationUse {
            schema: used.relation.schema.to_string(),
            name: used.relation.name.to_string(),
            is_written: used.access == Access::Write,
        };
        Ok(relations.map(relation).collect())
    }

    fn columns(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::ColumnUse>> {
        let columns = self.statement()?.facts.columns.iter();
        let column = |used: &grille_policy::ColumnUse| sql_data::ColumnUse {
            column: column_name(&used.column),
            usage: used.usage.name().to_owned(),
        };
        Ok(columns.map(column).collect())
    }

    fn functions(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::FunctionUse>> {
        let functions = self.statement()?.facts.functions.iter();
        let function = |used: &grille_policy::FunctionUse| sql_data::FunctionUse {
            name: used.name.to_string(),
            is_known: used.is_known,
        };
        Ok(functions.map(function).collect())
    }

    fn writes(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::Write>> {
        let write = |write: &grille_policy::Write| sql_data::Write {
            kind: write.kind.to_string(),
            schema: write.relation.schema.to_string(),
            table: write.relation.name.to_string(),
            filter: match write.filter {
                Filter::Absent => sql_data::RowFilter::Absent,
                Filter::None => sql_data::RowFilter::AllRows,
                Filter::Effective => sql_data::RowFilter::Effective,
            },
        };
        Ok(self.statement()?.facts.writes.iter().map(write).collect())
    }

    fn unknown(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<String>> {
        Ok(texts(&self.statement()?.facts.unknown))
    }

    fn parameter_count(&mut self, _: Resource<StatementHandle>) -> Answer<u32> {
        self.reads.parameters = true;
        Ok(u32::try_from(self.statement()?.parameters.len())?)
    }

    fn parameter(&mut self, _: Resource<StatementHandle>, index: u32) -> Answer<Option<sql_data::Parameter>> {
        self.reads.parameters = true;
        let parameter = self.statement()?.parameters.get(index as usize);
        Ok(parameter.map(|parameter| sql_data::Parameter {
            type_oid: parameter.type_oid,
            is_binary: parameter.is_binary,
            value: parameter.value.as_ref().map(|value| value.to_vec()),
        }))
    }

    fn transaction(&mut self, _: Resource<StatementHandle>) -> Answer<sql_data::TransactionState> {
        self.reads.transaction = true;
        Ok(match self.statement()?.transaction {
            TransactionState::Idle => sql_data::TransactionState::Idle,
            TransactionState::Open => sql_data::TransactionState::Open,
            TransactionState::Failed => sql_data::TransactionState::Failed,
        })
    }

    fn drop(&mut self, _: Resource<StatementHandle>) -> Answer<()> {
        Ok(())
    }
}

impl sql_data::HostColumns for Guest {
    fn len(&mut self, _: Resource<ColumnsHandle>) -> Answer<u32> {
        Ok(u32::try_from(self.base_columns()?.len())?)
    }

    fn range(&mut self, _: Resource<ColumnsHandle>, start: u32, count: u32) -> Answer<Vec<sql_data::BaseColumn>> {
        let column = |column: &BaseColumn| sql_data::BaseColumn {
            schema: column.name.schema.to_string(),
            table: column.name.table.to_string(),
            column: column.name.column.to_string(),
            type_oid: column.type_oid,
            type_name: column.type_name.to_string(),
            key: match column.key {
                KeyKind::None => sql_data::KeyKind::None,
                KeyKind::Primary => sql_data::KeyKind::Primary,
                KeyKind::Foreign => sql_data::KeyKind::Foreign,
            },
            comment: column.comment.to_string(),
        };
        Ok(self.base_columns()?.iter().skip(start as usize).take(count as usize).map(column).collect())
    }

    fn drop(&mut self, _: Resource<ColumnsHandle>) -> Answer<()> {
        Ok(())
    }
}

impl sql_data::HostResultShape for Guest {
    fn len(&mut self, _: Resource<ShapeHandle>) -> Answer<u32> {
        Ok(u32::try_from(self.shape()?.columns.len())?)
    }

    fn range(&mut self, _: Resource<ShapeHandle>, start: u32, count: u32) -> Answer<Vec<sql_data::ResultColumn>> {
        let column = |column: &grille_policy::ResultColumn| sql_data::ResultColumn {
            name: column.name.to_string(),
            type_oid: column.type_oid,
            type_name: column.type_name.to_string(),
            origins: column.origins.iter().map(column_name).collect(),
            certainty: match column.certainty {
                Certainty::Exact => sql_data::Certainty::Exact,
                Certainty::Derived => sql_data::Certainty::Derived,
                Certainty::Unknown => sql_data::Certainty::Unknown,
            },
        };
        Ok(self.shape()?.columns.iter().skip(start as usize).take(count as usize).map(column).collect())
    }

    fn drop(&mut self, _: Resource<ShapeHandle>) -> Answer<()> {
        Ok(())
    }
}

fn column_name(name: &ColumnName) -> sql_data::ColumnName {
    sql_data::ColumnName {
        schema: name.schema.to_string(),
        table: name.table.to_string(),
        column: name.column.to_string(),
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) -> Answer<()> {
        self.lines = self.lines.saturating_add(1);
        self.log.write(level, &message, self.lines);
        Ok(())
    }
}

impl clock::Host for Guest {
    fn now_ms(&mut self) -> Answer<Result<u64, clock::ClockError>> {
        self.reads.outside = true;
        if !self.has_clock {
            return Ok(Err(clock::ClockError::NotGranted));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Ok(u64::try_from(since.as_millis())?))
    }
}

/// The engine's clock stands still while the host works for a guest, so that work is bounded: some 15 ms.
const SCANNED_MAX: usize = 1 << 20;
const HITS_MAX: usize = 10_000;

impl detect::Host for Guest {
    fn scan(&mut self, texts: Vec<String>) -> Answer<Result<Vec<detect::Hit>, detect::DetectError>> {
        self.reads.outside = true;
        self.scanned = texts.iter().fold(self.scanned, |sum, text| sum.saturating_add(text.len()));
        if self.scanned > SCANNED_MAX {
            return Ok(Err(detect::DetectError::TooLarge));
        }
        let detector = self.detector.as_deref().ok_or_else(|| format_err!("the detectors are not built"))?;
        let (mut hits, mut found) = (Vec::new(), Vec::new());
        for (text, number) in texts.iter().zip(0u32..) {
            found.clear();
            detector.scan(text, &mut found);
            if hits.len() + found.len() > HITS_MAX {
                return Ok(Err(detect::DetectError::TooMany));
            }
            for hit in &found {
                hits.push(detect::Hit {
                    text: number,
                    start: u32::try_from(hit.start)?,
                    end: u32::try_from(hit.end)?,
                    kind: hit.kind.name().to_owned(),
                    score: u32::from(hit.score),
                });
            }
        }
        Ok(Ok(hits))
    }
}
