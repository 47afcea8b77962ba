use std::time::Duration;

use grille_plugin::{Limits, PolicySpec};
use grille_policy::{Batch, Evaluator, FailureKind, Masker, Treatment, Verdict};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    analyst, column, decide, host_of, host_with, opened, probe, put_in_force, said, session, shape, statement,
};

/// What goes wrong in a call, as which failure it shows, and what the operator reads.
const STATEMENTS: [(&str, FailureKind, &str); 9] = [
    ("trap", FailureKind::Trap, "unreachable"),
    ("spin", FailureKind::Timeout, "limits.time"),
    ("eat", FailureKind::Memory, "limits.memory"),
    ("recurse", FailureKind::Trap, "out of bounds"),
    ("no-rule", FailureKind::Nonsense, "a finding whose rule has no name"),
    ("long", FailureKind::Nonsense, "a finding's message of 100000 bytes"),
    ("bad-utf8", FailureKind::Nonsense, "utf-8"),
    ("many", FailureKind::Nonsense, "1000 findings"),
    ("block", FailureKind::Trap, ""),
];

#[tokio::test]
async fn every_failure_blocks_names_its_cause_and_leaves_no_trace() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let (mut policies, mut others) = (analyst(&host).await, analyst(&host).await);
    for (text, kind, cause) in STATEMENTS {
        let decision = decide(&mut policies, &statement(text)).await;
        if text == "block" {
            assert!(decision.opinions[0].failure.is_none(), "the counter-example is no failure: {decision:?}");
            continue;
        }
        let expected =
            format!("block policy-failed: policy \"probe\" failed ({}), so the operation is refused", kind.describe());
        assert_eq!(said(&decision), expected, "{text}");
        let failure = decision.opinions[0].failure.as_ref().expect("it failed");
        assert_eq!(failure.kind, kind, "{text}: {}", failure.message);
        assert!(failure.message.contains(cause), "{text}: {}", failure.message);
        assert!(!failure.message.contains('\n'), "one line: {}", failure.message);
        // The next call finds a fresh instance, and other sessions never noticed.
        assert_eq!(said(&decide(&mut policies, &statement("fine")).await), "allow", "after {text}");
        assert_eq!(said(&decide(&mut others, &statement("fine")).await), "allow", "beside {text}");
        let status = host.status();
        assert_eq!(status[0].last_error.as_deref(), Some(&*failure.message), "{text}");
    }
    assert_eq!(host.status()[0].failures, 8);
}

#[tokio::test]
async fn a_loop_ends_in_time_while_others_go_on() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let (mut spinning, mut other) = (analyst(&host).await, analyst(&host).await);
    decide(&mut spinning, &statement("warm")).await;
    decide(&mut other, &statement("warm")).await;
    let began = Instant::now();
    let spin = async {
        let decision = decide(&mut spinning, &statement("spin")).await;
        (decision, began.elapsed())
    };
    // On one thread: the other answers only because the spinning guest yields.
    let beside = async {
        let decision = decide(&mut other, &statement("fine")).await;
        (decision, began.elapsed())
    };
    let ((spun, took), (fine, fine_took)) = tokio::join!(spin, beside);
    assert!(said(&spun).contains("time limit") && said(&fine) == "allow");
    assert!(took >= Limits::default().time, "not before its time: {took:?}");
    // Busy cores stretch the wall clock; the backstop is twenty times the limit.
    assert!(took < Limits::default().time * 20 && fine_took < took, "{took:?} {fine_took:?}");
}

#[tokio::test]
async fn a_failure_passes_only_where_the_configuration_says_so() {
    let spec = PolicySpec {
        on_failure_allow: true,
        ..probe(json!({"judge": "by-text", "classify": "trap", "plan": "transform", "transform": "trap"}))
    };
    let host = host_with(vec![spec]).await;
    let mut policies = analyst(&host).await;
    let decision = decide(&mut policies, &statement("trap")).await;
    assert_eq!(said(&decision), "allow");
    assert!(decision.opinions[0].failure.is_some(), "it is in the record");
    assert_eq!(said(&decide(&mut policies, &statement("block")).await), "block asked: asked to block");
    let found = policies.classify(&[column("public.t.c", "text")]).await;
    assert!(said(&found.decision) == "allow" && found.treatments == [Treatment::Keep]);
    // Values that were to be rewritten are not shown as they are.
    let batch = Batch { column: 0, blob: b"a".to_vec(), offsets: vec![0, 1], nulls: vec![0] };
    let refused = policies.transform("probe", &shape(&["public.t.a"]), batch).await.expect_err("it traps");
    assert!(said(&refused).starts_with("block policy-failed"));
}

