//! `range`: numbers fall to the lower end of their interval.

pub(super) fn int(value: i64, width: u32) -> Option<i64> {
    value.checked_sub(value.rem_euclid(width.into()))
}

pub(super) fn whole(value: i128, width: u32) -> Option<i128> {
    value.checked_sub(value.rem_euclid(width.into()))
}

pub(super) fn float(value: f64, width: u32) -> Option<f64> {
    let width = f64::from(width);
    // From 2^53 on a float is its own interval, and would pass unmasked.
    (value.abs() < 9_007_199_254_740_992.0).then(|| (value / width).floor() * width)
}

pub(super) fn text(value: &[u8], width: u32, out: &mut Vec<u8>) -> Option<()> {
    use std::io::Write as _;
    let number: i64 = std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()?;
    write!(out, "{}", int(number, width)?).ok()
}
