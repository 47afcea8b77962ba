//! The sessions that are open now: who they are, and a line to each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grille_policy::{SessionFacts, SessionId};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::route::{Change, Routes};

/// Orders in flight to one session; a session that does not take them is busy ending anyway.
const ORDERS_MAX: usize = 8;
/// How long a session may finish what it runs after a role of its was changed.
const CHANGE_PATIENCE: Duration = Duration::from_secs(60);

/// What others may ask of a running session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// The caller sent a CancelRequest on another connection.
    Cancel,
    /// End the session and tell the caller why.
    End { reason: Arc<str> },
    /// The same, once nothing is under way and no transaction is open; at the latest when the patience is over.
    EndWhenIdle { reason: Arc<str>, patience: Option<Duration> },
}

/// All open sessions of the path.
#[derive(Debug, Default)]
pub struct LiveSessions {
    sessions: Mutex<HashMap<SessionId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    facts: Arc<SessionFacts>,
    operations: Arc<AtomicU64>,
    orders: mpsc::Sender<Order>,
}

/// A session as others see it.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// Who, where and how.
    pub facts: Arc<SessionFacts>,
    /// How many operations were decided.
    pub operations: u64,
}

impl LiveSessions {
    /// All open sessions, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<LiveSession> {
        let mut list: Vec<LiveSession> = self
            .sessions
            .lock()
            .values()
            .map(|entry| LiveSession {
                facts: Arc::clone(&entry.facts),
                operations: entry.operations.load(Ordering::Relaxed),
            })
            .collect();
        list.sort_by_key(|session| session.facts.id);
        list
    }

    /// Ends a session; the caller reads the reason. Answers whether there is such a session.
    pub fn end(&self, id: SessionId, reason: &str) -> bool {
        self.order(id, Order::End { reason: reason.into() })
    }

    /// Ends all sessions.
    pub fn end_all(&self, reason: &str) {
        self.order_all(&Order::End { reason: reason.into() });
    }

    /// Ends each session as soon as nothing is under way in it.
    pub fn drain(&self, reason: &str) {
        self.order_all(&Order::EndWhenIdle { reason: reason.into(), patience: None });
    }

    /// Ends the sessions whose roles give less than they did, or something else: at once where a role is gone, else as
    /// soon as nothing is under way.
    pub(crate) fn follow(&self, old: &Routes, new: &Routes) {
        for LiveSession { facts, .. } in self.list() {
            let Some(change) = new.change(old, &facts) else { continue };
            let order = match change {
                Change::Gone(role) => {
                    Order::End { reason: format!("role \"{role}\" no longer gives access here").into() }
                }
                Change::Other(role) => Order::EndWhenIdle {
                    reason: format!("role \"{role}\" was changed; connect again").into(),
                    patience: Some(CHANGE_PATIENCE),
                },
            };
            self.order(facts.id, order);
        }
    }

    fn order_all(&self, order: &Order) {
        let ids: Vec<SessionId> = self.sessions.lock().keys().copied().collect();
        for id in ids {
            self.order(id, order.clone());
        }
    }

    pub(crate) fn order(&self, id: SessionId, order: Order) -> bool {
        self.sessions.lock().get(&id).is_some_and(|entry| match entry.orders.try_send(order) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        })
    }

    /// Lists a session until the answer is dropped.
    pub(crate) fn enter(self: &Arc<Self>, facts: Arc<SessionFacts>) -> Presence {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let operations = Arc::new(AtomicU64::new(0));
        let id = facts.id;
        self.sessions.lock().insert(id, Entry { facts, operations: Arc::clone(&operations), orders });
        Presence { sessions: Arc::clone(self), id, orders: inbox, operations }
    }
}

/// A session's place among the open ones.
pub(crate) struct Presence {
    sessions: Arc<LiveSessions>,
    id: SessionId,
    pub(crate) orders: mpsc::Receiver<Order>,
    operations: Arc<AtomicU64>,
}

impl Presence {
    pub(crate) fn count_operation(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.sessions.sessions.lock().remove(&self.id);
    }
}
