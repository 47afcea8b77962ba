//! The hooks of the HTTP path, by a host that has no such path yet.

use std::sync::Arc;

use grille_policy::{Batch, Body, Exchange, FailureKind, Masker, Response, Treatment};
use serde_json::json;

use crate::support::{analyst, host_with, probe, said};

fn request(path: &str) -> Exchange {
    Exchange {
        method: "GET".into(),
        authority: "api.example.org".into(),
        path: path.into(),
        query: vec![("q".into(), "x".into())],
        endpoint: Some("GET /**".into()),
        headers: vec![("accept".into(), b"application/json".as_slice().into())],
        body: Body::Whole(b"{}".as_slice().into()),
        response: None,
    }
}

#[tokio::test]
async fn requests_and_responses_are_judged_and_treated_by_place() {
    let host = host_with(vec![probe(json!({"judge": ""}))]).await;
    let mut policies = analyst(&host).await;
    let asked = Arc::new(request("/name"));
    let plan = policies.exchange(&asked).await;
    assert_eq!(said(&plan.decision), "allow");
    assert_eq!(plan.treatments, [("/name".into(), Treatment::Mask(Masker::Redact))]);
    let response = Response { status: 200, headers: Vec::new(), body: Body::Streamed };
    let answered = Arc::new(Exchange { response: Some(response), ..request("/name") });
    assert_eq!(policies.exchange(&answered).await.treatments.len(), 1);
}

#[tokio::test]
async fn a_response_cannot_wait_for_a_review_and_a_request_can() {
    let host = host_with(vec![probe(json!({"judge": "review"}))]).await;
    let mut policies = analyst(&host).await;
    assert_eq!(said(&policies.exchange(&Arc::new(request("/"))).await.decision), "review asked to");
    let response = Response { status: 200, headers: Vec::new(), body: Body::Streamed };
    let answered = Arc::new(Exchange { response: Some(response), ..request("/") });
    assert!(said(&policies.exchange(&answered).await.decision).starts_with("block review-impossible"));
}

#[tokio::test]
async fn places_that_make_no_sense_block() {
    for (does, cause) in [("bad-place", "which is no JSON pointer"), ("many-places", "treatments for 257 places")] {
        let host = host_with(vec![probe(json!({"plan": does}))]).await;
        let plan = analyst(&host).await.exchange(&Arc::new(request("/"))).await;
        let failure = plan.decision.opinions[0].failure.as_ref().expect("it failed");
        assert!(failure.kind == FailureKind::Nonsense && failure.message.contains(cause), "{failure:?}");
        assert!(plan.treatments.is_empty() && said(&plan.decision).starts_with("block policy-failed"));
    }
}

#[tokio::test]
async fn values_at_a_place_are_rewritten_by_the_policys_own_code() {
    let host = host_with(vec![probe(json!({"plan": "transform"}))]).await;
    let mut policies = analyst(&host).await;
    let asked = Arc::new(request("/"));
    let plan = policies.exchange(&asked).await;
    assert_eq!(plan.treatments, [("/name".into(), Treatment::Transform("probe".into()))]);
    let batch = Batch { column: 0, blob: b"annbob".to_vec(), offsets: vec![0, 3, 6], nulls: vec![0] };
    let rewritten = policies.transform_at("probe", &asked, "/name", batch).await.expect("it answers");
    assert_eq!(rewritten.blob, b"ANNBOB");
}
