//! Which session's retention ends on which day: one file per day below `due/`, filled from the log as it grows. It is a cache:
//! where it is gone, or does not go with the log any more, it is made again from the beginning.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use grille_policy::SessionId;
use serde::{Deserialize, Serialize};

use super::Retention;
use super::passed::Passed;
use crate::leaf::Leaf;
use crate::seal::NoKey;
use crate::tiles::{Durability, replace};
use crate::{Contents, Entries, ReadError, Reader, Record};

const FOLDER: &str = "due";
/// How far the log is taken in.
const STATE: &str = "state";
const DAY: u64 = 86_400_000_000;
/// A row: session, index and place of its first record, what had passed by its last one, filled with zeros from the left.
const ROW_BYTES: usize = 18 + 1 + 20 + 1 + 10 + 1 + 20 + 1 + 20 + 1;

/// What is due when.
pub(crate) struct Calendar {
    folder: PathBuf,
    state: State,
    turn: Option<Turn>,
    /// The days before this one were looked through in this round.
    next_day: u64,
}

/// The day whose sessions end now.
struct Turn {
    day: u64,
    /// The bytes of it that were handed out.
    offset: u64,
    /// The rows of those that a legal hold keeps.
    kept: String,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// What counts for sessions that do not say.
    default_s: u64,
    /// The last record that was taken in.
    place: Option<Place>,
    passed: Passed,
    /// Sessions without an end so far.
    open: BTreeMap<SessionId, Open>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    index: u64,
    segment: u32,
    offset: u64,
}

#[derive(Serialize, Deserialize)]
struct Open {
    first: Place,
    seconds: u64,
    /// The time that had passed by its last record.
    last: u64,
}

/// A session that ends on some day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) session: SessionId,
    first: Place,
    ended: u64,
}

/// What the log says of a row.
pub(super) enum Due {
    Now {
        subject: String,
        retention: Retention<'static>,
        key: String,
    },
    /// Its contents are gone.
    Destroyed,
    /// The row is wrong.
    Later,
}

impl Calendar {
    pub(crate) fn open(dir: &Path, default_s: u64) -> Self {
        let folder = dir.join(FOLDER);
        let state = fs::read(folder.join(STATE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        // With another default other days may be due.
        let state = state.filter(|state: &State| state.default_s == default_s);
        let state = state.unwrap_or_else(|| State { default_s, ..State::default() });
        Self { folder, state, turn: None, next_day: 0 }
    }

    pub(super) fn begin_anew(&mut self) -> Result<(), ReadError> {
        self.turn = None;
        self.next_day = 0;
        self.state = State { default_s: self.state.default_s, ..State::default() };
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreadable(&self.folder)(error)),
            _ => Ok(()),
        }
    }

