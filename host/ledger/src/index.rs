//! The index: per closed segment one small file that says which sessions have records there, so that lists and searches
//! open what they look for instead of everything.
//!
//! It is a cache. It follows from the segments, holds nothing but what leaves say, and is made anew wherever it is missing,
//! damaged, of another format or another log's. Whoever cannot use it reads the log: slower, with the same answers.
//!
//! Its files are written once and replaced whole, so that readers need no lock and a crash leaves the old one or none. Each
//! is authenticated under the seal key: a file that somebody slipped in could hide sessions from a search, and
//! `verify` would find nothing wrong.

mod build;
mod bytes;
mod head;
mod look;
mod row;

#[cfg(test)]
mod tests;

pub(crate) use build::{Indexing, index_loop};
pub(crate) use look::{Index, Traced};
pub(crate) use row::Verdict;

/// Why an answer has to come from the log itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// A file of the index, or what it says of the log, does not hold.
    #[error("segment {segment} is not what the index says of it")]
    Disagrees {
        /// Where.
        segment: u32,
    },
    /// What it pointed at could not be read.
    #[error(transparent)]
    Read(#[from] crate::ReadError),
}
