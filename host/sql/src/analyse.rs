use std::ops::Range;
use std::sync::Arc;

use grille_policy::{Effect, StatementFacts};

use crate::analysis::{Analysis, Discard, Output, Restriction, SessionEffect, StatementInfo};
use crate::catalog::Catalog;
use crate::limits::{Budget, Stop};
use crate::walk::{Created, Found, Rows, Told, Walker};
use crate::{CopyDirection, Settings, facts, fingerprint, stack};

/// The rule against reading behind a change of names in the same text.
pub(crate) const NAMES_MOVED: &str = "names-moved";

/// Why a text could not be analysed. Nothing is known of it then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyseError {
    /// PostgreSQL's grammar does not accept it. The server may: its version or its settings differ.
    #[error("{message}")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where, in characters from 1, if the parser says it.
        position: Option<usize>,
    },
    /// It is beyond the limits of [`crate::Limits`].
    #[error("the statement is {0}")]
    Limit(&'static str),
    /// `standard_conforming_strings` is off, so that it would mean something else to the server.
    #[error("statements cannot be understood while standard_conforming_strings is off; set it to on")]
    BackslashStrings,
}

/// Works out what a text means.
///
/// # Errors
/// When the text is no SQL, or too long or deep.
pub fn analyse(text: &str, catalog: &Catalog, settings: &Settings) -> Result<Analysis, AnalyseError> {
    let limits = settings.limits;
    if text.len() > limits.text_bytes {
        return Err(AnalyseError::Limit("longer than the limit on statement texts"));
    }
    if !settings.standard_conforming_strings {
        return Err(AnalyseError::BackslashStrings);
    }
    let parsed = pg_raw_parse::parse(text).map_err(|error| {
        let message = match error {
            pg_raw_parse::Error::Parse(error) => error.to_string(),
            other => other.to_string(),
        };
        match message.contains("memory exhausted") {
            true => AnalyseError::Limit("nested too deeply"),
            false => AnalyseError::Syntax { message, position: None },
        }
    })?;
    let tree = &**parsed;
    let walked = stack::run(limits.depth, |depth_max| {
        let mut statements = Vec::with_capacity(tree.len());
        let mut facts = StatementFacts::default();
        let mut missing = Vec::new();
        let budget = Budget::for_text(text.len());
        let mut path = &settings.search_path[..];
        let mut has_moved = false;
        let mut created = Vec::new();
        for raw in tree {
            let mut walker = Walker::new(catalog, path, &budget, depth_max);
            walker.earlier = &created;
            let told = walker.statement(raw.stmt())?;
            let found = std::mem::take(&mut walker.found);
            let range = range_of(text, raw.stmt_location, raw.stmt_len);
            facts::add(&mut facts, &found.facts(catalog));
            missing.extend_from_slice(&found.missing);
            let mut info = statement_info(&walker, told, &found, range);
            locate_copied_query(text, &mut info);
            let sets = info.session.iter().any(changes_path);
            if (has_moved && reads_by_name(&info))
                || (sets && (info.detail.is_late || info.detail.runs.is_some()))
                || (path.is_empty() && info.detail.runs.is_some())
            {
                let message =
                    "it stands behind a statement in the same text that changes what names mean; send it by itself";
                info.detail.restrictions.push(Restriction { rule: NAMES_MOVED, message: message.into() });
            }
            if info.detail.is_late && KEEPS_CALLS.contains(&&*info.kind) {
                let message = "a definition must not call a function whose names are looked up when it runs; give the \
                               function a search_path of its own, or BEGIN ATOMIC";
                info.detail.restrictions.push(Restriction { rule: NAMES_MOVED, message: message.into() });
            }
            has_moved |= moves_names(&info, found.created.as_ref());
            // What unqualified names mean from here on is for the server to know.
            if info.session.iter().any(changes_path) {
                path = &[];
                created.clear();
            }
            created.extend(found.created);
            if has_moved {
                created.clear();
            }
            statements.push(info);
        }
        Ok((statements, facts, missing))
    });
    let (statements, mut facts, mut missing) = walked.map_err(|stop| match stop {
        Stop::Depth => AnalyseError::Limit("nested too deeply"),
        Stop::Work => AnalyseError::Limit("too much work to follow"),
    })?;
    facts::tidy(&mut facts);
    facts.statements = u32::try_from(statements.len()).unwrap_or(u32::MAX);
    facts.fingerprint = fingerprint::of(text);
    missing.sort();
    missing.dedup();
    Ok(Analysis { facts: Arc::new(facts), statements, missing })
}

