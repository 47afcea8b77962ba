//! Single records, by the places that the index names.

use std::fs::File;

use grille_policy::SessionId;

use super::Reader;
use super::opener::{Broken, Opener};
use crate::frame::{read_at, segment_path};
use crate::index::{Traced, Unusable};
use crate::leaf::Leaf;
use crate::{Contents, ReadError, Record};

pub(crate) struct Places<'a> {
    reader: &'a Reader,
    opener: Opener,
    /// The segment that was read last: sessions have most of their records in one.
    file: Option<(u32, File)>,
    buffer: Vec<u8>,
    /// Where the leaf begins in it.
    leaf_at: usize,
}

impl<'a> Places<'a> {
    pub(crate) fn of(reader: &'a Reader) -> Self {
        Self { reader, opener: reader.opener(), file: None, buffer: Vec::new(), leaf_at: 0 }
    }

    /// The leaf of a record, which has to be of this session and of this kind.
    pub(crate) fn leaf(&mut self, at: (u32, u64), id: Option<SessionId>, kind: &str) -> Result<Leaf, Unusable> {
        let (segment, offset) = at;
        let path = segment_path(&self.reader.dir, segment);
        let failed = |source| Unusable::Read(ReadError::Io { path, source });
        let file = match self.file.take().filter(|(open, _)| *open == segment) {
            Some((_, file)) => Ok(file),
            None => File::open(segment_path(&self.reader.dir, segment)),
        };
        let read = file.and_then(|file| {
            let (_, file) = self.file.insert((segment, file));
            Ok(read_at(file, offset, &mut self.buffer)?.map(|(sealed, leaf)| (sealed.len(), Leaf::parse(leaf))))
        });
        let (leaf_at, leaf) = read.map_err(failed)?.ok_or(Unusable::Disagrees { segment })?;
        self.leaf_at = leaf_at;
        leaf.filter(|leaf| leaf.kind == kind && id.is_none_or(|id| id == leaf.sid))
            .ok_or(Unusable::Disagrees { segment })
    }

    /// The record that opens a session; none where its contents are sealed.
    pub(crate) fn opening(&mut self, traced: &Traced) -> Result<Option<Record<'static>>, Unusable> {
        let (segment, at) = traced.open();
        let leaf = self.leaf((segment, at.offset), Some(traced.id()), "session.open")?;
        self.record(&leaf)
    }

    /// The same of the one that closes it, if it is closed.
    pub(crate) fn closing(&mut self, traced: &Traced) -> Result<Option<Option<Record<'static>>>, Unusable> {
        let Some((segment, at)) = traced.close() else { return Ok(None) };
        let leaf = self.leaf((segment, at.offset), Some(traced.id()), "session.close")?;
        self.record(&leaf).map(Some)
    }

    /// The record whose leaf was read last; none where its contents are sealed.
    pub(crate) fn record(&mut self, leaf: &Leaf) -> Result<Option<Record<'static>>, Unusable> {
        let disagrees = || Unusable::Disagrees { segment: leaf.position().map_or(0, |(segment, _)| segment) };
        match self.opener.open(leaf, &self.buffer[..self.leaf_at])? {
            Ok(Contents::Open(opened)) => Ok(opened.record),
            Ok(Contents::Sealed(_)) => Ok(None),
            Err(Broken(_)) => Err(disagrees()),
        }
    }
}
