//! What is attached to relations and types: the server computes it by itself when rows are read or written.

use std::sync::Arc;

use grille_policy::Usage;
use pg_raw_parse::Node;

use super::columns::column_id;
use super::plpgsql::{self, Step};
use super::{Active, Columns, Found, Item, Walker};
use crate::analysis::{Construct, Reach, SessionEffect};
use crate::catalog::{Attachment, Events, Function, Trigger};
use crate::golden;
use crate::limits::{EXPANSION_DEPTH, Walk};
use crate::lineage::{ColumnId, Flow, Named};

/// What a text that the server keeps means.
#[derive(Debug)]
pub(crate) struct Noted {
    /// Its value.
    flow: Flow,
    found: Found,
}

impl<'a> Walker<'a> {
    /// What runs besides when rows of the relation are written, wherever the server writes them then.
    pub(super) fn attached(&mut self, id: u32, events: Events) -> Walk<()> {
        let (mut seen, mut open) = (Vec::new(), vec![(id, events)]);
        while let Some((id, events)) = open.pop() {
            if seen.contains(&(id, events)) {
                continue;
            }
            seen.push((id, events));
            self.budget.spend(1)?;
            let catalog = self.catalog;
            let relation = catalog.relation(id);
            if relation.has_rules {
                self.construct(format!("the rules of {}", relation.full_name()), None, Reach::Anything);
            }
            open.extend(relation.children.iter().map(|&child| (child, events)));
            if relation.definition.is_some() {
                open.extend(self.view_meaning(id)?.reached.iter().map(|&base| (base, events)));
            }
            if events.has(Events::UPDATE.and(Events::DELETE).and(Events::TRUNCATE)) {
                let is_along = |&&(_, changes): &&(u32, bool)| changes || events.has(Events::TRUNCATE);
                let along = events.and(Events::UPDATE).and(Events::DELETE);
                open.extend(
                    relation.attached.followers.iter().filter(is_along).map(|&(follower, _)| (follower, along)),
                );
            }
            if events.has(Events::INSERT.and(Events::UPDATE)) {
                self.checks(id)?;
            }
            for trigger in relation.attached.triggers.iter().filter(|trigger| trigger.events.has(events)) {
                self.trigger(id, trigger)?;
            }
        }
        Ok(())
    }

    /// What policies on the relation's rows compute.
    pub(super) fn row_policies(&mut self, id: u32) -> Walk<()> {
        let catalog = self.catalog;
        catalog.relation(id).attached.policies.iter().try_for_each(|policy| self.asked(policy, &["this"], Some(id)))
    }

    /// What is computed of each new row of the relation.
    pub(super) fn checks(&mut self, id: u32) -> Walk<()> {
        let catalog = self.catalog;
        let relation = catalog.relation(id);
        for check in &relation.attached.checks {
            self.asked(check, &["this"], Some(id))?;
        }
        for (_, expression) in &relation.generated {
            // What it is made of, the protected set knows.
            self.asked(expression, &["this"], Some(id))?;
        }
        relation.columns.iter().try_for_each(|column| {
            self.cast_to(column.type_oid);
            self.tried_by_type(column.type_oid)
        })
    }

    /// What the domains in a type try values by.
    pub(super) fn tried_by_type(&mut self, type_oid: u32) -> Walk<()> {
        let catalog = self.catalog;
        let mut checks = catalog.domains_of(type_oid).into_iter().flat_map(|domain| &domain.checks);
        checks.try_for_each(|check| self.asked(check, &[], None))
    }

    /// The columns of a new row that are given no value, with what they are filled with.
    pub(super) fn filled(&mut self, id: u32, is_given: impl Fn(&str) -> bool) -> Walk<Vec<Named>> {
        let catalog = self.catalog;
        let mut ids = vec![id];
        let mut filled = Vec::new();
        while let Some(id) = ids.pop() {
            let relation = catalog.relation(id);
            if relation.definition.is_some() {
                ids.extend(&self.view_meaning(id)?.reached);
            }
            for (place, column) in relation.columns.iter().enumerate() {
                if is_given(&column.name) {
                    continue;
                }
                let own = relation.attached.defaults.iter().find(|(own, _)| *own == place).map(|(_, default)| default);
                let Some(default) = own.or_else(|| catalog.type_default(column.type_oid)) else { continue };
                let flow = self.value_of(default)?;
                let name = relation.column_name(&column.name);
                self.sink(format!("column {name} by its default"), &Flow::column(column_id(id, place)), &flow);
                filled.push(Named { name: Arc::clone(&column.name), flow });
            }
        }
        Ok(filled)
    }

