//! The commands, one file each. A command says what it found on standard output and returns an [`Outcome`]; an error
//! means that it could not answer.

mod check;
mod schema;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A gate one can see through in part: a security gateway in the path of your data.
#[derive(Debug, Parser)]
#[command(name = "grille", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name every problem of a configuration: key, line, hint
    Check(check::Args),
    /// Print the JSON Schema of grille.toml
    Schema,
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self.command {
            Command::Check(args) => check::run(&args),
            Command::Schema => schema::run(),
        }
    }
}

/// What a command answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: the answer is "no".
    No,
}

/// For people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Which configuration a command means.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArg {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "grille.toml", env = "GRILLE_CONFIG")]
    pub(crate) config: PathBuf,
}

#[allow(clippy::print_stdout, reason = "the answer of a command goes to standard output")]
pub(crate) fn say(text: &str) {
    print!("{text}");
}

#[allow(clippy::print_stderr, reason = "why a command could not answer goes to standard error")]
pub(crate) fn complain(text: &str) {
    eprintln!("grille: {text}");
}
