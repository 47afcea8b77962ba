use std::path::PathBuf;

use grille_admin::view::SignedCheckpoint;
use serde::Serialize;

use super::log::{Log, Trust};
use super::{answer_in, base64, cosign};
use crate::client::{Client, Reach};
use crate::commands::table::{facts, harmless, time};
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
    /// Have this witness sign it too, and show the note with both signatures
    #[arg(long, value_name = "URL", requires = "witness_key", conflicts_with = "fresh")]
    cosign: Option<String>,
    /// The witness's verifier key, a file
    #[arg(long, value_name = "FILE", requires = "cosign")]
    witness_key: Option<PathBuf>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigned_at: Option<String>,
}

pub(super) fn run(args: &Show) -> anyhow::Result<Outcome> {
    if args.fresh {
        return answer(async {
            let client = Client::new(&args.reach)?;
            let signed: SignedCheckpoint = client.post(&["v1", "ledger", "checkpoint"], &()).await?;
            let (origin, size, note) = (&*signed.origin, signed.size, &*signed.note);
            let shown = Shown { origin, size, root: signed.root.clone(), note, key: None, cosigned_at: None };
            Ok(answer_in(args.format, &shown, || describe(&shown))?)
        });
    }
    let Some(log) = Log::find(args.path.as_deref(), args.key.as_deref(), args.reach.config_path())? else {
        return Ok(Outcome::Usage);
    };
    let (checkpoint, note) = log.checkpoint(None)?;
    let (size, root) = (checkpoint.size, base64(&checkpoint.root));
    let shown = Shown { origin: &checkpoint.origin, size, root, note: &note, key: Some(log.trust), cosigned_at: None };
    let (Some(url), Some(key)) = (&args.cosign, &args.witness_key) else {
        answer_in(args.format, &shown, || describe(&shown))?;
        return Ok(Outcome::Done);
    };
    answer(async {
        let (line, at_s) = cosign::ask(&log.path, &note, url, key).await?;
        let cosigned = format!("{note}{line}");
        let shown = Shown { note: &cosigned, cosigned_at: Some(time(at_s.saturating_mul(1000))), ..shown };
        Ok(answer_in(args.format, &shown, || describe(&shown))?)
    })
}

/// The facts, and the note as it is handed on.
fn describe(shown: &Shown<'_>) -> String {
    let lines = [
        ("log", shown.origin.to_owned()),
        ("records", shown.size.to_string()),
        ("root", shown.root.clone()),
        ("cosigned", shown.cosigned_at.clone().unwrap_or_default()),
        ("key", shown.key.map(|key| key.describe().to_owned()).unwrap_or_default()),
    ];
    harmless(&format!("{}\n{}", facts(&lines), shown.note))
}
