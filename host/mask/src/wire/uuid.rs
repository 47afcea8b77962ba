use crate::types::Format;

/// Where a hyphen stands, counted in bytes of the value.
const HYPHENS: [usize; 4] = [4, 6, 8, 10];

pub(crate) fn read(value: &[u8], format: Format) -> Option<[u8; 16]> {
    if format == Format::Binary {
        return value.try_into().ok();
    }
    let mut bytes = [0; 16];
    let mut digits = value.iter().filter(|&&byte| byte != b'-');
    for byte in &mut bytes {
        *byte = nibble(*digits.next()?)? << 4 | nibble(*digits.next()?)?;
    }
    digits.next().is_none().then_some(bytes)
}

pub(crate) fn write(uuid: [u8; 16], format: Format, out: &mut Vec<u8>) -> Option<()> {
    if format == Format::Binary {
        out.extend_from_slice(&uuid);
        return Some(());
    }
    for (index, byte) in uuid.iter().enumerate() {
        if HYPHENS.contains(&index) {
            out.push(b'-');
        }
        out.extend([byte >> 4, byte & 15].map(|nibble| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
    }
    Some(())
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok())
}
