//! FROM lists.

use std::sync::Arc;

use grille_policy::{Access, Usage};
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes::{
    Alias, JoinExpr, JsonTable, JsonTableColumn, RangeFunction, RangeSubselect, RangeTableFunc, RangeVar,
};
use pg_raw_parse::{Node, raw};

use super::names::strings;
use super::{Columns, Frame, Item, Walker};
use crate::analysis::{Absent, Reach};
use crate::limits::Walk;
use crate::lineage::{Flow, Named};

impl<'a> Walker<'a> {
    /// Walks a FROM list into the current frame.
    pub(super) fn range_list(&mut self, list: &'a NodeList) -> Walk<()> {
        let Some(here) = self.here else { return Ok(()) };
        for node in list {
            let items = self.range_item(node)?;
            self.frames[here].unfinished.extend(items);
        }
        let frame = &mut self.frames[here];
        let finished = std::mem::take(&mut frame.unfinished);
        frame.items.extend(finished);
        Ok(())
    }

    /// The items that one entry brings into sight.
    pub(super) fn range_item(&mut self, node: Node<'a>) -> Walk<Vec<Item<'a>>> {
        self.deeper(|walker| match node {
            Node::RangeVar(range) => Ok(vec![walker.range(range)?]),
            Node::RangeSubselect(select) => Ok(vec![walker.subselect(select)?]),
            Node::JoinExpr(join) => walker.join(join),
            Node::RangeFunction(function) => Ok(vec![walker.range_function(function)?]),
            Node::RangeTableFunc(table) => Ok(vec![walker.xml_table(table)?]),
            Node::JsonTable(table) => Ok(vec![walker.json_table(table)?]),
            Node::RangeTableSample(sample) => {
                for node in sample.args() {
                    walker.row_count(node)?;
                }
                walker.row_count(sample.repeatable())?;
                walker.range_item(sample.relation())
            }
            other => {
                let flow = walker.construct(super::expr::describe(other), None, Reach::Anything);
                Ok(vec![Item { columns: Columns::Any(Box::new(flow)), ..Item::list(None, []) }])
            }
        })
    }

    fn range(&mut self, range: &'a RangeVar) -> Walk<Item<'a>> {
        let name = range.relname().unwrap_or_default();
        let (alias, names) = alias_of(range.alias());
        if range.schemaname().is_none()
            && let Some(columns) = self.visible_cte(name)?
        {
            let item = Item { columns, ..Item::list(Some(alias.unwrap_or(name)), []) };
            return Ok(item.renamed(self, &names));
        }
        let full = self.relation_name(range);
        let Some(id) = self.relation_id(range) else {
            if let Some((full, columns)) = self.created(range) {
                self.named(full, Access::Read);
                let item = Item { columns, ..Item::list(Some(alias.unwrap_or(name)), []) };
                return Ok(item.renamed(self, &names));
            }
            self.missing(format!("relation {}", range_text(range)));
            self.named(full, Access::Read);
            let what = format!("relation \"{}\"", range_text(range));
            let flow = self.absent(Absent::Relation, range.schemaname(), what, None);
            let columns = Columns::Any(Box::new(flow));
            return Ok(Item { columns, ..Item::list(Some(alias.unwrap_or(name)), []) });
        };
        self.named(full, Access::Read);
        let columns = self.relation_columns(id)?;
        let item = Item {
            name: Some(alias.unwrap_or(name)),
            relation: Some(id),
            is_aliased: alias.is_some(),
            columns,
            shows_columns: true,
            is_target: false,
            is_renamed: false,
        };
        Ok(item.renamed(self, &names))
    }

    fn subselect(&mut self, select: &'a RangeSubselect) -> Walk<Item<'a>> {
        let (alias, names) = alias_of(select.alias());
        let lateral = std::mem::replace(&mut self.lateral, select.lateral);
        let columns = self.in_clause(None, |walker| walker.query(select.subquery(), None));
        self.lateral = lateral;
        let item = Item { columns: columns?, ..Item::list(alias, []) };
        Ok(item.renamed(self, &names))
    }

    fn join(&mut self, join: &'a JoinExpr) -> Walk<Vec<Item<'a>>> {
        let left = self.range_item(join.larg())?;
        let Some(here) = self.here else { return Ok(left) };
        // LATERAL on the right sees the left.
        let before = self.frames[here].unfinished.len();
        self.frames[here].unfinished.extend(left.iter().cloned());
        let right = self.range_item(join.rarg());
        self.frames[here].unfinished.truncate(before);
        let right = right?;

        let using: Vec<&str> = join.using_clause().iter().filter_map(|name| name.sval()).collect();
        let merged =
            if join.is_natural { self.common_names(&left, &right) } else { using.iter().map(|&n| n.into()).collect() };
        self.join_condition(join, &left, &right)?;
        let (alias, names) = alias_of(join.alias());
        if merged.is_empty() && alias.is_none() {
            return Ok([left, right].concat());
        }
        let columns = self.joined_columns(join, &left, &right, &merged);
        let using_alias = join.join_using_alias().and_then(Alias::aliasname).map(|name| {
            let columns = self.all_columns(&columns).unwrap_or_else(|| Arc::from([]));
            let merged: Vec<Named> = columns.iter().take(merged.len()).cloned().collect();
            Item { shows_columns: false, ..Item::list(Some(name), merged) }
        });
        let item = Item { columns, ..Item::list(alias, []) }.renamed(self, &names);
        if alias.is_some() {
            // An alias hides what it joins.
            return Ok(vec![item]);
        }
        let hidden = [left, right].concat().into_iter().map(|item| Item { shows_columns: false, ..item });
        Ok([item].into_iter().chain(hidden).chain(using_alias).collect())
    }

    /// ON sees both sides and what is outside the whole query, but not the rest of the FROM list.
    fn join_condition(&mut self, join: &'a JoinExpr, left: &[Item<'a>], right: &[Item<'a>]) -> Walk<()> {
        if matches!(join.quals(), Node::None) {
            return Ok(());
        }
        let frame = Frame {
            parent: self.here,
            sees_unfinished: self.lateral,
            items: [left, right].concat(),
            unfinished: Vec::new(),
            ctes: Vec::new(),
        };
        let (here, lateral) = (self.here, self.lateral);
        self.frames.push(frame);
        (self.here, self.lateral) = (Some(self.frames.len() - 1), false);
        let result = self.condition(join.quals(), Usage::Joined);
        self.frames.pop();
        (self.here, self.lateral) = (here, lateral);
        result
    }

    fn side(&self, items: &[Item<'a>]) -> Option<Vec<Named>> {
        let mut columns = Vec::new();
        for item in items.iter().filter(|item| item.shows_columns) {
            columns.extend(self.all_columns(&item.columns)?.iter().cloned());
        }
        Some(columns)
    }

    fn common_names(&self, left: &[Item<'a>], right: &[Item<'a>]) -> Vec<Arc<str>> {
        let (left, right) = (self.side(left).unwrap_or_default(), self.side(right).unwrap_or_default());
        let is_on_the_right = |column: &&Named| right.iter().any(|other| other.name == column.name);
        left.iter().filter(is_on_the_right).map(|column| Arc::clone(&column.name)).collect()
    }

    /// The columns of a join as a whole: merged ones first.
    fn joined_columns(
        &mut self,
        join: &JoinExpr,
        left: &[Item<'a>],
        right: &[Item<'a>],
        names: &[Arc<str>],
    ) -> Columns {
        let (Some(left), Some(right)) = (self.side(left), self.side(right)) else {
            let rows: Vec<Flow> = left.iter().chain(right).map(|item| self.whole_row(&item.columns)).collect();
            return Columns::Any(Box::new(Flow::derived(&rows)));
        };
        let of = |side: &[Named], name: &Arc<str>| side.iter().find(|c| c.name == *name).map(|c| c.flow.clone());
        let mut columns = Vec::new();
        for name in names {
            let (one, two) = (of(&left, name), of(&right, name));
            for flow in [&one, &two].into_iter().flatten() {
                self.used(flow, Some(Usage::Joined));
            }
            let flow = match (one, two) {
                (Some(one), Some(two)) => match join.jointype {
                    raw::JoinType::JOIN_RIGHT => two,
                    raw::JoinType::JOIN_FULL => Flow::derived([&one, &two]),
                    _ => one,
                },
                (Some(flow), None) | (None, Some(flow)) => flow,
                (None, None) => self.construct(format!("column \"{name}\""), None, Reach::Statement),
            };
            columns.push(Named { name: Arc::clone(name), flow });
        }
        let rest = left.into_iter().chain(right).filter(|column| !names.contains(&column.name));
        columns.extend(rest);
        Columns::List(columns.into())
    }

    fn range_function(&mut self, range: &'a RangeFunction) -> Walk<Item<'a>> {
        let (alias, names) = alias_of(range.alias());
        let lateral = std::mem::replace(&mut self.lateral, true);
        let columns = self.in_clause(None, |walker| walker.table_functions(range, alias));
        self.lateral = lateral;
        let item_name = alias.or_else(|| first_function_name(range));
        let item = Item { columns: columns?, ..Item::list(item_name, []) };
        Ok(item.renamed(self, &names))
    }

    fn table_functions(&mut self, range: &'a RangeFunction, alias: Option<&'a str>) -> Walk<Columns> {
        let mut columns = Vec::new();
        let mut unknown: Option<Flow> = None;
        let is_single = range.functions().len() == 1;
        for entry in range.functions() {
            let Node::NodeList(entry) = entry else { continue };
            let Some(call) = entry.get(0) else { continue };
            let own_definitions = match entry.get(1) {
                Some(Node::NodeList(list)) => list.iter().collect(),
                _ => Vec::new(),
            };
            let definitions = range.coldeflist().iter().map(Node::ColumnDef).chain(own_definitions);
            let defined: Vec<Arc<str>> = definitions
                .filter_map(|node| match node {
                    Node::ColumnDef(definition) => definition.colname().map(Arc::from),
                    _ => None,
                })
                .collect();
            let name = if is_single { alias } else { None };
            match self.table_function(call, &defined, name)? {
                Columns::Any(flow) => unknown = Some(*flow),
                known => columns.extend(self.all_columns(&known).iter().flat_map(|all| all.iter().cloned())),
            }
        }
        if let Some(flow) = unknown {
            return Ok(Columns::Any(Box::new(Flow::derived(columns.iter().map(|c| &c.flow).chain([&flow])))));
        }
        if range.ordinality {
            columns.push(Named { name: "ordinality".into(), flow: Flow::computed() });
        }
        Ok(Columns::List(columns.into()))
    }

    /// All columns are made of the document and what is passed along.
    fn xml_table(&mut self, table: &'a RangeTableFunc) -> Walk<Item<'a>> {
        let (alias, names) = alias_of(table.alias());
        let mut parts = vec![self.lateral_expression(table.docexpr())?, self.lateral_expression(table.rowexpr())?];
        for node in table.namespaces() {
            if let Node::ResTarget(namespace) = node {
                parts.push(self.lateral_expression(namespace.val())?);
            }
        }
        let mut labels = Vec::new();
        for column in table.columns() {
            parts.push(self.lateral_expression(column.colexpr())?);
            parts.push(self.lateral_expression(column.coldefexpr())?);
            labels.push(column.colname().unwrap_or_default());
        }
        let flow = Flow::derived(&parts);
        self.used(&flow, Some(Usage::Filtered));
        let columns: Vec<Named> =
            labels.into_iter().map(|name| Named { name: name.into(), flow: flow.clone() }).collect();
        Ok(Item::list(Some(alias.unwrap_or("xmltable")), columns).renamed(self, &names))
    }

    fn json_table(&mut self, table: &'a JsonTable) -> Walk<Item<'a>> {
        let (alias, names) = alias_of(table.alias());
        let mut parts = Vec::new();
        if let Some(item) = table.context_item() {
            parts.push(self.lateral_expression(Node::JsonValueExpr(item))?);
        }
        parts.push(self.lateral_expressions(table.passing())?);
        if let Some(behavior) = table.on_error() {
            parts.push(self.lateral_expression(behavior.expr())?);
        }
        let mut labels = Vec::new();
        self.json_columns(table.columns().iter(), &mut labels, &mut parts)?;
        let flow = Flow::derived(&parts);
        self.used(&flow, Some(Usage::Filtered));
        let columns: Vec<Named> =
            labels.into_iter().map(|name| Named { name: name.into(), flow: flow.clone() }).collect();
        Ok(Item::list(Some(alias.unwrap_or("json_table")), columns).renamed(self, &names))
    }

    fn json_columns(
        &mut self,
        columns: impl Iterator<Item = &'a JsonTableColumn>,
        labels: &mut Vec<&'a str>,
        parts: &mut Vec<Flow>,
    ) -> Walk<()> {
        for column in columns {
            for behavior in [column.on_empty(), column.on_error()].into_iter().flatten() {
                parts.push(self.lateral_expression(behavior.expr())?);
            }
            let nested: Vec<&JsonTableColumn> = column
                .columns()
                .iter()
                .filter_map(|node| if let Node::JsonTableColumn(column) = node { Some(column) } else { None })
                .collect();
            if nested.is_empty() {
                labels.push(column.name().unwrap_or_default());
            } else {
                self.deeper(|walker| walker.json_columns(nested.into_iter(), labels, parts))?;
            }
        }
        Ok(())
    }

    fn lateral_expressions(&mut self, list: &'a NodeList) -> Walk<Flow> {
        let mut parts = Vec::new();
        for node in list {
            parts.push(self.lateral_expression(node)?);
        }
        Ok(Flow::derived(&parts))
    }

    /// An expression inside FROM, which sees what is left of it.
    fn lateral_expression(&mut self, node: Node<'a>) -> Walk<Flow> {
        let lateral = std::mem::replace(&mut self.lateral, true);
        let flow = self.in_clause(None, |walker| walker.expression(node));
        self.lateral = lateral;
        flow
    }
}

pub(super) fn alias_of(alias: Option<&Alias>) -> (Option<&str>, Vec<&str>) {
    match alias {
        Some(alias) => (alias.aliasname(), strings(alias.colnames())),
        None => (None, Vec::new()),
    }
}

/// A relation's name as written.
pub(super) fn range_text(range: &RangeVar) -> String {
    let name = range.relname().unwrap_or_default();
    range.schemaname().map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"))
}

fn first_function_name(range: &RangeFunction) -> Option<&str> {
    let Some(Node::NodeList(entry)) = range.functions().get(0) else { return None };
    match entry.get(0)? {
        Node::FuncCall(call) => strings(call.funcname()).last().copied(),
        _ => None,
    }
}
