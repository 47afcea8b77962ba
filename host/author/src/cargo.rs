//! Plugins in Rust: for `wasm32-unknown-unknown`, by the toolchain's own component linker, so that nothing else has to
//! be installed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Error, Manifest, tool};

const TARGET: &str = "wasm32-unknown-unknown";
const INSTALL: &str = "install Rust by https://rustup.rs";

/// A plugin that cargo built.
pub struct RustPlugin {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it lies.
    pub dir: PathBuf,
    /// The component, as the linker made it.
    pub component: Vec<u8>,
}

/// Builds every plugin of a package or workspace. `cargo` is the cargo to run; without a target directory cargo's own
/// is used.
///
/// # Errors
/// When Rust is missing, a plugin does not build or says something wrong of itself.
pub fn build_rust(dir: &Path, cargo: &OsStr, target_dir: Option<&Path>) -> Result<Vec<RustPlugin>, Error> {
    let manifest = dir.join("Cargo.toml");
    let mut flags = linker()?;
    let described = describe(&manifest, cargo)?;
    flags.extend(anonymous(dir, &described));
    let own = described["target_directory"].as_str().map(PathBuf::from).unwrap_or_else(|| dir.join("target"));
    let target_dir = target_dir.map_or(own, Path::to_owned);
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--target", TARGET, "--manifest-path"]).arg(&manifest);
    if manifest.with_file_name("Cargo.lock").is_file() {
        command.arg("--locked");
    }
    command
        .env("CARGO_TARGET_DIR", &target_dir)
        // Wins over RUSTFLAGS, which belongs to the build of something else.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTC_WRAPPER");
    // Cargo talks to the terminal itself.
    let status = command.status().map_err(|error| tool::missing(cargo, &error, INSTALL))?;
    if !status.success() {
        let message = format!("{} did not build; cargo says why above", dir.display());
        return Err(Error::Tool { message, output: String::new() });
    }
    let mut plugins = Vec::new();
    for package in described["packages"].as_array().map_or(&[][..], Vec::as_slice) {
        let dir = package["manifest_path"].as_str().map(Path::new).and_then(Path::parent).unwrap_or(dir);
        let manifest = match Manifest::read(dir)? {
            Some(manifest) => Some(manifest),
            None => Manifest::of_package(package)?,
        };
        let Some(manifest) = manifest else { continue };
        let library = library(package).ok_or_else(|| {
            let cargo_toml = dir.join("Cargo.toml");
            Error::Refused(format!(
                "{}: it makes no library for Wasm; set [lib] crate-type = [\"cdylib\"]",
                cargo_toml.display()
            ))
        })?;
        let built = target_dir.join(TARGET).join("release").join(format!("{library}.wasm"));
        let component = fs::read(&built).map_err(Error::io("read", &built))?;
        plugins.push(RustPlugin { manifest, dir: dir.to_owned(), component });
    }
    if plugins.is_empty() {
        let message =
            format!("{}: no package says that it is a plugin; add a plugin.toml beside it", manifest.display());
        return Err(Error::Refused(message));
    }
    Ok(plugins)
}

/// The name of the package's library file, if it makes one for Wasm.
fn library(package: &Value) -> Option<String> {
    let targets = package["targets"].as_array()?;
    let is_cdylib = |target: &&Value| {
        target["crate_types"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "cdylib"))
    };
    targets.iter().find(is_cdylib)?["name"].as_str().map(|name| name.replace('-', "_"))
}

fn describe(manifest: &Path, cargo: &OsStr) -> Result<Value, Error> {
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let text = tool::text(&mut command, INSTALL)?;
    serde_json::from_str(&text).map_err(|error| Error::Refused(format!("cargo metadata answered no JSON ({error})")))
}

/// Panics name their source file: where it lay, and on whose machine, is nobody's business.
fn anonymous(dir: &Path, described: &Value) -> Vec<String> {
    let remap = |(from, to): (PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    let packages = described["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let dependencies = packages.iter().filter_map(|package| package["dependencies"].as_array()).flatten();
    let beside = dependencies.filter_map(|one| Some((PathBuf::from(one["path"].as_str()?), one["name"].as_str()?)));
    // The later one wins where both fit.
    let home = std::env::home_dir().map(|home| (home, "~"));
    let own = dir.canonicalize().ok().map(|dir| (dir, "."));
    home.into_iter().chain(beside).chain(own).map(remap).collect()
}

/// The flags that make rustc link components, with the wasm target added if it is missing.
fn linker() -> Result<Vec<String>, Error> {
    let print = |what: &str| tool::text(Command::new("rustc").args(["--print", what]), INSTALL);
    let libraries = PathBuf::from(print("sysroot")?.trim()).join("lib/rustlib");
    if !libraries.join(TARGET).is_dir() {
        let status = Command::new("rustup").args(["target", "add", TARGET]).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(Error::Missing(format!("Rust's target {TARGET} is missing; run: rustup target add {TARGET}")));
        }
    }
    let bin = libraries.join(print("host-tuple")?.trim()).join("bin");
    let linker = bin.join("wasm-component-ld");
    if !linker.is_file() {
        return Err(Error::Missing(format!("{} is missing; {INSTALL}, which brings it", linker.display())));
    }
    let wasm_ld = bin.join("gcc-ld/wasm-ld");
    Ok(vec![format!("-Clinker={}", linker.display()), format!("-Clink-arg=--wasm-ld-path={}", wasm_ld.display())])
}
