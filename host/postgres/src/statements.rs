//! What the caller has prepared and bound on the server, by name.
//!
//! A name is put down when its message is forwarded, because the messages that use it follow in the same packet. A name
//! that is not here is never executed.

use std::collections::HashMap;
use std::sync::Arc;

use grille_pg_codec::Format;
use grille_pg_codec::backend::OwnedField;
use grille_policy::{Decision, DecisionId, Parameter, TransactionState};
use parking_lot::Mutex;
use tokio::time::Instant;

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
    /// How long the Bind was whose parameters nobody looked into; then there are none here.
    pub(crate) unread: u64,
    /// None for a cursor of SQL, which has those that the server describes.
    pub(crate) formats: Option<ResultFormats>,
    /// What was decided when it was bound.
    pub(crate) decision: Decision,
    /// The transaction that the policies were told of then: it may be another when it is executed.
    pub(crate) transaction: TransactionState,
    pub(crate) permit: Mutex<Permit>,
    /// The treatments of its rows, compiled when its shape was first known.
    pub(crate) filter: Mutex<Option<Arc<Filter>>>,
    /// How many ReadyForQuery were owed or said when it was bound: it ends with a later one outside a transaction.
    pub(crate) round: u64,
}

/// What lets a portal run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Permit {
    /// The policies, which are asked at each Execute if they changed.
    Policies,
    /// People, once and until then. The decision is recorded already and waits for its outcome.
    Approved(DecisionId, Instant),
    /// People did, and it ran: what is left of its rows may be fetched.
    Used,
    /// The approval ran out before it was executed.
    RanOut,
}

impl Portal {
    /// The approval that was not used; it never will be.
    pub(crate) fn take_approval(&self) -> Option<DecisionId> {
        let mut permit = self.permit.lock();
        let Permit::Approved(id, _) = *permit else { return None };
        *permit = Permit::RanOut;
        Some(id)
    }

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

/// Names and what they stand for.
///
/// What a message does to a name is known when the server has answered it. Until then the name has the changes that are
/// under way, in their order, beside what it is known to stand for.
pub(crate) struct Names<T> {
    map: HashMap<Name, Slot<T>>,
    max: usize,
    changes: u64,
}

struct Slot<T> {
    known: Option<Arc<T>>,
    under_way: Vec<UnderWay<T>>,
}

struct UnderWay<T> {
    number: u64,
    /// The stretch between two ReadyForQuery that the message stands in.
    stretch: u64,
    /// None takes the name away.
    value: Option<Arc<T>>,
}

/// A change of a name that a message under way makes, if the server takes it.
pub(crate) struct Change {
    name: Name,
    number: u64,
}

impl Change {
    /// The name as SQL knows it; none for the unnamed one.
    pub(crate) fn sql_name(&self) -> Option<Arc<str>> {
        if self.name.is_empty() { None } else { Some(String::from_utf8_lossy(&self.name).into()) }
    }
}

/// What a message does to names.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) statement: Option<Change>,
    pub(crate) portal: Option<Change>,
}

/// What became of a message that changes a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server did as it was told.
    Taken,
    /// The server refused it. The unnamed one is gone then; a name is as it was.
    Refused,
    /// The server never looked at it.
    Skipped,
}

impl<T> Names<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { map: HashMap::new(), max, changes: 0 }
    }

    /// What the name stands for if all goes well.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<T>> {
        let slot = self.map.get(key(name))?;
        slot.under_way.last().map_or(slot.known.as_ref(), |change| change.value.as_ref())
    }

    /// Whether a message of this stretch may rely on [`Names::get`]: what the last change needs is answered, or fails
    /// together with the message. Behind a Sync it may stand for something else, because the server works on again there.
    pub(crate) fn is_sure(&self, name: &[u8], stretch: u64) -> bool {
        let last = self.map.get(key(name)).and_then(|slot| slot.under_way.last());
        last.is_none_or(|change| change.stretch == stretch)
    }

    /// Puts a name down; none if there are too many.
    pub(crate) fn put(&mut self, name: &[u8], value: Arc<T>, stretch: u64) -> Option<Change> {
        let has_room = self.map.len() < self.max || self.map.contains_key(key(name));
        has_room.then(|| self.change(name, Some(value), stretch))
    }

    pub(crate) fn take(&mut self, name: &[u8], stretch: u64) -> Change {
        self.change(name, None, stretch)
    }

    fn change(&mut self, name: &[u8], value: Option<Arc<T>>, stretch: u64) -> Change {
        self.changes += 1;
        let change = Change { name: key(name).into(), number: self.changes };
        let slot = self.map.entry(change.name.clone()).or_insert(Slot { known: None, under_way: Vec::new() });
        slot.under_way.push(UnderWay { number: change.number, stretch, value });
        change
    }

    /// The server has answered, or will not. Changes that came later stay under way. Answers what is gone by it.
    pub(crate) fn settle(&mut self, change: &Change, fate: Fate) -> [Option<Arc<T>>; 2] {
        let Some(slot) = self.map.get_mut(&change.name) else { return [None, None] };
        let Some(index) = slot.under_way.iter().position(|other| other.number == change.number) else {
            return [None, None];
        };
        let UnderWay { value, .. } = slot.under_way.remove(index);
        let gone = match fate {
            Fate::Taken => [std::mem::replace(&mut slot.known, value), None],
            Fate::Refused if change.name.is_empty() => [slot.known.take(), value],
            Fate::Refused | Fate::Skipped => [value, None],
        };
        if slot.is_empty() {
            self.map.remove(&change.name);
        }
        gone
    }

    /// Puts another value in the place of one.
    pub(crate) fn replace(&mut self, old: &Arc<T>, new: &Arc<T>) {
        for slot in self.map.values_mut() {
            let under_way = slot.under_way.iter_mut().map(|change| &mut change.value);
            for value in under_way.chain([&mut slot.known]).flatten().filter(|value| Arc::ptr_eq(value, old)) {
                *value = Arc::clone(new);
            }
        }
    }

    /// SQL took the name away.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        drop(self.retain_named(|other, _| other != key(name)));
    }

    /// Answers what is gone by it.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        self.retain_named(|_, value| keep(value))
    }

    /// Forgets all but the unnamed one, which DISCARD ALL and DEALLOCATE ALL leave alone.
    pub(crate) fn clear_named(&mut self) {
        drop(self.retain_named(|name, _| name.is_empty()));
    }

    fn retain_named(&mut self, keep: impl Fn(&[u8], &T) -> bool) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        self.map.retain(|name, slot| {
            gone.extend(slot.known.take_if(|value| !keep(name, value)));
            !slot.is_empty()
        });
        gone
    }
}

