//! What a text turned out to mean.

use std::ops::Range;
use std::sync::Arc;

use grille_policy::{Certainty, ColumnName, ColumnUse, Effect, RelationName, RelationUse, StatementFacts};

/// What one text means, statement by statement. Worked out once per text, settings and catalog, and shared.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// What policies see of all statements together.
    pub facts: Arc<StatementFacts>,
    /// The statements in the order of the text; none for an empty text.
    pub statements: Vec<StatementInfo>,
    /// What the catalog does not hold, as `relation x`, `function f()` or `column c`. It may be stale: read it again
    /// once, then analyse again.
    pub missing: Vec<Arc<str>>,
}

/// What one statement means.
#[derive(Debug, Clone)]
pub struct StatementInfo {
    /// The command, such as `SELECT` or `CREATE TABLE`.
    pub kind: Arc<str>,
    /// What it does, everything inside counted; sorted, each once.
    pub effects: Vec<Effect>,
    /// The rows that it returns, or that COPY sends.
    pub output: Output,
    /// What it does to the session once it succeeds, in order.
    pub session: Vec<SessionEffect>,
    /// How data is moved, if it is a COPY.
    pub copy: Option<CopyInfo>,
    /// Whether it changes rows.
    pub writes_rows: bool,
    /// Whether it changes definitions, so that the catalog is stale afterwards.
    pub is_ddl: bool,
    /// Whether it both writes and returns rows (RETURNING, also inside a CTE): plan the result before it runs.
    pub has_result_and_writes: bool,
    /// Where it stands in the text, in bytes.
    pub text_range: Range<usize>,
    pub(crate) detail: Detail,
}

impl StatementInfo {
    /// Whether the server looks names up when a portal of it is executed, or does so again: all that is no query has no
    /// plan. Answers no where it reaches nothing by names.
    #[must_use]
    pub fn reads_names_late(&self) -> bool {
        let is_planned = matches!(&*self.kind, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "VALUES");
        let is_fetched = matches!(self.output, Output::Prepared(_) | Output::Cursor(_));
        self.detail.is_late
            || !is_planned && (is_fetched || self.detail.runs.is_some() || !self.detail.reached.is_empty())
    }
}

/// What a statement returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// No rows.
    None,
    /// Rows of these columns.
    Rows(Vec<OutputColumn>),
    /// Rows whose columns could not be told.
    Unknown,
    /// The rows of the prepared statement of this name: see [`crate::SessionNames`].
    Prepared(Arc<str>),
    /// The rows of the cursor of this name: see [`crate::SessionNames`].
    Cursor(Arc<str>),
}

/// One column of a result.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// The name as the server will show it.
    pub name: Arc<str>,
    /// The base columns that it comes from, sorted.
    pub origins: Vec<ColumnName>,
    /// How sure that is.
    pub certainty: Certainty,
    /// What keeps the certainty from being better.
    pub(crate) constructs: Vec<Arc<Construct>>,
}

impl PartialEq for OutputColumn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.origins == other.origins && self.certainty == other.certainty
    }
}

impl Eq for OutputColumn {}

/// What a statement does to the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEffect {
    /// SET or `set_config`.
    Set {
        /// The setting, in lower case.
        name: Arc<str>,
        /// What it is set to.
        value: SetValue,
        /// Whether it ends with the transaction.
        local: bool,
    },
    /// A function changed the session, perhaps: settings, prepared statements and cursors may be others.
    Unfollowed,
    /// RESET of one setting.
    Reset {
        /// The setting, in lower case.
        name: Arc<str>,
    },
    /// RESET ALL.
    ResetAll,
    /// DISCARD.
    Discard(Discard),
    /// PREPARE.
    Prepare {
        /// The statement's name.
        name: Arc<str>,
        /// What it will do, to be kept in [`crate::SessionNames`].
        body: Arc<Body>,
    },
    /// EXECUTE.
    Execute {
        /// The statement's name.
        name: Arc<str>,
    },
    /// DEALLOCATE of one, or of all.
    Deallocate {
        /// The statement's name.
        name: Option<Arc<str>>,
    },
    /// DECLARE CURSOR.
    Declare {
        /// The cursor's name.
        cursor: Arc<str>,
        /// What it returns, to be kept in [`crate::SessionNames`].
        body: Arc<Body>,
        /// Whether it outlives its transaction.
        hold: bool,
    },
    /// FETCH.
    Fetch {
        /// The cursor's name.
        cursor: Arc<str>,
    },
    /// MOVE.
    Move {
        /// The cursor's name.
        cursor: Arc<str>,
    },
    /// CLOSE of one, or of all.
    Close {
        /// The cursor's name.
        cursor: Option<Arc<str>>,
    },
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END; with CHAIN a new transaction begins.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT.
    Savepoint,
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo,
    /// RELEASE SAVEPOINT.
    Release,
    /// PREPARE TRANSACTION.
    PrepareTransaction,
    /// COMMIT PREPARED or ROLLBACK PREPARED.
    FinishPrepared,
    /// LISTEN.
    Listen,
    /// UNLISTEN.
    Unlisten,
    /// NOTIFY or `pg_notify`.
    Notify,
    /// SET ROLE.
    SetRole,
    /// SET SESSION AUTHORIZATION.
    SetSessionAuthorization,
}

