//! Bugs to be planted into the walker of the tests, so that its oracle is seen to find some.

use std::cell::Cell;

#[path = "../../tests/it/oracle.rs"]
mod oracle;
#[path = "../../tests/it/server.rs"]
#[allow(dead_code, reason = "the tests outside use more of it")]
mod server;
#[path = "../../tests/it/world.rs"]
#[allow(dead_code, reason = "the tests outside use more of it")]
mod world;

use server::Server;
use world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Of a set operation only the first arm counts.
    OneArm,
    /// A scalar sub-select is taken for a constant.
    NoSubSelect,
    /// A row as one value is taken for a constant.
    NoRow,
}

thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

/// Whether the walker is to have the bug.
pub(crate) fn has(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

#[tokio::test]
async fn the_oracle_finds_each_of_them() {
    const QUERIES: usize = 500;
    let server = Server::start();
    World::new(&server).await;
    oracle::load(&server).await;
    for bug in [None, Some(Bug::OneArm), Some(Bug::NoSubSelect), Some(Bug::NoRow)] {
        // What views mean is remembered with the catalog.
        let world = World::on(server.connect().await).await;
        PLANTED.set(bug);
        let failures = oracle::check(&world, &server, QUERIES).await;
        PLANTED.set(None);
        let leaks = failures.iter().filter(|failure| failure.contains("LEAK")).count();
        assert!((leaks > 0) == bug.is_some(), "{bug:?}: {leaks} leaks among {failures:?}");
    }
}
