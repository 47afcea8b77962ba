//! What the caller has prepared and bound on the server, by name.
//!
//! A name is put down when its message is forwarded, because the messages that use it follow in the same packet; it is
//! taken back when the server did not accept it. A name that is not here is never executed.

use std::collections::HashMap;
use std::sync::Arc;

use grille_pg_codec::Format;
use grille_pg_codec::backend::OwnedField;
use grille_policy::{Decision, DecisionId, Parameter, TransactionState};
use parking_lot::Mutex;

use crate::filter::Filter;
use crate::operation::Judged;

/// Prepared statements per session: pools and drivers keep some hundred; each costs its text and analysis.
pub(crate) const STATEMENTS_MAX: usize = 10_000;
/// Portals per session.
pub(crate) const PORTALS_MAX: usize = 1_000;

/// A name on the wire; empty is the unnamed one.
pub(crate) type Name = Box<[u8]>;

/// A prepared statement.
pub(crate) struct Prepared {
    pub(crate) judged: Arc<Judged>,
    pub(crate) parameter_types: Vec<u32>,
    /// The columns as the server last described them; none until it did, empty for a statement without rows.
    pub(crate) columns: Mutex<Option<Arc<[OwnedField]>>>,
}

/// A bound statement.
pub(crate) struct Portal {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) parameters: Arc<[Parameter]>,
    /// None for a cursor of SQL, which has those that the server describes.
    pub(crate) formats: Option<ResultFormats>,
    /// What was decided when it was bound.
    pub(crate) decision: Decision,
    /// The transaction that the policies were told of then: it may be another when it is executed.
    pub(crate) transaction: TransactionState,
    /// The decision that is recorded already because people let it pass; the first Execute takes it.
    pub(crate) recorded: Mutex<Option<DecisionId>>,
    /// The treatments of its rows, compiled when its shape was first known.
    pub(crate) filter: Mutex<Option<Arc<Filter>>>,
    /// How many ReadyForQuery were owed or said when it was bound: it ends with a later one outside a transaction.
    pub(crate) round: u64,
}

impl Portal {
    pub(crate) fn formats_of(&self, columns: &[OwnedField]) -> ResultFormats {
        self.formats.clone().unwrap_or_else(|| ResultFormats::described(columns))
    }
}

/// The result formats of a Bind.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResultFormats(pub(crate) Vec<Format>);

impl ResultFormats {
    /// As the server says them with the columns: of a simple query, where only a binary cursor's are not text, and of
    /// a portal.
    pub(crate) fn described(columns: &[OwnedField]) -> Self {
        Self(columns.iter().map(|column| column.format).collect())
    }

    /// By Bind's rule: none = all text, one = all that one, else one each.
    pub(crate) fn of(&self, column: usize) -> Format {
        match self.0.as_slice() {
            [] => Format::Text,
            [one] => *one,
            many => many.get(column).copied().unwrap_or_default(),
        }
    }
}

/// Names and what they stand for, with the way back for names that the server did not take.
pub(crate) struct Names<T> {
    map: HashMap<Name, Arc<T>>,
    max: usize,
}

/// What a name stood for before it was put down anew, or taken away.
pub(crate) struct Before<T> {
    name: Name,
    value: Option<Arc<T>>,
}

impl<T> Before<T> {
    /// The name as SQL knows it; none for the unnamed one.
    pub(crate) fn sql_name(&self) -> Option<Arc<str>> {
        if self.name.is_empty() { None } else { Some(String::from_utf8_lossy(&self.name).into()) }
    }
}

/// What a message takes away as soon as the server reads it. If it never does, it is put back.
#[derive(Default)]
pub(crate) struct Removed {
    pub(crate) statement: Option<Before<Prepared>>,
    pub(crate) portal: Option<Before<Portal>>,
}

impl<T> Names<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { map: HashMap::new(), max }
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<T>> {
        self.map.get(name)
    }

    /// Puts a name down; none if there are too many.
    pub(crate) fn put(&mut self, name: &[u8], value: Arc<T>) -> Option<Before<T>> {
        if self.map.len() >= self.max && !self.map.contains_key(name) {
            return None;
        }
        let name: Name = name.into();
        let before = self.map.insert(name.clone(), value);
        Some(Before { name, value: before })
    }

    /// The server did not take it. A refused Parse or Bind of the unnamed one drops what was there; a named one keeps it.
    pub(crate) fn take_back(&mut self, before: Before<T>) {
        match before.value {
            Some(value) if !before.name.is_empty() => self.map.insert(before.name, value),
            _ => self.map.remove(&before.name),
        };
    }

    /// The server never looked at the message, so what was there still is.
    pub(crate) fn restore(&mut self, before: Before<T>) {
        match before.value {
            Some(value) => self.map.insert(before.name, value),
            None => self.map.remove(&before.name),
        };
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.map.remove(name);
    }

    /// The same, with the way back.
    pub(crate) fn take(&mut self, name: &[u8]) -> Before<T> {
        Before { name: name.into(), value: self.map.remove(name) }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.map.retain(|_, value| keep(value));
    }

    /// Forgets all but the unnamed one, which DISCARD ALL and DEALLOCATE ALL leave alone.
    pub(crate) fn clear_named(&mut self) {
        self.map.retain(|name, _| name.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_server_refuses_leaves_what_a_server_leaves() {
        let mut names: Names<u8> = Names::new(2);
        assert!(names.put(b"a", Arc::new(1)).is_some());
        let again = names.put(b"a", Arc::new(2)).expect("the name is there");
        names.take_back(again);
        assert_eq!(names.get(b"a").map(|value| **value), Some(1), "a duplicate named Parse fails and keeps the old");
        assert!(names.put(b"", Arc::new(3)).is_some());
        assert!(names.put(b"third", Arc::new(9)).is_none(), "bounded");
        let unnamed = names.put(b"", Arc::new(4)).expect("the name is there");
        names.take_back(unnamed);
        assert!(names.get(b"").is_none(), "a failing unnamed Parse drops the unnamed statement");
    }

    #[test]
    fn a_name_that_the_server_skipped_is_as_before() {
        let mut names: Names<u8> = Names::new(9);
        assert!(names.put(b"", Arc::new(1)).is_some());
        let skipped = names.put(b"", Arc::new(2)).expect("room");
        names.restore(skipped);
        assert_eq!(names.get(b"").map(|value| **value), Some(1));
    }
}
