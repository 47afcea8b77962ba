//! Reviews: operations that wait for people, and the grants that people give.
//!
//! A policy answers `review`; the path asks the [`Desk`] and either holds its caller on a [`Ticket`] or sends the
//! caller away with a request id, to run the same bytes again once somebody approved them. A [`Grant`] is bound to the
//! exact text, the exact parameters, the subject with its agents, the target and the policy epoch; it works once and
//! not for long. Every edge is journaled before it takes effect, every decision of a person is signed.
//!
//! ```text
//! pending ─┬─ granted (quorum of distinct people) ─┬─ consumed
//!          ├─ denied                               ├─ expired
//!          ├─ withdrawn  (the caller is gone)      └─ revoked
//!          ├─ timed-out
//!          └─ superseded (the policies changed)
//! ```
//!
//! What this room does not do: it judges nothing (the path asks the policies again at release), it verifies nobody's
//! token, it notifies nobody, and it keeps nothing on disk. Losing it means that nothing is granted.
#![forbid(unsafe_code)]

mod ask;
mod bind;
mod decide;
mod desk;
pub mod dsse;
mod entry;
mod event;
mod find;
mod grant;
mod quorum;
mod sign;
#[cfg(test)]
mod tests;
mod ticket;
mod view;

pub use ask::{Ask, NoRandom, RefusedAsk};
pub use bind::{digest_of_parameters, digest_of_policies};
pub use decide::RefusedDecision;
pub use desk::{Asked, Desk, DeskConfig};
pub use event::{Attempt, Edge, Event, Journal, Unjournaled};
pub use find::{Filter, NotFound};
pub use grant::{Consumed, Grant, NotReleased, Release};
pub use quorum::Quorums;
pub use sign::{Signer, Unsigned};
pub use ticket::{Outcome, Ticket};
pub use view::{Content, Need, Person, Requester, Review, ShownParameter, State, Vote};
