//! The ledger in the hands of its owner while no gateway runs: exports, and a new beginning where the old log is broken.

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use grille_config::Config;
use grille_ledger::{By, Ledger, LedgerConfig, Read, Record, Recovery, SealKey, SigningKey, recover};
use grille_policy::{SessionFacts, SessionId, Subject};

use crate::compose;
use crate::keys::Keys;
use crate::views::{Evidence, Live};

/// A ledger that this process writes, with the keys of its configuration.
pub struct Custody {
    ledger: Ledger,
    seal: SealKey,
    signing: SigningKey,
}

impl Custody {
    /// Opens the ledger of a configuration. There has to be one, and no gateway that writes it.
    ///
    /// # Errors
    /// There is none, it is in use, or it contradicts what was signed.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let path = &config.ledger.path;
        if !path.join("wal").exists() {
            bail!("there is no ledger at {}", path.display());
        }
        let keys = Keys::open(config)?;
        let ledger = compose::ledger(config, &keys)?;
        Ok(Self { ledger, seal: keys.seal, signing: keys.signing })
    }

    /// Puts the ledger of a configuration aside, which contradicts what was signed, and begins a new one that says so.
    ///
    /// # Errors
    /// The ledger holds, or it cannot be moved or opened.
    pub async fn recover(config: &Config, reason: &str) -> anyhow::Result<Recovery> {
        let keys = Keys::open(config)?;
        let settings = LedgerConfig::new(config.ledger.path.clone(), keys.signing, keys.seal);
        let by = By::Subject(Box::new(Cow::Owned(owner())));
        let (recovery, ledger) = recover(&settings, by, reason)?;
        ledger.shutdown().await.context("close the new ledger")?;
        Ok(recovery)
    }

    /// Writes down that somebody who holds the keys of this ledger looks at it.
    ///
    /// # Errors
    /// It cannot be written; then nothing may be shown.
    pub fn record_look(&self, action: &str, query: &str) -> anyhow::Result<()> {
        let by = owner();
        let read = Read { by: Cow::Owned(by), action: action.into(), session: None, query: Some(query.into()) };
        self.ledger.admin(&Record::Read(read)).context("record this")?;
        Ok(())
    }

    /// What the ledger proves.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::new(self.ledger.clone(), self.seal.clone(), self.signing.clone(), Arc::new(Nobody))
    }

    /// Signs what was written and lets go of the directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn close(self) -> anyhow::Result<()> {
        self.ledger.shutdown().await.context("close the ledger")
    }
}

/// Whoever runs this command: the machine knows a user, no issuer does.
#[must_use]
pub fn owner() -> Subject {
    let uid = std::fs::metadata(Path::new("/proc/self")).map(|own| own.uid());
    let sub = uid.map_or_else(|_| "unknown".to_owned(), |uid| format!("uid {uid}"));
    Subject {
        provider: "local".into(),
        issuer: "local".into(),
        name: format!("the local user {sub}").into(),
        sub: sub.into(),
        groups: Vec::new(),
        actors: Vec::new(),
        expires_at: 0,
        claims: "".into(),
    }
}

/// No session is live while no gateway runs.
struct Nobody;

impl Live for Nobody {
    fn list(&self) -> Vec<(Arc<SessionFacts>, u64)> {
        Vec::new()
    }

    fn end(&self, _id: SessionId, _reason: &str) -> bool {
        false
    }
}
