//! What the leaves of one segment tell, session by session.

use std::collections::HashMap;
use std::path::Path;

use grille_policy::SessionId;
use serde::Deserialize;

use super::bytes::{Bytes, push_number, push_text};
use crate::ReadError;
use crate::frame::{FrameReader, Next, SEGMENT_HEADER_BYTES, segment_path};
use crate::reader::first_index;

/// Where a record stands within its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) index: u64,
    pub(crate) offset: u64,
}

/// What a leaf says of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Review,
    Block,
    /// None of these; whoever asks reads the leaf.
    Other,
}

impl Verdict {
    pub(crate) fn of(name: Option<&str>) -> Self {
        match name {
            Some("allow") => Self::Allow,
            Some("review") => Self::Review,
            Some("block") => Self::Block,
            _ => Self::Other,
        }
    }
}

/// The records of one session in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: SessionId,
    /// The first of them.
    pub(crate) first: At,
    /// Whether that one opens the session.
    pub(crate) is_opening: bool,
    /// The one that closes it, if it is here.
    pub(crate) close: Option<At>,
    pub(crate) records: u64,
    /// The times of the first and of the last, in Unix microseconds.
    pub(crate) began: u64,
    pub(crate) last: u64,
    /// The target's pseudonym.
    pub(crate) target: Option<String>,
    /// The offsets of its decisions, ascending.
    pub(crate) decisions: Vec<(u64, Verdict)>,
    /// The earliest and the latest time of a decision: clocks are set, so they need not be the first and the last.
    pub(crate) decided: Option<(u64, u64)>,
}

/// All that is kept of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    /// The index of its first record, and how many it has.
    pub(crate) first: u64,
    pub(crate) records: u64,
    /// The last start of a node: sessions that began before and have no end are lost.
    pub(crate) started: Option<u64>,
    /// Where contents were destroyed.
    pub(crate) shreds: Vec<At>,
    /// By their ids.
    pub(crate) rows: Vec<Row>,
}

/// What is needed of a leaf; its texts hold no escapes.
#[derive(Deserialize)]
struct Glance<'a> {
    v: u8,
    #[serde(borrow)]
    sid: &'a str,
    seq: u64,
    #[serde(borrow)]
    kind: &'a str,
    #[serde(borrow, default)]
    target: Option<&'a str>,
    #[serde(borrow, default)]
    verdict: Option<&'a str>,
    log_time: u64,
}

impl Segment {
    /// Reads a segment once, as far as it is written. `keep_on` is asked now and then; none once it says no, and
    /// where there is something that a reader of the log has to judge.
    pub(crate) fn gather(
        dir: &Path,
        number: u32,
        mut keep_on: impl FnMut() -> bool,
    ) -> Result<Option<Self>, ReadError> {
        let path = segment_path(dir, number);
        let io = |source| ReadError::Io { path: path.clone(), source };
        if std::fs::metadata(&path).map_err(io)?.len() < SEGMENT_HEADER_BYTES as u64 {
            return Ok(None);
        }
        let first = first_index(dir, number)?;
        let mut segment = Self { number, first, records: 0, started: None, shreds: Vec::new(), rows: Vec::new() };
        let mut rows: HashMap<String, Row> = HashMap::new();
        let io = |source| ReadError::Io { path: path.clone(), source };
        let mut frames = FrameReader::open_at(dir, number, 0, first).and_then(FrameReader::until_now).map_err(io)?;
        loop {
            let io = |source| ReadError::Io { path: path.clone(), source };
            let frame = match frames.next().map_err(io)? {
                Next::Frame(frame) if frame.segment == number => frame,
                Next::Frame(_) | Next::End { .. } => break,
                Next::Bad(_) => return Ok(None),
            };
            let Some(leaf) = serde_json::from_slice::<Glance<'_>>(frame.leaf).ok().filter(|leaf| leaf.v == 1) else {
                return Ok(None);
            };
            let at = At { index: frame.index, offset: frame.offset };
            segment.records += 1;
            match leaf.kind {
                "node.start" if leaf.seq == 0 => segment.started = Some(at.index),
                "shred" => segment.shreds.push(at),
                _ => {}
            }
            match rows.get_mut(leaf.sid).filter(|_| leaf.kind != "session.open") {
                Some(row) => row.add(at, &leaf),
                None => {
                    let Ok(id) = leaf.sid.parse() else { return Ok(None) };
                    rows.insert(leaf.sid.to_owned(), Row::begin(id, at, &leaf));
                }
            }
            if segment.records.is_multiple_of(4096) && !keep_on() {
                return Ok(None);
            }
        }
        segment.rows = rows.into_values().collect();
        segment.rows.sort_unstable_by_key(|row| row.id);
        Ok(Some(segment))
    }

    /// Places and rows; the rest is in the head.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_number(&mut out, self.shreds.len() as u64);
        for at in &self.shreds {
            at.push(&mut out, self.first);
        }
        push_number(&mut out, self.rows.len() as u64);
        for row in &self.rows {
            row.push(&mut out, self.first);
        }
        out
    }

    pub(super) fn read_body(&mut self, body: &[u8]) -> Option<()> {
        let mut bytes = Bytes(body);
        let shreds = bytes.count()?;
        self.shreds = (0..shreds).map(|_| At::take(&mut bytes, self.first)).collect::<Option<_>>()?;
        let rows = bytes.count()?;
        self.rows = (0..rows).map(|_| Row::take(&mut bytes, self.first)).collect::<Option<_>>()?;
        bytes.0.is_empty().then_some(())
    }
}

