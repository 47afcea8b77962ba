//! From what a case says to what a hook is asked about.

use std::collections::BTreeMap;
use std::sync::Arc;

use grille_policy::{
    Actor, BaseColumn, Batch, Body as ExchangeBody, Certainty, ColumnName, Exchange, Header, KeyKind, Parameter,
    Response as ExchangeResponse, ResultColumn, ResultShape, SessionFacts, SessionId, Statement, Subject,
    TransactionState,
};
use serde_json::json;

use super::analyst::{Analyst, Table, TableColumn};
use super::file::{
    Body, CaseColumn, CaseFile, CaseResultColumn, CaseSession, CertaintyWord, KeyWord, Request, Response,
    StatementCase, TransactionWord,
};

/// Who asks, with plain values for what the case leaves out.
pub(super) fn session(said: &CaseSession, is_http: bool) -> Arc<SessionFacts> {
    let text = |said: &Option<String>, plain: &str| -> Arc<str> { said.as_deref().unwrap_or(plain).into() };
    let issuer = text(&said.issuer, "https://id.example.org");
    let sub = text(&said.subject, "ann");
    let mut roles: Vec<Arc<str>> = match &said.roles {
        Some(roles) => roles.iter().map(|role| role.as_str().into()).collect(),
        None => vec!["analyst".into()],
    };
    roles.sort();
    let actor = |actor: &super::file::ActorFacts| Actor {
        issuer: actor.issuer.as_deref().map_or_else(|| Arc::clone(&issuer), Into::into),
        sub: actor.subject.as_str().into(),
    };
    let claims = said.claims.clone().unwrap_or_else(|| json!({ "iss": *issuer, "sub": *sub }));
    let subject = Subject {
        provider: "case".into(),
        name: said.display_name.as_deref().map_or_else(|| Arc::clone(&sub), Into::into),
        groups: said.groups.iter().map(|group| group.as_str().into()).collect(),
        actors: said.actors.iter().map(actor).collect(),
        // The end of the year 2099.
        expires_at: said.expires_at.unwrap_or(4_102_444_799),
        claims: claims.to_string().into(),
        issuer: Arc::clone(&issuer),
        sub,
    };
    Arc::new(SessionFacts {
        id: SessionId::mint(1_767_225_600_000, 1),
        subject: Arc::new(subject),
        target: text(&said.target, "clinic"),
        protocol: text(&said.protocol, if is_http { "http" } else { "postgres" }),
        roles,
        listener: text(&said.listener, if is_http { "api" } else { "pg" }),
        peer: text(&said.peer, "192.0.2.7:50000"),
        client: text(&said.client, "psql"),
        tls: said.tls.as_deref().map(Into::into),
    })
}

/// A statement with its facts.
pub(super) fn statement(
    said: &StatementCase,
    file: &CaseFile,
    analyst: Option<&Arc<dyn Analyst>>,
) -> Result<Statement, String> {
    let analyst = analyst.ok_or("this host cannot read SQL; run the case with `grille plugin test`")?;
    let tables = tables(said.schema.as_ref().unwrap_or(&file.schema))?;
    let parameter = |value: &Option<String>| Parameter {
        type_oid: 0,
        is_binary: false,
        value: value.as_ref().map(|value| value.as_bytes().into()),
    };
    Ok(Statement {
        text: said.sql.as_str().into(),
        facts: analyst.facts(&said.sql, &tables.into())?,
        parameters: said.parameters.iter().map(parameter).collect(),
        transaction: match said.transaction.unwrap_or_default() {
            TransactionWord::Idle => TransactionState::Idle,
            TransactionWord::Open => TransactionState::Open,
            TransactionWord::Failed => TransactionState::Failed,
        },
    })
}

fn tables(schema: &BTreeMap<String, Vec<String>>) -> Result<Vec<Table>, String> {
    let table = |(name, columns): (&String, &Vec<String>)| {
        let Some((schema, table)) =
            name.split_once('.').filter(|(schema, table)| !schema.is_empty() && !table.is_empty())
        else {
            return Err(format!("the schema's table `{name}` must be written as `schema.table`"));
        };
        let column = |column: &String| match column.trim().split_once(' ') {
            Some((name, type_name)) => {
                Ok(TableColumn { name: name.to_owned(), type_name: type_name.trim().to_owned() })
            }
            None => Err(format!("column `{column}` of `{name}` must be written as `name type`, such as `ssn text`")),
        };
        let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Table { schema: schema.to_owned(), name: table.to_owned(), columns })
    };
    schema.iter().map(table).collect()
}

