//! What a masked session gets: one treatment per output column, or one sentence why not.

mod protected;
mod session;

use std::sync::Arc;

use grille_policy::{
    Certainty, ColumnName, ColumnUse, Inference, Masker, Opaque, Protection, Treatment, Usage, Writes, join,
};

pub use protected::ProtectedSet;

use crate::analysis::{Absent, Construct, Reach, Sink};
use crate::{Analysis, CopyDirection, Output, OutputColumn, SessionNames, Source, StatementInfo};

/// What may be done with a text in a masked session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// For each statement, what happens to its rows.
    pub statements: Vec<RowPlan>,
    /// Whether a protected relation can be reached: error texts and notices must be sanitised.
    pub touches_protected: bool,
    /// Protected columns in predicates, joins, orderings, groups and tests.
    pub inference: Vec<ColumnUse>,
    /// What could not be followed, in words, where the protection lets people decide or has the answer scanned.
    pub opaque: Vec<Arc<str>>,
}

/// What happens to the rows of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowPlan {
    /// It returns none.
    None,
    /// One plan per column, left to right; another number of columns on the wire means that the catalog is stale.
    Columns(Vec<ColumnPlan>),
    /// The same for each column, however many there are.
    Every(Treatment),
}

impl RowPlan {
    /// Whether everything passes as it is.
    #[must_use]
    pub fn is_keep(&self) -> bool {
        match self {
            Self::None => true,
            Self::Columns(columns) => columns.iter().all(|column| column.treatment.is_keep()),
            Self::Every(treatment) => treatment.is_keep(),
        }
    }
}

/// What happens to one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// The treatment. `redact` falls to NULL where the type cannot say it.
    pub treatment: Treatment,
    /// The base columns that it comes from.
    pub origins: Vec<ColumnName>,
    /// How sure that is.
    pub certainty: Certainty,
}

/// Why a text is not for this session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The rule's short name.
    pub rule: &'static str,
    /// One sentence for the caller: which construct or column, and what to do instead.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}

/// Judges a text for a masked session. Nothing of a refused text may run.
///
/// # Errors
/// With the first reason found why it must not run.
pub fn protect(
    analysis: &Analysis,
    set: &ProtectedSet,
    protection: &Protection,
    names: &SessionNames,
) -> Result<Guarded, Refusal> {
    let mut guarded = Guarded {
        statements: Vec::with_capacity(analysis.statements.len()),
        touches_protected: false,
        inference: Vec::new(),
        opaque: Vec::new(),
    };
    // A string may prepare or declare what its later statements run.
    let mut names = std::borrow::Cow::Borrowed(names);
    let mut has_defined = false;
    for statement in &analysis.statements {
        let guard = Guard { set, protection, names: &names, has_defined };
        let plan = guard.statement(statement, &mut guarded, EXECUTE_DEPTH)?;
        guarded.statements.push(plan);
        has_defined |= statement.is_ddl;
        for effect in statement.session.iter().filter(|effect| SessionNames::concerns(effect)) {
            names.to_mut().apply(effect, Source::default);
        }
    }
    guarded.inference.sort();
    guarded.inference.dedup();
    Ok(guarded)
}

/// A prepared statement cannot execute another one, but EXPLAIN and CREATE TABLE AS nest once.
const EXECUTE_DEPTH: u8 = 4;

struct Guard<'a> {
    set: &'a ProtectedSet,
    protection: &'a Protection,
    names: &'a SessionNames,
    /// Whether an earlier statement of the text changes definitions.
    has_defined: bool,
}

