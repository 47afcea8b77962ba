//! What people who write policies use: from an empty folder to a plugin that holds its test cases.
//!
//! [`scaffold()`] writes a plugin, [`build()`] makes its component, whatever its language, [`SqlAnalyst`] lets test cases
//! ask about SQL, and [`Listing`] shows what a component is. Running a component is the plugin room's business; the
//! commands over all of it are the gateway's.
//!
//! The contract, the Rust SDK and the templates are part of the binary: authors need no checkout.
//!
//! Without the feature `host` the room builds Rust plugins and nothing else, and links nothing heavy.
#![forbid(unsafe_code)]

#[cfg(feature = "host")]
mod advice;
#[cfg(feature = "host")]
mod analyst;
#[cfg(feature = "host")]
mod build;
mod cargo;
#[cfg(feature = "host")]
mod embedded;
mod error;
#[cfg(feature = "host")]
mod listing;
mod manifest;
#[cfg(feature = "host")]
mod scaffold;
mod section;
mod tool;
#[cfg(feature = "host")]
mod wrap;

#[cfg(feature = "host")]
pub use analyst::SqlAnalyst;
#[cfg(feature = "host")]
pub use build::{Built, build, build_core};
pub use cargo::{RustPlugin, build_rust};
pub use error::Error;
#[cfg(feature = "host")]
pub use listing::Listing;
pub use manifest::{Language, Manifest, Want, WantedLimits};
#[cfg(feature = "host")]
pub use scaffold::{Hook, scaffold};
pub use section::finish;
