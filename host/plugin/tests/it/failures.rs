use std::time::Duration;

use grille_plugin::{Limits, PolicySpec};
use grille_policy::{Batch, Decision, Evaluator, FailureKind, Masker, Treatment, Verdict};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    analyst, column, decide, host_of, host_with, opened, probe, put_in_force, said, session, shape, statement,
};

/// What goes wrong in a call, as which failure it shows, and what the operator reads.
const STATEMENTS: [(&str, FailureKind, &str); 12] = [
    ("trap", FailureKind::Trap, "unreachable"),
    ("spin", FailureKind::Timeout, "limits.time"),
    ("eat", FailureKind::Memory, "limits.memory"),
    ("grow", FailureKind::Memory, "limits.memory"),
    ("recurse", FailureKind::Trap, "out of bounds"),
    ("ask-forever", FailureKind::Timeout, "limits.time"),
    ("two-gigabytes", FailureKind::Nonsense, "out of bounds"),
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
    assert_eq!(host.status()[0].failures, 11);
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
async fn a_leak_ends_at_the_limit_and_begins_anew() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let mut policies = analyst(&host).await;
    let mut said_so = Vec::new();
    for _ in 0..40 {
        let decision = decide(&mut policies, &statement("leak")).await;
        said_so.push(decision.opinions[0].failure.as_ref().map(|failure| failure.kind));
    }
    let failures = said_so.iter().flatten().count();
    assert!(failures >= 2 && said_so.iter().flatten().all(|kind| *kind == FailureKind::Memory), "{said_so:?}");
    assert!(host.status()[0].memory <= 64 << 20);
}

#[tokio::test]
async fn a_policy_that_fails_again_and_again_is_left_alone_for_a_while() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let (mut one, mut two, mut three) = (analyst(&host).await, analyst(&host).await, analyst(&host).await);
    let kind = |decision: &Decision| decision.opinions[0].failure.as_ref().map(|failure| failure.kind);
    for _ in 0..5 {
        assert_eq!(kind(&decide(&mut one, &statement("trap")).await), Some(FailureKind::Trap));
    }
    // The session that provoked it is refused without a call; others are served.
    let paused = decide(&mut one, &statement("fine")).await;
    assert_eq!(kind(&paused), Some(FailureKind::Breaker));
    assert!(said(&paused).contains("it failed repeatedly and is paused"), "{}", said(&paused));
    let cause = &paused.opinions[0].failure.as_ref().expect("it failed").message;
    assert!(cause.contains("unreachable"), "it says what led to it: {cause}");
    assert_eq!(said(&decide(&mut two, &statement("fine")).await), "allow");
    assert_eq!(host.status()[0].paused_s, None);
    // Failures in a row from several sessions pause it for all.
    for _ in 0..3 {
        decide(&mut two, &statement("trap")).await;
        decide(&mut three, &statement("trap")).await;
    }
    assert_eq!(kind(&decide(&mut analyst(&host).await, &statement("fine2")).await), Some(FailureKind::Breaker));
    assert!(host.status()[0].paused_s.is_some_and(|seconds| seconds <= 2));
    // It is tried again, and works.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(said(&decide(&mut two, &statement("fine3")).await), "allow");
    assert_eq!(host.status()[0].paused_s, None);
    assert_eq!(said(&decide(&mut one, &statement("fine4")).await), "allow");
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
async fn when_every_instance_is_at_work_the_next_call_waits_and_is_refused() {
    let host = host_of(1);
    let slow = PolicySpec { time: Some(Duration::from_millis(1_500)), ..probe(json!({"judge": "by-text"})) };
    put_in_force(&host, vec![slow]).await;
    let mut busy = analyst(&host).await;
    decide(&mut busy, &statement("fine")).await;
    let began = Instant::now();
    let asked = statement("spin");
    let spin = decide(&mut busy, &asked);
    let beside = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        opened(&host).await
    };
    let (_, second) = tokio::join!(spin, beside);
    let failure = second.decision.opinions[0].failure.as_ref().expect("no instance is free");
    assert!(failure.kind == FailureKind::Start && failure.message.contains("all instances are in use"));
    assert!(began.elapsed() >= Duration::from_secs(1));
    drop(second);
    assert!(opened(&host).await.decision.opinions[0].failure.is_none(), "the slot came back");
}

#[tokio::test]
async fn more_sessions_than_instances_share_them_in_turn() {
    let host = host_of(4);
    put_in_force(&host, vec![probe(json!({"judge": "by-text"}))]).await;
    let mut sessions = Vec::new();
    for n in 0..12 {
        let mut policies = analyst(&host).await;
        assert_eq!(said(&decide(&mut policies, &statement(&n.to_string())).await), "allow", "{n}");
        sessions.push(policies);
    }
    // The first ones gave theirs to the last; they get others.
    for (n, policies) in sessions.iter_mut().enumerate() {
        assert_eq!(said(&decide(policies, &statement(&format!("again {n}"))).await), "allow", "{n}");
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_does_not_spoil_the_session() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let mut policies = host.open(session(&["analyst"])).await.policies;
    let given_up = tokio::time::timeout(Duration::from_millis(10), decide(&mut policies, &statement("spin"))).await;
    assert!(given_up.is_err(), "it was still spinning");
    assert_eq!(said(&decide(&mut policies, &statement("fine")).await), "allow");
}