#[tokio::test]
async fn a_bad_classification_blocks_and_shows_nothing() {
    let host = host_of(64);
    for (does, kind, cause) in [
        ("few", FailureKind::Nonsense, "0 treatments for 2 columns"),
        ("many", FailureKind::Nonsense, "fuel"),
        ("huge", FailureKind::Nonsense, "fuel"),
        ("unknown-masker", FailureKind::Nonsense, "`rot13`, which the host does not have"),
        ("bad-parameter", FailureKind::Nonsense, "keep = `all`"),
        ("extra-parameter", FailureKind::Nonsense, "parameters that it does not take"),
        ("missing-parameter", FailureKind::Nonsense, "without its parameter `class`"),
        ("bad-utf8", FailureKind::Nonsense, "utf-8"),
        ("trap", FailureKind::Trap, "unreachable"),
        ("spin", FailureKind::Timeout, "limits.time"),
    ] {
        put_in_force(&host, vec![probe(json!({"classify": does}))]).await;
        let mut policies = analyst(&host).await;
        let found = policies.classify(&[column("public.t.a", "text"), column("public.t.b", "int4")]).await;
        let failure = found.decision.opinions[0].failure.as_ref().unwrap_or_else(|| panic!("{does} did not fail"));
        assert!(failure.kind == kind && failure.message.contains(cause), "{does}: {failure:?}");
        assert!(matches!(found.decision.verdict, Verdict::Block(_)), "{does}");
        assert_eq!(found.treatments, [Treatment::Mask(Masker::Null), Treatment::Mask(Masker::Null)], "{does}");
        assert_eq!(said(&decide(&mut policies, &statement("x")).await), "allow", "after {does}");
    }
}

#[tokio::test]
async fn a_bad_plan_or_batch_blocks() {
    let host = host_of(64);
    let shape = shape(&["public.t.a", "public.t.b"]);
    for (does, cause) in [("few", "0 treatments for 2 columns"), ("trap", "unreachable")] {
        put_in_force(&host, vec![probe(json!({"plan": does}))]).await;
        let plan = analyst(&host).await.plan(&shape, &[Treatment::Keep, Treatment::Keep]).await;
        let failure = plan.decision.opinions[0].failure.as_ref().expect("it failed");
        assert!(failure.message.contains(cause), "{does}: {failure:?}");
        assert_eq!(plan.treatments, [Treatment::Mask(Masker::Null), Treatment::Mask(Masker::Null)]);
    }
    for (does, cause) in [
        ("few", "offsets for 2 values"),
        ("bad-offsets", "offsets that do not run"),
        ("bad-utf8", "values that are not UTF-8"),
        ("bad-nulls", "2 bytes of null bits"),
        ("trap", "unreachable"),
    ] {
        put_in_force(&host, vec![probe(json!({"transform": does}))]).await;
        let batch = Batch { column: 1, blob: b"ab".to_vec(), offsets: vec![0, 1, 2], nulls: vec![0] };
        let refused = analyst(&host).await.transform("probe", &shape, batch).await.expect_err("it is wrong");
        let failure = refused.opinions[0].failure.as_ref().expect("it failed");
        assert!(failure.message.contains(cause), "{does}: {failure:?}");
    }
}

#[tokio::test]
async fn a_failing_opening_refuses_the_session() {
    for (does, kind) in [("trap", FailureKind::Trap), ("spin", FailureKind::Timeout), ("eat", FailureKind::Memory)] {
        let host = host_with(vec![probe(json!({"open": does}))]).await;
        let opened = opened(&host).await;
        assert!(matches!(opened.decision.verdict, Verdict::Block(_)));
        assert_eq!(opened.decision.opinions[0].failure.as_ref().map(|failure| failure.kind), Some(kind));
    }
}

#[tokio::test]
async fn a_small_memory_limit_is_kept() {
    let host = host_with(vec![PolicySpec { memory: Some(8 << 20), ..probe(json!({"judge": "by-text"})) }]).await;
    let mut policies = analyst(&host).await;
    assert!(said(&decide(&mut policies, &statement("eat")).await).contains("memory limit"));
    assert_eq!(said(&decide(&mut policies, &statement("fine")).await), "allow");
    let seen = host.status()[0].memory;
    assert!(seen > 0 && seen <= 8 << 20, "{seen}");
}

#[tokio::test]
async fn when_every_instance_is_in_use_the_next_session_waits_and_is_refused() {
    let host = host_of(1);
    put_in_force(&host, vec![probe(json!({"judge": "by-text"}))]).await;
    let first = opened(&host).await;
    let began = Instant::now();
    let second = opened(&host).await;
    let failure = second.decision.opinions[0].failure.as_ref().expect("no instance is free");
    assert!(failure.kind == FailureKind::Start && failure.message.contains("all instances are in use"));
    assert!(began.elapsed() >= Duration::from_secs(1));
    drop(first);
    drop(second);
    assert!(opened(&host).await.decision.opinions[0].failure.is_none(), "the slot came back");
}

#[tokio::test]
async fn a_call_that_is_given_up_does_not_spoil_the_session() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let mut policies = host.open(session(&["analyst"])).await.policies;
    let given_up = tokio::time::timeout(Duration::from_millis(10), decide(&mut policies, &statement("spin"))).await;
    assert!(given_up.is_err(), "it was still spinning");
    assert_eq!(said(&decide(&mut policies, &statement("fine")).await), "allow");
}
