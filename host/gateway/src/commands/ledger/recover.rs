use std::path::PathBuf;

use anyhow::Context as _;
use grille_gateway::{Custody, read_config};
use grille_ledger::RecoverError;
use serde::Serialize;

use super::answer_in;
use crate::commands::table::{facts, harmless};
use crate::commands::{ConfigArg, Format, Outcome, complain};

/// While no gateway runs. The old log stays under epochs/ in the ledger's directory, and `grille ledger verify` still
/// judges it there; the new one has another name and another verifier key, and begins by saying what it follows and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// Keep the old log aside and begin a new one
    #[arg(long, required = true)]
    new_epoch: bool,
    /// Why, in your words; it is the new log's first record
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Serialize)]
struct Recovered {
    old: String,
    new: String,
    kept: PathBuf,
    why: Option<String>,
}

pub(super) fn run(args: &Recover) -> anyhow::Result<Outcome> {
    let config = read_config(&args.config.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let recovery = match runtime.block_on(Custody::recover(&config, &args.reason)) {
        Ok(recovery) => recovery,
        Err(error) => {
            let is_no = error.downcast_ref::<RecoverError>();
            if matches!(is_no, Some(RecoverError::Sound { .. } | RecoverError::NoReason)) {
                complain(&error.to_string());
                return Ok(Outcome::No);
            }
            return Err(error);
        }
    };
    let told = Recovered { old: recovery.old, new: recovery.new, kept: recovery.kept, why: recovery.why };
    answer_in(args.format, &told, || {
        let lines = [
            ("old log", format!("{}, kept in {}", told.old, told.kept.display())),
            ("why", told.why.clone().unwrap_or_default()),
            ("new log", told.new.clone()),
            ("key", format!("{}: hand it to those who verify", config.ledger.path.join("log.vkey").display())),
        ];
        harmless(&format!("A new log begins; it says what it follows.\n{}", facts(&lines)))
    })?;
    Ok(Outcome::Done)
}
