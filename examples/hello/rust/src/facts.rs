//! Everything that the handles say, as the attributes of findings.

use grille_sdk::{
    Certainty, ColumnName, Exchange, Header, ResultColumn, RowFilter, Session, Statement, TransactionState,
};

use crate::imports::name;

type Attributes = Vec<(String, String)>;

pub(crate) fn session(session: &Session) -> Attributes {
    named([
        ("id", session.id()),
        ("target", session.target()),
        ("protocol", session.protocol()),
        ("roles", session.roles().join(",")),
        ("has-role", session.has_role("analyst").to_string()),
        ("listener", session.listener()),
        ("peer", session.peer()),
        ("client", session.client()),
        ("tls", or_none(session.tls())),
        ("issuer", session.issuer()),
        ("subject", session.subject()),
        ("groups", session.groups().join(",")),
        ("actors", joined(",", session.actors(), |actor| format!("{} {}", actor.issuer, actor.subject))),
        ("expires-at", session.expires_at().to_string()),
        ("claims", session.claims()),
    ])
}

pub(crate) fn statement(statement: &Statement) -> Attributes {
    let relations = joined(",", statement.relations(), |used| {
        format!("{}.{}:{}", used.schema, used.name, if used.is_written { "w" } else { "r" })
    });
    let columns = joined(",", statement.columns(), |used| format!("{}:{}", full_name(&used.column), used.usage));
    let functions = joined(",", statement.functions(), |used| {
        format!("{}:{}", used.name, if used.is_known { "known" } else { "unknown" })
    });
    let writes = joined(",", statement.writes(), |write| {
        let filter = match write.filter {
            RowFilter::Absent => "absent",
            RowFilter::AllRows => "all-rows",
            RowFilter::Effective => "effective",
        };
        format!("{} {}.{} {filter}", write.kind, write.schema, write.table)
    });
    let first = statement.parameter(0).map(|parameter| {
        let format = if parameter.is_binary { "binary" } else { "text" };
        let value = parameter.value.map_or_else(|| "NULL".to_owned(), |value| text(&value));
        format!("{}:{format}:{value}", parameter.type_oid)
    });
    let transaction = match statement.transaction() {
        TransactionState::Idle => "idle",
        TransactionState::Open => "open",
        TransactionState::Failed => "failed",
    };
    named([
        ("fingerprint", statement.fingerprint()),
        ("count", statement.statement_count().to_string()),
        ("kinds", statement.kinds().join(",")),
        ("effects", statement.effects().join(",")),
        ("relations", relations),
        ("columns", columns),
        ("functions", functions),
        ("writes", writes),
        ("unknown", statement.unknown().join(";")),
        ("parameters", statement.parameter_count().to_string()),
        ("first", or_none(first)),
        ("transaction", transaction.to_owned()),
    ])
}

pub(crate) fn shape(columns: &[ResultColumn]) -> Attributes {
    let columns = joined(",", columns, |column| {
        let certainty = match column.certainty {
            Certainty::Exact => "exact",
            Certainty::Derived => "derived",
            Certainty::Unknown => "unknown",
        };
        let origins = joined("+", &column.origins, full_name);
        format!("{}:{}:{}:{origins}:{certainty}", column.name, column.type_oid, column.type_name)
    });
    named([("columns", columns)])
}

pub(crate) fn request(exchange: &Exchange) -> Attributes {
    named([
        ("authority", exchange.authority()),
        ("query", joined("&", exchange.query(), |(name, value)| format!("{name}={value}"))),
        ("q", or_none(exchange.query_value("q"))),
        ("endpoint", or_none(exchange.endpoint())),
        ("headers", headers(exchange.request_headers())),
        ("accept", or_none(exchange.request_header("accept").as_deref().map(text))),
        ("body", exchange.request_body(1024).map_or_else(|error| name(&error), |body| text(&body))),
        ("status", or_none(exchange.status().map(|status| status.to_string()))),
    ])
}

pub(crate) fn response(exchange: &Exchange) -> Attributes {
    named([
        ("headers", headers(exchange.response_headers())),
        ("type", or_none(exchange.response_header("content-type").as_deref().map(text))),
        ("body", exchange.response_body(1024).map_or_else(|error| name(&error), |body| text(&body))),
    ])
}

fn named<const N: usize>(facts: [(&str, String); N]) -> Attributes {
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn joined<T>(by: &str, items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<_>>().join(by)
}

fn full_name(column: &ColumnName) -> String {
    format!("{}.{}.{}", column.schema, column.table, column.column)
}

fn headers(headers: Vec<Header>) -> String {
    joined(";", headers, |header| format!("{}={}", header.name, text(&header.value)))
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| "none".to_owned())
}

/// What is no UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
