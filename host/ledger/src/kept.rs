//! What stays beside the log under its digest: the components that decided and the settings that they decided with.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use grille_policy::Digest;

use crate::ReadError;
use crate::sha256::sha256;

/// A component is at most this large when it is loaded.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// A component: `plugins/<sha256>.wasm`.
    Plugin,
    /// Settings as canonical JSON: `plugins/<sha256>.json`.
    Settings,
}

impl Kept {
    pub(crate) fn path(self, ledger: &Path, digest: &Digest) -> PathBuf {
        let ending = match self {
            Self::Plugin => "wasm",
            Self::Settings => "json",
        };
        ledger.join("plugins").join(format!("{digest}.{ending}"))
    }
}

/// What was kept in a ledger under this digest; none if nothing was. What has another digest by now is refused.
pub fn read_kept(ledger: &Path, kept: Kept, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
    let path = kept.path(ledger, digest);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(KEPT_BYTES_MAX + 1).read_to_end(&mut bytes)) {
        Ok(_) if sha256(&bytes) == digest.0 => Ok(Some(bytes)),
        Ok(_) => Err(ReadError::Altered { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadError::Io { path, source }),
    }
}
