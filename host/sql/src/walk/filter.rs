//! Whether a WHERE limits the rows that a statement writes.

use grille_policy::{Filter, Usage};
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes::{A_Expr, SubLink};
use pg_raw_parse::{ConstValue, Node, raw};

use super::{Item, Walker};
use crate::limits::Walk;

/// What is known of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    /// The same for each row, and not known.
    Fixed,
    /// It depends on the row.
    Row,
}

impl<'a> Walker<'a> {
    /// Walks a WHERE and tells whether it depends on the row of the target.
    pub(super) fn filter(&mut self, node: Node<'a>, target: &Item<'a>) -> Walk<Filter> {
        if matches!(node, Node::None) {
            return Ok(Filter::None);
        }
        let truth = self.in_clause(Some(Usage::Filtered), |walker| walker.truth(node, target))?;
        Ok(match truth {
            Truth::Row | Truth::False => Filter::Effective,
            Truth::True | Truth::Fixed => Filter::None,
        })
    }

    fn truth(&mut self, node: Node<'a>, target: &Item<'a>) -> Walk<Truth> {
        match node {
            Node::BoolExpr(expr) => self.deeper(|walker| {
                let mut truths = Vec::new();
                for part in expr.args() {
                    truths.push(walker.truth(part, target)?);
                }
                let has = |truth| truths.contains(&truth);
                Ok(match expr.boolop {
                    raw::BoolExprType::AND_EXPR => match () {
                        () if has(Truth::False) => Truth::False,
                        () if has(Truth::Row) => Truth::Row,
                        () if has(Truth::Fixed) => Truth::Fixed,
                        () => Truth::True,
                    },
                    raw::BoolExprType::OR_EXPR => match () {
                        () if has(Truth::True) || covers_everything(expr.args()) => Truth::True,
                        () if has(Truth::Fixed) => Truth::Fixed,
                        () if has(Truth::Row) => Truth::Row,
                        () => Truth::False,
                    },
                    _ => match truths.first() {
                        Some(Truth::True) => Truth::False,
                        Some(Truth::False) => Truth::True,
                        Some(Truth::Row) => Truth::Row,
                        _ => Truth::Fixed,
                    },
                })
            }),
            Node::A_Const(constant) => Ok(match constant.val() {
                Some(ConstValue::Boolean(true)) => Truth::True,
                Some(ConstValue::Boolean(false)) | None => Truth::False,
                _ => Truth::Fixed,
            }),
            Node::CurrentOfExpr(_) => Ok(Truth::Row),
            node => {
                let before = self.target_references;
                self.expression(node)?;
                let depends = self.target_references > before;
                Ok(if depends { self.of_row(node, target) } else { fixed(node) })
            }
        }
    }

    /// A condition that names the row may be true of each row all the same.
    fn of_row(&self, node: Node<'a>, target: &Item<'a>) -> Truth {
        use raw::A_Expr_Kind as Kind;
        match node {
            Node::A_Expr(expr) => {
                let name = expr.name().iter().filter_map(Node::as_str).next_back().unwrap_or_default();
                match expr.kind {
                    Kind::AEXPR_OP if matches!(name, "=" | ">=" | "<=") && same_sides(expr) => Truth::True,
                    Kind::AEXPR_OP if matches!(name, "<>" | "<" | ">") && same_sides(expr) => Truth::False,
                    Kind::AEXPR_NOT_DISTINCT if same_sides(expr) => Truth::True,
                    Kind::AEXPR_LIKE | Kind::AEXPR_ILIKE if is_any_text(expr.rexpr()) && !name.starts_with('!') => {
                        Truth::True
                    }
                    Kind::AEXPR_IN if name == "=" => match expr.rexpr() {
                        Node::NodeList(list) if list.iter().any(|other| same(expr.lexpr(), other)) => Truth::True,
                        _ => Truth::Row,
                    },
                    Kind::AEXPR_BETWEEN | Kind::AEXPR_BETWEEN_SYM => match expr.rexpr() {
                        Node::NodeList(list) if list.iter().all(|other| same(expr.lexpr(), other)) => Truth::True,
                        _ => Truth::Row,
                    },
                    _ => Truth::Row,
                }
            }
            Node::NullTest(test) if test.nulltesttype == raw::NullTestType::IS_NOT_NULL => {
                if self.is_never_null(test.arg(), target) { Truth::True } else { Truth::Row }
            }
            Node::NullTest(test) => {
                if self.is_never_null(test.arg(), target) {
                    Truth::False
                } else {
                    Truth::Row
                }
            }
            Node::SubLink(link) if self.selects_itself(link, target) => Truth::True,
            _ => Truth::Row,
        }
    }

    fn is_never_null(&self, node: Node<'a>, target: &Item<'a>) -> bool {
        let (Node::ColumnRef(reference), Some(id)) = (node, target.relation) else { return false };
        let names = super::names::strings(reference.fields());
        let column = names.last().copied().unwrap_or_default();
        let relation = self.catalog.relation(id);
        relation.columns.iter().any(|known| *known.name == *column && known.is_not_null)
    }

    /// `x IN (SELECT x FROM the_same_table)`.
    fn selects_itself(&self, link: &SubLink, target: &Item<'a>) -> bool {
        let (Node::ColumnRef(outer), Node::SelectStmt(select)) = (link.testexpr(), link.subselect()) else {
            return false;
        };
        let from: Vec<Node<'_>> = select.from_clause().iter().collect();
        let targets: Vec<Node<'_>> = select.target_list().iter().map(|target| target.val()).collect();
        let ([Node::RangeVar(range)], [Node::ColumnRef(inner)]) = (&from[..], &targets[..]) else { return false };
        let last = |reference: &pg_raw_parse::nodes::ColumnRef| {
            super::names::strings(reference.fields()).last().map(|name| (*name).to_owned())
        };
        link.sub_link_type == raw::SubLinkType::ANY_SUBLINK
            && matches!(select.where_clause(), Node::None)
            && matches!(select.having_clause(), Node::None)
            && matches!(select.limit_count(), Node::None)
            && target.relation.is_some()
            && self.relation_id(range) == target.relation
            && last(outer) == last(inner)
    }
}

