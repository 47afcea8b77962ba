//! A guest with a whole standard library beneath it finds stand-ins, and nothing behind them.

use std::fs;
use std::path::{Path, PathBuf};

use grille_plugin::Artifact;
use grille_policy::FailureKind;
use serde_json::Value;

use crate::support::{analyst, decide, host_with, said, spec, statement};

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wasip2/guest.wasm")
}

#[tokio::test]
async fn a_language_runtime_gets_what_it_drags_in_and_reaches_nothing() {
    let host = host_with(vec![spec("guest", &guest(), Value::Null)]).await;
    let mut policies = analyst(&host).await;
    for (text, expected) in [
        ("SELECT 1", "allow"),
        ("map", "block said: 2"),
        ("environment", "block said: 00"),
        ("print", "block said: printed"),
        ("read", "block said: Err("),
        ("connect", "block said: Err("),
        ("elapsed", "block said: true"),
        // Nobody waits: an hour passes at once.
        ("sleep", "block said: slept"),
        ("file-handles", "block said: done"),
    ] {
        let decision = decide(&mut policies, &statement(text)).await;
        assert!(said(&decision).starts_with(expected), "{text}: {decision:?}");
    }
    for (text, cause) in [
        ("time", "it asked WASI for the time of day; import grille:policy/clock"),
        ("exit", "it asked to exit"),
        ("panic", "unreachable"),
    ] {
        let decision = decide(&mut policies, &statement(text)).await;
        let failure = decision.opinions[0].failure.as_ref().unwrap_or_else(|| panic!("{text}: {decision:?}"));
        assert!(failure.message.contains(cause), "{text}: {failure:?}");
        assert!(matches!(failure.kind, FailureKind::Trap | FailureKind::Nonsense), "{failure:?}");
        assert_eq!(said(&decide(&mut policies, &statement("SELECT 1")).await), "allow", "after {text}");
    }
}

#[tokio::test]
async fn random_numbers_are_the_same_in_each_fresh_instance() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let host = host_with(vec![spec("guest", &guest(), Value::Null)]).await;
        seen.push(said(&decide(&mut analyst(&host).await, &statement("random")).await));
    }
    assert!(seen[0].len() > 15 && seen[0] == seen[1], "{seen:?}");
}

#[test]
fn stand_ins_are_listed_apart_from_what_a_plugin_can_reach() {
    let artifact = Artifact::read(&fs::read(guest()).expect("read")).expect("it is a policy");
    assert!(artifact.stand_ins.iter().any(|import| import.starts_with("wasi:cli/environment@0.2.")));
    assert!(artifact.imports.iter().all(|import| !import.contains("wasi")), "{:?}", artifact.imports);
}