pub(super) fn columns(said: &[CaseColumn], analyst: Option<&Arc<dyn Analyst>>) -> Result<Vec<BaseColumn>, String> {
    let column = |column: &CaseColumn| {
        let (type_oid, type_name) = type_of(&column.type_name, analyst)?;
        Ok(BaseColumn {
            name: column_name(&column.name)?,
            type_oid,
            type_name,
            key: match column.key {
                None => KeyKind::None,
                Some(KeyWord::Primary) => KeyKind::Primary,
                Some(KeyWord::Foreign) => KeyKind::Foreign,
            },
            comment: column.comment.as_str().into(),
        })
    };
    said.iter().map(column).collect()
}

pub(super) fn shape(said: &[CaseResultColumn], analyst: Option<&Arc<dyn Analyst>>) -> Result<Arc<ResultShape>, String> {
    let column = |column: &CaseResultColumn| {
        let (type_oid, type_name) = type_of(&column.type_name, analyst)?;
        Ok(ResultColumn {
            name: column.name.as_str().into(),
            type_oid,
            type_name,
            origins: column.origins.iter().map(|origin| column_name(origin)).collect::<Result<_, String>>()?,
            certainty: match column.certainty {
                None | Some(CertaintyWord::Exact) => Certainty::Exact,
                Some(CertaintyWord::Derived) => Certainty::Derived,
                Some(CertaintyWord::Unknown) => Certainty::Unknown,
            },
        })
    };
    Ok(Arc::new(ResultShape { columns: said.iter().map(column).collect::<Result<_, String>>()? }))
}

fn type_of(name: &str, analyst: Option<&Arc<dyn Analyst>>) -> Result<(u32, Arc<str>), String> {
    let Some(analyst) = analyst else { return Ok((0, name.into())) };
    analyst.type_of(name).ok_or_else(|| format!("PostgreSQL has no type `{name}`"))
}

fn column_name(name: &str) -> Result<ColumnName, String> {
    let mut parts = name.split('.').filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(schema), Some(table), Some(column), None) => {
            Ok(ColumnName { schema: schema.into(), table: table.into(), column: column.into() })
        }
        _ => Err(format!("the column `{name}` must be written as `schema.table.column`")),
    }
}

pub(super) fn exchange(request: &Request, response: Option<&Response>) -> Arc<Exchange> {
    Arc::new(Exchange {
        method: request.method.as_str().into(),
        authority: request.authority.as_deref().unwrap_or("api.example.org").into(),
        path: request.path.as_str().into(),
        query: request.query.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
        endpoint: request.endpoint.as_deref().map(Into::into),
        headers: headers(&request.headers),
        // A request's body is kept before it is judged, a response streams past.
        body: body(request.body.as_ref(), &ExchangeBody::Whole(Arc::new([]))),
        response: response.map(|response| ExchangeResponse {
            status: response.status,
            headers: headers(&response.headers),
            body: body(response.body.as_ref(), &ExchangeBody::Streamed),
        }),
    })
}

/// The request where a case names none.
pub(super) fn plain_request() -> Request {
    Request { method: "GET".into(), path: "/".into(), ..Request::default() }
}

fn headers(headers: &BTreeMap<String, String>) -> Vec<Header> {
    headers.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

fn body(said: Option<&Body>, plain: &ExchangeBody) -> ExchangeBody {
    match said {
        None => plain.clone(),
        Some(Body::Text(text)) => ExchangeBody::Whole(text.as_bytes().into()),
        Some(Body::Json(json)) => ExchangeBody::Whole(json.to_string().into_bytes().into()),
        Some(Body::TooLarge {}) => ExchangeBody::TooLarge,
        Some(Body::Streamed {}) => ExchangeBody::Streamed,
    }
}

/// Values as they cross into a guest.
pub(super) fn batch(values: &[Option<String>]) -> Result<Batch, String> {
    let mut batch = Batch { nulls: vec![0; values.len().div_ceil(8)], offsets: vec![0], ..Batch::default() };
    for (index, value) in values.iter().enumerate() {
        match value {
            Some(value) => batch.blob.extend_from_slice(value.as_bytes()),
            None => batch.nulls[index / 8] |= 1 << (index % 8),
        }
        batch.offsets.push(u32::try_from(batch.blob.len()).map_err(|_| "the values are too long".to_owned())?);
    }
    if values.len() > VALUES_MAX || batch.blob.len() > VALUE_BYTES_MAX {
        return Err("the host passes at most 1,000 values or 64 KiB at once; name fewer".into());
    }
    Ok(batch)
}

const VALUES_MAX: usize = 1_000;
const VALUE_BYTES_MAX: usize = 64 << 10;

/// And back: the answer has been checked.
pub(super) fn values(batch: &Batch) -> Vec<Option<String>> {
    let places = batch.offsets.windows(2).enumerate();
    let value = |(index, place): (usize, &[u32])| {
        let is_null = batch.nulls.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        let bytes = batch.blob.get(place[0] as usize..place[1] as usize).unwrap_or_default();
        (!is_null).then(|| String::from_utf8_lossy(bytes).into_owned())
    };
    places.map(value).collect()
}
