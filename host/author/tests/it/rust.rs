use std::fs;
use std::path::Path;

use grille_author::{Hook, Language, build, scaffold};

use crate::support::{cargo, failed, one_line, play};

/// An empty folder.
fn fresh(name: &str) -> std::path::PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).expect("empty the folder");
    }
    fs::create_dir_all(&dir).expect("make the folder");
    dir
}

#[tokio::test]
async fn from_an_empty_folder_to_a_case_that_fails_when_the_rule_is_broken() {
    let dir = fresh("scaffolded").join("guard");
    let cargo = cargo(dir.parent().expect("a folder"));
    let files = scaffold(&dir, "guard", Language::Rust, Hook::Sql).expect("a plugin");
    assert!(files.iter().any(|file| file.ends_with("guard.cases.json")) && dir.join("README.md").is_file());
    for file in &files {
        let text = fs::read_to_string(file).expect("read");
        assert!(!text.contains("{{name}}"), "{}", file.display());
    }

    let built = build(&dir, &cargo, None).unwrap_or_else(|error| panic!("{error}"));
    let [built] = &built[..] else { panic!("one plugin, not {built:?}") };
    assert_eq!(built.path, dir.join("guard.wasm"));
    assert_eq!(built.artifact.hooks, ["sql"]);
    assert_eq!(built.artifact.metadata.name.as_deref(), Some("guard"));
    assert!(built.artifact.metadata.stateless && built.artifact.stand_ins.is_empty());
    let bytes = fs::read(&built.path).expect("read");
    let home = std::env::home_dir().expect("a home").display().to_string();
    assert!(
        !bytes.windows(home.len()).any(|window| window == home.as_bytes()),
        "it says on whose machine it was built"
    );
    let results = play(&built.path).await;
    assert!(results.len() >= 5 && failed(&results).is_empty(), "{results:#?}");

    let source = dir.join("src/lib.rs");
    let text = fs::read_to_string(&source).expect("read");
    let broken = text.replace("has_effect(\"write\")", "has_kind(\"DELETE\")");
    assert_ne!(text, broken);
    fs::write(&source, broken).expect("write");
    build(&dir, &cargo, None).unwrap_or_else(|error| panic!("{error}"));
    let results = play(&dir.join("guard.wasm")).await;
    assert_eq!(failed(&results), ["others do not"]);
    let mismatch = &results.iter().find(|result| !result.holds()).expect("one fails").mismatches[0];
    assert_eq!(mismatch.to_string(), "verdict: expected block, got allow");
}

#[test]
fn what_cannot_be_begun_or_built_is_said_in_one_line() {
    let dir = fresh("refused");
    for (name, language, hook, expected) in [
        ("Guard", Language::Rust, Hook::Sql, "no name of a plugin"),
        ("../guard", Language::Rust, Hook::Sql, "no name of a plugin"),
        ("guard", Language::C, Hook::Session, "use --lang rust"),
    ] {
        let said = one_line(scaffold(&dir.join("x"), name, language, hook).expect_err("refused"));
        assert!(said.contains(expected), "{said}");
    }
    fs::write(dir.join("file"), "").expect("write");
    let said = one_line(scaffold(&dir, "guard", Language::Rust, Hook::Sql).expect_err("refused"));
    assert!(said.contains("not empty"), "{said}");

    let cargo = cargo(&dir);
    let said = one_line(build(&dir.join("nowhere"), &cargo, None).expect_err("refused"));
    assert!(said.contains("there is no such folder"), "{said}");
    let said = one_line(build(&dir, &cargo, None).expect_err("refused"));
    assert!(said.contains("neither a plugin.toml nor a Cargo.toml"), "{said}");
    for (manifest, expected) in [
        ("name = \"x\"\n", "plugin.toml:1: missing field"),
        ("name = \"x\"\nversion = \"1\"\nlanguage = \"cobol\"\n", "plugin.toml:3: unknown variant `cobol`"),
        ("name = \"x\"\nversion = \"1\"\nlanguage = \"c\"\n", "world is missing"),
        ("name = \"X\"\nversion = \"1\"\nlanguage = \"rust\"\n", "lower-case letters"),
        ("name = \"x\"\nversion = \"1\"\nlanguage = \"c\"\ngrant = []\n", "plugin.toml:4: unknown field `grant`"),
        (
            "name = \"x\"\nversion = \"1\"\nlanguage = \"c\"\nworld = \"shell-policy\"\nsource = \"x.c\"\n",
            "the contract has no world `shell-policy`; it has policy, ",
        ),
        (
            "name = \"x\"\nversion = \"1\"\nlanguage = \"c\"\nworld = \"statement-policy\"\nsource = \"x.c\"\n",
            "x.c: there is no such source",
        ),
    ] {
        fs::write(dir.join("plugin.toml"), manifest).expect("write");
        let said = one_line(build(&dir, &cargo, None).expect_err("refused"));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_missing_toolchain_is_one_line_with_the_way_to_get_it() {
    let dir = fresh("missing");
    scaffold(&dir.join("p"), "p", Language::Rust, Hook::Sql).expect("a plugin");
    let error = build(&dir.join("p"), "no-such-cargo".as_ref(), None).expect_err("no cargo");
    assert!(!error.is_answer());
    let said = one_line(error);
    assert_eq!(said, "no-such-cargo is not installed: install Rust by https://rustup.rs");
}
