use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What happens to one column, JSON path or text of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// The value passes as it is.
    Keep,
    /// The host masks each value natively.
    Mask(Masker),
    /// The named policy's own code rewrites each value (`sql-values`).
    Transform(Arc<str>),
}

impl Treatment {
    /// Whether the value stays as it is.
    #[must_use]
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Mask(masker) => masker.fmt(f),
            Self::Transform(policy) => write!(f, "transform by {policy}"),
        }
    }
}

/// A native masker and its parameters. Each keeps the column's type valid in text and binary, or falls to NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "masker", rename_all = "kebab-case")]
pub enum Masker {
    /// SQL NULL.
    Null,
    /// A fixed value of the type: `[redacted]` in texts, NULL where the type cannot say it.
    Redact,
    /// A keyed pseudonym, equal for equal values of one class, so that joins still work.
    Token {
        /// Values of different classes never share a pseudonym.
        class: Arc<str>,
    },
    /// Format-preserving encryption (NIST SP 800-38G FF1) of the digits.
    Fpe {
        /// The tweak: values of different classes encrypt differently.
        class: Arc<str>,
    },
    /// All but the last `keep` characters replaced by `*`.
    Partial {
        /// How many characters at the end stay.
        keep: u8,
    },
    /// Dates become the first of January of their year.
    Year,
    /// Ages above 89 become 90.
    Age90,
    /// ZIP codes keep three digits, or none where few people live (45 CFR 164.514(b)(2)(i)(B)).
    Zip3,
    /// Numbers fall to the lower end of their interval of this width.
    Range {
        /// The width of an interval, at least 1.
        width: u32,
    },
    /// Dates move by a keyed number of days, the same for equal values of the class.
    Shift {
        /// Values of different classes move differently.
        class: Arc<str>,
        /// The largest distance in days.
        days: u16,
    },
    /// Identifiers found inside the text are replaced, the rest stays.
    Scan,
}

impl Masker {
    /// The name that policies use for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Redact => "redact",
            Self::Token { .. } => "token",
            Self::Fpe { .. } => "fpe",
            Self::Partial { .. } => "partial",
            Self::Year => "year",
            Self::Age90 => "age90",
            Self::Zip3 => "zip3",
            Self::Range { .. } => "range",
            Self::Shift { .. } => "shift",
            Self::Scan => "scan",
        }
    }
}

impl fmt::Display for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Token { class } | Self::Fpe { class } => write!(f, "({class})"),
            Self::Partial { keep } => write!(f, "({keep})"),
            Self::Range { width } => write!(f, "({width})"),
            Self::Shift { class, days } => write!(f, "({class}, {days})"),
            _ => Ok(()),
        }
    }
}

/// The stricter of two treatments: keep < any masker or transform < redact < null, equal ones stay, any other two meet
/// at redact. So the order of policies never matters and one more never weakens.
#[must_use]
pub fn join(one: &Treatment, two: &Treatment) -> Treatment {
    use Treatment::{Keep, Mask};
    match (one, two) {
        (Keep, other) | (other, Keep) => other.clone(),
        (Mask(Masker::Null), _) | (_, Mask(Masker::Null)) => Mask(Masker::Null),
        (one, two) if one == two => one.clone(),
        _ => Mask(Masker::Redact),
    }
}
