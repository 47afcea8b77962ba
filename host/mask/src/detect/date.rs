//! Dates as people write them.

/// The year of a text that is one date (with or without a time) and nothing else, if the year has four digits.
pub(crate) fn year_of(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii();
    let compact = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if matches!(compact, 8 | 12 | 14) && text.len() == compact {
        let year = number(text.get(..4)?)?;
        let plausible = is_month(text.get(4..6)?) && is_day(text.get(6..8)?);
        return (plausible && is_year(year)).then_some(year);
    }
    // A time of day behind the date says nothing about the year, but has to look like one.
    let separator = text.iter().position(|&byte| byte == b'T').filter(|&at| {
        text.get(..at).is_some_and(|head| head.last().is_some_and(u8::is_ascii_digit))
            && text.get(at + 1).is_some_and(u8::is_ascii_digit)
    });
    let time = separator.or_else(|| {
        let colon = text.iter().position(|&byte| byte == b':')?;
        text.get(..colon)?.iter().rposition(|&byte| byte == b' ')
    });
    let (date, time) = text.split_at_checked(time.unwrap_or(text.len()))?;
    if !time.iter().all(|byte| byte.is_ascii_digit() || b"T:.+- ZAPMapm".contains(byte)) {
        return None;
    }
    let mut parts = [Part::None; 3];
    let words = date.split(|byte| b" ,./-".contains(byte)).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        *parts.get_mut(index)? = Part::of(word)?;
    }
    match parts {
        [Part::Year(year), Part::None, Part::None]
        | [Part::Year(year), Part::Small(_), Part::None | Part::Small(_)]
        | [Part::Small(_), Part::Year(year), Part::None]
        | [Part::Small(_), Part::Small(_) | Part::Month, Part::Year(year)]
        | [Part::Month, Part::Small(_), Part::Year(year)]
        | [Part::Month, Part::Year(year), Part::None]
        | [Part::Year(year), Part::Month, Part::Small(_)] => Some(year),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    None,
    Year(i32),
    /// A day or the number of a month.
    Small(()),
    Month,
}

impl Part {
    fn of(word: &[u8]) -> Option<Self> {
        if word.iter().all(u8::is_ascii_digit) {
            return match word.len() {
                4 => number(word).filter(|&year| is_year(year)).map(Self::Year),
                1 | 2 => is_day(word).then_some(Self::Small(())),
                _ => None,
            };
        }
        if is_month_name(word) {
            return Some(Self::Month);
        }
        // 4th, 21st
        let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (day, ordinal) = word.split_at_checked(digits)?;
        let known = [b"st", b"nd", b"rd", b"th"].iter().any(|suffix| ordinal.eq_ignore_ascii_case(*suffix));
        (known && is_day(day)).then_some(Self::Small(()))
    }
}

/// Whether it is the English name of a month or its first three letters.
pub(crate) fn is_month_name(word: &[u8]) -> bool {
    MONTHS.iter().any(|name| {
        let abbreviated = name.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(word));
        abbreviated || name.eq_ignore_ascii_case(word) || word.eq_ignore_ascii_case(b"sept")
    })
}

fn is_year(year: i32) -> bool {
    (1000..=2999).contains(&year)
}

fn is_month(digits: &[u8]) -> bool {
    number(digits).is_some_and(|month| (1..=12).contains(&month))
}

fn is_day(digits: &[u8]) -> bool {
    number(digits).is_some_and(|day| (1..=31).contains(&day))
}

fn number(digits: &[u8]) -> Option<i32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];
