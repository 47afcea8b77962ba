//! JSON documents, leaf by leaf: each string is decoded, scanned and, if something was found, written anew.

use super::keys::{self, Key};
use super::{Detector, Hit, Kind, Scratch, replace};

/// How deep JSON inside the strings of JSON is followed.
const NESTED_MAX: usize = 4;

/// One decoded string per depth.
#[derive(Debug, Default)]
pub(super) struct Texts([Vec<u8>; NESTED_MAX + 1], [Vec<u8>; NESTED_MAX + 1]);

/// None if the document is not JSON; what was written then has to be dropped.
pub(super) fn mask(detector: &Detector, document: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
    walk(detector, document, 0, scratch, out)
}

fn walk(detector: &Detector, document: &[u8], depth: usize, scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = document;
    let mut levels = 0_usize;
    // What the last key says of the values behind it; those of an array have it too.
    let mut key = None;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => {
                let length = string_length(rest)?;
                let (string, tail) = rest.split_at_checked(length)?;
                let is_key = tail.trim_ascii_start().starts_with(b":");
                let named = if is_key { None } else { key };
                leaf(detector, string, named, depth, scratch, out)?;
                if is_key {
                    key = string.get(1..string.len() - 1).and_then(|key| detector.keys.classify(key));
                }
                rest = tail;
            }
            b'{' | b'[' => {
                if byte == b'{' {
                    key = None;
                }
                levels += 1;
                out.push(byte);
                rest = after;
            }
            b'}' | b']' => {
                levels = levels.checked_sub(1)?;
                out.push(byte);
                rest = after;
            }
            b'-' | b'0'..=b'9' => {
                let length = rest.iter().take_while(|byte| NUMBER.contains(byte)).count();
                let (number, tail) = rest.split_at_checked(length)?;
                detector.find(number, 0, scratch);
                let named = named(detector, key, number).is_some();
                out.extend_from_slice(if scratch.hits.is_empty() && !named { number } else { b"null" });
                rest = tail;
            }
            b't' | b'f' | b'n' => {
                let literal =
                    [b"true".as_slice(), b"false", b"null"].into_iter().find(|word| rest.starts_with(word))?;
                out.extend_from_slice(literal);
                rest = rest.get(literal.len()..)?;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                out.push(byte);
                rest = after;
            }
            _ => return None,
        }
    }
    (levels == 0 && !document.trim_ascii().is_empty()).then_some(())
}

const NUMBER: &[u8] = b"+-.0123456789eE";

/// The length of the string that starts here, with both quotes.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What the key makes of the value.
fn named(detector: &Detector, key: Option<Key>, value: &[u8]) -> Option<Kind> {
    let kind = match key? {
        Key::Sure(kind) => kind,
        Key::Name if detector.names.looks_like_one(value) => Kind::Name,
        Key::Name => return None,
    };
    keys::fits(kind, value).then_some(kind)
}

/// Writes one string, with its quotes.
fn leaf(
    detector: &Detector,
    string: &[u8],
    key: Option<Key>,
    depth: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut decoded = std::mem::take(scratch.texts.0.get_mut(depth)?);
    let mut masked = std::mem::take(scratch.texts.1.get_mut(depth)?);
    decoded.clear();
    masked.clear();
    let done = leaf_with(detector, (string, key), depth, scratch, (&mut decoded, &mut masked), out);
    if let Some(slot) = scratch.texts.0.get_mut(depth) {
        *slot = decoded;
    }
    if let Some(slot) = scratch.texts.1.get_mut(depth) {
        *slot = masked;
    }
    done
}

fn leaf_with(
    detector: &Detector,
    (string, key): (&[u8], Option<Key>),
    depth: usize,
    scratch: &mut Scratch,
    (decoded, masked): (&mut Vec<u8>, &mut Vec<u8>),
    out: &mut Vec<u8>,
) -> Option<()> {
    unescape(string.get(1..string.len().checked_sub(1)?)?, decoded)?;
    let looks_nested = matches!(decoded.trim_ascii_start().first(), Some(b'{' | b'['));
    if looks_nested && depth < NESTED_MAX && walk(detector, decoded, depth + 1, scratch, masked).is_some() {
        if masked == decoded {
            out.extend_from_slice(string);
        } else {
            escape(masked, out);
        }
        return Some(());
    }
    detector.find(decoded, 0, scratch);
    if let Some(kind) = named(detector, key, decoded) {
        scratch.hits.clear();
        scratch.hits.push(Hit { start: 0, end: decoded.len(), kind, score: 95 });
    }
    if scratch.hits.is_empty() {
        out.extend_from_slice(string);
        return Some(());
    }
    masked.clear();
    replace(decoded, &scratch.hits, masked);
    escape(masked, out);
    Some(())
}

fn unescape(string: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = string;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            out.push(byte);
            rest = after;
            continue;
        }
        let (&escaped, after) = after.split_first()?;
        rest = after;
        out.push(match escaped {
            b'"' | b'\\' | b'/' => escaped,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (unit, after) = code_unit(rest)?;
                rest = after;
                let mut units = [unit, 0];
                let mut count = 1;
                if (0xd800..0xdc00).contains(&unit) {
                    let (low, after) = code_unit(rest.strip_prefix(b"\\u")?)?;
                    rest = after;
                    units[1] = low;
                    count = 2;
                }
                let character = char::decode_utf16(units.into_iter().take(count)).next()?.ok()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    Some(())
}

fn code_unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend(
                    [byte >> 4, byte & 15]
                        .map(|nibble| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0')),
                );
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
