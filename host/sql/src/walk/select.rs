//! Queries: SELECT, VALUES, set operations and WITH.

use std::sync::Arc;

use grille_policy::{Effect, Usage};
use pg_raw_parse::list::{CastNodeList, NodeList};
use pg_raw_parse::nodes::{ColumnRef, ResTarget, SelectStmt, SortBy, WindowDef, WithClause};
use pg_raw_parse::{ConstValue, Node, raw};

use super::expr::is_star;
use super::{Columns, Cte, CteState, Frame, Item, Walker, output_names};
use crate::analysis::Reach;
use crate::limits::Walk;
use crate::lineage::{Flow, Named};

/// How often a recursive query is walked until its columns stay the same. Each round adds origins, and a column rarely
/// takes its values through more than two others.
const RECURSION_ROUNDS: usize = 8;

impl<'a> Walker<'a> {
    /// The columns of any query, in a frame inside the current one. `projecting` is the clause that its target list
    /// counts for.
    pub(super) fn query(&mut self, node: Node<'a>, projecting: Option<Usage>) -> Walk<Columns> {
        match node {
            Node::SelectStmt(select) => self.deeper(|walker| walker.select(select, projecting)),
            Node::InsertStmt(insert) => self.deeper(|walker| walker.insert(insert, projecting)),
            Node::UpdateStmt(update) => self.deeper(|walker| walker.update(update, projecting)),
            Node::DeleteStmt(delete) => self.deeper(|walker| walker.delete(delete, projecting)),
            Node::MergeStmt(merge) => self.deeper(|walker| walker.merge(merge, projecting)),
            _ => {
                let flow = self.construct("a query of an unknown kind", None, Reach::Anything);
                Ok(Columns::Any(Box::new(flow)))
            }
        }
    }

    /// Opens a frame, walks what is inside it, closes it.
    pub(super) fn framed<T>(
        &mut self,
        with: Option<&'a WithClause>,
        walk: impl FnOnce(&mut Self) -> Walk<T>,
    ) -> Walk<T> {
        let frame = Frame {
            parent: self.here,
            sees_unfinished: self.lateral,
            items: Vec::new(),
            unfinished: Vec::new(),
            ctes: Vec::new(),
        };
        let (here, lateral) = (self.here, self.lateral);
        self.frames.push(frame);
        self.here = Some(self.frames.len() - 1);
        self.lateral = false;
        let result = match with {
            Some(with) => self.with(with).and_then(|()| walk(self)),
            None => walk(self),
        };
        self.frames.pop();
        (self.here, self.lateral) = (here, lateral);
        result
    }

    fn select(&mut self, select: &'a SelectStmt, projecting: Option<Usage>) -> Walk<Columns> {
        self.kind("SELECT");
        self.effect(Effect::Read);
        self.framed(select.with_clause(), |walker| {
            if select.op != raw::SetOperation::SETOP_NONE {
                let columns = walker.set_operation(select, projecting)?;
                walker.order(select, &columns)?;
                return Ok(columns);
            }
            if !select.values_lists().is_empty() {
                let columns = walker.in_clause(projecting, |walker| walker.values(select.values_lists()))?;
                walker.order(select, &columns)?;
                return Ok(columns);
            }
            walker.range_list(select.from_clause())?;
            walker.condition(select.where_clause(), Usage::Filtered)?;
            let columns = walker.in_clause(projecting, |walker| walker.targets(select.target_list()))?;
            walker.group(select.group_clause(), &columns)?;
            walker.condition(select.having_clause(), Usage::Filtered)?;
            for window in select.window_clause() {
                if let Node::WindowDef(window) = window {
                    walker.window(window)?;
                }
            }
            walker.distinct(select.distinct_clause(), &columns)?;
            walker.order(select, &columns)?;
            Ok(columns)
        })
    }

    pub(super) fn condition(&mut self, node: Node<'a>, clause: Usage) -> Walk<()> {
        self.in_clause(Some(clause), |walker| walker.expression(node))?;
        Ok(())
    }

    /// All arms position by position. Chains are as long as programs make them, so they are walked in a loop.
    fn set_operation(&mut self, select: &'a SelectStmt, projecting: Option<Usage>) -> Walk<Columns> {
        let mut arms = Vec::new();
        let mut node = select;
        // All but UNION ALL tell which rows of their arms are equal.
        let mut compares = false;
        loop {
            compares |= node.op != raw::SetOperation::SETOP_UNION || !node.all;
            arms.extend(node.rarg().map(|arm| (arm, compares)));
            let Some(left) = node.larg() else { break };
            let is_bare = left.with_clause().is_none() && left.sort_clause().is_empty();
            let is_unlimited = matches!((left.limit_count(), left.limit_offset()), (Node::None, Node::None));
            if left.op != raw::SetOperation::SETOP_NONE && is_bare && is_unlimited {
                node = left;
            } else {
                arms.push((left, compares));
                break;
            }
        }
        let mut joined: Option<Columns> = None;
        for (arm, compares) in arms.into_iter().rev() {
            let columns = self.deeper(|walker| walker.select(arm, projecting))?;
            if compares {
                let row = self.whole_row(&columns);
                self.used(&row, Some(Usage::Grouped));
            }
            joined = Some(match joined {
                Some(left) => self.either(&left, &columns),
                None => columns,
            });
        }
        Ok(joined.unwrap_or_else(|| Columns::List(Arc::from([]))))
    }

