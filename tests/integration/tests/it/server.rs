//! The server behind the gateway: of the major version that the run is about.
#![allow(clippy::disallowed_methods, reason = "a test reads its own settings")]

use grille_test_support::{OWNER, World};

/// A run with a second server would say nothing if the first one answered.
#[test]
fn it_is_the_one_that_was_asked_for() {
    let world = World::shared();
    let version = world.session(OWNER).value("SHOW server_version").unwrap();
    if let Ok(major) = std::env::var("GRILLE_POSTGRES_MAJOR") {
        assert!(version.starts_with(&format!("{major}.")), "asked for PostgreSQL {major}, this is {version}");
    }
    assert_eq!(world.direct().value("SHOW server_version").unwrap(), version);
}
