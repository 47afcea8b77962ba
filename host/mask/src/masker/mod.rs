//! The maskers, each as a function from a value to a value; [`Cell`] joins them with the types' wire forms.

mod age;
mod date;
mod ff1;
mod fpe;
mod partial;
mod range;
mod scan;
mod shift;
mod token;
mod zip;

use std::fmt;

use grille_policy::Masker;

use crate::column::{Context, Masked};
use crate::types::{Format, Kind};
use crate::wire::{datetime, float, int, numeric, uuid};

/// What stands for any masked text, whatever its length was.
pub(crate) const REDACTED: &[u8] = b"[redacted]";

/// A masker with its keys and parameters. `null` and `redact` need none and never become one.
pub(crate) enum Rule {
    Token(token::Token),
    Fpe(Box<fpe::Fpe>),
    Partial(usize),
    /// The newest year that tells an age above 89.
    Year(i32),
    Age90,
    Zip3,
    Range(u32),
    Shift(shift::Shift),
    Scan(Box<scan::Scan>),
}

impl Rule {
    /// None if the masker cannot be carried out, so that the column is to be redacted.
    pub(crate) fn compile(masker: &Masker, context: &Context<'_>) -> Option<Self> {
        Some(match masker {
            Masker::Null | Masker::Redact => return None,
            Masker::Token { class } => Self::Token(token::Token::new(context.key, class)?),
            Masker::Fpe { class } => Self::Fpe(Box::new(fpe::Fpe::new(context.key, class)?)),
            Masker::Partial { keep } => Self::Partial((*keep).into()),
            Masker::Year => Self::Year(context.year.saturating_sub(90)),
            Masker::Age90 => Self::Age90,
            Masker::Zip3 => Self::Zip3,
            Masker::Range { width } => Self::Range((*width).max(1)),
            Masker::Shift { class, days } => Self::Shift(shift::Shift::new(context.key, class, *days)?),
            Masker::Scan => Self::Scan(Box::new(scan::Scan::new(context.detector))),
        })
    }

    /// Whether there is anything but redacting to be done for the type.
    pub(crate) fn writes(&self, kind: Kind, limit: Option<usize>) -> bool {
        use Kind::{Bpchar, Char, Date, Float4, Float8, Int2, Int4, Int8, Json, Jsonb, Numeric, Text, Timestamp};
        use Kind::{Timestamptz, Uuid};
        match self {
            // A pseudonym cut to fit would collide; int2 and int4 are too narrow for one.
            Self::Token(_) => match kind {
                Text | Bpchar => limit.is_none_or(|limit| limit >= token::LEN),
                _ => matches!(kind, Uuid | Int8),
            },
            Self::Fpe(_) => matches!(kind, Text | Bpchar | Int4 | Int8),
            Self::Partial(_) => matches!(kind, Text | Bpchar),
            Self::Year(_) => {
                matches!(kind, Text | Bpchar | Date | Timestamp | Timestamptz | Int2 | Int4 | Int8)
            }
            Self::Age90 | Self::Range(_) => {
                matches!(kind, Text | Bpchar | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric)
            }
            Self::Zip3 => matches!(kind, Text | Bpchar | Int4 | Int8),
            Self::Shift(_) => matches!(kind, Text | Bpchar | Date | Timestamp | Timestamptz),
            Self::Scan(_) => matches!(kind, Text | Bpchar | Char | Json | Jsonb),
        }
    }

    fn text(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Token(token) => token.text(value, out),
            Self::Fpe(fpe) => fpe.text(value, out),
            Self::Partial(keep) => partial::text(value, *keep, out),
            Self::Year(oldest) => date::year_text(value, *oldest, out),
            Self::Age90 => age::text(value, out),
            Self::Zip3 => zip::text(value, out),
            Self::Range(width) => range::text(value, *width, out),
            Self::Shift(shift) => shift.text(value, out),
            Self::Scan(scan) => scan.text(value, out),
        }
    }

    fn int(&self, value: i64, largest: i64) -> Option<i64> {
        match self {
            Self::Token(token) => token.int(value),
            Self::Fpe(fpe) => fpe.int(value, largest),
            Self::Year(oldest) => date::year_int(value, *oldest),
            Self::Age90 => age::int(value),
            Self::Zip3 => zip::int(value),
            Self::Range(width) => range::int(value, *width),
            _ => None,
        }
    }

    fn float(&self, value: f64) -> Option<f64> {
        match self {
            Self::Age90 => age::float(value),
            Self::Range(width) => range::float(value, *width),
            _ => None,
        }
    }

    /// For numerics, of which only the whole part at or below the value is looked at.
    fn whole(&self, value: i128) -> Option<i128> {
        match self {
            Self::Age90 => age::whole(value),
            Self::Range(width) => range::whole(value, *width),
            _ => None,
        }
    }

    fn day(&self, day: datetime::Day) -> Option<datetime::Day> {
        match self {
            Self::Year(oldest) => date::year_day(day, *oldest),
            Self::Shift(shift) => shift.day(day),
            _ => None,
        }
    }

    fn instant(&self, instant: datetime::Instant) -> Option<datetime::Instant> {
        match self {
            Self::Year(oldest) => date::year_instant(instant, *oldest),
            Self::Shift(shift) => shift.instant(instant),
            _ => None,
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "token",
            Self::Fpe(_) => "fpe",
            Self::Partial(_) => "partial",
            Self::Year(_) => "year",
            Self::Age90 => "age90",
            Self::Zip3 => "zip3",
            Self::Range(_) => "range",
            Self::Shift(_) => "shift",
            Self::Scan(_) => "scan",
        })
    }
}

