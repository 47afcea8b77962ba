//! `FORMAT csv`: newlines and delimiters are data between quotes.

use super::{CopyError, CsvOptions, ForceQuote, Scratch};
use crate::column::{ColumnMask, Masked};

/// The first row without its end, and what follows.
pub(super) fn line<'a>(data: &'a [u8], options: &CsvOptions) -> Option<(&'a [u8], &'a [u8])> {
    let mut quoted = false;
    let mut at = 0;
    loop {
        let byte = *data.get(at)?;
        if quoted && byte == options.escape && escapes(data.get(at + 1), options) {
            at += 1;
        } else if byte == options.quote {
            quoted = !quoted;
        } else if byte == b'\n' && !quoted {
            return Some((data.get(..at)?, data.get(at + 1..)?));
        }
        at += 1;
    }
}

/// Whether an escape character before this byte escapes it.
fn escapes(next: Option<&u8>, options: &CsvOptions) -> bool {
    next.is_some_and(|&next| next == options.quote || next == options.escape)
}

pub(super) fn mask(
    columns: &[ColumnMask],
    options: &CsvOptions,
    header: bool,
    line: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CopyError> {
    let mut found = 0;
    let mut rest = (!columns.is_empty() || !line.is_empty()).then_some(line);
    while let Some(text) = rest {
        scratch.field.clear();
        let Field { text: field, quoted, rest: after } = field(text, options, &mut scratch.field)?;
        rest = after;
        if found > 0 {
            out.push(options.delimiter);
        }
        if let Some(column) = columns.get(found) {
            if header || column.is_keep() || !quoted && field == options.null {
                out.extend_from_slice(field);
            } else {
                scratch.masked.clear();
                match column.apply(Some(&scratch.field), &mut scratch.masked) {
                    Masked::Null => out.extend_from_slice(&options.null),
                    Masked::Value => write(&scratch.masked, found, columns.len() == 1, options, out),
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

struct Field<'a> {
    /// As it stands.
    text: &'a [u8],
    /// Whether any of it is quoted.
    quoted: bool,
    /// What follows its delimiter, if one follows.
    rest: Option<&'a [u8]>,
}

/// The first field; its value goes to `value`.
fn field<'a>(line: &'a [u8], options: &CsvOptions, value: &mut Vec<u8>) -> Result<Field<'a>, CopyError> {
    let mut quoted = false;
    let mut open = false;
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        if open {
            if byte == options.escape && escapes(line.get(at + 1), options) {
                value.extend(line.get(at + 1));
                at += 1;
            } else if byte == options.quote {
                open = false;
            } else {
                value.push(byte);
            }
        } else if byte == options.quote {
            open = true;
            quoted = true;
        } else if byte == options.delimiter {
            let text = line.get(..at).unwrap_or_default();
            return Ok(Field { text, quoted, rest: Some(line.get(at + 1..).unwrap_or_default()) });
        } else if byte == b'\r' {
            return Err(CopyError::Malformed("a carriage return stands unquoted"));
        } else {
            value.push(byte);
        }
        at += 1;
    }
    if open { Err(CopyError::Malformed("a quote is not closed")) } else { Ok(Field { text: line, quoted, rest: None }) }
}

fn write(value: &[u8], column: usize, only: bool, options: &CsvOptions, out: &mut Vec<u8>) {
    let forced = match &options.force_quote {
        ForceQuote::None => false,
        ForceQuote::All => true,
        ForceQuote::Columns(columns) => columns.contains(&column),
    };
    let special = |byte: &u8| *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r');
    // `\.` alone on a line ends the data.
    let read_otherwise = value == options.null || only && value == b"\\.";
    if !(forced || read_otherwise || value.iter().any(special)) {
        out.extend_from_slice(value);
        return;
    }
    out.push(options.quote);
    for &byte in value {
        if byte == options.quote || byte == options.escape {
            out.push(options.escape);
        }
        out.push(byte);
    }
    out.push(options.quote);
}
