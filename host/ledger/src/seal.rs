//! Sealing of contents: one key per session, wrapped by the seal key and kept in `keys/`, apart from the records, so
//! that it can be destroyed without touching one of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::SealKey;
use crate::sha256::{sha256, to_base64};

pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const SALT_BYTES: usize = 16;
/// One row: version (2), seal key id (8), session (18), nonce (12), wrapped key and tag (48), crc32c (4), zeros.
pub(crate) const ROW_BYTES: usize = 128;
const ROW_VERSION: &[u8; 2] = b"k1";
/// Rows of one file: 8 MiB.
const ROWS_PER_FILE: u64 = 65_536;
/// Salts are drawn so many at a time: the random generator costs as much as sealing a small record.
const SALTS: usize = 32;

/// The AES-256-GCM key of one session and its running nonce.
pub(crate) struct SessionKey {
    key: LessSafeKey,
    /// Never used twice, also when a write failed.
    nonce: u64,
    salts: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct CannotSeal;

impl SessionKey {
    /// A new key, and its row.
    pub(crate) fn generate(seal: &SealKey, sid: &str) -> Result<(Self, [u8; ROW_BYTES]), CannotSeal> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| CannotSeal)?;
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| CannotSeal)?;
        let mut wrapped = Zeroizing::new(*bytes);
        let tag = seal
            .wrapping()
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(wrap_context(sid)),
                wrapped.as_mut_slice(),
            )
            .map_err(|_| CannotSeal)?;
        let mut row = [0; ROW_BYTES];
        row[..2].copy_from_slice(ROW_VERSION);
        row[2..10].copy_from_slice(&seal.id());
        row[10..28].copy_from_slice(sid.as_bytes());
        row[28..40].copy_from_slice(&nonce);
        row[40..72].copy_from_slice(wrapped.as_slice());
        row[72..88].copy_from_slice(tag.as_ref());
        let crc = crc32c::crc32c(&row[..88]);
        row[88..92].copy_from_slice(&crc.to_le_bytes());
        let unbound = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| CannotSeal)?;
        Ok((Self { key: LessSafeKey::new(unbound), nonce: 0, salts: Vec::new() }, row))
    }

    pub(crate) fn salt(&mut self) -> Result<[u8; SALT_BYTES], CannotSeal> {
        if self.salts.is_empty() {
            self.salts.resize(SALTS * SALT_BYTES, 0);
            rand::fill(&mut self.salts).map_err(|_| CannotSeal)?;
        }
        let salt = *self.salts.last_chunk::<SALT_BYTES>().expect("filled by whole salts");
        self.salts.truncate(self.salts.len() - SALT_BYTES);
        Ok(salt)
    }

    /// Seals `bytes` in place, whose first twelve become the nonce and to which the tag is added.
    pub(crate) fn seal(&mut self, bytes: &mut Vec<u8>, from: usize, sid: &str, seq: u64) -> Result<(), CannotSeal> {
        let mut nonce = [0; NONCE_BYTES];
        nonce[4..].copy_from_slice(&self.nonce.to_be_bytes());
        self.nonce += 1;
        let (head, text) = bytes[from..].split_at_mut(NONCE_BYTES);
        head.copy_from_slice(&nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context(sid, seq)), text)
            .map_err(|_| CannotSeal)?;
        bytes.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// A session's key for reading.
pub(crate) struct OpeningKey {
    key: LessSafeKey,
    bytes: Zeroizing<[u8; 32]>,
}

/// Why a session's key is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The row is all zeros.
    Destroyed,
    /// The row is damaged or another session's.
    Damaged,
    /// It was wrapped by another seal key.
    Foreign,
}

impl NoKey {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Destroyed => "its key was destroyed",
            Self::Damaged => "its wrapped key is damaged",
            Self::Foreign => "its key is wrapped by another seal key",
        }
    }
}

