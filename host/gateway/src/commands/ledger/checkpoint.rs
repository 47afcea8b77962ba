use std::path::PathBuf;

use grille_admin::view::SignedCheckpoint;
use serde::Serialize;

use super::log::{Log, Trust};
use super::{answer_in, base64};
use crate::client::{Client, Reach};
use crate::commands::table::{facts, harmless};
use crate::commands::{Format, Outcome, answer};

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The ledger's directory; by default the one of the configuration
    #[arg(conflicts_with = "fresh")]
    path: Option<PathBuf>,
    /// The verifier key to trust, a file; by default the configuration's signing key
    #[arg(long, value_name = "FILE", conflicts_with = "fresh")]
    key: Option<PathBuf>,
    /// Have the gateway sign one now, over everything that is written
    #[arg(long)]
    fresh: bool,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Serialize)]
struct Shown<'a> {
    origin: &'a str,
    size: u64,
    root: String,
    note: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Trust>,
}

pub(super) fn run(args: &Show) -> anyhow::Result<Outcome> {
    if args.fresh {
        return answer(async {
            let client = Client::new(&args.reach)?;
            let signed: SignedCheckpoint = client.post(&["v1", "ledger", "checkpoint"], &()).await?;
            let (origin, size, note) = (&*signed.origin, signed.size, &*signed.note);
            let shown = Shown { origin, size, root: signed.root.clone(), note, key: None };
            Ok(answer_in(args.format, &shown, || describe(&shown))?)
        });
    }
    let Some(log) = Log::find(args.path.as_deref(), args.key.as_deref(), args.reach.config_path())? else {
        return Ok(Outcome::Usage);
    };
    let (checkpoint, note) = log.checkpoint(None)?;
    let (size, root) = (checkpoint.size, base64(&checkpoint.root));
    let shown = Shown { origin: &checkpoint.origin, size, root, note: &note, key: Some(log.trust) };
    answer_in(args.format, &shown, || describe(&shown))?;
    Ok(Outcome::Done)
}

/// The facts, and the note as it is handed on.
fn describe(shown: &Shown<'_>) -> String {
    let lines = [
        ("log", shown.origin.to_owned()),
        ("records", shown.size.to_string()),
        ("root", shown.root.clone()),
        ("key", shown.key.map(|key| key.describe().to_owned()).unwrap_or_default()),
    ];
    harmless(&format!("{}\n{}", facts(&lines), shown.note))
}
