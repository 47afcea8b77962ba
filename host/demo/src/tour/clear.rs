//! The clear values, straight from the database, and whether any of them stands in what a caller received.

use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::{Context, Result, ensure};

use crate::clinic::DATABASE;
use crate::cluster::Cluster;
use crate::tour::psql::Said;
use crate::tour::tap::readable;

/// Which columns must never reach a masked caller, as texts that `psql` would print.
const NUMBERS: [&str; 6] = ["ssn", "phone", "email", "street", "mrn", "birth_date"];
const NAMES: [&str; 2] = ["first_name", "last_name"];

/// A finder for the clear values of every patient.
#[derive(Debug)]
pub(super) struct Clear {
    values: Vec<String>,
    /// So many of them are no names; the names follow.
    numbers: usize,
    automaton: AhoCorasick,
}

impl Clear {
    pub(super) fn read(cluster: &Cluster) -> Result<Self> {
        let distinct = |columns: &[&str]| -> Result<Vec<String>> {
            let select = |column: &&str| format!("SELECT {column}::text FROM patients WHERE {column} IS NOT NULL");
            let union: Vec<String> = columns.iter().map(select).collect();
            Ok(cluster.sql(DATABASE, &union.join(" UNION "))?.lines().map(str::to_owned).collect())
        };
        let mut values = distinct(&NUMBERS)?;
        let numbers = values.len();
        values.extend(distinct(&NAMES)?);
        ensure!(numbers > 0 && values.len() > numbers, "the clinic holds no patients");
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(&values)
            .context("build the finder of clear values")?;
        Ok(Self { values, numbers, automaton })
    }

    /// The clear values in these bytes, as whole words: `Ibanez` is none in `Ibanezia`, a date none in a longer number.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        self.find(bytes, self.values.len())
    }

    fn find(&self, bytes: &[u8], count: usize) -> Vec<&str> {
        let is_word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let mut found: Vec<&str> = self
            .automaton
            .find_overlapping_iter(bytes)
            .filter(|hit| !is_word(hit.start().checked_sub(1)) && !is_word(Some(hit.end())))
            .filter_map(|hit| self.values.get(..count)?.get(hit.pattern().as_usize()).map(String::as_str))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// An error that names a few of the clear values that a caller received or read, if there are any.
    pub(super) fn none_at(&self, said: &Said) -> Result<()> {
        none(&self.found_in(&readable(&said.wire)))?;
        self.none_in(&said.stdout)?;
        self.none_in(&said.stderr)
    }

    /// The same for a text.
    pub(super) fn none_in(&self, text: &str) -> Result<()> {
        none(&self.found_in(text.as_bytes()))
    }

    /// The same without names, which in running text are found by title and label only.
    pub(super) fn no_number_at(&self, said: &Said) -> Result<()> {
        none(&self.find(&readable(&said.wire), self.numbers))
    }
}

fn none(found: &[&str]) -> Result<()> {
    let some: Vec<&str> = found.iter().take(3).copied().collect();
    ensure!(found.is_empty(), "{} clear values reached the caller, such as {}", found.len(), some.join(", "));
    Ok(())
}
