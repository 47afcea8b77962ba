use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand;
use grille_policy::{Digest, Epoch, SessionId};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::background::Threads;
use crate::clock::Clock;
use crate::frame::segment_path;
use crate::index::Indexing;
use crate::reader::first_index;
use crate::retention::{Calendar, SIX_YEARS};
use crate::seal::{KeyFile, ROW_BYTES};
use crate::session::{Log, Position, SessionLog};
use crate::sha256::sha256;
use crate::ship::{self, Shipped, Shipping};
use crate::tail::Place;
use crate::tiles::{Durability, replace};
use crate::wal::{Failed, Wal, unwritable};
use crate::{
    AtEnd, ClockStep, Kept, LegalHold, OpenError, Record, RecordingCaps, Retained, Retention, SealKey, SessionOpen,
    SigningKey, Unwritable, VerifierKey,
};

/// Policy sets whose digests are kept at hand: sessions ask for the one in force, or the one just before.
const POLICY_SETS: usize = 16;

/// Kept free for the ends of what is under way when the disk runs full: about 80 outcomes or closes.
const RESERVE_BYTES: usize = 64 << 10;

/// How a ledger is kept.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// The directory. It is made if need be.
    pub path: PathBuf,
    /// The name of the log, `<cluster>/<node>`. None takes the one that the log already has, or `grille/<host name>`.
    pub origin: Option<String>,
    /// Signs checkpoints.
    pub signing_key: SigningKey,
    /// Wraps the keys of sessions.
    pub seal_key: SealKey,
    /// When records are synced.
    pub sync: Sync,
    /// How much of each result is kept.
    pub recording_caps: RecordingCaps,
    /// A segment of the write-ahead log is closed when the next record would cross this size.
    pub segment_bytes: u64,
    /// Where closed segments go, if anywhere.
    pub shipping: Option<Shipping>,
    /// The node says so often that it is there, whatever else it writes: a silence that is longer is a gap.
    pub heartbeat: Duration,
    /// How long contents of sessions are kept whose target says nothing else.
    pub retention: Duration,
    /// What happens to them then.
    pub at_end: AtEnd,
}

impl LedgerConfig {
    /// The defaults: the log's own name, a sync every 100 ms, capped recordings, segments of 64 MiB.
    #[must_use]
    pub fn new(path: PathBuf, signing_key: SigningKey, seal_key: SealKey) -> Self {
        Self {
            path,
            origin: None,
            signing_key,
            seal_key,
            sync: Sync::default(),
            recording_caps: RecordingCaps::default(),
            segment_bytes: 64 << 20,
            shipping: None,
            heartbeat: Duration::from_secs(60),
            retention: SIX_YEARS,
            at_end: AtEnd::Keep,
        }
    }
}

/// When records are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// At this interval, and at once for whoever waits. Reads that were allowed do not wait.
    Interval(Duration),
    /// Everybody waits.
    Strict,
}

impl Default for Sync {
    fn default() -> Self {
        Self::Interval(Duration::from_millis(100))
    }
}

/// How far the ledger has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The log's name.
    pub origin: String,
    /// Records written.
    pub written: u64,
    /// Records that survive a power loss.
    pub synced: u64,
    /// Records under a published checkpoint.
    pub signed: u64,
    /// How far the archive has come, where there is one.
    pub archive: Option<Shipped>,
    /// How retentions stand, as of the last step.
    pub retained: Retained,
    /// Why nothing can be written.
    pub trouble: Option<String>,
}

/// The ledger of this node. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

impl Ledger {
    /// Opens or makes the ledger: derives the tree from the write-ahead log, cuts a torn tail, and refuses to go on
    /// from anything that contradicts the last signed checkpoint.
    pub fn open(config: LedgerConfig) -> Result<Self, OpenError> {
        crate::open::open(config)
    }

