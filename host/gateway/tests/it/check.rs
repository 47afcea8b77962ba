//! What `grille check` says, on files as people write them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn grille(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_grille")).args(arguments).env_remove("GRILLE_CONFIG").output().unwrap()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A first-party policy; `cargo xtask test` builds it before it runs this.
pub(crate) fn component(name: &str) -> PathBuf {
    let path = repository().join("target/components").join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask components` first", path.display());
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_minimal_example_works_as_shown() {
    component("phi.wasm");
    component("sql-guard.wasm");
    let config = repository().join("examples/minimal/grille.toml");
    let output = grille(&["check", "-c", config.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).ends_with("no problems\n"));
    assert!(!repository().join("examples/minimal/var").exists(), "a check leaves nothing behind");
}

#[test]
fn problems_of_components_name_key_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let example = fs::read_to_string(repository().join("examples/minimal/grille.toml")).unwrap();
    let phi = fs::read(component("phi.wasm")).unwrap();
    fs::write(dir.path().join("torn.wasm"), &phi[..phi.len() / 2]).unwrap();
    fs::write(dir.path().join("text.wasm"), "#!/bin/sh").unwrap();
    let config = example
        .replace("../../target/components/phi.wasm", "torn.wasm")
        .replace("../../target/components/sql-guard.wasm", "text.wasm");
    let path = dir.path().join("grille.toml");
    fs::write(&path, &config).unwrap();
    let output = grille(&["check", "--format", "json", "-c", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = |key: &str| config.lines().position(|line| line.contains(key)).unwrap() as u64 + 1;
    let found: Vec<_> = answer["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["key"].as_str().unwrap(), problem["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [("policies.phi.plugin", line("torn.wasm")), ("policies.sql-guard.plugin", line("text.wasm"))]);

    let wrong = example
        .replace("../../target/components", component("").to_str().unwrap())
        .replace("profile = \"safe-harbor\"", "profile = \"safe-haven\"")
        .replace("allow_unsigned = true                 # follow", "# follow");
    fs::write(&path, &wrong).unwrap();
    let output = grille(&["check", "-c", path.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("policies.phi.plugin: nothing says which component"), "{said}");
    assert!(said.contains("policies.phi.settings: "), "{said}");
}

#[test]
fn what_a_plugin_imports_and_is_not_granted_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let example = fs::read_to_string(repository().join("examples/minimal/grille.toml")).unwrap();
    let config = example
        .replace("../../target/components/phi.wasm", component("guests/probe.wasm").to_str().unwrap())
        .replace("settings = { profile = \"safe-harbor\" }", "grants = [\"clock\", \"kv\"]")
        .replace("../../target/components", component("").to_str().unwrap());
    let path = dir.path().join("grille.toml");
    fs::write(&path, config).unwrap();
    let output = grille(&["check", "-c", path.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "a warning is no problem: {said}");
    let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    let imports = ["`counters`", "`lookup`"];
    assert_eq!(warnings.len(), imports.len(), "{said}");
    for (warning, import) in warnings.iter().zip(imports) {
        assert!(warning.contains("policies.phi.grants: ") && warning.contains(import), "{warning}");
    }
}

#[test]
fn exit_codes_say_no_usage_and_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("grille.toml");
    fs::write(&path, "version = 1\n").unwrap();
    assert_eq!(grille(&["check", "-c", path.to_str().unwrap()]).status.code(), Some(1));
    assert_eq!(grille(&["check", "--frobnicate"]).status.code(), Some(2));
    assert_eq!(grille(&["check", "-c", "/nowhere/grille.toml"]).status.code(), Some(3));
    assert_eq!(grille(&["serve", "-c", path.to_str().unwrap()]).status.code(), Some(3));
}

#[test]
fn help_fits_a_screen() {
    for command in
        [vec!["--help"], vec!["serve", "--help"], vec!["check", "--help"], vec!["policy", "promote", "--help"]]
    {
        let output = grille(&command);
        let help = text(&output.stdout);
        assert!(output.status.success() && help.lines().count() <= 40, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 110), "{help}");
    }
    let schema = grille(&["schema"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).unwrap(), grille_config::schema());
}

#[test]
fn online_everything_that_does_not_answer_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("grille.toml");
    let config = r#"version = 1
identity.corp = { issuer = "http://127.0.0.1:1", audience = "grille" }
listeners.pg = { protocol = "postgres", address = "127.0.0.1:0" }
targets.clinic = { protocol = "postgres", address = "127.0.0.1:1", database = "clinic", login = { user = "app", password = { env = "GRILLE_TEST_UNSET" } } }
"#;
    fs::write(&path, config).unwrap();
    let path = path.to_str().unwrap();
    assert!(grille(&["check", "-c", path]).status.success());
    let output = grille(&["check", "--online", "-c", path]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "grille.toml:2:28 identity.corp.issuer: the issuer cannot be used",
        "GRILLE_TEST_UNSET",
        "127.0.0.1:1 cannot be reached",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
