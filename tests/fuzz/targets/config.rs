//! `grille.toml` as somebody may write it.
//!
//! Property: every text becomes a configuration or a list of problems that can be shown, and an empty list is no answer.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = grille_config::parse(text, Path::new("/etc/grille/grille.toml")) {
        assert!(!problems.is_empty());
        assert!(!grille_config::render(Path::new("grille.toml"), &problems).is_empty());
    }
});
