use std::collections::BTreeMap;
use std::fmt;

use grille_policy::Verdict;
use serde::Serialize;

use super::file::{Case, Expect, VerdictWord};
use super::play::Answer;

/// Something that a plugin answered otherwise than its case expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// What of the answer: `verdict`, `rule`, `treatment 3 (public.patients.zip)` …
    pub what: String,
    /// What the case says.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

impl Mismatch {
    pub(super) fn new(what: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), got: got.into() }
    }
}

/// Everything in which an answer differs from what its case expects.
pub(super) fn compare(case: &Case, answer: &Answer) -> Vec<Mismatch> {
    if let Some(failure) = &answer.failure {
        let got = format!("none: {} ({})", failure.kind.describe(), failure.message);
        return vec![Mismatch::new("answer", "one", got)];
    }
    let expect = &case.expect;
    let mut found = Vec::new();
    let verdict = word(expect.verdict.unwrap_or_default());
    if verdict != answer.verdict.name() {
        found.push(Mismatch::new("verdict", verdict, said(&answer.verdict)));
    }
    found.extend(reasons(expect, &answer.verdict));
    if let Some(expected) = &expect.findings {
        let (expected, got) = (sorted(expected), sorted(answer.findings.iter().map(|finding| finding.rule.as_ref())));
        if expected != got {
            found.push(Mismatch::new("findings", list(&expected), list(&got)));
        }
    }
    if let Some(expected) = &expect.treatments {
        let labels = labels(case);
        let none = Vec::new();
        found.extend(each("treatment", expected, answer.treatments.as_ref().unwrap_or(&none), &labels, String::clone));
    }
    if let Some(expected) = &expect.places {
        let none = BTreeMap::new();
        let got = answer.places.as_ref().unwrap_or(&none);
        for place in expected.keys().chain(got.keys().filter(|place| !expected.contains_key(*place))) {
            let of = |places: &BTreeMap<String, String>| places.get(place).map_or("keep", String::as_str).to_owned();
            if of(expected) != of(got) {
                found.push(Mismatch::new(format!("treatment of {place}"), of(expected), of(got)));
            }
        }
    }
    if let Some(expected) = &expect.values {
        let none = Vec::new();
        let shown =
            |value: &Option<String>| value.as_ref().map_or_else(|| "NULL".to_owned(), |value| format!("`{value}`"));
        found.extend(each("value", expected, answer.values.as_ref().unwrap_or(&none), &[], shown));
    }
    found
}

fn reasons(expect: &Expect, verdict: &Verdict) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let (rule, reason) = match verdict {
        Verdict::Allow => ("none", ""),
        Verdict::Review(terms) => ("none", &*terms.reason),
        Verdict::Block(finding) => (&*finding.rule, &*finding.message),
    };
    if let Some(expected) = expect.rule.as_deref().filter(|expected| *expected != rule) {
        found.push(Mismatch::new("rule", expected, rule));
    }
    if let Some(expected) = expect.reason.as_deref().filter(|expected| !reason.contains(expected)) {
        let got = if reason.is_empty() { "none".to_owned() } else { format!("\"{reason}\"") };
        found.push(Mismatch::new("reason", format!("\"…{expected}…\""), got));
    }
    found
}

/// The places where two lists differ: at most a few, nobody reads on.
fn each<T: PartialEq>(
    what: &str,
    expected: &[T],
    got: &[T],
    labels: &[String],
    shown: impl Fn(&T) -> String,
) -> Vec<Mismatch> {
    if expected.len() != got.len() {
        return vec![Mismatch::new(format!("{what}s"), expected.len().to_string(), got.len().to_string())];
    }
    let differing = expected.iter().zip(got).enumerate().filter(|(_, (expected, got))| expected != got);
    let mismatch = |(index, (expected, got)): (usize, (&T, &T))| {
        let label = labels.get(index).map_or_else(String::new, |label| format!(" ({label})"));
        Mismatch::new(format!("{what} {}{label}", index + 1), shown(expected), shown(got))
    };
    differing.take(LISTED_MAX).map(mismatch).collect()
}

const LISTED_MAX: usize = 8;

fn labels(case: &Case) -> Vec<String> {
    match (&case.columns, &case.result) {
        (Some(columns), _) => columns.iter().map(|column| column.name.clone()).collect(),
        (_, Some(result)) => result.columns.iter().map(|column| column.name.clone()).collect(),
        _ => Vec::new(),
    }
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow => "allow".into(),
        Verdict::Review(terms) => format!("review ({})", terms.reason),
        Verdict::Block(finding) => format!("block by {} ({})", finding.rule, finding.message),
    }
}

const fn word(verdict: VerdictWord) -> &'static str {
    match verdict {
        VerdictWord::Allow => "allow",
        VerdictWord::Review => "review",
        VerdictWord::Block => "block",
    }
}

fn sorted<T: AsRef<str>>(rules: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut rules: Vec<String> = rules.into_iter().map(|rule| rule.as_ref().to_owned()).collect();
    rules.sort();
    rules.dedup();
    rules
}

fn list(rules: &[String]) -> String {
    if rules.is_empty() { "none".to_owned() } else { rules.join(", ") }
}