impl At {
    fn push(self, out: &mut Vec<u8>, first: u64) {
        push_number(out, self.index - first);
        push_number(out, self.offset);
    }

    fn take(bytes: &mut Bytes<'_>, first: u64) -> Option<Self> {
        Some(Self { index: first.checked_add(bytes.number()?)?, offset: bytes.number()? })
    }
}

impl Row {
    fn begin(id: SessionId, at: At, leaf: &Glance<'_>) -> Self {
        let mut row = Self {
            id,
            first: at,
            is_opening: leaf.kind == "session.open",
            close: None,
            records: 0,
            began: leaf.log_time,
            last: leaf.log_time,
            target: leaf.target.map(str::to_owned),
            decisions: Vec::new(),
            decided: None,
        };
        row.add(at, leaf);
        row
    }

    fn add(&mut self, at: At, leaf: &Glance<'_>) {
        self.records += 1;
        self.last = leaf.log_time;
        match leaf.kind {
            "decision" => {
                let (earliest, latest) = self.decided.unwrap_or((leaf.log_time, leaf.log_time));
                self.decided = Some((earliest.min(leaf.log_time), latest.max(leaf.log_time)));
                self.decisions.push((at.offset, Verdict::of(leaf.verdict)));
            }
            "session.close" => self.close = Some(at),
            _ => {}
        }
    }

    fn push(&self, out: &mut Vec<u8>, first: u64) {
        out.extend_from_slice(self.id.to_string().as_bytes());
        let flags = [self.is_opening, self.close.is_some(), self.target.is_some(), self.decided.is_some()];
        out.push(flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u8::from(flag)));
        self.first.push(out, first);
        if let Some(close) = self.close {
            close.push(out, first);
        }
        for number in [self.records, self.began, self.last] {
            push_number(out, number);
        }
        if let Some(target) = &self.target {
            push_text(out, target);
        }
        if let Some((earliest, latest)) = self.decided {
            push_number(out, earliest);
            push_number(out, latest);
        }
        push_number(out, self.decisions.len() as u64);
        let mut before = 0;
        for &(offset, verdict) in &self.decisions {
            // A segment would have to be four exabytes long for the two bits to be missing.
            push_number(out, (offset - before) << 2 | verdict as u64);
            before = offset;
        }
    }

    fn take(bytes: &mut Bytes<'_>, first: u64) -> Option<Self> {
        let id = std::str::from_utf8(bytes.take(18)?).ok()?.parse().ok()?;
        let [flags] = bytes.array()?;
        let has = |bit: u8| flags >> bit & 1 == 1;
        let mut row = Self {
            id,
            is_opening: has(0),
            first: At::take(bytes, first)?,
            close: if has(1) { Some(At::take(bytes, first)?) } else { None },
            records: bytes.number()?,
            began: bytes.number()?,
            last: bytes.number()?,
            target: if has(2) { Some(bytes.text()?.to_owned()) } else { None },
            decided: if has(3) { Some((bytes.number()?, bytes.number()?)) } else { None },
            decisions: Vec::new(),
        };
        let mut offset = 0u64;
        for _ in 0..bytes.count()? {
            let number = bytes.number()?;
            offset = offset.checked_add(number >> 2)?;
            let verdict = match number & 3 {
                0 => Verdict::Allow,
                1 => Verdict::Review,
                2 => Verdict::Block,
                _ => Verdict::Other,
            };
            row.decisions.push((offset, verdict));
        }
        Some(row)
    }
}
