//! The binary `grille` from outside, and gateways that run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod commands;
mod evidence;
mod house;
mod keeping;
mod own;
mod place;
mod plugin;
mod promote;
mod proof;
mod serve;
mod watching;
