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
