//! What SQL means: statement text and catalog in; kind, effects, relations, functions and the lineage of each output
//! column out; and from these what a masked session gets, and whether a role may ask at all.
//!
//! Texts are parsed with PostgreSQL's own grammar and walked by an exhaustive walker: what it does not follow it says
//! to be unknown, and unknown is refused wherever something protected could be reached. The room does no I/O: the
//! connection, the catalog's questions ([`catalog::queries`]) and the session's names belong to the room that calls it.
//!
//! What it does not do: it does not mask values (that is `mask`), it does not judge by policies (that is `plugin`), and
//! it does not stop inference by predicates; it reports where protected columns are used in them.
#![forbid(unsafe_code)]
#![deny(clippy::panic, clippy::todo)]

// Some unit tests share modules with the tests outside, which know the room by its name.
#[cfg(test)]
extern crate self as grille_sql;

mod analyse;
mod analysis;
pub mod catalog;
mod facts;
mod fingerprint;
mod golden;
mod limits;
mod lineage;
mod names;
mod protect;
mod scope;
mod settings;
mod stack;
#[cfg(test)]
mod testing;
mod walk;

pub use analyse::{AnalyseError, analyse};
pub use analysis::{
    Analysis, Body, CopyDirection, CopyFormat, CopyInfo, Discard, Output, OutputColumn, SessionEffect, SetValue,
    StatementInfo,
};
pub use catalog::{Catalog, CatalogError};
pub use limits::Limits;
pub use names::{SessionNames, Source};
pub use protect::{ColumnPlan, Guarded, ProtectedSet, Refusal, RowPlan, protect};
pub use scope::{RoleScope, scope};
pub use settings::Settings;
