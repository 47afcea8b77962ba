mod archived;
mod checkpoint;
mod cosign;
mod export;
mod hold;
mod log;
mod prove;
mod recover;
mod shred;
mod status;
mod verify;

use anyhow::Context as _;
use grille_ledger::NoteError;
use serde::Serialize;

use super::{Format, Outcome, complain, say};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Derive a whole log again, or check a bundle, and name the first bad record
    Verify(verify::Verify),
    /// Prove that a record is in the log, or that the log only grew
    Prove(prove::Prove),
    /// Show the signed checkpoint, or have a fresh one signed
    Checkpoint(checkpoint::Show),
    /// Write a bundle that others verify without Grille: records, proofs, a report
    Export(export::Export),
    /// How far signatures, witnesses and the archive are behind what the gateway writes
    Status(status::Show),
    /// Legal holds: what nobody may shred
    #[command(subcommand)]
    Hold(hold::Action),
    /// Destroy what one session's records hold, for good
    Shred(shred::Shred),
    /// Begin a new log where the old one contradicts what was signed
    Recover(recover::Recover),
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    match action {
        Action::Verify(args) => verify::run(args),
        Action::Prove(args) => prove::run(args).or_else(unproven),
        Action::Checkpoint(args) => checkpoint::run(args).or_else(unproven),
        Action::Export(args) => export::run(args),
        Action::Status(args) => status::run(args),
        Action::Hold(action) => hold::run(action),
        Action::Shred(args) => shred::run(args),
        Action::Recover(args) => recover::run(args),
    }
}

/// A checkpoint that is not the key's is an answer, not a failure to answer.
fn unproven(error: anyhow::Error) -> anyhow::Result<Outcome> {
    if error.downcast_ref::<NoteError>().is_none() {
        return Err(error);
    }
    complain(&format!("{error:#}"));
    Ok(Outcome::No)
}

fn answer_in(format: Format, json: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match format {
        Format::Json => say(&format!("{}\n", serde_json::to_string_pretty(json).context("write JSON")?)),
        Format::Text => say(&text()),
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A point in time, to the microsecond.
fn time(unix_us: u64) -> String {
    let time = i64::try_from(unix_us).ok().and_then(|time| jiff::Timestamp::from_microsecond(time).ok());
    time.map_or_else(|| unix_us.to_string(), |time| time.to_string())
}
