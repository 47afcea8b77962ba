use std::fs;
use std::io;
use std::path::Path;

use grille_archive::{Archive, ArchiveError};

use super::mark;
use crate::tiles::{Durability, replace};

/// The archive's word that no other directory writes under this log's name. Who had it once may start while the archive is
/// away; who runs two copies of one directory is found out by the first segment that differs.
pub(crate) fn claim(dir: &Path, origin: &str, archive: &Archive) -> Result<(), ClaimError> {
    let path = dir.join("claim");
    let own = match fs::read(&path) {
        Ok(own) => own,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = [0; 16];
            aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random number"))?;
            let own = format!("{}\n", crate::sha256::to_base64(&random)).into_bytes();
            replace(&path, &own, Durability::Synced)?;
            own
        }
        Err(error) => return Err(error.into()),
    };
    let archive = archive.clone();
    let name = format!("{origin}/writer");
    // A thread of its own, since the caller may be inside a runtime.
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok::<_, ClaimError>(runtime.block_on(archive.put(&name, own.into(), false))?)
    });
    match asked.join().unwrap_or_else(|_| Err(io::Error::other("the thread that asked panicked").into())) {
        Ok(()) if dir.join("shipped").exists() => Ok(()),
        Ok(()) => Ok(mark(dir, 0)?),
        Err(ClaimError::Archive(why @ ArchiveError::Store { .. })) if dir.join("shipped").exists() => {
            tracing::warn!(%why, "the archive is away at start; the name was this ledger's before");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Why the name is not this directory's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The directory's own half of it.
    #[error("the claim in the ledger's directory")]
    Io(#[from] io::Error),
    /// The archive's.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}