    pub(crate) const fn from_parts(shared: Arc<Shared>, threads: Arc<Threads>) -> Self {
        Self { shared, threads }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Begins a session and writes its opening.
    pub fn session(&self, mut open: SessionOpen<'_>) -> Result<SessionLog, Unwritable> {
        open.retention.get_or_insert_with(|| Retention::of_ledger(self.shared.retention));
        let facts = &open.facts;
        let mut log = Log::begin(&self.shared, facts.id, Some(&facts.subject), Some(&facts.target))?;
        log.write(&self.shared, &Record::SessionOpen(open), &[])?;
        self.shared.live.lock().insert(log.id());
        Ok(SessionLog::new(self.clone(), log, self.shared.caps))
    }

    /// Writes a record of the node itself: changes, review events, reads, admin actions, denied callers.
    pub fn admin(&self, record: &Record<'_>) -> Result<Position, Unwritable> {
        self.shared.tell_clock_step();
        let mut node = self.shared.node.lock();
        node.as_mut().ok_or(Unwritable::Closed)?.write(&self.shared, record, &[])
    }

    /// Waits until the record survives a power loss. All who wait share one sync.
    pub async fn durable(&self, position: Position) -> Result<(), Unwritable> {
        let mut synced = self.shared.synced.subscribe();
        if *synced.borrow_and_update() > position.index {
            return Ok(());
        }
        self.shared.sync_soon(position.index + 1);
        loop {
            self.shared.check_storage()?;
            synced.changed().await.map_err(|_| Unwritable::Closed)?;
            if *synced.borrow_and_update() > position.index {
                return Ok(());
            }
        }
    }

    /// Signs and publishes a checkpoint over everything that is written by now, and waits until it is there. Returns how
    /// many records it covers at least.
    pub async fn checkpoint(&self) -> Result<u64, Unwritable> {
        let written = self.shared.wal.lock().written();
        if let Some(index) = written.checked_sub(1) {
            self.signed(Position { index }).await?;
        }
        Ok(written)
    }

    async fn signed(&self, position: Position) -> Result<(), Unwritable> {
        self.durable(position).await?;
        let mut signed = self.shared.signed.subscribe();
        self.shared.sign_soon(position.index + 1);
        while *signed.borrow_and_update() <= position.index {
            self.shared.check_storage()?;
            signed.changed().await.map_err(|_| Unwritable::Closed)?;
        }
        Ok(())
    }

    /// Waits until nothing can be written before the node has restarted, and says why.
    pub async fn stopped(&self) -> Unwritable {
        let mut synced = self.shared.synced.subscribe();
        loop {
            synced.mark_unchanged();
            if let Some(why) = self.shared.stop_reason() {
                return why;
            }
            // The sender lives as long as this handle.
            drop(synced.changed().await);
        }
    }

    /// When records are synced: in strict mode the paths wait for [`durable`](Self::durable) before every forward.
    #[must_use]
    pub fn sync(&self) -> Sync {
        self.shared.sync
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.dir
    }

    /// The key that checks the checkpoints.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.shared.verifier_key
    }

    /// How far it has come.
    #[must_use]
    pub fn status(&self) -> Status {
        let written = self.shared.wal.lock().written();
        Status {
            origin: self.shared.origin.to_string(),
            written,
            synced: *self.shared.synced.borrow(),
            signed: *self.shared.signed.borrow(),
            archive: self.shared.shipping.as_ref().map(|_| self.shared.archived.borrow().clone()),
            retained: self.retained(),
            trouble: self.shared.check().err().map(|error| error.to_string()),
        }
    }

    /// Keeps a component or settings under their digest, so that decisions can be run again.
    pub fn keep(&self, kept: Kept, bytes: &[u8]) -> Result<Digest, Unwritable> {
        let digest = Digest(sha256(bytes));
        let path = kept.path(&self.shared.dir, &digest);
        if !path.exists() {
            replace(&path, bytes, Durability::Synced).map_err(|error| unwritable(&path.into(), error))?;
        }
        Ok(digest)
    }

    /// Writes `node.stop`, syncs, signs and publishes everything, and lets go of the directory.
    pub async fn shutdown(&self) -> Result<(), Unwritable> {
        let last = {
            let mut node = self.shared.node.lock();
            let Some(mut log) = node.take() else { return Err(Unwritable::Closed) };
            log.write(&self.shared, &Record::NodeStop {}, &[])?
        };
        self.shared.close();
        self.signed(last).await?;
        let threads = Arc::clone(&self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.stop()).await;
        joined.map_err(|_| Unwritable::Stopped { why: "a background thread of the ledger panicked".into() })
    }
}

/// Bits of [`Shared::state`].
const SUSPENDED: u8 = 1;
const STOPPED: u8 = 2;
const CLOSED: u8 = 4;
const BACKLOG: u8 = 8;

