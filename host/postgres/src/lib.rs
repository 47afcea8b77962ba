//! The PostgreSQL path: from a caller's first byte to the last row of its answer.
//!
//! A connection passes through the files in this order: [`accept`] (negotiation, TLS, startup packet) →
//! [`identify`] (version, token) → [`path`] (subject, the opening's verdict) → [`route`] (target, roles, login) → [`upstream`] (the target's own login)
//! → [`session`], which says how a statement goes on from there.
//!
//! What it deliberately does not do: it knows no Wasm (only [`grille_policy::Evaluator`]), it parses no SQL (only
//! [`grille_sql`]), it reads no environment, and it never shows a caller the target's credentials.
//!
//! **Invariants:** nothing is forwarded before its decision is recorded; no row reaches a caller before its treatment is
//! known; a refused statement fails upstream as the server's own would, so that transaction state is the server's truth.
#![forbid(unsafe_code)]

mod accept;
mod budget;
mod cancel;
mod catalog;
mod copy;
mod decide;
mod execute;
mod filter;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identify;
mod io;
mod large;
mod live;
mod marks;
mod named;
mod operation;
mod path;
mod plan;
mod powers;
mod record;
mod replies;
mod reply;
mod respond;
mod route;
mod rows;
mod sanitise;
mod session;
mod settings;
mod statements;
mod transform;
mod upstream;

pub use accept::ALPN;
pub use budget::{Limits, Volume};
pub use identify::Auth;
pub use live::{LiveSession, LiveSessions};
pub use path::{Listener, PostgresPath, Services};
pub use powers::{Beyond, Powers, RelationPowers, powers};
pub use route::{Accepts, Login, ReadSecret, Recording, Role, Routes, Target};
