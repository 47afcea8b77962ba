//! Which answer belongs to which message of the extended protocol, so that results prepared earlier have their headings
//! and binary values their types.

use std::collections::{HashMap, VecDeque};

use grille_pg_codec::Format;
use grille_pg_codec::backend::RowDescription;
use grille_pg_codec::frame::{Frames, INSPECTED_MAX};
use grille_pg_codec::frontend::{Message, Target};

/// More prepared statements, or messages without an answer, than any driver has; beyond it the replay forgets them.
const REMEMBERED_MAX: usize = 10_000;

/// A column of a result.
#[derive(Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_oid: u32,
    pub(super) format: Format,
}

/// The columns that a description names.
pub(super) fn columns(shape: &RowDescription<'_>) -> Vec<Column> {
    shape
        .fields()
        .map(|field| Column {
            name: String::from_utf8_lossy(field.name).into_owned(),
            type_oid: field.type_oid,
            format: field.format,
        })
        .collect()
}

/// The conversation so far, from the caller's side.
#[derive(Default)]
pub(super) struct Pipeline {
    partial: Vec<u8>,
    statements: HashMap<Vec<u8>, Vec<Column>>,
    portals: HashMap<Vec<u8>, Portal>,
    awaited: VecDeque<Awaited>,
    /// The description of the portal that runs next.
    described: Option<Vec<Column>>,
}

#[derive(Clone, Default)]
struct Portal {
    statement: Vec<u8>,
    formats: Vec<Format>,
}

enum Awaited {
    Parse(Vec<u8>),
    DescribeStatement(Vec<u8>),
    DescribePortal,
    Execute(Portal),
    /// Bind and Close: one answer, and nothing in it.
    Receipt,
    Sync,
    Query,
}

impl Pipeline {
    /// Bytes of the caller. What is no message is passed over: replays show, they do not judge.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let mut buffer = std::mem::take(&mut self.partial);
        buffer.extend_from_slice(bytes);
        let mut frames = Frames::new(&buffer);
        for frame in frames.by_ref() {
            let Ok(frame) = frame else { return self.forget() };
            if let Ok(message) = Message::parse(frame.tag, frame.body()) {
                self.message(message);
            }
        }
        let rest = buffer.split_off(frames.consumed());
        if rest.len() > INSPECTED_MAX || self.awaited.len() > REMEMBERED_MAX {
            return self.forget();
        }
        self.partial = rest;
    }

    fn message(&mut self, message: Message<'_>) {
        if self.portals.len() > REMEMBERED_MAX {
            self.portals.clear();
        }
        self.awaited.push_back(match message {
            Message::Query(_) => Awaited::Query,
            Message::Parse(parse) => Awaited::Parse(parse.name.to_vec()),
            Message::Bind(bind) => {
                let portal =
                    Portal { statement: bind.statement.to_vec(), formats: bind.result_formats.iter().collect() };
                self.portals.insert(bind.portal.to_vec(), portal);
                Awaited::Receipt
            }
            Message::Describe(Target::Statement(name)) => Awaited::DescribeStatement(name.to_vec()),
            Message::Describe(Target::Portal(_)) => Awaited::DescribePortal,
            Message::Execute(execute) => {
                Awaited::Execute(self.portals.get(execute.portal).cloned().unwrap_or_default())
            }
            Message::Close(_) => Awaited::Receipt,
            Message::Sync => Awaited::Sync,
            _ => return,
        });
    }

    /// A description came: true if a result follows it at once, as in the simple protocol.
    pub(super) fn shape(&mut self, columns: &[Column]) -> bool {
        match self.awaited.front() {
            Some(Awaited::DescribeStatement(name)) => {
                if self.statements.len() > REMEMBERED_MAX {
                    self.statements.clear();
                }
                self.statements.insert(name.clone(), columns.to_vec());
            }
            Some(Awaited::DescribePortal) => self.described = Some(columns.to_vec()),
            _ => return true,
        }
        self.awaited.pop_front();
        false
    }

    /// ParseComplete, BindComplete, CloseComplete, NoData.
    pub(super) fn receipt(&mut self) {
        match self.awaited.front() {
            Some(Awaited::Parse(name)) => {
                // Its shape is not known until it is described again.
                self.statements.remove(name);
            }
            Some(Awaited::DescribeStatement(_) | Awaited::DescribePortal | Awaited::Receipt) => {}
            _ => return,
        }
        self.awaited.pop_front();
    }

    /// The columns of the result whose first row, or end, comes now.
    pub(super) fn result(&mut self) -> Option<Vec<Column>> {
        let Some(Awaited::Execute(portal)) = self.awaited.front() else { return None };
        if let Some(described) = self.described.take() {
            return Some(described);
        }
        let mut columns = self.statements.get(&portal.statement)?.clone();
        for (place, column) in columns.iter_mut().enumerate() {
            column.format = match portal.formats.as_slice() {
                [] => Format::Text,
                [one] => *one,
                many => many.get(place).copied().unwrap_or_default(),
            };
        }
        Some(columns)
    }

    /// CommandComplete, EmptyQueryResponse, PortalSuspended.
    pub(super) fn end(&mut self) {
        if matches!(self.awaited.front(), Some(Awaited::Execute(_))) {
            self.awaited.pop_front();
        }
        self.described = None;
    }

    /// An error: everything up to the next Sync gets no answer.
    pub(super) fn error(&mut self) {
        while self.awaited.front().is_some_and(|next| !matches!(next, Awaited::Sync | Awaited::Query)) {
            self.awaited.pop_front();
        }
        self.described = None;
    }

    /// ReadyForQuery.
    pub(super) fn ready(&mut self) {
        self.error();
        self.awaited.pop_front();
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}
