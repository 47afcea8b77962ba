//! What a guest sees: the handles of one call, and the few things it may ask of the host.

mod context;
mod http;
mod services;
mod sql;

use std::sync::Arc;

use grille_mask::detect::Detector;
use grille_policy::{BaseColumn, Exchange, HostCall, ResultShape, SessionFacts, Statement};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Engine, format_err};

use crate::bindings::grille::policy;
use crate::limits::{Limiter, Stopwatch};
use crate::log::LogQuota;
use crate::memo::Question;
use crate::services::Outside;
use crate::wasi::Clockwork;

/// The data of a store: limits, and what the call under way is about.
pub(crate) struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) log: Arc<LogQuota>,
    pub(crate) outside: Box<dyn Outside>,
    /// There if the plugin imports `detect`.
    pub(crate) detector: Option<Arc<Detector>>,
    /// None while settings are validated: then there is nobody to judge.
    pub(crate) session: Option<Arc<SessionFacts>>,
    /// What WASI's stand-ins count.
    pub(crate) clockwork: Clockwork,
    /// Whether answers of this plugin may be remembered, so that its questions have to be; or somebody wants to know.
    pub(crate) notes_reads: bool,
    /// What host calls answered when the instance was told of its session: what it remembers of them it judges by.
    pub(crate) opening: Vec<HostCall>,
    pub(crate) call: Call,
}

/// The call under way.
#[derive(Default)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) trace: Trace,
    pub(crate) lines: u32,
    /// Bytes of text scanned.
    pub(crate) scanned: usize,
}

/// What the call under way is about.
#[derive(Default)]
pub(crate) enum Asked {
    #[default]
    Nothing,
    Statement(Statement),
    Columns(Arc<[BaseColumn]>),
    Shape(Arc<ResultShape>),
    Exchange(Arc<Exchange>),
}

/// What the guest has looked at in the call under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    /// Facts of the session, the statement and the shape, in order; kept where answers are remembered or somebody wants to know.
    pub(crate) questions: Vec<Question>,
    /// Whether any fact of the session was among them.
    pub(crate) session: bool,
    /// Whether it saw something that may be other each time.
    pub(crate) outside: bool,
    /// Questions to the host that it may answer otherwise the next time.
    pub(crate) calls: Vec<HostCall>,
}

pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    policy::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::context::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::sql_data::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::http_data::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::clock::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::counters::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::detect::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::kv::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    policy::lookup::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

type Answer<T> = wasmtime::Result<T>;

/// A call has no business asking more often; beyond, its questions are not followed and it is not remembered.
const QUESTIONS_MAX: usize = 256;

impl Guest {
    /// Notes what the guest looks at.
    fn ask(&mut self, question: impl FnOnce() -> Question) {
        let trace = &mut self.call.trace;
        if !self.notes_reads || trace.outside {
            return;
        }
        if trace.questions.len() < QUESTIONS_MAX {
            trace.questions.push(question());
        } else {
            trace.outside = true;
        }
    }

    fn session(&mut self) -> Answer<&SessionFacts> {
        self.call.trace.session = true;
        self.session.as_deref().ok_or_else(|| format_err!("there is no session while settings are validated"))
    }

    fn statement(&self) -> Answer<&Statement> {
        match &self.call.asked {
            Asked::Statement(statement) => Ok(statement),
            _ => Err(format_err!("the handle is of another call")),
        }
    }

    fn base_columns(&self) -> Answer<&Arc<[BaseColumn]>> {
        match &self.call.asked {
            Asked::Columns(columns) => Ok(columns),
            _ => Err(format_err!("the handle is of another call")),
        }
    }

    fn shape(&self) -> Answer<&ResultShape> {
        match &self.call.asked {
            Asked::Shape(shape) => Ok(shape),
            _ => Err(format_err!("the handle is of another call")),
        }
    }

    /// What an exchange holds is not traced: no answer about one is remembered.
    fn exchange(&mut self) -> Answer<&Exchange> {
        self.call.trace.outside = true;
        match &self.call.asked {
            Asked::Exchange(exchange) => Ok(exchange),
            _ => Err(format_err!("the handle is of another call")),
        }
    }
}

impl policy::types::Host for Guest {}

fn texts(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}
