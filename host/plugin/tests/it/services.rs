//! What policies may ask of the host besides facts: by grant, with quotas, each with its own time.

use std::time::Duration;

use grille_plugin::{EngineConfig, Isolation, LookupError, Lookups, PluginHost, PolicySpec};
use grille_policy::{BoxFuture, FailureKind};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{analyst, decide, host_of, host_with, probe, put_in_force, said, statement};

fn granting(grants: &[&str]) -> PolicySpec {
    PolicySpec {
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        ..probe(json!({"judge": "by-text"}))
    }
}

async fn says(host: &PluginHost, text: &str) -> String {
    said(&decide(&mut analyst(host).await, &statement(text)).await)
}

#[tokio::test]
async fn what_is_not_granted_links_and_says_so() {
    let host = host_with(vec![granting(&[])]).await;
    assert_eq!(says(&host, "count").await, "block count: Err(CounterError::NotGranted) Err(CounterError::NotGranted)");
    assert!(says(&host, "keep").await.starts_with("block keep: Err(KvError::NotGranted)"));
    assert_eq!(says(&host, "look-up").await, "block look-up: Err(LookupError::NotGranted)");
    assert_eq!(says(&host, "clock").await, "block clock: ClockError::NotGranted");
}

#[tokio::test]
async fn counts_and_values_outlive_sessions_and_swaps_and_belong_to_the_policy() {
    let host = host_of(64);
    let other = PolicySpec { name: "other".into(), ..granting(&["counters", "kv"]) };
    put_in_force(&host, vec![granting(&["counters", "kv"])]).await;
    assert_eq!(says(&host, "count").await, "block count: Ok(1) Ok(true)");
    assert_eq!(says(&host, "count").await, "block count: Ok(2) Ok(true)");
    assert!(
        says(&host, "keep").await.starts_with("block keep: Ok(None) Ok(()) Ok(Some([118])) Err(KvError::TooLarge)")
    );
    put_in_force(&host, vec![granting(&["counters", "kv"])]).await;
    assert_eq!(says(&host, "count").await, "block count: Ok(3) Ok(false)", "the bucket held two");
    assert!(says(&host, "keep").await.starts_with("block keep: Ok(Some([118]))"));
    put_in_force(&host, vec![other]).await;
    assert_eq!(says(&host, "count").await, "block count: Ok(1) Ok(true)", "another policy, other counts");
    assert_eq!(says(&host, "count-much").await, "block count: 2", "a thousand calls in one call of the hook");
}

#[tokio::test]
async fn what_the_host_answered_is_part_of_the_opinion() {
    let host = host_with(vec![granting(&["counters"])]).await;
    let decision = decide(&mut analyst(&host).await, &statement("count")).await;
    let calls: Vec<String> = decision.opinions[0]
        .calls
        .iter()
        .map(|call| format!("{}{} = {}", call.function, call.asked, call.answered))
        .collect();
    assert_eq!(calls, [r#"counters.add["n",1,60000] = {"ok":1}"#, r#"counters.take["b",1,2,1] = {"ok":true}"#]);
    let quiet = decide(&mut analyst(&host).await, &statement("block")).await;
    assert!(quiet.opinions[0].calls.is_empty());
}

/// A service that answers the key, or never.
struct Directory;

impl Lookups for Directory {
    fn has(&self, name: &str) -> bool {
        name == "directory" || name == "dead"
    }

    fn fetch<'a>(
        &'a self,
        _name: &'a str,
        key: &'a str,
        _bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>> {
        Box::pin(async move {
            if key == "a/b" {
                // Longer than the policy's own time and its backstop: it did not compute meanwhile.
                tokio::time::sleep(Duration::from_millis(400)).await;
                return Ok(Some(key.as_bytes().to_vec()));
            }
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok(None)
        })
    }
}

#[tokio::test]
async fn a_lookup_waits_for_its_service_and_not_on_the_policys_time() {
    let lookups: std::sync::Arc<dyn Lookups> = std::sync::Arc::new(Directory);
    let config = EngineConfig { lookups: Some(lookups), instances: 16, ..EngineConfig::default() };
    let host = PluginHost::new(config).expect("an engine");
    let spec = PolicySpec { time: Some(Duration::from_millis(10)), ..granting(&["lookup:directory"]) };
    put_in_force(&host, vec![spec]).await;
    let began = Instant::now();
    assert_eq!(says(&host, "look-up").await, "block look-up: Ok(Some([97, 47, 98]))");
    assert!(began.elapsed() >= Duration::from_millis(400));
    let problems = host.load(vec![granting(&["lookup:phone-book"])]).await.err().expect("there is no such service");
    assert!(problems[0].message.contains("there is no [lookups.phone-book]"), "{problems:?}");
}

#[tokio::test]
async fn isolation_decides_whom_an_instance_serves() {
    for (isolation, expected) in [
        // The opening, and one call after the other.
        (Isolation::Session, ["2", "3", "2"]),
        // Each call finds an instance that was only opened.
        (Isolation::Request, ["2", "2", "2"]),
        // Whoever calls next; opened once for the first session and once for the second.
        (Isolation::Shared, ["2", "3", "5"]),
    ] {
        let spec = PolicySpec { isolation, ..probe(json!({"judge": "count-calls"})) };
        let host = host_with(vec![spec]).await;
        let mut one = analyst(&host).await;
        let first = said(&decide(&mut one, &statement("a")).await);
        let second = said(&decide(&mut one, &statement("b")).await);
        let mut two = analyst(&host).await;
        let third = said(&decide(&mut two, &statement("c")).await);
        assert_eq!([first, second, third], expected.map(|calls| format!("block calls: {calls}")), "{isolation:?}");
        assert_eq!(host.status()[0].isolation, isolation);
    }
}

#[tokio::test]
async fn a_session_takes_a_warm_instance_and_another_is_made_ready() {
    let host = host_with(vec![probe(json!({"judge": "by-text", "configure": "slow"}))]).await;
    // Configuring takes 30 ms on purpose; the load left one instance ready.
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let opened = crate::support::opened(&host).await;
        took.push(began.elapsed());
        assert_eq!(said(&opened.decision), "allow");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    println!("sessions opened in {took:?}");
    assert!(host.status()[0].failures == 0);
    let failed = decide(&mut analyst(&host).await, &statement("trap")).await;
    assert_eq!(failed.opinions[0].failure.as_ref().map(|failure| failure.kind), Some(FailureKind::Trap));
}
