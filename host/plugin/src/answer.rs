//! What guests answer, checked: a policy's code may be anybody's, and its answer reaches callers, reviewers and the
//! ledger. Whatever the contract does not allow is nonsense.

use std::sync::Arc;

use grille_policy::{Batch, Finding, Masker, Place, Severity, Terms, Treatment, Verdict};

use crate::bindings::grille::policy::{http_data, types};
use crate::log::clean;

/// What is wrong with an answer, for the operator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nonsense(pub(crate) String);

type Checked<T> = Result<T, Nonsense>;

fn nonsense<T>(what: impl Into<String>) -> Checked<T> {
    Err(Nonsense(what.into()))
}

const RULE_MAX: usize = 64;
const MESSAGE_MAX: usize = 2 << 10;
const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_MAX: usize = 1 << 10;
const FINDINGS_MAX: usize = 64;
const QUORUMS_MAX: usize = 8;
const GROUPS_MAX: usize = 32;
const PEOPLE_MAX: u32 = 16;
/// Nobody waits for longer than a day.
const HOLD_MS_MAX: u32 = 24 * 60 * 60 * 1000;
/// The class of a pseudonym is a word.
const CLASS_MAX: usize = 64;

pub(crate) fn verdict(verdict: types::Verdict) -> Checked<Verdict> {
    Ok(match verdict {
        types::Verdict::Allow => Verdict::Allow,
        types::Verdict::Block(found) => Verdict::Block(finding(found)?),
        types::Verdict::Review(asked) => Verdict::Review(terms(asked)?),
    })
}

pub(crate) fn findings(findings: Vec<types::Finding>) -> Checked<Vec<Finding>> {
    if findings.len() > FINDINGS_MAX {
        return nonsense(format!("{} findings, more than {FINDINGS_MAX}", findings.len()));
    }
    findings.into_iter().map(finding).collect()
}

fn finding(finding: types::Finding) -> Checked<Finding> {
    if finding.rule.is_empty() {
        return nonsense("a finding whose rule has no name");
    }
    if finding.attributes.len() > ATTRIBUTES_MAX {
        return nonsense(format!("a finding with {} attributes, more than {ATTRIBUTES_MAX}", finding.attributes.len()));
    }
    let attributes = finding.attributes.iter().map(|(name, value)| {
        Ok((text(name, "an attribute's name", ATTRIBUTE_MAX)?, text(value, "an attribute's value", ATTRIBUTE_MAX)?))
    });
    Ok(Finding {
        rule: text(&finding.rule, "a rule's name", RULE_MAX)?,
        severity: match finding.severity {
            types::Severity::Info => Severity::Info,
            types::Severity::Low => Severity::Low,
            types::Severity::Medium => Severity::Medium,
            types::Severity::High => Severity::High,
            types::Severity::Critical => Severity::Critical,
        },
        message: text(&finding.message, "a finding's message", MESSAGE_MAX)?,
        attributes: attributes.collect::<Checked<_>>()?,
    })
}

fn terms(terms: types::Terms) -> Checked<Terms> {
    if terms.quorums.len() > QUORUMS_MAX {
        return nonsense(format!("review terms with {} quorums, more than {QUORUMS_MAX}", terms.quorums.len()));
    }
    if terms.hold_ms.is_some_and(|hold| hold > HOLD_MS_MAX) {
        return nonsense("review terms that hold for longer than a day");
    }
    let quorum = |quorum: &types::Quorum| {
        if quorum.groups.len() > GROUPS_MAX || quorum.people == 0 || quorum.people > PEOPLE_MAX {
            return nonsense(format!("a quorum of {} people out of {} groups", quorum.people, quorum.groups.len()));
        }
        let groups = quorum.groups.iter().map(|group| text(group, "a group's name", ATTRIBUTE_MAX));
        Ok((groups.collect::<Checked<Vec<_>>>()?, quorum.people))
    };
    let mut quorums = terms.quorums.iter().map(quorum).collect::<Checked<Vec<_>>>()?;
    if quorums.is_empty() {
        quorums.push((Vec::new(), 1));
    }
    Ok(Terms {
        quorums,
        hold_ms: terms.hold_ms.map(u64::from),
        hold_in_transaction: terms.hold_in_transaction,
        reason: text(&terms.reason, "a review's reason", MESSAGE_MAX)?,
    })
}

fn text(text: &str, what: &str, bytes_max: usize) -> Checked<Arc<str>> {
    if text.len() > bytes_max {
        return nonsense(format!("{what} of {} bytes, more than {bytes_max}", text.len()));
    }
    Ok(clean(text, bytes_max).into())
}

/// One treatment per column. `transformer` is the policy's name if it can rewrite values.
pub(crate) fn treatments(
    treatments: Vec<types::Treatment>,
    columns: usize,
    transformer: Option<&Arc<str>>,
) -> Checked<Vec<Treatment>> {
    if treatments.len() != columns {
        return nonsense(format!("{} treatments for {columns} columns", treatments.len()));
    }
    let hook = "sql-values";
    treatments.into_iter().map(|given| treatment(given, hook, transformer)).collect()
}

