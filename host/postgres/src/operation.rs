//! What a text means in this session: worked out once per distinct text, as long as nothing that it depends on changes.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use grille_policy::{ColumnName, Digest, Effect, Finding, Protection, Severity, StatementFacts};
use grille_sql::{
    AnalyseError, Analysis, Body, Catalog, CopyDirection, Discard, Guarded, Output, ProtectedSet, Refusal, RoleScope,
    RowPlan, SessionEffect, SessionNames, SetValue, Settings, Source, StatementInfo, analyse, protect, scope,
};

use crate::marks::Marks;
use crate::route::Route;

/// Distinct texts that a session remembers: what a pool's clients repeat. Beyond it everything is forgotten at once,
/// which costs one analysis each and needs no bookkeeping per use.
const JUDGED_MAX: usize = 256;
/// Longer texts are judged each time they come: they are rare and would fill the memory.
const REMEMBERED_TEXT_BYTES_MAX: usize = 64 * 1024;

/// What everything about a text's meaning depends on.
pub(crate) struct View {
    /// Empty until it is needed.
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: Settings,
    pub(crate) protection: Option<Protection>,
    pub(crate) protected: Option<Arc<ProtectedSet>>,
    pub(crate) names: SessionNames,
    scope: RoleScope,
    judged: HashMap<Arc<str>, Arc<Judged>>,
    /// Another number whenever something changed that names are understood by.
    generation: u64,
    /// The session's settings may have changed since they were last asked for.
    pub(crate) is_stale: bool,
    /// The caller's texts are in UTF-8; in another encoding names may be others to the server than they are here.
    pub(crate) is_utf8: bool,
    /// Settings were made that end with the transaction.
    pub(crate) has_local_settings: bool,
    /// The session has changed definitions at some time: it may have temporary tables.
    has_made_definitions: bool,
    /// Definitions changed since the session's own connection was last asked for them.
    pub(crate) is_own_catalog_stale: bool,
    /// Definitions were changed in the open transaction: only the session's own connection sees them.
    pub(crate) has_own_ddl: bool,
    /// What everybody saw when the session's own connection was last asked for definitions.
    pub(crate) seen_by_all: Option<Arc<Catalog>>,
    /// Somebody changed definitions while a transaction was open here: it may still read the old ones.
    pub(crate) has_moved_within: bool,
}

/// A text, what it means, and what the host itself says to it.
pub(crate) struct Judged {
    pub(crate) text: Arc<str>,
    pub(crate) facts: Arc<StatementFacts>,
    digest: OnceLock<Option<Digest>>,
    body: OnceLock<Option<Arc<Body>>>,
    marks: OnceLock<Marks>,
    /// None where the text does not parse.
    pub(crate) analysis: Option<Analysis>,
    /// The view's when it was judged.
    generation: u64,
    /// The treatments of its results, in a masked session.
    pub(crate) guarded: Option<Guarded>,
    /// What the host refuses by itself: out of scope, or a protected value would leave.
    pub(crate) refusal: Option<Finding>,
}

impl View {
    pub(crate) fn new(catalog: Arc<Catalog>, route: &Route, protection: Option<Protection>) -> Self {
        Self {
            catalog,
            settings: Settings::default(),
            protection,
            protected: None,
            names: SessionNames::default(),
            scope: route.scope(),
            judged: HashMap::new(),
            generation: 0,
            is_stale: true,
            is_utf8: true,
            has_local_settings: false,
            has_made_definitions: false,
            is_own_catalog_stale: false,
            has_own_ddl: false,
            seen_by_all: None,
            has_moved_within: false,
        }
    }

    /// Whether names must be resolved: the session is masked, or its roles limit relations or operations. Without the
    /// catalog a function that writes looks like any other.
    pub(crate) fn needs_catalog(&self) -> bool {
        self.is_limited() || !self.scope.write || !self.scope.ddl
    }

    /// Whether a text that is not understood could reach what it must not.
    pub(crate) fn is_limited(&self) -> bool {
        self.protection.is_some() || !self.scope.relations.is_unlimited()
    }

    /// Whether an enforced policy protects columns here.
    pub(crate) const fn is_masked(&self) -> bool {
        self.protection.is_some()
    }

    /// Forgets what was worked out: something that it depends on changed.
    pub(crate) fn forget(&mut self) {
        self.generation += 1;
        self.judged.clear();
    }

