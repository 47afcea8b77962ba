//! Values of PostgreSQL's types, read from and written to their wire forms in text and binary.

pub(crate) mod array;
pub(crate) mod datetime;
pub(crate) mod float;
pub(crate) mod int;
pub(crate) mod numeric;
pub(crate) mod uuid;
