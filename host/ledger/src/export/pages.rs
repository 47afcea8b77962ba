//! HTML that needs nothing but itself: one question per page, light and dark, and good on paper.

use std::fmt::Write as _;

/// A page that is being written: its text, and the questions so far.
pub(super) struct Page {
    text: String,
    questions: Vec<String>,
}

/// Where the list of questions goes once they are known.
const CONTENTS: &str = "<!-- contents -->\n";

impl Page {
    pub(super) fn begin(title: &str) -> Self {
        let title = escape(title);
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n<main>\n<h1>{title}</h1>\n{CONTENTS}"
        );
        Self { text, questions: Vec::new() }
    }

    /// A question on a page of its own.
    pub(super) fn question(&mut self, question: &str, answer: &str) {
        self.questions.push(escape(question));
        let number = self.questions.len();
        // A table that is too wide for the screen is scrolled: with the keyboard, too, once it has the focus.
        self.add(format_args!(
            "</section>\n<section id=\"q{number}\" tabindex=\"0\" aria-labelledby=\"h{number}\">\n\
             <h2 id=\"h{number}\">{}</h2>\n<p class=\"answer\">{}</p>\n",
            escape(question),
            escape(answer)
        ));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.add(format_args!("<p>{}</p>\n", escape(text)));
    }

    /// A heading and short sentences under it; nothing where there are none.
    pub(super) fn list(&mut self, heading: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.add(format_args!("<h3>{}</h3>\n<ul>\n", escape(heading)));
        for item in items {
            self.add(format_args!("<li>{}</li>\n", escape(item)));
        }
        self.text.push_str("</ul>\n");
    }

    /// Names and values.
    pub(super) fn facts(&mut self, facts: &[(&str, String)]) {
        self.text.push_str("<dl>\n");
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            self.add(format_args!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)));
        }
        self.text.push_str("</dl>\n");
    }

    /// A table; nothing where it has no rows. A cell in `code` is text of a program.
    pub(super) fn table(&mut self, headings: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        self.text.push_str("<table>\n<thead><tr>");
        let first = rows.peek().into_iter().flatten().map(|cell| matches!(cell, Cell::Number(_)));
        for (heading, is_number) in headings.iter().zip(first.collect::<Vec<_>>()) {
            let class = if is_number { " class=\"n\"" } else { "" };
            self.add(format_args!("<th scope=\"col\"{class}>{}</th>", escape(heading)));
        }
        self.text.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.text.push_str("<tr>");
            for cell in row {
                match cell {
                    Cell::Text(text) => {
                        let class = if has_long_word(&text) { " class=\"long\"" } else { "" };
                        self.add(format_args!("<td{class}>{}</td>", escape(&text)));
                    }
                    Cell::Name(name) => self.add(format_args!("<td class=\"id\">{}</td>", escape(&name))),
                    Cell::Number(number) => self.add(format_args!("<td class=\"n\">{number}</td>")),
                    Cell::Code(text) => {
                        self.add(format_args!("<td class=\"long\"><code>{}</code></td>", escape(&text)))
                    }
                    Cell::Verdict(verdict) => {
                        self.add(format_args!("<td><b class=\"{verdict}\">{verdict}</b></td>"));
                    }
                }
            }
            self.text.push_str("</tr>\n");
        }
        self.text.push_str("</tbody>\n</table>\n");
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</section>\n</main>\n</html>\n");
        let lines = (1..)
            .zip(&self.questions)
            .map(|(number, question)| format!("<li><a href=\"#q{number}\">{question}</a></li>\n"));
        let contents = format!("<nav aria-label=\"contents\">\n<ol>\n{}</ol>\n</nav>\n", lines.collect::<String>());
        // The first question closes a section that nothing opened.
        self.text.replacen(CONTENTS, &contents, 1).replacen("</section>\n<section", "<section", 1)
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _infallible = self.text.write_fmt(text);
    }
}

pub(super) enum Cell {
    Text(String),
    /// An id or a time: it is not broken in two.
    Name(String),
    Number(u64),
    Code(String),
    Verdict(&'static str),
}

pub(super) fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

/// Digests and the like: a column as wide as one of them leaves no room for the others on paper.
fn has_long_word(text: &str) -> bool {
    text.split_whitespace().any(|word| word.chars().count() > 32)
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, letter| {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            // Neither control characters nor those that make text read in another order than it was written.
            letter
                if letter.is_control()
                    || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _infallible = write!(escaped, "\\u{:04x}", u32::from(letter));
            }
            letter => escaped.push(letter),
        }
        escaped
    })
}

