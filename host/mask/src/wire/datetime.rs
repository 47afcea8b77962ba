//! Dates and timestamps. Text is read only as ISO 8601, what `DateStyle = ISO` gives: the other styles say `03/04/2021`
//! for two different days.

use std::io::Write as _;

use crate::types::Format;

pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// 2000-01-01, PostgreSQL's zero, in days since 1970-01-01.
const ZERO: i32 = 10_957;
/// What PostgreSQL holds is from 4714 BC to 5874897 AD; text of five-digit years and BC is not read here.
const YEAR_MAX: i32 = 9_999;

/// Days since 2000-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day(pub(crate) i32);

impl Day {
    /// None if there is no such day.
    pub(crate) fn of(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=YEAR_MAX).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > month_days(year, month) {
            return None;
        }
        // Days from civil, with years that begin in March.
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = i32::try_from((month + 9) % 12).ok()?;
        let day_of_year = (153 * shifted + 2) / 5 + i32::try_from(day).ok()? - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Self(era * 146_097 + day_of_era - 719_468 - ZERO))
    }

    /// Year, month and day.
    pub(crate) fn civil(self) -> (i32, i32, i32) {
        let days = i64::from(self.0) + i64::from(ZERO) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let narrow = |part: i64| i32::try_from(part).unwrap_or(i32::MIN);
        (narrow(year), narrow(month), narrow(day))
    }
}

const fn month_days(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Microseconds since 2000-01-01 00:00, in UTC for timestamptz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    pub(crate) micros: i64,
    /// How far the shown time was ahead of UTC.
    pub(crate) ahead: i64,
}

impl Instant {
    pub(crate) fn start_of(day: Day) -> Option<Self> {
        Some(Self { micros: i64::from(day.0).checked_mul(MICROS_PER_DAY)?, ahead: 0 })
    }

    /// The day, of UTC for timestamptz.
    pub(crate) fn day(self) -> Option<Day> {
        i32::try_from(self.micros.div_euclid(MICROS_PER_DAY)).ok().map(Day)
    }

    /// The day as it was shown.
    pub(crate) fn local_day(self) -> Option<Day> {
        Self { micros: self.micros.checked_add(self.ahead)?, ahead: 0 }.day()
    }
}

pub(crate) fn read_day(value: &[u8], format: Format) -> Option<Day> {
    match format {
        Format::Binary => match i32::from_be_bytes(value.try_into().ok()?) {
            // −infinity and infinity
            i32::MIN | i32::MAX => None,
            days => Some(Day(days)),
        },
        Format::Text => {
            let mut cursor = Cursor(value);
            let day = cursor.day()?;
            cursor.0.is_empty().then_some(day)
        }
    }
}

pub(crate) fn write_day(day: Day, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let (year, month, date) = day.civil();
    if !(1..=YEAR_MAX).contains(&year) {
        return None;
    }
    match format {
        Format::Binary => {
            out.extend_from_slice(&day.0.to_be_bytes());
            Some(())
        }
        Format::Text => write!(out, "{year:04}-{month:02}-{date:02}").ok(),
    }
}

pub(crate) fn read_instant(value: &[u8], zoned: bool, format: Format) -> Option<Instant> {
    if format == Format::Binary {
        return match i64::from_be_bytes(value.try_into().ok()?) {
            i64::MIN | i64::MAX => None,
            micros => Some(Instant { micros, ahead: 0 }),
        };
    }
    let mut cursor = Cursor(value);
    let day = cursor.day()?;
    cursor.byte(b' ').or_else(|| cursor.byte(b'T'))?;
    let (hours, minutes) = (cursor.two(23)?, cursor.byte(b':').and_then(|()| cursor.two(59))?);
    let seconds = cursor.byte(b':').and_then(|()| cursor.two(60))?;
    let fraction = if cursor.byte(b'.').is_some() { cursor.fraction()? } else { 0 };
    let ahead = if zoned { cursor.zone()? } else { 0 };
    cursor.0.is_empty().then_some(())?;
    let time = (hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND + fraction;
    Some(Instant { micros: Instant::start_of(day)?.micros + time - ahead, ahead })
}

/// Timestamps with a time zone are written in UTC.
pub(crate) fn write_instant(instant: Instant, zoned: bool, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let (year, month, day) = instant.day()?.civil();
    if !(1..=YEAR_MAX).contains(&year) {
        return None;
    }
    if format == Format::Binary {
        out.extend_from_slice(&instant.micros.to_be_bytes());
        return Some(());
    }
    let time = instant.micros.rem_euclid(MICROS_PER_DAY);
    let seconds = time / MICROS_PER_SECOND;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}").ok()?;
    if time % MICROS_PER_SECOND != 0 {
        write!(out, ".{:06}", time % MICROS_PER_SECOND).ok()?;
        out.truncate(out.iter().rposition(|&digit| digit != b'0')? + 1);
    }
    if zoned {
        out.extend_from_slice(b"+00");
    }
    Some(())
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits
            .iter()
            .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    fn two(&mut self, max: i64) -> Option<i64> {
        self.digits(2).filter(|&number| number <= max)
    }

    fn day(&mut self) -> Option<Day> {
        let year = i32::try_from(self.digits(4)?).ok()?;
        self.byte(b'-')?;
        let month = u32::try_from(self.digits(2)?).ok()?;
        self.byte(b'-')?;
        Day::of(year, month, u32::try_from(self.digits(2)?).ok()?)
    }

    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&count) {
            return None;
        }
        let number = self.digits(count)?;
        Some((count..6).fold(number, |number, _| number * 10))
    }

    /// `Z`, `+HH`, `+HH:MM` or `+HH:MM:SS`.
    fn zone(&mut self) -> Option<i64> {
        if self.byte(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.byte(b'-').is_some() {
            -1
        } else {
            self.byte(b'+')?;
            1
        };
        let mut seconds = self.two(23)? * 3600;
        if self.byte(b':').is_some() {
            seconds += self.two(59)? * 60;
        }
        if self.byte(b':').is_some() {
            seconds += self.two(59)?;
        }
        Some(sign * seconds * MICROS_PER_SECOND)
    }
}
