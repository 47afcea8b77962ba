use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grille_policy::{Epoch, RequestId, Subject, Terms};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ask::{Ask, NoRandom, RefusedAsk};
use crate::bind::{Binding, Salt, digest_of_parameters, digest_of_text, random_u32};
use crate::entry::Entry;
use crate::event::{Edge, Event, Journal, Unjournaled};
use crate::quorum::Quorums;
use crate::sign::Signer;
use crate::ticket::Ticket;
use crate::view::State;

/// How a desk works.
#[derive(Debug, Clone)]
pub struct DeskConfig {
    /// The name of this installation, signed into decisions.
    pub cluster: Arc<str>,
    /// The groups whose members may review.
    pub reviewers: Vec<Arc<str>>,
    /// How many distinct reviewers every request needs at least.
    pub quorum: u32,
    /// How long a caller is held where the policies do not say.
    pub hold: Duration,
    /// How long an agent is held at most: their own timers end at 30 s.
    pub agent_hold_max: Duration,
    /// How long a caller is held at most inside an open transaction: the target keeps its locks meanwhile.
    pub transaction_hold_max: Duration,
    /// How long a request waits whose caller does not.
    pub ask_ttl: Duration,
    /// How long an approval is good.
    pub grant_ttl: Duration,
    /// So many requests and unused grants at once: what the largest team can look through.
    pub open_max: usize,
    /// So many of them by one person, so that a loop does not fill the desk.
    pub open_per_person_max: usize,
    /// The longest statement with its parameters: nobody reviews more than this.
    pub text_bytes_max: usize,
    /// The memory for all texts together.
    pub bytes_max: usize,
    /// So many decided requests stay listed; older ones are in the ledger only.
    pub closed_max: usize,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self {
            cluster: "grille".into(),
            reviewers: Vec::new(),
            quorum: 1,
            hold: Duration::from_secs(120),
            agent_hold_max: Duration::from_secs(25),
            transaction_hold_max: Duration::from_secs(30),
            ask_ttl: Duration::from_secs(60 * 60),
            grant_ttl: Duration::from_secs(15 * 60),
            open_max: 10_000,
            open_per_person_max: 100,
            text_bytes_max: 1 << 20,
            bytes_max: 64 << 20,
            closed_max: 1_000,
        }
    }
}

/// No caller is held longer, whatever the policies say.
const HOLD_MAX: Duration = Duration::from_secs(60 * 60);

/// Where requests wait for people. Cheap to clone; all clones are one desk.
#[derive(Clone)]
pub struct Desk(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    config: RwLock<Arc<DeskConfig>>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) key: Salt,
    book: Mutex<Book>,
}

/// What became of a question.
pub enum Asked {
    /// The caller is to be held on this.
    Held(Ticket),
    /// The caller is to be sent away with the id, and to run the same again once it is approved.
    Open {
        /// The request.
        id: RequestId,
        /// The end of the request if nobody decides, in Unix milliseconds.
        expires_ms: u64,
    },
}

impl Desk {
    /// An empty desk.
    pub fn new(config: DeskConfig, journal: Arc<dyn Journal>, signer: Arc<dyn Signer>) -> Result<Self, NoRandom> {
        let config = RwLock::new(Arc::new(config));
        Ok(Self(Arc::new(Inner { config, journal, signer, key: Salt::new()?, book: Mutex::default() })))
    }

    /// How long the caller would be held; zero = not at all.
    #[must_use]
    pub fn hold(&self, terms: &Terms, subject: &Subject, in_transaction: bool) -> Duration {
        let config = self.config();
        let mut hold = terms.hold_ms.map_or(config.hold, Duration::from_millis).min(HOLD_MAX);
        if in_transaction {
            hold = if terms.hold_in_transaction { hold.min(config.transaction_hold_max) } else { Duration::ZERO };
        }
        if subject.is_agent() { hold.min(config.agent_hold_max) } else { hold }
    }

