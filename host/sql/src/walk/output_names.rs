//! The names that the server gives to output columns that have none.

use std::sync::Arc;

use pg_raw_parse::{Node, raw};

use super::names::strings;

/// Stands for a name that is not worked out here. Nobody can write it.
pub(super) const GUESSED: &str = "\0";

pub(super) fn of(node: Node<'_>) -> Arc<str> {
    strong(node).or_else(|| weak(node).map(Arc::from)).unwrap_or_else(|| "?column?".into())
}

fn strong(node: Node<'_>) -> Option<Arc<str>> {
    let mut node = node;
    loop {
        match node {
            Node::ColumnRef(reference) => return strings(reference.fields()).last().map(|&name| name.into()),
            Node::A_Indirection(indirection) => match indirection.indirection().iter().rev().find_map(Node::as_str) {
                Some(name) => return Some(name.into()),
                None => node = indirection.arg(),
            },
            Node::FuncCall(call) => return strings(call.funcname()).last().map(|&name| name.into()),
            Node::A_Expr(expr) if expr.kind == raw::A_Expr_Kind::AEXPR_NULLIF => return Some("nullif".into()),
            Node::TypeCast(cast) => node = cast.arg(),
            Node::CollateClause(clause) => node = clause.arg(),
            Node::CaseExpr(case) => node = case.defresult(),
            Node::GroupingFunc(_) => return Some("grouping".into()),
            Node::MergeSupportFunc(_) => return Some("merge_action".into()),
            Node::SubLink(link) => {
                let Node::SelectStmt(select) = link.subselect() else { return None };
                return match link.sub_link_type {
                    raw::SubLinkType::EXISTS_SUBLINK => Some("exists".into()),
                    raw::SubLinkType::ARRAY_SUBLINK => Some("array".into()),
                    // The first column of what is selected; a set operation, VALUES and a star have it further in.
                    raw::SubLinkType::EXPR_SUBLINK => Some(match select.target_list().first() {
                        Some(target) if !super::expr::is_star(target.val()) => {
                            target.name().map_or_else(|| of(target.val()), Arc::from)
                        }
                        _ => GUESSED.into(),
                    }),
                    _ => None,
                };
            }
            Node::A_ArrayExpr(_) => return Some("array".into()),
            Node::RowExpr(_) => return Some("row".into()),
            Node::CoalesceExpr(_) => return Some("coalesce".into()),
            Node::MinMaxExpr(expr) => {
                let is_greatest = expr.op == raw::MinMaxOp::IS_GREATEST;
                return Some(if is_greatest { "greatest" } else { "least" }.into());
            }
            Node::XmlExpr(expr) => return xml(expr.op).map(Arc::from),
            Node::XmlSerialize(_) => return Some("xmlserialize".into()),
            Node::JsonParseExpr(_) => return Some("json".into()),
            Node::JsonScalarExpr(_) => return Some("json_scalar".into()),
            Node::JsonSerializeExpr(_) => return Some("json_serialize".into()),
            Node::JsonObjectConstructor(_) => return Some("json_object".into()),
            Node::JsonArrayConstructor(_) | Node::JsonArrayQueryConstructor(_) => return Some("json_array".into()),
            Node::JsonObjectAgg(_) => return Some("json_objectagg".into()),
            Node::JsonArrayAgg(_) => return Some("json_arrayagg".into()),
            Node::JsonFuncExpr(expr) => return json(expr.op).map(Arc::from),
            Node::SQLValueFunction(function) => return Some(sql_value(function.op).into()),
            _ => return None,
        }
    }
}

/// A cast or a CASE names its column only if nothing inside does.
fn weak(node: Node<'_>) -> Option<&str> {
    match node {
        Node::TypeCast(cast) => cast.type_name()?.names().iter().filter_map(|name| name.sval()).next_back(),
        Node::CaseExpr(_) => Some("case"),
        Node::CollateClause(clause) => weak(clause.arg()),
        Node::A_Indirection(indirection) => weak(indirection.arg()),
        _ => None,
    }
}

fn xml(op: raw::XmlExprOp::Type) -> Option<&'static str> {
    Some(match op {
        raw::XmlExprOp::IS_XMLCONCAT => "xmlconcat",
        raw::XmlExprOp::IS_XMLELEMENT => "xmlelement",
        raw::XmlExprOp::IS_XMLFOREST => "xmlforest",
        raw::XmlExprOp::IS_XMLPARSE => "xmlparse",
        raw::XmlExprOp::IS_XMLPI => "xmlpi",
        raw::XmlExprOp::IS_XMLROOT => "xmlroot",
        raw::XmlExprOp::IS_XMLSERIALIZE => "xmlserialize",
        _ => return None,
    })
}

fn json(op: raw::JsonExprOp::Type) -> Option<&'static str> {
    Some(match op {
        raw::JsonExprOp::JSON_EXISTS_OP => "json_exists",
        raw::JsonExprOp::JSON_QUERY_OP => "json_query",
        raw::JsonExprOp::JSON_VALUE_OP => "json_value",
        _ => return None,
    })
}

fn sql_value(op: raw::SQLValueFunctionOp::Type) -> &'static str {
    use raw::SQLValueFunctionOp as Op;
    match op {
        Op::SVFOP_CURRENT_DATE => "current_date",
        Op::SVFOP_CURRENT_TIME | Op::SVFOP_CURRENT_TIME_N => "current_time",
        Op::SVFOP_CURRENT_TIMESTAMP | Op::SVFOP_CURRENT_TIMESTAMP_N => "current_timestamp",
        Op::SVFOP_LOCALTIME | Op::SVFOP_LOCALTIME_N => "localtime",
        Op::SVFOP_LOCALTIMESTAMP | Op::SVFOP_LOCALTIMESTAMP_N => "localtimestamp",
        Op::SVFOP_CURRENT_ROLE => "current_role",
        Op::SVFOP_CURRENT_USER => "current_user",
        Op::SVFOP_USER => "user",
        Op::SVFOP_SESSION_USER => "session_user",
        Op::SVFOP_CURRENT_CATALOG => "current_catalog",
        Op::SVFOP_CURRENT_SCHEMA => "current_schema",
        _ => "?column?",
    }
}
