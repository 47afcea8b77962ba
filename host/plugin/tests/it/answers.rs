use grille_policy::{Batch, Evaluator, Inference, Masker, Mode, Opaque, Treatment, Verdict};
use serde_json::json;

use crate::support::{
    analyst, column, decide, host, host_with, opened, probe, put_in_force, said, session, shape, spec, statement,
    with_parameter,
};

#[tokio::test]
async fn a_verdict_comes_back_as_it_was_given() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let mut policies = analyst(&host).await;
    for (text, expected) in [
        ("SELECT 1", "allow"),
        ("block", "block asked: asked to block"),
        ("review", "review asked to"),
        ("escape", "block escape: a [2Jb c"),
        ("log", "allow"),
        ("clock", "block clock: ClockError::NotGranted"),
    ] {
        let decision = decide(&mut policies, &statement(text)).await;
        assert_eq!(said(&decision), expected, "{text}");
        let opinion = &decision.opinions[0];
        assert!(&*opinion.policy == "probe" && opinion.failure.is_none() && decision.epoch == host.epoch());
    }
}

#[tokio::test]
async fn a_guest_reads_the_facts_and_nothing_is_pushed_at_it() {
    let host = host_with(vec![probe(json!({"judge": "facts"}))]).await;
    let mut policies = analyst(&host).await;
    let decision = decide(&mut policies, &with_parameter(&statement("SELECT now()"), "x")).await;
    let expected = "block facts: s-01m7r3hkr0000007 clinic u-1 [\"analyst\"] [\"data-analysts\"] true 127.0.0.1:5555 None \
                    {\"sub\":\"u-1\"} [] | SELECT now() [\"SELECT\"] [] true [] [] 1 TransactionState::Idle";
    let id = session(&["analyst"]).id.to_string();
    assert_eq!(said(&decision), expected.replace("s-01m7r3hkr0000007", &id));
}

#[tokio::test]
async fn a_grant_opens_the_clock() {
    let granted = grille_plugin::PolicySpec { grants: vec!["clock".into()], ..probe(json!({"judge": "clock"})) };
    let host = host_with(vec![granted]).await;
    assert_eq!(said(&decide(&mut analyst(&host).await, &statement("x")).await), "block clock: granted true");
}

