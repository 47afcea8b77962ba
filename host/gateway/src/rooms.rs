//! Rooms that do not know each other meet here: each file gives one room what it asks for, out of another.

pub(crate) mod admin;
pub(crate) mod journal;
pub(crate) mod status;
