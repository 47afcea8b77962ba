//! Values on their way into a policy's own code and back: out of PostgreSQL's binary format into text, and into it again.

use std::io::Write as _;

use crate::types::{Format, Kind, Shape};
use crate::wire::{datetime, float, int, numeric, uuid};

/// How the values of one type cross. Types that are not known here do not, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing(Sort);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Of(Kind),
    Bool,
    Bytea,
}

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
/// The version that jsonb begins with on the wire.
const JSONB_VERSION: u8 = 1;

impl Crossing {
    /// None for types that only their own code reads: arrays, enums, domains, extension types and the rarer built-in ones.
    #[must_use]
    pub fn of(type_oid: u32) -> Option<Self> {
        match (type_oid, Shape::of(type_oid)) {
            (BOOL, _) => Some(Self(Sort::Bool)),
            (BYTEA, _) => Some(Self(Sort::Bytea)),
            (_, Shape::Scalar(Kind::Other) | Shape::Array { .. }) => None,
            (_, Shape::Scalar(kind)) => Some(Self(Sort::Of(kind))),
        }
    }

    /// Whether any UTF-8 is a value of the type, the same in both formats.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self.0, Sort::Of(Kind::Text | Kind::Bpchar))
    }

    /// Appends the text of a value that came in binary: with `DateStyle = ISO`, in UTC. None if it has none.
    pub fn to_text(self, binary: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (from, to) = (Format::Binary, Format::Text);
        match self.0 {
            Sort::Bool => match binary {
                [0] => out.push(b'f'),
                [1] => out.push(b't'),
                _ => return None,
            },
            Sort::Bytea => {
                out.extend_from_slice(b"\\x");
                binary.iter().try_for_each(|byte| write!(out, "{byte:02x}").ok())?;
            }
            Sort::Of(kind) => match kind {
                Kind::Text | Kind::Bpchar | Kind::Char | Kind::Json => out.extend_from_slice(binary),
                Kind::Jsonb => out.extend_from_slice(binary.strip_prefix(&[JSONB_VERSION])?),
                Kind::Numeric => numeric::to_text(binary, out)?,
                Kind::Float4 => float::show4(float::read4(binary, from)?, out)?,
                Kind::Float8 => float::show8(float::read8(binary, from)?, out)?,
                _ => rewrite(kind, binary, from, to, out)?,
            },
        }
        Some(())
    }

    /// Appends the binary form of a text. None if the text is no value of the type.
    pub fn to_binary(self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (from, to) = (Format::Text, Format::Binary);
        match self.0 {
            Sort::Bool => match text {
                _ if [b"t".as_slice(), b"true"].iter().any(|word| text.eq_ignore_ascii_case(word)) => out.push(1),
                _ if [b"f".as_slice(), b"false"].iter().any(|word| text.eq_ignore_ascii_case(word)) => out.push(0),
                _ => return None,
            },
            Sort::Bytea => {
                let (pairs, rest) = text.strip_prefix(b"\\x")?.as_chunks::<2>();
                if !rest.is_empty() {
                    return None;
                }
                let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                for [high, low] in pairs {
                    out.push(digit(*high)? << 4 | digit(*low)?);
                }
            }
            Sort::Of(kind) => match kind {
                Kind::Text | Kind::Bpchar => out.extend_from_slice(text),
                Kind::Char if text.len() <= 1 => out.extend_from_slice(text),
                Kind::Json | Kind::Jsonb => {
                    serde_json::from_slice::<serde::de::IgnoredAny>(text).ok()?;
                    out.extend((kind == Kind::Jsonb).then_some(JSONB_VERSION));
                    out.extend_from_slice(text);
                }
                Kind::Numeric => numeric::to_binary(text, out)?,
                Kind::Float4 => out.extend_from_slice(&float::exact4(text)?.to_be_bytes()),
                Kind::Float8 => out.extend_from_slice(&float::exact8(text)?.to_be_bytes()),
                _ => rewrite(kind, text, from, to, out)?,
            },
        }
        Some(())
    }
}

/// The types whose values are one number here.
fn rewrite(kind: Kind, value: &[u8], from: Format, to: Format, out: &mut Vec<u8>) -> Option<()> {
    if let Some(width) = int::Width::of(kind) {
        return int::write(int::read(value, width, from)?, width, to, out);
    }
    match kind {
        Kind::Date => datetime::write_day(datetime::read_day(value, from)?, to, out),
        Kind::Timestamp | Kind::Timestamptz => {
            let is_zoned = kind == Kind::Timestamptz;
            datetime::write_instant(datetime::read_instant(value, is_zoned, from)?, is_zoned, to, out)
        }
        Kind::Uuid => uuid::write(uuid::read(value, from)?, to, out),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(oid: u32, text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Crossing::of(oid)?.to_binary(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn what_is_no_value_of_its_type_does_not_cross_back() {
        for (oid, text) in [
            (16, "yes please"),
            (17, "\\XDE"),
            (17, "\\xd"),
            (18, "ab"),
            (21, "32768"),
            (23, "1.0"),
            (23, ""),
            (700, "1e39"),
            (701, "1e999"),
            (701, "one"),
            (1700, "1e5"),
            (1700, "."),
            (1700, "1.2.3"),
            (1700, "--1"),
            (1082, "1987-02-30"),
            (1114, "1987-02-03"),
            (2950, "a0eebc99"),
            (114, "{"),
            (3802, "TRUE"),
            (1007, "{1}"),
        ] {
            assert_eq!(binary(oid, text), None, "{oid}: {text}");
        }
    }

    #[test]
    fn nothing_wild_becomes_a_text() {
        for oid in [16, 18, 21, 23, 20, 700, 701, 1700, 1082, 1114, 1184, 2950, 3802] {
            for wild in [&b""[..], b"\xff", &[0xff; 7], &[0x7f; 30]] {
                let mut out = Vec::new();
                // It says no, or a text that crosses back.
                let crossing = Crossing::of(oid).unwrap_or_else(|| panic!("{oid}"));
                if crossing.to_text(wild, &mut out).is_some() && oid != 18 {
                    assert!(crossing.to_binary(&out, &mut Vec::new()).is_some(), "{oid}: {wild:?} {out:?}");
                }
            }
        }
    }
}