    /// Either of two rows, position by position, under the names of the first.
    fn either(&self, left: &Columns, right: &Columns) -> Columns {
        #[cfg(test)]
        if super::planted::has(super::planted::Bug::OneArm) {
            return left.clone();
        }
        match (self.all_columns(left), self.all_columns(right)) {
            (Some(one), Some(two)) if one.len() == two.len() => {
                let both = one
                    .iter()
                    .zip(two.iter())
                    .map(|(one, two)| Named { name: Arc::clone(&one.name), flow: one.flow.either(&two.flow) });
                Columns::List(both.collect())
            }
            // The server refuses arms of different widths, unless one could not be told.
            _ => Columns::Any(Box::new(Flow::derived([&self.whole_row(left), &self.whole_row(right)]))),
        }
    }

    /// The rows of an INSERT.
    pub(super) fn values_only(&mut self, select: &'a SelectStmt) -> Walk<Columns> {
        self.values(select.values_lists())
    }

    fn values(&mut self, rows: &'a NodeList) -> Walk<Columns> {
        let mut columns: Vec<Flow> = Vec::new();
        let mut has_star = false;
        for (number, row) in rows.iter().enumerate() {
            let Node::NodeList(row) = row else { continue };
            self.budget.spend(row.len())?;
            for (index, cell) in row.iter().enumerate() {
                // The cells of bulk inserts are constants: nothing to join.
                if matches!(cell, Node::A_Const(_) | Node::SetToDefault(_)) && (number > 0 || index < columns.len()) {
                    continue;
                }
                has_star |= is_star(cell);
                let flow = self.expression_or_row(cell)?;
                match columns.get_mut(index) {
                    Some(column) if number > 0 => *column = column.either(&flow),
                    Some(_) => {}
                    None => columns.push(flow),
                }
            }
        }
        if has_star {
            // Which value comes to stand in which column is not worked out.
            return Ok(Columns::Any(Box::new(Flow::derived(&columns))));
        }
        let named = columns.into_iter().enumerate();
        Ok(Columns::List(named.map(|(i, flow)| Named { name: format!("column{}", i + 1).into(), flow }).collect()))
    }

    /// A target list: of SELECT or RETURNING.
    pub(super) fn targets(&mut self, targets: &'a CastNodeList<ResTarget>) -> Walk<Columns> {
        self.target_nodes(targets.iter().map(Node::ResTarget))
    }

    pub(super) fn target_nodes(&mut self, targets: impl Iterator<Item = Node<'a>>) -> Walk<Columns> {
        let mut columns = Vec::new();
        // A star over what nobody knows makes the whole list unknown.
        let mut unknown: Option<Flow> = None;
        for node in targets {
            let Node::ResTarget(target) = node else { continue };
            let star = match target.val() {
                Node::ColumnRef(reference) => self.star(reference)?,
                Node::A_Indirection(indirection) => self.composite_star(indirection)?,
                _ => None,
            };
            match star {
                Some(star) => match self.all_columns(&star) {
                    Some(expanded) => {
                        for column in &*expanded {
                            self.used(&column.flow, self.clause);
                        }
                        columns.extend(expanded.iter().cloned());
                    }
                    None => unknown = Some(self.whole_row(&star)),
                },
                None => {
                    let flow = self.expression(target.val())?;
                    let name = target.name().map_or_else(|| output_names::of(target.val()), Arc::from);
                    columns.push(Named { name, flow });
                }
            }
        }
        Ok(match unknown {
            Some(flow) => Columns::Any(Box::new(Flow::derived(columns.iter().map(|c| &c.flow).chain([&flow])))),
            None => Columns::List(columns.into()),
        })
    }

    /// What `*` or `p.*` stands for.
    fn star(&mut self, reference: &'a ColumnRef) -> Walk<Option<Columns>> {
        let mut fields: Vec<Node<'a>> = reference.fields().iter().collect();
        if !matches!(fields.pop(), Some(Node::A_Star(_))) {
            return Ok(None);
        }
        if fields.is_empty() {
            return Ok(Some(self.bare_star()));
        }
        let qualifier: Vec<&str> = fields.into_iter().filter_map(Node::as_str).collect();
        Ok(Some(match self.star_of(&qualifier) {
            Some(columns) => columns,
            None => {
                let what = format!("\"{}.*\"", qualifier.join("."));
                Columns::Any(Box::new(self.construct(what, None, Reach::Statement)))
            }
        }))
    }

