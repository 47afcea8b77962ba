//! `cargo xtask test`: what CI runs, in the order that fails fastest.
//!
//! Everything is built once, in the dev profile: clippy's and the build's outputs share the C parts, and the dev build
//! costs half of a release build (the parsers and Cranelift are optimised in it anyway). `--workspace --all-targets`
//! everywhere keeps cargo's features the same from step to step, so that nothing is built twice.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, iter};

use anyhow::{Context, Result, ensure};

use crate::shell::{cargo, on_path, read, run as run_command, say, target_dir};
use crate::{components, fuzz, npm, python, system, tidy};

/// Workspaces of their own: guests and their SDK.
const GUEST_WORKSPACES: [&str; 3] = ["plugins", "sdk/rust", "examples/hello/rust"];
/// Time for each fuzz target: enough to repeat what is known and to notice a parser that broke. Long runs are a person's
/// or a night's choice.
const FUZZ_SECONDS: u64 = 60;
/// What runs once more in front of another major version of PostgreSQL. What strangers send never reaches a server;
/// psql and pg_dump of another version refuse that one.
const PATH_WITH_SECOND: &str = "package(grille-integration) and not test(hostile::)";
const DRIVERS_WITH_SECOND: &str =
    "package(grille-e2e) and test(/drivers::.*(postgres|psycopg|asyncpg|node_pg|pgjdbc)/)";

pub(crate) fn run(root: &Path, quick: bool, yes: bool) -> Result<ExitCode> {
    system::prepare(if quick { &system::QUICK } else { &system::TEST }, yes)?;
    say("format");
    run_command(cargo(root).args(["fmt", "--all", "--check"]))?;
    say("rules of the house");
    if tidy::run(root)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    if quick {
        return quickly(root);
    }

    say("lints");
    run_command(cargo(root).args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    guests(root)?;
    say("policies");
    components::build(root)?;
    say("build");
    run_command(cargo(root).args(["build", "--locked", "--workspace", "--all-targets"]))?;

    let (python, modules, second) = (python::prepare(root)?, npm::drivers(root)?, npm::server(root)?);
    let grille = target_dir(root)?.join("debug").join("grille");
    say("unit and integration tests");
    tests(root, "not package(grille-e2e)", &["--exclude", "grille-e2e"], |command| {
        command.env("GRILLE_PYTHON", &python);
    })?;
    let peers = |command: &mut Command| {
        command.env("GRILLE_BIN", &grille).env("GRILLE_PYTHON", &python);
        command.env("GRILLE_NODE_MODULES", &modules).env("GRILLE_JDBC", system::JDBC_DRIVER);
    };
    say("end to end");
    tests(root, "package(grille-e2e)", &["--package", "grille-e2e"], peers)?;

    say("integration tests and drivers with the second server");
    let path = on_path_first(&second)?;
    let with_second = |command: &mut Command| {
        peers(command);
        command.env("PATH", &path).env("GRILLE_POSTGRES_MAJOR", "18");
    };
    let skip_strangers = ["--package", "grille-integration", "--test", "it", "--", "--skip", "hostile::"];
    tests(root, PATH_WITH_SECOND, &skip_strangers, with_second)?;
    let drivers = ["postgres", "psycopg", "asyncpg", "node_pg", "pgjdbc"];
    let drivers = [&["--package", "grille-e2e", "--test", "it", "--"][..], &drivers].concat();
    tests(root, DRIVERS_WITH_SECOND, &drivers, with_second)?;
    fuzz::run(root, FUZZ_SECONDS)?;
    deny(root)?;
    say("all of it holds");
    Ok(ExitCode::SUCCESS)
}

/// The golden test compares the committed schema with the types; asked to, it writes it.
pub(crate) fn schema(root: &Path) -> Result<ExitCode> {
    run_command(
        cargo(root).args(["test", "--locked", "--quiet", "--package", "grille-config"]).env("UPDATE_EXPECT", "1"),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The rooms that link neither wasmtime nor anything slow: cargo's default members.
fn quickly(root: &Path) -> Result<ExitCode> {
    run_command(cargo(root).args(["clippy", "--locked", "--all-targets", "--", "-D", "warnings"]))?;
    match has_nextest(root) {
        true => run_command(cargo(root).args(["nextest", "run", "--locked"]))?,
        false => run_command(cargo(root).args(["test", "--locked"]))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// nextest where it is installed, for its timeouts and its report; else cargo's own runner.
fn tests(root: &Path, filter: &str, packages: &[&str], more: impl Fn(&mut Command)) -> Result<()> {
    let mut command = cargo(root);
    if has_nextest(root) {
        let profile = if filter.starts_with("package(grille-e2e)") { "e2e" } else { "default" };
        command.args(["nextest", "run", "--locked", "--workspace", "--profile", profile, "-E", filter]);
    } else {
        command.args(["test", "--locked"]);
        if packages.contains(&"--exclude") {
            command.arg("--workspace");
        }
        command.args(packages);
    }
    more(&mut command);
    run_command(&mut command)
}

/// Clusters are made with the server programs that PATH names first.
fn on_path_first(dir: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = iter::once(dir.to_owned()).chain(env::split_paths(&path));
    env::join_paths(dirs).with_context(|| format!("{} cannot stand in PATH", dir.display()))
}

fn has_nextest(root: &Path) -> bool {
    read(cargo(root).args(["nextest", "--version"])).is_ok()
}

/// The guests' logic has unit tests that run natively.
fn guests(root: &Path) -> Result<()> {
    for workspace in GUEST_WORKSPACES {
        let manifest = root.join(workspace).join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        say(&format!("{workspace}: format, lints, tests"));
        let cargo_there = |words: &[&str]| {
            let mut command = cargo(root);
            command.args(words.first()).arg("--manifest-path").arg(&manifest).args(words.iter().skip(1));
            command
        };
        run_command(&mut cargo_there(&["fmt", "--all", "--check"]))?;
        run_command(&mut cargo_there(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        run_command(&mut cargo_there(&["test", "--locked", "--workspace"]))?;
    }
    Ok(())
}

/// Licences, advisories, banned crates. The tool is large, so it is used where somebody installed it.
fn deny(root: &Path) -> Result<()> {
    if on_path("cargo-deny").is_none() {
        say("licences and advisories: skipped, cargo-deny is not installed (`cargo install cargo-deny --locked`)");
        return Ok(());
    }
    ensure!(root.join("deny.toml").is_file(), "deny.toml is missing");
    say("licences and advisories");
    run_command(cargo(root).args(["deny", "--all-features", "check"])).context("cargo-deny")
}