/// What DISCARD throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// Everything.
    All,
    /// Cached plans.
    Plans,
    /// Cached sequence states.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// What a setting is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// These constants, as text.
    Constant(Vec<Arc<str>>),
    /// Its default.
    Default,
    /// What it is at this moment, for the rest of the transaction.
    Current,
    /// The value of an expression.
    NonConstant,
}

/// What a prepared statement or a cursor will do.
#[derive(Debug, Clone)]
pub struct Body {
    /// The statement.
    pub statement: StatementInfo,
    /// What policies see of it.
    pub facts: Arc<StatementFacts>,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts && self.statement.output == other.statement.output
    }
}

impl Eq for Body {}

/// How COPY moves data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInfo {
    /// In or out, and over which channel.
    pub direction: CopyDirection,
    /// What is copied: a relation and the names of its columns, or nothing for a query (see the statement's output).
    pub target: Option<(RelationName, Vec<Arc<str>>)>,
    /// The text of the query of `COPY (query) TO`, as a range of the statement's text.
    pub query: Option<Range<usize>>,
    /// The format.
    pub format: CopyFormat,
    /// All options as written: name in lower case, and value.
    pub options: Vec<(Arc<str>, Arc<str>)>,
}

/// Where COPY moves data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    /// TO STDOUT.
    Out,
    /// FROM STDIN.
    In,
    /// TO a file of the server or a program.
    OutOfServer,
    /// FROM a file of the server or a program.
    IntoServer,
}

/// How COPY writes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Tab-separated text.
    Text,
    /// CSV.
    Csv,
    /// Binary.
    Binary,
    /// A format that is not known here.
    Unknown,
}

/// What `protect` and `scope` need besides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detail {
    /// Relations that the text names.
    pub(crate) named: Vec<RelationUse>,
    /// A relation that is read or written and that the catalog does not hold.
    pub(crate) unresolved: Option<Arc<str>>,
    /// Whether it works on all tables there are, without naming them.
    pub(crate) reaches_all: bool,
    /// Whether a function is called whose names are looked up when it runs.
    pub(crate) is_late: bool,
    /// Relations that are read or changed, also beneath views, functions and parents. Sorted.
    pub(crate) reached: Vec<RelationName>,
    pub(crate) uses: Vec<ColumnUse>,
    pub(crate) sinks: Vec<Sink>,
    /// Columns of existing rows that are assigned.
    pub(crate) assigned: Vec<ColumnName>,
    pub(crate) constructs: Vec<Arc<Construct>>,
    pub(crate) restrictions: Vec<Restriction>,
    /// Relations whose definition changes in a way that could take the protection off.
    pub(crate) relabelled: Vec<(RelationName, &'static str)>,
    /// A prepared statement that runs inside (EXECUTE, EXPLAIN EXECUTE, CREATE TABLE AS EXECUTE).
    pub(crate) runs: Option<Arc<str>>,
    /// What is kept of the rows of [`Detail::runs`].
    pub(crate) keeps: Option<Arc<str>>,
}

/// A place that values flow into and where no result plan reaches them.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    /// In words: `table public.copy`.
    pub(crate) place: Arc<str>,
    /// The base columns that are assigned there, none for something new.
    pub(crate) target: Vec<ColumnName>,
    /// What flows in.
    pub(crate) value: OutputColumn,
    /// `schema.name` of the trigger function that puts it there.
    pub(crate) by: Option<Arc<str>>,
}

/// Something that could not be followed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Construct {
    /// In words, for people.
    pub(crate) what: Arc<str>,
    /// `schema.name` where it is a function that settings may allow.
    pub(crate) function: Option<Arc<str>>,
    pub(crate) reach: Reach,
    /// What it is that the catalog does not hold, if that is all there is about it.
    pub(crate) absent: Option<Absent>,
}

/// A kind of thing that statements name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Absent {
    Relation,
    Function,
}

/// What something that could not be followed may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Anything in the database.
    Anything,
    /// Only what the statement reaches anyway.
    Statement,
    /// Anything, but it says no more than yes or no: only texts of errors and notices tell what it read.
    Texts,
}

/// Something that a masked session must not do, whatever is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restriction {
    pub(crate) rule: &'static str,
    pub(crate) message: Arc<str>,
}
