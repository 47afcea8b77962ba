//! The clinic: a private PostgreSQL cluster with made-up patients, an OIDC issuer for four demo accounts, and a tour
//! that shows on them what the gateway does.
//!
//! Nothing here is part of a gateway that serves: `grille serve` refuses the demo's issuer, and this room knows the
//! gateway only as a program that it starts. The data come from a seed and from word lists written for this purpose;
//! no record describes a living person.

#![forbid(unsafe_code)]

mod card;
pub mod clinic;
pub mod cluster;
mod config;
mod gateway;
pub mod issuer;
mod layout;
pub mod port;
mod run;
pub mod tour;
mod world;

pub use card::{Card, DatabaseCard, IssuerCard, Listeners, Pids, token};
pub use run::{Options, run};

/// `N` random bytes from the operating system, in hex.
pub(crate) fn random_hex<const N: usize>() -> anyhow::Result<String> {
    let mut bytes = [0u8; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
