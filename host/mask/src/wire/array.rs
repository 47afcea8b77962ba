//! Arrays, rewritten element by element. Their shape stays: it says how many values there are, as rows do.

use crate::column::Masked;

/// PostgreSQL's own limit.
const DIMENSIONS_MAX: usize = 6;

/// Rewrites the text form. None if it is not one.
pub(crate) fn text(value: &[u8], out: &mut Vec<u8>, mut mask: impl FnMut(&[u8], &mut Vec<u8>) -> Masked) -> Option<()> {
    let mut rest = value;
    // `[2:3]={…}`: bounds that do not start at 1.
    if value.first() == Some(&b'[') {
        let equals = value.iter().position(|&byte| byte == b'=')?;
        let (bounds, body) = value.split_at_checked(equals + 1)?;
        if !bounds.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'[' | b']' | b':' | b'-' | b'+' | b'=')) {
            return None;
        }
        out.extend_from_slice(bounds);
        rest = body;
    }
    let mut element = Vec::new();
    let mut masked = Vec::new();
    let mut depth = 0_usize;
    // Whether an element may start here: after `{` and `,`.
    let mut open = true;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'{' if open => {
                depth += 1;
                if depth > DIMENSIONS_MAX {
                    return None;
                }
                out.push(byte);
                rest = after;
            }
            b'}' if depth > 0 => {
                depth -= 1;
                open = false;
                out.push(byte);
                rest = after;
                if depth == 0 {
                    return rest.is_empty().then_some(());
                }
            }
            b',' if !open && depth > 0 => {
                open = true;
                out.push(byte);
                rest = after;
            }
            _ if open && depth > 0 => {
                element.clear();
                let quoted = byte == b'"';
                rest = if quoted { quoted_element(after, &mut element)? } else { bare_element(rest, &mut element)? };
                open = false;
                if !quoted && element.eq_ignore_ascii_case(b"NULL") {
                    out.extend_from_slice(b"NULL");
                    continue;
                }
                masked.clear();
                match mask(&element, &mut masked) {
                    Masked::Null => out.extend_from_slice(b"NULL"),
                    Masked::Value => quote(&masked, out),
                }
            }
            _ => return None,
        }
    }
    None
}

/// Reads up to behind the closing quote.
fn quoted_element<'a>(mut rest: &'a [u8], element: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', escaped, after @ ..] => {
                element.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                element.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn bare_element<'a>(value: &'a [u8], element: &mut Vec<u8>) -> Option<&'a [u8]> {
    let end = value.iter().position(|byte| matches!(byte, b',' | b'}' | b'{' | b'"' | b'\\'))?;
    let (bare, rest) = value.split_at_checked(end)?;
    if bare.is_empty() || !matches!(rest.first(), Some(b',' | b'}')) {
        return None;
    }
    element.extend_from_slice(bare);
    Some(rest)
}

/// Quotes always: valid for every element, and the cheapest rule.
fn quote(element: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Rewrites the binary form. None if it is not one, or not of the expected elements.
pub(crate) fn binary(
    value: &[u8],
    element_oid: u32,
    out: &mut Vec<u8>,
    mut mask: impl FnMut(&[u8], &mut Vec<u8>) -> Masked,
) -> Option<()> {
    let (&dimensions, rest) = value.split_first_chunk::<4>()?;
    let (_flags, rest) = rest.split_first_chunk::<4>()?;
    let (&oid, mut rest) = rest.split_first_chunk::<4>()?;
    let dimensions = usize::try_from(i32::from_be_bytes(dimensions)).ok()?;
    if dimensions > DIMENSIONS_MAX || u32::from_be_bytes(oid) != element_oid {
        return None;
    }
    let start = out.len();
    out.extend_from_slice(value.get(..12 + 8 * dimensions)?);
    let mut count = if dimensions == 0 { 0 } else { 1_usize };
    for _ in 0..dimensions {
        let (&length, after) = rest.split_first_chunk::<4>()?;
        count = count.checked_mul(usize::try_from(i32::from_be_bytes(length)).ok()?)?;
        rest = after.get(4..)?;
    }
    let mut any_null = false;
    // Each turn consumes at least four bytes, so the claimed count cannot make this long.
    for _ in 0..count {
        let (&length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(length);
        if length == -1 {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            any_null = true;
            rest = after;
            continue;
        }
        let (element, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        let head = out.len();
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        match mask(element, out) {
            Masked::Null => any_null = true,
            Masked::Value => {
                let length = i32::try_from(out.len() - head - 4).ok()?;
                out.get_mut(head..head + 4)?.copy_from_slice(&length.to_be_bytes());
            }
        }
    }
    out.get_mut(start + 4..start + 8)?.copy_from_slice(&i32::from(any_null).to_be_bytes());
    rest.is_empty().then_some(())
}
