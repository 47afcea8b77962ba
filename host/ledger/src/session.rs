use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use grille_policy::{Decision, Digest, Epoch, Mode, SessionId, StatementFacts, Subject};
use serde::Serialize;

use crate::frame::SEALED_BYTES_MAX;
use crate::leaf::{self, Facts, Judged, Span};
use crate::ledger::{Ledger, Shared};
use crate::merkle::leaf_hash;
use crate::recording::{Direction, Recording, RecordingCaps};
use crate::seal::{NONCE_BYTES, SALT_BYTES, SessionKey, TAG_BYTES};
use crate::sha256::{Hash, Sha256, sha256, to_base64};
use crate::wal::FRAME_FRONT_BYTES;
use crate::{FactsRecord, Record, SealKey, SessionClose, Unwritable};

/// Contents from this size on are compressed, if that makes them smaller.
const COMPRESS_BYTES_MIN: usize = 1024;
/// A session keeps buffers of this size for its next frame; larger ones are given back, so that idle sessions are small.
const FRAME_BYTES_KEPT: usize = 8 << 10;
/// Distinct facts that a session knows it has written. Beyond, it begins anew: they are written once more, and a session
/// that never repeats itself does not grow.
const FACTS_KNOWN_MAX: usize = 1_024;
/// The contents as they are.
pub(crate) const PLAIN: u8 = 0;
/// The contents as an lz4 block behind their length (four bytes, little-endian).
pub(crate) const LZ4: u8 = 1;

/// Where a record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The index of the record, from 0.
    pub index: u64,
}

/// What one session writes. One task owns it.
///
/// Every method is synchronous and returns after the bytes have reached the page cache: they survive the end of the
/// process, and the end of the machine once [`Ledger::durable`] says so. Dropped without [`close`](Self::close), the
/// session ends with the reason `aborted`.
pub struct SessionLog {
    ledger: Ledger,
    log: Log,
    recording: Recording,
    facts: HashSet<Digest>,
    is_closed: bool,
}

impl SessionLog {
    pub(crate) fn new(ledger: Ledger, log: Log, caps: RecordingCaps) -> Self {
        Self { ledger, log, recording: Recording::new(caps), facts: HashSet::new(), is_closed: false }
    }