/// What all handles and both background threads share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    origin: Arc<str>,
    pub(crate) verifier_key: VerifierKey,
    seal_key: SealKey,
    sync: Sync,
    caps: RecordingCaps,
    pub(crate) wal: Mutex<Wal>,
    pub(crate) keys: Mutex<KeyFile>,
    pub(crate) clock: Clock,
    node: Mutex<Option<Log>>,
    /// The sessions that are open.
    pub(crate) live: Mutex<HashSet<SessionId>>,
    pub(crate) holds: Mutex<Vec<LegalHold>>,
    /// Whether the archive has to be told of them.
    pub(crate) holds_changed: AtomicBool,
    /// Sessions that a record says are destroyed and whose keys may still be there. Changed under the lock of `holds`.
    pub(crate) doomed: Mutex<HashSet<SessionId>>,
    /// One shredding at a time: its file holds one.
    pub(crate) shredding: tokio::sync::Mutex<()>,
    pub(crate) retention: Duration,
    pub(crate) at_end: AtEnd,
    pub(crate) calendar: Mutex<Calendar>,
    /// What [`Retained`] tells.
    pub(crate) past: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) leapt: AtomicU64,
    pub(crate) heartbeat: Duration,
    policies: Mutex<VecDeque<(Epoch, String)>>,
    /// The constants above; zero where all is well, so that appending costs one load.
    state: AtomicU8,
    trouble: Mutex<Option<Unwritable>>,
    /// Why the archive is in the way.
    backlog: Mutex<Option<Unwritable>>,
    shipping: Option<Shipping>,
    /// The first segment that the archive has not taken.
    pub(crate) shipped: AtomicU32,
    pub(crate) archived: watch::Sender<Shipped>,
    pub(crate) shipper_stops: watch::Sender<bool>,
    /// Whether something was written since the last sync began.
    pub(crate) is_dirty: AtomicBool,
    pub(crate) syncer: Mutex<Wish>,
    pub(crate) syncer_wakes: Condvar,
    pub(crate) signer: Mutex<Wish>,
    pub(crate) signer_wakes: Condvar,
    /// Where the tail begins that is not signed.
    pub(crate) unsigned_from: Mutex<Place>,
    pub(crate) indexing: Indexing,
    /// How many records are synced, and under a published checkpoint.
    pub(crate) synced: watch::Sender<u64>,
    pub(crate) signed: watch::Sender<u64>,
}

