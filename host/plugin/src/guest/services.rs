//! The imports behind which something changes. What they answered is kept with the decision: with it, the same
//! component comes to the same verdict again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grille_policy::HostCall;
use serde_json::{Value, json};
use tokio::time::Instant;
use wasmtime::format_err;

use super::{Answer, Guest};
use crate::bindings::grille::policy::{clock, counters, detect, kv, log, lookup};
use crate::services::{LOOKUP_TIME_MAX, LookupError, base64};

impl Guest {
    /// Keeps what the host answered. The answer to the call cannot be remembered after that.
    fn answered(&mut self, function: &str, asked: &Value, answered: &Value) {
        let call = HostCall {
            function: function.into(),
            asked: asked.to_string().into(),
            answered: answered.to_string().into(),
        };
        self.call.trace.outside = true;
        self.call.trace.calls.push(call);
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) -> Answer<()> {
        self.call.lines = self.call.lines.saturating_add(1);
        self.log.write(level, &message, self.call.lines);
        Ok(())
    }
}

impl clock::Host for Guest {
    fn now_ms(&mut self) -> Answer<Result<u64, clock::ClockError>> {
        let answer = if self.grants.clock {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok(u64::try_from(since.as_millis())?)
        } else {
            Err(clock::ClockError::NotGranted)
        };
        self.answered("clock.now-ms", &json!([]), &said(&answer, |ms| json!(ms), |_| "not-granted"));
        Ok(answer)
    }
}

/// Calls of `counters`, and of `kv`, within one call of a hook.
const STATE_CALLS_MAX: u32 = 1_000;
/// A name or a key.
const NAME_MAX: usize = 256;
/// A value.
const VALUE_MAX: usize = 64 << 10;

impl counters::Host for Guest {
    fn add(&mut self, name: String, amount: u64, window_ms: u64) -> Answer<Result<u64, counters::CounterError>> {
        let asked = json!([name, amount, window_ms]);
        let answer = self.may_count(&name).and_then(|()| {
            let window = Duration::from_millis(window_ms);
            let added = self.state.counters.lock().add(name, amount, window, Instant::now());
            added.map_err(|_| counters::CounterError::OverQuota)
        });
        self.answered("counters.add", &asked, &said(&answer, |count| json!(count), |error| counter_error(*error)));
        Ok(answer)
    }

    fn take(
        &mut self,
        name: String,
        amount: u32,
        capacity: u32,
        per_minute: u32,
    ) -> Answer<Result<bool, counters::CounterError>> {
        let asked = json!([name, amount, capacity, per_minute]);
        let answer = self.may_count(&name).and_then(|()| {
            let taken = self.state.counters.lock().take(name, amount, capacity, per_minute, Instant::now());
            taken.map_err(|_| counters::CounterError::OverQuota)
        });
        self.answered("counters.take", &asked, &said(&answer, |taken| json!(taken), |error| counter_error(*error)));
        Ok(answer)
    }
}

impl Guest {
    fn may_count(&mut self, name: &str) -> Result<(), counters::CounterError> {
        self.call.counted = self.call.counted.saturating_add(1);
        match () {
            () if !self.grants.counters => Err(counters::CounterError::NotGranted),
            () if name.len() > NAME_MAX => Err(counters::CounterError::TooLarge),
            () if self.call.counted > STATE_CALLS_MAX => Err(counters::CounterError::OverQuota),
            () => Ok(()),
        }
    }

    fn may_keep(&mut self, key: &str) -> Result<(), kv::KvError> {
        self.call.kept = self.call.kept.saturating_add(1);
        match () {
            () if !self.grants.kv => Err(kv::KvError::NotGranted),
            () if key.len() > NAME_MAX => Err(kv::KvError::TooLarge),
            () if self.call.kept > STATE_CALLS_MAX => Err(kv::KvError::OverQuota),
            () => Ok(()),
        }
    }
}

const fn counter_error(error: counters::CounterError) -> &'static str {
    match error {
        counters::CounterError::NotGranted => "not-granted",
        counters::CounterError::OverQuota => "over-quota",
        counters::CounterError::TooLarge => "too-large",
    }
}

