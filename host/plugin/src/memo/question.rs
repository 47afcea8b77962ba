use std::sync::Arc;

use grille_policy::{Access, ColumnName, RelationName, ResultShape, SessionFacts, Statement};

/// A fact that a guest looked at: a method of a handle with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    // Of the session.
    SessionId,
    Target,
    Protocol,
    Roles,
    HasRole(Box<str>),
    Listener,
    Peer,
    Client,
    Tls,
    Issuer,
    Subject,
    DisplayName,
    Groups,
    HasGroup(Box<str>),
    Actors,
    ExpiresAt,
    Claims,
    // Of the statement.
    Text,
    Fingerprint,
    StatementCount,
    Kinds,
    HasKind(Box<str>),
    Effects,
    HasEffect(Box<str>),
    Relations,
    Columns,
    Functions,
    Writes,
    Unknown,
    ParameterCount,
    Parameter(u32),
    Transaction,
    // Of the shape of a result.
    ShapeLen,
    ShapeRange(u32, u32),
}

/// What questions are about.
pub(crate) struct About<'a> {
    pub(crate) session: &'a SessionFacts,
    pub(crate) statement: Option<&'a Statement>,
    pub(crate) shape: Option<&'a ResultShape>,
}

impl Question {
    /// As the contract writes it: `session.has-role(analyst)`.
    pub(crate) fn describe(&self) -> String {
        let (handle, method) = match self {
            Self::SessionId => ("session", "id"),
            Self::Target => ("session", "target"),
            Self::Protocol => ("session", "protocol"),
            Self::Roles => ("session", "roles"),
            Self::HasRole(role) => return format!("session.has-role({role})"),
            Self::Listener => ("session", "listener"),
            Self::Peer => ("session", "peer"),
            Self::Client => ("session", "client"),
            Self::Tls => ("session", "tls"),
            Self::Issuer => ("session", "issuer"),
            Self::Subject => ("session", "subject"),
            Self::DisplayName => ("session", "display-name"),
            Self::Groups => ("session", "groups"),
            Self::HasGroup(group) => return format!("session.has-group({group})"),
            Self::Actors => ("session", "actors"),
            Self::ExpiresAt => ("session", "expires-at"),
            Self::Claims => ("session", "claims"),
            Self::Text => ("statement", "text"),
            Self::Fingerprint => ("statement", "fingerprint"),
            Self::StatementCount => ("statement", "statement-count"),
            Self::Kinds => ("statement", "kinds"),
            Self::HasKind(kind) => return format!("statement.has-kind({kind})"),
            Self::Effects => ("statement", "effects"),
            Self::HasEffect(effect) => return format!("statement.has-effect({effect})"),
            Self::Relations => ("statement", "relations"),
            Self::Columns => ("statement", "columns"),
            Self::Functions => ("statement", "functions"),
            Self::Writes => ("statement", "writes"),
            Self::Unknown => ("statement", "unknown"),
            Self::ParameterCount => ("statement", "parameter-count"),
            Self::Parameter(index) => return format!("statement.parameter({index})"),
            Self::Transaction => ("statement", "transaction"),
            Self::ShapeLen => ("result-shape", "len"),
            Self::ShapeRange(start, count) => return format!("result-shape.range({start}, {count})"),
        };
        format!("{handle}.{method}")
    }

