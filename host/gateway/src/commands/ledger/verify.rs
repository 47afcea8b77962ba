//! A log or a bundle, verified: what holds, or the first bad record.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use grille_ledger::{
    BundleReport, BundleSound, Coverage, Damage, Progress, Sound, TrustPolicy, VerifierKey, VerifyOptions,
    VerifyReport, is_archived, verify, verify_archived, verify_bundle,
};
use serde::Serialize;

use super::archived::Archived;
use super::log::{Log, Trust};
use super::{answer_in, base64, time};
use crate::commands::table::{facts, harmless};
use crate::commands::{ConfigArg, Format, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// A ledger's directory, its copy in an archive, or an evidence bundle; by default the ledger of the configuration
    path: Option<PathBuf>,
    /// What the configured archive holds of the configured ledger
    #[arg(long, conflicts_with = "path")]
    archive: bool,
    /// The verifier key to trust, a file; by default the policy's, else the configuration's signing key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The witnesses that have to have signed, a file (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A checkpoint that you kept, a file: the log has to go on from it; may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Verify) -> anyhow::Result<Outcome> {
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let bar = std::io::stderr().is_terminal().then(progress_bar);
    let mut tell = |progress: Progress| {
        if let Some(bar) = &bar {
            bar.set_length(progress.signed.max(progress.records));
            bar.set_position(progress.records);
        }
    };
    let known = args.checkpoint.clone();
    let mut options = VerifyOptions { key: None, policy: policy.as_ref(), known, progress: Some(&mut tell) };
    let outcome = match args.path.as_deref() {
        _ if args.archive => judge_archive(args, &mut options, bar.as_ref()),
        Some(bundle) if is_bundle(bundle) => judge_bundle(args, bundle, &mut options),
        _ => judge_log(args, &mut options),
    };
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    outcome
}

/// A tar file, or what was unpacked from one.
fn is_bundle(path: &Path) -> bool {
    path.is_file() || (path.join("manifest.json").exists() && !path.join("wal").exists())
}

fn judge_log(args: &Verify, options: &mut VerifyOptions<'_>) -> anyhow::Result<Outcome> {
    let Some(Log { path, key, trust, .. }) = Log::find(args.path.as_deref(), args.key.as_deref(), &args.config.config)?
    else {
        return Ok(Outcome::Usage);
    };
    // The auditor's policy names the log's key, unless another one was given.
    let is_named = trust != Trust::Given && options.policy.is_some_and(TrustPolicy::has_logs);
    options.key = key.filter(|_| !is_named);
    judge(args, &path, (trust, is_named), options)
}

