//! The files of a bundle: a tar file, or the directory that it was unpacked into. Only names and places are held.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::damage::VerifyError;
use crate::sha256::{Hash, Sha256};

const BLOCK_BYTES: u64 = 512;
/// Parts are closed at 8 MiB; the last record in one may be as large as a record can be, and its text escaped.
const READ_BYTES_MAX: u64 = 512 << 20;
/// A bundle of 200,000 operations has fewer files.
const FILES_MAX: usize = 1_000_000;

pub(super) struct Archive {
    path: PathBuf,
    /// The tar file; none for a directory.
    tar: Option<File>,
    files: BTreeMap<String, Place>,
    /// Names that the tar file holds more than once.
    pub(super) twice: Vec<String>,
}

#[derive(Clone, Copy)]
struct Place {
    at: u64,
    bytes: u64,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, VerifyError> {
        let mut archive = Self { path: path.to_owned(), tar: None, files: BTreeMap::new(), twice: Vec::new() };
        if path.is_dir() {
            archive.list(path).map_err(super::super::io(path))?;
        } else {
            let tar = File::open(path).map_err(super::super::io(path))?;
            archive.index(&tar)?;
            archive.tar = Some(tar);
        }
        Ok(archive)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(super) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let files = self.files.range::<str, _>((std::ops::Bound::Included(folder), std::ops::Bound::Unbounded));
        files.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(folder))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(super) fn bytes_of(&self, name: &str) -> Option<u64> {
        self.files.get(name).map(|place| place.bytes)
    }

    /// A whole file; none if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VerifyError> {
        let Some(place) = self.files.get(name) else { return Ok(None) };
        if place.bytes > READ_BYTES_MAX {
            return Err(
                self.not(format!("{name} in it has {} bytes, and no part of a bundle is so large", place.bytes))
            );
        }
        let mut bytes = Vec::new();
        let mut from = self.reader(name, *place)?;
        from.read_to_end(&mut bytes).map_err(super::super::io(&self.path.join(name)))?;
        Ok(Some(bytes))
    }

    /// The digest of a file that is there, without holding it.
    pub(super) fn digest(&self, name: &str) -> Result<Hash, VerifyError> {
        let mut hash = Sha256::new();
        let Some(place) = self.files.get(name) else { return Ok(hash.finish()) };
        let (mut from, mut buffer) = (self.reader(name, *place)?, vec![0; 64 << 10]);
        loop {
            match from.read(&mut buffer).map_err(super::super::io(&self.path.join(name)))? {
                0 => return Ok(hash.finish()),
                read => hash.update(&buffer[..read]),
            }
        }
    }

    fn reader(&self, name: &str, place: Place) -> Result<Box<dyn Read + '_>, VerifyError> {
        match &self.tar {
            Some(tar) => Ok(Box::new(Span { tar, at: place.at, left: place.bytes })),
            None => {
                let path = self.path.join(name);
                let file = File::open(&path).map_err(super::super::io(&path))?;
                Ok(Box::new(file.take(READ_BYTES_MAX)))
            }
        }
    }

    fn list(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let facts = fs::symlink_metadata(&path)?;
            if facts.is_dir() {
                self.list(&path)?;
            } else if facts.is_file()
                && let Some(name) = path.strip_prefix(&self.path).ok().and_then(Path::to_str)
            {
                self.files.insert(name.to_owned(), Place { at: 0, bytes: facts.len() });
            }
        }
        Ok(())
    }

    /// Reads the headers of a tar file.
    fn index(&mut self, tar: &File) -> Result<(), VerifyError> {
        let length = tar.metadata().map_err(super::super::io(&self.path))?.len();
        let (mut at, mut header) = (0, [0; BLOCK_BYTES as usize]);
        loop {
            if at + BLOCK_BYTES > length {
                return Err(self.not("it ends without the end of a tar file: was it cut on its way?".to_owned()));
            }
            tar.read_exact_at(&mut header, at).map_err(super::super::io(&self.path))?;
            if header.iter().all(|&byte| byte == 0) {
                return Ok(());
            }
            let Some((name, kind, bytes)) = entry(&header) else {
                return Err(self.not(format!("at byte {at} stands no header of a tar file")));
            };
            at += BLOCK_BYTES;
            if bytes > length - at {
                return Err(self.not(format!("it ends within {name}: was it cut on its way?")));
            }
            match kind {
                b'0' | 0 if self.files.contains_key(&name) => self.twice.push(name),
                b'0' | 0 => drop(self.files.insert(name, Place { at, bytes })),
                b'5' => {}
                _ => return Err(self.not(format!("{name} in it is no plain file"))),
            }
            if self.files.len() > FILES_MAX {
                return Err(self.not(format!("it holds more than {FILES_MAX} files")));
            }
            at += bytes.next_multiple_of(BLOCK_BYTES);
        }
    }

    fn not(&self, why: String) -> VerifyError {
        VerifyError::NotABundle { path: self.path.clone(), why }
    }
}

/// Name, type and size of a header whose sum is right.
fn entry(header: &[u8; BLOCK_BYTES as usize]) -> Option<(String, u8, u64)> {
    let octal = |field: &[u8]| {
        let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
        u64::from_str_radix(if text.is_empty() { "0" } else { text }, 8).ok()
    };
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, &byte)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(byte) })
        .sum();
    if octal(&header[148..156]) != Some(sum) {
        return None;
    }
    let name = header[..100].split(|&byte| byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    Some((name.strip_prefix("./").unwrap_or(name).to_owned(), header[156], octal(&header[124..136])?))
}

/// A file within the tar file.
struct Span<'a> {
    tar: &'a File,
    at: u64,
    left: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.tar.read_at(&mut buffer[..wanted], self.at)?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
