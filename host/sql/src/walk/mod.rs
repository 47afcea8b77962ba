//! The walker: goes through a parse tree once and notes what it does, reads, writes and returns. Each node kind is
//! either followed or noted as a construct that could not be followed; nothing is passed over.

mod attached;
mod columns;
mod created;
mod ddl;
mod dml;
mod expand;
mod expr;
mod filter;
mod from;
mod functions;
#[cfg(test)]
mod kinds;
mod names;
mod output_names;
#[cfg(test)]
mod planted;
mod plpgsql;
mod select;
mod session;
#[cfg(test)]
mod tests;
mod utility;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use grille_policy::{
    Access, Certainty, ColumnUse, Effect, FunctionUse, RelationName, RelationUse, StatementFacts, Usage, Write,
};
use pg_raw_parse::nodes::{CommonTableExpr, SubLink};

pub(crate) use attached::Noted;
pub(crate) use created::Created;
pub(crate) use utility::{Rows, Told};
pub(crate) use view::ViewMeaning;

use crate::analysis::{Absent, Construct, Detail, Reach, Restriction, SessionEffect, Sink};
use crate::catalog::{Attachment, Catalog};
use crate::limits::{Budget, Stop, Walk};
use crate::lineage::{ColumnId, Flow, Named};
use crate::{CopyInfo, Output, OutputColumn};

/// One walk over one statement, or over the definition of a view or function that it uses.
pub(crate) struct Walker<'a> {
    pub(crate) catalog: &'a Catalog,
    /// The schemas of unqualified names.
    path: &'a [String],
    /// Those of texts that are looked up when they run: the bodies of functions without a path of their own.
    late_path: &'a [String],
    budget: &'a Budget,
    /// Tables that earlier statements of the text make.
    pub(crate) earlier: &'a [Created],
    depth: u32,
    depth_max: u32,
    frames: Vec<Frame<'a>>,
    /// The frame that names are looked up in, as a place in `frames`; none outside any query.
    here: Option<usize>,
    /// Whether what is left of the current FROM item can be seen too.
    lateral: bool,
    /// The clause that a column found now counts for; none where only its further use decides.
    clause: Option<Usage>,
    /// The arguments of the SQL function whose body this is.
    arguments: Vec<Named>,
    /// Views and functions being expanded, so that none is entered twice.
    active: Vec<Active>,
    /// Sub-selects whose rows, as an array, hold nothing but one plain column.
    plain_arrays: Vec<*const SubLink>,
    /// How often a column of the row that a statement writes was met.
    target_references: u32,
    pub(crate) found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Active {
    View(u32),
    Function(Arc<str>),
    /// By its place in the catalog.
    Attached(*const Attachment),
}

/// What one query can name.
struct Frame<'a> {
    parent: Option<usize>,
    /// Whether the parent's unfinished FROM list can be seen from here.
    sees_unfinished: bool,
    items: Vec<Item<'a>>,
    /// FROM items so far, while the list is being walked.
    unfinished: Vec<Item<'a>>,
    ctes: Vec<Cte<'a>>,
}

/// One thing in a FROM list.
#[derive(Clone)]
struct Item<'a> {
    /// The name that qualifies its columns; none for the columns of a join.
    name: Option<&'a str>,
    /// The relation, if the item is one under its own name or an alias.
    relation: Option<u32>,
    is_aliased: bool,
    columns: Columns,
    /// Whether unqualified names find its columns.
    shows_columns: bool,
    /// Whether it is the relation that the statement writes.
    is_target: bool,
    /// Whether an alias gives its columns other names.
    is_renamed: bool,
}

#[derive(Clone)]
pub(crate) enum Columns {
    /// The columns of a base relation, each exactly itself.
    Relation(u32),
    List(Arc<[Named]>),
    /// Nobody knows which; each is this.
    Any(Box<Flow>),
}

struct Cte<'a> {
    name: &'a str,
    node: &'a CommonTableExpr,
    is_recursive: bool,
    state: CteState,
}

enum CteState {
    Pending,
    /// Being walked, with what is known of its columns so far.
    Active(Option<Columns>, bool),
    Done(Columns),
}

/// What a walk noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    kinds: Vec<&'static str>,
    effects: Vec<Effect>,
    named: Vec<RelationUse>,
    reached: Vec<u32>,
    uses: Vec<(ColumnId, Usage)>,
    /// What conditions of views and policies on rows are made of: nobody asks by them, but a plan shows them.
    shown_by_plans: Vec<ColumnId>,
    functions: Vec<FunctionUse>,
    writes: Vec<Write>,
    constructs: Vec<Arc<Construct>>,
    sinks: Vec<FlowSink>,
    assigned: Vec<ColumnId>,
    restrictions: Vec<Restriction>,
    relabelled: Vec<(RelationName, &'static str)>,
    runs: Option<Arc<str>>,
    keeps: Option<Arc<str>>,
    reaches_all: bool,
    /// A function's body is a text whose names are looked up when it runs.
    is_late: bool,
    pub(crate) missing: Vec<Arc<str>>,
    pub(crate) session: Vec<SessionEffect>,
    pub(crate) copy: Option<CopyInfo>,
    pub(crate) created: Option<Created>,
}

