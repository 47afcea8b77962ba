//! The records of a bundle: each under the checkpoint, each session whole, each text what its leaf commits to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::super::damage::{Damage, DamageKind, Progress, VerifyError};
use super::decided::Decided;
use super::signed::{Manifest, standard};
use super::{Judge, Named};
use crate::leaf::Leaf;
use crate::merkle::{includes, leaf_hash};
use crate::note::Checkpoint;
use crate::reader::unpack;
use crate::seal::OpeningKey;
use crate::sha256::{Hash, from_base64, sha256};

type Tell<'a> = Option<&'a mut dyn FnMut(Progress)>;

/// How much there was to look at, and what follows of how sessions ended.
#[derive(Default)]
pub(super) struct Told {
    pub(super) records: u64,
    pub(super) sessions: u64,
    pub(super) closed: u64,
    /// Texts that their salts prove, that a signature vouches for, and that the session's key opened.
    pub(super) proven: u64,
    pub(super) told: u64,
    pub(super) opened: u64,
    pub(super) notes: Vec<String>,
}

pub(super) fn check(
    judge: &mut Judge<'_>,
    checkpoint: &Checkpoint,
    manifest: Option<&Manifest>,
    decided: &mut Decided,
    tell: &mut Tell<'_>,
) -> Result<Told, VerifyError> {
    let keys = keys(judge)?;
    let all = manifest.map_or(0, |manifest| manifest.sessions.iter().map(|session| session.records).sum());
    let mut walk = Walk { judge, checkpoint, keys, decided, all, told: Told::default() };
    let archive = walk.judge.archive;
    let folders: BTreeSet<&str> = archive.below("sessions/").filter_map(|name| name.split('/').nth(1)).collect();
    let mut found = BTreeMap::new();
    for folder in folders {
        found.insert(folder, walk.session(folder, tell)?);
    }
    walk.node(tell)?;
    walk.told.sessions = found.len() as u64;
    walk.told.closed = found.values().filter(|session| session.is_closed).count() as u64;
    if let Some(manifest) = manifest {
        walk.ends(manifest, &found);
    }
    Ok(walk.told)
}

/// The keys that go along, by session.
fn keys(judge: &mut Judge<'_>) -> Result<BTreeMap<String, OpeningKey>, VerifyError> {
    const NAME: &str = "keys/contents.json";
    let Some(text) = judge.archive.read(NAME)? else { return Ok(BTreeMap::new()) };
    let parse = || -> Option<BTreeMap<String, OpeningKey>> {
        let keys: BTreeMap<String, String> = serde_json::from_slice(&text).ok()?;
        keys.into_iter().map(|(sid, key)| Some((sid, OpeningKey::from_bytes(&standard(&key)?)?))).collect()
    };
    let keys = parse();
    if keys.is_none() {
        judge.whole(DamageKind::Keys, NAME, "it is in no known form");
    }
    Ok(keys.unwrap_or_default())
}

/// One line of a part.
#[derive(Deserialize)]
struct Row {
    index: u64,
    leaf: String,
    proof: Vec<String>,
    record: Option<String>,
    salt: Option<String>,
}

struct Walk<'j, 'a> {
    judge: &'j mut Judge<'a>,
    checkpoint: &'j Checkpoint,
    keys: BTreeMap<String, OpeningKey>,
    decided: &'j mut Decided,
    all: u64,
    told: Told,
}

/// A session as far as its records were read.
#[derive(Default)]
struct Session {
    next: u64,
    hash: Option<Hash>,
    first: Option<u64>,
    last: Option<Named>,
    gaps: Vec<Gap>,
    is_closed: bool,
}

/// Numbers that are not there, up to the record before which that was noticed.
struct Gap {
    numbers: std::ops::Range<u64>,
    found_later: u64,
    before: Named,
}

