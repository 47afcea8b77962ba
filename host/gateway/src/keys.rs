//! The gateway's own keys: read where the configuration says, or made on first start.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grille_config::{Config, KeyRef, SecretRef};
use grille_ledger::{SealKey, SigningKey};
use grille_mask::MaskKey;
use secrecy::ExposeSecret as _;

use crate::secrets::resolve;

/// All of them.
pub(crate) struct Keys {
    pub(crate) mask: MaskKey,
    pub(crate) signing: SigningKey,
    pub(crate) seal: SealKey,
}

impl Keys {
    /// Reads the keys. Files that are missing are made, but only where there is no ledger yet: beside one they are
    /// lost, and new ones would hide that.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let is_first_start = !config.ledger.path.exists();
        let ready = |key: &str, reference: &KeyRef, make: &dyn Fn() -> anyhow::Result<Vec<u8>>| match &reference.source
        {
            SecretRef::File(path) if !path.exists() => {
                if !is_first_start {
                    let ledger = config.ledger.path.display();
                    bail!("{key}: {} is missing although there is a ledger at {ledger}: restore it", path.display());
                }
                make_file(path, &make()?).with_context(|| format!("{key}: make {}", path.display()))?;
                tracing::warn!("{key}: made a new key at {}: keep a copy of it in a safe place", path.display());
                Ok(())
            }
            SecretRef::File(_) | SecretRef::Env(_) => Ok(()),
        };
        ready("ledger.signing_key", &config.ledger.signing_key, &|| {
            Ok(SigningKey::generate()?.to_text().as_bytes().to_vec())
        })?;
        ready("ledger.seal_key", &config.ledger.seal_key, &|| Ok(SealKey::generate()?.to_text().as_bytes().to_vec()))?;
        ready("masking.key", &config.masking.key, &|| random(MaskKey::LEN))?;
        Ok(Self {
            mask: mask_key(&config.masking.key.source).context("masking.key")?,
            signing: signing_key(&config.ledger.signing_key.source).context("ledger.signing_key")?,
            seal: seal_key(&config.ledger.seal_key.source).context("ledger.seal_key")?,
        })
    }
}

fn signing_key(source: &SecretRef) -> anyhow::Result<SigningKey> {
    Ok(match source {
        SecretRef::File(path) => SigningKey::from_file(path)?,
        SecretRef::Env(_) => SigningKey::from_text(resolve(source)?.expose_secret())?,
    })
}

fn seal_key(source: &SecretRef) -> anyhow::Result<SealKey> {
    Ok(match source {
        SecretRef::File(path) => SealKey::from_file(path)?,
        SecretRef::Env(_) => SealKey::from_text(resolve(source)?.expose_secret())?,
    })
}

/// A file holds the 32 bytes as they are, a variable in base64.
fn mask_key(source: &SecretRef) -> anyhow::Result<MaskKey> {
    let bytes = match source {
        SecretRef::File(path) => fs::read(path).with_context(|| format!("read {}", path.display()))?,
        SecretRef::Env(name) => {
            let text = resolve(source)?;
            STANDARD.decode(text.expose_secret()).with_context(|| format!("{name} is not base64"))?
        }
    };
    Ok(MaskKey::from_slice(&bytes)?)
}

fn random(length: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the operating system gives no randomness"))?;
    Ok(bytes)
}

/// A new file that only its owner reads; never one that is there already.
fn make_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
