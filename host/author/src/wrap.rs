//! From a core module to a component, by the contract that comes with the binary.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::{Error, advice, embedded};

/// The contract, and one of its worlds.
pub(crate) fn contract(world: &str) -> Result<(Resolve, WorldId), Error> {
    let mut resolve = Resolve::default();
    let broken =
        |error: &dyn std::fmt::Display| Error::Refused(format!("the contract in this binary is damaged: {error}"));
    let mut map = wit_parser::SourceMap::default();
    for (path, text) in embedded::below("wit") {
        map.push_str(path, text);
    }
    let group = map.parse().map_err(|(_, error)| broken(&error))?;
    let package = resolve.push_group(group).map_err(|error| broken(&error))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|_| {
        let worlds: Vec<&str> = resolve.packages[package].worlds.keys().map(String::as_str).collect();
        Error::Refused(format!("the contract has no world `{world}`; it has {}", worlds.join(", ")))
    })?;
    Ok((resolve, world))
}

/// Makes a component of a core module. A module that does not say its world gets the one that is named.
pub(crate) fn wrap(module: &[u8], world: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut module = module.to_vec();
    let outline = Outline::read(&module)?;
    match (outline.has_world, world) {
        (true, _) => {}
        (false, Some(world)) => {
            let (resolve, id) = contract(world)?;
            let embedded = embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8);
            embedded.map_err(|error| Error::Refused(format!("the world cannot be added to the module: {error:#}")))?;
        }
        (false, None) => {
            return Err(Error::Refused(
                "the core module does not say which world it targets; give --world, such as statement-policy".into(),
            ));
        }
    }
    let failed = |error: &dyn std::fmt::Display| Error::Refused(advice::of_wrapping(&format!("{error:#}")));
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(|error| failed(&error))?;
    if outline.has_preview1 {
        encoder = encoder
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
            .map_err(|error| failed(&error))?;
    }
    encoder.encode().map_err(|error| failed(&error))
}

/// What matters of a core module before it is wrapped.
struct Outline {
    /// Its tools wrote the world down.
    has_world: bool,
    /// It was built for WASI's first preview.
    has_preview1: bool,
}

impl Outline {
    fn read(module: &[u8]) -> Result<Self, Error> {
        if !module.starts_with(b"\0asm\x01\0\0\0") {
            return Err(Error::Refused(
                "the file is no core module of WebAssembly; name the .wasm that the compiler made".into(),
            ));
        }
        let contains = |needle: &[u8]| module.windows(needle.len()).any(|window| window == needle);
        // Both are names that no data would hold by chance, and a wrong guess fails when the component is checked.
        Ok(Self { has_world: contains(b"component-type"), has_preview1: contains(b"\x16wasi_snapshot_preview1") })
    }
}
