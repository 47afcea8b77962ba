use std::collections::BTreeMap;
use std::sync::Arc;

use grille_policy::BoxFuture;
use parking_lot::Mutex;

use super::file::HostSide;
use crate::memo::Question;
use crate::services::{LookupError, Lookups};

/// What stands in the world's place while a case runs, and what was noted meanwhile.
pub(crate) struct Stage {
    pub(crate) now_ms: u64,
    pub(crate) lookups: Arc<dyn Lookups>,
    /// Whether what the guest reads is noted: costs a little in each call.
    pub(crate) notes_reads: bool,
    notes: Mutex<Notes>,
}

#[derive(Default)]
pub(crate) struct Notes {
    /// Facts that the guest read, in order, each once.
    pub(crate) read: Vec<String>,
    /// Lines for the operator.
    pub(crate) log: Vec<String>,
}

/// The first of January 2026: a case has the same time every day.
const NOW_MS: u64 = 1_767_225_600_000;

impl Stage {
    pub(crate) fn new(host: Option<&HostSide>, notes_reads: bool) -> Self {
        let lookups = host.map(|host| host.lookups.clone()).unwrap_or_default();
        Self {
            now_ms: host.and_then(|host| host.now_ms).unwrap_or(NOW_MS),
            lookups: Arc::new(Listed(lookups)),
            notes_reads,
            notes: Mutex::default(),
        }
    }

    pub(crate) fn wrote(&self, line: String) {
        self.notes.lock().log.push(line);
    }

    pub(crate) fn saw(&self, questions: &[Question]) {
        let mut notes = self.notes.lock();
        for question in questions {
            let read = question.describe();
            if !notes.read.contains(&read) {
                notes.read.push(read);
            }
        }
    }

    pub(crate) fn take_notes(&self) -> Notes {
        std::mem::take(&mut self.notes.lock())
    }
}

/// Services that answer what a case lists.
struct Listed(BTreeMap<String, BTreeMap<String, String>>);

impl Lookups for Listed {
    /// Any name may be granted: one that the case does not list is unavailable.
    fn has(&self, _name: &str) -> bool {
        true
    }

    fn fetch<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>> {
        Box::pin(async move {
            let service = self.0.get(name).ok_or(LookupError::Unavailable)?;
            let answer = service.get(key).map(|answer| answer.clone().into_bytes());
            if answer.as_ref().is_some_and(|answer| answer.len() > bytes_max) {
                return Err(LookupError::TooLarge);
            }
            Ok(answer)
        })
    }
}