#[tokio::test]
async fn the_hosts_detectors_find_identifiers_in_texts() {
    let host = host_with(vec![probe(json!({"judge": "detect"}))]).await;
    let said = said(&decide(&mut analyst(&host).await, &statement("x")).await);
    let expected = "block detect: Ok([(1, 4, 15, \"SSN\"), (1, 20, 31, \"SSN\")]) Err(DetectError::TooLarge)";
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_policy_binds_by_target_and_by_any_held_role() {
    let host = host_with(vec![probe(json!({"judge": "block"}))]).await;
    for (roles, is_bound) in
        [(&["analyst"] as &[&str], true), (&["dba"], false), (&["analyst", "dba"], true), (&[], false)]
    {
        let opened = host.open(session(roles)).await;
        assert_eq!(opened.policies.judges(), is_bound, "{roles:?}");
        assert_eq!(opened.policies.protection().is_some(), is_bound, "{roles:?}");
    }
    let mut elsewhere = (*session(&["analyst"])).clone();
    elsewhere.target = "billing".into();
    assert!(!host.open(elsewhere.into()).await.policies.judges());
}

#[tokio::test]
async fn a_monitoring_policy_is_recorded_and_not_acted_on() {
    let monitor = grille_plugin::PolicySpec {
        mode: Mode::Monitor,
        ..probe(json!({"judge": "block", "classify": "redact", "open": "block"}))
    };
    let host = host_with(vec![monitor]).await;
    let opened = opened(&host).await;
    assert_eq!(said(&opened.decision), "allow");
    let mut policies = opened.policies;
    let decision = decide(&mut policies, &statement("x")).await;
    assert_eq!(said(&decision), "allow");
    assert!(matches!(decision.opinions[0].verdict, Verdict::Block(_)), "{decision:?}");
    assert!(policies.protection().is_none(), "only an enforced policy masks a session");
    assert_eq!(policies.classify(&[column("public.t.c", "text")]).await.treatments, [Treatment::Keep]);
}

#[tokio::test]
async fn opening_cannot_wait_for_a_review() {
    for (does, expected) in [
        ("", "allow"),
        ("block", "block asked: asked to block"),
        (
            "review",
            "block review-impossible: the opening of a session cannot be held for review, so it is refused: asked to",
        ),
    ] {
        let host = host_with(vec![probe(json!({"open": does}))]).await;
        assert_eq!(said(&opened(&host).await.decision), expected);
    }
}

#[tokio::test]
async fn a_fresh_instance_is_told_of_the_session_again() {
    let host = host_with(vec![probe(json!({"open": "calls", "judge": "by-text"}))]).await;
    let mut policies = opened(&host).await.policies;
    assert_eq!(said(&decide(&mut policies, &statement("x")).await), "allow", "the instance that was opened judges");
    assert!(said(&decide(&mut policies, &statement("trap")).await).starts_with("block policy-failed"));
    // The one after the trap is fresh, and its answer to the opening counts.
    assert_eq!(said(&decide(&mut policies, &statement("y")).await), "block calls: 1");
}

#[tokio::test]
async fn what_a_stateless_policy_said_is_remembered_as_far_as_it_looked() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let mut policies = analyst(&host).await;
    // Asked once, and then for the samples: the first, second and fourth answer out of memory are checked.
    for _ in 0..6 {
        assert_eq!(said(&decide(&mut policies, &statement("block")).await), "block asked: asked to block");
    }
    let counts = |host: &grille_plugin::PluginHost| (host.status()[0].calls, host.status()[0].memoised);
    assert_eq!(counts(&host), (1 + 1 + 3, 2), "the opening, the question, three samples");
    // Another session shares what was said, unless what the policy looked at is other there.
    let mut other = analyst(&host).await;
    assert!(said(&decide(&mut other, &statement("block")).await).starts_with("block"));
    assert_eq!(counts(&host).0, 5 + 1, "its opening is a sample");
    // A parameter counts where it was read.
    for value in ["a", "b", "a"] {
        let read = with_parameter(&statement("parameter"), value);
        let expected = format!("Some([{}])", value.as_bytes()[0]);
        assert!(said(&decide(&mut policies, &read).await).ends_with(&expected), "{value}");
    }
    // What may answer differently each time is never remembered.
    let before = counts(&host);
    decide(&mut policies, &statement("clock")).await;
    decide(&mut policies, &statement("clock")).await;
    assert_eq!(counts(&host), (before.0 + 2, before.1));
    let status = &host.status()[0];
    assert!(status.p50_us > 0.0 && status.p99_us >= status.p50_us && status.memory > 0 && status.failures == 0);
    assert!(!status.broke_its_word);
}

#[tokio::test]
async fn a_policy_that_lies_about_keeping_no_state_is_found_out() {
    let host = host_with(vec![probe(json!({"judge": "by-text"}))]).await;
    let mut policies = analyst(&host).await;
    // It counts its calls, which a fresh instance begins anew.
    decide(&mut policies, &statement("first")).await;
    assert_eq!(said(&decide(&mut policies, &statement("lie")).await), "block lie: 3");
    assert!(!host.status()[0].broke_its_word);
    assert!(said(&decide(&mut policies, &statement("lie")).await).starts_with("block lie"));
    assert!(host.status()[0].broke_its_word, "the first answer out of memory is a sample");
    let remembered = host.status()[0].memoised;
    for _ in 0..10 {
        decide(&mut policies, &statement("lie")).await;
    }
    assert_eq!(host.status()[0].memoised, remembered, "nothing it says is remembered any more");
}

#[tokio::test]
async fn a_classification_is_shared_unless_it_depends_on_who_asks() {
    let columns = [column("public.t.a", "text"), column("public.t.b", "date")];
    let host = host_with(vec![probe(json!({"classify": "calls"}))]).await;
    for _ in 0..2 {
        let found = analyst(&host).await.classify(&columns).await;
        assert!(matches!(found.treatments[..], [Treatment::Mask(Masker::Range { width: 2 }), _]), "{found:?}");
    }
    assert_eq!(host.status()[0].memoised, 1);
    let everybody = grille_plugin::PolicySpec {
        roles: grille_policy::NameList::new(["*"]),
        ..probe(json!({"classify": "by-role"}))
    };
    put_in_force(&host, vec![everybody]).await;
    for (role, expected) in [("dba", Treatment::Keep), ("analyst", Treatment::Mask(Masker::Redact))] {
        let found = host.open(session(&[role])).await.policies.classify(&columns).await;
        assert_eq!(found.treatments[0], expected, "{role}");
    }
}

