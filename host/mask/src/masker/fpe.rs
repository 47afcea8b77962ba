//! `fpe`: the digits of a value encrypted in place, so that its shape and punctuation stay.

use aws_lc_rs::cipher::EncryptingKey;

use super::ff1::{self, DIGITS_MAX, TWEAK_MAX};
use crate::key::{MaskKey, Purpose};

/// Letters are not encrypted; a value that has more of them than the prefix of a record number is redacted.
const LETTERS_MAX: usize = 3;
/// Of seven digits, nine tenths of the domain do not begin with a zero: above the standard's 10^6.
const INT_MIN: u64 = 1_000_000;

pub(crate) struct Fpe {
    key: EncryptingKey,
    tweak: Vec<u8>,
}

impl Fpe {
    pub(super) fn new(key: &MaskKey, class: &str) -> Option<Self> {
        // The class is in the derived key already; the tweak keeps what fits of it.
        let tweak = class.as_bytes().get(..class.len().min(TWEAK_MAX))?.to_vec();
        Some(Self { key: key.aes(Purpose::Fpe, class)?, tweak })
    }

    pub(super) fn text(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        if letters > LETTERS_MAX || !value.is_ascii() {
            return None;
        }
        let mut digits = [0; DIGITS_MAX];
        let count = value.iter().filter(|byte| byte.is_ascii_digit()).count();
        let digits = digits.get_mut(..count)?;
        digits
            .iter_mut()
            .zip(value.iter().filter(|byte| byte.is_ascii_digit()))
            .for_each(|(to, from)| *to = from - b'0');
        ff1::encrypt(&self.key, &self.tweak, digits)?;
        let mut encrypted = digits.iter();
        for &byte in value {
            out.push(if byte.is_ascii_digit() { b'0' + encrypted.next()? } else { byte });
        }
        Some(())
    }

    /// Keeps sign and number of digits. A result that begins with a zero or does not fit is encrypted again (cycle
    /// walking), which keeps the map one to one.
    pub(super) fn int(&self, value: i64, largest: i64) -> Option<i64> {
        let magnitude = value.unsigned_abs();
        if magnitude < INT_MIN || magnitude > largest.unsigned_abs() {
            return None;
        }
        let count = usize::try_from(magnitude.ilog10() + 1).ok()?;
        let mut digits = [0; 20];
        let digits = digits.get_mut(..count)?;
        let mut rest = magnitude;
        for digit in digits.iter_mut().rev() {
            *digit = (rest % 10) as u8;
            rest /= 10;
        }
        // At worst (ten digits of an int4) a turn fits with one in nine: 400 turns fail with 10^-20.
        for _ in 0..400 {
            ff1::encrypt(&self.key, &self.tweak, digits)?;
            let number = digits.iter().try_fold(0_u64, |n, &digit| n.checked_mul(10)?.checked_add(digit.into()));
            let fits = number.and_then(|number| i64::try_from(number).ok()).filter(|&number| number <= largest);
            if let Some(number) = fits
                && digits.first() != Some(&0)
            {
                return Some(if value < 0 { -number } else { number });
            }
        }
        None
    }
}
