//! The running gateway: accepts, follows its files, and drains when it is told to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use grille_ledger::Unwritable;
use grille_net::{Admission, Drain, DrainHandle, Listener, drain};
use grille_postgres::PostgresPath;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::compose::{Admin, Gateway};
use crate::reload::follow;
use crate::retention;
use crate::state::State;
use crate::surplus;

/// A gateway that accepts.
pub struct Running {
    state: Arc<State>,
    drain: DrainHandle,
    reload: mpsc::Sender<()>,
    background: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Begins to accept.
    #[must_use]
    pub fn start(self) -> Running {
        let Self { state, listeners, admin } = self;
        let (handle, ear) = drain();
        let (reload, reloads) = mpsc::channel(1);
        let mut background = Vec::new();
        for (listener, socket) in listeners {
            let address = socket.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
            tracing::info!("listener {} is ready on {address} (postgres)", socket.name());
            tokio::spawn(accept(Arc::clone(&state.path), listener, socket, ear.clone()));
        }
        if let Some(Admin { socket, tls, router }) = admin {
            let address = socket.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
            tracing::info!("admin API is ready on {address}");
            let drain = ear.clone();
            tokio::spawn(async move {
                if let Err(error) = grille_admin::serve(socket, tls, router, drain).await {
                    tracing::error!("the admin API ended: {error}");
                }
            });
        }
        background.push(tokio::spawn(surplus::watch(Arc::clone(&state))));
        background.push(tokio::spawn(retention::watch(state.ledger.clone())));
        background.push(tokio::spawn(follow(Arc::clone(&state), reloads)));
        background.push(tokio::spawn({
            let desk = state.desk.clone();
            async move { desk.watch().await }
        }));
        background.push(tokio::spawn({
            let verifier = Arc::clone(&state.verifier);
            async move { verifier.warm().await }
        }));
        Running { state, drain: handle, reload, background }
    }
}

/// What the system tells a process. Heard from before the gateway says that it is ready: who has read that may send one.
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Begins to hear SIGTERM, SIGINT and SIGHUP, inside a runtime.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub fn hear() -> anyhow::Result<Self> {
        let hear = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            term: hear(SignalKind::terminate())?,
            int: hear(SignalKind::interrupt())?,
            hup: hear(SignalKind::hangup())?,
        })
    }
}

impl Running {
    /// Runs until SIGTERM or SIGINT, then drains. SIGHUP reloads. A ledger that cannot go on ends it, too.
    ///
    /// # Errors
    /// When the ledger stopped, or cannot be closed in order.
    pub async fn until_signal(self, signals: Signals) -> anyhow::Result<()> {
        let Signals { mut term, mut int, mut hup } = signals;
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => self.reload(),
                why = self.state.ledger.stopped() => return self.give_up(why).await,
            }
        }
        let state = Arc::clone(&self.state);
        let hurry = async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            tracing::warn!("told again: sessions end now");
            state.path.live().end_all("the gateway stops");
        };
        let hurry = tokio::spawn(hurry);
        let drained = self.drain().await;
        hurry.abort();
        drained
    }

    /// Nothing can be recorded any more. What is asked meanwhile is refused as such; a restart reads the ledger again.
    async fn give_up(self, why: Unwritable) -> anyhow::Result<()> {
        tracing::error!("the gateway ends: {why}");
        self.drain.begin();
        self.state.path.live().drain("the ledger stopped");
        if timeout(FAREWELL, self.drain.idle()).await.is_err() {
            self.drain.end();
        }
        Err(why.into())
    }

    /// Looks at all files again, whether or not they seem changed.
    pub fn reload(&self) {
        if self.reload.try_send(()).is_err() {
            tracing::debug!("a reload is due already");
        }
    }

    /// Accepts nothing more, lets sessions finish, ends those that do not, and closes the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be closed in order.
    pub async fn drain(self) -> anyhow::Result<()> {
        let open = self.state.path.live().list().len();
        tracing::info!("draining: nothing new is accepted, {open} session(s) may finish");
        self.drain.begin();
        self.state.path.live().drain("the gateway stops");
        if timeout(self.state.options.drain, self.drain.idle()).await.is_err() {
            self.state.path.live().end_all("the gateway stops");
            if timeout(FAREWELL, self.drain.idle()).await.is_err() {
                self.drain.end();
                tracing::warn!("sessions that do not end are cut off");
            }
        }
        for task in &self.background {
            task.abort();
        }
        self.state.ledger.shutdown().await.context("close the ledger")?;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn accept(path: Arc<PostgresPath>, listener: Arc<grille_postgres::Listener>, socket: Listener, mut drain: Drain) {
    // A full listener still says so, but to so many at once only.
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    while let Some(connection) = socket.accept(&mut drain).await {
        let place = match &connection.admission {
            Admission::Admitted(_) => None,
            Admission::Full(limit) => {
                tracing::warn!(listener = %listener.name, ?limit, "the listener is full");
                match Arc::clone(&turned_away).try_acquire_owned() {
                    Ok(place) => Some(place),
                    Err(_) => continue,
                }
            }
        };
        let (path, listener, ear) = (Arc::clone(&path), Arc::clone(&listener), drain.clone());
        tokio::spawn(async move {
            path.serve(listener, connection).await;
            drop((place, ear));
        });
    }
}

/// How long the goodbye to those that remain may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Each waits for a startup packet at most; more than this are closed without a word.
const TURNED_AWAY_MAX: usize = 100;