impl kv::Host for Guest {
    fn get(&mut self, key: String) -> Answer<Result<Option<Vec<u8>>, kv::KvError>> {
        let answer = self.may_keep(&key).map(|()| {
            let value = self.state.values.lock().get(&key, Instant::now());
            value.map(|value| value.to_vec())
        });
        self.answered("kv.get", &json!([key]), &said(&answer, bytes, |error| kv_error(*error)));
        Ok(answer)
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Answer<Result<(), kv::KvError>> {
        let asked = json!([key, base64(&value), ttl_ms]);
        let answer = self.may_keep(&key).and_then(|()| {
            if value.len() > VALUE_MAX {
                return Err(kv::KvError::TooLarge);
            }
            let ttl = ttl_ms.map(Duration::from_millis);
            let set = self.state.values.lock().set(key, &value, ttl, Instant::now());
            set.map_err(|_| kv::KvError::OverQuota)
        });
        self.answered("kv.set", &asked, &said(&answer, |()| Value::Null, |error| kv_error(*error)));
        Ok(answer)
    }

    fn delete(&mut self, key: String) -> Answer<Result<(), kv::KvError>> {
        let answer = self.may_keep(&key).map(|()| self.state.values.lock().delete(&key));
        self.answered("kv.delete", &json!([key]), &said(&answer, |()| Value::Null, |error| kv_error(*error)));
        Ok(answer)
    }
}

const fn kv_error(error: kv::KvError) -> &'static str {
    match error {
        kv::KvError::NotGranted => "not-granted",
        kv::KvError::OverQuota => "over-quota",
        kv::KvError::TooLarge => "too-large",
    }
}

/// Lookups within one call of a hook: each keeps a caller waiting.
const LOOKUPS_MAX: u32 = 16;
const LOOKUP_KEY_MAX: usize = 1 << 10;
const LOOKUP_ANSWER_MAX: usize = 256 << 10;

impl lookup::Host for Guest {
    async fn fetch(&mut self, name: String, key: String) -> Answer<Result<Option<Vec<u8>>, lookup::LookupError>> {
        self.call.lookups = self.call.lookups.saturating_add(1);
        let answer = match () {
            () if !self.grants.lookups.iter().any(|granted| **granted == *name) => Err(lookup::LookupError::NotGranted),
            () if key.len() > LOOKUP_KEY_MAX => Err(lookup::LookupError::TooLarge),
            () if self.call.lookups > LOOKUPS_MAX => Err(lookup::LookupError::OverQuota),
            () => {
                let began = Instant::now();
                let fetched = self.lookups.fetch(&name, &key, LOOKUP_ANSWER_MAX);
                let answer = tokio::time::timeout(LOOKUP_TIME_MAX, fetched).await;
                // The guest did not compute meanwhile, so its backstop waits with it.
                self.stopwatch.stand_still(began.elapsed());
                answer.unwrap_or(Err(LookupError::Timeout)).map_err(|error| match error {
                    LookupError::TooLarge => lookup::LookupError::TooLarge,
                    LookupError::Timeout => lookup::LookupError::Timeout,
                    LookupError::Unavailable => lookup::LookupError::Unavailable,
                })
            }
        };
        self.answered("lookup.fetch", &json!([name, key]), &said(&answer, bytes, |error| lookup_error(*error)));
        Ok(answer)
    }
}

const fn lookup_error(error: lookup::LookupError) -> &'static str {
    match error {
        lookup::LookupError::NotGranted => "not-granted",
        lookup::LookupError::OverQuota => "over-quota",
        lookup::LookupError::TooLarge => "too-large",
        lookup::LookupError::Timeout => "timeout",
        lookup::LookupError::Unavailable => "unavailable",
    }
}

/// The engine's clock stands still while the host works for a guest, so that work is bounded: some 15 ms.
const SCANNED_MAX: usize = 1 << 20;
const HITS_MAX: usize = 10_000;

/// Not kept with the decision: the same texts give the same identifiers in the same version of the host.
impl detect::Host for Guest {
    fn scan(&mut self, texts: Vec<String>) -> Answer<Result<Vec<detect::Hit>, detect::DetectError>> {
        self.call.trace.outside = true;
        self.call.scanned = texts.iter().fold(self.call.scanned, |sum, text| sum.saturating_add(text.len()));
        if self.call.scanned > SCANNED_MAX {
            return Ok(Err(detect::DetectError::TooLarge));
        }
        let detector = self.detector.as_deref().ok_or_else(|| format_err!("the detectors are not built"))?;
        let (mut hits, mut found) = (Vec::new(), Vec::new());
        for (text, number) in texts.iter().zip(0u32..) {
            found.clear();
            detector.scan(text, &mut found);
            if hits.len() + found.len() > HITS_MAX {
                return Ok(Err(detect::DetectError::TooMany));
            }
            for hit in &found {
                hits.push(detect::Hit {
                    text: number,
                    start: u32::try_from(hit.start)?,
                    end: u32::try_from(hit.end)?,
                    kind: hit.kind.name().to_owned(),
                    score: u32::from(hit.score),
                });
            }
        }
        Ok(Ok(hits))
    }
}

fn bytes(value: &Option<Vec<u8>>) -> Value {
    value.as_ref().map_or(Value::Null, |value| base64(value).into())
}

fn said<T, E>(answer: &Result<T, E>, ok: impl Fn(&T) -> Value, err: impl Fn(&E) -> &'static str) -> Value {
    match answer {
        Ok(value) => json!({ "ok": ok(value) }),
        Err(error) => json!({ "err": err(error) }),
    }
}
