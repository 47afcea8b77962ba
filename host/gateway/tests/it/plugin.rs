//! `grille plugin …` as its users see it: what it prints, and its exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What came of a command: exit code, standard output, standard error.
fn grille(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_grille")).arg("plugin").args(args).output().expect("grille runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The exit code, and the one line on standard error.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let (code, _, stderr) = grille(args);
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    (code, stderr.trim().to_owned())
}

fn component(name: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components").join(format!("{name}.wasm"));
    assert!(built.is_file(), "{} is missing: run `cargo xtask components` first", built.display());
    built
}

/// sql-guard in a folder of its own, with its cases as the change makes them.
fn guard(dir: &Path, change: impl Fn(String) -> String) -> String {
    let plugin = dir.join("sql-guard.wasm");
    fs::copy(component("sql-guard"), &plugin).expect("copy");
    let cases = fs::read_to_string(component("sql-guard").with_extension("cases.json")).expect("read");
    fs::write(dir.join("sql-guard.cases.json"), change(cases)).expect("write");
    plugin.display().to_string()
}

#[test]
fn test_says_which_case_does_not_hold_and_exits_1() {
    let dir = tempfile::tempdir().expect("a folder");
    let plugin = guard(dir.path(), |cases| cases);
    let (code, said, _) = grille(&["test", &plugin]);
    assert!(code == Some(0) && said.contains("  ✓ TRUNCATE is refused and names its table\n"), "{said}");
    // The folder means the same.
    assert_eq!(grille(&["test", &dir.path().display().to_string()]).0, Some(0));

    guard(dir.path(), |cases| cases.replace("\"rule\": \"truncate\"", "\"rule\": \"drop\""));
    let (code, said, _) = grille(&["test", &plugin]);
    let expected =
        "  ✗ TRUNCATE is refused and names its table\n      rule\n        expected  drop\n        got       truncate\n";
    assert!(code == Some(1) && said.contains(expected) && said.contains("16 held, 1 failed"), "{said}");
    let (code, said, _) = grille(&["test", &plugin, "--format", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == Some(1) && said[0]["failed"] == 1, "{said}");

    fs::remove_file(dir.path().join("sql-guard.cases.json")).expect("remove");
    for place in [plugin.as_str(), dir.path().to_str().expect("UTF-8")] {
        let (code, line) = refused(&["test", place]);
        assert!(code == Some(1) && line.contains("test cases"), "{line}");
    }
}

#[test]
fn run_shows_verdict_and_what_was_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let plugin = guard(dir.path(), |cases| cases);
    let (code, said, _) = grille(&["run", &plugin, "--sql", "SELECT 1; DROP TABLE t", "--role", "analyst"]);
    assert!(code == Some(1) && said.contains("block by drop: DROP TABLE is not allowed here"), "{said}");
    assert!(said.contains("statement.kinds") && said.contains("time") && said.contains("memory"), "{said}");
    let (code, said, _) = grille(&["run", &plugin, "--case", "1", "--format", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == Some(0) && said["answer"]["verdict"] == "allow", "{said}");
    for (args, expected) in [
        (&["--sql", "SELECT 1", "--settings", "{"][..], "it is no JSON"),
        (&["--sql", "SELECT 1", "--settings", "{\"profile\": \"x\"}"], "\"x\" is not one of"),
        (&["--case", "nothing"], "there is no case \"nothing\""),
    ] {
        let (code, line) = refused(&[&["run", &plugin][..], args].concat());
        assert!(code == Some(1) && line.contains(expected), "{line}");
    }
    assert_eq!(grille(&["run", &plugin]).0, Some(2), "nothing is asked");
}

#[test]
fn bench_fails_over_its_budget() {
    let dir = tempfile::tempdir().expect("a folder");
    let plugin = guard(dir.path(), |cases| cases);
    let (code, said, _) = grille(&["bench", &plugin, "--calls", "20", "--format", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == Some(0) && said["hooks"]["sql"]["p99_ns"].as_u64() > Some(0), "{said}");
    assert!(said["instance"]["instantiate_ns"].as_u64() > Some(0) && said["memory"].as_u64() > Some(0), "{said}");
    let (code, line) = refused(&["bench", &plugin, "--calls", "20", "--max-p99", "0.001"]);
    assert!(code == Some(1) && line.contains("the p99 of `sql` is"), "{line}");
}

#[test]
fn inspect_shows_what_a_plugin_is_and_refuses_what_would_not_load() {
    let plugin = component("phi").display().to_string();
    let (code, said, _) = grille(&["inspect", &plugin]);
    assert!(code == Some(0) && said.contains("name          phi\n"), "{said}");
    assert!(said.contains("hooks         sql-columns\n") && said.contains("of a fresh instance"), "{said}");
    assert!(!said.contains("granted"), "no policy was named: {said}");

    let dir = tempfile::tempdir().expect("a folder");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/minimal/grille.toml");
    let (code, said, _) =
        grille(&["inspect", &plugin, "--policy", "phi", "-c", config.to_str().expect("UTF-8"), "--format", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == Some(0) && said["granted"] == serde_json::json!([]), "{said}");

    let torn = dir.path().join("torn.wasm");
    let bytes = fs::read(&plugin).expect("read");
    fs::write(&torn, &bytes[..bytes.len() / 2]).expect("write");
    let (code, line) = refused(&["inspect", torn.to_str().expect("UTF-8")]);
    assert!(code == Some(1) && line.contains("damaged or not complete"), "{line}");
    let (code, line) = refused(&["inspect", dir.path().join("none.wasm").to_str().expect("UTF-8")]);
    assert!(code == Some(3) && line.contains("read "), "{line}");
}

#[test]
fn help_fits_a_screen() {
    for command in ["new", "build", "test", "run", "bench", "inspect"] {
        let (code, said, _) = grille(&[command, "--help"]);
        assert!(code == Some(0) && said.lines().count() <= 40, "{said}");
    }
}
