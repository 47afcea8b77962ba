//! What the host keeps for policies and asks for them: counts, values, and services that the configuration names.

mod counters;
mod kv;
mod live;
mod recorded;

use std::collections::HashMap;
use std::sync::Arc;

use grille_policy::BoxFuture;
use parking_lot::Mutex;

use crate::bindings::grille::policy::clock::ClockError;
use crate::bindings::grille::policy::counters::CounterError;
use crate::bindings::grille::policy::kv::KvError;
use crate::bindings::grille::policy::lookup;

pub(crate) use counters::Counters;
pub(crate) use kv::Values;
pub(crate) use live::Live;
pub(crate) use recorded::{Recorded, Tape};

/// What a guest is answered; the outer error ends the call.
pub(crate) type Answered<T, E> = wasmtime::Result<Result<T, E>>;

/// What a guest reaches besides the facts of its call: the world, or what the world answered once.
pub(crate) trait Outside: Send {
    /// Another call begins.
    fn begin(&mut self);
    fn now_ms(&mut self) -> Answered<u64, ClockError>;
    fn add(&mut self, name: &str, amount: u64, window_ms: u64) -> Answered<u64, CounterError>;
    fn take(&mut self, name: &str, amount: u32, capacity: u32, per_minute: u32) -> Answered<bool, CounterError>;
    fn get(&mut self, key: &str) -> Answered<Option<Vec<u8>>, KvError>;
    fn set(&mut self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Answered<(), KvError>;
    fn delete(&mut self, key: &str) -> Answered<(), KvError>;
    fn fetch<'a>(
        &'a mut self,
        name: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Answered<Option<Vec<u8>>, lookup::LookupError>>;
}

/// An error of a service, by the name that records have for it.
pub(crate) trait Named: Copy + Sized + 'static {
    const ALL: &'static [(Self, &'static str)];

    fn name(self) -> &'static str;

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(error, _)| *error)
    }
}

macro_rules! named {
    ($error:ty: $($variant:ident = $name:literal),+) => {
        impl Named for $error {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name)),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

named!(ClockError: NotGranted = "not-granted");
named!(CounterError: NotGranted = "not-granted", OverQuota = "over-quota", TooLarge = "too-large");
named!(KvError: NotGranted = "not-granted", OverQuota = "over-quota", TooLarge = "too-large");
named!(lookup::LookupError:
    NotGranted = "not-granted",
    OverQuota = "over-quota",
    TooLarge = "too-large",
    Timeout = "timeout",
    Unavailable = "unavailable"
);

/// Services that policies may ask by name. The gateway knows how.
pub trait Lookups: Send + Sync {
    /// Whether the configuration names the service.
    fn has(&self, name: &str) -> bool;

    /// Asks it about a key, within its own time: at most `bytes_max` bytes, or none where it knows nothing of the key.
    fn fetch<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>>;
}

/// Why a service gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// The answer is longer than allowed.
    TooLarge,
    /// It took too long.
    Timeout,
    /// It cannot be reached, or answered with an error.
    Unavailable,
}

/// Where no lookups are configured.
pub(crate) struct NoLookups;

impl Lookups for NoLookups {
    fn has(&self, _name: &str) -> bool {
        false
    }

    fn fetch<'a>(
        &'a self,
        _name: &'a str,
        _key: &'a str,
        _bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>> {
        Box::pin(async { Err(LookupError::Unavailable) })
    }
}

/// The counts and values of one policy. They belong to its name, so that they outlive every swap.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) counters: Mutex<Counters>,
    pub(crate) values: Mutex<Values>,
}

/// The states of all policies by name.
#[derive(Default)]
pub(crate) struct States(Mutex<HashMap<Arc<str>, Arc<State>>>);

impl States {
    pub(crate) fn of(&self, policy: &Arc<str>) -> Arc<State> {
        Arc::clone(self.0.lock().entry(Arc::clone(policy)).or_default())
    }
}

/// What a policy may use besides `log` and `detect`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Grants {
    pub(crate) clock: bool,
    pub(crate) counters: bool,
    pub(crate) kv: bool,
    /// The names of services.
    pub(crate) lookups: Vec<Arc<str>>,
}

impl Grants {
    /// Reads the configuration's words, or says what is wrong with each.
    pub(crate) fn read(words: &[String], lookups: &dyn Lookups) -> Result<Self, Vec<String>> {
        let (mut grants, mut wrong) = (Self::default(), Vec::new());
        for word in words {
            match word.as_str() {
                // Always granted; naming them is no mistake.
                "log" | "detect" => {}
                "clock" => grants.clock = true,
                "counters" => grants.counters = true,
                "kv" => grants.kv = true,
                other => match other.strip_prefix("lookup:") {
                    Some(name) if lookups.has(name) => grants.lookups.push(name.into()),
                    Some(name) => wrong.push(format!("grants: there is no [lookups.{name}]; add it or drop the grant")),
                    None => wrong.push(format!(
                        "grants: this host has no `{other}`; it has `clock`, `counters`, `kv` and `lookup:NAME`"
                    )),
                },
            }
        }
        if wrong.is_empty() { Ok(grants) } else { Err(wrong) }
    }

    /// In the configuration's words, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let simple = [("clock", self.clock), ("counters", self.counters), ("kv", self.kv)];
        let simple = simple.into_iter().filter(|(_, granted)| *granted).map(|(name, _)| name.to_owned());
        simple.chain(self.lookups.iter().map(|name| format!("lookup:{name}"))).collect()
    }

    /// Whether an interface that a plugin imports answers; `log`, `detect` and the data always do.
    pub(crate) fn has(&self, interface: &str) -> bool {
        match interface {
            "clock" => self.clock,
            "counters" => self.counters,
            "kv" => self.kv,
            "lookup" => !self.lookups.is_empty(),
            _ => true,
        }
    }
}

/// Bytes in JSON.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
