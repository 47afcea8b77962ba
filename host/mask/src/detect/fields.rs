//! Values that a key names: JSON, `key=value`, XML.

use memchr::memchr3_iter;

use super::Known;
use super::keys::{self, Key};
use super::{Hit, Kind};

/// A longer value is a document of its own, and its parts are found by themselves.
const VALUE_MAX: usize = 400;

pub(super) fn scan(text: &[u8], known: Known<'_>, hits: &mut Vec<Hit>) {
    for at in memchr3_iter(b'=', b':', b'>', text) {
        match text.get(at) {
            Some(b'=') => assignment(text, at, known, hits),
            Some(b':') => member(text, at, known, hits),
            _ => element(text, at, known, hits),
        }
    }
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The key that ends before `end`.
fn key_before(text: &[u8], end: usize) -> Option<&[u8]> {
    let head = text.get(..end)?;
    let start = head.iter().rposition(|&byte| !is_key(byte)).map_or(0, |last| last + 1);
    let key = head.get(start..)?;
    (2..=40).contains(&key.len()).then_some(key)
}

/// `key=value`, `key="value"`, `(key)=(value)` of PostgreSQL's messages, and an attribute `value` of an element.
fn assignment(text: &[u8], at: usize, known: Known<'_>, hits: &mut Vec<Hit>) {
    let parenthesised = at > 0 && text.get(at - 1) == Some(&b')');
    let Some(mut key) = key_before(text, if parenthesised { at - 1 } else { at }) else { return };
    if key == b"value" {
        // The tag is near, behind few other attributes.
        let near = text.get(at.saturating_sub(VALUE_MAX)..at).unwrap_or_default();
        let Some(tag) = near.iter().rposition(|&byte| byte == b'<') else { return };
        let rest = near.get(tag + 1..).unwrap_or_default();
        let length = rest.iter().take_while(|&&byte| is_key(byte)).count();
        key = rest.get(..length).unwrap_or_default();
    }
    let Some(key) = known.keys.classify(key) else { return };
    let (start, end) = match text.get(at + 1) {
        Some(&quote @ (b'"' | b'\'')) => (at + 2, find(text, at + 2, |byte| byte == quote)),
        Some(b'(') if parenthesised => (at + 2, find(text, at + 2, |byte| byte == b')')),
        _ => (at + 1, find(text, at + 1, |byte| byte.is_ascii_whitespace() || b",;&)]}\"'<>|".contains(&byte))),
    };
    take(text, key, start, end, known, hits);
}

/// `"key": "value"`, `"key": 12`, `"key": ["value", …]`, also with escaped quotes.
fn member(text: &[u8], at: usize, known: Known<'_>, hits: &mut Vec<Hit>) {
    let Some(head) = text.get(..at) else { return };
    let head = head.trim_ascii_end();
    let Some(quoted) = head.strip_suffix(b"\"").or_else(|| head.strip_suffix(b"'")) else { return };
    let quoted = quoted.strip_suffix(b"\\").unwrap_or(quoted);
    let Some(key) = key_before(text, quoted.len()).and_then(|key| known.keys.classify(key)) else { return };
    let mut start = skip(text, at + 1, |byte| byte.is_ascii_whitespace());
    let list = text.get(start) == Some(&b'[');
    if list {
        start = skip(text, start + 1, |byte| byte.is_ascii_whitespace());
    }
    if matches!(text.get(start), Some(b'{')) {
        return;
    }
    loop {
        start = skip(text, start, |byte| byte == b'\\');
        let quote = text.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let end = match quote {
            Some(quote) => find(text, start + 1, |byte| byte == quote || byte == b'\\'),
            None => find(text, start, |byte| byte.is_ascii_whitespace() || b",}]".contains(&byte)),
        };
        take(text, key, start + usize::from(quote.is_some()), end, known, hits);
        if !list || quote.is_none() {
            return;
        }
        let comma = skip(text, end, |byte| byte == b'\\' || Some(byte) == quote || byte.is_ascii_whitespace());
        if text.get(comma) != Some(&b',') {
            return;
        }
        start = skip(text, comma + 1, |byte| byte.is_ascii_whitespace());
    }
}

/// `<key>value</key>`
fn element(text: &[u8], at: usize, known: Known<'_>, hits: &mut Vec<Hit>) {
    let Some(head) = text.get(..at) else { return };
    let Some(open) = head.iter().rev().take(80).position(|&byte| byte == b'<').map(|back| at - back) else { return };
    let tag = text.get(open..at).unwrap_or_default();
    let tag = tag.split(|&byte| byte == b' ').next().unwrap_or_default();
    let local = tag.rsplit(|&byte| byte == b':').next().unwrap_or_default();
    let Some(key) = known.keys.classify(local).filter(|_| !tag.starts_with(b"/")) else { return };
    let end = find(text, at + 1, |byte| byte == b'<');
    if text.get(end..end + 2) == Some(b"</") {
        take(text, key, at + 1, end, known, hits);
    }
}

/// Marks the value if it can be what its key says.
pub(super) fn take(text: &[u8], key: Key, start: usize, end: usize, known: Known<'_>, hits: &mut Vec<Hit>) {
    let Some(raw) = text.get(start..end) else { return };
    let value = raw.trim_ascii();
    let start = start + (raw.len() - raw.trim_ascii_start().len());
    let kind = match key {
        Key::Sure(kind) => kind,
        Key::Name if known.names.looks_like_one(value) => Kind::Name,
        Key::Name => return,
    };
    if keys::fits(kind, value) {
        hits.push(Hit { start, end: start + value.len(), kind, score: 95 });
    }
}

fn find(text: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
    // One more than a value may have, so that a longer one is seen to be too long and nothing is searched to the end.
    let rest = text.get(from..).unwrap_or_default();
    let rest = rest.get(..=VALUE_MAX).unwrap_or(rest);
    from + rest.iter().position(|&byte| wanted(byte)).unwrap_or(rest.len())
}

fn skip(text: &[u8], from: usize, unwanted: impl Fn(u8) -> bool) -> usize {
    find(text, from, |byte| !unwanted(byte))
}
