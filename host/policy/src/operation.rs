use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One thing asked of a target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// SQL text: everything that one message asks, which may be several statements.
    Statement(Statement),
}

/// SQL text as it is judged, each time it is about to run.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The exact text.
    pub text: Arc<str>,
    /// What the text means, worked out once per distinct text.
    pub facts: Arc<StatementFacts>,
    /// Bound parameters, in order. Empty where none are known yet.
    pub parameters: Arc<[Parameter]>,
    /// The transaction that it would run in.
    pub transaction: TransactionState,
}

/// A bound parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The type's OID, 0 when the caller left it to the server.
    pub type_oid: u32,
    /// Whether the value is in the type's binary format.
    pub is_binary: bool,
    /// The bytes, none for NULL.
    pub value: Option<Arc<[u8]>>,
}

/// The transaction block's state, as the server last told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionState {
    /// Outside a block (`I`).
    Idle,
    /// Inside one (`T`).
    Open,
    /// Inside a failed one (`E`).
    Failed,
}

/// What SQL text means: names are resolved, everything inside is counted, what is not known is said to be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatementFacts {
    /// Equal for texts that differ in constants only; a number in hexadecimal. Never a key for a verdict.
    pub fingerprint: Arc<str>,
    /// How many statements the text holds.
    pub statements: u32,
    /// The command of each statement and of each one inside it, such as `SELECT` or `DELETE`; sorted, each once.
    pub kinds: Vec<Arc<str>>,
    /// The effects of all of it together, sorted, each once.
    pub effects: Vec<Effect>,
    /// Relations that are named, with how they are used.
    pub relations: Vec<RelationUse>,
    /// Base columns and where they occur.
    pub columns: Vec<ColumnUse>,
    /// Functions that are called.
    pub functions: Vec<FunctionUse>,
    /// What is written, statement by statement.
    pub writes: Vec<Write>,
    /// Constructs that could not be followed, in words; empty when all is understood.
    pub unknown: Vec<Arc<str>>,
}

/// What a statement does to the world, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Reads.
    Read,
    /// Changes the session: SET, PREPARE, BEGIN, LISTEN.
    Session,
    /// Moves data in or out by COPY.
    Copy,
    /// Changes rows.
    Write,
    /// Changes definitions.
    Ddl,
    /// Changes who may do what.
    Privilege,
    /// Runs code that is text inside: DO, CALL.
    Procedural,
    /// Cannot be told.
    Unknown,
}

impl Effect {
    /// The name that policies see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Session => "session",
            Self::Copy => "copy",
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::Privilege => "privilege",
            Self::Procedural => "procedural",
            Self::Unknown => "unknown",
        }
    }
}

/// A relation's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelationName {
    /// The schema.
    pub schema: Arc<str>,
    /// The table, view or other relation.
    pub name: Arc<str>,
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A column's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnName {
    /// The schema.
    pub schema: Arc<str>,
    /// The relation.
    pub table: Arc<str>,
    /// The column.
    pub column: Arc<str>,
}

impl fmt::Display for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

/// How a statement uses a relation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelationUse {
    /// The relation that is named.
    pub relation: RelationName,
    /// How it is used.
    pub access: Access,
}

/// Reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Rows are read.
    Read,
    /// Rows or the definition are changed.
    Write,
}

/// Where a base column occurs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnUse {
    /// The base column.
    pub column: ColumnName,
    /// The clause.
    pub usage: Usage,
}

/// A clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// In what is returned.
    Projected,
    /// In WHERE or HAVING.
    Filtered,
    /// In a join condition.
    Joined,
    /// In GROUP BY, DISTINCT, a window's partition, or a set operation that compares rows.
    Grouped,
    /// In ORDER BY.
    Ordered,
    /// Assigned.
    Written,
    /// In the target list, under something whose result or failure tells the value: a test, a choice, arithmetic, a cast.
    Computed,
}

impl Usage {
    /// The name that policies see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Projected => "projected",
            Self::Filtered => "filtered",
            Self::Joined => "joined",
            Self::Grouped => "grouped",
            Self::Ordered => "ordered",
            Self::Written => "written",
            Self::Computed => "computed",
        }
    }
}

/// A function that is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionUse {
    /// `schema.name`, or the bare name when it could not be resolved.
    pub name: Arc<str>,
    /// Whether the host knows what it does with its arguments.
    pub is_known: bool,
}

/// One writing statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Write {
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `TRUNCATE`, `COPY`.
    pub kind: Arc<str>,
    /// The relation that changes.
    pub relation: RelationName,
    /// What limits the rows.
    pub filter: Filter,
}

/// What limits the rows that a write touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Such writes have no WHERE (INSERT, TRUNCATE).
    Absent,
    /// There is none, or one that is always true such as `1 = 1`: all rows.
    None,
    /// A condition that depends on the row.
    Effective,
}

/// The shape of one result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResultShape {
    /// The columns, left to right.
    pub columns: Vec<ResultColumn>,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResultColumn {
    /// The name that the caller sees; a caller chooses it freely.
    pub name: Arc<str>,
    /// The type's OID.
    pub type_oid: u32,
    /// The type's name, such as `text` or `date`.
    pub type_name: Arc<str>,
    /// The base columns that it comes from: one for a plain column, several for an expression.
    pub origins: Vec<ColumnName>,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How sure the origin of a value is. Ordered: the later the less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// The value of its one origin (or of none: a constant), unchanged.
    Exact,
    /// Computed out of its origins.
    Derived,
    /// Cannot be told.
    Unknown,
}

/// A column of a table, as policies classify it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseColumn {
    /// The full name.
    pub name: ColumnName,
    /// The type's OID.
    pub type_oid: u32,
    /// The type's name, such as `text`, `date` or `_text` (an array of it).
    pub type_name: Arc<str>,
    /// Whether it is a key that only links rows.
    pub key: KeyKind,
    /// The comment on the column, or an empty text.
    pub comment: Arc<str>,
}

/// What part a column has in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// None.
    None,
    /// It is, or is part of, the primary key.
    Primary,
    /// It refers to another table.
    Foreign,
}