    /// Takes in what was written since, of so many segments at most. True when that is all.
    pub(super) fn catch_up(&mut self, reader: &Reader, synced: u64, segments: u32) -> Result<bool, ReadError> {
        if self.state.place.is_none() {
            self.begin_anew()?;
        }
        fs::create_dir_all(&self.folder).map_err(unreadable(&self.folder))?;
        let mut entries = match self.state.place {
            None => reader.records()?,
            Some(place) => match self.behind(reader, place) {
                Some(entries) => entries,
                None => {
                    tracing::warn!("what is due when does not go with the log: it is worked out again");
                    self.state.place = None;
                    return self.catch_up(reader, synced, segments);
                }
            },
        };
        let first = self.state.place.map_or(0, |place| place.segment);
        let mut ended: BTreeMap<u64, String> = BTreeMap::new();
        let mut is_done = true;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            let index = entries.index();
            let Some((segment, offset)) = leaf.position() else { continue };
            if index >= synced {
                break;
            }
            if segment - first >= segments {
                is_done = false;
                break;
            }
            let place = Place { index, segment, offset };
            self.state.passed.see(index, leaf.log_time);
            match leaf.kind.as_str() {
                "session.open" => {
                    if let Some(Record::SessionOpen(open)) = entries.open_record(&leaf, &sealed)? {
                        let seconds = open.retention.map_or(self.state.default_s, |retention| retention.seconds);
                        self.state.open.insert(leaf.sid, Open { first: place, seconds, last: 0 });
                    }
                    self.go_on(&leaf, index);
                }
                "session.close" => {
                    self.go_on(&leaf, index);
                    if let Some(open) = self.state.open.remove(&leaf.sid) {
                        open.end(leaf.sid, &mut ended);
                    }
                }
                "node.start" if leaf.seq == 0 => {
                    // Whatever was open ended with its node.
                    for (session, open) in std::mem::take(&mut self.state.open) {
                        open.end(session, &mut ended);
                    }
                }
                _ => self.go_on(&leaf, index),
            }
            self.state.place = Some(place);
        }
        self.write(&ended).map_err(unreadable(&self.folder))?;
        Ok(is_done)
    }

    /// What follows the record that was taken in last; none where that does not stand there any more.
    fn behind(&self, reader: &Reader, place: Place) -> Option<Entries> {
        let mut entries = reader.records_at(place.segment, place.offset, place.index).ok()?;
        let (last, _) = entries.next_leaf().ok()??;
        (Some(last.log_time) == self.state.passed.last()).then_some(entries)
    }

    fn go_on(&mut self, leaf: &Leaf, index: u64) {
        if let Some(open) = self.state.open.get_mut(&leaf.sid) {
            open.last = self.state.passed.at(index, leaf.log_time);
        }
    }

    /// The rows are safe before the state says so: a crash between writes them twice, which does no harm.
    fn write(&self, ended: &BTreeMap<u64, String>) -> io::Result<()> {
        for (day, rows) in ended {
            let mut file = OpenOptions::new().append(true).create(true).open(self.day(*day))?;
            file.write_all(rows.as_bytes())?;
            file.sync_data()?;
        }
        if !ended.is_empty() {
            File::open(&self.folder)?.sync_all()?;
        }
        let text = serde_json::to_vec(&self.state).map_err(|error| io::Error::other(error.to_string()))?;
        replace(&self.folder.join(STATE), &text, Durability::Derived)
    }

    /// The next sessions that are due; none at the end of a round.
    pub(super) fn due(&mut self, limit: usize) -> Result<Vec<Row>, ReadError> {
        loop {
            let Some(turn) = &mut self.turn else {
                let next = self.days()?.into_iter().find(|day| *day >= self.next_day && self.is_past(*day));
                let Some(day) = next else {
                    self.next_day = 0;
                    return Ok(Vec::new());
                };
                self.turn = Some(Turn { day, offset: 0, kept: String::new() });
                continue;
            };
            let path = self.folder.join(name_of(turn.day));
            let text = read_rows(&path, turn.offset, limit).map_err(unreadable(&path))?;
            turn.offset += text.len() as u64;
            let rows = parse(&text);
            if !rows.is_empty() {
                return Ok(rows);
            }
            if !text.is_empty() {
                continue;
            }
            self.next_day = turn.day + 1;
            let kept = self.turn.take().map(|turn| turn.kept).unwrap_or_default();
            rewrite(&path, &kept).map_err(unreadable(&path))?;
        }
    }

    /// A session of this turn that a legal hold keeps.
    pub(super) fn keep(&mut self, row: &Row) {
        if let Some(turn) = &mut self.turn {
            turn.kept.push_str(&row.text());
        }
    }

    /// What the log says of a session that is due.
    pub(super) fn read(&self, reader: &Reader, row: &Row) -> Result<Due, ReadError> {
        let mut entries = reader.records_at(row.first.segment, row.first.offset, row.first.index)?;
        let Some(first) = entries.next().transpose()? else { return Ok(Due::Later) };
        if first.leaf.sid != row.session {
            return Ok(Due::Later);
        }
        if matches!(&first.contents, Contents::Sealed(why) if *why == NoKey::Destroyed.describe()) {
            return Ok(Due::Destroyed);
        }
        let Some(Record::SessionOpen(open)) = first.record() else { return Ok(Due::Later) };
        let retention = open.retention.clone().unwrap_or_else(|| self.default());
        // Whatever the row's day says, what was recorded counts.
        if row.ended.saturating_add(retention.micros()) > self.state.passed.now() {
            return Ok(Due::Later);
        }
        Ok(Due::Now { subject: open.facts.subject.sub.to_string(), retention, key: first.leaf.key_id })
    }

    fn default(&self) -> Retention<'static> {
        Retention { class: super::LEDGER.into(), seconds: self.state.default_s }
    }

    pub(super) fn kept_until(&self, retention: &Retention<'_>, index: u64, ended: u64) -> Option<u64> {
        let passed = &self.state.passed;
        let until = passed.at(index, ended).saturating_add(retention.micros());
        (until > passed.now()).then(|| passed.shown(until))
    }

    pub(super) fn leapt(&self) -> u64 {
        self.state.passed.ahead().max(0).unsigned_abs()
    }

    /// How many sessions are past their retention.
    pub(super) fn past(&self) -> Result<u64, ReadError> {
        let mut bytes = 0;
        for day in self.days()?.into_iter().filter(|day| self.is_past(*day)) {
            let path = self.day(day);
            bytes += fs::metadata(&path).map_err(unreadable(&path))?.len();
        }
        // Of the day at hand only those that are kept are still there.
        let gone = self.turn.as_ref().map_or(0, |turn| turn.offset.saturating_sub(turn.kept.len() as u64));
        Ok(bytes.saturating_sub(gone) / ROW_BYTES as u64)
    }

    /// Takes a session out of the days that are past.
    pub(super) fn forget(&self, session: SessionId) -> Result<(), ReadError> {
        let at_hand = self.turn.as_ref().map(|turn| turn.day);
        for day in self.days()?.into_iter().filter(|day| self.is_past(*day) && Some(*day) != at_hand) {
            let path = self.day(day);
            let rows = parse(&read_rows(&path, 0, usize::MAX).map_err(unreadable(&path))?);
            if rows.iter().any(|row| row.session == session) {
                let rest: String = rows.iter().filter(|row| row.session != session).map(Row::text).collect();
                rewrite(&path, &rest).map_err(unreadable(&path))?;
            }
        }
        Ok(())
    }

    /// A day is past when it is over: nothing ends before its time.
    fn is_past(&self, day: u64) -> bool {
        day <= self.state.passed.now() / DAY
    }

    fn day(&self, day: u64) -> PathBuf {
        self.folder.join(name_of(day))
    }

    fn days(&self) -> Result<Vec<u64>, ReadError> {
        let mut days = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable(&self.folder))? {
            let name = entry.map_err(unreadable(&self.folder))?.file_name();
            days.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        days.sort_unstable();
        Ok(days)
    }
}

