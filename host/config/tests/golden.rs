//! Configurations and what is said about them. `UPDATE_EXPECT=1` rewrites what is expected; read the difference.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use grille_config::{Config, Pin, SecretRef, check_files, parse, render, schema};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn expect(file: &Path, found: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(file, found).unwrap();
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    assert!(expected == found, "{} differs; UPDATE_EXPECT=1 rewrites it. Found:\n{found}", file.display());
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(golden(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn good(name: &str) -> Config {
    let text = fs::read_to_string(golden("good").join(name)).unwrap();
    let path = Path::new("/etc/grille/grille.toml");
    parse(&text, path).unwrap_or_else(|problems| panic!("{}", render(path, &problems)))
}

#[test]
fn every_bad_configuration_gets_all_its_problems() {
    for file in cases("bad") {
        let text = fs::read_to_string(&file).unwrap();
        let problems = parse(&text, Path::new("grille.toml")).map(|_| ()).unwrap_err();
        assert!(!problems.is_empty());
        let rendered = render(Path::new("grille.toml"), &problems);
        assert!(!rendered.contains("hunter2"), "a secret must not be repeated:\n{rendered}");
        expect(&file.with_extension("txt"), &rendered);
    }
}

#[test]
fn every_good_configuration_means_what_it_says() {
    for file in cases("good") {
        let config = Config { locations: Default::default(), ..good(file.file_name().unwrap().to_str().unwrap()) };
        expect(&file.with_extension("txt"), &format!("{config:#?}\n"));
    }
}

#[test]
fn the_committed_schema_is_the_one_we_have() {
    expect(&golden("schema.json"), &format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap()));
}

#[test]
fn defaults_protect() {
    let config = good("least.toml");
    assert_eq!(config.masking.key.source, SecretRef::File("/etc/grille/var/mask.key".into()));
    assert!(config.masking.key.is_default && config.roles.is_empty() && config.policies.is_empty());
    let everything = good("everything.toml");
    assert_eq!(everything.policies.iter().filter(|policy| policy.pin == Pin::Follow).count(), 1);
}

#[test]
fn what_moves_in_the_text_means_the_same() {
    let text = fs::read_to_string(golden("good/everything.toml")).unwrap();
    let moved = format!("# a comment\n\n{text}");
    let path = Path::new("grille.toml");
    assert_eq!(parse(&text, path).unwrap(), parse(&moved, path).unwrap());
    let other = text.replace("\"safe-harbor\"", "\"limited\"");
    assert_ne!(parse(&text, path).unwrap(), parse(&other, path).unwrap());
}

#[test]
fn missing_files_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cert.pem", "key.pem", "root.pem", "dba.passwort"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let text = fs::read_to_string(golden("good/everything.toml")).unwrap();
    let config = parse(&text, &folder.path().join("grille.toml")).unwrap();
    let found: Vec<_> = check_files(&config)
        .into_iter()
        .map(|problem| (problem.line, problem.key, problem.hint.unwrap_or_default()))
        .collect();
    let expected = [
        (27, "targets.clinic.logins.dba.password.file", "did you mean `dba.passwort`?"),
        (48, "policies.phi.plugin", ""),
        (60, "policies.guard.plugin", ""),
        (92, "ledger.archive.secret_key.file", ""),
    ];
    assert_eq!(found, expected.map(|(line, key, hint)| (line, key.to_owned(), hint.to_owned())));
    fs::create_dir_all(folder.path().join("var/ledger")).unwrap();
    let lost: Vec<_> = check_files(&config).into_iter().skip(3).map(|problem| problem.key).collect();
    assert_eq!(
        lost,
        ["masking.key", "ledger.signing_key", "ledger.archive.secret_key.file"],
        "a key that is missing beside a ledger is lost"
    );
}