impl Walk<'_, '_> {
    fn session(&mut self, sid: &str, tell: &mut Tell<'_>) -> Result<Session, VerifyError> {
        let folder = format!("sessions/{sid}/");
        let mut session = Session::default();
        for name in parts(self.judge, &folder) {
            let sealed_name = format!("{}sealed", name.strip_suffix("ndjson").unwrap_or(&name));
            let sealed = self.judge.archive.read(&sealed_name)?;
            if sealed.is_none() {
                self.judge.push(of_session(sid, DamageKind::Contents, &sealed_name, "the sealed contents are missing"));
            }
            // Where a row is missing, the contents of all that follow are displaced: of a run, the first is told.
            let (mut rest, mut fits) = (sealed.as_deref(), true);
            self.part(&name, tell, |walk, named, leaf, row| {
                walk.follow(&mut session, sid, named, leaf, &row.leaf);
                if let Some(bytes) = rest {
                    let (piece, behind) = usize::try_from(leaf.len)
                        .ok()
                        .and_then(|len| bytes.split_at_checked(len))
                        .unwrap_or((bytes, &[]));
                    rest = Some(behind);
                    let before = std::mem::replace(&mut fits, is_of(piece, leaf));
                    if fits {
                        walk.contents(sid, named, leaf, piece, row.record.as_deref());
                    } else if before {
                        let detail = "the sealed contents are not those that the leaf names".to_owned();
                        walk.judge.push(named.damage(DamageKind::Contents, detail));
                    }
                }
            })?;
            if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                let detail = format!("{} bytes belong to no record", rest.len());
                self.judge.push(of_session(sid, DamageKind::Contents, &sealed_name, &detail));
            }
        }
        for gap in &session.gaps {
            if gap.found_later < gap.numbers.end - gap.numbers.start {
                let detail = format!("number {} of the session is missing before it", gap.numbers.start);
                self.judge.push(gap.before.damage(DamageKind::Missing, detail));
            }
        }
        Ok(session)
    }

    fn node(&mut self, tell: &mut Tell<'_>) -> Result<(), VerifyError> {
        let mut last = None;
        for name in parts(self.judge, "node/") {
            self.part(&name, tell, |walk, named, leaf, _| {
                if last.replace(named.index).is_some_and(|last| named.index <= last) {
                    let detail = "the records are not in the order of the log".to_owned();
                    walk.judge.push(named.damage(DamageKind::Chain, detail));
                }
                walk.decided.note_node(named, leaf);
            })?;
        }
        Ok(())
    }

    /// Reads a part, judges each record by itself, and hands it on.
    fn part(
        &mut self,
        name: &str,
        tell: &mut Tell<'_>,
        mut each: impl FnMut(&mut Self, &Named, &Leaf, &Row),
    ) -> Result<(), VerifyError> {
        let text = self.judge.archive.read(name)?.unwrap_or_default();
        let (file, mut offset) = (Arc::<str>::from(name), 0);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let at = offset;
            offset += line.len() as u64;
            let parsed = serde_json::from_slice::<Row>(line).ok();
            let Some((row, leaf)) = parsed.and_then(|row| Leaf::parse(row.leaf.as_bytes()).map(|leaf| (row, leaf)))
            else {
                let detail = "it is not in the form of a record".to_owned();
                self.judge.push(Damage { offset: at, ..Damage::whole(DamageKind::Altered, Path::new(name), detail) });
                continue;
            };
            let named = Named::new(&file, at, row.index, &leaf);
            self.told.records += 1;
            if let Some(tell) = tell.as_mut() {
                tell(Progress { records: self.told.records, signed: self.all });
            }
            self.prove(&named, &leaf, &row);
            self.decided.note(self.judge, &named, &leaf, row.record.as_deref());
            each(self, &named, &leaf, &row);
        }
        Ok(())
    }

    /// A record is in the log, and its text is the one that it commits to.
    fn prove(&mut self, named: &Named, leaf: &Leaf, row: &Row) {
        let (size, root) = (self.checkpoint.size, &self.checkpoint.root);
        let path: Option<Vec<Hash>> = row.proof.iter().map(|hash| standard(hash)?.try_into().ok()).collect();
        let hash = leaf_hash(row.leaf.as_bytes());
        if leaf.node != self.checkpoint.origin {
            let detail = format!("the record is of the log {}", leaf.node);
            self.judge.push(named.damage(DamageKind::ForeignLog, detail));
        } else if !path.is_some_and(|path| includes(row.index, size, hash, &path, root)) {
            let detail = format!("the record is not number {} under the checkpoint", row.index);
            self.judge.push(named.damage(DamageKind::Altered, detail));
        }
        let Some(record) = &row.record else { return };
        let Some(salt) = &row.salt else {
            self.told.told += 1;
            return;
        };
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
        let salted = from_base64(salt).map(|salt| [&salt, &length[..], record.as_bytes()].concat());
        if salted.is_some_and(|salted| leaf.commit_hash() == Some(sha256(&salted))) {
            self.told.proven += 1;
        } else {
            let detail = "its text is not what the leaf commits to".to_owned();
            self.judge.push(named.damage(DamageKind::Record, detail));
        }
    }

    /// A record is the next of its session.
    fn follow(&mut self, session: &mut Session, sid: &str, named: &Named, leaf: &Leaf, text: &str) {
        let last = session.last.as_ref().map(|last| last.index);
        let mut late = None;
        let wrong = if leaf.sid.to_string() != sid {
            Some((DamageKind::ForeignSession, format!("the record is of session {}", leaf.sid)))
        } else if session.is_closed {
            Some((DamageKind::Inserted, "a record stands behind the session's close".to_owned()))
        } else if leaf.seq > session.next {
            let numbers = session.next..leaf.seq;
            session.gaps.push(Gap { numbers, found_later: 0, before: named.clone() });
            None
        } else if leaf.seq < session.next {
            late = session.gaps.iter_mut().find(|gap| gap.numbers.contains(&leaf.seq));
            Some(match late {
                Some(_) => {
                    (DamageKind::Moved, format!("number {} stands behind number {}", leaf.seq, session.next - 1))
                }
                None => (DamageKind::Inserted, format!("number {} stands here again", leaf.seq)),
            })
        } else if leaf.seq == 0 && (leaf.prev.is_some() || leaf.kind != "session.open") {
            Some((DamageKind::Chain, "the session does not begin with its opening".to_owned()))
        } else if leaf.seq > 0 && leaf.prev_hash() != session.hash {
            Some((DamageKind::Chain, "the record does not follow the one before it".to_owned()))
        } else if last.is_some_and(|last| named.index <= last) {
            Some((DamageKind::Chain, "the record stands before its predecessor in the log".to_owned()))
        } else {
            None
        };
        if let Some(gap) = late {
            gap.found_later += 1;
        }
        if let Some((kind, detail)) = wrong {
            self.judge.push(named.damage(kind, detail));
        }
        if leaf.kind == "session.close" {
            session.is_closed = true;
            let counted = (leaf.first, leaf.last, leaf.count);
            if counted != (session.first, last, Some(leaf.seq + 1)) {
                let detail = format!("the close counts {} records", leaf.count.unwrap_or_default());
                self.judge.push(named.damage(DamageKind::Chain, detail));
            }
        }
        self.decided.note_time(self.judge, session.last.as_ref(), named, leaf);
        session.first.get_or_insert(named.index);
        session.next = leaf.seq + 1;
        session.hash = Some(leaf_hash(text.as_bytes()));
        session.last = Some(named.clone());
    }

    /// With the session's key: the contents are what leaf and text say.
    fn contents(&mut self, sid: &str, named: &Named, leaf: &Leaf, sealed: &[u8], record: Option<&str>) {
        let Some(key) = self.keys.get(sid) else { return };
        let (kind, detail) = match key.open(sealed, sid, leaf.seq).map(|text| unpack(&text, leaf)) {
            None => (DamageKind::Keys, "its contents do not open under the session's key"),
            Some(None) => (DamageKind::Contents, "its contents are not what the leaf commits to"),
            Some(Some(opened)) if record.is_some_and(|record| record != opened.json) => {
                (DamageKind::Record, "its text is not the one in its contents")
            }
            Some(Some(_)) => {
                self.told.opened += 1;
                return;
            }
        };
        self.judge.push(named.damage(kind, detail.to_owned()));
    }

    /// Sessions are there to the end that the exporter saw.
    fn ends(&mut self, manifest: &Manifest, found: &BTreeMap<&str, Session>) {
        for told in &manifest.sessions {
            let (sid, folder) = (told.id, format!("sessions/{}/", told.id));
            let whole = |kind, detail: String| Damage {
                session: Some(sid),
                index: told.first,
                time: told.began,
                ..Damage::whole(kind, Path::new(&folder), detail)
            };
            let Some(session) = found.get(&*sid.to_string()) else {
                self.judge.push(whole(DamageKind::SessionMissing, "the whole session is missing".to_owned()));
                continue;
            };
            let short = if session.next < told.records {
                Some(format!("it has {} records, and {} were exported: its end is missing", session.next, told.records))
            } else if told.end == "closed" && !session.is_closed {
                Some("its last record is no close".to_owned())
            } else {
                None
            };
            if let Some(detail) = short {
                let damage = session.last.as_ref().map(|last| last.damage(DamageKind::Truncated, detail.clone()));
                self.judge.push(damage.unwrap_or_else(|| whole(DamageKind::Truncated, detail)));
            }
            if told.end != "closed" {
                let why =
                    if told.end == "open" { "was still open when it was exported" } else { "ended with its node" };
                self.told.notes.push(format!("session {sid} {why}: it has no close, so more may have followed"));
            }
        }
    }
}

fn is_of(sealed: &[u8], leaf: &Leaf) -> bool {
    sealed.len() as u64 == leaf.len && leaf.ciphertext_hash() == Some(sha256(sealed))
}

fn of_session(sid: &str, kind: DamageKind, file: &str, detail: &str) -> Damage {
    Damage { session: sid.parse().ok(), ..Damage::whole(kind, Path::new(file), detail.to_owned()) }
}

/// The parts in a folder, in their order.
fn parts(judge: &Judge<'_>, folder: &str) -> Vec<String> {
    let number = |name: &str| name.strip_prefix(folder)?.strip_suffix(".ndjson")?.parse::<u32>().ok();
    let mut parts: Vec<(u32, String)> =
        judge.archive.below(folder).filter_map(|name| Some((number(name)?, name.to_owned()))).collect();
    parts.sort_unstable();
    parts.into_iter().map(|(_, name)| name).collect()
}
