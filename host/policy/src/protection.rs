use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a masked session is guarded where a treatment alone cannot: the host's part of a policy's `settings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Protection {
    /// Protected columns in predicates, joins, orderings and the like.
    pub inference: Inference,
    /// Constructs that cannot be followed on a protected relation.
    pub opaque: Opaque,
    /// Writing a protected column of existing rows.
    pub writes: Writes,
    /// Whether LISTEN and NOTIFY are allowed.
    pub notify: bool,
    /// Functions named by their owner as safe to pass values through (`schema.name`), on top of the golden lists.
    pub functions: Vec<Arc<str>>,
}

impl Protection {
    /// The stricter of both in every respect.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self {
            inference: self.inference.max(other.inference),
            opaque: self.opaque.max(other.opaque),
            writes: self.writes.max(other.writes),
            notify: self.notify && other.notify,
            functions: self.functions.iter().filter(|name| other.functions.contains(name)).cloned().collect(),
        }
    }
}

/// Protected columns outside the target list. Ordered: the later the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inference {
    /// Allowed; the decision lists column and clause.
    #[default]
    Record,
    /// Refused with 42501.
    Refuse,
}

/// What cannot be followed. Ordered: the later the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opaque {
    /// The answer's texts are scanned for identifiers.
    Scan,
    /// People decide.
    Review,
    /// Refused with 42501.
    #[default]
    Refuse,
}

/// Assigning protected columns of existing rows. Ordered: the later the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    /// Runs.
    Allow,
    /// Refused: writing a masked value back would destroy it.
    #[default]
    Refuse,
}