/// An id, in one piece.
pub(super) fn id(value: impl ToString) -> Cell {
    Cell::Name(value.to_string())
}

/// A point in time in UTC, for people.
pub(super) fn at(unix_us: u64) -> Cell {
    Cell::Name(time(unix_us).replace('T', " ").replace('Z', ""))
}

/// Two points in time in UTC, one below the other.
pub(super) fn span(first_us: u64, last_us: u64) -> Cell {
    let [first, last] = [first_us, last_us].map(|unix_us| time(unix_us).replace('T', " ").replace('Z', ""));
    Cell::Name(format!("{first}\n{last}"))
}

/// A point in time in UTC, to the second.
pub(crate) fn time(unix_us: u64) -> String {
    let seconds = unix_us / 1_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March, so that the leap day is the last one; an era has 400 of them.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6470; --line: #d5dae0; --paper: #ffffff; --band: #f4f6f8;
  --link: #1f5fa8; --good: #1a6b3c; --hold: #8a5a00; --stop: #a3211d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4af; --line: #3a424b; --paper: #14181c;
  --band: #1d2329; --link: #8ab8f0; --good: #6fcf97; --hold: #f2c265; --stop: #f28b82; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem }
h1 { font-size: 1.6rem; margin: 0 0 1.5rem }
h2 { font-size: 1.25rem; margin: 0 0 .25rem }
h3 { font-size: .95rem; margin: 1rem 0 .25rem } ul { margin: 0 0 1rem; padding-left: 1.2rem }
nav ol { columns: 20rem; column-gap: 2.5rem; margin: 0 0 1.5rem; padding-left: 1.6rem; font-size: .9rem }
a { color: var(--link) }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
section { padding: 1.5rem 0; border-top: 1px solid var(--line); overflow-x: auto }
.answer { font-size: 1.05rem; margin: 0 0 1rem; color: var(--soft) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: 0 0 1rem }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line }
table { border-collapse: collapse; width: 100%; font-size: .87rem; margin: 0 0 1rem }
th { text-align: left; vertical-align: bottom; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line) }
th, td { padding: .35rem .6rem .35rem 0; vertical-align: top }
td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; min-width: 4em; max-width: 30rem; white-space: pre-line }
td.long { overflow-wrap: anywhere; min-width: 12em }
td.id, td.n { white-space: pre; min-width: 0 }
tbody tr:nth-child(even) { background: var(--band) }
.n { text-align: right; font-variant-numeric: tabular-nums; padding-right: 1rem }
code { font: .95em/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.allow { color: var(--good) } .review { color: var(--hold) } .block { color: var(--stop) }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --band: #fff; --good: #000; --hold: #000; --stop: #000 }
  @page { size: A4 landscape; margin: 15mm }
  body { font-size: 8.5pt } th, td { padding-right: .5rem } main { max-width: none; padding: 0 }
  nav { display: none }
  section { break-before: page; border: 0; padding: 0; overflow: visible }
  #q1 { break-before: avoid }
  thead { display: table-header-group } tr { break-inside: avoid } h2, .answer { break-after: avoid }
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_795_000_000, "2026-11-18T11:06:40Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time(seconds * 1_000_000), expected);
        }
    }

    #[test]
    fn what_strangers_wrote_is_text() {
        let mut page = Page::begin("a <b>");
        page.question("who & what", "\"x\"\u{1b}[2J\u{202e}");
        page.table(&["t"], [vec![Cell::Code("</code><script>".to_owned())]].into_iter());
        let page = page.finish();
        assert!(!page.contains("<script") && page.contains("&lt;/code&gt;&lt;script&gt;"), "{page}");
        assert!(page.contains("&quot;x&quot;\\u001b[2J\\u202e"), "{page}");
        assert_eq!(page.matches("<section ").count(), page.matches("</section>").count());
        assert!(page.contains("<li><a href=\"#q1\">who &amp; what</a></li>"), "{page}");
    }
}
