//! Check digits and the like. Each takes the digits or characters alone, without separators.

/// The check of cards, NPI and IMEI.
pub(super) fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    luhn_sum(digits).is_multiple_of(10)
}

fn luhn_sum(digits: impl DoubleEndedIterator<Item = u8>) -> u32 {
    digits
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit < 5 => 2 * digit,
            (_, digit) => 2 * digit - 9,
        })
        .sum()
}

/// National provider identifier.
pub(super) fn npi(text: &[u8]) -> bool {
    // The prefix 80840 adds 24 to the sum, and its length does not change who is doubled.
    text.len() == 10
        && matches!(text.first(), Some(b'1' | b'2'))
        && is_digits(text)
        && (luhn_sum(values(text)) + 24).is_multiple_of(10)
}

/// Number of the Drug Enforcement Administration: two letters (or a letter and 9) and seven digits.
pub(super) fn dea(text: &[u8]) -> bool {
    let Some((letters, digits)) = text.split_at_checked(2) else { return false };
    let mut d = [0_u32; 7];
    if digits.len() != 7 || !is_digits(digits) || !letters.first().is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    if !letters.last().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'9') {
        return false;
    }
    d.iter_mut().zip(values(digits)).for_each(|(to, from)| *to = from.into());
    let [d1, d2, d3, d4, d5, d6, check] = d;
    (d1 + d3 + d5 + 2 * (d2 + d4 + d6)) % 10 == check
}

/// Medicare beneficiary identifier, without dashes.
pub(super) fn mbi(text: &[u8]) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() && !b"SLOIBZ".contains(&byte.to_ascii_uppercase());
    text.len() == 11
        && text.iter().enumerate().all(|(index, &byte)| match index {
            0 => (b'1'..=b'9').contains(&byte),
            1 | 4 | 7 | 8 => letter(byte),
            2 | 5 => letter(byte) || byte.is_ascii_digit(),
            _ => byte.is_ascii_digit(),
        })
}

/// Social security number or ITIN, nine digits.
pub(super) fn ssn(text: &[u8]) -> bool {
    let part = |from: usize, to: usize| text.get(from..to).map_or(0, number);
    let (area, group, serial) = (part(0, 3), part(3, 5), part(5, 9));
    let itin = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    text.len() == 9 && is_digits(text) && serial != 0 && group != 0 && (itin || area < 900 && area != 0 && area != 666)
}

/// Vehicle identification number with its North American check digit.
pub(super) fn vin(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    if text.len() != 17 || !text.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let mut sum = 0;
    for (&byte, weight) in text.iter().zip(WEIGHTS) {
        let value = match byte.to_ascii_uppercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'A'..=b'H' => letter - b'A' + 1,
            letter @ (b'J'..=b'N' | b'P' | b'R') => letter - b'J' + 1,
            letter @ b'S'..=b'Z' => letter - b'S' + 2,
            _ => return false,
        };
        sum += u32::from(value) * weight;
    }
    let check = text.get(8).map(u8::to_ascii_uppercase);
    check == Some(if sum % 11 == 10 { b'X' } else { b'0' + (sum % 11) as u8 })
}

/// Payment card.
pub(super) fn card(text: &[u8]) -> bool {
    (13..=19).contains(&text.len())
        && is_digits(text)
        && matches!(text.first(), Some(b'2'..=b'6' | b'1'))
        && !text.iter().all(|digit| Some(digit) == text.first())
        && luhn(values(text))
}

/// International mobile equipment identity.
pub(super) fn imei(text: &[u8]) -> bool {
    text.len() == 15 && is_digits(text) && luhn(values(text))
}

/// International bank account number, without spaces.
pub(super) fn iban(text: &[u8]) -> bool {
    if !(15..=34).contains(&text.len()) || !text.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let Some((head, body)) = text.split_at_checked(4) else { return false };
    let remainder = body.iter().chain(head).fold(0_u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    remainder == 1
}

/// Global trade item number of 14 digits.
pub(super) fn gtin14(text: &[u8]) -> bool {
    let sum: u32 = values(text).zip([3, 1].into_iter().cycle()).map(|(digit, weight)| u32::from(digit) * weight).sum();
    text.len() == 14 && is_digits(text) && sum.is_multiple_of(10)
}

pub(super) fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// The digits as a number; none of more than nine digits is asked for.
pub(super) fn number(text: &[u8]) -> u32 {
    text.iter().take(9).fold(0, |number, digit| number * 10 + u32::from(digit.wrapping_sub(b'0')))
}

fn values(text: &[u8]) -> impl DoubleEndedIterator<Item = u8> + '_ {
    text.iter().map(|digit| digit.wrapping_sub(b'0'))
}
