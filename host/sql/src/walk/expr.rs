//! Expressions: where the value of each comes from.

use std::sync::Arc;

use grille_policy::{Certainty, Usage};
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes::{
    A_Expr, A_Indirection, CaseExpr, JsonAggConstructor, JsonBehavior, JsonFuncExpr, JsonKeyValue, JsonValueExpr,
    SubLink, TypeCast, TypeName,
};
use pg_raw_parse::{Node, raw};

use super::functions::{Class, classify};
use super::{Columns, Walker, at_best_derived};
use crate::analysis::Reach;
use crate::golden;
use crate::limits::Walk;
use crate::lineage::{Flow, Named, Origins};

impl<'a> Walker<'a> {
    /// Where the value of an expression comes from; a constant where there is no expression.
    pub(super) fn expression(&mut self, node: Node<'a>) -> Walk<Flow> {
        match node {
            // The most frequent ones, without a level of their own.
            Node::None | Node::A_Const(_) | Node::SetToDefault(_) => Ok(Flow::constant()),
            Node::ColumnRef(reference) => self.column_reference(reference),
            node => self.deeper(|walker| walker.inner_expression(node)),
        }
    }

    fn inner_expression(&mut self, node: Node<'a>) -> Walk<Flow> {
        match node {
            Node::ParamRef(parameter) => {
                let flow = self.positional(parameter.number);
                self.used(&flow, self.clause);
                Ok(flow)
            }
            Node::A_Expr(expr) => self.operators(expr),
            Node::BoolExpr(expr) => self.tested(|walker| walker.all_of(expr.args())),
            Node::FuncCall(call) => self.function_call(call),
            Node::NamedArgExpr(argument) => self.expression(argument.arg()),
            Node::TypeCast(cast) => self.cast(cast),
            Node::CollateClause(clause) => Ok(at_best_derived(&self.expression(clause.arg())?)),
            Node::SubLink(link) => self.sub_link(link),
            Node::CaseExpr(case) => self.case(case),
            Node::CoalesceExpr(expr) => self.coalesce(expr.args()),
            Node::MinMaxExpr(expr) => self.all_of(expr.args()),
            Node::NullTest(test) => self.tested(|walker| walker.expression(test.arg())),
            Node::BooleanTest(test) => self.tested(|walker| walker.expression(test.arg())),
            Node::A_ArrayExpr(array) => self.all_of(array.elements()),
            Node::RowExpr(row) => self.row(row.args()),
            Node::A_Indirection(indirection) => self.indirection(indirection),
            Node::NodeList(list) => self.all_of(list),
            Node::GroupingFunc(function) => {
                self.in_clause(Some(Usage::Grouped), |walker| walker.all_of(function.args()))?;
                Ok(Flow::computed())
            }
            Node::SQLValueFunction(_) | Node::MergeSupportFunc(_) | Node::CurrentOfExpr(_) => Ok(Flow::computed()),
            Node::XmlExpr(expr) => {
                let mut parts = vec![self.all_of(expr.args())?];
                for node in expr.named_args() {
                    if let Node::ResTarget(target) = node {
                        parts.push(self.expression(target.val())?);
                    }
                }
                self.tested(|_| Ok(Flow::derived(&parts)))
            }
            Node::XmlSerialize(expr) => Ok(at_best_derived(&self.expression(expr.expr())?)),
            Node::JsonValueExpr(value) => self.json_value(Some(value)),
            Node::JsonArgument(argument) => self.json_value(argument.val()),
            Node::JsonIsPredicate(predicate) => self.tested(|walker| walker.expression(predicate.expr())),
            Node::JsonParseExpr(expr) => self.tested(|walker| walker.json_value(expr.expr())),
            Node::JsonSerializeExpr(expr) => self.json_value(expr.expr()),
            Node::JsonScalarExpr(expr) => Ok(at_best_derived(&self.expression(expr.expr())?)),
            Node::JsonFuncExpr(expr) => self.tested(|walker| walker.json_function(expr)),
            Node::JsonObjectConstructor(object) => {
                let mut parts = Vec::new();
                for pair in object.exprs() {
                    parts.push(self.json_pair(Some(pair))?);
                }
                Ok(Flow::derived(&parts))
            }
            Node::JsonArrayConstructor(array) => {
                let mut parts = Vec::new();
                for value in array.exprs() {
                    parts.push(self.json_value(Some(value))?);
                }
                Ok(Flow::derived(&parts))
            }
            Node::JsonArrayQueryConstructor(array) => {
                let columns = self.query(array.query(), self.clause)?;
                Ok(at_best_derived(&self.whole_row(&columns)))
            }
            Node::JsonObjectAgg(aggregate) => {
                self.json_aggregate(aggregate.constructor())?;
                self.json_pair(aggregate.arg())
            }
            Node::JsonArrayAgg(aggregate) => {
                self.json_aggregate(aggregate.constructor())?;
                self.json_value(aggregate.arg())
            }
            other => Ok(self.construct(describe(other), None, Reach::Anything)),
        }
    }

