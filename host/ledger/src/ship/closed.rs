//! The note of a closed segment: a signed checkpoint that ends where the segment does, so that an archive proves each record
//! that it holds.

use std::fs;

use crate::ledger::Shared;
use crate::note::Checkpoint;
use crate::prove::earlier;
use crate::{ReadError, SigningKey};

/// Signs the tree of the first `size` records. Nothing is signed that was not signed before, further on: the tree comes out
/// of the tiles and counts only if the published checkpoint goes on from it.
pub(super) fn note(shared: &Shared, key: &SigningKey, size: u64) -> Result<String, String> {
    let path = shared.dir.join("checkpoint");
    let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let verifier = shared.verifier_key();
    let published = fs::read_to_string(&path).map_err(|error| told(&error))?;
    let published = Checkpoint::open(&published, verifier).map_err(|error| told(&error))?;
    match earlier(&shared.dir, size, &published) {
        Ok(Some(closed)) => Ok(closed.sign(key, verifier.id())),
        Ok(None) if published.size < size => Err(told(&format!("it covers fewer than {size} records"))),
        Ok(None) => {
            Err(told(&"the tiles beside it are not those of its tree: `grille ledger verify` names the bad one"))
        }
        Err(ReadError::Io { path, source }) => Err(format!("{}: {source}", path.display())),
        Err(error) => Err(error.to_string()),
    }
}