impl Guard<'_> {
    fn statement(&self, statement: &StatementInfo, out: &mut Guarded, depth: u8) -> Result<RowPlan, Refusal> {
        let detail = &statement.detail;
        if let Some(restriction) = detail.restrictions.first() {
            return Err(Refusal::new(restriction.rule, &*restriction.message));
        }
        statement.session.iter().try_for_each(|effect| session::check(effect, self.protection))?;
        let touches = detail.reached.iter().any(|relation| self.set.has_relation(relation))
            || detail.uses.iter().any(|used| self.set.treatment(&used.column).is_some())
            || (detail.reaches_all && self.set.has_data());
        out.touches_protected |= touches;

        let tells = |construct: &Arc<Construct>| construct.reach == Reach::Texts && !self.is_discharged(construct);
        out.touches_protected |= detail.constructs.iter().any(tells);
        self.opaque(&detail.constructs, out)?;
        self.copy(statement)?;
        self.assigned(&detail.assigned)?;
        detail.sinks.iter().try_for_each(|sink| self.sink(sink, touches))?;
        for (relation, what) in &detail.relabelled {
            if self.set.has_relation(relation) {
                let message = format!(
                    "{what} {relation} is refused: it holds protected columns, and their protection must not change under them"
                );
                return Err(Refusal::new("protected-definition", message));
            }
        }
        self.inference(&detail.uses, out)?;

        let inner = match &detail.runs {
            Some(name) => self.prepared(name, detail.keeps.as_deref(), out, depth)?,
            None => RowPlan::None,
        };
        Ok(match &statement.output {
            Output::None => RowPlan::None,
            Output::Prepared(_) => inner,
            Output::Cursor(name) => {
                let Some(body) = self.names.cursor(name) else {
                    let message =
                        format!("cursor \"{name}\" is not known to Grille; declare it with DECLARE in this session");
                    return Err(Refusal::new("unknown-cursor", message));
                };
                if body.statement.detail.is_late {
                    let message = format!(
                        "cursor \"{name}\" calls a function whose names may mean something else by now; run its query without a cursor"
                    );
                    return Err(Refusal::new("names-moved", message));
                }
                self.statement(&body.statement, out, depth.saturating_sub(1))?
            }
            // The plan of a prepared statement shows its constants and conditions.
            Output::Rows(columns) if !inner.is_keep() => RowPlan::Columns(
                columns
                    .iter()
                    .map(|column| ColumnPlan { treatment: REDACT, ..plan(column, Treatment::Keep) })
                    .collect(),
            ),
            Output::Rows(columns) => RowPlan::Columns(columns.iter().map(|c| self.column(c, touches)).collect()),
            Output::Unknown if touches => RowPlan::Every(REDACT),
            Output::Unknown if !out.opaque.is_empty() => RowPlan::Every(Treatment::Mask(Masker::Scan)),
            Output::Unknown => RowPlan::Every(Treatment::Keep),
        })
    }

    fn prepared(&self, name: &str, keeps: Option<&str>, out: &mut Guarded, depth: u8) -> Result<RowPlan, Refusal> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Refusal::new("unknown-statement", "prepared statements are nested too deeply to be followed"));
        };
        let Some(body) = self.names.prepared(name) else {
            let message = format!(
                "prepared statement \"{name}\" is not known to Grille, or reads something else since definitions or \
                     search_path changed; prepare it in this session first"
            );
            return Err(Refusal::new("unknown-statement", message));
        };
        let plan = self.statement(&body.statement, out, depth)?;
        match keeps {
            Some(place) if !plan.is_keep() => {
                let message = format!("protected columns of prepared statement \"{name}\" must not flow into {place}");
                Err(Refusal::new("laundering", message))
            }
            _ => Ok(plan),
        }
    }

    fn column(&self, column: &OutputColumn, touches: bool) -> ColumnPlan {
        plan(column, self.treatment(column, touches))
    }

    /// The treatment of a value that comes from there.
    fn treatment(&self, column: &OutputColumn, touches: bool) -> Treatment {
        let given = || column.origins.iter().filter_map(|origin| self.set.treatment(origin));
        let derived = || if given().next().is_some() { REDACT } else { Treatment::Keep };
        match column.certainty {
            Certainty::Exact => given().fold(Treatment::Keep, |joined, treatment| join(&joined, treatment)),
            Certainty::Derived => derived(),
            Certainty::Unknown => {
                let mut treatment = derived();
                let mut open = column.constructs.iter().filter(|construct| !self.is_discharged(construct)).peekable();
                if open.peek().is_none() && column.constructs.is_empty() && touches {
                    return REDACT;
                }
                for construct in open {
                    treatment = match construct.reach {
                        Reach::Anything => join(&treatment, &Treatment::Mask(Masker::Scan)),
                        Reach::Statement if touches => REDACT,
                        Reach::Statement | Reach::Texts => treatment,
                    };
                }
                treatment
            }
        }
    }

    fn is_discharged(&self, construct: &Construct) -> bool {
        construct.function.as_ref().is_some_and(|name| self.protection.functions.contains(name))
            || (construct.reach != Reach::Statement && !self.set.has_data())
    }

    fn opaque(&self, constructs: &[Arc<Construct>], out: &mut Guarded) -> Result<(), Refusal> {
        let open = || constructs.iter().filter(|c| c.reach == Reach::Anything && !self.is_discharged(c));
        if self.protection.opaque == Opaque::Refuse
            && !self.has_defined
            && let Some(refusal) = absence(open())
        {
            return Err(refusal);
        }
        for construct in open() {
            if self.protection.opaque == Opaque::Refuse {
                return Err(Refusal::new("opaque", refusal_of(construct)));
            }
            out.touches_protected = true;
            if !out.opaque.contains(&construct.what) {
                out.opaque.push(Arc::clone(&construct.what));
            }
        }
        Ok(())
    }

    fn copy(&self, statement: &StatementInfo) -> Result<(), Refusal> {
        match statement.copy.as_ref().map(|copy| copy.direction) {
            Some(CopyDirection::OutOfServer | CopyDirection::IntoServer) => Err(Refusal::new(
                "copy-file",
                "COPY to or from a file or program of the server is refused; use COPY … TO STDOUT or FROM STDIN",
            )),
            _ => Ok(()),
        }
    }

    fn assigned(&self, columns: &[ColumnName]) -> Result<(), Refusal> {
        if self.protection.writes == Writes::Allow {
            return Ok(());
        }
        match columns.iter().find(|column| self.set.treatment(column).is_some()) {
            Some(column) => Err(Refusal::new(
                "protected-write",
                format!("column {column} is protected: writing a masked value back would destroy it; leave it out"),
            )),
            None => Ok(()),
        }
    }

    /// Values may flow into what hides them at least as well.
    fn sink(&self, sink: &Sink, touches: bool) -> Result<(), Refusal> {
        let value = self.treatment(&sink.value, touches);
        if value.is_keep() {
            return Ok(());
        }
        let target = sink
            .target
            .iter()
            .filter_map(|column| self.set.lasting(column))
            .fold(Treatment::Keep, |joined, treatment| join(&joined, treatment));
        if !sink.target.is_empty() && join(&target, &value) == target {
            return Ok(());
        }
        let origin = sink.value.origins.iter().find(|origin| self.set.treatment(origin).is_some());
        let origin = origin.map_or_else(|| "a protected column".to_owned(), ToString::to_string);
        let message = match &sink.by {
            Some(name) if self.protection.functions.contains(name) => return Ok(()),
            Some(name) => format!(
                "the trigger function {name}() puts protected column {origin} into {}; ask for \"{name}\" to be listed in the \
                 policy's `functions`, or do without it",
                sink.place
            ),
            None => format!("protected column {origin} must not flow into {}; leave it out", sink.place),
        };
        Err(Refusal::new("laundering", message))
    }

    fn inference(&self, uses: &[ColumnUse], out: &mut Guarded) -> Result<(), Refusal> {
        let asks = |used: &&ColumnUse| {
            !matches!(used.usage, Usage::Projected | Usage::Written)
                && !crate::catalog::is_system_schema(&used.column.schema)
                && self.set.treatment(&used.column).is_some()
        };
        for used in uses.iter().filter(asks) {
            if self.protection.inference == Inference::Refuse {
                let what = match used.usage {
                    Usage::Computed => "computed with",
                    usage => usage.name(),
                };
                let message = format!(
                    "protected column {} is {what} here, which would tell its values; use it in the target list only, \
                     as it is or counted",
                    used.column,
                );
                return Err(Refusal::new("inference", message));
            }
            out.inference.push(used.clone());
        }
        Ok(())
    }
}

/// What a derived value of a protected column becomes.
const REDACT: Treatment = Treatment::Mask(Masker::Redact);

fn plan(column: &OutputColumn, treatment: Treatment) -> ColumnPlan {
    ColumnPlan { treatment, origins: column.origins.clone(), certainty: column.certainty }
}

/// What the server would say where all that cannot be followed is not there at all.
pub(crate) fn absence<'c>(mut open: impl Iterator<Item = &'c Arc<Construct>>) -> Option<Refusal> {
    let first = open.next()?;
    let rule = match first.absent? {
        Absent::Relation => "unknown-relation",
        Absent::Function => "unknown-function",
    };
    let is_all = open.all(|construct| construct.absent.is_some());
    is_all.then(|| Refusal::new(rule, format!("{} does not exist", first.what)))
}

fn refusal_of(construct: &Construct) -> String {
    match &construct.function {
        Some(name) => format!(
            "{} cannot be followed and may read protected data; ask for \"{name}\" to be listed in the policy's `functions`, or do without it",
            construct.what
        ),
        None => format!("{} cannot be followed and may read protected data; do without it", construct.what),
    }
}
