//! A world in which a policy protects a column, and whether a session was shown a value of it.

use std::path::Path;

use grille_test_support::{Caller, Reply, World};

/// May do everything to `public` and `harmless`, and reads no names of numbers.
pub(crate) const MAKER: Caller = Caller::of("dba", "maker");

/// `public.numbers.name` is protected from these roles.
pub(crate) fn masked(role: &str) -> World {
    masked_in(role, &["public.numbers.name"])
}

/// These columns are protected from these roles.
pub(crate) fn masked_in(role: &str, columns: &[&str]) -> World {
    let phi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/phi.wasm");
    assert!(phi.is_file(), "{} is missing: run `cargo xtask components` first", phi.display());
    World::with(&format!(
        r#"[roles.maker]
groups = ["dbas"]
targets = ["work"]
relations = ["public.*", "harmless.*"]
operations = ["*"]

[policies.phi]
plugin = {phi:?}
targets = ["work"]
roles = ["{role}"]
allow_unsigned = true
settings = {{ profile = "safe-harbor", columns = {columns:?} }}
"#
    ))
}

/// Whether the name of number 7 is said, in letters of any case.
pub(crate) fn hands_out(replies: &[Reply]) -> bool {
    const VALUE: &[u8] = b"number 7";
    let said = |reply: &Reply| reply.body.to_ascii_lowercase().windows(VALUE.len()).any(|part| part == VALUE);
    replies.iter().any(said)
}
