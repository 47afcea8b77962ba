use std::io::Write as _;

use crate::types::Format;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
/// A numeric of more digits than this is no age and no amount; NULL stands for it.
const GROUPS_MAX: i16 = 8;

/// The largest whole number at or below the value. None for NaN and infinities.
pub(crate) fn read_floor(value: &[u8], format: Format) -> Option<i128> {
    let (magnitude, negative, fraction) = match format {
        Format::Text => read_text(value)?,
        Format::Binary => read_binary(value)?,
    };
    if negative { Some(-magnitude - i128::from(fraction)) } else { Some(magnitude) }
}

fn read_text(value: &[u8]) -> Option<(i128, bool, bool)> {
    let (negative, value) = match value.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, value),
    };
    let point = value.iter().position(|&byte| byte == b'.').unwrap_or(value.len());
    let (whole, fraction) = value.split_at_checked(point)?;
    let fraction = fraction.get(1..).unwrap_or_default();
    if whole.len() > 32 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) || whole.is_empty() {
        return None;
    }
    let magnitude = whole.iter().fold(0, |number, digit| number * 10 + i128::from(digit - b'0'));
    Some((magnitude, negative, fraction.iter().any(|&digit| digit != b'0')))
}

fn read_binary(value: &[u8]) -> Option<(i128, bool, bool)> {
    let mut words = value.chunks(2).map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
    let count = i16::try_from(words.next()??).ok()?;
    let weight = i16::from_ne_bytes(words.next()??.to_ne_bytes());
    let sign = words.next()??;
    words.next()??;
    if !matches!(sign, POSITIVE | NEGATIVE) || weight >= GROUPS_MAX {
        return None;
    }
    let mut magnitude: i128 = 0;
    let mut fraction = false;
    for index in 0..count {
        let group = words.next()??;
        if group > 9999 {
            return None;
        }
        if index <= weight {
            magnitude = magnitude * 10_000 + i128::from(group);
        } else {
            fraction |= group != 0;
        }
    }
    // Trailing groups of zeros are not sent.
    for _ in count..weight.saturating_add(1) {
        magnitude *= 10_000;
    }
    words.next().is_none().then_some((magnitude, sign == NEGATIVE, fraction))
}

pub(crate) fn write_whole(value: i128, format: Format, out: &mut Vec<u8>) -> Option<()> {
    if format == Format::Text {
        return write!(out, "{value}").ok();
    }
    // 39 decimal digits of an i128 are ten groups, least significant first.
    let mut groups = [0_u16; 10];
    let mut rest = value.unsigned_abs();
    for group in &mut groups {
        *group = u16::try_from(rest % 10_000).ok()?;
        rest /= 10_000;
    }
    let count = groups.iter().rposition(|&group| group != 0).map_or(0, |last| last + 1);
    let weight = u16::try_from(count.saturating_sub(1)).ok()?;
    let sign = if value < 0 { NEGATIVE } else { POSITIVE };
    for word in [u16::try_from(count).ok()?, weight, sign, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for group in groups.get(..count)?.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Some(())
}
