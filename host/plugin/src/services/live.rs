use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grille_policy::BoxFuture;
use tokio::time::Instant;

use super::{Answered, Grants, LookupError, Lookups, Outside, State};
use crate::bindings::grille::policy::clock::ClockError;
use crate::bindings::grille::policy::counters::CounterError;
use crate::bindings::grille::policy::kv::KvError;
use crate::bindings::grille::policy::lookup;

/// Calls of `counters`, and of `kv`, within one call of a hook.
const STATE_CALLS_MAX: u32 = 1_000;
/// A name or a key.
const NAME_MAX: usize = 256;
/// A value.
const VALUE_MAX: usize = 64 << 10;
/// Lookups within one call of a hook: each keeps a caller waiting.
const LOOKUPS_MAX: u32 = 16;
const LOOKUP_KEY_MAX: usize = 1 << 10;
const LOOKUP_ANSWER_MAX: usize = 256 << 10;
/// Longer than any service is waited for: the backstop behind the service's own time.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(30);

/// The world, as far as the policy's grants reach.
pub(crate) struct Live {
    grants: Arc<Grants>,
    state: Arc<State>,
    lookups: Arc<dyn Lookups>,
    /// The time, where it is not the machine's.
    now_ms: Option<u64>,
    /// What the call under way has asked already, of `counters`, `kv` and `lookup`.
    counted: u32,
    kept: u32,
    looked_up: u32,
}

impl Live {
    pub(crate) fn new(grants: Arc<Grants>, state: Arc<State>, lookups: Arc<dyn Lookups>, now_ms: Option<u64>) -> Self {
        Self { grants, state, lookups, now_ms, counted: 0, kept: 0, looked_up: 0 }
    }

    fn may_count(&mut self, name: &str) -> Result<(), CounterError> {
        self.counted = self.counted.saturating_add(1);
        match () {
            () if !self.grants.counters => Err(CounterError::NotGranted),
            () if name.len() > NAME_MAX => Err(CounterError::TooLarge),
            () if self.counted > STATE_CALLS_MAX => Err(CounterError::OverQuota),
            () => Ok(()),
        }
    }

    fn may_keep(&mut self, key: &str) -> Result<(), KvError> {
        self.kept = self.kept.saturating_add(1);
        match () {
            () if !self.grants.kv => Err(KvError::NotGranted),
            () if key.len() > NAME_MAX => Err(KvError::TooLarge),
            () if self.kept > STATE_CALLS_MAX => Err(KvError::OverQuota),
            () => Ok(()),
        }
    }

    fn may_look_up(&mut self, name: &str, key: &str) -> Result<(), lookup::LookupError> {
        self.looked_up = self.looked_up.saturating_add(1);
        match () {
            () if !self.grants.lookups.iter().any(|granted| **granted == *name) => Err(lookup::LookupError::NotGranted),
            () if key.len() > LOOKUP_KEY_MAX => Err(lookup::LookupError::TooLarge),
            () if self.looked_up > LOOKUPS_MAX => Err(lookup::LookupError::OverQuota),
            () => Ok(()),
        }
    }
}

impl Outside for Live {
    fn begin(&mut self) {
        (self.counted, self.kept, self.looked_up) = (0, 0, 0);
    }

    fn now_ms(&mut self) -> Answered<u64, ClockError> {
        if !self.grants.clock {
            return Ok(Err(ClockError::NotGranted));
        }
        let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Ok(self.now_ms.map_or_else(|| u64::try_from(since()), Ok)?))
    }

    fn add(&mut self, name: &str, amount: u64, window_ms: u64) -> Answered<u64, CounterError> {
        Ok(self.may_count(name).and_then(|()| {
            let window = Duration::from_millis(window_ms);
            let added = self.state.counters.lock().add(name.to_owned(), amount, window, Instant::now());
            added.map_err(|_| CounterError::OverQuota)
        }))
    }

    fn take(&mut self, name: &str, amount: u32, capacity: u32, per_minute: u32) -> Answered<bool, CounterError> {
        Ok(self.may_count(name).and_then(|()| {
            let mut counters = self.state.counters.lock();
            let taken = counters.take(name.to_owned(), amount, capacity, per_minute, Instant::now());
            taken.map_err(|_| CounterError::OverQuota)
        }))
    }

    fn get(&mut self, key: &str) -> Answered<Option<Vec<u8>>, KvError> {
        Ok(self.may_keep(key).map(|()| {
            let value = self.state.values.lock().get(key, Instant::now());
            value.map(|value| value.to_vec())
        }))
    }

    fn set(&mut self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Answered<(), KvError> {
        Ok(self.may_keep(key).and_then(|()| {
            if value.len() > VALUE_MAX {
                return Err(KvError::TooLarge);
            }
            let ttl = ttl_ms.map(Duration::from_millis);
            let set = self.state.values.lock().set(key.to_owned(), value, ttl, Instant::now());
            set.map_err(|_| KvError::OverQuota)
        }))
    }

    fn delete(&mut self, key: &str) -> Answered<(), KvError> {
        Ok(self.may_keep(key).map(|()| self.state.values.lock().delete(key)))
    }

    fn fetch<'a>(
        &'a mut self,
        name: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Answered<Option<Vec<u8>>, lookup::LookupError>> {
        Box::pin(async move {
            if let Err(refused) = self.may_look_up(name, key) {
                return Ok(Err(refused));
            }
            let fetched = self.lookups.fetch(name, key, LOOKUP_ANSWER_MAX);
            let answer = tokio::time::timeout(LOOKUP_TIME_MAX, fetched).await;
            Ok(answer.unwrap_or(Err(LookupError::Timeout)).map_err(|error| match error {
                LookupError::TooLarge => lookup::LookupError::TooLarge,
                LookupError::Timeout => lookup::LookupError::Timeout,
                LookupError::Unavailable => lookup::LookupError::Unavailable,
            }))
        })
    }
}
