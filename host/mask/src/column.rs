use std::fmt;
use std::sync::Arc;

use grille_policy::{Masker, Treatment};

use crate::detect::Detector;
use crate::key::MaskKey;
use crate::masker::{Cell, REDACTED, Rule};
use crate::types::{ColumnType, Format, Kind, Shape};
use crate::wire::array;

/// What compiling a treatment needs besides the column.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The secret behind tokens, encryption and shifts.
    pub key: &'a MaskKey,
    /// The detectors behind `scan`.
    pub detector: &'a Arc<Detector>,
    /// The current year: years of 90 and more years ago tell an age above 89 and are suppressed.
    pub year: i32,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Masked {
    /// SQL NULL; nothing was written.
    Null,
    /// The value was appended to the buffer.
    Value,
}

/// A treatment compiled for one column of one result.
pub struct ColumnMask(Plan);

enum Plan {
    Keep,
    Null,
    Fixed(Box<[u8]>),
    Scalar(Cell),
    Array { cell: Cell, element_oid: u32 },
}

impl ColumnMask {
    /// Compiles a treatment for a column.
    ///
    /// [`Treatment::Transform`] is carried out by its policy and not here: where its code cannot run (in COPY, say) the
    /// compiled mask redacts.
    #[must_use]
    pub fn compile(treatment: &Treatment, column: ColumnType, context: &Context<'_>) -> Self {
        let masker = match treatment {
            Treatment::Keep => return Self(Plan::Keep),
            Treatment::Transform(_) => return Self::derived(column),
            Treatment::Mask(masker) => masker,
        };
        match masker {
            Masker::Null => return Self(Plan::Null),
            Masker::Redact => return Self::derived(column),
            _ => {}
        }
        let Some(rule) = Rule::compile(masker, context) else { return Self::derived(column) };
        match Shape::of(column.oid) {
            Shape::Scalar(kind) => {
                let limit = limit(column);
                if !rule.writes(kind, limit) {
                    return Self::derived(column);
                }
                Self(Plan::Scalar(Cell { kind, format: column.format, limit, rule }))
            }
            Shape::Array { element, element_oid } => {
                let limit = limit(ColumnType { oid: element_oid, ..column });
                if !rule.writes(element, limit) {
                    return Self(Plan::Null);
                }
                let cell = Cell { kind: element, format: column.format, limit, rule };
                Self(Plan::Array { cell, element_oid })
            }
        }
    }

    /// The mask of a column that is derived from protected ones, and of `redact`: a fixed text for texts, NULL for all
    /// other types.
    #[must_use]
    pub fn derived(column: ColumnType) -> Self {
        match Shape::of(column.oid) {
            Shape::Scalar(kind) if kind.is_text() => Self(Plan::Fixed(redacted(kind, limit(column)))),
            Shape::Scalar(Kind::Char) => Self(Plan::Fixed(b"*".as_slice().into())),
            _ => Self(Plan::Null),
        }
    }

    /// The mask that gives NULL for every value.
    #[must_use]
    pub const fn null() -> Self {
        Self(Plan::Null)
    }

    /// The mask that passes every value.
    #[must_use]
    pub const fn keep() -> Self {
        Self(Plan::Keep)
    }

    /// Whether values pass as they are.
    #[must_use]
    pub const fn is_keep(&self) -> bool {
        matches!(self.0, Plan::Keep)
    }

    /// Appends the masked value; NULL stays NULL.
    pub fn apply(&self, value: Option<&[u8]>, out: &mut Vec<u8>) -> Masked {
        let Some(value) = value else { return Masked::Null };
        match &self.0 {
            Plan::Keep => out.extend_from_slice(value),
            Plan::Null => return Masked::Null,
            Plan::Fixed(fixed) => out.extend_from_slice(fixed),
            Plan::Scalar(cell) => return cell.apply(value, out),
            Plan::Array { cell, element_oid } => {
                let start = out.len();
                let written = match cell.format {
                    Format::Text => array::text(value, out, |element, out| cell.apply(element, out)),
                    Format::Binary => array::binary(value, *element_oid, out, |element, out| cell.apply(element, out)),
                };
                if written.is_none() {
                    out.truncate(start);
                    return Masked::Null;
                }
            }
        }
        Masked::Value
    }
}

impl fmt::Debug for ColumnMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Plan::Keep => f.write_str("Keep"),
            Plan::Null => f.write_str("Null"),
            Plan::Fixed(fixed) => write!(f, "Fixed({})", fixed.escape_ascii()),
            Plan::Scalar(cell) => write!(f, "Scalar({:?}, {:?})", cell.kind, cell.rule),
            Plan::Array { cell, .. } => write!(f, "Array({:?}, {:?})", cell.kind, cell.rule),
        }
    }
}

#[cfg(test)]
mod props;
#[cfg(test)]
mod tests;

/// PostgreSQL's own bound of n; a larger one is nonsense that must not decide how much is written.
const LIMIT_MAX: usize = 10 << 20;

/// How many characters a value of the column may have.
fn limit(column: ColumnType) -> Option<usize> {
    // The modifier of varchar(n) and char(n), also in arrays, is n plus the length word of the stored form.
    let length = matches!(column.oid, 1042 | 1043).then(|| column.typmod.checked_sub(4)).flatten()?;
    usize::try_from(length).ok().filter(|length| (1..=LIMIT_MAX).contains(length))
}

/// The fixed text at the width of the column.
pub(crate) fn redacted(kind: Kind, limit: Option<usize>) -> Box<[u8]> {
    let mut fixed = REDACTED.to_vec();
    if let Some(limit) = limit {
        fixed.truncate(limit);
        if kind == Kind::Bpchar {
            fixed.resize(limit, b' ');
        }
    }
    fixed.into()
}
