//! Short ways to say the common answers.

use crate::BaseColumn;
use crate::{
    Columns, ExchangePlan, Finding, Masker, Opinion, PlaceTreatment, ResultColumn, ResultPlan, ResultShape, Severity,
    Terms, Treatment, Verdict,
};

impl Finding {
    /// A finding without attributes.
    pub fn new(rule: &str, severity: Severity, message: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), severity, message: message.into(), attributes: Vec::new() }
    }
}

impl Terms {
    /// One of the configured reviewers, held as long as configured.
    pub fn standard(reason: impl Into<String>) -> Self {
        Self { quorums: Vec::new(), hold_ms: None, hold_in_transaction: false, reason: reason.into() }
    }
}

impl Opinion {
    /// Let it pass.
    pub const fn allow() -> Self {
        Self { verdict: Verdict::Allow, findings: Vec::new() }
    }

    /// Refuse it; the caller reads the message.
    pub fn block(rule: &str, severity: Severity, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Block(Finding::new(rule, severity, message)), findings: Vec::new() }
    }

    /// Let one of the configured reviewers decide.
    pub fn review(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Review(Terms::standard(reason)), findings: Vec::new() }
    }

    /// The same, with something noticed.
    #[must_use]
    pub fn noting(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }
}

impl ResultPlan {
    /// Allow, with these treatments.
    pub const fn allow(treatments: Vec<Treatment>) -> Self {
        Self { verdict: Verdict::Allow, findings: Vec::new(), treatments }
    }
}

impl ExchangePlan {
    /// Allow, with these treatments.
    pub const fn allow(treatments: Vec<PlaceTreatment>) -> Self {
        Self { verdict: Verdict::Allow, findings: Vec::new(), treatments }
    }

    /// Refuse it; the caller reads the message.
    pub fn block(rule: &str, severity: Severity, message: impl Into<String>) -> Self {
        let verdict = Verdict::Block(Finding::new(rule, severity, message));
        Self { verdict, findings: Vec::new(), treatments: Vec::new() }
    }
}

impl PlaceTreatment {
    /// A treatment of all values at a place, such as `/entry/*/resource/name`.
    pub fn new(place: impl Into<String>, treatment: Treatment) -> Self {
        Self { place: place.into(), treatment }
    }
}

impl Treatment {
    fn masker(name: &str, parameters: &[(&str, &str)]) -> Self {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::Mask(Masker { name: name.to_owned(), parameters })
    }

    /// SQL NULL.
    pub fn null() -> Self {
        Self::masker("null", &[])
    }

    /// `[redacted]` in texts, NULL elsewhere.
    pub fn redact() -> Self {
        Self::masker("redact", &[])
    }

    /// A keyed pseudonym, equal for equal values of the class.
    pub fn token(class: &str) -> Self {
        Self::masker("token", &[("class", class)])
    }

    /// Digits encrypted to digits.
    pub fn fpe(class: &str) -> Self {
        Self::masker("fpe", &[("class", class)])
    }

    /// The last characters stay.
    pub fn partial(keep: u8) -> Self {
        Self::masker("partial", &[("keep", &keep.to_string())])
    }

    /// Dates fall to their year.
    pub fn year() -> Self {
        Self::masker("year", &[])
    }

    /// Ages above 89 become 90.
    pub fn age90() -> Self {
        Self::masker("age90", &[])
    }

    /// Three digits of a ZIP code.
    pub fn zip3() -> Self {
        Self::masker("zip3", &[])
    }

    /// Numbers fall to the lower end of their interval.
    pub fn range(width: u32) -> Self {
        Self::masker("range", &[("width", &width.to_string())])
    }

    /// Dates move by a keyed number of days.
    pub fn shift(class: &str, days: u16) -> Self {
        Self::masker("shift", &[("class", class), ("days", &days.to_string())])
    }

    /// Identifiers inside the text are replaced.
    pub fn scan() -> Self {
        Self::masker("scan", &[])
    }
}

/// Columns that cross at once: enough to make the call cheap, few enough to stay small.
const AT_ONCE: u32 = 256;

impl Columns {
    /// Every column, in order.
    pub fn iter(&self) -> impl Iterator<Item = BaseColumn> {
        (0..self.len()).step_by(AT_ONCE as usize).flat_map(|start| self.range(start, AT_ONCE))
    }
}

impl ResultShape {
    /// Every column, in order.
    pub fn iter(&self) -> impl Iterator<Item = ResultColumn> {
        (0..self.len()).step_by(AT_ONCE as usize).flat_map(|start| self.range(start, AT_ONCE))
    }
}
