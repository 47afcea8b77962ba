//! The admin API: what people see and decide while the gateway runs.
//!
//! HTTP and JSON under `/v1`, figures for Prometheus at `/metrics`, one bearer token per request, rights by groups. Errors are `application/problem+json` in
//! words. What it shows comes through the traits in this room, which the gateway implements over its ledger, its live
//! sessions and its policies; every look at sessions and reviews is a record before it is an answer.
//!
//! What is deliberately absent: cookies and CORS (no page of another origin can use it), plain HTTP off loopback, any
//! way to change a decision that was taken, and any way to read what a session saw without leaving a trace.
#![forbid(unsafe_code)]

mod app;
mod caller;
mod decisions;
mod evidence;
mod guard;
mod keeping;
mod metrics;
mod policies;
mod problem;
mod quarter;
mod reviews;
mod rooms;
mod serve;
mod sessions;
mod status;
pub mod view;

pub use app::{AdminConfig, Rooms, router};
pub use problem::Problem;
pub use quarter::Quarter;
pub use rooms::{
    Act, Action, Audit, BundleStream, DecisionView, EvidenceView, EvidenceWish, HeldObject, Identify, Keeping,
    NotIdentified, NotKept, PolicyChanges, PolicyView, PolicyWish, RecordingStream, RefusedChange, SessionFilter,
    SessionSearch, SessionView, StatusView, Unreadable, Unrecorded,
};
pub use serve::serve;
