use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use grille_admin::view::SignedCheckpoint;
use grille_ledger::VerifierKey;
use serde::Serialize;

use super::log::{Log, Trust};
use super::verify::read_policy;
use super::{answer_in, base64, cosign};
use crate::client::{Client, NoAnswer, Reach};
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
    /// Have this witness sign it too; the note with all signatures is kept beside the log, for bundles
    #[arg(long, value_name = "URL", requires = "witness_key", conflicts_with = "fresh")]
    cosign: Option<String>,
    /// The witness's verifier key, a file
    #[arg(long, value_name = "FILE", requires = "cosign")]
    witness_key: Option<PathBuf>,
    /// Have every witness sign it that this file names with its address (C2SP tlog-policy); the file is kept, too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fresh", "cosign"])]
    witnesses: Option<PathBuf>,
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
    /// Witnesses that did not sign, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

pub(super) fn run(args: &Show) -> anyhow::Result<Outcome> {
    if args.fresh {
        return answer(async {
            let client = Client::new(&args.reach)?;
            let signed: SignedCheckpoint = client.post(&["v1", "ledger", "checkpoint"], &()).await?;
            let (origin, size, note) = (&*signed.origin, signed.size, &*signed.note);
            let shown = Shown {
                origin,
                size,
                root: signed.root.clone(),
                note,
                key: None,
                cosigned_at: None,
                missing: Vec::new(),
            };
            Ok(answer_in(args.format, &shown, || describe(&shown))?)
        });
    }
    let Some(log) = Log::find(args.path.as_deref(), args.key.as_deref(), args.reach.config_path())? else {
        return Ok(Outcome::Usage);
    };
    let (checkpoint, note) = log.checkpoint(None)?;
    let (size, root) = (checkpoint.size, base64(&checkpoint.root));
    let (key, cosigned_at, missing) = (Some(log.trust), None, Vec::new());
    let shown = Shown { origin: &checkpoint.origin, size, root, note: &note, key, cosigned_at, missing };
    if args.cosign.is_none() && args.witnesses.is_none() {
        answer_in(args.format, &shown, || describe(&shown))?;
        return Ok(Outcome::Done);
    }
    answer(async {
        let Signed { note, at_s, missing } = cosigned(args, &log, &note).await?;
        let is_short = missing.len();
        let shown = Shown { note: &note, cosigned_at: Some(time(at_s.saturating_mul(1000))), missing, ..shown };
        answer_in(args.format, &shown, || describe(&shown))?;
        if is_short > 0 { Err(NoAnswer::No(format!("{is_short} of the witnesses did not sign"))) } else { Ok(()) }
    })
}

/// A note with the signatures of witnesses.
struct Signed {
    note: String,
    /// The last of them, in Unix seconds.
    at_s: u64,
    missing: Vec<String>,
}

/// Asks the witnesses, and keeps what they signed beside the log.
async fn cosigned(args: &Show, log: &Log, note: &str) -> Result<Signed, NoAnswer> {
    let kept = log.path.join("witnessed");
    let mut signed = Signed { note: cosign::go_on(&kept, note)?, at_s: 0, missing: Vec::new() };
    if let (Some(url), Some(key)) = (&args.cosign, &args.witness_key) {
        let key = VerifierKey::from_file(key).with_context(|| format!("read the key in {}", key.display()))?;
        signed.take(cosign::ask(&log.path, note, url, &key).await?);
    }
    if let Some(file) = &args.witnesses {
        let policy = read_policy(file)?;
        for (key, url) in policy.witnesses() {
            match cosign::ask(&log.path, note, url, key).await {
                Ok(line) => signed.take(line),
                Err(error) => signed.missing.push(format!("{}: {error}", key.origin())),
            }
        }
        let beside = log.path.join("policy.txt");
        fs::write(&beside, policy.text()).with_context(|| format!("write {}", beside.display()))?;
    }
    if signed.at_s > 0 {
        cosign::keep(&kept, &signed.note).with_context(|| format!("write {}", kept.display()))?;
    }
    Ok(signed)
}

impl Signed {
    fn take(&mut self, (line, at_s): (String, u64)) {
        if !self.note.contains(&line) {
            self.note.push_str(&line);
        }
        self.at_s = self.at_s.max(at_s);
    }
}

/// The facts, and the note as it is handed on.
fn describe(shown: &Shown<'_>) -> String {
    let lines = [
        ("log", shown.origin.to_owned()),
        ("records", shown.size.to_string()),
        ("root", shown.root.clone()),
        ("cosigned", shown.cosigned_at.clone().unwrap_or_default()),
        ("missing", shown.missing.join("\n")),
        ("key", shown.key.map(|key| key.describe().to_owned()).unwrap_or_default()),
    ];
    harmless(&format!("{}\n{}", facts(&lines), shown.note))
}
