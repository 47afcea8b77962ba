//! `year`: of a date only the year stays; years that tell an age above 89 go too.

use std::io::Write as _;

use crate::detect::date;
use crate::wire::datetime::{Day, Instant};

pub(super) fn year_day(day: Day, oldest: i32) -> Option<Day> {
    let (year, _, _) = day.civil();
    (year > oldest).then(|| Day::of(year, 1, 1)).flatten()
}

/// The first of January at midnight UTC, whatever time zone the value was shown in: both formats give the same.
pub(super) fn year_instant(instant: Instant, oldest: i32) -> Option<Instant> {
    Instant::start_of(year_day(instant.local_day()?, oldest)?)
}

/// A year kept as a number.
pub(super) fn year_int(value: i64, oldest: i32) -> Option<i64> {
    (value > oldest.into() && (1000..=9999).contains(&value)).then_some(value)
}

/// A text that is a date and nothing else becomes its year, `90+` in place of a year that tells an age above 89.
pub(super) fn year_text(value: &[u8], oldest: i32, out: &mut Vec<u8>) -> Option<()> {
    let year = date::year_of(value)?;
    if year > oldest { write!(out, "{year:04}").ok() } else { write!(out, "90+").ok() }
}
