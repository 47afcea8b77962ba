use grille_policy::{Digest, Parameter, RequestId, Subject};

use crate::bind::{digest_of_parameters, digest_of_text};
use crate::desk::{Book, Desk, now_ms};
use crate::entry::Entry;
use crate::grant::Grant;
use crate::view::{Review, State};

/// Which requests to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that stand here.
    pub state: Option<State>,
    /// Only those on this target.
    pub target: Option<String>,
    /// At most so many, 0 = all that the desk knows.
    pub limit: usize,
}

impl Filter {
    fn admits(&self, entry: &Entry) -> bool {
        self.state.is_none_or(|state| entry.state == state)
            && self.target.as_ref().is_none_or(|target| *target == *entry.ask.session.target)
    }
}

/// A text that names no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotFound {
    /// None.
    #[error("no review request `{0}` is known here; `grille review list` shows them, older ones are in the ledger")]
    Unknown(String),
    /// More than one.
    #[error("`{prefix}` begins {count} review requests; write more of the id")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many it begins.
        count: usize,
    },
}

impl Desk {
    /// An unused approval for exactly these bytes, for a caller that was sent away and came back. One that a caller is
    /// held for is not found.
    #[must_use]
    pub fn find_grant(&self, subject: &Subject, target: &str, text: &str, parameters: &[Parameter]) -> Option<Grant> {
        let (text, parameters): (Digest, Digest) = (digest_of_text(text), digest_of_parameters(parameters));
        let binding = self.0.key.bind(subject, target, &text, &parameters);
        let book = self.sweep();
        let entry = book.bound(binding).find(|entry| entry.state == State::Granted && !entry.attended)?;
        Some(Grant::new(self.clone(), entry, false))
    }

    /// What the desk knows, newest first.
    #[must_use]
    pub fn list(&self, filter: &Filter) -> Vec<Review> {
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        self.sweep().entries.values().rev().filter(|entry| filter.admits(entry)).take(limit).map(Entry::view).collect()
    }

    /// How many the desk knows.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> usize {
        self.sweep().entries.values().filter(|entry| filter.admits(entry)).count()
    }

    /// One request, by its id or a unique beginning of it. The look of a person goes into their decision.
    pub fn show(&self, id: &str, viewer: &Subject) -> Result<Review, NotFound> {
        let mut book = self.sweep();
        let id = book.find(id)?;
        let entry = book.entries.get_mut(&id).ok_or_else(|| NotFound::Unknown(id.to_string()))?;
        entry.look(viewer, now_ms());
        Ok(entry.view())
    }
}

impl Book {
    /// The request that a text names.
    pub(crate) fn find(&self, text: &str) -> Result<RequestId, NotFound> {
        if let Ok(id) = text.parse::<RequestId>()
            && self.entries.contains_key(&id)
        {
            return Ok(id);
        }
        let letters = text.strip_prefix("r-").unwrap_or(text);
        let is_match = |id: &&RequestId| id.to_string().strip_prefix("r-").is_some_and(|id| id.starts_with(letters));
        let found: Vec<RequestId> =
            if letters.is_empty() { Vec::new() } else { self.entries.keys().filter(is_match).copied().collect() };
        match found.as_slice() {
            [] => Err(NotFound::Unknown(text.to_owned())),
            [id] => Ok(*id),
            many => Err(NotFound::Ambiguous { prefix: text.to_owned(), count: many.len() }),
        }
    }
}
