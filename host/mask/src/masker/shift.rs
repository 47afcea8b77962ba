//! `shift`: dates move by a keyed distance; equal dates of a class by the same. The time of day stays.

use aws_lc_rs::hmac;

use crate::key::{MaskKey, Purpose};
use crate::types::Format;
use crate::wire::datetime::{self, Day, Instant, MICROS_PER_DAY};

pub(crate) struct Shift {
    key: hmac::Key,
    days: u16,
}

impl Shift {
    /// None for a distance of 0, which would move nothing.
    pub(super) fn new(key: &MaskKey, class: &str, days: u16) -> Option<Self> {
        (days > 0).then_some(())?;
        Some(Self { key: key.hmac(Purpose::Shift, class)?, days })
    }

    pub(super) fn day(&self, day: Day) -> Option<Day> {
        Some(Day(day.0.checked_add(self.distance(day)?)?))
    }

    pub(super) fn instant(&self, instant: Instant) -> Option<Instant> {
        let distance = i64::from(self.distance(instant.day()?)?);
        Some(Instant { micros: instant.micros.checked_add(distance.checked_mul(MICROS_PER_DAY)?)?, ..instant })
    }

    /// A text that holds a date as ISO 8601 says it, or a date and a time.
    pub(super) fn text(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if let Some(day) = datetime::read_day(value, Format::Text) {
            return datetime::write_day(self.day(day)?, Format::Text, out);
        }
        let zoned = value.last().is_some_and(|&last| last == b'Z')
            || value.get(11..).is_some_and(|time| time.iter().any(|byte| matches!(byte, b'+' | b'-')));
        let instant = datetime::read_instant(value, zoned, Format::Text)?;
        datetime::write_instant(self.instant(instant)?, zoned, Format::Text, out)
    }

    /// Between one and `days` days, forward or back.
    fn distance(&self, day: Day) -> Option<i32> {
        let tag = hmac::sign(&self.key, &day.0.to_be_bytes());
        let random = u64::from_be_bytes(tag.as_ref().first_chunk().copied()?);
        let days = i32::from(self.days);
        let step = i32::try_from(random % (2 * u64::from(self.days))).ok()? - days;
        Some(if step < 0 { step } else { step + 1 })
    }
}
