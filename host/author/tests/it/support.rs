use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_author::SqlAnalyst;
use grille_plugin::{CaseFile, CaseResult, EngineConfig, PluginHost, cases_path};

/// A host as the commands have it.
pub(crate) fn host() -> PluginHost {
    let analyst = Arc::new(SqlAnalyst::default());
    let config = EngineConfig { instances: 32, analyst: Some(analyst), ..EngineConfig::default() };
    PluginHost::new(config).expect("an engine")
}

/// Runs the cases beside a component.
pub(crate) async fn play(plugin: &Path) -> Vec<CaseResult> {
    let file = CaseFile::read(&cases_path(plugin)).expect("cases");
    let staged = host().stage(plugin).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut results = Vec::new();
    for case in &file.cases {
        results.push(staged.play(&file, case).await);
    }
    results
}

/// The names of the cases that do not hold.
pub(crate) fn failed(results: &[CaseResult]) -> Vec<&str> {
    results.iter().filter(|result| !result.holds()).map(|result| result.name.as_str()).collect()
}

/// A cargo that downloads nothing: what a plugin needs was fetched when the components were built.
pub(crate) fn cargo(dir: &Path) -> OsString {
    let path = dir.join("cargo-offline");
    // What it builds is kept, so that only the first run is slow.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let script = format!("#!/bin/sh\nCARGO_NET_OFFLINE=true CARGO_TARGET_DIR={} exec cargo \"$@\"\n", target.display());
    fs::write(&path, script).expect("write a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it run");
    path.into_os_string()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn component(name: &str) -> PathBuf {
    let built = repository().join("target/components").join(format!("{name}.wasm"));
    assert!(built.is_file(), "{} is missing: run `cargo xtask components` first", built.display());
    built
}

/// One line of an error, whatever it is.
pub(crate) fn one_line(error: impl std::fmt::Display) -> String {
    let said = error.to_string();
    assert!(!said.is_empty() && !said.contains('\n'), "not one line: {said}");
    said
}