    /// What runs when definitions change. It sees no rows, so that only its texts could tell a value.
    pub(super) fn on_definitions(&mut self) {
        let catalog = self.catalog;
        for &function in &catalog.on_definitions {
            let name = catalog.function_by_oid(function).map(full_name).unwrap_or_default();
            self.construct(format!("the event trigger function {name}()"), Some(name.into()), Reach::Texts);
        }
    }

    /// The value of a default.
    pub(super) fn value_of(&mut self, default: &'a Attachment) -> Walk<Flow> {
        let noted =
            self.noted(default, true, |inner| inner.kept_query(&format!("SELECT {}", default.text), &[], None))?;
        let Some(noted) = noted else { return Ok(Flow::computed()) };
        self.found.absorb(noted.found.clone());
        Ok(noted.flow.clone())
    }

    /// Something that only says yes or no, so that nothing but a text of an error or a notice tells what it read.
    fn asked(&mut self, what: &'a Attachment, rows: &[&'static str], id: Option<u32>) -> Walk<()> {
        let noted = self.noted(what, true, |inner| {
            let flow = inner.kept_query(&format!("SELECT {}", what.text), rows, id)?;
            inner.found.only_tells();
            Ok(flow)
        })?;
        if let Some(noted) = noted {
            self.found.absorb(noted.found.clone());
        }
        Ok(())
    }

    fn trigger(&mut self, id: u32, trigger: &'a Trigger) -> Walk<()> {
        let function = self.catalog.function_by_oid(trigger.function);
        let is_pinned = function.is_none_or(|function| function.path.is_some() || function.definition.is_none());
        let noted = self.noted(&trigger.definition, is_pinned, |inner| {
            inner.trigger_condition(id, trigger)?;
            inner.found.only_tells();
            let told = std::mem::take(&mut inner.found);
            inner.trigger_function(id, trigger)?;
            inner.found.absorb(told);
            Ok(Flow::computed())
        })?;
        if let Some(noted) = noted {
            self.found.absorb(noted.found.clone());
        }
        Ok(())
    }

    fn trigger_condition(&mut self, id: u32, trigger: &Trigger) -> Walk<()> {
        if trigger.definition.text.is_empty() {
            return Ok(());
        }
        let parsed = pg_raw_parse::parse(&trigger.definition.text).ok();
        match parsed.as_ref().and_then(|parsed| parsed.stmts().next()) {
            Some(Node::CreateTrigStmt(create)) => {
                let mut inner = self.inner(self.path, &[]);
                inner.framed(None, |walker| {
                    let columns = walker.relation_columns(id)?;
                    walker.show(rows(id, &["new", "old"], columns));
                    walker.expression(create.when_clause())
                })?;
                let found = std::mem::take(&mut inner.found);
                self.found.absorb(found);
            }
            _ => drop(self.construct("the condition of a trigger", None, Reach::Anything)),
        }
        Ok(())
    }

    fn trigger_function(&mut self, id: u32, trigger: &Trigger) -> Walk<()> {
        let relation = self.catalog.relation(id).full_name();
        let Some(function) = self.catalog.function_by_oid(trigger.function) else {
            self.construct(format!("a trigger of {relation}"), None, Reach::Anything);
            return Ok(());
        };
        if golden::is_harmless_trigger(function) {
            return Ok(());
        }
        let name: Arc<str> = full_name(function).into();
        let is_plain = &*function.language == "plpgsql" && !trigger.sees_tables;
        let body = function.definition.as_deref().filter(|_| is_plain);
        if let (Some(path), Some(body)) = (self.path_of(function), body)
            && let Some(steps) = plpgsql::steps(body)
        {
            self.budget.spend(body.len())?;
            let mut inner = self.inner(path, path);
            let is_followed = steps.iter().try_fold(true, |all, step| Ok(all && inner.step(id, step)?))?;
            let mut found = std::mem::take(&mut inner.found);
            if is_followed {
                for sink in &mut found.sinks {
                    sink.by.get_or_insert_with(|| Arc::clone(&name));
                }
                // What the body's names mean is for each session to say.
                let is_late =
                    function.path.is_none() && (found.calls_own() || found.reached.iter().any(|&at| at != id));
                self.found.absorb(found);
                self.found.is_late |= is_late;
                return Ok(());
            }
        }
        self.construct(format!("the trigger function {name}() of {relation}"), Some(name), Reach::Anything);
        Ok(())
    }

    /// One step of a trigger's body; false if it is not followed.
    fn step(&mut self, id: u32, step: &Step) -> Walk<bool> {
        match step {
            Step::Assign(column, value) => {
                let flow = self.kept_query(value, &["new", "old"], Some(id))?;
                let columns = self.relation_columns(id)?;
                let target = self.column_in(&columns, column).unwrap_or_else(Flow::constant);
                let relation = self.catalog.relation(id).full_name();
                self.sink(format!("column {relation}.{column} by a trigger"), &target, &flow);
                Ok(true)
            }
            Step::Compute(query) => self.kept_query(query, &["new", "old"], Some(id)).map(|_| true),
            Step::Change(text) => {
                let Ok(parsed) = pg_raw_parse::parse(text) else { return Ok(false) };
                let mut statements = parsed.stmts();
                let Some(node @ (Node::InsertStmt(_) | Node::UpdateStmt(_) | Node::DeleteStmt(_))) = statements.next()
                else {
                    return Ok(false);
                };
                if statements.next().is_some() {
                    return Ok(false);
                }
                self.over_row(node, &["new", "old"], Some(id))?;
                Ok(true)
            }
        }
    }

    /// The value of a query that sees a row of the relation under these names.
    fn kept_query(&mut self, text: &str, names: &[&'static str], id: Option<u32>) -> Walk<Flow> {
        self.budget.spend(text.len())?;
        let parsed = pg_raw_parse::parse(text).ok();
        let mut statements = parsed.iter().flat_map(|parsed| parsed.stmts());
        match (statements.next(), statements.next()) {
            (Some(node @ Node::SelectStmt(select)), None) if select.into_clause().is_none() => {
                self.over_row(node, names, id)
            }
            _ => Ok(self.construct(format!("the definition \"{text}\""), None, Reach::Anything)),
        }
    }

    /// Walks a query over a row of the relation; what triggers and domains can name besides says nothing.
    fn over_row(&mut self, node: Node<'_>, names: &[&'static str], id: Option<u32>) -> Walk<Flow> {
        let mut inner = self.inner(self.path, self.late_path);
        let flow = inner.framed(None, |walker| {
            let known = KNOWN_BY_NAME.iter().map(|&name| Named { name: name.into(), flow: Flow::constant() });
            walker.show(vec![Item::list(None, known.collect::<Vec<_>>())]);
            walker.framed(None, |walker| {
                if let Some(id) = id {
                    let columns = walker.relation_columns(id)?;
                    walker.show(rows(id, names, columns));
                }
                let columns = walker.query(node, None)?;
                Ok(match walker.all_columns(&columns).as_deref() {
                    Some([only]) => only.flow.clone(),
                    _ => super::at_best_derived(&walker.whole_row(&columns)),
                })
            })
        })?;
        let found = std::mem::take(&mut inner.found);
        self.found.absorb(found);
        Ok(flow)
    }

    /// What an attachment means, worked out once unless that hangs on the session; none if it is being worked out.
    fn noted(
        &self,
        what: &'a Attachment,
        is_pinned: bool,
        walk: impl FnOnce(&mut Self) -> Walk<Flow>,
    ) -> Walk<Option<Arc<Noted>>> {
        if let Some(known) = what.meaning.get().filter(|_| self.has_usual_path()) {
            return Ok(Some(Arc::clone(known)));
        }
        let active = Active::Attached(what);
        if self.active.contains(&active) {
            return Ok(None);
        }
        let is_whole = !self.active.iter().any(|active| matches!(active, Active::Attached(_)));
        let is_too_deep = self.active.len() >= EXPANSION_DEPTH;
        let mut inner = Walker {
            late_path: self.late_path,
            active: [&self.active[..], &[active]].concat(),
            depth: self.depth,
            ..Walker::new(self.catalog, &self.catalog.path, self.budget, self.depth_max)
        };
        let flow = match is_too_deep {
            true => inner.construct("what is attached to tables that write each other", None, Reach::Anything),
            false => inner.deeper(walk)?,
        };
        let noted = Arc::new(Noted { flow, found: std::mem::take(&mut inner.found).beneath() });
        Ok(Some(match is_pinned && is_whole && !noted.found.is_late {
            true => Arc::clone(what.meaning.get_or_init(|| noted)),
            false => noted,
        }))
    }

    /// A walker over a text of its own.
    fn inner<'i>(&self, path: &'i [String], late_path: &'i [String]) -> Walker<'i>
    where
        'a: 'i,
    {
        Walker {
            late_path,
            active: self.active.clone(),
            depth: self.depth,
            ..Walker::new(self.catalog, path, self.budget, self.depth_max)
        }
    }
}