#[tokio::test]
async fn a_big_catalog_comes_in_several_calls() {
    let columns: Vec<_> =
        (0..2_500).map(|n| column(&format!("public.t{n}.c"), if n % 2 == 0 { "date" } else { "text" })).collect();
    let host = host_with(vec![probe(json!({"classify": "dates"}))]).await;
    let found = analyst(&host).await.classify(&columns).await;
    assert_eq!(said(&found.decision), "allow");
    let expected = |n: usize| if n.is_multiple_of(2) { Treatment::Mask(Masker::Year) } else { Treatment::Keep };
    assert!(found.treatments.iter().enumerate().all(|(n, treatment)| *treatment == expected(n)));
    assert!(found.treatments.len() == columns.len());
}

#[tokio::test]
async fn two_policies_join_to_the_stricter() {
    let probe = |name: &str, settings| spec(name, &crate::support::component("guests/probe"), settings);
    let host = host_with(vec![
        probe("a", json!({"classify": "year", "judge": "review", "inference": "refuse", "opaque": "scan"})),
        probe("b", json!({"classify": "redact", "judge": "block", "opaque": "review", "notify": "allow"})),
    ])
    .await;
    let mut policies = analyst(&host).await;
    let found = policies.classify(&[column("public.t.c", "date")]).await;
    assert_eq!(found.treatments, [Treatment::Mask(Masker::Redact)]);
    let protection = policies.protection().expect("both protect").clone();
    assert!(protection.inference == Inference::Refuse && protection.opaque == Opaque::Review && !protection.notify);
    let decision = decide(&mut policies, &statement("x")).await;
    assert_eq!(said(&decision), "block asked: asked to block");
    assert_eq!(decision.opinions.iter().map(|opinion| &*opinion.policy).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn a_plan_only_tightens() {
    let host = host_with(vec![probe(json!({"plan": "mask-unknown"}))]).await;
    let mut policies = analyst(&host).await;
    let shape = shape(&["public.t.a", "public.t.b", "x"]);
    let given = [Treatment::Mask(Masker::Year), Treatment::Keep, Treatment::Mask(Masker::Null)];
    let plan = policies.plan(&shape, &given).await;
    assert_eq!(said(&plan.decision), "allow");
    assert_eq!(plan.treatments, given);
    let plan = policies.plan(&shape, &[Treatment::Keep, Treatment::Keep, Treatment::Keep]).await;
    assert_eq!(plan.treatments[2], Treatment::Mask(Masker::Redact));
}

#[tokio::test]
async fn values_are_rewritten_by_the_policys_own_code() {
    let host = host_with(vec![probe(json!({"plan": "transform"}))]).await;
    let mut policies = analyst(&host).await;
    let shape = shape(&["public.t.a"]);
    let plan = policies.plan(&shape, &[Treatment::Keep]).await;
    let [Treatment::Transform(policy)] = &plan.treatments[..] else { panic!("{plan:?}") };
    let batch = Batch { column: 0, blob: b"abcd".to_vec(), offsets: vec![0, 1, 1, 4], nulls: vec![0b010] };
    let rewritten = policies.transform(policy, &shape, batch.clone()).await;
    assert_eq!(rewritten, Ok(Batch { blob: b"ABCD".to_vec(), ..batch.clone() }));
    let refused = policies.transform("nobody", &shape, batch).await.expect_err("no such policy");
    assert!(said(&refused).starts_with("block policy-failed"));
}

#[tokio::test]
async fn before_the_first_set_nothing_is_bound() {
    let host = host();
    let opened = opened(&host).await;
    assert!(opened.decision.epoch.0 == 0 && !opened.policies.judges() && opened.policies.protection().is_none());
}