/// A condition without the row: known only where it compares two plain constants.
fn fixed(node: Node<'_>) -> Truth {
    let Node::A_Expr(expr) = node else { return Truth::Fixed };
    let (Node::A_Const(left), Node::A_Const(right)) = (expr.lexpr(), expr.rexpr()) else { return Truth::Fixed };
    let name = expr.name().iter().filter_map(Node::as_str).next_back().unwrap_or_default();
    let (Some(left), Some(right)) = (left.val(), right.val()) else { return Truth::Fixed };
    let order = match (left, right) {
        (ConstValue::Integer(left), ConstValue::Integer(right)) => left.cmp(&right),
        (ConstValue::String(left), ConstValue::String(right)) if left == right => std::cmp::Ordering::Equal,
        _ => return Truth::Fixed,
    };
    let is_true = match name {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => return Truth::Fixed,
    };
    if is_true { Truth::True } else { Truth::False }
}

fn is_any_text(node: Node<'_>) -> bool {
    match super::functions::constant_text(node) {
        Some(text) => !text.is_empty() && text.bytes().all(|byte| byte == b'%'),
        None => false,
    }
}

fn same_sides(expr: &A_Expr) -> bool {
    same(expr.lexpr(), expr.rexpr())
}

/// `x IS NULL OR x IS NOT NULL`, `x OR NOT x`.
fn covers_everything(args: &NodeList) -> bool {
    /// Only short lists are looked at: comparing pairs is quadratic, and nobody hides a tautology among hundreds.
    const PAIRS_AMONG: usize = 32;
    let args: Vec<Node<'_>> = args.iter().take(PAIRS_AMONG).collect();
    args.iter().enumerate().any(|(index, one)| args[index + 1..].iter().any(|two| opposite(*one, *two)))
}

fn opposite(one: Node<'_>, two: Node<'_>) -> bool {
    let negated = |node: Node<'_>, other: Node<'_>| match node {
        Node::BoolExpr(expr) if expr.boolop == raw::BoolExprType::NOT_EXPR => {
            expr.args().get(0).is_some_and(|inner| same(inner, other))
        }
        _ => false,
    };
    match (one, two) {
        (Node::NullTest(one), Node::NullTest(two)) => {
            one.nulltesttype != two.nulltesttype && same(one.arg(), two.arg())
        }
        (Node::A_Expr(left), Node::A_Expr(right)) => {
            let name =
                |expr: &A_Expr| expr.name().iter().filter_map(Node::as_str).next_back().unwrap_or_default().to_owned();
            let complements = [("=", "<>"), ("<", ">="), (">", "<="), ("<=", ">"), (">=", "<"), ("<=", ">=")];
            let (one, two) = (name(left), name(right));
            left.kind == raw::A_Expr_Kind::AEXPR_OP
                && right.kind == raw::A_Expr_Kind::AEXPR_OP
                && complements.iter().any(|&(a, b)| (one == a && two == b) || (one == b && two == a))
                && same(left.lexpr(), right.lexpr())
                && same(left.rexpr(), right.rexpr())
        }
        (one, two) => negated(one, two) || negated(two, one),
    }
}

/// Whether two expressions read the same, wherever they stand. Deep ones are not compared.
fn same(one: Node<'_>, two: Node<'_>) -> bool {
    same_within(one, two, 8)
}

fn same_within(one: Node<'_>, two: Node<'_>, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let lists = |one: &NodeList, two: &NodeList| {
        one.len() == two.len() && one.iter().zip(two.iter()).all(|(one, two)| same_within(one, two, depth))
    };
    match (one, two) {
        (Node::None, Node::None) => true,
        (Node::String(one), Node::String(two)) => one.sval() == two.sval(),
        (Node::ColumnRef(one), Node::ColumnRef(two)) => {
            let (one, two) = (super::names::strings(one.fields()), super::names::strings(two.fields()));
            // `t.id = id` is `id = id` for the only table in sight.
            one.last() == two.last() && (one.len() != two.len() || one == two)
        }
        (Node::A_Const(one), Node::A_Const(two)) => match (one.val(), two.val()) {
            (Some(one), Some(two)) => one.to_string() == two.to_string(),
            (one, two) => one.is_none() && two.is_none(),
        },
        (Node::TypeCast(left), Node::TypeCast(right)) => {
            let names = |cast: &pg_raw_parse::nodes::TypeCast| {
                cast.type_name().map(|name| {
                    name.names().iter().filter_map(|part| part.sval()).map(str::to_owned).collect::<Vec<_>>()
                })
            };
            names(left) == names(right) && same_within(left.arg(), right.arg(), depth)
        }
        (Node::A_Expr(one), Node::A_Expr(two)) => {
            one.kind == two.kind
                && lists(one.name(), two.name())
                && same_within(one.lexpr(), two.lexpr(), depth)
                && same_within(one.rexpr(), two.rexpr(), depth)
        }
        (Node::FuncCall(one), Node::FuncCall(two)) => {
            lists(one.funcname(), two.funcname()) && lists(one.args(), two.args())
        }
        (Node::NodeList(one), Node::NodeList(two)) => lists(one, two),
        (Node::CoalesceExpr(one), Node::CoalesceExpr(two)) => lists(one.args(), two.args()),
        _ => false,
    }
}