/// What the server tells names apart by: two that differ only behind it are the same one there.
fn key(name: &[u8]) -> &[u8] {
    /// `NAMEDATALEN` without its zero byte.
    const MAX: usize = 63;
    name.get(..MAX).unwrap_or(name)
}

impl<T> Slot<T> {
    const fn is_empty(&self) -> bool {
        self.known.is_none() && self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &Names<u8>, name: &[u8]) -> Option<u8> {
        names.get(name).map(|value| **value)
    }

    fn put(names: &mut Names<u8>, name: &[u8], value: u8) -> Change {
        names.put(name, Arc::new(value), 0).expect("room")
    }

    #[test]
    fn a_name_that_the_server_refuses_leaves_what_a_server_leaves() {
        let mut names: Names<u8> = Names::new(2);
        let first = put(&mut names, b"a", 1);
        names.settle(&first, Fate::Taken);
        let again = put(&mut names, b"a", 2);
        names.settle(&again, Fate::Refused);
        assert_eq!(read(&names, b"a"), Some(1), "a duplicate named Parse fails and keeps the old");
        let unnamed = put(&mut names, b"", 3);
        assert!(names.put(b"third", Arc::new(9), 0).is_none(), "bounded");
        names.settle(&unnamed, Fate::Taken);
        let unnamed = put(&mut names, b"", 4);
        names.settle(&unnamed, Fate::Refused);
        assert_eq!(read(&names, b""), None, "a failing unnamed Parse drops the unnamed statement");
        assert_eq!(names.map.len(), 1);
    }

    #[test]
    fn a_name_that_the_server_skipped_is_as_before() {
        let mut names: Names<u8> = Names::new(9);
        let first = put(&mut names, b"", 1);
        names.settle(&first, Fate::Taken);
        let (second, gone) = (put(&mut names, b"", 2), names.take(b"", 0));
        assert_eq!(read(&names, b""), None);
        names.settle(&gone, Fate::Skipped);
        assert_eq!(read(&names, b""), Some(2));
        names.settle(&second, Fate::Skipped);
        assert_eq!(read(&names, b""), Some(1));
    }

    #[test]
    fn a_failure_leaves_the_changes_behind_it_alone() {
        let mut names: Names<u8> = Names::new(9);
        let kept = put(&mut names, b"s", 1);
        names.settle(&kept, Fate::Taken);
        let (bad, worse, good) = (put(&mut names, b"s", 2), put(&mut names, b"s", 3), put(&mut names, b"", 4));
        names.settle(&bad, Fate::Refused);
        assert_eq!(read(&names, b"s"), Some(3));
        names.settle(&worse, Fate::Refused);
        assert_eq!(read(&names, b"s"), Some(1), "never what the server had refused before");
        let unnamed = put(&mut names, b"", 5);
        names.settle(&good, Fate::Refused);
        assert_eq!(read(&names, b""), Some(5));
        names.settle(&unnamed, Fate::Taken);
        assert_eq!(read(&names, b""), Some(5));
    }

    #[test]
    fn a_change_is_relied_on_only_where_its_failure_is_shared() {
        let mut names: Names<u8> = Names::new(9);
        let change = names.put(b"s", Arc::new(1), 7).expect("room");
        assert!(names.is_sure(b"s", 7) && names.is_sure(b"other", 8));
        assert!(!names.is_sure(b"s", 8));
        names.settle(&change, Fate::Taken);
        assert!(names.is_sure(b"s", 8));
    }
}
