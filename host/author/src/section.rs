//! The last touch: what only debuggers read goes, what the plugin says of itself comes.

use serde_json::Value;

use crate::Error;

const COMPONENT: &[u8; 8] = b"\0asm\x0d\0\x01\0";
const METADATA: &str = "grille:metadata";
const METADATA_MAX: usize = 64 * 1024;
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const NESTED_COMPONENT: u8 = 4;

/// A component without names for debuggers, all the way down, and with exactly one section of metadata.
///
/// # Errors
/// When it is no whole component or the metadata are too long.
pub fn finish(component: &[u8], metadata: &Value) -> Result<Vec<u8>, Error> {
    if !component.starts_with(COMPONENT) {
        return Err(Error::Refused("the build made no component; give `--world` for a core module".into()));
    }
    let json = metadata.to_string();
    if json.len() > METADATA_MAX {
        let length = json.len();
        return Err(Error::Refused(format!("the metadata take {length} bytes, more than 64 KiB; shorten the schema")));
    }
    let torn = || Error::Refused("the component is damaged; build it again".into());
    let mut finished = stripped(component).ok_or_else(torn)?;
    push_custom(&mut finished, METADATA, json.as_bytes());
    Ok(finished)
}

/// A custom section at the end of a module or component.
fn push_custom(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = Vec::with_capacity(name.len() + data.len() + 2);
    push_number(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    push_section(out, CUSTOM, &body);
}

pub(crate) fn push_section(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    out.push(id);
    push_number(out, body.len());
    out.extend_from_slice(body);
}

/// The same module or component without what nothing but a debugger or a packager reads.
fn stripped(binary: &[u8]) -> Option<Vec<u8>> {
    let is_component = binary.starts_with(COMPONENT);
    let (head, mut rest) = binary.split_at_checked(8)?;
    let mut out = Vec::with_capacity(binary.len());
    out.extend_from_slice(head);
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = take_number(after)?;
        let (body, after) = after.split_at_checked(size)?;
        rest = after;
        match id {
            CUSTOM if is_idle(body)? => {}
            CORE_MODULE | NESTED_COMPONENT if is_component => push_section(&mut out, id, &stripped(body)?),
            _ => push_section(&mut out, id, body),
        }
    }
    Some(out)
}

/// Whether a custom section is there for debuggers, or is metadata of an earlier build.
fn is_idle(body: &[u8]) -> Option<bool> {
    let (length, rest) = take_number(body)?;
    let name = rest.get(..length)?;
    Some(
        matches!(name, b"name" | b"component-name" | b"producers")
            || name.starts_with(b".debug")
            || name == METADATA.as_bytes(),
    )
}

pub(crate) fn push_number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_number(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (mut value, mut shift) = (0usize, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        bytes = rest;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        match byte {
            0..0x80 => return Some((value, bytes)),
            _ if shift > 28 => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_come_once_and_names_for_debuggers_go() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        push_custom(&mut module, "name", b"functions");
        push_custom(&mut module, "kept", b"data");
        let mut component = COMPONENT.to_vec();
        push_section(&mut component, CORE_MODULE, &module);
        push_custom(&mut component, "producers", b"tools");
        let once = finish(&component, &json!({ "name": "one" })).expect("a component");
        let twice = finish(&once, &json!({ "name": "two" })).expect("a component");
        let count = |needle: &[u8]| twice.windows(needle.len()).filter(|window| *window == needle).count();
        assert_eq!((count(b"functions"), count(b"tools"), count(b"kept")), (0, 0, 1));
        assert_eq!((count(METADATA.as_bytes()), count(b"\"one\""), count(b"\"two\"")), (1, 0, 1));
    }

    #[test]
    fn what_is_torn_is_refused_and_nothing_panics() {
        let mut component = COMPONENT.to_vec();
        push_custom(&mut component, "kept", &[7; 300]);
        for end in 8..component.len() {
            let whole = end == 8;
            assert_eq!(finish(&component[..end], &json!({})).is_ok(), whole, "{end}");
        }
        assert!(finish(b"\0asm\x01\0\0\0", &json!({})).is_err());
    }
}
