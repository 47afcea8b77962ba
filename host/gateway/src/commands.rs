//! The commands, one file each. A command says what it found on standard output and returns an [`Outcome`]; an error
//! means that it could not answer.

mod check;
mod demo;
mod ledger;
mod plugin;
mod policy;
mod review;
mod schema;
mod serve;
mod session;
mod table;
mod wanted;
mod witness;

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use crate::client::NoAnswer;

/// A gate one can see through in part: a security gateway in the path of your data.
#[derive(Debug, Parser)]
#[command(name = "grille", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway; SIGHUP reloads, SIGTERM drains
    Serve(serve::Args),
    /// Name every problem of a configuration: key, line, hint
    Check(check::Args),
    /// Print the JSON Schema of grille.toml
    Schema,
    /// Write, build, test and measure plugins
    #[command(subcommand)]
    Plugin(plugin::Action),
    /// See the policies in force, and why a decision came out as it did
    #[command(subcommand)]
    Policy(policy::Action),
    /// See and replay what callers did, end live sessions
    #[command(subcommand)]
    Session(session::Action),
    /// Decide what waits for people
    #[command(subcommand)]
    Review(review::Action),
    /// Prove what happened, to those who do not trust you either
    #[command(subcommand)]
    Ledger(ledger::Action),
    /// Watch logs, and sign that they only grew
    Witness(witness::Args),
    /// The clinic: database, issuer and policies to try Grille on
    Demo(demo::Args),
    /// Print a token of a demo account, for scripts
    Token(demo::token::Args),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self.command {
            Command::Serve(args) => serve::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Schema => schema::run(),
            Command::Plugin(action) => plugin::run(&action),
            Command::Policy(action) => policy::run(&action),
            Command::Session(action) => session::run(&action),
            Command::Review(action) => review::run(&action),
            Command::Ledger(action) => ledger::run(&action),
            Command::Witness(args) => witness::run(&args),
            Command::Demo(args) => demo::run(args),
            Command::Token(args) => demo::token::run(&args),
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
    /// Exit code 2: the command cannot mean this.
    Usage,
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

/// An answer on standard output. Whoever stops reading it, as `head` does, has what they wanted.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

#[allow(clippy::print_stderr, reason = "why a command could not answer goes to standard error")]
pub(crate) fn complain(text: &str) {
    eprintln!("grille: {text}");
}

/// One answer as JSON.
fn print_json(answer: &impl serde::Serialize) -> Result<(), NoAnswer> {
    say(&format!("{}\n", serde_json::to_string_pretty(answer).context("write JSON")?));
    Ok(())
}

/// Runs a conversation with the gateway and turns its end into an exit code.
fn answer(talk: impl Future<Output = Result<(), NoAnswer>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    match runtime.block_on(talk) {
        Ok(()) => Ok(Outcome::Done),
        Err(NoAnswer::Failed(error)) => Err(error),
        Err(no @ NoAnswer::No(_)) => {
            complain(&no.to_string());
            Ok(Outcome::No)
        }
        Err(usage @ NoAnswer::Usage(_)) => {
            complain(&usage.to_string());
            Ok(Outcome::Usage)
        }
    }
}

/// Says on a terminal, and only there, what is waited for.
fn waiting(what: &'static str) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let style = indicatif::ProgressStyle::with_template("{spinner} {msg}, {elapsed}").expect("the template is right");
    let bar = indicatif::ProgressBar::new_spinner().with_style(style).with_message(what);
    let bar = bar.with_finish(indicatif::ProgressFinish::AndClear);
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
