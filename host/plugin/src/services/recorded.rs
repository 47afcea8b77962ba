use std::collections::VecDeque;
use std::sync::Arc;

use grille_policy::{BoxFuture, HostCall};
use parking_lot::Mutex;
use serde_json::{Value, json};
use wasmtime::{bail, format_err};

use super::{Answered, Named, Outside, base64, from_base64};
use crate::bindings::grille::policy::clock::ClockError;
use crate::bindings::grille::policy::counters::CounterError;
use crate::bindings::grille::policy::kv::KvError;
use crate::bindings::grille::policy::lookup;

/// What is said of a question in a message.
const SHOWN_MAX: usize = 200;

/// Answers of the host that are given again, in their order.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// What was not asked for yet.
    pub(crate) calls: VecDeque<HostCall>,
    /// The first question that was another one then.
    pub(crate) strayed: Option<String>,
}

/// What the world answered once. Nothing else is behind it: a question that was not asked then in the same place ends
/// the call.
pub(crate) struct Recorded(pub(crate) Arc<Mutex<Tape>>);

impl Recorded {
    fn next<T, E: Named>(&self, function: &str, asked: &Value, ok: impl FnOnce(&Value) -> Option<T>) -> Answered<T, E> {
        let mut tape = self.0.lock();
        let asked = asked.to_string();
        let problem = match tape.calls.front() {
            Some(call) if *call.function == *function && *call.asked == *asked => None,
            Some(call) => Some(format!(
                "it asks the host for {} where it asked for {} then",
                shown(function, &asked),
                shown(&call.function, &call.asked)
            )),
            None => Some(format!("it asks the host for {}, which it did not then", shown(function, &asked))),
        };
        if let Some(problem) = problem {
            tape.strayed.get_or_insert_with(|| problem.clone());
            bail!("{problem}");
        }
        let Some(call) = tape.calls.pop_front() else { bail!("there is no answer left") };
        read(&call.answered, ok).ok_or_else(|| format_err!("the recorded answer of {function} cannot be read"))
    }
}

fn shown(function: &str, asked: &str) -> String {
    crate::log::clean(&format!("{function}{asked}"), SHOWN_MAX)
}

/// `{"ok": …}` or `{"err": "…"}`.
fn read<T, E: Named>(answered: &str, ok: impl FnOnce(&Value) -> Option<T>) -> Option<Result<T, E>> {
    let answered: Value = serde_json::from_str(answered).ok()?;
    match answered.get("ok") {
        Some(value) => ok(value).map(Ok),
        None => E::by_name(answered.get("err")?.as_str()?).map(Err),
    }
}

fn bytes(value: &Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::Null => Some(None),
        value => from_base64(value.as_str()?).map(Some),
    }
}

impl Outside for Recorded {
    fn begin(&mut self) {}

    fn now_ms(&mut self) -> Answered<u64, ClockError> {
        self.next("clock.now-ms", &json!([]), Value::as_u64)
    }

    fn add(&mut self, name: &str, amount: u64, window_ms: u64) -> Answered<u64, CounterError> {
        self.next("counters.add", &json!([name, amount, window_ms]), Value::as_u64)
    }

    fn take(&mut self, name: &str, amount: u32, capacity: u32, per_minute: u32) -> Answered<bool, CounterError> {
        self.next("counters.take", &json!([name, amount, capacity, per_minute]), Value::as_bool)
    }

    fn get(&mut self, key: &str) -> Answered<Option<Vec<u8>>, KvError> {
        self.next("kv.get", &json!([key]), bytes)
    }

    fn set(&mut self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Answered<(), KvError> {
        self.next("kv.set", &json!([key, base64(value), ttl_ms]), Value::as_null)
    }

    fn delete(&mut self, key: &str) -> Answered<(), KvError> {
        self.next("kv.delete", &json!([key]), Value::as_null)
    }

    fn fetch<'a>(
        &'a mut self,
        name: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Answered<Option<Vec<u8>>, lookup::LookupError>> {
        let answer = self.next("lookup.fetch", &json!([name, key]), bytes);
        Box::pin(async move { answer })
    }
}
