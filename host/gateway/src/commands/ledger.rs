mod checkpoint;
mod cosign;
mod export;
mod hold;
mod log;
mod prove;
mod recover;
mod shred;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use grille_ledger::{Damage, NoteError, Progress, Sound, VerifyOptions, VerifyReport, verify};
use serde::Serialize;

use super::table::facts;
use super::{ConfigArg, Format, Outcome, complain, say};
use log::{Log, Trust};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Derive the whole log again and name the first bad record
    Verify(Verify),
    /// Prove that a record is in the log, or that the log only grew
    Prove(prove::Prove),
    /// Show the signed checkpoint, or have a fresh one signed
    Checkpoint(checkpoint::Show),
    /// Write a bundle that others verify without Grille: records, proofs, a report
    Export(export::Export),
    /// Legal holds: what nobody may shred
    #[command(subcommand)]
    Hold(hold::Action),
    /// Destroy what one session's records hold, for good
    Shred(shred::Shred),
    /// Begin a new log where the old one contradicts what was signed
    Recover(recover::Recover),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The ledger's directory; by default the one of the configuration
    path: Option<PathBuf>,
    /// The verifier key to trust, a file; by default the configuration's signing key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    match action {
        Action::Verify(args) => verify_log(args),
        Action::Prove(args) => prove::run(args).or_else(unproven),
        Action::Checkpoint(args) => checkpoint::run(args).or_else(unproven),
        Action::Export(args) => export::run(args),
        Action::Hold(action) => hold::run(action),
        Action::Shred(args) => shred::run(args),
        Action::Recover(args) => recover::run(args),
    }
}

fn verify_log(args: &Verify) -> anyhow::Result<Outcome> {
    let Some(Log { path, key, trust }) = Log::find(args.path.as_deref(), args.key.as_deref(), &args.config.config)?
    else {
        return Ok(Outcome::Usage);
    };
    let bar = std::io::stderr().is_terminal().then(progress_bar);
    let mut tell = |progress: Progress| {
        if let Some(bar) = &bar {
            bar.set_length(progress.signed.max(progress.records));
            bar.set_position(progress.records);
        }
    };
    let report = verify(&path, &mut VerifyOptions { key, progress: Some(&mut tell) });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    match report.with_context(|| format!("verify {}", path.display()))? {
        VerifyReport::Ok(sound) => {
            answer_in(args.format, &Sane::new(&path, &sound, trust), || sound_text(&sound, trust))?;
            Ok(Outcome::Done)
        }
        VerifyReport::Damage(damage) => {
            answer_in(args.format, &Broken::new(&path, &damage, trust), || damage_text(&damage))?;
            Ok(Outcome::No)
        }
        _ => bail!("the ledger gave an answer that this command does not know"),
    }
}

fn sound_text(sound: &Sound, trust: Trust) -> String {
    let head = match sound.signed {
        0 => format!("OK: {} records hold together; nothing is signed yet", sound.records),
        signed => format!("OK: {} records, {signed} of them under the checkpoint", sound.records),
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
    let lines = [
        ("log", sound.origin.clone().unwrap_or_default()),
        ("root", root),
        ("signed until", sound.checkpoint_time.map(time).unwrap_or_default()),
        ("unsigned", unsigned),
        ("tail", torn),
        ("sessions", sessions.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        ("key", trust.describe().to_owned()),
    ];
    format!("{head}\n{}", facts(&lines))
}

fn damage_text(damage: &Damage) -> String {
    let head = match damage.index {
        Some(index) => format!("DAMAGED: the first bad record is {index} ({})", damage.kind),
        None => format!("DAMAGED: no single record can be named ({})", damage.kind),
    };
    let lines = [
        ("what", damage.detail.clone()),
        ("session", damage.session.map(|session| session.to_string()).unwrap_or_default()),
        ("time", damage.time.map(time).unwrap_or_default()),
        ("file", format!("{} at byte {}", damage.file.display(), damage.offset)),
    ];
    format!("{head}\n{}", facts(&lines))
}

#[derive(Serialize)]
struct Sane<'a> {
    ok: bool,
    path: &'a Path,
    origin: Option<&'a str>,
    records: u64,
    signed: u64,
    unsigned: u64,
    root: Option<String>,
    signed_until: Option<String>,
    torn_bytes: u64,
    sessions: u64,
    sessions_open: u64,
    sessions_aborted: u64,
    sessions_shredded: u64,
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
            root: sound.root.map(|root| base64(&root)),
            signed_until: sound.checkpoint_time.map(time),
            torn_bytes: sound.torn_bytes,
            sessions: sound.sessions,
            sessions_open: sound.sessions_open,
            sessions_aborted: sound.sessions_aborted,
            sessions_shredded: sound.sessions_shredded,
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
            time: damage.time.map(time),
            file: &damage.file,
            offset: damage.offset,
            detail: &damage.detail,
            key,
        }
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

fn progress_bar() -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{bar:40} {pos} of {len} records, {per_sec}, {eta} left")
        .expect("the template is right");
    indicatif::ProgressBar::new(0).with_style(style)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use grille_ledger::{Ledger, LedgerConfig, SealKey, SigningKey};

    use super::*;

    /// What `grille ledger verify` answers.
    fn asked(path: &Path, key: Option<PathBuf>, config: &Path) -> anyhow::Result<Outcome> {
        let config = ConfigArg { config: config.to_owned() };
        run(&Action::Verify(Verify { path: Some(path.to_owned()), key, format: Format::Json, config }))
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
        assert!(text.contains("session  s-") && text.contains("time     20") && text.contains("at byte 64"), "{text}");
    }
}
