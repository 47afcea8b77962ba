//! Opening sealed contents: with the keys of their sessions, as long as these are there.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use grille_policy::SessionId;
use zeroize::Zeroizing;

use super::{Contents, Opened};
use crate::leaf::Leaf;
use crate::recording::parse;
use crate::seal::{NoKey, OpeningKey, SALT_BYTES, read_row, row_id};
use crate::session::{LZ4, PLAIN};
use crate::sha256::sha256;
use crate::{ReadError, SealKey};

/// Keys of sessions that are kept while reading many of them.
const KEYS_MAX: usize = 1024;
/// Contents are never larger than this when unpacked; see the frame's limit.
const CONTENTS_BYTES_MAX: usize = 129 << 20;

pub(crate) struct Opener {
    dir: PathBuf,
    seal: Option<SealKey>,
    keys: HashMap<SessionId, Result<OpeningKey, NoKey>>,
}

/// What is wrong with contents that there is a key for.
pub(crate) struct Broken(pub(crate) &'static str);

impl Opener {
    pub(super) fn new(dir: &Path, seal: Option<SealKey>) -> Self {
        Self { dir: dir.to_owned(), seal, keys: HashMap::new() }
    }

    /// A session's own key, for whoever may hand it on; none where it is not to be had.
    pub(super) fn session_key(&self, id: SessionId) -> Option<Zeroizing<[u8; 32]>> {
        self.keys.get(&id)?.as_ref().ok().map(OpeningKey::reveal)
    }

    pub(super) fn open(&mut self, leaf: &Leaf, sealed: &[u8]) -> Result<Result<Contents, Broken>, ReadError> {
        let Some(seal) = &self.seal else { return Ok(Ok(Contents::Sealed("no seal key was given"))) };
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&leaf.sid) {
            self.keys.clear();
        }
        let key = match self.keys.entry(leaf.sid) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(session_key(&self.dir, seal, leaf)?),
        };
        let key = match key {
            Ok(key) => key,
            Err(why) => return Ok(Ok(Contents::Sealed(why.describe()))),
        };
        let Some(text) = key.open(sealed, &leaf.sid.to_string(), leaf.seq) else {
            return Ok(Err(Broken("its contents do not open under the session's key")));
        };
        let opened = unpack(&text, leaf).ok_or(Broken("its contents are not what its leaf commits to"));
        Ok(opened.map(|opened| Contents::Open(Box::new(opened))))
    }
}

fn session_key(dir: &Path, seal: &SealKey, leaf: &Leaf) -> Result<Result<OpeningKey, NoKey>, ReadError> {
    let Some((row, id)) = leaf.key_row() else { return Ok(Err(NoKey::Damaged)) };
    let bytes = match read_row(dir, row) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            return Ok(Err(NoKey::Damaged));
        }
        Err(source) => return Err(ReadError::Io { path: dir.join("keys"), source }),
    };
    let is_destroyed = bytes.iter().all(|&byte| byte == 0);
    if !is_destroyed && row_id(&bytes) != id {
        return Ok(Err(NoKey::Damaged));
    }
    Ok(OpeningKey::unwrap(seal, &leaf.sid.to_string(), &bytes))
}

/// The contents behind flag and salt, if they are what the leaf commits to.
pub(crate) fn unpack(text: &[u8], leaf: &Leaf) -> Option<Opened> {
    let (&flag, salted) = text.split_first()?;
    let (salt, packed) = salted.split_at_checked(SALT_BYTES)?;
    let unpacked;
    let contents = match flag {
        PLAIN => packed,
        LZ4 => {
            let (length, block) = packed.split_first_chunk::<4>()?;
            let length = u32::from_le_bytes(*length) as usize;
            if length > CONTENTS_BYTES_MAX {
                return None;
            }
            unpacked = lz4_flex::block::decompress(block, length).ok()?;
            &unpacked
        }
        _ => return None,
    };
    if leaf.commit_hash() != Some(sha256(&[salt, contents].concat())) {
        return None;
    }
    let (json, chunks) = parse(contents)?;
    let json = String::from_utf8(json.to_vec()).ok()?;
    let salt = salt.try_into().ok()?;
    Some(Opened { record: serde_json::from_str(&json).ok(), json, chunks, salt })
}
