//! Policies as components, good and bad ones, through the public API.
#![forbid(unsafe_code)]

mod answers;
mod cases;
mod contract;
mod failures;
mod first_party;
mod http;
mod loading;
mod museum;
mod rerun;
mod services;
mod support;
mod swapping;
mod wasi;
