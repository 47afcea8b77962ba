//! `age90`: ages above 89 become 90 (45 CFR 164.514(b)(2)(i)(C)). Fractions of years tell a birthday and go.

/// The age that stands for all from here on.
const CAP: i64 = 90;

pub(super) fn int(age: i64) -> Option<i64> {
    (age >= 0).then(|| age.min(CAP))
}

pub(super) fn whole(age: i128) -> Option<i128> {
    (age >= 0).then(|| age.min(CAP.into()))
}

pub(super) fn float(age: f64) -> Option<f64> {
    (age >= 0.0).then(|| age.floor().min(90.0))
}

/// A whole number, optionally with a unit of years; what else a text may say about an age is redacted.
pub(super) fn text(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let value = value.trim_ascii();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = value.split_at_checked(digits)?;
    if !(1..=3).contains(&digits) || !UNITS.iter().any(|known| known.eq_ignore_ascii_case(unit.trim_ascii())) {
        return None;
    }
    let age = number.iter().fold(0, |age, digit| age * 10 + i64::from(digit - b'0'));
    if age < CAP {
        out.extend_from_slice(number);
    } else {
        out.extend_from_slice(b"90+");
    }
    out.extend_from_slice(unit);
    Some(())
}

const UNITS: &[&[u8]] = &[
    b"",
    b"+",
    b"y",
    b"yo",
    b"y/o",
    b"y.o.",
    b"yr",
    b"yrs",
    b"year",
    b"years",
    b"year old",
    b"years old",
    b"year-old",
];
