//! The tools of people who write policies. What they do is the business of `grille-author` and `grille-plugin`; here
//! it is asked for and shown.

mod bench;
mod build;
mod decision;
mod inspect;
mod new;
mod play;
mod test;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use grille_author::{Error, SqlAnalyst};
use grille_plugin::{EngineConfig, LoadProblem, PluginHost, Staged};

use super::{Format, Outcome, complain};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Write a plugin that compiles, with test cases that hold
    New(new::Args),
    /// Make the component of a plugin, in any language, or wrap a core module
    Build(build::Args),
    /// Run the test cases beside a plugin
    Test(test::Args),
    /// Ask a plugin about one statement, one of its cases or a recorded decision, and see all that it does
    Run(Box<play::Args>),
    /// Time a plugin's calls, and what an instance costs
    Bench(bench::Args),
    /// Show what a plugin is, can reach and wants, without running it
    Inspect(inspect::Args),
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    let done = match action {
        Action::New(args) => new::run(args),
        Action::Build(args) => build::run(args),
        Action::Test(args) => test::run(args),
        Action::Run(args) => play::run(args),
        Action::Bench(args) => bench::run(args),
        Action::Inspect(args) => inspect::run(args),
    };
    match done {
        Ok(outcome) => Ok(outcome),
        Err(Wrong::No(line)) => {
            complain(&line);
            Ok(Outcome::No)
        }
        Err(Wrong::Failed(error)) => Err(error),
    }
}

/// Why a command ends early.
enum Wrong {
    /// The answer is "no", in one line.
    No(String),
    /// There is no answer.
    Failed(anyhow::Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        if let Error::Tool { output, .. } = &error {
            // What the tool said, as it said it, above our own line.
            for line in output.lines().filter(|line| !line.trim().is_empty()) {
                complain_plain(line);
            }
        }
        if error.is_answer() { Self::No(error.to_string()) } else { Self::Failed(error.into()) }
    }
}

impl From<anyhow::Error> for Wrong {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

#[allow(clippy::print_stderr, reason = "a tool's own words belong beside ours")]
fn complain_plain(line: &str) {
    eprintln!("{line}");
}

/// Answers in the format that was asked for.
fn show(format: Format, answer: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<(), Wrong> {
    match format {
        Format::Json => {
            super::say(&format!("{}\n", serde_json::to_string_pretty(answer).context("write JSON")?));
        }
        Format::Text => super::say(&text()),
    }
    Ok(())
}

/// A host of few instances that leaves nothing behind.
fn host() -> Result<PluginHost, Wrong> {
    let analyst = Arc::new(SqlAnalyst::default());
    let config = EngineConfig { instances: 32, analyst: Some(analyst), ..EngineConfig::default() };
    Ok(PluginHost::new(config).context("start the engine")?)
}

/// A plugin that loads, or the one line why it does not.
fn stage(host: &PluginHost, file: &Path) -> Result<Staged, Wrong> {
    let first = |problems: Vec<LoadProblem>| problems.into_iter().next().map(|problem| problem.message);
    host.stage(file).map_err(|problems| Wrong::No(first(problems).unwrap_or_else(|| "it does not load".to_owned())))
}

fn wait<T>(work: impl Future<Output = T>) -> Result<T, Wrong> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    Ok(runtime.block_on(work))
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Nanoseconds for people.
fn micros(ns: u64) -> String {
    format!("{:.1} µs", ns as f64 / 1000.0)
}