fn treatment(given: types::Treatment, hook: &str, transformer: Option<&Arc<str>>) -> Checked<Treatment> {
    match given {
        types::Treatment::Keep => Ok(Treatment::Keep),
        types::Treatment::Mask(named) => masker(&named).map(Treatment::Mask),
        types::Treatment::Transform => match transformer {
            Some(policy) => Ok(Treatment::Transform(Arc::clone(policy))),
            None => nonsense(format!("the treatment `transform`, but the plugin exports no `{hook}`")),
        },
    }
}

const PLACES_MAX: usize = 256;
const PLACE_MAX: usize = 1 << 10;

/// Treatments of places in a body.
pub(crate) fn places(
    treatments: Vec<http_data::PlaceTreatment>,
    transformer: Option<&Arc<str>>,
) -> Checked<Vec<(Place, Treatment)>> {
    if treatments.len() > PLACES_MAX {
        return nonsense(format!("treatments for {} places, more than {PLACES_MAX}", treatments.len()));
    }
    let one = |one: http_data::PlaceTreatment| {
        let place = one.place;
        // RFC 6901: empty for the whole, else parts that each begin with a slash.
        if place.len() > PLACE_MAX || !(place.is_empty() || place.starts_with('/')) {
            return nonsense(format!("the place `{}`, which is no JSON pointer", clean(&place, CLASS_MAX)));
        }
        Ok((place.into(), treatment(one.treatment, "http-values", transformer)?))
    };
    treatments.into_iter().map(one).collect()
}

fn masker(named: &types::Masker) -> Checked<Masker> {
    let parameters = Parameters(named);
    let (masker, taken) = match named.name.as_str() {
        "null" => (Masker::Null, 0),
        "redact" => (Masker::Redact, 0),
        "token" => (Masker::Token { class: parameters.class()? }, 1),
        "fpe" => (Masker::Fpe { class: parameters.class()? }, 1),
        "partial" => (Masker::Partial { keep: parameters.number("keep", 0)? }, 1),
        "year" => (Masker::Year, 0),
        "age90" => (Masker::Age90, 0),
        "zip3" => (Masker::Zip3, 0),
        "range" => (Masker::Range { width: parameters.number("width", 1)? }, 1),
        "shift" => (Masker::Shift { class: parameters.class()?, days: parameters.number("days", 1)? }, 2),
        "scan" => (Masker::Scan, 0),
        other => return nonsense(format!("the masker `{}`, which the host does not have", clean(other, CLASS_MAX))),
    };
    if named.parameters.len() != taken {
        return nonsense(format!("the masker `{}` with parameters that it does not take", named.name));
    }
    Ok(masker)
}

struct Parameters<'a>(&'a types::Masker);

impl Parameters<'_> {
    fn find(&self, name: &str) -> Checked<&str> {
        let found = self.0.parameters.iter().find(|(known, _)| known == name);
        match found {
            Some((_, value)) => Ok(value),
            None => nonsense(format!("the masker `{}` without its parameter `{name}`", self.0.name)),
        }
    }

    fn class(&self) -> Checked<Arc<str>> {
        let class = self.find("class")?;
        if class.is_empty() {
            return nonsense(format!("the masker `{}` with an empty class", self.0.name));
        }
        text(class, "a masker's class", CLASS_MAX)
    }

    fn number<N: std::str::FromStr + PartialOrd + From<u8>>(&self, name: &str, least: u8) -> Checked<N> {
        let value = self.find(name)?;
        match value.parse::<N>() {
            Ok(number) if number >= N::from(least) => Ok(number),
            _ => nonsense(format!("the masker `{}` with {name} = `{}`", self.0.name, clean(value, CLASS_MAX))),
        }
    }
}

/// As many values as were asked about, each valid UTF-8.
pub(crate) fn batch(batch: types::Batch, column: u32, values: usize) -> Checked<Batch> {
    let types::Batch { blob, offsets, nulls } = batch;
    if offsets.len() != values + 1 {
        return nonsense(format!("{} offsets for {values} values", offsets.len()));
    }
    if nulls.len() != values.div_ceil(8) {
        return nonsense(format!("{} bytes of null bits for {values} values", nulls.len()));
    }
    let ends = offsets.last().is_some_and(|end| *end as usize == blob.len());
    if offsets.first() != Some(&0) || !ends || !offsets.is_sorted() {
        return nonsense("offsets that do not run from 0 to the end of the values");
    }
    let Ok(all) = std::str::from_utf8(&blob) else { return nonsense("values that are not UTF-8") };
    if !offsets.iter().all(|offset| all.is_char_boundary(*offset as usize)) {
        return nonsense("a value that ends within a character");
    }
    Ok(Batch { column, blob, offsets, nulls })
}

#[cfg(test)]
mod tests;
