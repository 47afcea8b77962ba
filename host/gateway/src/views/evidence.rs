use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grille_admin::view::{FoundOperation, FoundSession, SignedCheckpoint};
use grille_admin::{BundleStream, EvidenceView, EvidenceWish, Quarter, SessionSearch, Unreadable};
use grille_ledger::{
    Checkpoint, ExportError, ExportOptions, Exported, Ledger, Match, Period, Reader, SealKey, Selection, SessionFound,
    SessionQuery, SigningKey,
};
use grille_policy::{BoxFuture, Subject};
use tokio::sync::{Semaphore, mpsc};

use super::sessions::{Live, summary_row, unreadable};
use crate::causes::causes;

/// A piece of a bundle on its way.
const PIECE_BYTES: usize = 256 << 10;
/// So many read the whole log at once, the others wait: each takes a core, and the sessions need theirs.
const READERS_MAX: usize = 2;
/// A slow reader holds so many pieces.
const PIECES_IN_FLIGHT: usize = 8;

/// What the ledger proves: searches, bundles, checkpoints.
#[derive(Clone)]
pub struct Evidence {
    ledger: Ledger,
    seal: SealKey,
    signing: SigningKey,
    live: Arc<dyn Live>,
    readers: Arc<Semaphore>,
}

impl Evidence {
    /// The evidence in a ledger that is open; `signing` is the key of its checkpoints.
    #[must_use]
    pub fn new(ledger: Ledger, seal: SealKey, signing: SigningKey, live: Arc<dyn Live>) -> Self {
        Self { ledger, seal, signing, live, readers: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Reads the log apart from everything else. Whoever goes away while waiting was never there; what was begun is
    /// finished and keeps its place until then.
    async fn apart<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Unreadable> + Send + 'static,
    ) -> Result<T, Unreadable> {
        let told = |error: &dyn std::fmt::Display| Unreadable(error.to_string());
        let place = Arc::clone(&self.readers).acquire_owned().await.map_err(|error| told(&error))?;
        let this = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = read(&this);
            drop(place);
            read
        });
        reading.await.unwrap_or_else(|error| Err(told(&error)))
    }

    fn reader(&self) -> Result<Reader, Unreadable> {
        Reader::open(self.ledger.path(), Some(self.seal.clone())).map_err(unreadable)
    }

    fn found(&self, search: &SessionSearch) -> Result<Vec<FoundSession>, Unreadable> {
        let live: Vec<_> = self.live.list().into_iter().map(|(facts, _)| facts.id).collect();
        let (query, mut found) = (query(search), Vec::new());
        for reader in Reader::all(self.ledger.path(), Some(self.seal.clone())).map_err(unreadable)? {
            let left = search.limit - found.len();
            if left > 0 {
                found.extend(reader.search(&query, left).map_err(unreadable)?);
            }
        }
        let tell = |SessionFound { session, matches, more, .. }: SessionFound| {
            let is_live = live.contains(&session.id);
            FoundSession {
                session: summary_row(session, is_live),
                matches: matches.iter().map(operation).collect(),
                more,
            }
        };
        Ok(found.into_iter().map(tell).collect())
    }

    /// The sessions of a bundle, under a checkpoint that covers everything written by now.
    ///
    /// # Errors
    /// The ledger cannot be signed or read.
    pub async fn select(&self, search: &SessionSearch, hipaa: Option<Quarter>) -> Result<Selection, Unreadable> {
        self.ledger.checkpoint().await.map_err(|error| Unreadable(error.to_string()))?;
        let query = query(search);
        let select = move |this: &Self| {
            let Some(quarter) = hipaa else { return this.pick(&query) };
            let (from, to) = quarter.span_us();
            let period = Period { name: quarter.to_string(), from, to };
            let selected = this.reader()?.select_period(period, this.ledger.verifier_key());
            selected.map_err(unpicked)
        };
        self.apart(select).await
    }

    /// Out of the log in force; sessions that are asked for by their ids are looked for in those that were put aside, too.
    /// A bundle is of one log, because one checkpoint proves it.
    fn pick(&self, query: &SessionQuery) -> Result<Selection, Unreadable> {
        let mut picked = self.reader()?.select(query, self.ledger.verifier_key()).map_err(unpicked)?;
        let (mut wanted, mut trouble) = (query.sessions.clone(), None);
        wanted.sort();
        wanted.dedup();
        let readers = Reader::all(self.ledger.path(), Some(self.seal.clone())).map_err(unreadable)?;
        for reader in readers.into_iter().skip(1) {
            if picked.sessions() == wanted.len() || wanted.is_empty() {
                break;
            }
            match self.pick_of(&reader, query) {
                Ok(older) if older.is_empty() => {}
                Ok(older) if picked.is_empty() => picked = older,
                Ok(_) => {
                    let why = "these sessions stand in logs of different names: export those of each log apart";
                    return Err(Unreadable(why.to_owned()));
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        // A log that cannot be read is in the way of nothing but what it may hold.
        trouble.filter(|_| picked.is_empty()).map_or(Ok(picked), Err)
    }

    /// Out of a log that was put aside, under its own name and last checkpoint.
    fn pick_of(&self, reader: &Reader, query: &SessionQuery) -> Result<Selection, Unreadable> {
        let origin = reader.origin().map_err(unreadable)?;
        let key = self.signing.verifier_key(&origin).map_err(|error| Unreadable(error.to_string()))?;
        let selected = reader.select(query, &key).map_err(|error| Unreadable(causes(&error)));
        selected.map_err(|Unreadable(why)| Unreadable(format!("the log {origin}, which was put aside: {why}")))
    }

    /// Writes a bundle.
    ///
    /// # Errors
    /// The ledger cannot be read, or the bundle not be written.
    pub fn write(
        &self,
        selection: Selection,
        with_contents: bool,
        by: &str,
        out: &mut dyn Write,
    ) -> Result<Exported, Unreadable> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let at = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let options = ExportOptions { signing_key: &self.signing, with_contents, by, at };
        selection.write(&options, out).map_err(|error| Unreadable(causes(&error)))
    }
}

impl EvidenceView for Evidence {
    fn describe(&self, search: &SessionSearch) -> String {
        query(search).describe()
    }

    fn search(&self, search: SessionSearch) -> BoxFuture<'_, Result<Vec<FoundSession>, Unreadable>> {
        Box::pin(self.apart(move |this| this.found(&search)))
    }

    fn export<'a>(
        &'a self,
        wish: EvidenceWish,
        by: &'a Subject,
    ) -> BoxFuture<'a, Result<Option<BundleStream>, Unreadable>> {
        let by = format!("{} ({} at {})", by.name, by.sub, by.issuer);
        Box::pin(async move {
            let selection = self.select(&wish.search, wish.hipaa).await?;
            if selection.is_empty() {
                return Ok(None);
            }
            let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
            let this = self.clone();
            tokio::task::spawn_blocking(move || {
                let mut pieces = BufWriter::with_capacity(PIECE_BYTES, Pieces(sender.clone()));
                if let Err(error) = this.write(selection, wish.with_contents, &by, &mut pieces) {
                    tracing::warn!(%error, "a bundle of evidence broke off");
                    // Nobody may be there any more to hear it.
                    drop(sender.blocking_send(Err(error)));
                }
            });
            Ok(Some(receiver))
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<SignedCheckpoint, Unreadable>> {
        Box::pin(async move {
            self.ledger.checkpoint().await.map_err(|error| Unreadable(error.to_string()))?;
            let path = self.ledger.path().join("checkpoint");
            let told = |error: &dyn std::fmt::Display| Unreadable(format!("{}: {error}", path.display()));
            let note = std::fs::read_to_string(&path).map_err(|error| told(&error))?;
            let checkpoint = Checkpoint::open(&note, self.ledger.verifier_key()).map_err(|error| told(&error))?;
            Ok(SignedCheckpoint {
                origin: checkpoint.origin.into(),
                size: checkpoint.size,
                root: base64(&checkpoint.root),
                note,
            })
        })
    }
}

fn unpicked(error: ExportError) -> Unreadable {
    Unreadable(error.to_string())
}

fn query(search: &SessionSearch) -> SessionQuery {
    SessionQuery {
        sessions: search.sessions.clone(),
        subject: search.subject.clone(),
        target: search.target.clone(),
        from: search.from_us,
        to: search.to_us,
        relation: search.relation.clone(),
        text: search.text.clone(),
        verdict: search.verdict.clone(),
        policy: search.policy.clone(),
        plugin: search.plugin.clone(),
    }
}

fn operation(found: &Match) -> FoundOperation {
    FoundOperation {
        decision: found.decision,
        at_ms: found.time / 1000,
        verdict: found.verdict.into(),
        text: found.text.as_str().into(),
    }
}

/// Hands bytes on to who reads the answer.
struct Pieces(mpsc::Sender<Result<Vec<u8>, Unreadable>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map(|()| bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
