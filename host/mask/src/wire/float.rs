use std::fmt;
use std::io::Write as _;

use crate::types::Format;

pub(crate) fn read4(value: &[u8], format: Format) -> Option<f64> {
    match format {
        Format::Text => read_text(value),
        Format::Binary => Some(f32::from_be_bytes(value.try_into().ok()?).into()),
    }
}

pub(crate) fn read8(value: &[u8], format: Format) -> Option<f64> {
    match format {
        Format::Text => read_text(value),
        Format::Binary => Some(f64::from_be_bytes(value.try_into().ok()?)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float4 holds what was a float4, or its nearest")]
pub(crate) fn write4(value: f64, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let value = value as f32;
    match format {
        _ if !value.is_finite() => None,
        Format::Text => write!(out, "{value}").ok(),
        Format::Binary => {
            out.extend_from_slice(&value.to_be_bytes());
            Some(())
        }
    }
}

pub(crate) fn write8(value: f64, format: Format, out: &mut Vec<u8>) -> Option<()> {
    match format {
        _ if !value.is_finite() => None,
        Format::Text => write!(out, "{value}").ok(),
        Format::Binary => {
            out.extend_from_slice(&value.to_be_bytes());
            Some(())
        }
    }
}

fn read_text(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// As PostgreSQL writes it: the shortest digits that read back as the same value, with an exponent where it is large.
pub(crate) fn show8(value: f64, out: &mut Vec<u8>) -> Option<()> {
    show(value, 15, &value, out)
}

/// The same with the digits of a float4.
#[expect(clippy::cast_possible_truncation, reason = "it was a float4")]
pub(crate) fn show4(value: f64, out: &mut Vec<u8>) -> Option<()> {
    show(value, 6, &(value as f32), out)
}

fn show(value: f64, digits: i32, exact: &(impl fmt::Display + fmt::LowerExp), out: &mut Vec<u8>) -> Option<()> {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return Some(());
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
        return Some(());
    }
    let scientific = format!("{exact:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if value == 0.0 || (-4..digits).contains(&exponent) {
        return write!(out, "{exact}").ok();
    }
    write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()).ok()
}

/// The value of a text, unless it is too large for the type.
pub(crate) fn exact8(text: &[u8]) -> Option<f64> {
    let value = read_text(text)?;
    (!value.is_infinite() || says_infinity(text)).then_some(value)
}

/// The same for a float4.
pub(crate) fn exact4(text: &[u8]) -> Option<f32> {
    let value: f32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_infinite() || says_infinity(text)).then_some(value)
}

fn says_infinity(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'i'))
}