impl Found {
    /// What counts of something that lies beneath a statement: not what it names, and not what kind it is.
    fn beneath(mut self) -> Self {
        let mut session = std::mem::take(&mut self.session);
        // Who listens is the listeners' matter.
        session.retain(|effect| !matches!(effect, SessionEffect::Notify));
        let mut constructs = std::mem::take(&mut self.constructs);
        for construct in &mut constructs {
            if let Some(Construct { what, function, reach, absent: Some(_) }) = Some(&**construct) {
                let (what, function) = (Arc::clone(what), function.clone());
                *construct = Arc::new(Construct { what, function, reach: *reach, absent: None });
            }
        }
        if !session.is_empty() {
            let what = "what is attached to a table and changes the session".into();
            constructs.push(Arc::new(Construct { what, function: None, reach: Reach::Anything, absent: None }));
            session = vec![SessionEffect::Unfollowed];
        }
        Self {
            shown_by_plans: self.plan_columns(),
            reached: self.reached,
            constructs,
            sinks: self.sinks,
            reaches_all: self.reaches_all,
            is_late: self.is_late,
            session,
            ..Self::default()
        }
    }

    /// The columns that stand in conditions, or are computed with.
    pub(super) fn plan_columns(&self) -> Vec<ColumnId> {
        let used = self.uses.iter().filter(|(_, usage)| *usage != Usage::Projected).map(|&(id, _)| id);
        let mut columns: Vec<ColumnId> = used.chain(self.shown_by_plans.iter().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Whether it calls what the server did not bring along.
    pub(super) fn calls_own(&self) -> bool {
        self.functions.iter().any(|function| !function.name.starts_with("pg_catalog."))
    }

    /// Only texts tell what could not be followed.
    fn only_tells(&mut self) {
        for construct in &mut self.constructs {
            let Construct { what, function, absent, .. } = &**construct;
            let (what, function, absent) = (Arc::clone(what), function.clone(), *absent);
            *construct = Arc::new(Construct { what, function, reach: Reach::Texts, absent });
        }
    }
}

/// What is no column, in a trigger's body and in the check of a domain.
const KNOWN_BY_NAME: [&str; 12] = [
    "found",
    "tg_argv",
    "tg_level",
    "tg_name",
    "tg_nargs",
    "tg_op",
    "tg_relid",
    "tg_relname",
    "tg_table_name",
    "tg_table_schema",
    "tg_when",
    "value",
];

/// The row of a relation under several names; by its bare columns only where it is the one.
fn rows<'i>(id: u32, names: &[&'static str], columns: Columns) -> Vec<Item<'i>> {
    let row = |name: &&'static str| Item {
        name: Some(name),
        relation: Some(id),
        is_aliased: true,
        columns: columns.clone(),
        shows_columns: names.len() == 1,
        is_target: false,
        is_renamed: false,
    };
    names.iter().map(row).collect()
}

fn full_name(function: &Function) -> String {
    format!("{}.{}", function.schema, function.name)
}