    /// An expression that says how many rows there are: a count of them would be its value.
    pub(super) fn row_count(&mut self, node: Node<'a>) -> Walk<()> {
        let flow = self.in_clause(Some(Usage::Filtered), |walker| walker.expression(node))?;
        self.sink("the number of rows", &Flow::constant(), &flow);
        Ok(())
    }

    /// What is computed there tells the values that it is computed of.
    fn tested(&mut self, walk: impl FnOnce(&mut Self) -> Walk<Flow>) -> Walk<Flow> {
        let flow = walk(self)?;
        self.computed(&flow);
        Ok(at_best_derived(&flow))
    }

    /// Where another value stands in for NULL, nothing is told but that; where something is computed instead, its failure
    /// would be.
    fn coalesce(&mut self, args: &'a NodeList) -> Walk<Flow> {
        let is_plain =
            args.iter().all(|node| matches!(node, Node::A_Const(_) | Node::ColumnRef(_) | Node::ParamRef(_)));
        if is_plain { self.all_of(args) } else { self.tested(|walker| walker.all_of(args)) }
    }

    fn all_of(&mut self, list: &'a NodeList) -> Walk<Flow> {
        let mut parts = Vec::with_capacity(list.len());
        self.budget.spend(list.len())?;
        for node in list {
            parts.push(self.expression(node)?);
        }
        Ok(Flow::derived(&parts))
    }

    /// A chain of operators; its left spine is as long as programs make it, so it is walked in a loop.
    fn operators(&mut self, expr: &'a A_Expr) -> Walk<Flow> {
        let mut parts = Vec::new();
        let mut expr = expr;
        let mut tells = false;
        loop {
            self.budget.spend(1)?;
            parts.extend(self.operator(expr));
            tells |= !is_total(expr);
            let right = self.expression(expr.rexpr())?;
            let left = match expr.lexpr() {
                Node::A_Expr(_) => None,
                left => Some(self.expression(left)?),
            };
            if tells {
                for flow in [&right].into_iter().chain(&left) {
                    self.computed(flow);
                }
            }
            parts.push(right);
            match expr.lexpr() {
                Node::A_Expr(left) => expr = left,
                _ => {
                    parts.extend(left);
                    return Ok(Flow::derived(&parts));
                }
            }
        }
    }

    /// What an operator itself adds: nothing, unless somebody defined it here.
    fn operator(&mut self, expr: &'a A_Expr) -> Vec<Flow> {
        use raw::A_Expr_Kind as Kind;
        let names = super::names::strings(expr.name());
        let (schema, name) = super::names::qualified(&names);
        let names: &[&str] = match expr.kind {
            Kind::AEXPR_BETWEEN | Kind::AEXPR_BETWEEN_SYM => &[">=", "<="],
            Kind::AEXPR_NOT_BETWEEN | Kind::AEXPR_NOT_BETWEEN_SYM => &["<", ">"],
            _ => &[name],
        };
        let mut opaque = Vec::new();
        for name in names {
            let (catalog, path) = (self.catalog, self.path);
            let is_elsewhere = schema.is_some_and(|schema| schema != "pg_catalog");
            if is_elsewhere && catalog.operator_functions(schema, path, name).next().is_none() {
                self.missing(format!("operator {name}"));
                opaque.push(self.construct(format!("operator {name}"), None, Reach::Anything));
            }
            for function in catalog.operator_functions(schema, path, name) {
                let class = function.map(classify);
                if class != Some(Class::Propagating) {
                    opaque.push(self.construct(format!("operator {name}"), None, Reach::Anything));
                }
            }
        }
        opaque
    }

