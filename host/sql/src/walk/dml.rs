//! INSERT, UPDATE, DELETE and MERGE, at the top or inside a WITH.

use std::sync::Arc;

use grille_policy::{Access, Effect, Filter, Usage, Write};
use pg_raw_parse::nodes::{
    DeleteStmt, InsertStmt, MergeStmt, OnConflictClause, RangeVar, ResTarget, ReturningClause, SelectStmt, UpdateStmt,
};
use pg_raw_parse::{Node, raw};

use super::expr::is_star;
use super::from::{alias_of, range_text};
use super::{Columns, Item, Walker};
use crate::analysis::Absent;
use crate::catalog::Events;
use crate::limits::Walk;
use crate::lineage::{ColumnId, Flow, Named};

impl<'a> Walker<'a> {
    /// The relation that is written, as the item that its columns are named by.
    pub(super) fn target(&mut self, range: &'a RangeVar, events: Events) -> Walk<Item<'a>> {
        let (alias, _) = alias_of(range.alias());
        let relation = self.relation_id(range);
        let created = if relation.is_none() { self.created(range) } else { None };
        let name = created.as_ref().map_or_else(|| self.relation_name(range), |(name, _)| name.clone());
        self.named(name.clone(), Access::Write);
        let columns = match relation {
            Some(id) => {
                self.attached(id, events)?;
                self.relation_columns(id)?
            }
            None if created.is_some() => created.map_or_else(no_columns, |(_, columns)| columns),
            None => {
                self.missing(format!("relation {}", range_text(range)));
                let what = format!("relation \"{}\"", range_text(range));
                Columns::Any(Box::new(self.absent(Absent::Relation, range.schemaname(), what, None)))
            }
        };
        Ok(Item {
            name: Some(alias.or_else(|| range.relname()).unwrap_or_default()),
            relation,
            is_aliased: alias.is_some(),
            columns,
            shows_columns: true,
            is_target: true,
            is_renamed: false,
        })
    }

    fn wrote(&mut self, kind: &'static str, range: &RangeVar, filter: Filter) {
        self.effect(Effect::Write);
        let relation = self.relation_name(range);
        self.found.writes.push(Write { kind: kind.into(), relation, filter });
    }

    pub(super) fn insert(&mut self, insert: &'a InsertStmt, projecting: Option<Usage>) -> Walk<Columns> {
        self.kind("INSERT");
        let Some(range) = insert.relation() else { return Ok(no_columns()) };
        self.framed(insert.with_clause(), |walker| {
            let source = match insert.select_stmt() {
                Node::None => None,
                Node::SelectStmt(select) if is_plain_values(select) => {
                    Some(walker.in_clause(None, |walker| walker.framed(None, |w| w.values_only(select)))?)
                }
                node => Some(walker.query(node, None)?),
            };
            let updates = insert.on_conflict_clause().is_some_and(updates);
            let events = if updates { Events::INSERT.and(Events::UPDATE) } else { Events::INSERT };
            let target = walker.target(range, events)?;
            walker.wrote("INSERT", range, Filter::Absent);
            let excluded = walker.inserted(insert, range, &target, source.as_ref())?;
            if let Some(conflict) = insert.on_conflict_clause() {
                let excluded = Item { shows_columns: false, ..Item::list(Some("excluded"), excluded) };
                walker.on_conflict(conflict, range, &target, excluded)?;
            }
            walker.show(vec![target]);
            walker.returning(insert.returning_clause(), projecting)
        })
    }

    /// Values flow into the columns that are listed, or into the first ones. Gives what each column receives.
    fn inserted(
        &mut self,
        insert: &'a InsertStmt,
        range: &RangeVar,
        target: &Item<'a>,
        source: Option<&Columns>,
    ) -> Walk<Vec<Named>> {
        let listed: Vec<Arc<str>> = insert
            .cols()
            .iter()
            .filter_map(|node| if let Node::ResTarget(column) = node { column.name().map(Arc::from) } else { None })
            .collect();
        let all = self.all_columns(&target.columns);
        let all: Vec<Arc<str>> = all.iter().flat_map(|all| all.iter().map(|column| Arc::clone(&column.name))).collect();
        let names = if listed.is_empty() { all.clone() } else { listed };
        let Some(source) = source else { return self.unset(target, |_| false) };
        let Some(values) = self.all_columns(source) else {
            let row = self.whole_row(source);
            self.sink(format!("table {}", self.relation_name(range)), &Flow::constant(), &row);
            self.unset(target, |_| false)?;
            return Ok(names.into_iter().map(|name| Named { name, flow: row.clone() }).collect());
        };
        let mut received = Vec::new();
        for (name, value) in names.iter().zip(values.iter()) {
            self.flows_into(range, target, name, &value.flow);
            received.push(Named { name: Arc::clone(name), flow: value.flow.clone() });
        }
        // The other columns receive their defaults.
        let has_words = matches!(insert.select_stmt(), Node::SelectStmt(select) if asks_for_defaults(select));
        let filled = self.unset(target, |name| !has_words && received.iter().any(|column| *column.name == *name))?;
        for column in &mut received {
            if let Some(default) = filled.iter().find(|default| default.name == column.name) {
                column.flow = column.flow.either(&default.flow);
            }
        }
        for default in filled {
            if !received.iter().any(|column| column.name == default.name) {
                received.push(default);
            }
        }
        for name in all {
            if !received.iter().any(|column| column.name == name) {
                received.push(Named { name, flow: Flow::constant() });
            }
        }
        // More values than columns that are known: the server refuses, or the catalog is stale.
        for value in values.iter().skip(names.len()) {
            self.sink(format!("table {}", self.relation_name(range)), &Flow::constant(), &value.flow);
        }
        Ok(received)
    }

    /// The columns of a new row that are not given a value.
    pub(super) fn unset(&mut self, target: &Item<'a>, is_given: impl Fn(&str) -> bool) -> Walk<Vec<Named>> {
        target.relation.map_or_else(|| Ok(Vec::new()), |id| self.filled(id, is_given))
    }

    fn flows_into(&mut self, range: &RangeVar, target: &Item<'a>, column: &str, value: &Flow) -> Flow {
        let place = format!("column {}.{column}", self.relation_name(range));
        let stored = self.column_in(&target.columns, column).unwrap_or_else(Flow::constant);
        self.sink(place, &stored, value);
        self.compared(&stored);
        stored
    }

    /// Notes the columns whose stored values an index compares a new one with.
    pub(super) fn compared(&mut self, columns: &Flow) {
        let is_compared = |id: &ColumnId| {
            let stored = self.catalog.relation(id.relation).columns.get(usize::from(id.column));
            stored.is_some_and(|column| column.is_compared)
        };
        let compared: Vec<ColumnId> = columns.origins.as_slice().iter().copied().filter(is_compared).collect();
        self.found.uses.extend(compared.into_iter().map(|id| (id, Usage::Joined)));
    }

    fn on_conflict(
        &mut self,
        conflict: &'a OnConflictClause,
        range: &'a RangeVar,
        target: &Item<'a>,
        excluded: Item<'a>,
    ) -> Walk<()> {
        self.framed(None, |walker| {
            walker.show(vec![target.clone(), excluded]);
            if let Some(infer) = conflict.infer() {
                walker.in_clause(None, |walker| {
                    for node in infer.index_elems() {
                        if let Node::IndexElem(element) = node {
                            walker.expression(element.expr())?;
                        }
                    }
                    walker.expression(infer.where_clause())
                })?;
            }
            if updates(conflict) {
                walker.assignments(conflict.target_list().iter(), range, target)?;
                walker.condition(conflict.where_clause(), Usage::Filtered)?;
            }
            Ok(())
        })
    }

    pub(super) fn update(&mut self, update: &'a UpdateStmt, projecting: Option<Usage>) -> Walk<Columns> {
        self.kind("UPDATE");
        let Some(range) = update.relation() else { return Ok(no_columns()) };
        self.framed(update.with_clause(), |walker| {
            let target = walker.target(range, Events::UPDATE)?;
            walker.show(vec![target.clone()]);
            walker.range_list(update.from_clause())?;
            walker.assignments(update.target_list().iter(), range, &target)?;
            let filter = walker.filter(update.where_clause(), &target)?;
            walker.wrote("UPDATE", range, filter);
            walker.returning(update.returning_clause(), projecting)
        })
    }

    pub(super) fn delete(&mut self, delete: &'a DeleteStmt, projecting: Option<Usage>) -> Walk<Columns> {
        self.kind("DELETE");
        let Some(range) = delete.relation() else { return Ok(no_columns()) };
        self.framed(delete.with_clause(), |walker| {
            let target = walker.target(range, Events::DELETE)?;
            walker.show(vec![target.clone()]);
            walker.range_list(delete.using_clause())?;
            let filter = walker.filter(delete.where_clause(), &target)?;
            walker.wrote("DELETE", range, filter);
            walker.returning(delete.returning_clause(), projecting)
        })
    }

    pub(super) fn merge(&mut self, merge: &'a MergeStmt, projecting: Option<Usage>) -> Walk<Columns> {
        self.kind("MERGE");
        let Some(range) = merge.relation() else { return Ok(no_columns()) };
        self.framed(merge.with_clause(), |walker| {
            let target = walker.target(range, merged(merge))?;
            let source = walker.range_item(merge.source_relation())?;
            // `*` in RETURNING shows the source first.
            walker.show(source);
            walker.show(vec![target.clone()]);
            let joined = walker.in_clause(Some(Usage::Joined), |w| w.filter(merge.join_condition(), &target))?;
            let mut filter = Filter::Absent;
            for clause in merge.merge_when_clauses() {
                let condition = match clause.condition() {
                    Node::None => Filter::None,
                    node => walker.filter(node, &target)?,
                };
                let changes_rows = matches!(clause.command_type, raw::CmdType::CMD_UPDATE | raw::CmdType::CMD_DELETE);
                if changes_rows {
                    let is_joined = clause.match_kind == raw::MergeMatchKind::MERGE_WHEN_MATCHED;
                    let is_limited = condition == Filter::Effective || (is_joined && joined == Filter::Effective);
                    filter = match (filter, is_limited) {
                        (Filter::None, _) | (_, false) => Filter::None,
                        _ => Filter::Effective,
                    };
                }
                walker.merge_action(clause, range, &target)?;
            }
            walker.wrote("MERGE", range, filter);
            walker.returning(merge.returning_clause(), projecting)
        })
    }

    fn merge_action(
        &mut self,
        clause: &'a pg_raw_parse::nodes::MergeWhenClause,
        range: &'a RangeVar,
        target: &Item<'a>,
    ) -> Walk<()> {
        let targets: Vec<&'a ResTarget> = clause
            .target_list()
            .iter()
            .filter_map(|node| if let Node::ResTarget(target) = node { Some(target) } else { None })
            .collect();
        if clause.command_type != raw::CmdType::CMD_INSERT {
            return self.assignments(targets.into_iter(), range, target);
        }
        let mut names: Vec<Arc<str>> = targets.iter().filter_map(|target| target.name().map(Arc::from)).collect();
        if names.is_empty() {
            let all = self.all_columns(&target.columns);
            names = all.iter().flat_map(|all| all.iter().map(|column| Arc::clone(&column.name))).collect();
        }
        let has_words = clause.values().iter().any(|value| matches!(value, Node::SetToDefault(_)));
        self.unset(target, |name| !has_words && names.iter().any(|given| **given == *name))?;
        let mut flows = Vec::new();
        for value in clause.values() {
            flows.push(self.in_clause(None, |walker| walker.expression_or_row(value))?);
        }
        if clause.values().iter().any(is_star) {
            let any = Flow::derived(&flows);
            for name in &names {
                self.flows_into(range, target, name, &any);
            }
            return Ok(());
        }
        for (index, flow) in flows.iter().enumerate() {
            let name = names.get(index).cloned().unwrap_or_else(|| "?".into());
            self.flows_into(range, target, &name, flow);
        }
        Ok(())
    }

    /// SET lists: the columns of existing rows, and what flows into them.
    fn assignments(
        &mut self,
        targets: impl Iterator<Item = &'a ResTarget>,
        range: &'a RangeVar,
        target: &Item<'a>,
    ) -> Walk<()> {
        for assignment in targets {
            let name = assignment.name().unwrap_or_default();
            for step in assignment.indirection() {
                if let Node::A_Indices(indices) = step {
                    self.in_clause(None, |walker| {
                        walker.expression(indices.lidx())?;
                        walker.expression(indices.uidx())
                    })?;
                }
            }
            let value = self.in_clause(None, |walker| walker.assigned_value(assignment.val()))?;
            if is_default(assignment.val()) {
                self.unset(target, |other| other != name)?;
            }
            let stored = self.flows_into(range, target, name, &value);
            self.found.assigned.extend_from_slice(stored.origins.as_slice());
        }
        Ok(())
    }

    fn assigned_value(&mut self, node: Node<'a>) -> Walk<Flow> {
        let Node::MultiAssignRef(reference) = node else { return self.expression(node) };
        let index = usize::try_from(reference.colno).unwrap_or_default().saturating_sub(1);
        match reference.source() {
            Node::RowExpr(row) => self.expression(row.args().get(index).unwrap_or(Node::None)),
            Node::SubLink(link) => {
                let columns = self.query(link.subselect(), None)?;
                let all = self.all_columns(&columns);
                let flow = all.as_deref().and_then(|all| all.get(index)).map(|column| column.flow.clone());
                Ok(super::at_best_derived(&flow.unwrap_or_else(|| self.whole_row(&columns))))
            }
            other => self.expression_or_row(other),
        }
    }

    fn returning(&mut self, clause: Option<&'a ReturningClause>, projecting: Option<Usage>) -> Walk<Columns> {
        let Some(clause) = clause else { return Ok(no_columns()) };
        self.effect(Effect::Read);
        let Some(here) = self.here else { return Ok(no_columns()) };
        // The row before and after, by their usual names or those given here.
        let row = self.frames[here].items.iter().find(|item| item.is_target).cloned();
        if let Some(row) = row {
            let given = |kind| clause.options().iter().find(|option| option.option == kind).and_then(|o| o.value());
            let old = given(raw::ReturningOptionKind::RETURNING_OPTION_OLD).unwrap_or("old");
            let new = given(raw::ReturningOptionKind::RETURNING_OPTION_NEW).unwrap_or("new");
            let named = |name| Item { name: Some(name), is_aliased: true, shows_columns: false, ..row.clone() };
            self.show(vec![named(old), named(new)]);
        }
        self.in_clause(projecting, |walker| walker.target_nodes(clause.exprs().iter()))
    }

    /// Brings items into sight of the current frame.
    pub(super) fn show(&mut self, items: Vec<Item<'a>>) {
        if let Some(here) = self.here {
            self.frames[here].items.extend(items);
        }
    }
}

/// What the actions of a MERGE do.
fn merged(merge: &MergeStmt) -> Events {
    merge.merge_when_clauses().iter().fold(Events::NONE, |events, clause| {
        events.and(match clause.command_type {
            raw::CmdType::CMD_INSERT => Events::INSERT,
            raw::CmdType::CMD_UPDATE => Events::UPDATE,
            raw::CmdType::CMD_DELETE => Events::DELETE,
            _ => Events::NONE,
        })
    })
}

fn updates(conflict: &OnConflictClause) -> bool {
    conflict.action == raw::OnConflictAction::ONCONFLICT_UPDATE
}

/// Whether the word DEFAULT is among the values.
fn asks_for_defaults(select: &SelectStmt) -> bool {
    let has_word =
        |row| matches!(row, Node::NodeList(cells) if cells.iter().any(|cell| matches!(cell, Node::SetToDefault(_))));
    select.values_lists().iter().any(has_word)
}

/// Whether an assignment is of the default, by itself or in a row.
fn is_default(value: Node<'_>) -> bool {
    match value {
        Node::SetToDefault(_) => true,
        Node::MultiAssignRef(reference) => match reference.source() {
            Node::RowExpr(row) => row.args().iter().any(|part| matches!(part, Node::SetToDefault(_))),
            _ => false,
        },
        _ => false,
    }
}

fn no_columns() -> Columns {
    Columns::List(Arc::from([]))
}

/// `VALUES …` as the source of an INSERT is not a query of its own.
fn is_plain_values(select: &SelectStmt) -> bool {
    !select.values_lists().is_empty()
        && select.with_clause().is_none()
        && select.sort_clause().is_empty()
        && matches!((select.limit_count(), select.limit_offset()), (Node::None, Node::None))
}