    /// Opens a request. Where the caller is not held, the same question again finds the request that is open already.
    pub fn request(&self, ask: Ask) -> Result<Asked, RefusedAsk> {
        let subject = Arc::clone(&ask.session.subject);
        let (bytes, most) = (ask.bytes(), self.config().text_bytes_max);
        if bytes > most {
            return Err(RefusedAsk::TooLong { bytes, most });
        }
        let text_digest = digest_of_text(&ask.text);
        let parameters_digest = digest_of_parameters(&ask.parameters);
        let binding = self.0.key.bind(&subject, &ask.session.target, &text_digest, &parameters_digest);
        let asked_ms = now_ms();
        let id = RequestId::mint(asked_ms, random_u32()?);
        let salt = Salt::new()?;

        let mut book = self.sweep();
        // Read under the lock, so that nothing is opened by rules that were just replaced.
        let config = self.config();
        let quorums = Quorums::new(&config.reviewers, config.quorum, &ask.terms)?;
        let hold = self.hold(&ask.terms, &subject, ask.in_transaction);
        let held = !hold.is_zero();
        let ttl = if held { hold } else { config.ask_ttl };
        if Some(ask.epoch) < book.epoch {
            return Err(RefusedAsk::Superseded);
        }
        if !held && let Some(known) = book.open_request(binding, ask.epoch) {
            return Ok(Asked::Open { id: known.id, expires_ms: known.expires_ms });
        }
        book.make_room(&config, &subject, bytes)?;
        let entry = Entry {
            id,
            bytes,
            binding,
            salt,
            text_digest,
            parameters_digest,
            quorums,
            state: State::Pending,
            attended: held,
            held,
            asked_ms,
            deadline: Instant::now() + ttl,
            expires_ms: asked_ms.saturating_add(millis(ttl)),
            votes: Vec::new(),
            approvals: Vec::new(),
            seen: Vec::new(),
            wake: Arc::new(Notify::new()),
            ask,
        };
        self.journal(&entry, Edge::Requested { review: Box::new(entry.view()) })?;
        let ticket = held.then(|| Ticket::new(self.clone(), &entry));
        let expires_ms = entry.expires_ms;
        book.add(entry);
        drop(book);
        Ok(ticket.map_or(Asked::Open { id, expires_ms }, Asked::Held))
    }

    /// Ends what was asked under other policies than these: requests are superseded, unused grants revoked.
    pub fn supersede(&self, epoch: Epoch) {
        let mut book = self.sweep();
        book.epoch = book.epoch.max(Some(epoch));
        for id in book.open_ids() {
            if book.entries.get(&id).is_some_and(|entry| entry.ask.epoch < epoch) {
                self.outdate(&mut book, id, &format!("the policies changed to epoch {epoch}"));
            }
        }
    }

    /// Works by other rules from now on. Where others may review, or more of them have to, what was asked under the old
    /// rules ends: nobody should be able to finish a quorum that is not enough any more.
    pub fn reconfigure(&self, config: DeskConfig) {
        let mut book = self.sweep();
        let old = std::mem::replace(&mut *self.0.config.write(), Arc::new(config.clone()));
        if (&old.reviewers, old.quorum) == (&config.reviewers, config.quorum) {
            return;
        }
        for id in book.open_ids() {
            self.outdate(&mut book, id, "the rules for reviews changed");
        }
    }

    /// The rules now.
    pub(crate) fn config(&self) -> Arc<DeskConfig> {
        Arc::clone(&self.0.config.read())
    }