#[derive(Debug, Clone)]
struct FlowSink {
    place: Arc<str>,
    target: Flow,
    value: Flow,
    /// The trigger function that puts it there, which people may vouch for.
    by: Option<Arc<str>>,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(catalog: &'a Catalog, path: &'a [String], budget: &'a Budget, depth_max: u32) -> Self {
        Self {
            catalog,
            path,
            late_path: path,
            budget,
            earlier: &[],
            depth: 0,
            depth_max,
            frames: Vec::new(),
            here: None,
            lateral: false,
            clause: None,
            arguments: Vec::new(),
            active: Vec::new(),
            plain_arrays: Vec::new(),
            target_references: 0,
            found: Found::default(),
        }
    }

    /// Goes one level deeper.
    fn deeper<T>(&mut self, walk: impl FnOnce(&mut Self) -> Walk<T>) -> Walk<T> {
        if self.depth >= self.depth_max {
            return Err(Stop::Depth);
        }
        self.budget.spend(1)?;
        self.depth += 1;
        let result = walk(self);
        self.depth -= 1;
        result
    }

    /// Walks with columns counting for that clause.
    fn in_clause<T>(&mut self, clause: Option<Usage>, walk: impl FnOnce(&mut Self) -> Walk<T>) -> Walk<T> {
        let outer = std::mem::replace(&mut self.clause, clause);
        let result = walk(self);
        self.clause = outer;
        result
    }

    /// Notes that something could not be followed.
    fn construct(&mut self, what: impl Into<Arc<str>>, function: Option<Arc<str>>, reach: Reach) -> Flow {
        self.constructed(Construct { what: what.into(), function, reach, absent: None })
    }

    /// Notes something that is not there. Where the path is not known, something else may be what is meant.
    fn absent(&mut self, kind: Absent, schema: Option<&str>, what: String, function: Option<Arc<str>>) -> Flow {
        // Of the server's own schemas the catalog does not hold everything.
        let is_sure = schema.map_or(!self.path.is_empty(), |schema| !schema.starts_with("pg_"));
        let absent = is_sure.then_some(kind);
        self.constructed(Construct { what: what.into(), function, reach: Reach::Anything, absent })
    }

    fn constructed(&mut self, construct: Construct) -> Flow {
        let shared = match self.found.constructs.iter().find(|known| ***known == construct) {
            Some(known) => Arc::clone(known),
            None => {
                let shared = Arc::new(construct);
                self.found.constructs.push(Arc::clone(&shared));
                shared
            }
        };
        Flow::unknown(shared)
    }

    /// Notes what a masked session must not do.
    fn restrict(&mut self, rule: &'static str, message: impl Into<Arc<str>>) {
        self.found.restrictions.push(Restriction { rule, message: message.into() });
    }

    fn effect(&mut self, effect: Effect) {
        if !self.found.effects.contains(&effect) {
            self.found.effects.push(effect);
        }
    }

    fn kind(&mut self, kind: &'static str) {
        if !self.found.kinds.contains(&kind) {
            self.found.kinds.push(kind);
        }
    }

    /// Notes that a value counts for a clause.
    fn used(&mut self, flow: &Flow, clause: Option<Usage>) {
        if let Some(clause) = clause {
            self.found.uses.extend(flow.origins.as_slice().iter().map(|&id| (id, clause)));
        }
    }

    /// Notes that something is computed of a value that tells it: in a clause it counts for that clause anyway.
    fn computed(&mut self, flow: &Flow) {
        if matches!(self.clause, None | Some(Usage::Projected)) {
            self.used(flow, Some(Usage::Computed));
        }
    }

    fn sink(&mut self, place: impl Into<Arc<str>>, target: &Flow, value: &Flow) {
        if value.origins.as_slice().is_empty() && value.constructs.is_empty() {
            return;
        }
        self.found.sinks.push(FlowSink { place: place.into(), target: target.clone(), value: value.clone(), by: None });
    }

    fn named(&mut self, relation: RelationName, access: Access) {
        self.found.named.push(RelationUse { relation, access });
    }

    fn missing(&mut self, name: impl Into<Arc<str>>) {
        let name = name.into();
        if !self.found.missing.contains(&name) {
            self.found.missing.push(name);
        }
    }

