mod export;

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use grille_config::{Config, SecretRef, parse};
use grille_ledger::{
    Checkpoint, Damage, Progress, SigningKey, Sound, VerifierKey, VerifyOptions, VerifyReport, verify,
};
use serde::Serialize;

use super::table::facts;
use super::{ConfigArg, Format, Outcome, complain, say};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Derive the whole log again and name the first bad record
    Verify(Verify),
    /// Write a bundle that others verify without Grille: records, proofs, a report
    Export(export::Export),
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
        Action::Export(args) => export::run(args),
    }
}

fn verify_log(args: &Verify) -> anyhow::Result<Outcome> {
    let config = args.configured()?;
    let Some(path) = args.path.clone().or_else(|| config.as_ref().map(|config| config.ledger.path.clone())) else {
        let config = args.config.config.display();
        complain(&format!("which ledger? Give its directory, or a configuration with -c ({config} is not there)"));
        return Ok(Outcome::Usage);
    };
    let (key, trust) = args.key(&path, config.as_ref())?;
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
            answer(args.format, &Sane::new(&path, &sound, trust), || sound_text(&sound, trust))?;
            Ok(Outcome::Done)
        }
        VerifyReport::Damage(damage) => {
            answer(args.format, &Broken::new(&path, &damage, trust), || damage_text(&damage))?;
            Ok(Outcome::No)
        }
        _ => bail!("the ledger gave an answer that this command does not know"),
    }
}

impl Verify {
    /// The configuration, where there is one. It is needed only if the command line leaves something open.
    fn configured(&self) -> anyhow::Result<Option<Config>> {
        let path = &self.config.config;
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        match parse(&text, path) {
            Ok(config) => Ok(Some(config)),
            Err(_) if self.path.is_some() => Ok(None),
            Err(_) => bail!("{} has problems: `grille check -c {0}` names them", path.display()),
        }
    }

    /// The key to trust, and where it comes from.
    fn key(&self, path: &Path, config: Option<&Config>) -> anyhow::Result<(Option<VerifierKey>, Trust)> {
        if let Some(file) = &self.key {
            let key = VerifierKey::from_file(file).with_context(|| format!("read the key in {}", file.display()))?;
            return Ok((Some(key), Trust::Given));
        }
        let is_same = |config: &&Config| match (fs::canonicalize(&config.ledger.path), fs::canonicalize(path)) {
            (Ok(one), Ok(two)) => one == two,
            _ => false,
        };
        if let Some(config) = config.filter(is_same)
            && let SecretRef::File(file) = &config.ledger.signing_key.source
            && let Ok(key) = SigningKey::from_file(file)
            && let Some(origin) = origin(path)
        {
            let key =
                key.verifier_key(&origin).with_context(|| format!("the name of the log in {}", path.display()))?;
            return Ok((Some(key), Trust::Configured));
        }
        Ok((None, Trust::Beside))
    }
}

/// The name that the log gives itself. It is no secret and proves nothing; the key does.
fn origin(path: &Path) -> Option<String> {
    let note = fs::read_to_string(path.join("checkpoint")).ok();
    let told = note.and_then(|note| Checkpoint::peek(&note).ok()).map(|checkpoint| checkpoint.origin);
    told.or_else(|| VerifierKey::from_file(&path.join("log.vkey")).ok().map(|key| key.origin().to_owned()))
}

/// Where the key comes from that the answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Trust {
    Given,
    Configured,
    Beside,
}

impl Trust {
    const fn describe(self) -> &'static str {
        match self {
            Self::Given => "the one given with --key",
            Self::Configured => "the configuration's signing key",
            Self::Beside => {
                "log.vkey beside the log: whoever replaced the whole log could replace it too; give yours with --key"
            }
        }
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

fn answer(format: Format, json: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
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
    use grille_ledger::{Ledger, LedgerConfig, SealKey};

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