    /// Appends bytes that are equal exactly if the answers are.
    pub(crate) fn answer(&self, about: &About<'_>, out: &mut Vec<u8>) {
        let session = about.session;
        match self {
            Self::SessionId => put(out, &session.id.to_string()),
            Self::Target => put(out, &session.target),
            Self::Protocol => put(out, &session.protocol),
            Self::Roles => put_all(out, &session.roles),
            Self::HasRole(role) => out.push(u8::from(session.roles.iter().any(|held| **held == **role))),
            Self::Listener => put(out, &session.listener),
            Self::Peer => put(out, &session.peer),
            Self::Client => put(out, &session.client),
            Self::Tls => put(out, session.tls.as_deref().unwrap_or("\0none")),
            Self::Issuer => put(out, &session.subject.issuer),
            Self::Subject => put(out, &session.subject.sub),
            Self::DisplayName => put(out, &session.subject.name),
            Self::Groups => put_all(out, &session.subject.groups),
            Self::HasGroup(group) => {
                out.push(u8::from(session.subject.groups.iter().any(|held| **held == **group)));
            }
            Self::Actors => session.subject.actors.iter().for_each(|actor| {
                put(out, &actor.issuer);
                put(out, &actor.sub);
            }),
            Self::ExpiresAt => out.extend(session.subject.expires_at.to_le_bytes()),
            Self::Claims => put(out, &session.subject.claims),
            Self::ShapeLen | Self::ShapeRange(..) => {
                if let Some(shape) = about.shape {
                    self.answer_shape(shape, out);
                }
            }
            _ => {
                if let Some(statement) = about.statement {
                    self.answer_statement(statement, out);
                }
            }
        }
    }

    fn answer_statement(&self, statement: &Statement, out: &mut Vec<u8>) {
        let facts = &statement.facts;
        match self {
            Self::Text => out.extend(statement.text.as_bytes()),
            Self::Fingerprint => put(out, &facts.fingerprint),
            Self::StatementCount => out.extend(facts.statements.to_le_bytes()),
            Self::Kinds => put_all(out, &facts.kinds),
            Self::HasKind(kind) => out.push(u8::from(facts.kinds.iter().any(|known| **known == **kind))),
            Self::Effects => out.extend(facts.effects.iter().map(|effect| *effect as u8)),
            Self::HasEffect(effect) => {
                out.push(u8::from(facts.effects.iter().any(|known| known.name() == &**effect)));
            }
            Self::Relations => facts.relations.iter().for_each(|used| {
                put_relation(out, &used.relation);
                out.push(u8::from(used.access == Access::Write));
            }),
            Self::Columns => facts.columns.iter().for_each(|used| {
                put_column(out, &used.column);
                out.push(used.usage as u8);
            }),
            Self::Functions => facts.functions.iter().for_each(|used| {
                put(out, &used.name);
                out.push(u8::from(used.is_known));
            }),
            Self::Writes => facts.writes.iter().for_each(|write| {
                put(out, &write.kind);
                put_relation(out, &write.relation);
                out.push(write.filter as u8);
            }),
            Self::Unknown => put_all(out, &facts.unknown),
            Self::ParameterCount => out.extend(statement.parameters.len().to_le_bytes()),
            Self::Parameter(index) => {
                if let Some(parameter) = statement.parameters.get(*index as usize) {
                    out.extend(parameter.type_oid.to_le_bytes());
                    out.push(u8::from(parameter.is_binary) + 2 * u8::from(parameter.value.is_some()));
                    out.extend(parameter.value.iter().flat_map(|value| value.iter()));
                }
            }
            Self::Transaction => out.push(statement.transaction as u8),
            _ => {}
        }
    }

    fn answer_shape(&self, shape: &ResultShape, out: &mut Vec<u8>) {
        let Self::ShapeRange(start, count) = self else {
            out.extend(shape.columns.len().to_le_bytes());
            return;
        };
        for column in shape.columns.iter().skip(*start as usize).take(*count as usize) {
            put(out, &column.name);
            out.extend(column.type_oid.to_le_bytes());
            put(out, &column.type_name);
            out.push(column.certainty as u8);
            out.extend(column.origins.len().to_le_bytes());
            column.origins.iter().for_each(|origin| put_column(out, origin));
        }
    }
}

/// With its length, so that two texts are never one.
fn put(out: &mut Vec<u8>, text: &str) {
    out.extend(text.len().to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_all(out: &mut Vec<u8>, texts: &[Arc<str>]) {
    texts.iter().for_each(|text| put(out, text));
}

fn put_relation(out: &mut Vec<u8>, name: &RelationName) {
    put(out, &name.schema);
    put(out, &name.name);
}

fn put_column(out: &mut Vec<u8>, name: &ColumnName) {
    put(out, &name.schema);
    put(out, &name.table);
    put(out, &name.column);
}
