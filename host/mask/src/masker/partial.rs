//! `partial`: the last characters, behind a fixed number of stars.

use super::{characters, offset_of};

/// The stars stand for any number of characters.
const STARS: &[u8] = b"*****";
/// Shorter values are masked wholly: of seven characters, four would be most of the secret.
const SHORTEST: usize = 8;

pub(super) fn text(value: &[u8], keep: usize, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(STARS);
    let count = characters(value);
    if count < SHORTEST {
        return Some(());
    }
    // Never more than half, whatever was asked for.
    let keep = keep.min(count / 2);
    out.extend_from_slice(value.get(offset_of(value, count - keep)..)?);
    Some(())
}