    /// The session's id.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.log.id
    }

    /// The ledger that it belongs to.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How much of each result is kept from now on (`record` of the target).
    pub const fn set_caps(&mut self, caps: RecordingCaps) {
        self.recording.set_caps(caps);
    }

    /// Writes a record, together with the bytes recorded since the last one.
    pub fn append(&mut self, record: &Record<'_>) -> Result<Position, Unwritable> {
        if matches!(record, Record::Outcome(_) | Record::SessionClose(_)) {
            self.recording.tell_elided(self.ledger.shared().mono());
        }
        let position = self.log.write(self.ledger.shared(), record, self.recording.chunks())?;
        self.recording.clear();
        Ok(position)
    }

    /// Makes sure that the session holds what a text means, under the digest that decisions call it by.
    pub fn keep_facts(&mut self, digest: Digest, facts: &StatementFacts) -> Result<(), Unwritable> {
        if self.facts.contains(&digest) {
            return Ok(());
        }
        self.append(&Record::Facts(FactsRecord { digest, facts: Cow::Borrowed(facts) }))?;
        if self.facts.len() >= FACTS_KNOWN_MAX {
            self.facts.clear();
        }
        self.facts.insert(digest);
        Ok(())
    }

    /// Records bytes of the wire: `rows` end in them, and they belong to result number `result` (any number that
    /// changes from one result to the next). They are written with the next record, by [`flush`](Self::flush), or when
    /// 256 KiB have come together.
    pub fn record_bytes(
        &mut self,
        direction: Direction,
        result: u64,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Unwritable> {
        let mono = self.ledger.shared().mono();
        let (kept, mut rows_left) = match direction {
            Direction::FromCaller => (bytes.len(), 0),
            Direction::ToCaller => {
                self.recording.turn_to(mono, result);
                (self.recording.kept(bytes.len()), rows)
            }
        };
        let (mut whole, elided) = bytes.split_at(kept);
        while !whole.is_empty() {
            if self.recording.is_full() {
                self.write_chunks()?;
            }
            let (piece, rest) = whole.split_at(whole.len().min(self.recording.room()));
            match direction {
                Direction::FromCaller => self.recording.request(mono, result, piece),
                Direction::ToCaller => {
                    let rows = if rest.is_empty() { std::mem::take(&mut rows_left) } else { 0 };
                    self.recording.keep(mono, rows, piece);
                }
            }
            whole = rest;
        }
        if !elided.is_empty() {
            self.recording.elide(rows_left, elided);
        }
        if self.recording.is_full() {
            self.write_chunks()?;
        }
        Ok(())
    }

    /// Writes the bytes recorded since the last record. Called before they are sent, it makes sure that the ledger
    /// holds every byte that the caller received.
    pub fn flush(&mut self) -> Result<Position, Unwritable> {
        if self.recording.chunks().is_empty() {
            return Ok(Position { index: self.log.last });
        }
        self.write_chunks()
    }

    /// Ends the session. A checkpoint that covers it follows within a second.
    pub fn close(mut self, reason: &str) -> Result<(), Unwritable> {
        self.finish(reason)
    }

    fn finish(&mut self, reason: &str) -> Result<(), Unwritable> {
        if self.is_closed {
            return Ok(());
        }
        let position = self.append(&Record::SessionClose(SessionClose { reason: reason.into() }))?;
        self.is_closed = true;
        self.ledger.shared().sign_soon(position.index + 1);
        Ok(())
    }

    fn write_chunks(&mut self) -> Result<Position, Unwritable> {
        let position = self.log.write(self.ledger.shared(), &Record::Recording {}, self.recording.chunks())?;
        self.recording.clear();
        Ok(position)
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        if let Err(error) = self.finish("aborted")
            && !matches!(error, Unwritable::Closed)
        {
            tracing::warn!(session = %self.log.id, %error, "the end of a session was not written");
        }
        self.ledger.shared().live.lock().remove(&self.log.id);
    }
}

/// The chain of one session's records.
pub(crate) struct Log {
    id: SessionId,
    sid: String,
    node: Arc<str>,
    actor: Option<String>,
    target: Option<String>,
    key: SessionKey,
    key_id: String,
    seq: u64,
    prev: Hash,
    first: u64,
    last: u64,
    frame: Vec<u8>,
    scratch: Vec<u8>,
    asked: AskedCache,
}

impl Log {
    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    /// A chain under a new key.
    pub(crate) fn begin(
        shared: &Shared,
        id: SessionId,
        subject: Option<&Subject>,
        target: Option<&str>,
    ) -> Result<Self, Unwritable> {
        shared.check()?;
        let sid = id.to_string();
        let (key, row) = SessionKey::generate(shared.seal_key(), &sid).map_err(|_| unsealable("no key for it"))?;
        let key_id = shared.keep_key(&row)?;
        let actor =
            |subject: &Subject| to_base64(&shared.seal_key().pseudonym(&["actor", &subject.issuer, &subject.sub]));
        Ok(Self {
            id,
            sid,
            node: shared.origin(),
            actor: subject.map(actor),
            target: target.map(|target| target_pseudonym(shared.seal_key(), target)),
            key,
            key_id,
            seq: 0,
            prev: [0; 32],
            first: 0,
            last: 0,
            frame: Vec::new(),
            scratch: Vec::new(),
            asked: AskedCache::default(),
        })
    }