impl OpeningKey {
    pub(crate) fn unwrap(seal: &SealKey, sid: &str, row: &[u8; ROW_BYTES]) -> Result<Self, NoKey> {
        if row.iter().all(|&byte| byte == 0) {
            return Err(NoKey::Destroyed);
        }
        let crc = crc32c::crc32c(&row[..88]).to_le_bytes();
        if row[..2] != *ROW_VERSION || row[88..92] != crc || row[10..28] != *sid.as_bytes() {
            return Err(NoKey::Damaged);
        }
        if row[2..10] != seal.id() {
            return Err(NoKey::Foreign);
        }
        let nonce = *row[28..].first_chunk::<NONCE_BYTES>().expect("a row has 128 bytes");
        let mut wrapped = Zeroizing::new(row[40..88].to_vec());
        let bytes = seal
            .wrapping()
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(wrap_context(sid)), &mut wrapped)
            .map_err(|_| NoKey::Damaged)?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(&*bytes).map_err(|_| NoKey::Damaged)?);
        let unbound = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| NoKey::Damaged)?;
        Ok(Self { key: LessSafeKey::new(unbound), bytes })
    }

    /// A key that somebody handed over.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes).ok()?);
        let unbound = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).ok()?;
        Some(Self { key: LessSafeKey::new(unbound), bytes })
    }

    /// The key itself: it opens this session and no other.
    pub(crate) fn reveal(&self) -> Zeroizing<[u8; 32]> {
        self.bytes.clone()
    }

    /// The plaintext of sealed contents.
    pub(crate) fn open(&self, sealed: &[u8], sid: &str, seq: u64) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let mut text = text.to_vec();
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context(sid, seq)), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }
}

fn wrap_context(sid: &str) -> Vec<u8> {
    [b"grille session key v1\0", sid.as_bytes()].concat()
}

/// Binds contents to their session and their place in it.
fn context(sid: &str, seq: u64) -> [u8; 26] {
    let mut context = [0; 26];
    let sid = sid.as_bytes();
    let length = sid.len().min(18);
    context[..length].copy_from_slice(&sid[..length]);
    context[18..].copy_from_slice(&seq.to_be_bytes());
    context
}

/// The file of wrapped keys that is written to.
pub(crate) struct KeyFile {
    dir: PathBuf,
    file: Arc<File>,
    rows: u64,
    /// Files that are full and not synced yet.
    retired: Vec<Arc<File>>,
    is_dirty: bool,
}

impl KeyFile {
    /// Opens the last file; an incomplete row at its end is overwritten.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir.join("keys"))?;
        let mut number = 0;
        while row_file(dir, number + 1).exists() {
            number += 1;
        }
        let file = open_row_file(dir, number)?;
        File::open(dir.join("keys"))?.sync_all()?;
        let rows = number * ROWS_PER_FILE + file.metadata()?.len() / ROW_BYTES as u64;
        Ok(Self { dir: dir.to_owned(), file: Arc::new(file), rows, retired: Vec::new(), is_dirty: true })
    }

    /// Adds a row and returns how leaves name it.
    pub(crate) fn add(&mut self, row: &[u8; ROW_BYTES]) -> io::Result<String> {
        if self.rows.is_multiple_of(ROWS_PER_FILE) && self.rows > 0 {
            let next = Arc::new(open_row_file(&self.dir, self.rows / ROWS_PER_FILE)?);
            File::open(self.dir.join("keys"))?.sync_all()?;
            self.retired.push(std::mem::replace(&mut self.file, next));
        }
        self.file.write_all_at(row, self.rows % ROWS_PER_FILE * ROW_BYTES as u64)?;
        let name = format!("{}.{}", self.rows, row_id(row));
        self.rows += 1;
        self.is_dirty = true;
        Ok(name)
    }

    /// What has to be synced before the records that need it.
    pub(crate) fn take_unsynced(&mut self) -> Vec<Arc<File>> {
        let mut files = std::mem::take(&mut self.retired);
        if std::mem::take(&mut self.is_dirty) {
            files.push(Arc::clone(&self.file));
        }
        files
    }
}

/// How leaves recognise a row.
pub(crate) fn row_id(row: &[u8; ROW_BYTES]) -> String {
    to_base64(&sha256(&row[..88])[..6])
}

