//! How much time has passed, as far as the log saw it pass. A clock that is set ten years ahead ends no retention: where the
//! time of one record is more than a day behind that of the next, nobody was there to see the time between. A node writes
//! every minute, so that is a step of the clock or a node that was off; either way the contents are kept that much longer.

use serde::{Deserialize, Serialize};

/// What is further apart than this was not seen to pass. Long enough for restarts and repairs; as short as the shortest
/// retention, so that no clock ends one in a single step.
const LEAP_MIN: u64 = 86_400_000_000;

/// The time that counts, all in Unix microseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Passed {
    /// The time of the last record.
    last: Option<u64>,
    /// One per leap: restarts after more than a day, and clocks that were set.
    leaps: Vec<Leap>,
}

/// From a record on, the clock is ahead of the time that counts by so much; behind it where that is negative.
#[derive(Debug, Serialize, Deserialize)]
struct Leap {
    index: u64,
    ahead: i64,
}

impl Passed {
    /// Takes in the next record.
    pub(super) fn see(&mut self, index: u64, log_time: u64) {
        let last = self.last.replace(log_time).unwrap_or(log_time);
        if log_time.abs_diff(last) > LEAP_MIN {
            let by = log_time.cast_signed().saturating_sub(last.cast_signed());
            self.leaps.push(Leap { index, ahead: self.ahead().saturating_add(by) });
        }
    }

    /// How far the clock is ahead by now.
    pub(super) fn ahead(&self) -> i64 {
        self.leaps.last().map_or(0, |leap| leap.ahead)
    }

    /// The time that had passed at a record.
    pub(super) fn at(&self, index: u64, log_time: u64) -> u64 {
        let before = self.leaps.partition_point(|leap| leap.index <= index);
        let leap = before.checked_sub(1).and_then(|leap| self.leaps.get(leap));
        log_time.saturating_sub_signed(leap.map_or(0, |leap| leap.ahead))
    }

    /// The time that has passed by the last record.
    pub(super) fn now(&self) -> u64 {
        self.last.unwrap_or_default().saturating_sub_signed(self.ahead())
    }

    /// What the clock shows when that time has passed.
    pub(super) fn shown(&self, time: u64) -> u64 {
        time.saturating_add_signed(self.ahead())
    }

    pub(super) const fn last(&self) -> Option<u64> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = LEAP_MIN / 24;
    const YEAR: u64 = LEAP_MIN * 365;

    #[test]
    fn time_counts_as_far_as_it_was_seen_to_pass() {
        let begin = 56 * YEAR;
        // What the clock showed, and how much of it counts since the beginning.
        let cases: &[(&[u64], u64)] = &[
            (&[begin, begin + HOUR, begin + 25 * HOUR], 25 * HOUR),
            (&[begin, begin + 25 * HOUR], 0),
            (&[begin, begin + 10 * YEAR, begin + 10 * YEAR + HOUR], HOUR),
            // Put right again: what passed meanwhile is lost to it, and from there on it counts.
            (&[begin, begin + 10 * YEAR, begin + HOUR, begin + 2 * HOUR], HOUR),
            // A clock that began in 1970.
            (&[0, HOUR, begin, begin + HOUR], 2 * HOUR),
            // One that was wrong from the beginning, and one that was wrong for a while.
            (&[begin + 10 * YEAR, begin, begin + HOUR], HOUR),
            (&[begin, begin - 10 * YEAR, begin - 10 * YEAR + HOUR, begin, begin + HOUR], 2 * HOUR),
        ];
        for (times, expected) in cases {
            let mut passed = Passed::default();
            for (index, time) in times.iter().enumerate() {
                passed.see(index as u64, *time);
            }
            assert_eq!(passed.now().saturating_sub(passed.at(0, times[0])), *expected, "{times:?}");
        }
    }
}
