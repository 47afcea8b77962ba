//! The native maskers, and the detectors of identifiers in text.
//!
//! A [`ColumnMask`] is compiled once per column of a result and then applied to each value without allocating. Whatever
//! it writes parses as the column's PostgreSQL type in the column's format; where a masker has nothing valid to say for a
//! type, or a value is not what the type promises, the answer is `[redacted]` for texts and NULL for all else, never the
//! value. [`CopyMasker`] does the same for the three formats of `COPY … TO STDOUT`.
//!
//! Deliberately absent: catalogs (enums, domains, ranges, composites and extension types are unknown OIDs here and become
//! NULL), the choice of what is masked (that is the policies'), I/O, clocks and any key that outlives its [`MaskKey`].
#![forbid(unsafe_code)]
#![deny(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod column;
mod copy;
mod cross;
pub mod detect;
mod key;
mod masker;
mod row;
mod types;
mod wire;

pub use column::{ColumnMask, Context, Masked};
pub use copy::{CopyError, CopyFormat, CopyMasker, CsvOptions, ForceQuote, ROW_MAX, TextOptions};
pub use cross::Crossing;
pub use key::{KeyError, MaskKey};
pub use row::{RowError, mask_row};
pub use types::{ColumnType, Format};
