//! What was asked once is asked again, of a host that has none of what the first one had.

use grille_plugin::{PluginHost, PolicySet, PolicySpec, Question, Rerun};
use grille_policy::{FailureKind, HostCall, Opinion, Statement};
use serde_json::json;

use crate::support::{analyst, component, decide, host, host_with, probe, session, spec, statement, with_parameter};

fn granted(settings: serde_json::Value) -> PolicySpec {
    PolicySpec { grants: vec!["counters".into(), "clock".into(), "kv".into()], ..probe(settings) }
}

/// What the policy said, the second time that it was asked.
async fn said(spec: PolicySpec, statement: &Statement) -> Opinion {
    let host = host_with(vec![spec]).await;
    let mut policies = analyst(&host).await;
    decide(&mut policies, statement).await;
    decide(&mut policies, statement).await.opinions.remove(0)
}

/// The same without grants.
async fn bare(spec: PolicySpec) -> (PluginHost, PolicySet) {
    let host = host();
    let set = host.load(vec![PolicySpec { grants: Vec::new(), ..spec }]).await;
    let set = set.unwrap_or_else(|problems| panic!("{problems:?}"));
    (host, set)
}

async fn again(spec: PolicySpec, statement: &Statement, calls: &[HostCall]) -> Rerun {
    let (host, set) = bare(spec).await;
    let question = Question { session: session(&["analyst"]), statement: statement.clone(), calls: calls.to_vec() };
    host.rerun(&set, "probe", &question).await.expect("the probe judges statements")
}

#[tokio::test]
async fn recorded_answers_give_the_recorded_verdict() {
    for settings in [
        json!({"judge": "count"}),
        json!({"judge": "keep"}),
        json!({"judge": "clock"}),
        json!({"judge": "look-up"}),
        json!({"judge": "facts"}),
        json!({"judge": "count", "open": "count-and-allow"}),
        json!({"judge": "count-and-trap", "open": "count-and-allow"}),
    ] {
        let statement = with_parameter(&statement("SELECT 1"), "x");
        let then = said(granted(settings.clone()), &statement).await;
        let now = again(granted(settings.clone()), &statement, &then.calls).await;
        assert_eq!((&now.strayed, now.unasked), (&None, 0), "{settings}");
        assert_eq!((&now.opinion.verdict, &now.opinion.findings), (&then.verdict, &then.findings), "{settings}");
        assert_eq!(now.opinion.calls, then.calls, "{settings}");
        let kind = |opinion: &Opinion| opinion.failure.as_ref().map(|failure| failure.kind);
        assert_eq!(kind(&now.opinion), kind(&then), "{settings}");
    }
}

#[tokio::test]
async fn a_failed_call_keeps_what_it_asked_the_host() {
    let then = said(granted(json!({"judge": "count-and-trap", "open": "count-and-allow"})), &statement("x")).await;
    let calls: Vec<_> = then.calls.iter().map(|call| (&*call.function, call.at_opening, &*call.answered)).collect();
    // The instance that trapped first had been told of the session at its opening, the next one when it was made.
    assert_eq!(calls, [("counters.add", true, "{\"ok\":3}"), ("counters.add", false, "{\"ok\":4}")]);
    assert_eq!(then.failure.map(|failure| failure.kind), Some(FailureKind::Trap));
}

#[tokio::test]
async fn what_was_not_asked_then_is_not_answered_now() {
    let statement = statement("SELECT 1");
    let then = said(granted(json!({"judge": "count"})), &statement).await;
    let other = again(granted(json!({"judge": "keep"})), &statement, &then.calls).await;
    let expected = "it asks the host for kv.get[\"k\"] where it asked for counters.add[\"n\",1,60000] then";
    assert_eq!((other.strayed.as_deref(), other.unasked), (Some(expected), 2));
    assert!(other.opinion.failure.is_some());

    let none = again(granted(json!({"judge": "clock"})), &statement, &[]).await;
    assert_eq!(none.strayed.as_deref(), Some("it asks the host for clock.now-ms[], which it did not then"));

    let silent = again(granted(json!({"judge": "block"})), &statement, &then.calls).await;
    assert_eq!((silent.strayed, silent.unasked), (None, 2));
}

#[tokio::test]
async fn a_policy_without_the_hook_is_not_asked() {
    let host = host();
    let set = host.load(vec![spec("phi", &component("phi"), json!({}))]).await;
    let set = set.unwrap_or_else(|problems| panic!("{problems:?}"));
    let question = Question { session: session(&["analyst"]), statement: statement("SELECT 1"), calls: Vec::new() };
    assert!(host.rerun(&set, "phi", &question).await.is_none());
    assert!(host.rerun(&set, "other", &question).await.is_none());
}

#[tokio::test]
async fn limits_that_were_run_into_are_named() {
    let spec = PolicySpec { memory: Some(16 << 20), ..granted(json!({"judge": "eat"})) };
    let then = said(spec, &statement("x")).await;
    let failure = then.failure.expect("it cannot eat for ever");
    assert_eq!((failure.kind, failure.limit), (FailureKind::Memory, Some(16 << 20)));
    let spec = PolicySpec { time: Some(std::time::Duration::from_millis(20)), ..granted(json!({"judge": "spin"})) };
    let then = said(spec, &statement("x")).await;
    let failure = then.failure.expect("it cannot spin for ever");
    assert_eq!((failure.kind, failure.limit), (FailureKind::Timeout, Some(20_000)));
}