    fn cast(&mut self, cast: &'a TypeCast) -> Walk<Flow> {
        let flow = self.expression(cast.arg())?;
        let Some(type_name) = cast.type_name() else { return Ok(at_best_derived(&flow)) };
        let target = self.type_of(type_name);
        if let Some(element) = self.element_type(type_name) {
            self.tried_by_type(element)?;
        }
        let keeps = target.is_some_and(|target| self.keeps_the_value(&flow, target, type_name));
        let catalog = self.catalog;
        if !keeps && !target.is_some_and(|target| catalog.is_text(target)) {
            // Its failure tells what the value is not.
            self.computed(&flow);
        }
        if let Some(target) = target {
            if keeps {
                return Ok(flow);
            }
            if let Some(opaque) = self.cast_to(target) {
                return Ok(Flow::derived([&flow, &opaque]));
            }
        }
        if flow.origins == Origins::None && flow.certainty == Certainty::Exact {
            return Ok(flow);
        }
        Ok(at_best_derived(&flow))
    }

    /// What a function of somebody's may make of a value that becomes one of the type, by a cast or an assignment.
    pub(super) fn cast_to(&mut self, target: u32) -> Option<Flow> {
        let catalog = self.catalog;
        let is_clear = |function: Option<_>| function.map(classify) == Some(Class::Propagating);
        if catalog.cast_functions(target).all(is_clear) {
            return None;
        }
        let name = catalog.type_name(target).unwrap_or_default();
        Some(self.construct(format!("the cast to {name}"), None, Reach::Anything))
    }

    /// A cast to the column's own type changes nothing.
    fn keeps_the_value(&self, flow: &Flow, target: u32, type_name: &TypeName) -> bool {
        let (Origins::One(id), Certainty::Exact) = (&flow.origins, flow.certainty) else { return false };
        let column = &self.catalog.relation(id.relation).columns[id.column as usize];
        column.type_oid == target && type_name.typmods().is_empty() && column.type_modifier == -1
    }

    /// The OID of a type as written, arrays aside.
    pub(super) fn type_of(&self, type_name: &TypeName) -> Option<u32> {
        if type_name.array_bounds().is_empty() { self.element_type(type_name) } else { None }
    }

    /// The same, or of the elements if it is an array.
    fn element_type(&self, type_name: &TypeName) -> Option<u32> {
        if type_name.pct_type {
            return None;
        }
        let names: Vec<&str> = type_name.names().iter().filter_map(|name| name.sval()).collect();
        let (schema, name) = super::names::qualified(&names);
        self.catalog.type_oid(schema, self.path, name)
    }

    fn sub_link(&mut self, link: &'a SubLink) -> Walk<Flow> {
        use raw::SubLinkType as Kind;
        let test = self.expression(link.testexpr())?;
        // What EXISTS selects is never looked at.
        let projecting = if link.sub_link_type == Kind::EXISTS_SUBLINK { None } else { self.clause };
        let columns = self.query(link.subselect(), projecting)?;
        #[cfg(test)]
        if super::planted::has(super::planted::Bug::NoSubSelect) {
            return Ok(Flow::computed());
        }
        if matches!(link.sub_link_type, Kind::ANY_SUBLINK | Kind::ALL_SUBLINK) {
            let row = self.whole_row(&columns);
            self.computed(&test);
            self.computed(&row);
        }
        if link.sub_link_type == Kind::ARRAY_SUBLINK
            && let Columns::List(all) = &columns
            && let [only] = &all[..]
            && self.is_plain_column(&only.flow)
        {
            self.plain_arrays.push(std::ptr::from_ref(link));
        }
        match link.sub_link_type {
            Kind::EXISTS_SUBLINK => Ok(Flow::computed()),
            Kind::EXPR_SUBLINK | Kind::ARRAY_SUBLINK | Kind::ANY_SUBLINK | Kind::ALL_SUBLINK => {
                Ok(Flow::derived([&test, &self.whole_row(&columns)]))
            }
            _ => {
                let unknown = self.construct("a sub-select of an unknown kind", None, Reach::Anything);
                Ok(Flow::derived([&unknown, &test, &self.whole_row(&columns)]))
            }
        }
    }