/// The archive's copy is checked with the key that the log itself would be.
fn judge_archive(
    args: &Verify,
    options: &mut VerifyOptions<'_>,
    bar: Option<&indicatif::ProgressBar>,
) -> anyhow::Result<Outcome> {
    let Some(log) = Log::find(None, args.key.as_deref(), &args.config.config)? else { return Ok(Outcome::Usage) };
    let config = log.config.as_ref().context("an archive is named by a configuration: give it with -c")?;
    let is_named = log.trust != Trust::Given && options.policy.is_some_and(TrustPolicy::has_logs);
    let key = log.any_key()?;
    let mut told = |done: usize, all: usize| {
        if let Some(bar) = bar {
            bar.set_message("objects");
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    };
    let archived = Archived::find(config, key.origin(), &mut told)?;
    if let Some(bar) = bar {
        bar.set_message("records");
    }
    options.key = Some(key).filter(|_| !is_named);
    judge(args, &archived.path, (log.trust, is_named), options)
}

fn judge(
    args: &Verify,
    path: &Path,
    (trust, is_named): (Trust, bool),
    options: &mut VerifyOptions<'_>,
) -> anyhow::Result<Outcome> {
    let report = if is_archived(path) { verify_archived(path, options) } else { verify(path, options) };
    match report.with_context(|| format!("verify {}", path.display()))? {
        VerifyReport::Ok(sound) => {
            let trust = if is_named && sound.is_key_trusted { Trust::Policy } else { trust };
            answer_in(args.format, &Sane::new(path, &sound, trust), || sound_text(&sound, trust))?;
            Ok(Outcome::Done)
        }
        VerifyReport::Damage(damage) => {
            answer_in(args.format, &Broken::new(path, &damage, trust), || damage_text(&damage))?;
            Ok(Outcome::No)
        }
        _ => bail!("the ledger gave an answer that this command does not know"),
    }
}

fn judge_bundle(args: &Verify, path: &Path, options: &mut VerifyOptions<'_>) -> anyhow::Result<Outcome> {
    if let Some(file) = &args.key {
        let key = VerifierKey::from_file(file).with_context(|| format!("read the key in {}", file.display()))?;
        options.key = Some(key);
    }
    let report = verify_bundle(path, options).with_context(|| format!("verify {}", path.display()))?;
    let trust = match (&args.key, report.sound.is_key_trusted) {
        (Some(_), _) => Trust::Given,
        (None, true) => Trust::Policy,
        (None, false) => Trust::Within,
    };
    let BundleReport { sound, damage, .. } = report;
    let Some(first) = damage.first() else {
        answer_in(args.format, &SaneBundle::new(path, &sound, trust), || bundle_text(&sound, trust))?;
        return Ok(Outcome::Done);
    };
    let more = damage.len() - 1;
    answer_in(args.format, &Broken::new(path, first, trust), || {
        let more = if more > 0 {
            format!("{more} more that are wrong follow from it or stand behind it\n")
        } else {
            String::new()
        };
        damage_text(first) + &more
    })?;
    Ok(Outcome::No)
}

pub(super) fn read_policy(path: &Path) -> anyhow::Result<TrustPolicy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read the policy in {}", path.display()))?;
    TrustPolicy::parse(&text).with_context(|| format!("the policy in {}", path.display()))
}

