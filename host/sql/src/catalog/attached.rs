//! What the server computes by itself when rows of a relation are read or written: no statement names it.

use std::sync::{Arc, OnceLock};

use super::Catalog;
use crate::walk::Noted;

/// What is attached to a relation.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The values of columns that are given none, by the columns' places.
    pub(crate) defaults: Vec<(usize, Attachment)>,
    /// What is computed of each new row: checks, expressions of indexes and of the partitions' key.
    pub(crate) checks: Vec<Attachment>,
    /// What policies on rows say yes or no by.
    pub(crate) policies: Vec<Attachment>,
    pub(crate) triggers: Vec<Trigger>,
    /// Relations that refer to this one, and whether their rows change with its own.
    pub(crate) followers: Vec<(u32, bool)>,
}

/// A text that the server keeps and computes by itself.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) text: Box<str>,
    /// What it means, worked out when it is first asked for.
    pub(crate) meaning: OnceLock<Arc<Noted>>,
}

#[derive(Debug)]
pub(crate) struct Trigger {
    pub(crate) events: Events,
    pub(crate) function: u32,
    /// Its CREATE TRIGGER, empty if it has no condition.
    pub(crate) definition: Attachment,
    /// Whether it gives its function names for the rows that were changed.
    pub(crate) sees_tables: bool,
}

/// What values of a domain are tried by, and what they are by default.
#[derive(Debug, Default)]
pub(crate) struct Domain {
    pub(crate) checks: Vec<Attachment>,
    pub(crate) default: Option<Attachment>,
}

impl Attachment {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), meaning: OnceLock::new() }
    }
}

/// Ways to write rows, with the bits of `pg_trigger.tgtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Events(i16);

impl Events {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const INSERT: Self = Self(4);
    pub(crate) const DELETE: Self = Self(8);
    pub(crate) const UPDATE: Self = Self(16);
    pub(crate) const TRUNCATE: Self = Self(32);

    pub(crate) const fn of_trigger(kind: i16) -> Self {
        Self(kind & 0b11_1100)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Catalog {
    /// The domains that a value of the type is tried by: its own, those of its elements and those of its fields.
    pub(crate) fn domains_of(&self, type_oid: u32) -> Vec<&Domain> {
        if self.domains.is_empty() {
            return Vec::new();
        }
        let (mut seen, mut open, mut found) = (Vec::new(), vec![type_oid], Vec::new());
        while let Some(oid) = open.pop() {
            if seen.contains(&oid) {
                continue;
            }
            seen.push(oid);
            found.extend(self.domains.get(&oid));
            open.extend(self.types.get(&oid).map(|kind| kind.inner));
            open.extend(self.row_type(oid).iter().flat_map(|row| &row.columns).map(|column| column.type_oid));
        }
        found
    }

    /// What a column of the type is by default, if the type says so.
    pub(crate) fn type_default(&self, type_oid: u32) -> Option<&Attachment> {
        let mut oid = type_oid;
        // A domain over a domain has its default, too, unless it has one of its own.
        for _ in 0..DOMAIN_DEPTH {
            match self.domains.get(&oid).and_then(|domain| domain.default.as_ref()) {
                Some(default) => return Some(default),
                None => oid = self.types.get(&oid)?.inner,
            }
        }
        None
    }
}

/// Domains over domains; beyond any that somebody would write.
const DOMAIN_DEPTH: u8 = 32;
