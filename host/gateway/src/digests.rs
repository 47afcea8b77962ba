//! The digests of files, read again only when a file may have changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use grille_policy::Digest;
use parking_lot::Mutex;

use crate::policies::digest_of;
use crate::reload::{Stamp, stamp};

#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<PathBuf, (Stamp, Digest)>>);

impl Digests {
    /// The digest of a file as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn of(&self, path: &Path) -> anyhow::Result<Digest> {
        let before = stamp(path);
        if let Some((_, digest)) = self.0.lock().get(path).filter(|(known, _)| *known == before) {
            return Ok(*digest);
        }
        let digest = digest_of(path)?;
        // What is written while it is read is read again.
        if before.is_some() && stamp(path) == before {
            self.0.lock().insert(path.to_owned(), (before, digest));
        }
        Ok(digest)
    }
}