    /// A CASE tells what its conditions depend on.
    fn case(&mut self, case: &'a CaseExpr) -> Walk<Flow> {
        let mut parts = vec![self.tested(|walker| walker.expression(case.arg()))?, self.expression(case.defresult())?];
        for node in case.args() {
            if let Node::CaseWhen(when) = node {
                parts.push(self.tested(|walker| walker.expression(when.expr()))?);
                parts.push(self.expression(when.result())?);
            }
        }
        Ok(Flow::derived(&parts))
    }

    fn row(&mut self, args: &'a NodeList) -> Walk<Flow> {
        let mut fields = Vec::new();
        for (index, node) in args.iter().enumerate() {
            let flow = self.expression_or_row(node)?;
            fields.push(Named { name: format!("f{}", index + 1).into(), flow });
        }
        let row = Flow::row(fields.into());
        // A star among them is as many fields as it has columns.
        Ok(if args.iter().any(is_star) { at_best_derived(&row) } else { row })
    }

    /// `ROW(p.*)` takes all columns of p.
    pub(super) fn expression_or_row(&mut self, node: Node<'a>) -> Walk<Flow> {
        if let Node::ColumnRef(reference) = node {
            let fields: Vec<Node<'a>> = reference.fields().iter().collect();
            if let Some((Node::A_Star(_), qualifier)) = fields.split_last() {
                let qualifier: Vec<&str> = qualifier.iter().filter_map(|node| node.as_str()).collect();
                let flow = match self.star_of(&qualifier) {
                    Some(columns) => at_best_derived(&self.whole_row(&columns)),
                    None => self.construct("a star in an expression", None, Reach::Statement),
                };
                self.used(&flow, self.clause);
                return Ok(flow);
            }
        }
        self.expression(node)
    }

    fn indirection(&mut self, indirection: &'a A_Indirection) -> Walk<Flow> {
        // Only the field that is taken counts as used.
        let clause = self.clause;
        let row = self.in_clause(None, |walker| walker.expression_or_row(indirection.arg()))?;
        let mut parts = vec![row];
        for step in indirection.indirection() {
            match step {
                Node::A_Indices(indices) => {
                    let (low, high) = (self.expression(indices.lidx())?, self.expression(indices.uidx())?);
                    self.computed(&low);
                    self.computed(&high);
                    parts = vec![Flow::derived(parts.iter().chain([&low, &high]))];
                }
                Node::String(name) => {
                    let flow = parts.swap_remove(0);
                    parts = vec![self.field(&flow, name.sval().unwrap_or_default())?];
                }
                _ => parts = vec![Flow::derived(&parts)],
            }
        }
        let flow = parts.swap_remove(0);
        self.used(&flow, clause);
        Ok(flow)
    }

    /// A field of a row; `(row).function` where the row has no such field.
    fn field(&mut self, row: &Flow, name: &str) -> Walk<Flow> {
        let field = row.fields.as_ref().and_then(|fields| fields.iter().find(|field| *field.name == *name));
        if let Some(field) = field {
            return Ok(field.flow.clone());
        }
        if row.fields.is_some() && !self.catalog.functions_named(name).is_empty() {
            return self.call(&[name], std::slice::from_ref(row), super::functions::Call::default());
        }
        Ok(at_best_derived(row))
    }

