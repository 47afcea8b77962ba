//! Sockets: listeners with their limits, TLS on both sides, and the signal by which the gateway drains.
//!
//! This room knows no protocol, no configuration file and nobody's identity: a path takes a [`Connection`] and does the
//! talking. It installs no process-wide crypto provider; every TLS configuration names aws-lc-rs itself.
#![forbid(unsafe_code)]

mod client_tls;
mod drain;
mod listen;
mod pem;
mod proxy;
mod server_tls;

pub use client_tls::{ClientCertificate, ClientTls, ClientTlsMode};
pub use drain::{Drain, DrainHandle, Phase, drain};
pub use listen::{Admission, BindError, Connection, Limit, Listen, Listener, Permit, dial, tune};
pub use pem::{KeySource, TlsError};
pub use proxy::Peer;
pub use server_tls::{ClientCerts, ServerTls, ServerTlsConfig, describe};
