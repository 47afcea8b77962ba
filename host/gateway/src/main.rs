//! The binary `grille`: reads the command line, hands over to a command, turns its answer into an exit code.
#![forbid(unsafe_code)]

mod client;
mod commands;

use std::process::ExitCode;

use clap::Parser;

use commands::{Cli, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Usage) => ExitCode::from(2),
        Err(error) => {
            commands::complain(&format!("{error:#}"));
            ExitCode::from(3)
        }
    }
}
