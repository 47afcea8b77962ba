use std::collections::HashMap;
use std::sync::Arc;

use grille_policy::{Effect, StatementFacts};

use crate::analysis::{Body, Discard, SessionEffect};
use crate::{Analysis, Catalog, Settings, analyse, facts};

/// The prepared statements and cursors of one session, so that EXECUTE and FETCH know what they return. The room that
/// owns the connection keeps it: it calls [`SessionNames::apply`] for each effect of a statement that succeeded, and
/// registers what the extended protocol names.
#[derive(Debug, Clone, Default)]
pub struct SessionNames {
    prepared: HashMap<Arc<str>, Prepared>,
    cursors: HashMap<Arc<str>, (Arc<Body>, bool)>,
}

#[derive(Debug, Clone)]
struct Prepared {
    body: Arc<Body>,
    source: Source,
}

/// The text that named a prepared statement, and when it was understood.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// One statement: the body, or its PREPARE.
    pub text: Arc<str>,
    /// Another number for each catalog and search path that texts are understood by.
    pub generation: u64,
}

/// How many of each are kept. A server holds as many in its own memory; beyond it EXECUTE and FETCH are refused.
const NAMES_MAX: usize = 10_000;

impl SessionNames {
    /// Follows one effect of a statement that succeeded; `source` is that statement.
    pub fn apply(&mut self, effect: &SessionEffect, source: impl FnOnce() -> Source) {
        match effect {
            SessionEffect::Prepare { name, body } => self.prepare(Arc::clone(name), Arc::clone(body), source()),
            SessionEffect::Deallocate { name: Some(name) } => {
                self.prepared.remove(name);
            }
            SessionEffect::Deallocate { name: None } => self.prepared.clear(),
            SessionEffect::Declare { cursor, body, hold } => {
                self.declare(Arc::clone(cursor), Arc::clone(body), *hold);
            }
            SessionEffect::Close { cursor: Some(cursor) } => {
                self.cursors.remove(cursor);
            }
            SessionEffect::Close { cursor: None } => self.cursors.clear(),
            SessionEffect::Discard(Discard::All) | SessionEffect::Unfollowed => {
                self.prepared.clear();
                self.cursors.clear();
            }
            _ => {}
        }
    }

    /// Whether the effect changes what EXECUTE or FETCH mean.
    #[must_use]
    pub const fn concerns(effect: &SessionEffect) -> bool {
        matches!(
            effect,
            SessionEffect::Prepare { .. }
                | SessionEffect::Deallocate { .. }
                | SessionEffect::Declare { .. }
                | SessionEffect::Close { .. }
                | SessionEffect::Discard(Discard::All)
                | SessionEffect::Unfollowed
        )
    }

    /// Registers a prepared statement: also one that the extended protocol named.
    pub fn prepare(&mut self, name: Arc<str>, body: Arc<Body>, source: Source) {
        if self.prepared.len() < NAMES_MAX || self.prepared.contains_key(&name) {
            self.prepared.insert(name, Prepared { body, source });
        }
    }

    /// Understands the prepared statements anew that a text executes, if definitions or the search path may be others
    /// since. One that would reach other relations now is forgotten: the server may run the old plan or make a new one.
    pub fn renew(&mut self, analysis: &Analysis, generation: u64, catalog: &Catalog, settings: &Settings) {
        for name in analysis.statements.iter().filter_map(|statement| statement.detail.runs.as_ref()) {
            let Some(old) = self.prepared.get(name).filter(|old| old.source.generation != generation) else { continue };
            let new = analyse(&old.source.text, catalog, settings).ok().and_then(|analysis| analysis.as_prepared(name));
            match new.filter(|new| *new == old.body) {
                Some(body) => {
                    let source = Source { text: Arc::clone(&old.source.text), generation };
                    self.prepared.insert(Arc::clone(name), Prepared { body, source });
                }
                None => drop(self.prepared.remove(name)),
            }
        }
    }

    /// Registers a cursor: also a portal that the extended protocol named. `hold` says whether it outlives its
    /// transaction.
    pub fn declare(&mut self, cursor: Arc<str>, body: Arc<Body>, hold: bool) {
        if self.cursors.len() < NAMES_MAX || self.cursors.contains_key(&cursor) {
            self.cursors.insert(cursor, (body, hold));
        }
    }

    /// Forgets the cursors that end with a transaction.
    pub fn transaction_ended(&mut self) {
        self.cursors.retain(|_, (_, hold)| *hold);
    }

    /// The body of a prepared statement.
    #[must_use]
    pub fn prepared(&self, name: &str) -> Option<&Arc<Body>> {
        self.prepared.get(name).map(|prepared| &prepared.body)
    }

    /// The body of a cursor.
    #[must_use]
    pub fn cursor(&self, name: &str) -> Option<&Arc<Body>> {
        self.cursors.get(name).map(|(body, _)| body)
    }

    /// What policies should see of a text: its own facts, and those of the prepared statements that it executes. What
    /// executes a statement that nobody prepared does what is unknown.
    #[must_use]
    pub fn facts(&self, analysis: &Analysis) -> Arc<StatementFacts> {
        let mut runs = analysis.statements.iter().filter_map(|statement| statement.detail.runs.as_deref()).peekable();
        if runs.peek().is_none() {
            return Arc::clone(&analysis.facts);
        }
        let mut merged = StatementFacts::clone(&analysis.facts);
        for name in runs {
            match self.prepared(name) {
                Some(body) => facts::add(&mut merged, &body.facts),
                None => merged.effects.push(Effect::Unknown),
            }
        }
        facts::tidy(&mut merged);
        Arc::new(merged)
    }
}

impl Analysis {
    /// What EXECUTE of the name runs after this text: the text is its PREPARE, or was itself prepared.
    fn as_prepared(&self, name: &str) -> Option<Arc<Body>> {
        let effects = self.statements.iter().flat_map(|statement| &statement.session);
        let mut of_prepare = effects.filter_map(|effect| match effect {
            SessionEffect::Prepare { name: named, body } if **named == *name => Some(Arc::clone(body)),
            _ => None,
        });
        of_prepare.next_back().or_else(|| self.as_body())
    }

    /// The text as a body to register in [`SessionNames`]; none unless it is exactly one statement.
    #[must_use]
    pub fn as_body(&self) -> Option<Arc<Body>> {
        match &self.statements[..] {
            [statement] => Some(Arc::new(Body { statement: statement.clone(), facts: Arc::clone(&self.facts) })),
            _ => None,
        }
    }
}
