//! C: bindings by `wit-bindgen`'s own generator, which is part of the binary; then clang and its linker.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use wit_bindgen_core::Files;

use super::Job;
use crate::{Error, tool, wrap};

/// The oldest clang whose Wasm target knows what the bindings need.
const OLDEST: u32 = 15;
const NEWEST: u32 = 22;
const INSTALL: &str = "run: apt install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32";

/// The core module; it carries its world.
pub(super) fn module(job: &Job<'_>) -> Result<Vec<u8>, Error> {
    let clang = clang()?;
    let bindings = bindings(job)?;
    let module = job.scratch.join("plugin.core.wasm");
    let folder = job.dir.join(job.source).parent().map_or_else(|| job.dir.to_owned(), PathBuf::from);
    let folder = folder.canonicalize().map_err(Error::io("find", &folder))?;
    let mut command = Command::new(&clang);
    command
        .args(["--target=wasm32-wasi", "--sysroot=/usr", "-mexec-model=reactor", "-O2", "-s", "-fuse-ld=lld", "-I"])
        .arg(&folder)
        .arg("-I")
        .arg(&job.scratch)
        .args(sources(&folder)?)
        .args(bindings)
        .arg("-o")
        .arg(&module);
    job.run(&mut command, INSTALL)?;
    fs::read(&module).map_err(Error::io("read", &module))
}

/// Every `.c` beside the plugin's source.
fn sources(folder: &std::path::Path) -> Result<Vec<PathBuf>, Error> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension().is_some_and(|ending| ending == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// Writes `grille.c`, `grille.h` and the object that carries the world; answers what is to be compiled and linked.
fn bindings(job: &Job<'_>) -> Result<Vec<PathBuf>, Error> {
    let (mut resolve, world) = wrap::contract(job.world)?;
    let options = wit_bindgen_c::Opts {
        rename_world: Some("grille".to_owned()),
        // A hook gives its handles back when it answers; without this each plugin would have to.
        autodrop_borrows: wit_bindgen_c::Enabled::Yes,
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    let generated = options.build().generate(&mut resolve, world, &mut files);
    generated.map_err(|error| Error::Refused(format!("the C bindings cannot be made: {error:#}")))?;
    let mut linked = Vec::new();
    for (name, contents) in files.iter() {
        let path = job.scratch.join(name);
        fs::write(&path, contents).map_err(Error::io("write", &path))?;
        if name.ends_with(".c") || name.ends_with(".o") {
            linked.push(path);
        }
    }
    Ok(linked)
}

/// The newest clang on PATH that is new enough.
fn clang() -> Result<String, Error> {
    let names = (OLDEST..=NEWEST).rev().map(|version| format!("clang-{version}")).chain(["clang".to_owned()]);
    let mut too_old = None;
    for name in names {
        let Ok(said) = tool::text(Command::new(&name).arg("--version"), INSTALL) else { continue };
        match version(&said) {
            Some(version) if version >= OLDEST => return Ok(name),
            found => too_old = Some(found),
        }
    }
    Err(Error::Missing(match too_old {
        Some(Some(version)) => format!("clang is of version {version}, but {OLDEST} or newer is needed; {INSTALL}"),
        _ => format!("clang is not installed; {INSTALL}"),
    }))
}

fn version(said: &str) -> Option<u32> {
    let after = said.split_once("version ")?.1;
    after.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_of_clang_are_read() {
        for (said, expected) in [
            ("Debian clang version 19.1.7 (3+b1)\nTarget: x86_64", Some(19)),
            ("Apple clang version 15.0.0 (clang-1500)", Some(15)),
            ("gcc (Debian 12.2.0)", None),
        ] {
            assert_eq!(super::version(said), expected, "{said}");
        }
    }
}