    pub(crate) fn write(
        &mut self,
        shared: &Shared,
        record: &Record<'_>,
        chunks: &[u8],
    ) -> Result<Position, Unwritable> {
        // What is under way may end in the ledger although nothing else may begin.
        let is_end = matches!(record, Record::Outcome(_) | Record::SessionClose(_) | Record::NodeStop {});
        if !(is_end && shared.is_suspended()) {
            shared.check()?;
        }
        let (commit, ciphertext, sealed_len) = self.seal(record, chunks)?;
        let sealed_crc = crc32c::crc32c(&self.frame[FRAME_FRONT_BYTES..]);
        let leaf_at = self.frame.len();
        let decision = match record {
            Record::Decision(decision) => Some(&decision.decision),
            Record::SessionOpen(open) => open.decision.as_ref(),
            _ => None,
        };
        if let Some(decision) = decision {
            self.asked.update(decision, |epoch| shared.policy_digest(epoch));
        }
        let judged = decision.map(|decision| self.asked.judged(decision.verdict.name()));
        let change = match record {
            Record::PolicyChange(change) if change.refused.is_none() => Some((change.epoch, policy_digest(change))),
            _ => None,
        };
        let judged = judged.or_else(|| {
            change.as_ref().map(|(epoch, digest)| Judged {
                verdict: "change",
                policy: Some(digest),
                plugins: None,
                epoch: epoch.0,
            })
        });
        let is_close = matches!(record, Record::SessionClose(_) | Record::NodeStop {});
        let facts = Facts {
            node: &self.node,
            sid: &self.sid,
            seq: self.seq,
            prev: (self.seq > 0).then_some(&self.prev),
            kind: record.kind(),
            actor: self.actor.as_deref(),
            target: self.target.as_deref(),
            judged,
            close: is_close.then_some(Span { first: self.first, last: self.last, count: self.seq + 1 }),
            ciphertext: &ciphertext,
            commit: &commit,
            len: sealed_len as u64,
            key: &self.key_id,
        };
        leaf::begin(&mut self.frame, &facts);
        let tells_step = matches!(record, Record::ClockStep(_));
        let index = match shared.place(&mut self.frame, leaf_at, sealed_crc, tells_step) {
            Err(Unwritable::Full { .. }) if is_end && shared.spend_reserve() => {
                shared.place(&mut self.frame, leaf_at, sealed_crc, tells_step)?
            }
            placed => placed?,
        };
        self.prev = leaf_hash(&self.frame[leaf_at..]);
        if self.seq == 0 {
            self.first = index;
        }
        self.last = index;
        self.seq += 1;
        if let Some((epoch, digest)) = change {
            shared.note_policies(epoch, digest);
        }
        for buffer in [&mut self.frame, &mut self.scratch] {
            if buffer.capacity() > FRAME_BYTES_KEPT {
                *buffer = Vec::new();
            }
        }
        Ok(Position { index })
    }

    /// Fills the frame with header space and sealed contents; returns the commitment, the digest and the length.
    fn seal(&mut self, record: &Record<'_>, chunks: &[u8]) -> Result<(Hash, Hash, usize), Unwritable> {
        const FLAG_AT: usize = FRAME_FRONT_BYTES + NONCE_BYTES;
        const SALT_AT: usize = FLAG_AT + 1;
        const CONTENTS_AT: usize = SALT_AT + SALT_BYTES;
        let frame = &mut self.frame;
        frame.clear();
        frame.resize(CONTENTS_AT + 4, 0);
        frame[SALT_AT..CONTENTS_AT].copy_from_slice(&self.key.salt().map_err(|_| unsealable("no salt for it"))?);
        serde_json::to_writer(&mut *frame, record).map_err(|error| unsealable(&error.to_string()))?;
        let json_len = frame.len() - CONTENTS_AT - 4;
        let whole = (json_len + chunks.len()) as u64;
        if json_len + chunks.len() > SEALED_BYTES_MAX - 4096 {
            return Err(Unwritable::TooLarge { bytes: whole, limit: SEALED_BYTES_MAX as u64 - 4096 });
        }
        let json_len = u32::try_from(json_len).expect("below the limit just checked");
        frame[CONTENTS_AT..CONTENTS_AT + 4].copy_from_slice(&json_len.to_le_bytes());
        frame.extend_from_slice(chunks);
        let commit = sha256(&frame[SALT_AT..]);
        frame[FLAG_AT] = PLAIN;
        if frame.len() - CONTENTS_AT >= COMPRESS_BYTES_MIN {
            let contents = &frame[CONTENTS_AT..];
            self.scratch.resize(lz4_flex::block::get_maximum_output_size(contents.len()), 0);
            let packed = lz4_flex::block::compress_into(contents, &mut self.scratch)
                .map_err(|error| unsealable(&error.to_string()))?;
            if packed + 4 < contents.len() {
                let length = u32::try_from(contents.len()).expect("below the limit just checked");
                frame[FLAG_AT] = LZ4;
                frame[CONTENTS_AT..CONTENTS_AT + 4].copy_from_slice(&length.to_le_bytes());
                frame[CONTENTS_AT + 4..CONTENTS_AT + 4 + packed].copy_from_slice(&self.scratch[..packed]);
                frame.truncate(CONTENTS_AT + 4 + packed);
            }
        }
        self.key.seal(frame, FRAME_FRONT_BYTES, &self.sid, self.seq).map_err(|_| unsealable("AES-256-GCM failed"))?;
        let sealed = &frame[FRAME_FRONT_BYTES..];
        debug_assert!(sealed.len() > NONCE_BYTES + TAG_BYTES);
        Ok((commit, sha256(sealed), sealed.len()))
    }
}