fn sound_text(sound: &Sound, trust: Trust) -> String {
    let head = match (sound.signed, sound.ahead) {
        (0, 0) => format!("OK: {} records hold together; nothing is signed yet", sound.records),
        (0, _) => format!("OK: {} records hold together; whatever was signed covers more than these", sound.records),
        (signed, _) if signed == sound.records => format!("OK: {signed} records, all of them under the checkpoint"),
        (signed, _) => format!("OK: {} records, {signed} of them under the checkpoint", sound.records),
    };
    let root = sound.root.map(|root| base64(&root)).unwrap_or_default();
    let sessions = [
        Some(sound.sessions.to_string()),
        (sound.sessions_open > 0).then(|| format!("{} still open", sound.sessions_open)),
        (sound.sessions_aborted > 0).then(|| format!("{} ended with their node", sound.sessions_aborted)),
        (sound.sessions_shredded > 0).then(|| format!("{} shredded", sound.sessions_shredded)),
    ];
    let torn = match sound.torn_bytes {
        0 => String::new(),
        bytes => format!("{bytes} bytes of a record that is being written, or that a crash cut off"),
    };
    let unsigned = match sound.unsigned {
        0 => String::new(),
        records => format!("{records} records behind the checkpoint"),
    };
    let ahead = match sound.ahead {
        0 => String::new(),
        records => {
            format!("{records} signed records are not in the archive: a node keeps the newest for up to an hour")
        }
    };
    let clock = match sound.clock_steps {
        0 => String::new(),
        steps => format!("set {steps} times; the log says when"),
    };
    let lines = [
        ("log", sound.origin.clone().unwrap_or_default()),
        ("root", root),
        ("signed until", sound.checkpoint_time.map(time).unwrap_or_default()),
        ("unsigned", unsigned),
        ("to come", ahead),
        ("witnessed", sound.witnessed.as_ref().map(|seen| witnessed(seen, sound.records)).unwrap_or_default()),
        ("tail", torn),
        ("sessions", sessions.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        ("clock", clock),
        ("key", trust.describe().to_owned()),
    ];
    format!("{head}\n{}", facts(&lines))
}

fn bundle_text(sound: &BundleSound, trust: Trust) -> String {
    let head = format!("OK: {} records of {} sessions are in the log and unaltered", sound.records, sound.sessions);
    let policy =
        if sound.is_policy_trusted { "" } else { "; by the policy inside the bundle, give yours with --policy" };
    let seen = sound.witnessed.as_ref().map(|seen| format!("{}{policy}", witnessed(seen, sound.size)));
    let texts = format!(
        "{} proven by their salts, {} opened with the sessions' keys, {} as the exporter signed them",
        sound.texts_proven, sound.texts_opened, sound.texts_told
    );
    let lines = [
        ("log", format!("{}, checkpoint over {} records", sound.origin, sound.size)),
        ("root", base64(&sound.root)),
        ("witnessed", seen.unwrap_or_default()),
        ("complete", format!("{} of {} sessions, from their opening to their close", sound.closed, sound.sessions)),
        ("texts", texts),
        ("approvals", format!("{} signed", sound.approvals)),
        ("key", trust.describe().to_owned()),
        ("note", sound.notes.join("\n")),
    ];
    harmless(&format!("{head}\n{}", facts(&lines)))
}

fn witnessed(seen: &Coverage, records: u64) -> String {
    let behind = match records.saturating_sub(seen.size) {
        0 => String::new(),
        behind => format!(", the last {behind} not yet"),
    };
    let by = if seen.by.is_empty() { "nobody, whom the policy asks for none".to_owned() } else { seen.by.join(", ") };
    format!("{} records, by {by}{behind}", seen.size)
}

fn damage_text(damage: &Damage) -> String {
    let head = match damage.index {
        Some(index) => format!("DAMAGED: the first bad record is {index} ({})", damage.kind),
        None => format!("DAMAGED: no single record can be named ({})", damage.kind),
    };
    let number = damage.seq.map(|seq| format!(", number {seq} of it")).unwrap_or_default();
    let lines = [
        ("what", damage.detail.clone()),
        ("session", damage.session.map(|session| format!("{session}{number}")).unwrap_or_default()),
        ("time", damage.time.map(time).unwrap_or_default()),
        ("file", format!("{} at byte {}", damage.file.display(), damage.offset)),
    ];
    harmless(&format!("{head}\n{}", facts(&lines)))
}

#[derive(Serialize)]
struct Sane<'a> {
    ok: bool,
    path: &'a Path,
    origin: Option<&'a str>,
    records: u64,
    signed: u64,
    unsigned: u64,
    ahead: u64,
    root: Option<String>,
    signed_until: Option<String>,
    witnessed: Option<u64>,
    witnesses: &'a [String],
    torn_bytes: u64,
    sessions: u64,
    sessions_open: u64,
    sessions_aborted: u64,
    sessions_shredded: u64,
    clock_steps: u64,
    key: Trust,
}

impl<'a> Sane<'a> {
    fn new(path: &'a Path, sound: &'a Sound, key: Trust) -> Self {
        Self {
            ok: true,
            path,
            origin: sound.origin.as_deref(),
            records: sound.records,
            signed: sound.signed,
            unsigned: sound.unsigned,
            ahead: sound.ahead,
            root: sound.root.map(|root| base64(&root)),
            signed_until: sound.checkpoint_time.map(time),
            witnessed: sound.witnessed.as_ref().map(|seen| seen.size),
            witnesses: sound.witnessed.as_ref().map_or(&[], |seen| &seen.by),
            torn_bytes: sound.torn_bytes,
            sessions: sound.sessions,
            sessions_open: sound.sessions_open,
            sessions_aborted: sound.sessions_aborted,
            sessions_shredded: sound.sessions_shredded,
            clock_steps: sound.clock_steps,
            key,
        }
    }
}

#[derive(Serialize)]
struct SaneBundle<'a> {
    ok: bool,
    path: &'a Path,
    origin: &'a str,
    size: u64,
    root: String,
    records: u64,
    sessions: u64,
    closed: u64,
    texts_proven: u64,
    texts_opened: u64,
    texts_told: u64,
    approvals: u64,
    witnessed: Option<u64>,
    witnesses: &'a [String],
    notes: &'a [String],
    key: Trust,
}

