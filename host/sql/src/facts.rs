//! Joining the facts of several statements.

use grille_policy::StatementFacts;

/// Adds what another statement does. [`tidy`] afterwards.
pub(crate) fn add(facts: &mut StatementFacts, other: &StatementFacts) {
    facts.kinds.extend_from_slice(&other.kinds);
    facts.effects.extend_from_slice(&other.effects);
    facts.relations.extend_from_slice(&other.relations);
    facts.columns.extend_from_slice(&other.columns);
    facts.functions.extend_from_slice(&other.functions);
    facts.writes.extend_from_slice(&other.writes);
    facts.unknown.extend_from_slice(&other.unknown);
}

/// Each once, in order. Writes stay as they are: each is a statement.
pub(crate) fn tidy(facts: &mut StatementFacts) {
    facts.kinds.sort();
    facts.kinds.dedup();
    facts.effects.sort();
    facts.effects.dedup();
    facts.relations.sort();
    facts.relations.dedup();
    facts.columns.sort();
    facts.columns.dedup();
    facts.functions.sort();
    facts.functions.dedup();
    facts.unknown.sort();
    facts.unknown.dedup();
}
