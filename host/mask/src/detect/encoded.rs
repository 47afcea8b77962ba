//! Base64 and hexadecimal: a token that decodes to text with an identifier in it is masked whole.

use super::{Detector, Hit, Scratch};

/// Shorter tokens hold no identifier and its context.
const TOKEN_MIN: usize = 24;
/// Longer ones are files.
const TOKEN_MAX: usize = 64 << 10;

pub(super) fn scan(detector: &Detector, text: &[u8], depth: usize, hits: &mut Vec<Hit>) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| rest.len() >= TOKEN_MIN) {
        // Where the shortest token would end stands something else: no token begins up to there.
        let end = rest.iter().take(TOKEN_MIN).rposition(|byte| !is_token(*byte));
        if let Some(end) = end {
            at += end + 1;
            continue;
        }
        let length = rest.iter().take_while(|byte| is_token(**byte)).count();
        if (TOKEN_MIN..=TOKEN_MAX).contains(&length)
            && let Some(token) = rest.get(..length)
            && let Some(decoded) = decode(token)
        {
            // Rare enough to pay for buffers of its own.
            let mut scratch = Scratch::default();
            detector.find(&decoded, depth + 1, &mut scratch);
            if let Some(found) = scratch.hits.first() {
                hits.push(Hit { start: at, end: at + length, ..*found });
            }
        }
        at += length.max(1);
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-' | b'\\')
}

/// The text inside, if it is one.
fn decode(token: &[u8]) -> Option<Vec<u8>> {
    let hex = token.strip_prefix(b"\\x").or_else(|| token.strip_prefix(b"0x")).unwrap_or(token);
    let decoded = if hex.len().is_multiple_of(2) && hex.iter().all(u8::is_ascii_hexdigit) {
        from_hex(hex)
    } else {
        from_base64(token)?
    };
    let printable = decoded.iter().filter(|&&byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')).count();
    (printable * 20 >= decoded.len() * 19).then_some(decoded)
}

fn from_hex(digits: &[u8]) -> Vec<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, &digit| byte << 4 | value(digit))).collect()
}

/// Both alphabets, padded or not.
fn from_base64(token: &[u8]) -> Option<Vec<u8>> {
    let padding = token.iter().rev().take_while(|&&byte| byte == b'=').count();
    let digits = token.get(..token.len() - padding)?;
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let mut bits = 0_u32;
    let mut count = 0;
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}
