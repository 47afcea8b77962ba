use std::fmt;
use std::str::FromStr;

/// A quarter of a year, as evidence is asked for: `2026-Q3`. Days begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarter {
    year: u16,
    /// From 1 to 4.
    number: u16,
}

impl Quarter {
    /// Its first moment, and the first behind it, in Unix microseconds.
    #[must_use]
    pub fn span_us(self) -> (u64, u64) {
        let start = |months: u16| midnight(self.year + months / 12, months % 12 + 1);
        (start((self.number - 1) * 3), start(self.number * 3))
    }
}

/// The first moment of a month.
fn midnight(year: u16, month: u16) -> u64 {
    const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let past = u64::from(year) - 1;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = past * 365 + past / 4 - past / 100 + past / 400 - 719_162;
    (days + DAYS_BEFORE[usize::from(month) - 1] + u64::from(leap && month > 2)) * 86_400_000_000
}

impl FromStr for Quarter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (year, number) = text.split_once("-Q")?;
            let is_plain =
                |digits: &str, length| digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_right = is_plain(year, 4) && is_plain(number, 1);
            let quarter = Self { year: year.parse().ok()?, number: number.parse().ok()? };
            (is_right && (1970..=9999).contains(&quarter.year) && (1..=4).contains(&quarter.number)).then_some(quarter)
        };
        let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
        parse().ok_or_else(|| format!("`{shown}` is no quarter: write the year and Q1 to Q4, such as 2026-Q3"))
    }
}

impl fmt::Display for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-Q{}", self.year, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_begin_and_end_where_the_calendar_says() {
        const DAY: u64 = 86_400_000_000;
        for (text, from, days) in [
            ("1970-Q1", 0, 90),
            ("2024-Q1", 1_704_067_200_000_000, 91),
            ("2026-Q3", 1_782_864_000_000_000, 92),
            ("2026-Q4", 1_790_812_800_000_000, 92),
            ("2100-Q1", 4_102_444_800_000_000, 90),
        ] {
            let quarter: Quarter = text.parse().unwrap();
            assert_eq!((quarter.to_string().as_str(), quarter.span_us()), (text, (from, from + days * DAY)));
        }
        for text in ["", "2026", "2026Q3", "2026-Q0", "2026-Q5", "2026-Q33", "26-Q3", "2026-q3", "1969-Q4", "+026-Q1"] {
            let told = text.parse::<Quarter>().unwrap_err();
            assert!(told.ends_with("is no quarter: write the year and Q1 to Q4, such as 2026-Q3"), "{told}");
        }
    }
}
