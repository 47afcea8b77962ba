use std::io;
use std::path::{Path, PathBuf};

/// Why there is no plugin. Each says in one line what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The author's files are not what they should be: the answer is "no".
    #[error("{0}")]
    Refused(String),
    /// A tool is not there.
    #[error("{0}")]
    Missing(String),
    /// A tool ran and failed.
    #[error("{message}")]
    Tool {
        /// What to tell people.
        message: String,
        /// What it printed, where it did not print it itself.
        output: String,
    },
    /// A file could not be read or written.
    #[error("{what} {}", path.display())]
    Io {
        /// `read`, `write` …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { what, path, error }
    }

    /// Whether the answer is "no", rather than that there is none.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Tool { .. })
    }
}
