//! Text for people: aligned tables, times, and no control characters of strangers.

use std::fmt::Write as _;

/// Rows under headings, two spaces between columns; the last column is not filled up.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            let gap = width - cell.chars().count() + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(&mut headings.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Names and values under each other.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    facts.iter().filter(|(_, value)| !value.is_empty()).fold(String::new(), |mut text, (name, value)| {
        let gap = width - name.chars().count() + 2;
        text.push_str(name);
        text.extend(std::iter::repeat_n(' ', gap));
        text.push_str(&value.replace('\n', &format!("\n{}", " ".repeat(width + 2))));
        text.push('\n');
        text
    })
}

/// One line of at most so many characters: white space is one space, control characters are shown, not obeyed.
pub(crate) fn line(text: &str, characters_max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = harmless(&text);
    if let Some((end, _)) = line.char_indices().nth(characters_max) {
        line.truncate(end);
        line.pop();
        line.push('…');
    }
    line
}

/// The text with control characters shown, not obeyed, so that what somebody else wrote cannot move the cursor of who
/// reads it. Line ends and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut clean, letter| {
        if letter.is_control() && !matches!(letter, '\n' | '\t') || is_reordering(letter) {
            // Writing to a String cannot fail.
            let _infallible = write!(clean, "\\u{:04x}", u32::from(letter));
        } else {
            clean.push(letter);
        }
        clean
    })
}

/// Letters that make text read in another order than it is written.
const fn is_reordering(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// A point in time, to the second.
pub(crate) fn time(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| unix_ms.to_string(), |time| time.to_string())
}

/// How far away a point in time is.
pub(crate) fn span(from_ms: u64, to_ms: u64) -> String {
    let seconds = to_ms.saturating_sub(from_ms) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds:02}s"),
        (hours, minutes, _) if hours < 48 => format!("{hours}h {minutes:02}m"),
        (hours, _, _) => format!("{}d", hours / 24),
    }
}

/// Unix milliseconds now.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["r-1".into(), "ännchen".into(), "x".into()], vec!["r-22".into(), "bo".into(), String::new()]];
        assert_eq!(table(&["ID", "WHO", "WHAT"], &rows), "ID    WHO      WHAT\nr-1   ännchen  x\nr-22  bo\n");
        assert_eq!(
            facts(&[("id", "r-1".into()), ("reason", "a\nb".into()), ("no", String::new())]),
            "id      r-1\nreason  a\n        b\n"
        );
    }

    #[test]
    fn strangers_do_not_move_the_cursor() {
        assert_eq!(line("select\n\t1  \u{1b}[2J", 99), "select 1 \\u001b[2J");
        assert_eq!(line("abcdef", 4), "abc…");
        assert_eq!(line("abcd", 4), "abcd");
        assert_eq!(harmless("a\nb\t\u{9b}c\u{202e}d\r"), "a\nb\t\\u009bc\\u202ed\\u000d");
    }

    #[test]
    fn times_for_people() {
        assert_eq!(time(1_795_000_000_123), "2026-11-18T11:06:40Z");
        for (seconds, text) in [(5, "5s"), (65, "1m 05s"), (3_700, "1h 01m"), (200_000, "2d")] {
            assert_eq!(span(0, seconds * 1000), text);
        }
        assert_eq!(span(5, 0), "0s");
    }
}
