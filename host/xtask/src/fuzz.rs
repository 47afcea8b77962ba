//! `cargo xtask fuzz`: every target of `tests/fuzz` in turn, on the pinned stable toolchain.
//!
//! The flags are those of `cargo fuzz --sanitizer none`: they need neither nightly nor cargo-fuzz. Safe Rust gains
//! little from a sanitizer; what the targets look for are panics, overflows, endless loops, memory, and broken
//! properties.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{cargo, read, run as run_command, say, target_dir};

/// Coverage counters in every block of our code and of the libraries under it.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1";

/// One input must not take longer: a gateway that thinks for seconds about one packet is down.
const INPUT_SECONDS: u64 = 10;
/// Resident memory of a target, libFuzzer's corpus included.
const MEMORY_MIB: u64 = 1024;
/// Long enough for several messages in a row, short enough to try many.
const INPUT_BYTES: u64 = 8192;

/// Runs each target for `seconds`; with 0 it only repeats the seeds and what earlier runs learned.
pub(crate) fn run(root: &Path, seconds: u64) -> Result<()> {
    let workspace = root.join("tests/fuzz");
    let names = targets(&workspace)?;
    let build = target_dir(root)?.join("fuzz");
    let host = read(Command::new("rustc").current_dir(root).args(["--print", "host-tuple"]))?;
    let host = host.trim();

    say(&format!("fuzz: build {}", names.join(", ")));
    // A target triple of its own keeps the flags away from build scripts and procedural macros.
    let manifest = workspace.join("Cargo.toml");
    // Not `--locked`: the rooms' dependencies are pinned by the root's lock, and this one follows them by itself.
    let mut command = cargo(root);
    command.args(["build", "--release", "--bins", "--target", host]);
    command.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&build);
    command.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    run_command(&mut command)?;

    let mut crashed = Vec::new();
    for name in &names {
        let binary = build.join(host).join("release").join(name);
        if !one(&binary, name, &build, &workspace, seconds)? {
            crashed.push(name.as_str());
        }
    }
    ensure!(crashed.is_empty(), "fuzzing found a failure in {}", crashed.join(", "));
    Ok(())
}

/// Every file in `targets/` is a target.
fn targets(workspace: &Path) -> Result<Vec<String>> {
    let dir = workspace.join("targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} holds no fuzz target", dir.display());
    Ok(names)
}

/// Where nothing was learned yet, what earlier runs elsewhere have learned is where it starts.
fn begin_with_kept(learned: &Path, kept: &Path) -> Result<()> {
    let mut known = fs::read_dir(learned).with_context(|| format!("list {}", learned.display()))?;
    if known.next().is_none() && kept.is_file() {
        run_command(Command::new("tar").arg("-xzf").arg(kept).arg("-C").arg(learned))?;
    }
    Ok(())
}

/// Runs one target; false is a finding, whose input and repetition have been printed.
fn one(binary: &Path, name: &str, build: &Path, workspace: &Path, seconds: u64) -> Result<bool> {
    let (seeds, kept) =
        (&workspace.join("corpus").join(name), &workspace.join("learned").join(format!("{name}.tar.gz")));
    let learned = build.join("corpus").join(name);
    let artifacts = build.join("artifacts").join(name);
    for dir in [&learned, &artifacts] {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    begin_with_kept(&learned, kept)?;
    ensure!(seeds.is_dir(), "{} is missing: a target without seeds learns too slowly", seeds.display());

    let mut command = Command::new(binary);
    command.arg(if seconds == 0 { "-runs=0".to_owned() } else { format!("-max_total_time={seconds}") });
    command.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    command.arg(format!("-max_len={INPUT_BYTES}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&learned).arg(seeds);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {}", binary.display()))?;
    let report = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        say(&format!("fuzz: {name}: {}", summary(&report)?));
        return Ok(true);
    }
    for line in report.lines().filter(|line| !line.starts_with('#')) {
        eprintln!("{line}");
    }
    let crash = report.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
    match crash {
        Some(path) => eprintln!("fuzz: {name} failed; repeat it with: {} {path}", binary.display()),
        None => eprintln!("fuzz: {name} failed ({})", output.status),
    }
    Ok(false)
}

/// How much was tried. A run that tried nothing is an error, not a success.
fn summary(report: &str) -> Result<String> {
    let runs = number_after(report, "stat::number_of_executed_units:");
    let memory = number_after(report, "stat::peak_rss_mb:");
    let coverage = report.lines().rev().find_map(|line| line.split_once("cov: ")).map(|(_, rest)| rest);
    let blocks = coverage.and_then(|rest| rest.split(' ').next()).and_then(|word| word.parse::<u64>().ok());
    match (runs, blocks) {
        (Some(runs), Some(blocks)) if runs > 0 && blocks > 0 => {
            Ok(format!("{runs} inputs, {blocks} places reached, {} MiB", memory.unwrap_or_default()))
        }
        _ => bail!("the fuzz target reports no coverage: it was not built with {RUSTFLAGS:?}"),
    }
}

fn number_after(report: &str, label: &str) -> Option<u64> {
    report.lines().find_map(|line| line.strip_prefix(label))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn a_run_without_coverage_is_no_success() {
        let tried =
            "#7\tINITED cov: 153 ft: 193\nstat::number_of_executed_units: 7\nstat::peak_rss_mb:              27";
        assert_eq!(summary(tried).expect("a report"), "7 inputs, 153 places reached, 27 MiB");
        for nothing in
            ["", "stat::number_of_executed_units: 0", "#2\tDONE cov: 5\n", "stat::number_of_executed_units: 9"]
        {
            assert!(summary(nothing).is_err(), "{nothing}");
        }
    }
}
