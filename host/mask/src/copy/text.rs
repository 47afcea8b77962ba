//! `FORMAT text`: fields between delimiters, rows between newlines, both escaped by a backslash where they are data.

use super::{CopyError, Scratch, TextOptions};
use crate::column::{ColumnMask, Masked};

/// The first line without its end, and what follows.
pub(super) fn line(data: &[u8]) -> Option<(&[u8], &[u8])> {
    // A newline within a field is written as `\n`, so the first one ends the row.
    let end = data.iter().position(|&byte| byte == b'\n')?;
    Some((data.get(..end)?, data.get(end + 1..)?))
}

pub(super) fn mask(
    columns: &[ColumnMask],
    options: &TextOptions,
    header: bool,
    line: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CopyError> {
    let mut found = 0;
    // A row without columns is an empty line, not a line of one empty field.
    let mut rest = (!columns.is_empty() || !line.is_empty()).then_some(line);
    while let Some(text) = rest {
        let (field, after) = field(text, options.delimiter)?;
        rest = after;
        if found > 0 {
            out.push(options.delimiter);
        }
        if let Some(column) = columns.get(found) {
            if header || column.is_keep() || field == options.null && stands_for_null_alone(options) {
                out.extend_from_slice(field);
            } else {
                scratch.field.clear();
                unescape(field, &mut scratch.field)?;
                scratch.masked.clear();
                match column.apply(Some(&scratch.field), &mut scratch.masked) {
                    Masked::Null => out.extend_from_slice(&options.null),
                    Masked::Value => escape(&scratch.masked, options.delimiter, out),
                }
            }
        }
        found += 1;
    }
    if found != columns.len() {
        return Err(CopyError::Fields { found, expected: columns.len() });
    }
    out.push(b'\n');
    Ok(())
}

/// Whether no value is written as the marker of NULL is. Where one may be, a caller could choose the marker to learn
/// whether a value equals it: there what looks like NULL is masked as a value is.
fn stands_for_null_alone(options: &TextOptions) -> bool {
    let mut rest = options.null.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'\\' && !rest.next().is_some_and(|next| b"bfnrtv\\".contains(next) || *next == options.delimiter) {
            return true;
        }
    }
    false
}

/// The first field, still escaped, and what follows its delimiter.
fn field(line: &[u8], delimiter: u8) -> Result<(&[u8], Option<&[u8]>), CopyError> {
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' if at + 1 == line.len() => return Err(CopyError::Malformed("a backslash ends the row")),
            b'\\' => at += 2,
            b'\r' => return Err(CopyError::Malformed("a carriage return stands unescaped")),
            _ if byte == delimiter => {
                let field = line.get(..at).unwrap_or_default();
                return Ok((field, Some(line.get(at + 1..).unwrap_or_default())));
            }
            _ => at += 1,
        }
    }
    Ok((line, None))
}

fn unescape(field: &[u8], out: &mut Vec<u8>) -> Result<(), CopyError> {
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escaped, after) = rest.split_first().ok_or(CopyError::Malformed("a backslash ends a field"))?;
        rest = after;
        out.push(match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            // PostgreSQL reads octal and hexadecimal bytes and never writes them.
            b'0'..=b'7' | b'x' => return Err(CopyError::Malformed("a byte is written as a number")),
            other => other,
        });
    }
    Ok(())
}

fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for &byte in value {
        let escaped = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            _ if byte == delimiter => delimiter,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
}
