//! The index of a whole log, as it is asked: the files of closed segments, and what is not indexed yet read now.

use std::collections::BTreeMap;
use std::path::Path;

use grille_policy::SessionId;

use super::Unusable;
use super::head::{Head, folder};
use super::row::{At, Row, Segment, Verdict};
use crate::SealKey;
use crate::frame::segment_path;

/// Closed segments without a file of their own that are read at once, beside the open one: a writer that is far ahead of
/// its index, or an index that is being made. Where there are more the log is read from its beginning to its end, in
/// less memory.
pub(super) const UNINDEXED_MAX: usize = 8;

/// What the index knows of a log.
pub(crate) struct Index<'a> {
    dir: &'a Path,
    heads: Vec<Head>,
    /// Segments that have no file, oldest first; the last one is the one that is written to.
    unindexed: Vec<u32>,
}

impl<'a> Index<'a> {
    /// None where the log has to be read instead.
    pub(crate) fn open(dir: &'a Path, seal: &SealKey) -> Option<Self> {
        if !folder(dir).exists() {
            return None;
        }
        let mut index = Self { dir, heads: Vec::new(), unindexed: Vec::new() };
        let mut last = 0;
        while segment_path(dir, last + 1).exists() {
            last += 1;
        }
        // One that was begun this moment follows nothing yet.
        last -= u32::from(last > 0 && is_empty(dir, last));
        for segment in 0..last {
            match Head::read(dir, seal, segment) {
                Some(head) => index.heads.push(head),
                None => index.unindexed.push(segment),
            }
            if index.unindexed.len() > UNINDEXED_MAX {
                return None;
            }
        }
        index.unindexed.push(last);
        Some(index)
    }

    /// Every session, the newest first.
    pub(crate) fn newest(&self) -> Result<Newest<'_>, Unusable> {
        let mut waiting: Vec<&Head> = self.heads.iter().collect();
        waiting.sort_unstable_by_key(|head| head.newest);
        let mut newest = Newest {
            index: self,
            waiting,
            open: BTreeMap::new(),
            started: self.heads.iter().filter_map(|head| head.started).max(),
        };
        for &number in &self.unindexed {
            let segment = self.read(number)?;
            newest.started = newest.started.max(segment.started);
            newest.begin(segment);
        }
        Ok(newest)
    }

    /// Where contents were destroyed, in the order of the log.
    pub(crate) fn shreds(&self) -> Result<Vec<(u32, At)>, Unusable> {
        let mut shreds = Vec::new();
        for head in self.heads.iter().filter(|head| head.shreds > 0) {
            shreds.extend(self.rows(head)?.shreds.into_iter().map(|at| (head.segment, at)));
        }
        for &number in &self.unindexed {
            shreds.extend(self.read(number)?.shreds.into_iter().map(|at| (number, at)));
        }
        shreds.sort_unstable_by_key(|(_, at)| at.index);
        Ok(shreds)
    }

    /// Where a session's records begin, or where they do if they are in none of the indexed segments: at the first
    /// record of the first other one.
    pub(crate) fn start_of(&self, id: SessionId) -> Result<(u32, Option<At>), Unusable> {
        let unindexed = self.unindexed.first().copied().unwrap_or_default();
        for head in self.heads.iter().filter(|head| (head.oldest..=head.newest).contains(&id)) {
            if head.segment > unindexed {
                break;
            }
            let rows = self.rows(head)?.rows;
            if let Ok(at) = rows.binary_search_by_key(&id, |row| row.id) {
                return Ok((head.segment, Some(rows[at].first)));
            }
        }
        Ok((unindexed, None))
    }

    fn rows(&self, head: &Head) -> Result<Segment, Unusable> {
        head.rows(self.dir).ok_or(Unusable::Disagrees { segment: head.segment })
    }

    fn read(&self, segment: u32) -> Result<Segment, Unusable> {
        Segment::gather(self.dir, segment, || true)?.ok_or(Unusable::Disagrees { segment })
    }
}

fn is_empty(dir: &Path, number: u32) -> bool {
    let length = std::fs::metadata(segment_path(dir, number)).map_or(0, |segment| segment.len());
    length < crate::frame::SEGMENT_HEADER_BYTES as u64
}