    /// Follows what a statement did to the session, now that it has succeeded.
    pub(crate) fn follow(&mut self, effect: &SessionEffect) {
        self.is_stale |= changes_settings(effect);
        match effect {
            SessionEffect::Set { name, local, .. } => {
                self.has_local_settings |= *local;
                // Until the server reports which it is.
                self.is_utf8 &= &**name != "client_encoding";
            }
            // One of its chain may follow, or more of its pipeline, so that the status never says that it ended.
            SessionEffect::Commit | SessionEffect::Rollback => {
                self.is_stale |= self.has_local_settings || self.has_own_ddl;
                self.is_own_catalog_stale |= self.has_own_ddl;
            }
            // Definitions of the part that is taken back are as they were.
            SessionEffect::RollbackTo => self.is_own_catalog_stale |= self.has_own_ddl,
            SessionEffect::Discard(Discard::All | Discard::Temp) if self.has_made_definitions => {
                self.definitions_changed();
            }
            SessionEffect::FinishPrepared => self.definitions_changed(),
            _ => {}
        }
    }

    /// Names may mean something else; the first table of a schema may bring that into the path, too.
    pub(crate) const fn definitions_changed(&mut self) {
        self.is_stale = true;
        self.has_own_ddl = true;
        self.is_own_catalog_stale = true;
        self.has_made_definitions = true;
    }

    /// Understands the prepared statements anew that a text executes, if what names mean has changed since.
    pub(crate) fn renew_names(&mut self, judged: &Judged) {
        if let Some(analysis) = judged.analysis.as_ref().filter(|_| self.needs_catalog()) {
            self.names.renew(analysis, self.generation, &self.catalog, &self.settings);
        }
    }

    pub(crate) fn remembered(&self, text: &str) -> Option<Arc<Judged>> {
        self.judged.get(text).cloned()
    }

    /// Keeps what a text means, unless that depends on names that change with each statement.
    pub(crate) fn remember(&mut self, judged: &Arc<Judged>) {
        if judged.text.len() > REMEMBERED_TEXT_BYTES_MAX || judged.uses_names() {
            return;
        }
        if self.judged.len() >= JUDGED_MAX {
            self.judged.clear();
        }
        self.judged.insert(Arc::clone(&judged.text), Arc::clone(judged));
    }

    /// Works out what a text means. Pure: the same view and text give the same answer.
    pub(crate) fn judge(&self, text: Arc<str>) -> Judged {
        let catalog = &*self.catalog;
        let analysis = match analyse(&text, catalog, &self.settings) {
            Ok(analysis) => analysis,
            Err(error) => return self.unparsed(text, &error),
        };
        let facts = self.names.facts(&analysis);
        let mut judged = Judged::new(text, facts);
        if let Err(refusal) = scope(&analysis, catalog, &self.scope) {
            judged.refusal = Some(finding(&refusal));
        } else if let (Some(protection), Some(protected)) = (&self.protection, &self.protected) {
            match protect(&analysis, protected, protection, &self.names) {
                Ok(guarded) => judged.guarded = Some(guarded),
                Err(refusal) => judged.refusal = Some(finding(&refusal)),
            }
        }
        judged.analysis = Some(analysis);
        if self.has_own_ddl && self.is_limited() && judged.goes_on_behind_a_rollback() {
            let message = "it takes definitions back that were changed in this transaction, and goes on with others; send \
                           the rollback by itself";
            judged.refusal.get_or_insert_with(|| Finding::new("names-moved", Severity::Medium, message));
        }
        if self.protection.is_some()
            && let Some(gone) = judged.reads_what_is_gone(&self.names, catalog)
        {
            let message = format!("the cursor holds values of {gone}, which is not there any more; declare it anew");
            judged.refusal.get_or_insert_with(|| Finding::new("names-moved", Severity::Medium, message));
        }
        judged.generation = self.generation;
        judged
    }

    /// A text that does not parse runs only where nothing could be lost by it: the server will most likely refuse it
    /// too, and says why better than we could.
    fn unparsed(&self, text: Arc<str>, error: &AnalyseError) -> Judged {
        let facts = StatementFacts {
            effects: vec![Effect::Unknown],
            unknown: vec![error.to_string().into()],
            ..StatementFacts::default()
        };
        let refusal = self.is_limited().then(|| {
            let message = format!("the statement cannot be understood, so it is not sent: {error}");
            Finding::new("not-understood", Severity::Medium, message)
        });
        Judged { refusal, ..Judged::new(text, Arc::new(facts)) }
    }
}

impl Judged {
    fn new(text: Arc<str>, facts: Arc<StatementFacts>) -> Self {
        Self {
            text,
            facts,
            digest: OnceLock::new(),
            body: OnceLock::new(),
            marks: OnceLock::new(),
            analysis: None,
            generation: 0,
            guarded: None,
            refusal: None,
        }
    }

    /// What records call the facts by: worked out with the first record, since not every text comes to one.
    pub(crate) fn facts_digest(&self) -> Option<Digest> {
        *self.digest.get_or_init(|| grille_ledger::digest_of(&*self.facts).ok())
    }

