//! Imports go down storeys only, and only `plugin` knows wasmtime.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{cargo, read};

/// Each room and its storey. A room may import rooms of lower storeys.
const STOREYS: [(&str, u8); 21] = [
    ("grille-policy", 0),
    ("grille-pg-codec", 1),
    ("grille-sql", 1),
    ("grille-mask", 1),
    ("grille-config", 1),
    ("grille-archive", 1),
    ("grille-ledger", 2),
    ("grille-net", 2),
    ("grille-identity", 2),
    ("grille-plugin", 2),
    ("grille-review", 2),
    ("grille-postgres", 3),
    ("grille-http", 3),
    ("grille-admin", 3),
    ("grille-author", 3),
    ("grille-demo", 4),
    // The binary offers `grille demo`: it stands half a storey above what it starts.
    ("grille-gateway", 5),
    ("grille-xtask", 6),
    ("grille-e2e", 6),
    ("grille-test-support", 5),
    ("grille-integration", 6),
];

/// Heavy libraries and the only rooms that may name them.
const FENCED: [(&str, &[&str]); 4] = [
    ("wasmtime", &["grille-plugin"]),
    ("pg_raw_parse", &["grille-sql"]),
    ("openidconnect", &["grille-identity"]),
    ("object_store", &["grille-archive"]),
];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let text = read(cargo(root).args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&text).context("understand cargo metadata")?;
    Ok(problems(&metadata))
}

fn problems(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in array(metadata, "packages") {
        let name = text(package, "name");
        let Some(storey) = storey(name) else {
            found.push(format!("{name} has no storey: give it one in host/xtask/src/tidy/rooms.rs"));
            continue;
        };
        for dependency in array(package, "dependencies") {
            let on = text(dependency, "name");
            let in_tests = text(dependency, "kind") == "dev";
            if !in_tests && self::storey(on).is_some_and(|below| below >= storey) {
                found.push(format!("{name} imports {on}, which is not on a lower storey: move the shared part down"));
            }
            if let Some((_, owners)) = FENCED.iter().find(|(fenced, owners)| *fenced == on && !owners.contains(&name)) {
                found.push(format!("{name} depends on {on}, which only {} may know", owners.join(", ")));
            }
        }
    }
    found
}

fn storey(package: &str) -> Option<u8> {
    STOREYS.iter().find(|(name, _)| *name == package).map(|(_, storey)| *storey)
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::problems;

    #[test]
    fn upward_sideways_and_fenced_imports_are_named() {
        let package = |name: &str, on: &str, kind: Option<&str>| {
            problems(&json!({ "packages": [{ "name": name, "dependencies": [{ "name": on, "kind": kind }] }] }))
        };
        for (name, on, kind, count) in [
            ("grille-sql", "grille-policy", None, 0),
            ("grille-sql", "grille-mask", None, 1),
            ("grille-sql", "grille-postgres", None, 1),
            ("grille-sql", "grille-postgres", Some("dev"), 0),
            ("grille-sql", "wasmtime", None, 1),
            ("grille-sql", "wasmtime", Some("dev"), 1),
            ("grille-plugin", "wasmtime", None, 0),
            ("grille-gateway", "grille-demo", None, 0),
            ("grille-demo", "grille-gateway", None, 1),
            ("grille-attic", "serde", None, 1),
        ] {
            let found = package(name, on, kind);
            assert_eq!(found.len(), count, "{name} -> {on}: {found:?}");
        }
    }
}
