//! Tables in text: a header row names the columns of the rows below it.

use memchr::memchr2;

use super::Hit;
use super::Known;
use super::fields;
use super::keys::Key;

/// More columns are no table that a person pasted.
const COLUMNS_MAX: usize = 64;

pub(super) fn scan(text: &[u8], known: Known<'_>, hits: &mut Vec<Hit>) {
    let mut header: Option<Header> = None;
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        if !is_ruler(line) {
            match &header {
                Some(above) if cells(line, above.delimiter).count() == above.count => {
                    above.row(text, at, line, known, hits)
                }
                _ => header = Header::of(line, known),
            }
        }
        at += length + 1;
    }
}

/// `----+-----`, `|:---|`
fn is_ruler(line: &[u8]) -> bool {
    line.iter().all(|byte| b"-+|=: \t".contains(byte))
}

struct Header {
    delimiter: u8,
    count: usize,
    keys: [Option<Key>; COLUMNS_MAX],
}

impl Header {
    fn of(line: &[u8], known: Known<'_>) -> Option<Self> {
        // Most lines are sentences, and show it early.
        if !line.iter().all(|&byte| is_of_cell(byte) || matches!(byte, b'|' | b',' | b';' | b'"' | b'\t' | b'\x0c')) {
            return None;
        }
        let delimiter = [b'|', b'\t', b',', b';']
            .into_iter()
            .map(|delimiter| (line.iter().filter(|&&byte| byte == delimiter).count(), delimiter))
            .max_by_key(|&(count, delimiter)| (count, delimiter == b'|'))
            .filter(|&(count, _)| count > 0)?
            .1;
        let mut keys = [None; COLUMNS_MAX];
        let mut count = 0;
        for (start, end) in cells(line, delimiter) {
            let cell = line.get(start..end)?;
            let named = cell.iter().copied().all(is_of_cell);
            if !named || cell.len() > 40 || cell.iter().filter(|byte| byte.is_ascii_digit()).count() > 2 {
                return None;
            }
            *keys.get_mut(count)? = known.keys.classify(cell);
            count += 1;
        }
        (count >= 2 && keys.iter().flatten().next().is_some()).then_some(Self { delimiter, count, keys })
    }

    fn row(&self, text: &[u8], at: usize, line: &[u8], known: Known<'_>, hits: &mut Vec<Hit>) {
        for ((start, end), key) in cells(line, self.delimiter).zip(self.keys) {
            if let Some(key) = key {
                // In a column of names everything is one that could be.
                let cell = line.get(start..end).unwrap_or_default();
                let plain =
                    cell.iter().all(|&byte| byte.is_ascii_alphabetic() || byte >= 0x80 || b" ,.'-".contains(&byte));
                let named = key == Key::Name && plain && cell.first().is_some_and(u8::is_ascii_uppercase);
                let key = if named { Key::Sure(super::Kind::Name) } else { key };
                fields::take(text, key, at + start, at + end, known, hits);
            }
        }
    }
}

/// Whether it may be part of the name of a column.
const fn is_of_cell(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' ' | b'.' | b'#' | b'/' | b'(' | b')' | b'-')
}

/// The cells of a line without quotes and spaces around them.
fn cells(line: &[u8], delimiter: u8) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let mut quoted = false;
        let length = rest
            .iter()
            .position(|&byte| {
                quoted ^= byte == b'"';
                byte == delimiter && !quoted
            })
            .unwrap_or(rest.len());
        let cell = rest.get(..length)?;
        let trimmed = cell.trim_ascii();
        let unquoted = trimmed.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
        let lead = cell.len() - cell.trim_ascii_start().len() + usize::from(unquoted.is_some());
        let inner = unquoted.unwrap_or(trimmed);
        let start = at + lead;
        at += length + 1;
        Some((start, start + inner.len()))
    })
}
