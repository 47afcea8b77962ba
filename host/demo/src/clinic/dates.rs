use std::fmt;

const DAY: i64 = 86_400;

/// Days since 1970-01-01, shown as an ISO date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(pub(super) i64);

impl Day {
    pub(super) fn of(year: i64, month: i64, day: i64) -> Self {
        // Howard Hinnant, "chrono-compatible low-level date algorithms": years run from March.
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let of_era = y.rem_euclid(400);
        let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        Self(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }

    /// Year, month, day.
    pub(super) fn parts(self) -> (i64, i64, i64) {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    /// `07/23/1961`, as notes write it.
    pub(super) fn american(self) -> String {
        let (year, month, day) = self.parts();
        format!("{month:02}/{day:02}/{year}")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.parts();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Seconds since 1970 in UTC, shown as PostgreSQL reads a timestamptz.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    pub(super) fn at(day: Day, seconds: i64) -> Self {
        Self(day.0 * DAY + seconds)
    }

    pub(super) fn day(self) -> Day {
        Day(self.0.div_euclid(DAY))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.rem_euclid(DAY);
        write!(f, "{} {:02}:{:02}:{:02}+00", self.day(), seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::{Day, Moment};

    #[test]
    fn days_and_their_parts_agree() {
        for (day, text) in [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (19_723, "2024-01-01")] {
            assert_eq!(Day(day).to_string(), text);
        }
        for day in -20_000..20_000 {
            let (y, m, d) = Day(day).parts();
            assert_eq!(Day::of(y, m, d), Day(day));
        }
        assert_eq!(Moment::at(Day(0), 3_661).to_string(), "1970-01-01 01:01:01+00");
        assert_eq!(Day::of(1961, 7, 23).american(), "07/23/1961");
    }
}
