//! Deep texts get a deep stack; all others stay on the caller's.

use std::panic::resume_unwind;

use crate::limits::{DEEP_STACK_BYTES, DEPTH_ON_CALLERS_STACK, Stop, Walk};

/// Runs a walk that takes the deepest level it may reach; again on a larger stack when the caller's is too small.
pub(crate) fn run<T: Send>(limit: u32, walk: impl Fn(u32) -> Walk<T> + Send + Sync) -> Walk<T> {
    match walk(limit.min(DEPTH_ON_CALLERS_STACK)) {
        Err(Stop::Depth) if limit > DEPTH_ON_CALLERS_STACK => std::thread::scope(|scope| {
            let deep = std::thread::Builder::new().name("sql-deep".into()).stack_size(DEEP_STACK_BYTES);
            match deep.spawn_scoped(scope, || walk(limit)) {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No thread to be had: the text stays too deep.
                Err(_) => Err(Stop::Depth),
            }
        }),
        result => result,
    }
}