/// What a background thread is asked for.
#[derive(Default)]
pub(crate) struct Wish {
    /// Records below this are wanted at once.
    pub(crate) size: u64,
    pub(crate) stop: bool,
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub(crate) config: LedgerConfig,
    pub(crate) origin: Arc<str>,
    pub(crate) verifier_key: VerifierKey,
    pub(crate) wal: Wal,
    pub(crate) keys: KeyFile,
    pub(crate) signed: u64,
    pub(crate) holds: Vec<LegalHold>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, origin, verifier_key, wal, keys, signed, holds } = parts;
        let unsigned_from = Place { size: wal.written(), segment: wal.segment(), offset: wal.offset() };
        let shipped = ship::marked(&config.path);
        let anchored = if shipped == 0 { 0 } else { first_index(&config.path, shipped).unwrap_or(0) };
        let archived = Shipped { anchored, ..Shipped::default() };
        let calendar = Calendar::open(&config.path, config.retention.as_secs());
        Self {
            dir: config.path,
            origin,
            verifier_key,
            seal_key: config.seal_key,
            sync: config.sync,
            caps: config.recording_caps,
            clock: wal.clock(),
            synced: watch::Sender::new(wal.written()),
            signed: watch::Sender::new(signed),
            wal: Mutex::new(wal),
            keys: Mutex::new(keys),
            node: Mutex::new(None),
            live: Mutex::default(),
            holds_changed: AtomicBool::new(!holds.is_empty()),
            holds: Mutex::new(holds),
            doomed: Mutex::default(),
            shredding: tokio::sync::Mutex::default(),
            retention: config.retention,
            at_end: config.at_end,
            calendar: Mutex::new(calendar),
            past: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            leapt: AtomicU64::new(0),
            heartbeat: config.heartbeat,
            policies: Mutex::new(VecDeque::new()),
            state: AtomicU8::new(0),
            trouble: Mutex::new(None),
            backlog: Mutex::new(None),
            shipping: config.shipping,
            shipped: AtomicU32::new(shipped),
            archived: watch::Sender::new(archived),
            shipper_stops: watch::Sender::new(false),
            is_dirty: AtomicBool::new(false),
            syncer: Mutex::default(),
            syncer_wakes: Condvar::new(),
            signer: Mutex::default(),
            signer_wakes: Condvar::new(),
            unsigned_from: Mutex::new(unsigned_from),
            indexing: Indexing::default(),
        }
    }

    /// Begins the chain of the node's own records.
    pub(crate) fn begin_node(&self, first: &[Record<'_>]) -> Result<(), Unwritable> {
        let mut random = [0; 4];
        rand::fill(&mut random).map_err(|_| Unwritable::Unsealable { why: "no random number".into() })?;
        let id = SessionId::mint(self.clock.now().0 / 1000, u32::from_be_bytes(random));
        let mut log = Log::begin(self, id, None, None)?;
        for record in first {
            log.write(self, record, &[])?;
        }
        *self.node.lock() = Some(log);
        Ok(())
    }

    /// Says that the node is there. Where nothing can be written, that is known already.
    pub(crate) fn beat(&self) {
        if let Some(log) = self.node.lock().as_mut() {
            drop(log.write(self, &Record::Heartbeat {}, &[]));
        }
    }

    pub(crate) fn origin(&self) -> Arc<str> {
        Arc::clone(&self.origin)
    }

    pub(crate) const fn verifier_key(&self) -> &VerifierKey {
        &self.verifier_key
    }

    pub(crate) const fn seal_key(&self) -> &SealKey {
        &self.seal_key
    }

    pub(crate) fn interval(&self) -> Duration {
        match self.sync {
            Sync::Interval(interval) => interval,
            Sync::Strict => Duration::from_millis(100),
        }
    }

    /// Unix microseconds.
    pub(crate) fn wall(&self) -> u64 {
        self.clock.now().0
    }

    pub(crate) fn mono(&self) -> u64 {
        self.clock.mono()
    }

    /// Whether anything may be written.
    pub(crate) fn check(&self) -> Result<(), Unwritable> {
        if self.state.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.check_storage()?;
        Err(self.backlog.lock().clone().unwrap_or(Unwritable::Closed))
    }

    /// Whether the background can do its work, also while the ledger closes.
    pub(crate) fn check_storage(&self) -> Result<(), Unwritable> {
        if self.state.load(Ordering::Acquire) & (SUSPENDED | STOPPED) == 0 {
            return Ok(());
        }
        Err(self.trouble.lock().clone().unwrap_or(Unwritable::Closed))
    }

    /// Says so where the machine's clock was set, before anything is written by it. The node's own records find their
    /// chain taken here and leave it to the next record.
    fn tell_clock_step(&self) {
        if self.clock.step().is_none() {
            return;
        }
        let Some(mut node) = self.node.try_lock() else { return };
        if let (Some((from, to)), Some(node)) = (self.clock.step(), node.as_mut())
            && let Err(error) = node.write(self, &Record::ClockStep(ClockStep { from, to }), &[])
        {
            tracing::warn!(%error, "that the clock was set was not written: the log keeps the time that it had");
        }
    }

    /// Writes a frame, sees to it that it will be synced, and returns its index. One that tells of a step is the first by
    /// the new time.
    pub(crate) fn place(
        &self,
        frame: &mut Vec<u8>,
        leaf_at: usize,
        sealed_crc: u32,
        tells_step: bool,
    ) -> Result<u64, Unwritable> {
        if !tells_step {
            self.tell_clock_step();
        }
        let (placed, has_closed) = {
            let mut wal = self.wal.lock();
            let segment = wal.segment();
            let before = tells_step.then(|| self.clock.follow());
            let placed = wal.append(frame, leaf_at, sealed_crc);
            if let Some(before) = before.filter(|_| placed.is_err()) {
                self.clock.go_back(before);
            }
            (placed, wal.segment() != segment)
        };
        if has_closed {
            self.count_waiting();
        }
        let index = placed.map_err(|failed| match failed {
            Failed::Once(full @ Unwritable::Full { .. }) => {
                self.suspend(full.clone());
                full
            }
            Failed::Once(unwritable) => unwritable,
            Failed::ForGood(why) => self.stop_for_good(why),
        })?;
        if !self.is_dirty.swap(true, Ordering::AcqRel) {
            let _wish = self.syncer.lock();
            self.syncer_wakes.notify_one();
        }
        Ok(index)
    }

    /// Whether nothing but ends may be written.
    pub(crate) fn is_suspended(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        state & (SUSPENDED | BACKLOG) != 0 && state & (STOPPED | CLOSED) == 0
    }

    /// Counts the closed segments that the archive has not taken, whenever there is one more or one less. Nothing new is
    /// written while there are too many.
    pub(crate) fn count_waiting(&self) {
        let Some(Shipping { queue_bytes, goes_on, .. }) = &self.shipping else { return };
        // Held all along: who counts last knows most.
        let mut backlog = self.backlog.lock();
        let (first, open) = (self.shipped.load(Ordering::Acquire), self.wal.lock().segment());
        let waiting = (first..open).filter_map(|segment| std::fs::metadata(segment_path(&self.dir, segment)).ok());
        let bytes = waiting.map(|segment| segment.len()).sum();
        self.archived.send_modify(|state| {
            state.segments_waiting = open.saturating_sub(first);
            state.bytes_waiting = bytes;
        });
        if bytes <= *queue_bytes || *goes_on {
            *backlog = None;
            if self.state.fetch_and(!BACKLOG, Ordering::AcqRel) & BACKLOG != 0 {
                tracing::info!("the ledger goes on");
            }
            return;
        }
        let why = backlog.insert(Unwritable::Backlog { bytes, limit: *queue_bytes });
        if self.state.fetch_or(BACKLOG, Ordering::AcqRel) & BACKLOG == 0 {
            tracing::error!(%why, "the ledger cannot go on for now");
        }
    }

    /// Sets space aside; false where there is none.
    pub(crate) fn make_reserve(&self) -> bool {
        let path = self.dir.join("reserve");
        std::fs::metadata(&path).is_ok_and(|reserve| reserve.len() == RESERVE_BYTES as u64)
            || replace(&path, &vec![b'.'; RESERVE_BYTES], Durability::Derived).is_ok()
    }

    /// Gives the space back that was set aside; false if there is none.
    pub(crate) fn spend_reserve(&self) -> bool {
        std::fs::remove_file(self.dir.join("reserve")).is_ok()
    }

    pub(crate) fn keep_key(&self, row: &[u8; ROW_BYTES]) -> Result<String, Unwritable> {
        let path: Arc<Path> = self.dir.join("keys").into();
        self.keys.lock().add(row).map_err(|error| unwritable(&path, error))
    }

    pub(crate) fn policy_digest(&self, epoch: Epoch) -> Option<String> {
        self.policies.lock().iter().find(|(known, _)| *known == epoch).map(|(_, digest)| digest.clone())
    }

    pub(crate) fn note_policies(&self, epoch: Epoch, digest: String) {
        let mut policies = self.policies.lock();
        policies.push_front((epoch, digest));
        policies.truncate(POLICY_SETS);
    }

    pub(crate) fn sync_soon(&self, size: u64) {
        let mut wish = self.syncer.lock();
        wish.size = wish.size.max(size);
        self.syncer_wakes.notify_one();
    }

    pub(crate) fn sign_soon(&self, size: u64) {
        let mut wish = self.signer.lock();
        wish.size = wish.size.max(size);
        self.signer_wakes.notify_one();
    }

    /// Nothing is written from here on.
    fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Nothing is written until the node has restarted.
    pub(crate) fn stop_for_good(&self, why: Arc<str>) -> Unwritable {
        tracing::error!(%why, "the ledger stopped");
        let unwritable = Unwritable::Stopped { why };
        *self.trouble.lock() = Some(unwritable.clone());
        self.state.fetch_or(STOPPED, Ordering::AcqRel);
        self.wake_waiters();
        unwritable
    }

    fn stop_reason(&self) -> Option<Unwritable> {
        let has_stopped = self.state.load(Ordering::Acquire) & STOPPED != 0;
        has_stopped.then(|| self.trouble.lock().clone()).flatten()
    }

    /// Nothing is written until [`resume`](Self::resume).
    pub(crate) fn suspend(&self, why: Unwritable) {
        let mut trouble = self.trouble.lock();
        if self.state.load(Ordering::Acquire) & STOPPED != 0 {
            return;
        }
        if self.state.fetch_or(SUSPENDED, Ordering::AcqRel) & SUSPENDED == 0 {
            tracing::error!(%why, "the ledger cannot go on for now");
        }
        *trouble = Some(why);
        drop(trouble);
        self.wake_waiters();
        // It looks for space from now on.
        let _wish = self.signer.lock();
        self.signer_wakes.notify_one();
    }

    /// Goes on once there is space to set aside again.
    pub(crate) fn resume(&self) {
        if self.state.load(Ordering::Acquire) & SUSPENDED != 0 && self.make_reserve() {
            self.state.fetch_and(!SUSPENDED, Ordering::AcqRel);
            tracing::info!("the ledger goes on");
        }
    }

    fn wake_waiters(&self) {
        self.synced.send_modify(|_| {});
        self.signed.send_modify(|_| {});
    }
}
