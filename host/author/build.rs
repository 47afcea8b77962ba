//! Lists what authors get with the binary: the contract, the Rust SDK and the templates. A table of `include_str!` of
//! its own making, so that a file more in a folder is embedded without being named twice.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders below the repository, and what they are called in the table.
const FOLDERS: [(&str, &str); 6] = [
    ("wit", "wit"),
    ("sdk/rust/src", "rust-sdk"),
    ("sdk/rust/template", "template/rust"),
    ("sdk/c/template", "template/c"),
    ("sdk/js/template", "template/js"),
    ("sdk/python/template", "template/python"),
];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let mut lines = vec!["&[".to_owned()];
    let mut add = |name: String, path: &Path| lines.push(format!("({name:?}, include_str!({:?})),", path.display()));
    for (folder, name) in FOLDERS {
        let folder = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        if folder.is_dir() {
            collect(&folder, &mut files)?;
        }
        files.sort();
        for file in files {
            // Beside the contract lie its frozen copies and a page about them.
            let is_contract = file.parent() == Some(&folder) && file.extension().is_some_and(|ending| ending == "wit");
            if name == "wit" && !is_contract {
                continue;
            }
            let below = file.strip_prefix(&folder).expect("it lies in the folder").display().to_string();
            add(format!("{name}/{below}"), &file);
        }
    }
    add("rust-sdk.toml".to_owned(), &root.join("sdk/rust/Cargo.toml"));
    lines.push("]".to_owned());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("embedded.rs");
    fs::write(out, lines.join("\n"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What building in the folder leaves behind.
        let is_left = matches!(name.as_str(), "target" | "node_modules" | "__pycache__" | ".grille" | "Cargo.lock");
        if path.is_dir() && !is_left {
            collect(&path, files)?;
        } else if path.is_file() && !is_left && !name.ends_with(".wasm") {
            files.push(path);
        }
    }
    Ok(())
}
