use std::collections::HashMap;
use std::sync::Arc;

use grille_policy::{Effect, StatementFacts};

use crate::analysis::{Body, Discard, SessionEffect};
use crate::{Analysis, facts};

/// The prepared statements and cursors of one session, so that EXECUTE and FETCH know what they return. The room that
/// owns the connection keeps it: it calls [`SessionNames::apply`] for each effect of a statement that succeeded, and
/// registers what the extended protocol names.
#[derive(Debug, Clone, Default)]
pub struct SessionNames {
    prepared: HashMap<Arc<str>, Arc<Body>>,
    cursors: HashMap<Arc<str>, (Arc<Body>, bool)>,
}

/// How many of each are kept. A server holds as many in its own memory; beyond it EXECUTE and FETCH are refused.
const NAMES_MAX: usize = 10_000;

impl SessionNames {
    /// Follows one effect of a statement that succeeded.
    pub fn apply(&mut self, effect: &SessionEffect) {
        match effect {
            SessionEffect::Prepare { name, body } => self.prepare(Arc::clone(name), Arc::clone(body)),
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
            SessionEffect::Discard(Discard::All) => {
                self.prepared.clear();
                self.cursors.clear();
            }
            _ => {}
        }
    }

    /// Whether the effect changes what EXECUTE or FETCH mean.
    pub(crate) const fn concerns(effect: &SessionEffect) -> bool {
        matches!(
            effect,
            SessionEffect::Prepare { .. }
                | SessionEffect::Deallocate { .. }
                | SessionEffect::Declare { .. }
                | SessionEffect::Close { .. }
                | SessionEffect::Discard(Discard::All)
        )
    }

    /// Registers a prepared statement: also one that the extended protocol named.
    pub fn prepare(&mut self, name: Arc<str>, body: Arc<Body>) {
        if self.prepared.len() < NAMES_MAX || self.prepared.contains_key(&name) {
            self.prepared.insert(name, body);
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
        self.prepared.get(name)
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
    /// The text as a body to register in [`SessionNames`]; none unless it is exactly one statement.
    #[must_use]
    pub fn as_body(&self) -> Option<Arc<Body>> {
        match &self.statements[..] {
            [statement] => Some(Arc::new(Body { statement: statement.clone(), facts: Arc::clone(&self.facts) })),
            _ => None,
        }
    }
}