impl<'a> SaneBundle<'a> {
    fn new(path: &'a Path, sound: &'a BundleSound, key: Trust) -> Self {
        Self {
            ok: true,
            path,
            origin: &sound.origin,
            size: sound.size,
            root: base64(&sound.root),
            records: sound.records,
            sessions: sound.sessions,
            closed: sound.closed,
            texts_proven: sound.texts_proven,
            texts_opened: sound.texts_opened,
            texts_told: sound.texts_told,
            approvals: sound.approvals,
            witnessed: sound.witnessed.as_ref().map(|seen| seen.size),
            witnesses: sound.witnessed.as_ref().map_or(&[], |seen| &seen.by),
            notes: &sound.notes,
            key,
        }
    }
}

#[derive(Serialize)]
struct Broken<'a> {
    ok: bool,
    path: &'a Path,
    kind: &'static str,
    index: Option<u64>,
    session: Option<String>,
    seq: Option<u64>,
    time: Option<String>,
    file: &'a Path,
    offset: u64,
    detail: &'a str,
    key: Trust,
}

impl<'a> Broken<'a> {
    fn new(path: &'a Path, damage: &'a Damage, key: Trust) -> Self {
        Self {
            ok: false,
            path,
            kind: damage.kind.name(),
            index: damage.index,
            session: damage.session.map(|session| session.to_string()),
            seq: damage.seq,
            time: damage.time.map(time),
            file: &damage.file,
            offset: damage.offset,
            detail: &damage.detail,
            key,
        }
    }
}

fn progress_bar() -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{bar:40} {pos} of {len} {msg}, {per_sec}, {eta} left")
        .expect("the template is right");
    indicatif::ProgressBar::new(0).with_style(style).with_message("records")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use grille_ledger::{Ledger, LedgerConfig, SealKey, SigningKey};

    use super::*;

    /// What `grille ledger verify` answers.
    fn asked(path: &Path, key: Option<PathBuf>, config: &Path) -> anyhow::Result<Outcome> {
        let config = ConfigArg { config: config.to_owned() };
        let (policy, checkpoint) = (None, Vec::new());
        let path = Some(path.to_owned());
        run(&Verify { path, archive: false, key, policy, checkpoint, format: Format::Json, config })
    }

    #[tokio::test]
    async fn a_ledger_is_verified_with_the_key_that_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let (signing, seal) = (SigningKey::generate().unwrap(), SealKey::generate().unwrap());
        fs::write(dir.path().join("ledger.key"), signing.to_text().as_bytes()).unwrap();
        let ledger = Ledger::open(LedgerConfig::new(path.clone(), signing.clone(), seal)).unwrap();
        ledger.shutdown().await.unwrap();
        let nowhere = dir.path().join("nowhere.toml");
        assert_eq!(asked(&path, None, &nowhere).unwrap(), Outcome::Done);
        assert_eq!(asked(&path, Some(path.join("log.vkey")), &nowhere).unwrap(), Outcome::Done);
        assert!(asked(dir.path(), None, &nowhere).is_err());

        let foreign = dir.path().join("foreign.vkey");
        let other = SigningKey::generate().unwrap();
        fs::write(&foreign, other.verifier_key(ledger.verifier_key().origin()).unwrap().to_string()).unwrap();
        assert_eq!(asked(&path, Some(foreign), &nowhere).unwrap(), Outcome::No);

        let wal = path.join("wal/00000000.wal");
        let mut bytes = fs::read(&wal).unwrap();
        bytes[100] ^= 1;
        fs::write(&wal, bytes).unwrap();
        assert_eq!(asked(&path, None, &nowhere).unwrap(), Outcome::No);
        let VerifyReport::Damage(damage) = verify(&path, &mut VerifyOptions::default()).unwrap() else { panic!() };
        let text = damage_text(&damage);
        assert!(
            text.starts_with("DAMAGED: the first bad record is 0 (contents)\nwhat     the record's sealed"),
            "{text}"
        );
        assert!(
            text.contains("session  s-")
                && text.contains(", number 0 of it")
                && text.contains("time     20")
                && text.contains("at byte 64"),
            "{text}"
        );
    }
}
