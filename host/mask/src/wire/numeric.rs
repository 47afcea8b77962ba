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

const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;
/// What PostgreSQL holds before and behind the point.
const DIGITS_MAX: usize = 131_072;
const GROUP: usize = 4;

/// Appends the text of a binary value.
pub(crate) fn to_text(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (words, rest) = value.as_chunks::<2>();
    let mut words = words.iter().map(|word| u16::from_be_bytes(*word));
    let (count, weight, sign, scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let special: Option<&[u8]> = match sign {
        NAN => Some(b"NaN"),
        INFINITY => Some(b"Infinity"),
        MINUS_INFINITY => Some(b"-Infinity"),
        _ => None,
    };
    if let Some(word) = special {
        out.extend_from_slice(word);
        return Some(());
    }
    let groups: Vec<u16> = words.collect();
    let is_sound = rest.is_empty() && groups.len() == usize::from(count) && groups.iter().all(|group| *group < 10_000);
    if !is_sound || !matches!(sign, POSITIVE | NEGATIVE) {
        return None;
    }
    let weight = i64::from(weight.cast_signed());
    let group_at =
        |place: i64| usize::try_from(weight - place).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    if sign == NEGATIVE {
        out.push(b'-');
    }
    write!(out, "{}", group_at(weight.max(0))).ok()?;
    for place in (0..weight).rev() {
        write!(out, "{:04}", group_at(place)).ok()?;
    }
    let scale = usize::from(scale);
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut place = -1;
        while out.len() < end {
            write!(out, "{:04}", group_at(place)).ok()?;
            place -= 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// Appends the binary form of a text without an exponent.
pub(crate) fn to_binary(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // The server says a scale of 32 of its infinities, which nobody reads.
    let special = [(&b"NaN"[..], NAN, 0), (b"Infinity", INFINITY, 32), (b"-Infinity", MINUS_INFINITY, 32)];
    if let Some((_, sign, scale)) = special.iter().find(|(word, ..)| text.eq_ignore_ascii_case(word)) {
        [0, 0, *sign, *scale].iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        return Some(());
    }
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let point = digits.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
        None => (digits, &b""[..]),
    };
    let is_number = whole.iter().chain(fraction).all(u8::is_ascii_digit) && !(whole.is_empty() && fraction.is_empty());
    if !is_number || whole.len() > DIGITS_MAX || fraction.len() > usize::from(i16::MAX.cast_unsigned()) {
        return None;
    }
    // Groups of four digits from the point on in both directions.
    let missing = |length: usize| (GROUP - length % GROUP) % GROUP;
    let zeros = |count| std::iter::repeat_n(b'0', count);
    let before = zeros(missing(whole.len())).chain(whole.iter().copied());
    let padded: Vec<u8> = before.chain(fraction.iter().copied()).chain(zeros(missing(fraction.len()))).collect();
    let (groups, _) = padded.as_chunks::<GROUP>();
    let groups: Vec<u16> =
        groups.iter().map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))).collect();
    let places_before = i64::try_from(whole.len().div_ceil(GROUP)).ok()?;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let used = groups.get(leading..)?;
    let used = used.get(..used.iter().rposition(|group| *group != 0).map_or(0, |last| last + 1))?;
    let weight = if used.is_empty() { 0 } else { places_before - 1 - i64::try_from(leading).ok()? };
    let sign = if negative && !used.is_empty() { NEGATIVE } else { POSITIVE };
    let head = [
        u16::try_from(used.len()).ok()?,
        i16::try_from(weight).ok()?.cast_unsigned(),
        sign,
        u16::try_from(fraction.len()).ok()?,
    ];
    head.iter().chain(used).for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    Some(())
}