pub(crate) fn read_row(dir: &Path, row: u64) -> io::Result<[u8; ROW_BYTES]> {
    let mut bytes = [0; ROW_BYTES];
    let file = File::open(row_file(dir, row / ROWS_PER_FILE))?;
    file.read_exact_at(&mut bytes, row % ROWS_PER_FILE * ROW_BYTES as u64)?;
    Ok(bytes)
}

/// Overwrites the rows that leaves name so, those excepted for which that was done before. Each file is synced once.
pub(crate) fn destroy_rows<'a>(dir: &Path, names: impl IntoIterator<Item = &'a String>) -> io::Result<()> {
    let mut files: BTreeMap<u64, File> = BTreeMap::new();
    for name in names {
        let invalid = || io::Error::other(format!("{name} is no wrapped key of this ledger"));
        let (row, id) = name.split_once('.').ok_or_else(invalid)?;
        let row: u64 = row.parse().map_err(|_| invalid())?;
        let bytes = read_row(dir, row)?;
        if bytes == [0; ROW_BYTES] {
            continue;
        }
        if row_id(&bytes) != id {
            return Err(invalid());
        }
        let file = match files.entry(row / ROWS_PER_FILE) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let path = row_file(dir, *place.key());
                place.insert(OpenOptions::new().write(true).open(path)?)
            }
        };
        file.write_all_at(&[0; ROW_BYTES], row % ROWS_PER_FILE * ROW_BYTES as u64)?;
    }
    files.values().try_for_each(File::sync_data)
}

fn row_file(dir: &Path, number: u64) -> PathBuf {
    dir.join("keys").join(format!("{number:08}.keys"))
}

fn open_row_file(dir: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(row_file(dir, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "s-0123456789abcdef";

    fn row() -> (SealKey, SessionKey, [u8; ROW_BYTES]) {
        let seal = SealKey::generate().unwrap();
        let (key, row) = SessionKey::generate(&seal, SID).unwrap();
        (seal, key, row)
    }

    #[test]
    fn contents_open_only_in_their_place() {
        let (seal, mut key, row) = row();
        let mut sealed = [&[0; NONCE_BYTES][..], b"contents"].concat();
        key.seal(&mut sealed, 0, SID, 7).unwrap();
        let opening = OpeningKey::unwrap(&seal, SID, &row).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(opening.open(&sealed, SID, 7).unwrap(), b"contents");
        assert!(opening.open(&sealed, SID, 8).is_none());
        assert!(opening.open(&sealed, "s-0123456789abcdeg", 7).is_none());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(opening.open(&bad, SID, 7).is_none(), "{at}");
        }
    }

    #[test]
    fn a_row_that_is_not_ours_says_why() {
        let (seal, _, row) = row();
        let why = |seal: &SealKey, sid: &str, row: &[u8; ROW_BYTES]| OpeningKey::unwrap(seal, sid, row).err();
        assert_eq!(why(&seal, SID, &row), None);
        assert_eq!(why(&seal, SID, &[0; ROW_BYTES]), Some(NoKey::Destroyed));
        assert_eq!(why(&SealKey::generate().unwrap(), SID, &row), Some(NoKey::Foreign));
        assert_eq!(why(&seal, "s-0123456789abcdeg", &row), Some(NoKey::Damaged));
        let mut bad = row;
        bad[50] ^= 1;
        assert_eq!(why(&seal, SID, &bad), Some(NoKey::Damaged));
    }

    #[test]
    fn rows_go_on_after_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let (_, _, row) = row();
        let mut keys = KeyFile::open(dir.path()).unwrap();
        assert!(keys.add(&row).unwrap().starts_with("0."));
        drop(keys);
        let file = OpenOptions::new().write(true).open(row_file(dir.path(), 0)).unwrap();
        file.write_all_at(b"torn", ROW_BYTES as u64).unwrap();
        let mut keys = KeyFile::open(dir.path()).unwrap();
        let name = keys.add(&row).unwrap();
        assert_eq!(name, format!("1.{}", row_id(&row)));
        assert_eq!(read_row(dir.path(), 1).unwrap(), row);
    }
}