    /// A text that must not be sent whatever it means.
    pub(crate) fn refused(text: Arc<str>, refusal: Finding) -> Self {
        let facts = StatementFacts { effects: vec![Effect::Unknown], ..StatementFacts::default() };
        Self { refusal: Some(refusal), ..Self::new(text, Arc::new(facts)) }
    }

    pub(crate) fn statements(&self) -> &[StatementInfo] {
        self.analysis.as_ref().map_or(&[], |analysis| &analysis.statements)
    }

    /// Names that the catalog does not know: it may be stale.
    pub(crate) fn misses_names(&self) -> bool {
        self.analysis.as_ref().is_some_and(|analysis| !analysis.missing.is_empty())
    }

    /// Whether anything but reading may happen: such a record reaches the disk before the statement leaves.
    pub(crate) fn may_write(&self) -> bool {
        self.facts.effects.iter().any(|effect| !matches!(effect, Effect::Read | Effect::Session))
    }

    /// Whether the meaning hangs on prepared statements or cursors, or changes them.
    pub(crate) fn uses_names(&self) -> bool {
        self.session_effects().any(|effect| {
            !matches!(
                effect,
                SessionEffect::Begin | SessionEffect::Commit | SessionEffect::Rollback | SessionEffect::Set { .. }
            )
        })
    }

    /// The first column that a cursor read and the catalog does not hold any more: a cursor may outlive it, and nobody can
    /// say by now what protects it.
    fn reads_what_is_gone(&self, names: &SessionNames, catalog: &Catalog) -> Option<ColumnName> {
        let cursors = self.statements().iter().filter_map(|statement| match &statement.output {
            Output::Cursor(name) => names.cursor(name),
            _ => None,
        });
        let columns = cursors.flat_map(|body| match &body.statement.output {
            Output::Rows(columns) => columns.as_slice(),
            _ => &[],
        });
        let mut origins = columns.flat_map(|column| &column.origins);
        origins.find(|origin| !catalog.has_column(&origin.schema, &origin.table, &origin.column)).cloned()
    }

    fn goes_on_behind_a_rollback(&self) -> bool {
        let rolls_back = |effect: &SessionEffect| matches!(effect, SessionEffect::Rollback | SessionEffect::RollbackTo);
        let before_last = self.statements().split_last().map_or(&[][..], |(_, before)| before);
        before_last.iter().any(|statement| statement.session.iter().any(rolls_back))
    }

    /// Whether it may ask for COPY data.
    pub(crate) fn may_copy_in(&self) -> bool {
        let copies = |statement: &StatementInfo| {
            let executes = |effect: &SessionEffect| matches!(effect, SessionEffect::Execute { .. });
            statement.copy.as_ref().is_some_and(|copy| matches!(copy.direction, CopyDirection::In))
                || statement.session.iter().any(executes)
        };
        self.analysis.is_none() || self.statements().iter().any(copies)
    }

    /// Whether names of prepared statements or cursors may stand for something else afterwards.
    pub(crate) fn changes_names(&self) -> bool {
        self.session_effects().any(SessionNames::concerns)
    }

    /// Whether the same text means something else in another session.
    pub(crate) fn hangs_on_own_names(&self) -> bool {
        self.session_effects().any(|effect| matches!(effect, SessionEffect::Execute { .. }))
            || self.facts.relations.iter().any(|used| used.relation.schema.starts_with("pg_temp"))
    }

    /// Whether a transaction ends by it.
    pub(crate) fn ends_transaction(&self) -> bool {
        self.session_effects().any(|effect| matches!(effect, SessionEffect::Commit | SessionEffect::Rollback))
    }

    /// Whether there may be a transaction by it where there was none, or the other way round.
    pub(crate) fn moves_transaction(&self) -> bool {
        self.analysis.is_none()
            || self.ends_transaction()
            || self
                .session_effects()
                .any(|effect| matches!(effect, SessionEffect::Begin | SessionEffect::PrepareTransaction))
    }

    /// Whether it may take prepared statements away.
    pub(crate) fn forgets_names(&self) -> bool {
        self.session_effects()
            .any(|effect| matches!(effect, SessionEffect::Deallocate { .. } | SessionEffect::Discard(Discard::All)))
    }

    /// Whether what comes after it may mean something else by it: settings, definitions, or what was not understood.
    pub(crate) fn changes_meanings(&self) -> bool {
        self.analysis.is_none()
            || self.statements().iter().any(|statement| statement.is_ddl)
            || self.session_effects().any(changes_settings)
    }

