//! The imports behind which something changes. What they answered is kept with the decision: with it, the same
//! component comes to the same verdict again.

use grille_policy::HostCall;
use serde_json::{Value, json};
use tokio::time::Instant;
use wasmtime::format_err;

use super::{Answer, Guest};
use crate::bindings::grille::policy::{clock, counters, detect, kv, log, lookup};
use crate::services::{Named, base64};

impl Guest {
    /// Keeps what the host answered. The answer to the call cannot be remembered after that.
    fn answered<T, E: Named>(
        &mut self,
        function: &str,
        asked: &Value,
        answer: &Result<T, E>,
        ok: impl Fn(&T) -> Value,
    ) {
        let said = match answer {
            Ok(value) => json!({ "ok": ok(value) }),
            Err(error) => json!({ "err": error.name() }),
        };
        let call = HostCall {
            function: function.into(),
            asked: asked.to_string().into(),
            answered: said.to_string().into(),
            at_opening: false,
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
        let answer = self.outside.now_ms()?;
        self.answered("clock.now-ms", &json!([]), &answer, |ms| json!(ms));
        Ok(answer)
    }
}

impl counters::Host for Guest {
    fn add(&mut self, name: String, amount: u64, window_ms: u64) -> Answer<Result<u64, counters::CounterError>> {
        let answer = self.outside.add(&name, amount, window_ms)?;
        self.answered("counters.add", &json!([name, amount, window_ms]), &answer, |count| json!(count));
        Ok(answer)
    }

    fn take(
        &mut self,
        name: String,
        amount: u32,
        capacity: u32,
        per_minute: u32,
    ) -> Answer<Result<bool, counters::CounterError>> {
        let answer = self.outside.take(&name, amount, capacity, per_minute)?;
        let asked = json!([name, amount, capacity, per_minute]);
        self.answered("counters.take", &asked, &answer, |taken| json!(taken));
        Ok(answer)
    }
}

impl kv::Host for Guest {
    fn get(&mut self, key: String) -> Answer<Result<Option<Vec<u8>>, kv::KvError>> {
        let answer = self.outside.get(&key)?;
        self.answered("kv.get", &json!([key]), &answer, bytes);
        Ok(answer)
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Answer<Result<(), kv::KvError>> {
        let answer = self.outside.set(&key, &value, ttl_ms)?;
        self.answered("kv.set", &json!([key, base64(&value), ttl_ms]), &answer, |()| Value::Null);
        Ok(answer)
    }

    fn delete(&mut self, key: String) -> Answer<Result<(), kv::KvError>> {
        let answer = self.outside.delete(&key)?;
        self.answered("kv.delete", &json!([key]), &answer, |()| Value::Null);
        Ok(answer)
    }
}

impl lookup::Host for Guest {
    async fn fetch(&mut self, name: String, key: String) -> Answer<Result<Option<Vec<u8>>, lookup::LookupError>> {
        let began = Instant::now();
        let answer = self.outside.fetch(&name, &key).await;
        // The guest did not compute meanwhile, so its backstop waits with it.
        self.stopwatch.stand_still(began.elapsed());
        let answer = answer?;
        self.answered("lookup.fetch", &json!([name, key]), &answer, bytes);
        Ok(answer)
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
