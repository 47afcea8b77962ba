//! `zip3`: the first three digits of a ZIP code, or `000` where they cover 20,000 people or fewer.

/// The union of the list of HHS (Census 2000) and the one of newer census data that the field uses.
const RESTRICTED: [u16; 19] =
    [36, 59, 63, 102, 203, 205, 369, 556, 692, 790, 821, 823, 824, 830, 831, 878, 879, 884, 893];

pub(super) fn text(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let value = value.trim_ascii();
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let dashed = value.len() == 10 && matches!(value.get(5), Some(b'-' | b' '));
    let plain = digits == value.len() && matches!(digits, 3 | 5 | 9);
    if !(plain || dashed && digits == 9) {
        return None;
    }
    let prefix = value.get(..3)?;
    let code = prefix.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    out.extend_from_slice(if is_restricted(code) { b"000" } else { prefix });
    Some(())
}

/// A ZIP code kept as a number, without its leading zeros.
pub(super) fn int(value: i64) -> Option<i64> {
    let prefix = match value {
        0..=99_999 => value / 100,
        100_000..=999_999_999 => value / 1_000_000,
        _ => return None,
    };
    let code = u16::try_from(prefix).ok()?;
    Some(if is_restricted(code) { 0 } else { prefix })
}

fn is_restricted(code: u16) -> bool {
    RESTRICTED.contains(&code)
}
