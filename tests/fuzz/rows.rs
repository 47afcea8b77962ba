//! The rows of `catalog.tsv`.

use grille_sql::catalog;

/// `== PART` lines, then rows as COPY writes them.
pub(crate) fn rows(text: &str) -> Vec<Vec<Vec<Option<String>>>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("== ") {
            Some(name) => {
                assert_eq!(name, catalog::queries()[parts.len()].0, "the parts of catalog.tsv are the room's");
                parts.push(Vec::new());
            }
            None => parts.last_mut().expect("a part first").push(line.split('\t').map(value).collect()),
        }
    }
    parts
}

fn value(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            (letter, false) => out.push(letter),
        }
    }
    Some(out)
}