/// What was noted of one statement, as others see it.
pub(crate) fn statement_info(walker: &Walker<'_>, told: Told, found: &Found, range: Range<usize>) -> StatementInfo {
    let effects = found.effects();
    let output = match told.rows {
        Rows::None => Output::None,
        Rows::Prepared(name) => Output::Prepared(name),
        Rows::Cursor(name) => Output::Cursor(name),
        Rows::Columns(columns) => walker.output(&columns, found),
    };
    let writes_rows = effects.contains(&Effect::Write)
        || found.copy.as_ref().is_some_and(|c| matches!(c.direction, CopyDirection::In | CopyDirection::IntoServer));
    let returns_rows = output != Output::None && found.copy.is_none();
    StatementInfo {
        kind: told.kind.into(),
        is_ddl: effects.iter().any(|effect| matches!(effect, Effect::Ddl | Effect::Procedural)),
        writes_rows,
        has_result_and_writes: writes_rows && returns_rows,
        effects,
        output,
        session: found.session.clone(),
        copy: found.copy.clone(),
        text_range: range,
        detail: found.detail(walker.catalog),
    }
}

/// Whether the search path may be another one afterwards: the end of a transaction takes back what was set in it, and
/// a BEGIN in the same text need not have begun it.
fn changes_path(effect: &SessionEffect) -> bool {
    match effect {
        SessionEffect::Set { name, .. } | SessionEffect::Reset { name } => matches!(&**name, "search_path" | "role"),
        SessionEffect::ResetAll
        | SessionEffect::Discard(Discard::All)
        | SessionEffect::Commit
        | SessionEffect::Rollback
        | SessionEffect::RollbackTo
        | SessionEffect::SetRole
        | SessionEffect::SetSessionAuthorization
        | SessionEffect::Unfollowed => true,
        _ => false,
    }
}

/// Definitions that keep calls to run them later, without being read back.
const KEEPS_CALLS: [&str; 5] = ["ALTER DOMAIN", "ALTER TABLE", "CREATE DOMAIN", "CREATE INDEX", "CREATE TABLE"];

/// Whether names may mean something else afterwards: something is dropped, renamed or put in front of something else.
fn moves_names(info: &StatementInfo, created: Option<&Created>) -> bool {
    const ADDS: [&str; 7] =
        ["COMMENT", "CREATE INDEX", "CREATE SEQUENCE", "CREATE TABLE", "CREATE TYPE", "GRANT", "REVOKE"];
    match created {
        Some(created) => created.shadows,
        None => info.is_ddl && !ADDS.contains(&&*info.kind),
    }
}

/// Whether what it reads, or keeps to read later, hangs on what names mean. Definitions that hold no rows are read back
/// from the server afterwards.
fn reads_by_name(info: &StatementInfo) -> bool {
    let is_definition = info.is_ddl && info.output == Output::None && info.detail.sinks.is_empty();
    info.detail.runs.is_some() || (!info.detail.reached.is_empty() && !is_definition)
}

/// A statement's place without the space around it; a length of 0 means up to the end.
fn range_of(text: &str, location: i32, length: i32) -> Range<usize> {
    let start = usize::try_from(location).unwrap_or(0).min(text.len());
    let end = match usize::try_from(length) {
        Ok(0) | Err(_) => text.len(),
        Ok(length) => start.saturating_add(length).min(text.len()),
    };
    let inner = text.get(start..end).unwrap_or_default();
    let lead = inner.len() - inner.trim_start().len();
    start + lead..start + lead + inner.trim().len()
}

/// The text between the parentheses of `COPY (query) TO`: so that its columns can be asked for.
fn locate_copied_query(text: &str, info: &mut StatementInfo) {
    let Some(copy) = info.copy.as_mut().filter(|copy| copy.target.is_none()) else { return };
    let statement = text.get(info.text_range.clone()).unwrap_or_default();
    let range = fingerprint::first_parentheses(statement);
    copy.query = range.map(|range| info.text_range.start + range.start..info.text_range.start + range.end);
}
