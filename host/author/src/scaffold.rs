//! A plugin to begin with: it compiles, and its test cases hold.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Language, embedded};

mod hooks;

pub use hooks::Hook;

/// Writes a plugin into a new folder and answers the files, in order.
///
/// # Errors
/// When the name is none, the folder is not empty, or this binary has no template.
pub fn scaffold(dir: &Path, name: &str, language: Language, hook: Hook) -> Result<Vec<PathBuf>, Error> {
    check_name(name)?;
    if dir.exists() && fs::read_dir(dir).map_err(Error::io("list", dir))?.next().is_some() {
        return Err(Error::Refused(format!("{}: the folder is not empty; choose another name", dir.display())));
    }
    let mut files: Vec<(PathBuf, String)> =
        template(language)?.map(|(path, text)| (PathBuf::from(path), text.replace("{{name}}", name))).collect();
    if language == Language::Rust {
        bring_sdk(&mut files)?;
        hooks::turn(&mut files, hook, name)?;
    } else if hook != Hook::Sql {
        return Err(Error::Refused("templates for other hooks than sql are in Rust; use --lang rust".into()));
    }
    let mut add = |path: &str, text: String| {
        if !files.iter().any(|(known, _)| known == Path::new(path)) {
            files.push((path.into(), text));
        }
    };
    add(&format!("{name}.cases.json"), hook.cases().to_owned());
    add("README.md", readme(name, language, hook));
    add(".gitignore", "target/\nnode_modules/\n__pycache__/\n.grille/\n*.wasm\n".to_owned());
    files.sort();
    for (path, text) in &files {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        }
        fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    Ok(files.into_iter().map(|(path, _)| dir.join(path)).collect())
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let begins = name.chars().next().is_some_and(|letter| letter.is_ascii_lowercase());
    if begins && name.chars().all(is_plain) && !name.ends_with('-') && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "`{name}` is no name of a plugin: begin with a lower-case letter and use letters, digits and `-`"
    )))
}

const NAME_MAX: usize = 64;

fn template(language: Language) -> Result<impl Iterator<Item = (&'static str, &'static str)>, Error> {
    let folder = match language {
        Language::Rust => "template/rust",
        Language::C => "template/c",
        Language::Js => "template/js",
        Language::Python => "template/python",
    };
    if embedded::below(folder).next().is_none() {
        return Err(Error::Refused(format!("this binary has no {folder}; build it from a checkout that has sdk/")));
    }
    Ok(embedded::below(folder))
}

/// The Rust SDK as a folder of the plugin's own, so that nothing has to be fetched to begin.
fn bring_sdk(files: &mut Vec<(PathBuf, String)>) -> Result<(), Error> {
    let damaged = || Error::Refused("the Rust SDK in this binary is damaged".into());
    let sdk = Path::new("grille-sdk");
    let manifest = embedded::file("rust-sdk.toml").ok_or_else(damaged)?;
    // It belongs to the plugin's workspace here and has none of its own.
    let manifest = manifest.lines().filter(|line| !line.starts_with("[workspace]")).collect::<Vec<_>>().join("\n");
    let is_heading = |line: &&str| !line.starts_with("# Its own root");
    let manifest = manifest.lines().filter(is_heading).collect::<Vec<_>>().join("\n");
    files.push((
        sdk.join("Cargo.toml"),
        format!("{}\n", manifest.trim_end().replace("doctest = true", "doctest = false")),
    ));
    for (path, text) in embedded::below("rust-sdk") {
        // Its README is for the repository.
        let text = text.replace("#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;\n\n", "");
        files.push((sdk.join("src").join(path), text));
    }
    for (path, text) in embedded::below("wit") {
        files.push((sdk.join("wit").join(path), text.to_owned()));
    }
    let cargo = files.iter_mut().find(|(path, _)| path == Path::new("Cargo.toml")).ok_or_else(damaged)?;
    cargo.1 = cargo.1.replace("grille-sdk = \"0.1\"", "grille-sdk = { path = \"grille-sdk\" }");
    Ok(())
}

fn readme(name: &str, language: Language, hook: Hook) -> String {
    let (needs, sdk) = match language {
        Language::Rust => (
            "Rust by <https://rustup.rs>; the wasm target is added by itself.",
            "\n`grille-sdk/` is a copy of the Rust SDK and of the contract that the `grille` which wrote it speaks. It is a path\n\
             dependency, because the SDK is not on crates.io: replace the folder to move to a newer one.\n",
        ),
        Language::C => (
            "clang 15 or newer with its Wasm runtime: `apt install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32`.",
            "",
        ),
        Language::Js => ("Node.js 20 or newer, and `npm install componentize-qjs@0.4.5` in this folder.", ""),
        Language::Python => ("`pip install componentize-py==0.25.1`.", ""),
    };
    format!(
        "# {name}\n\n{}\n\nNeeds: {needs}\n\n```sh\ngrille plugin build            # writes {name}.wasm\ngrille plugin test             # runs {name}.cases.json\n\
         {}\ngrille plugin inspect {name}.wasm\ngrille plugin bench {name}.wasm\n```\n\n\
         `plugin.toml` is what the plugin says of itself; it goes into the component. `{name}.cases.json` is what it promises\n\
         to answer: keep it beside `{name}.wasm`, and the gateway runs it before a new build comes into force. `grille plugin\n\
         test --schema` prints the JSON Schema of such files.\n{sdk}\nIn `grille.toml`:\n\n```toml\n[policies.{name}]\nplugin = \"{name}.wasm\"\n\
         targets = [\"…\"]\nallow_unsigned = true\nsettings = {{ {} }}\n```\n",
        hook.purpose(),
        hook.try_out(name),
        hook.settings(),
    )
}