/// A rule for values of one type in one format.
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) format: Format,
    /// The largest number of characters, for varchar(n) and char(n).
    pub(crate) limit: Option<usize>,
    pub(crate) rule: Rule,
}

impl Cell {
    pub(crate) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Masked {
        let start = out.len();
        if self.write(value, out).is_some() {
            return Masked::Value;
        }
        out.truncate(start);
        if !self.kind.is_text() {
            return Masked::Null;
        }
        out.extend_from_slice(REDACTED);
        self.fit(start, REDACTED.len(), out);
        Masked::Value
    }

    fn write(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self.kind {
            Kind::Text => {
                let start = out.len();
                self.rule.text(value, out)?;
                self.fit(start, 0, out);
                Some(())
            }
            Kind::Bpchar => {
                let start = out.len();
                self.rule.text(value.trim_ascii_end(), out)?;
                self.fit(start, characters(value), out);
                Some(())
            }
            // A single byte says nothing by itself.
            Kind::Char => {
                out.extend_from_slice(value.get(..1).filter(|_| value.len() == 1)?);
                Some(())
            }
            Kind::Int2 | Kind::Int4 | Kind::Int8 => {
                let width = int::Width::of(self.kind)?;
                let masked = self.rule.int(int::read(value, width, self.format)?, width.largest())?;
                int::write(masked, width, self.format, out)
            }
            Kind::Float4 => {
                let masked = self.rule.float(float::read4(value, self.format)?)?;
                float::write4(masked, self.format, out)
            }
            Kind::Float8 => {
                let masked = self.rule.float(float::read8(value, self.format)?)?;
                float::write8(masked, self.format, out)
            }
            Kind::Numeric => {
                let masked = self.rule.whole(numeric::read_floor(value, self.format)?)?;
                numeric::write_whole(masked, self.format, out)
            }
            Kind::Date => {
                let masked = self.rule.day(datetime::read_day(value, self.format)?)?;
                datetime::write_day(masked, self.format, out)
            }
            Kind::Timestamp | Kind::Timestamptz => {
                let zoned = self.kind == Kind::Timestamptz;
                let masked = self.rule.instant(datetime::read_instant(value, zoned, self.format)?)?;
                datetime::write_instant(masked, zoned, self.format, out)
            }
            Kind::Uuid => match &self.rule {
                Rule::Token(token) => uuid::write(token.uuid(uuid::read(value, self.format)?), self.format, out),
                _ => None,
            },
            Kind::Json => match &self.rule {
                Rule::Scan(scan) => scan.json(value, out),
                _ => None,
            },
            Kind::Jsonb => match (&self.rule, self.format) {
                (Rule::Scan(scan), Format::Text) => scan.json(value, out),
                (Rule::Scan(scan), Format::Binary) => {
                    // Version 1 is the only one there has ever been.
                    let (&1, document) = value.split_first()? else { return None };
                    out.push(1);
                    scan.json(document, out)
                }
                _ => None,
            },
            Kind::Other => None,
        }
    }

    /// Cuts what was written from `start` on to the column's limit and, for char(n), pads it to the limit or at least to
    /// `width`.
    fn fit(&self, start: usize, width: usize, out: &mut Vec<u8>) {
        let Some(written) = out.get(start..) else { return };
        let count = characters(written);
        if let Some(limit) = self.limit
            && count > limit
        {
            let cut = offset_of(written, limit);
            out.truncate(start + cut);
        } else if self.kind == Kind::Bpchar {
            let pad = self.limit.unwrap_or(width).saturating_sub(count);
            out.resize(out.len() + pad, b' ');
        }
    }
}

/// The number of characters: of UTF-8, or else of a single-byte encoding.
pub(crate) fn characters(text: &[u8]) -> usize {
    std::str::from_utf8(text).map_or(text.len(), |text| text.chars().count())
}

/// Where character number `nth` starts.
pub(crate) fn offset_of(text: &[u8], nth: usize) -> usize {
    match std::str::from_utf8(text) {
        Ok(utf8) => utf8.char_indices().nth(nth).map_or(text.len(), |(offset, _)| offset),
        Err(_) => nth.min(text.len()),
    }
}