/// Sessions, newest first. It holds the rows of those segments only that have sessions as new as the next one.
pub(crate) struct Newest<'a> {
    index: &'a Index<'a>,
    /// Those with the newest sessions last.
    waiting: Vec<&'a Head>,
    /// Rows that are not told yet, ascending, by the newest of them.
    open: BTreeMap<(SessionId, u32), Vec<Row>>,
    started: Option<u64>,
}

impl Newest<'_> {
    /// The next session that has a beginning.
    pub(crate) fn next(&mut self) -> Result<Option<Traced>, Unusable> {
        loop {
            while let Some(head) = self
                .waiting
                .pop_if(|head| self.open.last_key_value().is_none_or(|((newest, _), _)| head.newest >= *newest))
            {
                let segment = self.index.rows(head)?;
                self.begin(segment);
            }
            let Some((&(id, _), _)) = self.open.last_key_value() else { return Ok(None) };
            let mut rows = Vec::new();
            while let Some(entry) = self.open.last_entry().filter(|entry| entry.key().0 == id) {
                let ((_, segment), mut left) = entry.remove_entry();
                rows.extend(left.pop().map(|row| (segment, row)));
                self.keep(segment, left);
            }
            // They came with the latest segment first.
            rows.reverse();
            if let Some(opening) = rows.iter().rposition(|(_, row)| row.is_opening) {
                return Ok(Some(Traced { started: self.started, rows: rows.split_off(opening) }));
            }
        }
    }

    fn begin(&mut self, segment: Segment) {
        self.keep(segment.number, segment.rows);
    }

    fn keep(&mut self, segment: u32, mut rows: Vec<Row>) {
        if rows.len() < rows.capacity() / 2 {
            rows.shrink_to_fit();
        }
        if let Some(newest) = rows.last() {
            self.open.insert((newest.id, segment), rows);
        }
    }
}

/// What is known of one session, from its opening on.
pub(crate) struct Traced {
    /// Its rows, segment by segment, at least one.
    rows: Vec<(u32, Row)>,
    /// The last start of a node in the log.
    started: Option<u64>,
}

impl Traced {
    fn opening(&self) -> &(u32, Row) {
        self.rows.first().expect("it has its opening")
    }

    pub(crate) fn id(&self) -> SessionId {
        self.opening().1.id
    }

    pub(crate) fn target(&self) -> Option<&str> {
        self.opening().1.target.as_deref()
    }

    pub(crate) fn open(&self) -> (u32, At) {
        let (segment, row) = self.opening();
        (*segment, row.first)
    }

    pub(crate) fn close(&self) -> Option<(u32, At)> {
        self.rows.iter().rev().find_map(|(segment, row)| Some((*segment, row.close?)))
    }

    /// Whether a node started after it began.
    pub(crate) fn is_outlived(&self) -> bool {
        self.started.is_some_and(|started| started > self.open().1.index)
    }

    /// The times of its first and of its last record.
    pub(crate) fn span(&self) -> (u64, u64) {
        let last = self.rows.last().map_or(0, |(_, row)| row.last);
        (self.opening().1.began, last)
    }

    pub(crate) fn records(&self) -> u64 {
        self.rows.iter().map(|(_, row)| row.records).sum()
    }

    pub(crate) fn count(&self, wanted: impl Fn(Verdict) -> bool) -> u64 {
        self.decisions().filter(|(.., verdict)| wanted(*verdict)).count() as u64
    }

    /// Every decision's segment and offset, in order.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = (u32, u64, Verdict)> {
        self.rows
            .iter()
            .flat_map(|(segment, row)| row.decisions.iter().map(|&(offset, verdict)| (*segment, offset, verdict)))
    }

    /// The earliest and the latest time of a decision.
    pub(crate) fn decided(&self) -> Option<(u64, u64)> {
        let spans = self.rows.iter().filter_map(|(_, row)| row.decided);
        spans.reduce(|(earliest, latest), (from, to)| (earliest.min(from), latest.max(to)))
    }
}
