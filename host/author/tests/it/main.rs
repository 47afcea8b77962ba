//! What an author does, from an empty folder on. Needs Rust's wasm target and `cargo xtask components`.

mod core;
mod first_party;
mod rust;
mod support;
