//! Policies as WebAssembly components: the only room that knows wasmtime.
//!
//! [`PluginHost`] loads components into a [`PolicySet`], puts a set in force at once, and judges as
//! [`grille_policy::Evaluator`]. A file is read whole, identified, and checked against the contract before it is
//! compiled; it is compiled off the paths of callers, linked with nothing but `grille:policy`, and asked about its
//! settings; on any problem nothing changes.
//!
//! An instance serves one session and one policy. It has a memory limit, a time limit, and no way out but the contract's
//! imports; of WASI there is only what a language runtime drags in, and nothing behind it. What a guest answers is
//! checked like bytes of a stranger. Whatever goes wrong counts as a block that names the policy, and the next call finds
//! a fresh instance; what goes wrong again and again is left alone for a while.
//!
//! What is deliberately not here: watching files (the gateway reloads), masking (a treatment is only named here), and
//! anything of PostgreSQL's wire.

mod answer;
mod artifact;
mod bindings;
mod bound;
mod breaker;
mod cache;
mod cases;
mod engine;
mod guest;
mod host;
mod instance;
mod isolation;
mod limits;
mod load;
mod loaded;
mod log;
mod memo;
mod pool;
mod problem;
mod rerun;
mod services;
mod session;
mod settings;
mod staged;
mod stats;
mod status;
mod wasi;

pub use artifact::{Artifact, Metadata, Refusal, Want, WantedLimits};
pub use cases::{
    ActorFacts, Analyst, Answer, Body, Case, CaseColumn, CaseFile, CaseResult, CaseResultColumn, CaseSession,
    CertaintyWord, Cost, Expect, HostSide, KeyWord, Measured, Mismatch, Place, Request, Response, ResultCase,
    StatementCase, Table, TableColumn, TransactionWord, TransformCase, VerdictWord, cases_path, cases_schema,
};
pub use engine::{EngineConfig, EngineError};
pub use host::{PluginHost, PolicyDescription, PolicySet};
pub use isolation::Isolation;
pub use limits::Limits;
pub use load::PolicySpec;
pub use problem::{LoadProblem, Step};
pub use rerun::{Question, Rerun};
pub use services::{LookupError, Lookups};
pub use staged::Staged;
pub use status::PolicyStatus;
