use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grille_demo::tour::{Need, steps};
use grille_e2e::{Checked, NEW_KEY, check, components, unexpected};

/// The tour saves files that must be refused, and shows tokens that must be: the gateway says so.
const EXPECTED: [&str; 2] = ["reload refused", NEW_KEY];

fn names(names: &[String]) -> BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}

/// A directory of components that differs from the built one as `change` says.
fn changed(change: impl Fn(&Path)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let built = components().expect("components");
    fs::create_dir(dir.path().join("demo")).expect("makes a folder");
    for name in ["phi.wasm", "sql-guard.wasm", "demo/phi-next.wasm"] {
        fs::copy(built.join(name), dir.path().join(name)).expect("copies");
    }
    change(dir.path());
    dir
}

/// Exactly the steps that need what was taken away fail, and the exit code says so.
fn fails_without(need: Need, checked: &Checked) {
    let expected: BTreeSet<&str> =
        steps().iter().filter(|step| step.needs.contains(&need)).map(|step| step.id).collect();
    assert_eq!(names(&checked.failed), expected, "{}", checked.transcript);
    assert_eq!(checked.held.len() + checked.failed.len(), steps().len(), "{}", checked.transcript);
    assert_eq!(checked.code, Some(1), "{}", checked.transcript);
}

#[test]
fn every_step_holds() {
    let checked = check(&components().expect("components")).expect("runs");
    assert_eq!(checked.code, Some(0), "{}\n{}", checked.transcript, checked.log);
    assert_eq!(checked.held.len(), steps().len());
    let warnings = unexpected(&checked.log, &EXPECTED);
    assert!(warnings.is_empty(), "{}", warnings.join("\n"));
}

#[test]
fn without_phi_the_steps_that_mask_fail() {
    let dir = changed(|dir| fs::remove_file(dir.join("phi.wasm")).expect("removes"));
    fails_without(Need::Phi, &check(dir.path()).expect("runs"));
}

#[test]
fn without_sql_guard_the_steps_that_refuse_and_hold_fail() {
    let dir = changed(|dir| fs::remove_file(dir.join("sql-guard.wasm")).expect("removes"));
    fails_without(Need::Guard, &check(dir.path()).expect("runs"));
}

#[test]
fn with_a_guest_that_blocks_everything_the_steps_that_pass_fail() {
    let closed = components().expect("components").join("demo").join("closed.wasm");
    let dir = changed(|dir| {
        fs::copy(&closed, dir.join("sql-guard.wasm")).expect("copies");
    });
    fails_without(Need::Passage, &check(dir.path()).expect("runs"));
}
