//! What is in a database, as far as the meaning of SQL depends on it: one immutable snapshot.

mod attached;
mod lookup;
mod queries;
mod read;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub(crate) use attached::{Attached, Attachment, Domain, Events, Trigger};
pub(crate) use lookup::is_system_schema;
pub use queries::{VERSION, queries};
pub use read::CatalogError;

use crate::lineage::Flow;
use crate::walk::ViewMeaning;

/// How many parts a snapshot has.
const PARTS_COUNT: usize = 10;

/// An immutable snapshot of a database's definitions. Share it by `Arc`.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) version: Box<str>,
    /// The schemas that were visible without naming them when the snapshot was read.
    pub(crate) path: Vec<String>,
    pub(crate) relations: Vec<Relation>,
    by_name: HashMap<Arc<str>, Vec<u32>>,
    by_oid: HashMap<u32, u32>,
    functions: HashMap<Box<str>, Vec<Function>>,
    types: HashMap<u32, Type>,
    type_names: HashMap<Arc<str>, Vec<u32>>,
    /// Operators outside `pg_catalog`: name → schema and function.
    operators: HashMap<Box<str>, Vec<(Arc<str>, u32)>>,
    /// Functions by OID, as name and place in [`Catalog::functions`].
    function_oids: HashMap<u32, (Box<str>, usize)>,
    /// Types that a user-defined function converts to: type → function.
    casts: HashMap<u32, Vec<u32>>,
    /// What values of a domain are tried by, and what they are by default.
    domains: HashMap<u32, Domain>,
    /// The functions that run when definitions change.
    pub(crate) on_definitions: Vec<u32>,
}

/// A table, view, or whatever else has columns.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) kind: RelationKind,
    pub(crate) is_temporary: bool,
    pub(crate) extension: Option<Box<str>>,
    /// Rules other than the one that makes it a view.
    pub(crate) has_rules: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) definition: Option<Box<str>>,
    /// Columns that are computed of others: place and expression.
    pub(crate) generated: Vec<(usize, Attachment)>,
    pub(crate) parents: Vec<u32>,
    pub(crate) children: Vec<u32>,
    pub(crate) attached: Attached,
    /// What the definition of a view means, worked out when it is first asked for.
    pub(crate) meaning: OnceLock<Arc<ViewMeaning>>,
    /// The exact flows of a base relation are made per column and need no store; a view's stand in its meaning.
    pub(crate) whole: OnceLock<Flow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelationKind {
    Table,
    Partitioned,
    View,
    Materialized,
    Foreign,
    Sequence,
    Composite,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) attnum: i16,
    pub(crate) name: Arc<str>,
    pub(crate) type_oid: u32,
    pub(crate) type_modifier: i32,
    pub(crate) is_not_null: bool,
    pub(crate) comment: Arc<str>,
    pub(crate) is_primary: bool,
    pub(crate) is_foreign: bool,
    /// Whether an index compares a new value with the stored ones, by itself or within an expression: whether a row is
    /// taken tells whether the value is there.
    pub(crate) is_compared: bool,
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) schema: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) arguments: Vec<u32>,
    pub(crate) defaults: usize,
    pub(crate) is_variadic: bool,
    pub(crate) kind: FunctionKind,
    pub(crate) is_volatile: bool,
    pub(crate) language: Arc<str>,
    pub(crate) return_type: u32,
    /// The names of the input arguments, empty where they have none.
    pub(crate) argument_names: Vec<Arc<str>>,
    /// OUT, INOUT and TABLE columns: name and type.
    pub(crate) outputs: Vec<(Arc<str>, u32)>,
    /// The whole definition of an SQL-language function; the body of a trigger function in PL/pgSQL.
    pub(crate) definition: Option<Box<str>>,
    pub(crate) extension: Option<Box<str>>,
    /// The search path that it sets for itself.
    pub(crate) path: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FunctionKind {
    Plain,
    Aggregate,
    Window,
    Procedure,
}

#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) schema: Arc<str>,
    pub(crate) name: Arc<str>,
    /// The relation whose row it is, or 0.
    pub(crate) relation: u32,
    /// What a domain is made of, or an array holds; 0 if it is neither.
    pub(crate) inner: u32,
}