    /// What `(row).*` stands for.
    pub(super) fn composite_star(&mut self, indirection: &'a A_Indirection) -> Walk<Option<Columns>> {
        let steps: Vec<Node<'a>> = indirection.indirection().iter().collect();
        let Some((Node::A_Star(_), steps)) = steps.split_last() else { return Ok(None) };
        let clause = self.clause;
        if let (Node::FuncCall(call), []) = (indirection.arg(), steps) {
            let columns = self.in_clause(clause, |walker| walker.table_function(Node::FuncCall(call), &[], None))?;
            return Ok(Some(columns));
        }
        // `(p).*` of a FROM item is `p.*`, under the names given there.
        if let (Node::ColumnRef(reference), []) = (indirection.arg(), steps) {
            let names = super::names::strings(reference.fields());
            if let Some(super::names::Meaning::Row(_)) = self.look_up(&names)
                && let Some(columns) = self.star_of(&names)
            {
                return Ok(Some(columns));
            }
        }
        let mut flow = self.in_clause(None, |walker| walker.expression_or_row(indirection.arg()))?;
        for step in steps {
            flow = match step {
                Node::String(name) => self.field(&flow, name.sval().unwrap_or_default())?,
                _ => at_best_derived(&flow),
            };
        }
        if let Some(fields) = &flow.fields {
            return Ok(Some(Columns::List(Arc::clone(fields))));
        }
        // A column of a composite type: its fields are made of it.
        let composite = match (&flow.origins, flow.certainty) {
            (Origins::One(id), Certainty::Exact) => {
                let column = &self.catalog.relation(id.relation).columns[id.column as usize];
                self.catalog.row_type(column.type_oid)
            }
            _ => None,
        };
        let flow = at_best_derived(&flow);
        Ok(Some(match composite {
            Some(relation) => Columns::List(
                relation.columns.iter().map(|c| Named { name: Arc::clone(&c.name), flow: flow.clone() }).collect(),
            ),
            None => Columns::Any(Box::new(flow)),
        }))
    }

    fn positional(&self, number: i32) -> Flow {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let argument = index.and_then(|index| self.arguments.get(index));
        argument.map_or_else(Flow::constant, |argument| argument.flow.clone())
    }

    fn json_value(&mut self, value: Option<&'a JsonValueExpr>) -> Walk<Flow> {
        let Some(value) = value else { return Ok(Flow::constant()) };
        Ok(at_best_derived(&self.expression(value.raw_expr())?))
    }

    fn json_pair(&mut self, pair: Option<&'a JsonKeyValue>) -> Walk<Flow> {
        let Some(pair) = pair else { return Ok(Flow::constant()) };
        let (key, value) = (self.expression(pair.key())?, self.json_value(pair.value())?);
        Ok(Flow::derived([&key, &value]))
    }

    fn json_function(&mut self, expr: &'a JsonFuncExpr) -> Walk<Flow> {
        let mut parts = vec![self.json_value(expr.context_item())?, self.expression(expr.pathspec())?];
        for node in expr.passing() {
            parts.push(self.expression(node)?);
        }
        for behavior in [expr.on_empty(), expr.on_error()].into_iter().flatten() {
            parts.push(self.expression(JsonBehavior::expr(behavior))?);
        }
        Ok(Flow::derived(&parts))
    }

    fn json_aggregate(&mut self, constructor: Option<&'a JsonAggConstructor>) -> Walk<()> {
        let Some(constructor) = constructor else { return Ok(()) };
        self.condition(constructor.agg_filter(), Usage::Filtered)?;
        for node in constructor.agg_order() {
            if let Node::SortBy(sort) = node {
                self.condition(sort.node(), Usage::Ordered)?;
            }
        }
        match constructor.over() {
            Some(window) => self.window(window),
            None => Ok(()),
        }
    }
}

/// Whether an operator's result is treated as its operands are and nothing else tells them.
fn is_total(expr: &A_Expr) -> bool {
    let name = expr.name().iter().filter_map(Node::as_str).next_back();
    expr.kind == raw::A_Expr_Kind::AEXPR_OP && name.is_some_and(|name| golden::TOTAL_OPERATORS.contains(&name))
}

/// Whether it stands for several columns in a list: `p.*` or `(row).*`.
pub(super) fn is_star(node: Node<'_>) -> bool {
    let last = match node {
        Node::ColumnRef(reference) => reference.fields().iter().next_back(),
        Node::A_Indirection(indirection) => indirection.indirection().iter().next_back(),
        _ => None,
    };
    matches!(last, Some(Node::A_Star(_)))
}

/// A node's kind in words.
pub(super) fn describe(node: Node<'_>) -> String {
    let text = format!("{node:?}");
    let kind: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    format!("an expression of kind {kind}")
}