    fn bare_star(&mut self) -> Columns {
        let Some(here) = self.here else { return Columns::List(Arc::from([])) };
        let items = self.frames[here].items.iter().filter(|item| item.shows_columns).cloned().collect::<Vec<_>>();
        let mut columns = Vec::new();
        let mut unknown = Vec::new();
        for item in &items {
            self.target_references += u32::from(item.is_target);
            match self.all_columns(&item.columns) {
                Some(all) => columns.extend(all.iter().cloned()),
                None => unknown.push(self.whole_row(&item.columns)),
            }
        }
        if unknown.is_empty() {
            Columns::List(columns.into())
        } else {
            Columns::Any(Box::new(Flow::derived(columns.iter().map(|column| &column.flow).chain(&unknown))))
        }
    }

    fn group(&mut self, clause: &'a NodeList, columns: &Columns) -> Walk<()> {
        for node in clause {
            match node {
                Node::GroupingSet(set) => self.deeper(|walker| walker.group(set.content(), columns))?,
                // In GROUP BY the name of an input column goes before that of an output column.
                Node::ColumnRef(_) => match self.output_column(node, columns) {
                    Some(flow) if !self.is_input_column(node) => self.used(&flow, Some(Usage::Grouped)),
                    _ => self.condition(node, Usage::Grouped)?,
                },
                node => match self.output_column(node, columns) {
                    Some(flow) => self.used(&flow, Some(Usage::Grouped)),
                    None => self.condition(node, Usage::Grouped)?,
                },
            }
        }
        Ok(())
    }

    fn is_input_column(&mut self, node: Node<'a>) -> bool {
        let Node::ColumnRef(reference) = node else { return false };
        let references = self.target_references;
        let found = self.look_up(&super::names::strings(reference.fields()));
        self.target_references = references;
        matches!(found, Some(super::names::Meaning::Column(_)))
    }

    fn distinct(&mut self, clause: &'a NodeList, columns: &Columns) -> Walk<()> {
        for node in clause {
            match (node, self.output_column(node, columns)) {
                // Plain DISTINCT is a list of nothing.
                (Node::None, _) => {
                    let row = self.whole_row(columns);
                    self.used(&row, Some(Usage::Grouped));
                }
                (_, Some(flow)) => self.used(&flow, Some(Usage::Grouped)),
                (node, None) => self.condition(node, Usage::Grouped)?,
            }
        }
        Ok(())
    }

    fn order(&mut self, select: &'a SelectStmt, columns: &Columns) -> Walk<()> {
        for sort in select.sort_clause() {
            match self.output_column(sort.node(), columns) {
                Some(flow) => self.used(&flow, Some(Usage::Ordered)),
                None => self.condition(sort.node(), Usage::Ordered)?,
            }
        }
        self.row_count(select.limit_count())?;
        self.row_count(select.limit_offset())
    }

