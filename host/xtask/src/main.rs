//! The project's own commands: `cargo xtask demo`, `cargo xtask test` and their parts.
//!
//! This room prepares (system packages, wasm targets, components) and calls cargo; of the product it links only how Rust
//! plugins are built, so that it builds in seconds on a machine that has nothing yet.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod bench;
mod components;
mod demo;
mod fuzz;
mod npm;
mod python;
mod shell;
mod suite;
mod system;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

/// Builds, shows and tests Grille.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prepare the machine, build, and start the clinic with the gateway in front of it
    Demo(DemoArgs),
    /// Everything CI checks: format, lints, rules of the house, unit to end-to-end tests, a short fuzz run
    Test(TestArgs),
    /// Build the policies and the guests of the tests to target/components
    Components,
    /// What policies cost, and point selects side by side: PostgreSQL, PgBouncer, Grille with policies and ledger
    Bench(BenchArgs),
    /// Every fuzz target in turn, on the stable toolchain
    Fuzz(FuzzArgs),
    /// Rewrite the committed JSON Schema of grille.toml from the types
    Schema,
    /// The rules of the house: storeys, who may know wasmtime, file length, words
    Tidy,
}

#[derive(Args)]
struct DemoArgs {
    /// Perform the tour by itself, print a transcript, exit 0 only if every step holds
    #[arg(long)]
    check: bool,
    /// Install what is missing with apt (through sudo when not root)
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
struct TestArgs {
    /// Unit and integration tests of the quick rooms only: no wasmtime, no end-to-end, no fuzz
    #[arg(long)]
    quick: bool,
    /// Install what is missing with apt (through sudo when not root)
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
struct BenchArgs {
    /// Only what policies cost: verdicts, instances, transforms, and from a saved file to a policy in force
    #[arg(long)]
    policies: bool,
    /// Length of one measurement
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Measurements of each way and load
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

#[derive(Args)]
struct FuzzArgs {
    /// Time for each target; 0 only repeats the seeds and what earlier runs learned
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => root().and_then(|root| demo::run(&root, args.check, args.yes)),
        Command::Test(args) => root().and_then(|root| suite::run(&root, args.quick, args.yes)),
        Command::Components => root().and_then(|root| {
            components::build(&root)?.iter().for_each(|path| println!("{}", path.display()));
            Ok(ExitCode::SUCCESS)
        }),
        Command::Bench(BenchArgs { policies, seconds, rounds }) => {
            let effort = (!policies).then_some(bench::Effort { seconds, rounds });
            root().and_then(|root| bench::run(&root, effort)).map(|()| ExitCode::SUCCESS)
        }
        Command::Fuzz(args) => root().and_then(|root| fuzz::run(&root, args.seconds)).map(|()| ExitCode::SUCCESS),
        Command::Schema => root().and_then(|root| suite::schema(&root)),
        Command::Tidy => root().and_then(|root| tidy::run(&root)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The repository: two above this package.
fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask lies at host/xtask")?;
    Ok(root.to_owned())
}
