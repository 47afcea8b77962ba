//! Write policies for Grille in Rust.
//!
//! A policy is a type that is made out of settings ([`Policy`]) and implements the hooks that it needs: [`OpenHook`],
//! [`SqlHook`], [`ColumnsHook`], [`ResultHook`], [`ValuesHook`], [`RequestHook`], [`ResponseHook`], [`HttpValuesHook`].
//! [`export!`] turns it into a component. Keep the logic in plain functions over plain data, so that `cargo test` runs it
//! natively; the README shows how.
//!
//! What this crate does not do: talk to the outside. A policy has no files, no sockets, no clock that it was not
//! granted, and its memory may be gone between two calls.
#![warn(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
pub mod bindings;
mod glob;
mod hooks;
#[doc(hidden)]
pub mod runtime;
mod settings;

pub use bindings::policy::exports::grille::policy::lifecycle::Problem;
pub use bindings::policy::grille::policy::clock;
pub use bindings::policy::grille::policy::context::{Actor, Session};
pub use bindings::policy::grille::policy::counters;
pub use bindings::policy::grille::policy::detect;
pub use bindings::policy::grille::policy::http_data::{BodyError, Exchange, ExchangePlan, Header, PlaceTreatment};
pub use bindings::policy::grille::policy::kv;
pub use bindings::policy::grille::policy::log;
pub use bindings::policy::grille::policy::lookup;
pub use bindings::policy::grille::policy::sql_data::{
    BaseColumn, Certainty, ColumnName, ColumnUse, Columns, FunctionUse, KeyKind, Parameter, RelationUse, ResultColumn,
    ResultShape, RowFilter, Statement, TransactionState, Write,
};
pub use bindings::policy::grille::policy::types::{
    Batch, Finding, Masker, Opinion, Quorum, Severity, Terms, Treatment, Verdict,
};
pub use bindings::sql_result::exports::grille::policy::sql_result::ResultPlan;
pub use glob::Glob;
pub use hooks::{
    ColumnsHook, HttpValuesHook, OpenHook, Policy, RequestHook, ResponseHook, ResultHook, SqlHook, ValuesHook,
};
pub use settings::Settings;
