//! `token`: keyed pseudonyms. Equal values of a class get equal ones, so that joins still work.

use aws_lc_rs::hmac;

use crate::key::{MaskKey, Purpose};

/// The length of a pseudonym of a text: the prefix and 80 bits in base32.
pub(crate) const LEN: usize = PREFIX.len() + 16;

const PREFIX: &[u8] = b"tok_";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

pub(crate) struct Token(hmac::Key);

impl Token {
    pub(super) fn new(key: &MaskKey, class: &str) -> Option<Self> {
        key.hmac(Purpose::Token, class).map(Self)
    }

    pub(super) fn text(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let tag = hmac::sign(&self.0, value);
        out.extend_from_slice(PREFIX);
        for five in tag.as_ref().get(..10)?.chunks_exact(5) {
            let bits = five.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
            out.extend((0..8).rev().filter_map(|group| BASE32.get((bits >> (5 * group) & 31) as usize)));
        }
        Some(())
    }

    /// 63 bits: what fits a positive int8.
    pub(super) fn int(&self, value: i64) -> Option<i64> {
        let tag = hmac::sign(&self.0, &value.to_be_bytes());
        let bytes: [u8; 8] = tag.as_ref().first_chunk().copied()?;
        Some(i64::from_be_bytes(bytes) & i64::MAX)
    }

    /// 122 bits in a version 8 UUID (RFC 9562), which says that its bits are an application's own.
    pub(super) fn uuid(&self, value: [u8; 16]) -> [u8; 16] {
        let tag = hmac::sign(&self.0, &value);
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(byte, &random)| *byte = random);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }
}
