//! Policies become components: `plugins/*` and the guests of the plugin room's tests, as `grille plugin build` makes
//! them, with their test cases beside them.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grille_author::{RustPlugin, build_rust, finish};

/// Cargo workspaces of policies, and where below `target/components` their components go.
const WORKSPACES: [(&str, &str); 3] =
    [("plugins", ""), ("host/plugin/tests/guests", "guests"), ("host/demo/guests", "demo")];

/// What the components are made of. Hidden files and build directories do not count.
const SOURCES: [&str; 8] = [
    "plugins",
    "host/plugin/tests/guests",
    "host/demo/guests",
    "sdk/rust",
    "wit",
    "rust-toolchain.toml",
    "host/author/src",
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
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut components = Vec::new();
    for (workspace, below) in WORKSPACES {
        let out = out.join(below);
        fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
        for plugin in build_rust(&root.join(workspace), &cargo, Some(&root.join("target/guests")))? {
            components.push(put(&plugin, &out)?);
        }
    }
    let names = components.iter().map(|path| path.strip_prefix(&out).unwrap_or(path).display().to_string());
    let lines: Vec<String> = std::iter::once(made_of).chain(names).collect();
    fs::write(&stamp, lines.join("\n")).with_context(|| format!("write {}", stamp.display()))?;
    Ok(components)
}

/// Writes a component in one go, and beside it what it promises to answer.
fn put(plugin: &RustPlugin, out: &Path) -> Result<PathBuf> {
    let name = &plugin.manifest.name;
    let metadata = plugin.manifest.metadata(&plugin.dir, None)?;
    let path = out.join(format!("{name}.wasm"));
    let beside = out.join(format!(".{name}.wasm.new"));
    let component = finish(&plugin.component, &metadata)?;
    fs::write(&beside, component).with_context(|| format!("write {}", beside.display()))?;
    fs::rename(&beside, &path).with_context(|| format!("rename to {}", path.display()))?;
    let cases = format!("{name}.cases.json");
    let (own, copy) = (plugin.dir.join(&cases), out.join(&cases));
    if own.is_file() {
        fs::copy(&own, &copy).with_context(|| format!("copy {}", own.display()))?;
    } else if copy.exists() {
        fs::remove_file(&copy).with_context(|| format!("remove {}", copy.display()))?;
    }
    Ok(path)
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
