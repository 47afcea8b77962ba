use std::path::{Path, PathBuf};

use anyhow::Context as _;
use grille_ledger::{Checkpoint, prove_consistency, prove_inclusion, published_leaf};
use serde::Serialize;
use serde_json::value::RawValue;

use super::log::{Log, Trust};
use super::{answer_in, base64};
use crate::commands::table::{facts, harmless};
use crate::commands::{ConfigArg, Format, Outcome, complain};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Prove {
    /// The ledger's directory; by default the one of the configuration
    path: Option<PathBuf>,
    /// That this record is in the log, by its index
    #[arg(long, value_name = "INDEX", group = "what")]
    record: Option<u64>,
    /// That the log only grew since this checkpoint, a file with its note
    #[arg(long, value_name = "FILE", group = "what")]
    since: Option<PathBuf>,
    /// Under this checkpoint, a file with its note; by default the published one
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The verifier key to trust, a file; by default the configuration's signing key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Serialize)]
struct Included<'a> {
    ok: bool,
    log: &'a str,
    index: u64,
    size: u64,
    root: String,
    /// The leaf's exact text.
    leaf: &'a str,
    path: Vec<String>,
    checkpoint: &'a str,
    key: Trust,
}

#[derive(Serialize)]
struct Consistent<'a> {
    ok: bool,
    log: &'a str,
    old_size: u64,
    old_root: String,
    size: u64,
    root: String,
    path: Vec<String>,
    checkpoint: &'a str,
    key: Trust,
}

pub(super) fn run(args: &Prove) -> anyhow::Result<Outcome> {
    let Some(log) = Log::find(args.path.as_deref(), args.key.as_deref(), &args.config.config)? else {
        return Ok(Outcome::Usage);
    };
    let (checkpoint, note) = log.checkpoint(args.checkpoint.as_deref())?;
    match (args.record, &args.since) {
        (Some(index), _) => inclusion(args, &log, index, &checkpoint, &note),
        (None, Some(since)) => consistency(args, &log, since, &checkpoint, &note),
        (None, None) => Ok(Outcome::Usage),
    }
}

fn inclusion(args: &Prove, log: &Log, index: u64, checkpoint: &Checkpoint, note: &str) -> anyhow::Result<Outcome> {
    let (size, dir) = (checkpoint.size, &log.path);
    let told = || format!("prove record {index} in {}", dir.display());
    let leaf = published_leaf(dir, index, checkpoint).with_context(told)?;
    let (Some(proof), Some(leaf)) = (prove_inclusion(dir, index, checkpoint).with_context(told)?, leaf) else {
        complain(&format!("record {index} is not under this checkpoint, which covers {size} records"));
        return Ok(Outcome::No);
    };
    if !proof.proves(&leaf, &checkpoint.root) {
        complain(&format!(
            "record {index} cannot be proven: the published tiles were altered; run `grille ledger verify`"
        ));
        return Ok(Outcome::No);
    }
    let leaf = std::str::from_utf8(&leaf).context("read the leaf")?;
    let told = Included {
        ok: true,
        log: &checkpoint.origin,
        index,
        size,
        root: base64(&checkpoint.root),
        leaf,
        path: proof.path.iter().map(|hash| base64(hash)).collect(),
        checkpoint: note,
        key: log.trust,
    };
    answer_in(args.format, &told, || {
        let head = format!("OK: record {index} of {} is under the checkpoint over {size} records", told.log);
        let lines = [
            ("leaf", pretty(leaf)),
            ("root", told.root.clone()),
            ("path", told.path.join("\n")),
            ("key", log.trust.describe().to_owned()),
        ];
        harmless(&format!("{head}\n{}", facts(&lines)))
    })?;
    Ok(Outcome::Done)
}

fn consistency(args: &Prove, log: &Log, since: &Path, checkpoint: &Checkpoint, note: &str) -> anyhow::Result<Outcome> {
    let (old, _) = log.checkpoint(Some(since))?;
    let (size, dir) = (checkpoint.size, &log.path);
    if old.size > size {
        complain(&format!(
            "{} covers {} records and the log's checkpoint only {size}: the log was cut or replaced",
            since.display(),
            old.size
        ));
        return Ok(Outcome::No);
    }
    let proof = prove_consistency(dir, old.size, checkpoint);
    let proof = proof.with_context(|| format!("prove how {} grew", dir.display()))?;
    let is_proven = proof.as_ref().map_or(old.size == 0, |proof| proof.proves(&old.root, &checkpoint.root));
    if !is_proven {
        complain(&format!(
            "FORKED: the first {} records under the checkpoint are not those of {}",
            old.size,
            since.display()
        ));
        return Ok(Outcome::No);
    }
    let path = proof.iter().flat_map(|proof| &proof.path).map(|hash| base64(hash)).collect();
    let told = Consistent {
        ok: true,
        log: &checkpoint.origin,
        old_size: old.size,
        old_root: base64(&old.root),
        size,
        root: base64(&checkpoint.root),
        path,
        checkpoint: note,
        key: log.trust,
    };
    answer_in(args.format, &told, || {
        let head = format!("OK: {} only grew, from {} to {size} records", told.log, old.size);
        let lines = [
            ("old root", told.old_root.clone()),
            ("root", told.root.clone()),
            ("path", told.path.join("\n")),
            ("key", log.trust.describe().to_owned()),
        ];
        harmless(&format!("{head}\n{}", facts(&lines)))
    })?;
    Ok(Outcome::Done)
}

/// One field per line, in the leaf's own order.
fn pretty(leaf: &str) -> String {
    let Ok(raw) = serde_json::from_str::<&RawValue>(leaf) else { return leaf.to_owned() };
    raw.get().trim_start_matches('{').trim_end_matches('}').replace(",\"", "\n\"")
}