    /// What a statement returns, as others see it.
    pub(crate) fn output(&self, columns: &Columns, found: &Found) -> Output {
        match self.all_columns(columns) {
            Some(all) => {
                let columns = all.iter().map(|c| found.column(self.catalog, Arc::clone(&c.name), &c.flow));
                Output::Rows(columns.collect())
            }
            None => Output::Unknown,
        }
    }
}

impl Found {
    fn column(&self, catalog: &Catalog, name: Arc<str>, flow: &Flow) -> OutputColumn {
        let mut origins: Vec<_> = flow.origins.as_slice().iter().map(|&id| catalog.column_name(id)).collect();
        origins.sort();
        OutputColumn { name, origins, certainty: flow.certainty, constructs: flow.constructs.clone() }
    }

    /// Adds what a walk over something inside noted.
    fn absorb(&mut self, other: Self) {
        self.kinds.extend(other.kinds);
        self.effects.extend(other.effects);
        self.named.extend(other.named);
        self.reached.extend(other.reached);
        self.uses.extend(other.uses);
        self.shown_by_plans.extend(other.shown_by_plans);
        self.functions.extend(other.functions);
        self.writes.extend(other.writes);
        for construct in other.constructs {
            if !self.constructs.contains(&construct) {
                self.constructs.push(construct);
            }
        }
        self.sinks.extend(other.sinks);
        self.assigned.extend(other.assigned);
        self.restrictions.extend(other.restrictions);
        self.relabelled.extend(other.relabelled);
        self.missing.extend(other.missing);
        self.session.extend(other.session);
        self.is_late |= other.is_late;
        self.runs = self.runs.take().or(other.runs);
        self.keeps = self.keeps.take().or(other.keeps);
        self.reaches_all |= other.reaches_all;
        self.copy = self.copy.take().or(other.copy);
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        let mut effects = self.effects.clone();
        effects.sort();
        effects.dedup();
        effects
    }

    /// What policies see.
    pub(crate) fn facts(&self, catalog: &Catalog) -> StatementFacts {
        let mut facts = StatementFacts {
            kinds: self.kinds.iter().map(|&kind| kind.into()).collect(),
            effects: self.effects.clone(),
            relations: self.named.clone(),
            columns: self.column_uses(catalog),
            functions: self.functions.clone(),
            writes: self.writes.clone(),
            unknown: self
                .constructs
                .iter()
                .filter(|construct| construct.reach != Reach::Texts)
                .map(|construct| Arc::clone(&construct.what))
                .collect(),
            ..StatementFacts::default()
        };
        crate::facts::tidy(&mut facts);
        facts
    }

    fn column_uses(&self, catalog: &Catalog) -> Vec<ColumnUse> {
        let mut uses = self.uses.clone();
        uses.extend(self.assigned.iter().map(|&id| (id, Usage::Written)));
        uses.sort();
        uses.dedup();
        uses.into_iter().map(|(id, usage)| ColumnUse { column: catalog.column_name(id), usage }).collect()
    }

    pub(crate) fn detail(&self, catalog: &Catalog) -> Detail {
        let mut reached = BTreeSet::new();
        for &id in &self.reached {
            catalog.collect_beneath(id, &mut reached);
        }
        let mut reached: Vec<_> = reached.into_iter().map(|id| catalog.relation(id).full_name()).collect();
        reached.sort();
        let names = |ids: &[ColumnId]| ids.iter().map(|&id| catalog.column_name(id)).collect::<Vec<_>>();
        let sinks = self.sinks.iter().map(|sink| Sink {
            place: Arc::clone(&sink.place),
            target: names(sink.target.origins.as_slice()),
            value: self.column(catalog, Arc::clone(&sink.place), &sink.value),
            by: sink.by.clone(),
        });
        let mut assigned = self.assigned.clone();
        assigned.sort_unstable();
        assigned.dedup();
        let mut named = self.named.clone();
        named.sort();
        named.dedup();
        Detail {
            named,
            unresolved: self.missing.iter().find_map(|name| name.strip_prefix("relation ")).map(Arc::from),
            reaches_all: self.reaches_all,
            is_late: self.is_late,
            reached,
            uses: self.column_uses(catalog),
            sinks: sinks.collect(),
            assigned: names(&assigned),
            constructs: self.constructs.clone(),
            restrictions: self.restrictions.clone(),
            relabelled: self.relabelled.clone(),
            runs: self.runs.clone(),
            keeps: self.keeps.clone(),
        }
    }
}

/// The certainty of a value that is no plain column: at best derived.
fn at_best_derived(flow: &Flow) -> Flow {
    Flow { certainty: flow.certainty.max(Certainty::Derived), fields: None, ..flow.clone() }
}