    /// Ends every request and grant whose time is over, once a second, for ever. Nothing depends on it but lists and
    /// records: every use looks at the time itself.
    pub async fn watch(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            drop(self.sweep());
        }
    }

    /// The book, with everything ended whose time is over.
    pub(crate) fn sweep(&self) -> MutexGuard<'_, Book> {
        let mut book = self.0.book.lock();
        let now = Instant::now();
        for id in book.open_ids() {
            let Some(entry) = book.entries.get(&id) else { continue };
            if entry.deadline > now {
                continue;
            }
            let (state, edge) = match entry.state {
                State::Pending => (State::TimedOut, Edge::TimedOut),
                _ => (State::Expired, Edge::Expired),
            };
            self.close(&mut book, id, state, edge);
        }
        book
    }

    /// What other policies or rules make of an open request.
    pub(crate) fn outdate(&self, book: &mut Book, id: RequestId, reason: &str) {
        let reason = reason.to_owned();
        match book.entries.get(&id).map(|entry| entry.state) {
            Some(State::Pending) => self.close(book, id, State::Superseded, Edge::Superseded { reason }),
            Some(State::Granted) => self.close(book, id, State::Revoked, Edge::Revoked { by: None, reason }),
            _ => {}
        }
    }

    /// Ends an open request by itself. It ends even if that cannot be recorded: an end opens nothing, and the ledger
    /// that refuses records lets nothing run either.
    pub(crate) fn close(&self, book: &mut Book, id: RequestId, state: State, edge: Edge) {
        let Some(entry) = book.entries.get(&id) else { return };
        let name = edge.name();
        if let Err(error) = self.journal(entry, edge) {
            tracing::error!(request = %id, edge = name, %error, "a review ended unrecorded");
        }
        book.settle(id, state, self.config().closed_max);
    }

    pub(crate) fn journal(&self, entry: &Entry, edge: Edge) -> Result<(), Unjournaled> {
        self.0.journal.append(&Event { id: entry.id, session: entry.ask.session.id, at_ms: now_ms(), edge })
    }
}

/// All requests that the desk knows.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) entries: BTreeMap<RequestId, Entry>,
    /// The open ones, by what they are good for.
    open: HashMap<Binding, Vec<RequestId>>,
    /// The others, oldest end first.
    closed: VecDeque<RequestId>,
    bytes: usize,
    /// The newest policy set that the desk was told of.
    epoch: Option<Epoch>,
}

impl Book {
    /// The ids of what is open.
    fn open_ids(&self) -> Vec<RequestId> {
        self.open.values().flatten().copied().collect()
    }

    /// What is open for a binding.
    pub(crate) fn bound(&self, binding: Binding) -> impl Iterator<Item = &Entry> {
        self.open.get(&binding).into_iter().flatten().filter_map(|id| self.entries.get(id))
    }

    /// A request whose caller does not wait, for the same bytes under the same policies.
    fn open_request(&self, binding: Binding, epoch: Epoch) -> Option<&Entry> {
        self.bound(binding).find(|entry| entry.state == State::Pending && !entry.held && entry.ask.epoch == epoch)
    }

    fn make_room(&mut self, config: &DeskConfig, subject: &Subject, bytes: usize) -> Result<(), RefusedAsk> {
        let (mut pending, mut yours) = (0, 0);
        for entry in self.open.values().flatten().filter_map(|id| self.entries.get(id)) {
            pending += 1;
            yours += usize::from(entry.requester().is_same_person(subject));
        }
        if yours >= config.open_per_person_max {
            return Err(RefusedAsk::FullForYou { pending: yours });
        }
        while self.bytes + bytes > config.bytes_max && self.forget_oldest() {}
        if pending >= config.open_max || self.bytes + bytes > config.bytes_max {
            return Err(RefusedAsk::Full { pending });
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry.bytes;
        self.open.entry(entry.binding).or_default().push(entry.id);
        self.entries.insert(entry.id, entry);
    }

    /// Moves an open request to its end and wakes who waits for it.
    pub(crate) fn settle(&mut self, id: RequestId, state: State, closed_max: usize) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.state = state;
        entry.wake.notify_one();
        if let Some(ids) = self.open.get_mut(&entry.binding) {
            ids.retain(|&open| open != id);
            if ids.is_empty() {
                self.open.remove(&entry.binding);
            }
        }
        self.closed.push_back(id);
        while self.closed.len() > closed_max && self.forget_oldest() {}
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(id) = self.closed.pop_front() else { return false };
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes -= entry.bytes;
        }
        true
    }
}

/// Unix milliseconds, for people and records; what is over is told by the monotonic clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
