//! The contract against the frozen copies of what was released: every world that a policy could target must still hold.

use std::fs;
use std::path::Path;

use wit_component::semver_check;
use wit_parser::{Resolve, UnresolvedPackageGroup};

const WORLDS: [&str; 7] =
    ["policy", "session-policy", "statement-policy", "masking-policy", "result-policy", "http-policy", "all-hooks"];

/// A version that nobody releases, so that two editions of one package can be told apart.
const NEW: &str = "grille:policy@0.1.9999";

/// The package in a folder, under another version.
fn texts(folder: &Path, version: &str) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the contract") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let text = fs::read_to_string(&path).expect("a text").replace("grille:policy@0.1.0", version);
            texts.push((path.display().to_string(), text));
        }
    }
    texts
}

fn push(resolve: &mut Resolve, texts: &[(String, String)]) -> wit_parser::PackageId {
    let mut sources = wit_parser::SourceMap::default();
    for (path, text) in texts {
        sources.push(Path::new(path), text);
    }
    let group: UnresolvedPackageGroup = sources.parse().map_err(|(_, error)| error).expect("it parses");
    resolve.push_group(group).expect("it resolves")
}

/// The first world that no longer holds, and why.
fn broken(old: &[(String, String)], new: &[(String, String)]) -> Option<String> {
    for world in WORLDS {
        let mut resolve = Resolve::default();
        let (old, new) = (push(&mut resolve, old), push(&mut resolve, new));
        let select = |package| resolve.select_world(&[package], Some(world)).expect("the world is there");
        let (old, new) = (select(old), select(new));
        if let Err(error) = semver_check(resolve, old, new) {
            return Some(format!("{world}: {error:#}"));
        }
    }
    None
}

fn wit() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))
}

#[test]
fn what_was_built_against_a_released_contract_still_fits() {
    let new = texts(wit(), NEW);
    let mut releases = 0;
    for entry in fs::read_dir(wit().join("released")).expect("the released contracts") {
        let folder = entry.expect("an entry").path();
        if folder.is_dir() {
            let old = texts(&folder, "grille:policy@0.1.0");
            assert_eq!(broken(&old, &new), None, "{} is broken by wit/", folder.display());
            releases += 1;
        }
    }
    assert!(releases >= 1, "there is a release");
}

#[test]
fn the_comparison_finds_what_breaks_old_plugins_and_lets_the_contract_grow() {
    let old = texts(&wit().join("released/0.1.0"), "grille:policy@0.1.0");
    let new = texts(wit(), NEW);
    let with = |from: &str, to: &str| -> Vec<(String, String)> {
        assert!(new.iter().any(|(_, text)| text.contains(from)), "{from}");
        new.iter().map(|(path, text)| (path.clone(), text.replacen(from, to, 1))).collect()
    };
    for (from, to) in [
        (
            "        schema: string,\n        name: string,\n        is-written: bool,",
            "        name: string,\n        is-written: bool,",
        ),
        ("        review(terms),", "        review(terms),\n        perhaps,"),
        ("has-role: func(role: string) -> bool;", "has-role: func(role: string, strict: bool) -> bool;"),
        ("has-kind: func(kind: string) -> bool;", ""),
        ("    import counters;\n", ""),
    ] {
        assert!(broken(&old, &with(from, to)).is_some(), "nobody notices `{from}` → `{to}`");
    }
    for (from, to) in [
        ("target: func() -> string;", "target: func() -> string;\n        zone: func() -> string;"),
        ("    import counters;\n", "    import counters;\n    import weather;\n"),
    ] {
        let mut grown = with(from, to);
        grown.push(("more.wit".into(), format!("package {NEW};\ninterface weather {{ rains: func() -> bool; }}")));
        assert_eq!(broken(&old, &grown), None, "`{from}` → `{to}`");
    }
}