    /// The justification in `SET grille.reason = '…'`, which is none of the target's business.
    pub(crate) fn own_reason(&self) -> Option<Arc<str>> {
        let [statement] = self.statements() else {
            return None;
        };
        match statement.session.as_slice() {
            [SessionEffect::Set { name, value: SetValue::Constant(values), .. }] if &**name == "grille.reason" => {
                values.first().cloned()
            }
            _ => None,
        }
    }

    /// Whether a portal of it reads names only when it is executed. The others were planned when they were bound.
    pub(crate) fn reads_names_late(&self) -> bool {
        self.statements().iter().any(StatementInfo::reads_names_late)
    }

    /// Whether it reaches the same by its names.
    pub(crate) fn names_the_same(&self, other: &Self) -> bool {
        self.facts == other.facts
            && self.statements().iter().map(|s| &s.output).eq(other.statements().iter().map(|s| &s.output))
    }

    /// Whether it does the same with the same treatments.
    pub(crate) fn means_the_same(&self, other: &Self) -> bool {
        self.facts == other.facts && self.guarded == other.guarded && self.refusal == other.refusal
    }

    /// What a prepared statement of this text is understood by; `range` is the statement in it.
    pub(crate) fn source(&self, range: Option<std::ops::Range<usize>>) -> Source {
        let text = range.and_then(|range| self.text.get(range)).map_or_else(|| Arc::clone(&self.text), Arc::from);
        Source { text, generation: self.generation }
    }

    /// What EXECUTE or FETCH of it would run.
    pub(crate) fn body(&self) -> Option<Arc<Body>> {
        self.body.get_or_init(|| self.analysis.as_ref().and_then(Analysis::as_body)).clone()
    }

    /// What may have to be waited for where it runs.
    pub(crate) fn marks(&self) -> Marks {
        *self.marks.get_or_init(|| Marks::of(self))
    }

    pub(crate) fn session_effects(&self) -> impl Iterator<Item = &SessionEffect> {
        self.statements().iter().flat_map(|statement| &statement.session)
    }

    /// Whether the target's error texts may quote protected values.
    pub(crate) fn touches_protected(&self) -> bool {
        self.guarded.as_ref().is_some_and(|guarded| guarded.touches_protected)
    }

    /// What happens to one statement's rows; none outside masked sessions.
    pub(crate) fn rows(&self, statement: usize) -> Option<&RowPlan> {
        self.guarded.as_ref()?.statements.get(statement)
    }

    /// Whether it may answer with rows, not counting COPY.
    pub(crate) fn may_return_rows(&self) -> bool {
        let returns = |statement: &StatementInfo| statement.output != Output::None && statement.copy.is_none();
        self.analysis.is_none() || self.statements().iter().any(returns)
    }

    /// Whether any of its results has values to treat.
    pub(crate) fn has_treatments(&self) -> bool {
        self.guarded.as_ref().is_some_and(|guarded| guarded.statements.iter().any(|plan| !plan.is_keep()))
    }
}

/// Whether a text only begins and ends transactions (or is empty), so that it means the same whatever the settings and
/// the catalog are. In doubt it says no.
pub(crate) fn is_transaction_command(text: &str) -> bool {
    const COMMANDS: [&str; 8] = ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"_;,".contains(&byte);
    let is_command = |statement: &str| match statement.split_ascii_whitespace().next() {
        None => true,
        Some(word) => COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(word)),
    };
    text.bytes().all(is_plain) && text.split(';').all(is_command)
}

/// Whether the effect may change the settings that names and texts are understood by.
const fn changes_settings(effect: &SessionEffect) -> bool {
    matches!(
        effect,
        SessionEffect::Set { .. }
            | SessionEffect::Reset { .. }
            | SessionEffect::ResetAll
            | SessionEffect::Discard(_)
            | SessionEffect::Rollback
            | SessionEffect::RollbackTo
            | SessionEffect::SetRole
            | SessionEffect::SetSessionAuthorization
            | SessionEffect::Unfollowed
    )
}

fn finding(refusal: &Refusal) -> Finding {
    Finding::new(refusal.rule, Severity::High, refusal.message.clone())
}

#[cfg(test)]
mod tests {
    use super::is_transaction_command;

    #[test]
    fn texts_that_only_begin_and_end_transactions() {
        for text in
            ["", " ; ", "BEGIN", "commit;", "ROLLBACK TO a_1", "end ; begin isolation level read committed, read only"]
        {
            assert!(is_transaction_command(text), "{text}");
        }
        for text in
            ["SELECT 1", "BEGIN; SELECT 1", "COMMIT PREPARED 'x'", "BEGIN--", "COMMIT/**/;DROP TABLE t", "DISCARD ALL"]
        {
            assert!(!is_transaction_command(text), "{text}");
        }
    }
}
