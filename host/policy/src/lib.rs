//! The vocabulary of Grille and the algebra of its decisions.
//!
//! Everything that two rooms say to each other about *who*, *what* and *whether* is a type of this room. It does no
//! I/O, knows no protocol and no Wasm; every other room may import it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod decision;
mod evaluator;
mod exchange;
mod fault;
mod glob;
mod ids;
mod operation;
mod protection;
mod session;
mod subject;
pub mod testing;
mod treatment;
mod verdict;

pub use decision::{Decision, Failure, FailureKind, HostCall, Mode, Opinion, combine};
pub use evaluator::{Batch, BoxFuture, Classification, Evaluator, Opened, Plan, Policies};
pub use exchange::{Body, Exchange, ExchangePlan, Header, Place, Response};
pub use fault::Fault;
pub use glob::{Glob, NameList};
pub use ids::{DecisionId, Digest, Epoch, IdError, RequestId, SessionId};
pub use operation::{
    Access, BaseColumn, Certainty, ColumnName, ColumnUse, Effect, Filter, FunctionUse, KeyKind, Operation, Parameter,
    RelationName, RelationUse, ResultColumn, ResultShape, Statement, StatementFacts, TransactionState, Usage, Write,
};
pub use protection::{Inference, Opaque, Protection, Writes};
pub use session::SessionFacts;
pub use subject::{Actor, Subject};
pub use treatment::{Masker, Treatment, join};
pub use verdict::{Finding, Severity, Terms, Verdict};
