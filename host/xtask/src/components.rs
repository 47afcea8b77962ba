//! Policies become components: `plugins/*` and the guests of the plugin room's tests, for `wasm32-unknown-unknown`, by
//! the toolchain's own component linker, so that nothing else has to be installed.
//!
//! What `Cargo.toml` says under `[package.metadata.grille]` is appended as the section `grille:metadata`, which the host
//! reads without running code.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

const TARGET: &str = "wasm32-unknown-unknown";

/// Cargo workspaces of policies, and where below `target/components` their components go.
const WORKSPACES: [(&str, &str); 3] =
    [("plugins", ""), ("host/plugin/tests/guests", "guests"), ("host/demo/guests", "demo")];

/// What the components are made of. Hidden files and build directories do not count.
const SOURCES: [&str; 7] = [
    "plugins",
    "host/plugin/tests/guests",
    "host/demo/guests",
    "sdk/rust",
    "wit",
    "rust-toolchain.toml",
    "host/xtask/src/components.rs",
];

/// Builds all components to `target/components`, unless nothing that they are made of has changed. Answers their paths.
pub(crate) fn build(root: &Path) -> Result<Vec<PathBuf>> {
    let out = root.join("target/components");
    let stamp = out.join(".built-from");
    let made_of = format!("{:016x}", hash(root)?);
    if fs::read_to_string(&stamp).is_ok_and(|built_from| built_from.lines().next() == Some(made_of.as_str())) {
        let paths: Vec<PathBuf> = fs::read_to_string(&stamp)?.lines().skip(1).map(|line| out.join(line)).collect();
        if paths.iter().all(|path| path.is_file()) {
            return Ok(paths);
        }
    }
    let linker = linker()?;
    let mut components = Vec::new();
    for (workspace, below) in WORKSPACES {
        components.extend(build_workspace(root, &root.join(workspace), &out.join(below), &linker)?);
    }
    let names = components.iter().map(|path| path.strip_prefix(&out).unwrap_or(path).display().to_string());
    let lines: Vec<String> = std::iter::once(made_of).chain(names).collect();
    fs::write(&stamp, lines.join("\n")).with_context(|| format!("write {}", stamp.display()))?;
    Ok(components)
}

fn build_workspace(root: &Path, workspace: &Path, out: &Path, linker: &str) -> Result<Vec<PathBuf>> {
    let target_dir = root.join("target/guests");
    let manifest = workspace.join("Cargo.toml");
    let mut cargo = Command::new(cargo());
    cargo
        .args(["build", "--release", "--quiet", "--locked", "--target", TARGET, "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTFLAGS", linker)
        // Either would win over the flags above, and belongs to the build of the host.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER");
    let status = cargo.status().context("run cargo")?;
    ensure!(status.success(), "the components of {} did not build", workspace.display());

    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let mut components = Vec::new();
    for package in packages(&manifest)? {
        let Some(said) = package["metadata"].get("grille") else { continue };
        let name = package["name"].as_str().context("a package has a name")?;
        let built = target_dir.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
        let mut component = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
        append_metadata(&mut component, &metadata(&package, said)?)?;
        let path = out.join(format!("{name}.wasm"));
        let beside = out.join(format!(".{name}.wasm.new"));
        fs::write(&beside, component).with_context(|| format!("write {}", beside.display()))?;
        fs::rename(&beside, &path).with_context(|| format!("rename to {}", path.display()))?;
        components.push(path);
    }
    Ok(components)
}

/// What the host learns about a component without running it.
fn metadata(package: &Value, said: &Value) -> Result<Value> {
    let schema = match said["settings"].as_str() {
        Some(file) => {
            let manifest = Path::new(package["manifest_path"].as_str().context("a package has a manifest")?);
            let path = manifest.with_file_name(file);
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?
        }
        None => Value::Null,
    };
    Ok(json!({
        "name": package["name"],
        "version": package["version"],
        "description": package["description"],
        "license": package["license"],
        "hooks": said["hooks"],
        "stateless": said["stateless"],
        "grants": said["grants"],
        "settings": schema,
    }))
}

/// Appends the one section at the top level of a component: id 0, length, name, JSON.
fn append_metadata(component: &mut Vec<u8>, metadata: &Value) -> Result<()> {
    const NAME: &[u8] = b"grille:metadata";
    const MAX: usize = 64 * 1024;
    ensure!(component.starts_with(b"\0asm\x0d\0\x01\0"), "the linker made no component");
    let json = serde_json::to_vec(metadata)?;
    ensure!(json.len() <= MAX, "the metadata take {} bytes, more than 64 KiB", json.len());
    let mut body = Vec::with_capacity(json.len() + NAME.len() + 1);
    leb128(&mut body, NAME.len());
    body.extend_from_slice(NAME);
    body.extend_from_slice(&json);
    component.push(0);
    leb128(component, body.len());
    component.extend_from_slice(&body);
    Ok(())
}

fn leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn packages(manifest: &Path) -> Result<Vec<Value>> {
    let text = output(
        Command::new(cargo()).args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest),
    )?;
    let mut metadata: Value = serde_json::from_str(&text).context("cargo metadata answers JSON")?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("cargo metadata named no packages"),
    }
}

/// The flags that make rustc link components, with the wasm target installed if it is missing.
fn linker() -> Result<String> {
    let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    let libraries = sysroot.join("lib/rustlib");
    if !libraries.join(TARGET).is_dir() {
        let status = Command::new("rustup").args(["target", "add", TARGET]).status();
        ensure!(
            status.is_ok_and(|status| status.success()),
            "the target {TARGET} is missing and could not be added; run: rustup target add {TARGET}"
        );
    }
    let host = output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let bin = libraries.join(host.trim()).join("bin");
    let linker = bin.join("wasm-component-ld");
    ensure!(linker.is_file(), "{} is missing; install Rust by rustup, which brings it", linker.display());
    Ok(format!("-C linker={} -C link-arg=--wasm-ld-path={}", linker.display(), bin.join("gcc-ld/wasm-ld").display()))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("the output is UTF-8")
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A hash of everything that the components are made of: paths and contents.
fn hash(root: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        hash_path(&root.join(source), &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn hash_path(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let read = || format!("read {}", path.display());
    if path.is_dir() {
        let entries: std::io::Result<Vec<_>> = fs::read_dir(path).with_context(read)?.collect();
        let mut entries: Vec<PathBuf> = entries.with_context(read)?.iter().map(fs::DirEntry::path).collect();
        entries.sort();
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') && name != "target" && !entry.is_symlink() {
                hash_path(&entry, hasher)?;
            }
        }
    } else if path.is_file() {
        path.file_name().hash(hasher);
        fs::read(path).with_context(read)?.hash(hasher);
    }
    Ok(())
}