    /// The output column that a bare name or number in ORDER BY means.
    fn output_column(&self, node: Node<'a>, columns: &Columns) -> Option<Flow> {
        let Columns::List(columns) = columns else { return None };
        match node {
            Node::ColumnRef(reference) => match super::names::strings(reference.fields())[..] {
                [name] => columns.iter().find(|column| *column.name == *name).map(|column| column.flow.clone()),
                _ => None,
            },
            Node::A_Const(constant) => match constant.val() {
                Some(ConstValue::Integer(number)) => {
                    let index = usize::try_from(number).ok()?.checked_sub(1)?;
                    columns.get(index).map(|column| column.flow.clone())
                }
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn sorted_by(&mut self, list: &'a CastNodeList<SortBy>, clause: Usage) -> Walk<()> {
        for sort in list {
            self.condition(sort.node(), clause)?;
        }
        Ok(())
    }

    pub(super) fn window(&mut self, window: &'a WindowDef) -> Walk<()> {
        for node in window.partition_clause() {
            self.condition(node, Usage::Grouped)?;
        }
        self.sorted_by(window.order_clause(), Usage::Ordered)?;
        self.row_count(window.start_offset())?;
        self.row_count(window.end_offset())
    }

    fn with(&mut self, with: &'a WithClause) -> Walk<()> {
        let Some(here) = self.here else { return Ok(()) };
        for node in with.ctes() {
            let name = node.ctename().unwrap_or_default();
            self.frames[here].ctes.push(Cte { name, node, is_recursive: with.recursive, state: CteState::Pending });
        }
        for index in 0..with.ctes().len() {
            self.cte(here, index)?;
        }
        Ok(())
    }

    /// The CTE of that name in sight, with its columns.
    pub(super) fn visible_cte(&mut self, name: &str) -> Walk<Option<Columns>> {
        let mut frame = self.here;
        while let Some(at) = frame {
            let found = self.frames[at]
                .ctes
                .iter()
                .position(|cte| cte.name == name && (cte.is_recursive || matches!(cte.state, CteState::Done(_))));
            if let Some(index) = found {
                return self.cte(at, index).map(Some);
            }
            frame = self.frames[at].parent;
        }
        Ok(None)
    }

    /// The columns of a CTE, walking it where its WITH stands if that has not happened yet.
    fn cte(&mut self, frame: usize, index: usize) -> Walk<Columns> {
        let cte = &mut self.frames[frame].ctes[index];
        match &mut cte.state {
            CteState::Done(columns) => return Ok(columns.clone()),
            CteState::Active(columns, was_met) => {
                *was_met = true;
                if let Some(columns) = columns {
                    return Ok(columns.clone());
                }
                let what = format!("the recursion of \"{}\"", cte.name);
                return Ok(Columns::Any(Box::new(self.construct(what, None, Reach::Statement))));
            }
            CteState::Pending => {}
        }
        let (here, lateral) = (self.here, self.lateral);
        (self.here, self.lateral) = (Some(frame), false);
        let columns = self.in_clause(None, |walker| walker.deeper(|walker| walker.evaluate_cte(frame, index)));
        (self.here, self.lateral) = (here, lateral);
        let columns = columns?;
        self.frames[frame].ctes[index].state = CteState::Done(columns.clone());
        Ok(columns)
    }

    fn evaluate_cte(&mut self, frame: usize, index: usize) -> Walk<Columns> {
        let Cte { node, is_recursive, .. } = self.frames[frame].ctes[index];
        let names = super::names::strings(node.aliascolnames());
        let rename = |walker: &Self, columns: Columns| {
            let item = Item { columns, ..Item::list(None, []) };
            item.renamed(walker, &names).columns
        };
        let first_arm = match node.ctequery() {
            Node::SelectStmt(select) if is_recursive && select.op != raw::SetOperation::SETOP_NONE => {
                select.larg().map(|arm| (select.with_clause(), arm))
            }
            _ => None,
        };
        self.frames[frame].ctes[index].state = CteState::Active(None, false);
        if let Some((with, arm)) = first_arm {
            let start = self.framed(with, |walker| walker.deeper(|walker| walker.select(arm, None)))?;
            let start = rename(self, start);
            self.frames[frame].ctes[index].state = CteState::Active(Some(start), false);
        }
        for _ in 0..RECURSION_ROUNDS {
            let columns = self.query(node.ctequery(), None)?;
            let columns = rename(self, columns);
            let state = &self.frames[frame].ctes[index].state;
            let CteState::Active(Some(estimate), true) = state else {
                return self.search_and_cycle(node, columns);
            };
            if self.is_like(estimate, &columns) {
                return self.search_and_cycle(node, columns);
            }
            self.frames[frame].ctes[index].state = CteState::Active(Some(columns), false);
        }
        let what = format!("the recursion of \"{}\"", node.ctename().unwrap_or_default());
        Ok(Columns::Any(Box::new(self.construct(what, None, Reach::Statement))))
    }

    fn is_like(&self, one: &Columns, two: &Columns) -> bool {
        match (self.all_columns(one), self.all_columns(two)) {
            (Some(one), Some(two)) => {
                one.len() == two.len() && one.iter().zip(two.iter()).all(|(one, two)| one.flow.is_like(&two.flow))
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// SEARCH and CYCLE add columns made of those that they name.
    fn search_and_cycle(&self, node: &'a pg_raw_parse::nodes::CommonTableExpr, columns: Columns) -> Walk<Columns> {
        let (search, cycle) = (node.search_clause(), node.cycle_clause());
        if search.is_none() && cycle.is_none() {
            return Ok(columns);
        }
        let row = self.whole_row(&columns);
        let Some(all) = self.all_columns(&columns) else { return Ok(columns) };
        let mut all = all.to_vec();
        let path = super::at_best_derived(&row);
        if let Some(name) = search.and_then(|search| search.search_seq_column()) {
            all.push(Named { name: name.into(), flow: path.clone() });
        }
        if let Some(cycle) = cycle {
            let mark = cycle.cycle_mark_column().unwrap_or_default();
            all.push(Named { name: mark.into(), flow: Flow::computed() });
            all.push(Named { name: cycle.cycle_path_column().unwrap_or_default().into(), flow: path });
        }
        Ok(Columns::List(all.into()))
    }
}