/// What leaves call a target.
pub(crate) fn target_pseudonym(seal: &SealKey, target: &str) -> String {
    to_base64(&seal.pseudonym(&["target", target])[..9])
}

fn unsealable(why: &str) -> Unwritable {
    Unwritable::Unsealable { why: why.into() }
}

/// The digest over policies: per policy, sorted by name, four lines (name, plugin, settings, mode).
#[derive(Default)]
struct PolicyHash(Option<Sha256>);

impl PolicyHash {
    fn add(&mut self, name: &str, plugin: &Digest, settings: &Digest, mode: Mode) {
        let mode = match mode {
            Mode::Enforce => "enforce",
            Mode::Monitor => "monitor",
        };
        self.0.get_or_insert_with(Sha256::new).update(format!("{name}\n{plugin}\n{settings}\n{mode}\n").as_bytes());
    }

    fn finish(self) -> String {
        to_base64(&self.0.unwrap_or_else(Sha256::new).finish())
    }
}

pub(crate) fn policy_digest(change: &crate::PolicyChange<'_>) -> String {
    let mut hash = PolicyHash::default();
    for (name, policy) in &change.policies {
        hash.add(name, &policy.plugin, &policy.settings, policy.mode);
    }
    hash.finish()
}

/// The digest over the policies that a decision asked; none where there were none.
pub(crate) fn asked_digest(decision: &Decision) -> Option<String> {
    let mut hash = PolicyHash::default();
    for opinion in &decision.opinions {
        hash.add(&opinion.policy, &opinion.plugin, &opinion.settings, opinion.mode);
    }
    (!decision.opinions.is_empty()).then(|| hash.finish())
}

/// The digests of the policies that a session's decisions ask: the same ones again and again.
#[derive(Default)]
struct AskedCache {
    epoch: Option<Epoch>,
    policy: Option<String>,
    asked: Vec<(Arc<str>, Digest, Digest, Mode)>,
    plugins: Option<String>,
}

impl AskedCache {
    fn update(&mut self, decision: &Decision, policy: impl FnOnce(Epoch) -> Option<String>) {
        if self.epoch != Some(decision.epoch) {
            self.epoch = Some(decision.epoch);
            self.policy = policy(decision.epoch);
        }
        let is_same = self.asked.len() == decision.opinions.len()
            && self.asked.iter().zip(&decision.opinions).all(|((name, plugin, settings, mode), opinion)| {
                *name == opinion.policy
                    && *plugin == opinion.plugin
                    && *settings == opinion.settings
                    && *mode == opinion.mode
            });
        if !is_same {
            let asked = decision.opinions.iter();
            let asked = asked.map(|one| (Arc::clone(&one.policy), one.plugin, one.settings, one.mode));
            self.asked = asked.collect();
            self.plugins = asked_digest(decision);
        }
    }

    fn judged<'a>(&'a self, verdict: &'a str) -> Judged<'a> {
        Judged {
            verdict,
            policy: self.policy.as_deref(),
            plugins: self.plugins.as_deref(),
            epoch: self.epoch.map_or(0, |epoch| epoch.0),
        }
    }
}

/// A value's digest, as decisions carry it for a statement's facts.
pub fn digest_of(value: &impl Serialize) -> Result<Digest, serde_json::Error> {
    Ok(Digest(sha256(&serde_json::to_vec(value)?)))
}
