use std::sync::Arc;

use grille_policy::{Evaluator, Verdict};
use serde_json::json;

use crate::support::{
    analyst, component, decide, host, host_with, probe, put_in_force, said, session, spec, statement,
};

#[tokio::test]
async fn a_set_that_does_not_load_changes_nothing() {
    let host = host_with(vec![probe(json!({"judge": "block"}))]).await;
    let epoch = host.epoch();
    let mut policies = analyst(&host).await;
    let bad = vec![probe(json!({"judge": "review"})), spec("new", &component("guests/probe"), json!({"nonsense": 1}))];
    assert!(host.load(bad).await.is_err());
    assert_eq!(host.epoch(), epoch);
    assert_eq!(said(&decide(&mut policies, &statement("x")).await), "block asked: asked to block");
}

#[tokio::test]
async fn an_open_session_ends_on_its_set_and_follows_when_asked_again() {
    let host = host_with(vec![probe(json!({"judge": "block"}))]).await;
    let mut policies = analyst(&host).await;
    put_in_force(&host, vec![probe(json!({}))]).await;
    // What is under way stays on the old set, whole: its epoch says so.
    let decision = decide(&mut policies, &statement("x")).await;
    assert!(said(&decision).starts_with("block") && decision.epoch < host.epoch() && policies.epoch() < host.epoch());
    let mut policies = analyst(&host).await;
    let decision = decide(&mut policies, &statement("x")).await;
    assert!(said(&decision) == "allow" && decision.epoch == host.epoch());
}

/// Sessions judge without pause while sets are swapped: every decision is that of the set whose epoch it carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_decision_mixes_two_sets() {
    const SESSIONS: usize = 8;
    const SWAPS: u64 = 60;
    let host = Arc::new(host());
    put_in_force(&host, vec![probe(json!({"judge": "block"}))]).await;
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                let mut policies = host.open(session(&["analyst"])).await.policies;
                let (mut decisions, mut moved) = (0u64, 0u64);
                while host.epoch().0 < SWAPS {
                    if policies.epoch() != host.epoch() {
                        policies = host.open(session(&["analyst"])).await.policies;
                        moved += 1;
                    }
                    let decision = decide(&mut policies, &statement("x")).await;
                    assert!(decision.opinions.iter().all(|opinion| opinion.failure.is_none()), "{decision:?}");
                    // Odd sets have one policy that blocks, even ones two that allow.
                    let is_odd = decision.epoch.0 % 2 == 1;
                    assert_eq!(matches!(decision.verdict, Verdict::Block(_)), is_odd, "{decision:?}");
                    assert_eq!(decision.opinions.len(), if is_odd { 1 } else { 2 });
                    decisions += 1;
                }
                (decisions, moved)
            })
        })
        .collect();
    while host.epoch().0 < SWAPS {
        let next = host.epoch().0 + 1;
        let specs = if next % 2 == 1 {
            vec![probe(json!({"judge": "block"}))]
        } else {
            vec![probe(json!({})), spec("second", &component("guests/probe"), json!({}))]
        };
        put_in_force(&host, specs).await;
        tokio::task::yield_now().await;
    }
    let (mut decisions, mut moves) = (0, 0);
    for session in sessions {
        let (decided, moved) = session.await.expect("no session panicked");
        (decisions, moves) = (decisions + decided, moves + moved);
    }
    // All together: on a busy machine one of them may sleep through most of it.
    let sessions = SESSIONS as u64;
    assert!(decisions > sessions * SWAPS / 4 && moves > sessions * 2, "{decisions} decisions, {moves} moves");
}