impl Open {
    fn end(self, session: SessionId, ended: &mut BTreeMap<u64, String>) {
        let due = self.last.saturating_add(self.seconds.saturating_mul(1_000_000));
        let row = Row { session, first: self.first, ended: self.last };
        ended.entry(due.div_ceil(DAY)).or_default().push_str(&row.text());
    }
}

impl Row {
    fn text(&self) -> String {
        let Place { index, segment, offset } = self.first;
        format!("{} {index:020} {segment:010}:{offset:020} {:020}\n", self.session, self.ended)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (session, index, place, ended) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (segment, offset) = place.split_once(':')?;
        let first = Place { index: index.parse().ok()?, segment: segment.parse().ok()?, offset: offset.parse().ok()? };
        Some(Self { session: session.parse().ok()?, first, ended: ended.parse().ok()? })
    }
}

/// Days since 1970: 100,000 of them last until the year 2243, and files sort by name until then.
fn name_of(day: u64) -> String {
    format!("{day:05}")
}

/// At most `limit` rows.
fn read_rows(path: &Path, offset: u64, limit: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = String::new();
    file.take((limit as u64).saturating_mul(ROW_BYTES as u64)).read_to_string(&mut text)?;
    Ok(text)
}

/// What is no row is left out: whatever it was, nothing is destroyed for it.
fn parse(text: &str) -> Vec<Row> {
    text.lines().filter_map(Row::parse).collect()
}

fn rewrite(path: &Path, rows: &str) -> io::Result<()> {
    if rows.is_empty() { fs::remove_file(path) } else { replace(path, rows.as_bytes(), Durability::Synced) }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::Io { path, source }
}
