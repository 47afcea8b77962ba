//! The gateway as callers meet it: the real binary, a real PostgreSQL behind it, real bytes in front.
//!
//! The tests of a module share one world; under a runner that gives each test a process they each start their own.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod approvals;
mod archive;
mod attached;
mod bearer;
mod between;
mod cancel;
mod differential;
mod driver;
mod ends;
mod held;
mod hostile;
mod large;
mod leaks;
mod libpq;
mod limits;
mod markers;
mod masked;
mod names;
mod outages;
mod pipeline;
mod policies;
mod pressure;
mod proxied;
mod questions;
mod records;
mod relay;
mod retention;
mod rewritten;
mod rogue;
mod same;
mod scene;
mod script;
mod server;
mod shapes;
mod split;
mod surplus;
mod tls;
mod upstream;
mod version;
