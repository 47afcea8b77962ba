//! The API over real HTTP on a free port, with rooms that remember what they were asked.

#![allow(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic, and ids are ASCII")]

mod fakes;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use fakes::{Api, UPDATE, ask, start, start_with};
use grille_admin::view::{
    DecisionDetail, FoundSessions, Killed, Moment, Policies, Reviews, SessionDetail, Sessions, Status,
};
use grille_admin::{Problem, serve};
use grille_net::{KeySource, Listen, Listener, ServerTls, ServerTlsConfig, drain};
use grille_policy::Digest;
use grille_review::{Asked, Outcome, Review, State};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn without_a_good_token_nobody_sees_anything() {
    let api = start().await;
    let answer = api.client.get(api.url("/v1/status")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.detail, "this needs a token: `Authorization: Bearer …`");

    for (token, status, detail) in [
        ("wrong", 401, "the token is not signed by a known issuer"),
        ("later", 503, "the issuer's keys cannot be fetched"),
    ] {
        assert_eq!(api.problem(Method::GET, "/v1/status", token).await, (status, detail.to_owned()));
    }
    let answer = api.client.get(api.url("/v1/status")).header("authorization", "Basic b3BzOg==").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rights_come_from_groups() {
    let api = start().await;
    let session = format!("/v1/sessions/{}", fakes::session_id());
    let recording = format!("{session}/recording");
    let decision = format!("/v1/decisions/{}", fakes::decision_id());
    let plugin = format!("/v1/plugins/{}", Digest([1; 32]));
    for (method, path, who) in [
        (Method::GET, "/v1/status", ["ops", "audra", "rita"].as_slice()),
        (Method::GET, "/v1/policies", &["ops", "audra"]),
        (Method::GET, "/metrics", &["ops", "audra"]),
        (Method::GET, "/v1/sessions", &["audra"]),
        (Method::GET, &session, &["audra"]),
        (Method::GET, &recording, &["audra"]),
        (Method::GET, &decision, &["audra"]),
        (Method::GET, &plugin, &["audra"]),
        (Method::GET, "/v1/sessions/search?text=ssn&verdict=block", &["audra"]),
        (Method::GET, "/v1/ledger/export?subject=ann", &["audra"]),
        (Method::POST, "/v1/ledger/checkpoint", &["ops", "audra"]),
        (Method::DELETE, &session, &["ops"]),
        (Method::GET, "/v1/reviews", &["ops", "audra", "rita", "ann"]),
    ] {
        for token in ["ops", "audra", "rita", "ann"] {
            let answer = api.send(method.clone(), path, token).await;
            let expected = if who.contains(&token) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(answer.status(), expected, "{method} {path} {token}");
        }
    }
    let (_, detail) = api.problem(Method::GET, "/v1/sessions", "ann").await;
    assert_eq!(detail, "ann may not list sessions: that takes one of the groups auditors ([admin] auditors)");
    assert!(api.acts().contains(&"ann refused list sessions".to_owned()));
}

#[tokio::test]
async fn what_it_shows_reads_back() {
    let api = start().await;
    let status: Status = api.read("/v1/status", "ops").await;
    assert_eq!((&*status.version, status.reviews), ("0.1.0", 0));
    let policies: Policies = api.read("/v1/policies", "ops").await;
    assert_eq!(&*policies.policies[0].name, "guard");
    let sessions: Sessions = api.read("/v1/sessions?live=true&person=ann&limit=5", "audra").await;
    assert_eq!(sessions.sessions.len(), 1);
    let beginning = &fakes::session_id().to_string()[..9];
    let detail: SessionDetail = api.read(&format!("/v1/sessions/{beginning}"), "audra").await;
    assert_eq!(detail.log.len(), 1);
    let acts = api.acts();
    assert!(acts[0].starts_with("audra session.list"), "{acts:?}");
    assert_eq!(acts[1], format!("audra session.show {}", fakes::session_id()));
}

#[tokio::test]
async fn a_decision_is_shown_once_the_look_is_recorded() {
    let api = start().await;
    let id = fakes::decision_id();
    let path = format!("/v1/decisions/{id}");
    let detail: DecisionDetail = api.read(&path, "audra").await;
    assert_eq!((detail.id, &*detail.text), (id, "select 1"));
    assert_eq!(api.acts(), [format!("audra decision.show {}", fakes::session_id())]);
    for other in [format!("{path}1"), "/v1/decisions/d-".to_owned(), "/v1/decisions/..%2f..%2fetc".to_owned()] {
        let (status, detail) = api.problem(Method::GET, &other, "audra").await;
        assert!(status == 404 && detail.starts_with("no decision `"), "{other}: {status} {detail}");
    }

    let plugin = format!("/v1/plugins/{}", Digest([1; 32]));
    let answer = api.send(Method::GET, &plugin, "audra").await;
    assert_eq!(answer.headers()["content-type"], "application/wasm");
    assert_eq!(&*answer.bytes().await.unwrap(), b"\0asm");
    assert!(api.acts().contains(&format!("audra plugin.fetch {}", Digest([1; 32]))));
    for (digest, expected) in [(Digest([2; 32]), 503), (Digest([3; 32]), 404)] {
        assert_eq!(api.problem(Method::GET, &format!("/v1/plugins/{digest}"), "audra").await.0, expected);
    }
    assert_eq!(api.problem(Method::GET, "/v1/plugins/..%2fkeys", "audra").await.0, 404);

    api.fill_disk();
    assert_eq!(api.problem(Method::GET, &path, "audra").await.0, 503);
    assert_eq!(api.problem(Method::GET, &plugin, "audra").await.0, 503);
}

#[tokio::test]
async fn a_recording_comes_line_by_line() {
    let api = start().await;
    let path = format!("/v1/sessions/{}/recording", fakes::session_id());
    let answer = api.send(Method::GET, &path, "audra").await;
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    let moments: Vec<Moment> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(moments.len(), 300);
    assert!(matches!(&moments[0], Moment::Shown { data, .. } if data == "AAAA"));
}

#[tokio::test]
async fn evidence_is_searched_and_exported_once_that_is_recorded() {
    let api = start().await;
    let found: FoundSessions = api.read("/v1/sessions/search?target=clinic&limit=5", "audra").await;
    assert_eq!(found.sessions[0].session.id, fakes::session_id());
    let beginning = &fakes::session_id().to_string()[..9];
    let answer = api.send(Method::GET, &format!("/v1/ledger/export?session={beginning}"), "audra").await;
    assert_eq!(answer.headers()["content-type"], "application/x-tar");
    assert_eq!(answer.text().await.unwrap(), "begin end");
    api.send(Method::GET, "/v1/ledger/export?target=clinic&contents=true", "audra").await;
    let acts = api.acts();
    assert_eq!(acts[0], "audra session.search target=clinic");
    assert_eq!(acts[1], format!("audra ledger.export {}", fakes::session_id()));
    assert_eq!(acts[2], "audra ledger.export target=clinic with contents");

    // Half a bundle is no bundle.
    let broken = api.client.get(api.url("/v1/ledger/export?target=broken")).bearer_auth("audra").send().await;
    if let Ok(answer) = broken {
        assert!(answer.bytes().await.is_err());
    }
    for (path, status) in [
        ("/v1/ledger/export?target=nowhere", 404),
        ("/v1/ledger/export?session=s-zzzz", 404),
        ("/v1/ledger/export?odd=1", 400),
        ("/v1/sessions/search?verdict=odd", 422),
    ] {
        assert_eq!(api.problem(Method::GET, path, "audra").await.0, status, "{path}");
    }
    api.fill_disk();
    assert_eq!(api.problem(Method::GET, "/v1/ledger/export?target=clinic", "audra").await.0, 503);
    assert_eq!(api.problem(Method::GET, "/v1/sessions/search", "audra").await.0, 503);
    assert_eq!(api.problem(Method::POST, "/v1/ledger/checkpoint", "audra").await.0, 503);
}

#[tokio::test]
async fn sessions_that_are_not_there() {
    let api = start().await;
    for id in ["s-zzzz", "s-", "..%2f..%2fetc", "r-0123456789abcdef", "%ff"] {
        let (status, _) = api.problem(Method::GET, &format!("/v1/sessions/{id}"), "audra").await;
        assert!(status == 404 || status == 400, "{id}: {status}");
    }
    let killed: Killed = api
        .send(Method::DELETE, &format!("/v1/sessions/{}?reason=odd", fakes::session_id()), "ops")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(killed.id, fakes::session_id());
    let (status, detail) = api.problem(Method::DELETE, &format!("/v1/sessions/{}", fakes::session_id()), "ops").await;
    assert_eq!((status, detail), (409, format!("session {} is not live any more", fakes::session_id())));
}

#[tokio::test]
async fn people_decide() {
    let api = start().await;
    let Asked::Held(mut ticket) = api.desk.request(ask("ann", UPDATE)).unwrap() else { panic!("not held") };
    let id = ticket.id();
    let reviews: Reviews = api.read("/v1/reviews?state=pending", "rita").await;
    assert_eq!(reviews.reviews.iter().map(|review| review.id).collect::<Vec<_>>(), [id]);
    let own: Reviews = api.read("/v1/reviews", "ann").await;
    assert_eq!(own.reviews.len(), 1);
    let others: Reviews = api.read("/v1/reviews", "ops").await;
    assert_eq!(others.reviews.len(), 0);
    assert_eq!(api.problem(Method::GET, &format!("/v1/reviews/{id}"), "ops").await.0, 403);

    let shown: Review = api.read(&format!("/v1/reviews/{}", &id.to_string()[2..]), "rita").await;
    assert_eq!(&*shown.content.text, UPDATE);
    let (status, detail) = api.decide(&id.to_string(), "approve", "ann", "mine").await.unwrap_err();
    assert_eq!(status, 403);
    assert!(detail.contains("your own request"), "{detail}");
    assert_eq!(api.decide(&id.to_string(), "approve", "ops", "why not").await.unwrap_err().0, 403);
    let granted = api.decide(&id.to_string(), "approve", "rita", "agreed").await.unwrap();
    assert_eq!((granted.state, &*granted.votes[0].reason), (State::Granted, "agreed"));
    assert!(matches!(ticket.outcome().await, Outcome::Approved(_)));
    assert_eq!(api.decide(&id.to_string(), "deny", "rita", "no").await.unwrap_err().0, 409);
    let revoked = api.decide(&id.to_string(), "revoke", "rita", "no").await.unwrap();
    assert_eq!(revoked.state, State::Revoked);
    assert_eq!(api.decide("r-zzzz", "deny", "rita", "no").await.unwrap_err().0, 404);
}

#[tokio::test]
async fn bodies_are_small_json() {
    let api = start().await;
    let Asked::Held(ticket) = api.desk.request(ask("ann", UPDATE)).unwrap() else { panic!("not held") };
    let path = format!("/v1/reviews/{}/approve", ticket.id());
    let post = |body: String, kind: &'static str| {
        api.client.post(api.url(&path)).bearer_auth("rita").header("content-type", kind).body(body).send()
    };
    let json = "application/json";
    assert_eq!(post("{}".into(), "text/plain").await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(post("{".into(), json).await.unwrap().status(), StatusCode::BAD_REQUEST);
    let unknown = json!({"raeson": "typo"}).to_string();
    assert_eq!(post(unknown, json).await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    let long = json!({"reason": "x".repeat(100_000)}).to_string();
    assert_eq!(post(long, json).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let long = json!({"reason": "x".repeat(5_000)}).to_string();
    assert_eq!(post(long, json).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(post("{}".into(), json).await.unwrap().status(), StatusCode::OK);
    assert_eq!(api.problem(Method::GET, "/v1/reviews?stat=pending", "rita").await.0, 400);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_shown() {
    let api = start().await;
    api.fill_disk();
    let session = format!("/v1/sessions/{}", fakes::session_id());
    for (method, path, token) in [
        (Method::GET, "/v1/sessions", "audra"),
        (Method::GET, &*session, "audra"),
        (Method::DELETE, &*session, "ops"),
        (Method::GET, "/v1/reviews", "rita"),
    ] {
        let (status, detail) = api.problem(method, path, token).await;
        assert_eq!(status, 503, "{path}");
        assert_eq!(detail, "this could not be recorded, so it is not shown or done: disk full");
    }
    assert!(api.is_live());
}

#[tokio::test]
async fn other_names_are_not_ours() {
    let api = start().await;
    for (host, status) in [("evil.example", 421), ("localhost", 200), ("grille.corp", 200)] {
        let answer =
            api.client.get(api.url("/v1/status")).bearer_auth("ops").header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
    }
    assert_eq!(api.problem(Method::GET, "/v2", "ops").await.0, 404);
    assert_eq!(api.problem(Method::PUT, "/v1/status", "ops").await.0, 405);
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let api = start().await;
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    for bytes in ["\0\0\0\u{8}\u{4}\u{d2}\u{16}/", "GET / HTTP/9\r\n\r\n", "GET /v1/status HTTP/1.1\r\n\r\n", &huge] {
        let mut stream = tokio::net::TcpStream::connect(api.address).await.unwrap();
        // The other end may close before it has read everything.
        drop(stream.write_all(bytes.as_bytes()).await);
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
        drop(tokio::time::timeout(Duration::from_secs(1), read).await);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(api.send(Method::GET, "/v1/status", "ops").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn draining_finishes_what_is_under_way() {
    let Api { client, address, drain, server, .. } = start().await;
    let url = format!("http://{address}/v1/status");
    assert_eq!(client.get(&url).bearer_auth("ops").send().await.unwrap().status(), StatusCode::OK);
    drain.begin();
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
    assert!(client.get(&url).bearer_auth("ops").send().await.is_err());
}

#[tokio::test]
async fn over_tls_the_certificate_names_us() {
    let made = rcgen::generate_simple_self_signed(["gate.example".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config =
        ServerTlsConfig { cert, key: KeySource::File(key), alpn: vec![b"http/1.1".to_vec()], client_certs: None };
    let api = start_with(Some(Arc::new(ServerTls::new(config).unwrap()))).await;
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client =
        reqwest::Client::builder().tls_certs_only([root]).resolve("gate.example", api.address).build().unwrap();
    let url = format!("https://gate.example:{}/v1/status", api.address.port());
    assert_eq!(client.get(&url).bearer_auth("ops").send().await.unwrap().status(), StatusCode::OK);

    let clear = api.client.get(api.url("/v1/status")).bearer_auth("ops").send().await;
    assert!(clear.is_err(), "tokens in the clear are not read");
}

#[tokio::test]
async fn tokens_are_not_read_in_the_clear_off_loopback() {
    let listen = Listen {
        name: "admin".into(),
        address: "0.0.0.0:0".parse().unwrap(),
        max_connections: 1,
        max_unauthenticated: 1,
    };
    let (_handle, ear) = drain();
    let refused = serve(Listener::bind(listen).unwrap(), None, axum::Router::new(), ear).await.unwrap_err();
    assert!(refused.to_string().contains("give it TLS or a loopback address"), "{refused}");
}

#[tokio::test]
async fn changing_policies_takes_a_right_and_weakening_them_a_stronger_one() {
    let api = start().await;
    let promote = async |token: &str, name: &str, body: serde_json::Value| {
        let url = api.url(&format!("/v1/policies/{name}/promote"));
        let answer = api.client.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<serde_json::Value>().await.unwrap())
    };
    let monitor = || json!({ "mode": "monitor" });
    let (status, answer) = promote("ops", "guard", json!({})).await;
    assert_eq!((status, &answer["epoch"], &answer["weakening"]), (200, &json!(4), &json!([])));
    let (status, answer) = promote("ops", "guard", monitor()).await;
    let why = "ops may not weaken what protects (policy \"guard\" only monitors): \
               that takes one of the groups owners ([admin] owners)";
    assert_eq!((status, answer["detail"].as_str().unwrap()), (403, why));
    let (status, answer) = promote("olga", "guard", monitor()).await;
    assert_eq!((status, &answer["weakening"]), (200, &json!(["policy \"guard\" only monitors"])));
    assert_eq!(promote("audra", "guard", json!({})).await.0, 403);
    assert_eq!(promote("ops", "gard", json!({})).await.0, 404);
    assert_eq!(promote("ops", "guard", json!({ "digets": "1" })).await.0, 422);
    let (status, detail) = api.problem(Method::POST, "/v1/policies/guard/rollback", "ops").await;
    assert_eq!((status, &*detail), (409, "nothing to go back to"));
    let acts = api.acts();
    let told = [
        "ops policy.promote guard",
        "ops policy.promote guard mode=monitor",
        "ops refused weaken what protects (policy \"guard\" only monitors)",
        "olga policy.promote guard mode=monitor",
        "audra refused change policy \"guard\"",
        "ops policy.promote gard",
        "ops policy.rollback guard",
    ];
    assert_eq!(acts, told);
    api.fill_disk();
    assert_eq!(promote("ops", "guard", json!({})).await.0, 503, "what cannot be recorded is not done");
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let api = start().await;
    let answer = api.send(Method::GET, "/metrics", "ops").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    let samples = metrics::parse(&text);
    let policy = r#"policy="guard",plugin="sql-guard \"q\"",version="0.1.0",digest="010101010101",mode="enforce""#;
    for (series, value) in [
        ("grille_sessions".to_owned(), 1.0),
        ("grille_policy_epoch".to_owned(), 3.0),
        (r#"grille_policy_epoch_sessions{epoch="3"}"#.to_owned(), 1.0),
        ("grille_reload_ok".to_owned(), 1.0),
        ("grille_ledger_writable".to_owned(), 1.0),
        (r#"grille_ledger_records{stage="signed"}"#.to_owned(), 7.0),
        ("grille_ledger_unsigned_tail".to_owned(), 2.0),
        ("grille_ledger_unsigned_tail_seconds".to_owned(), 1.25),
        ("grille_ledger_unanchored_tail".to_owned(), 5.0),
        ("grille_ledger_unanchored_tail_seconds".to_owned(), 3600.0),
        (format!("grille_policy_calls_total{{{policy}}}"), 12.0),
        (format!("grille_policy_remembered_total{{{policy}}}"), 30.0),
        (format!("grille_policy_verdicts_total{{{policy},verdict=\"block\"}}"), 2.0),
        (format!("grille_policy_failures_total{{{policy},kind=\"timeout\"}}"), 1.0),
        (format!("grille_policy_failures_total{{{policy},kind=\"trap\"}}"), 0.0),
        (format!("grille_policy_call_seconds{{{policy},quantile=\"0.99\"}}"), 0.001_234_5),
        (format!("grille_policy_call_seconds_count{{{policy}}}"), 12.0),
        (format!("grille_policy_memory_bytes{{{policy}}}"), 1_048_576.0),
        (format!("grille_policy_paused{{{policy}}}"), 1.0),
    ] {
        let found = samples.get(&series).unwrap_or_else(|| panic!("{series} is not in\n{text}"));
        assert!((found - value).abs() < 1e-9, "{series}: {found}");
    }
    assert!(!text.contains("unwitnessed"), "without a witness there is nothing to tell: {text}");
    assert!(samples.len() < 40, "the series are counted: {}", samples.len());
}

/// A log of years is long: searches and exports are not cut off after the time that other answers have.
#[tokio::test]
async fn what_reads_the_whole_log_takes_its_time() {
    let api = start().await;
    tokio::time::pause();
    for path in ["/v1/sessions/search?target=years", "/v1/ledger/export?target=years"] {
        assert_eq!(api.send(Method::GET, path, "audra").await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_quarter_is_asked_for_alone_and_in_one_form() {
    let api = start().await;
    assert_eq!(api.send(Method::GET, "/v1/ledger/export?hipaa=2026-Q3", "audra").await.status(), StatusCode::OK);
    assert!(api.acts().contains(&"audra ledger.export hipaa=2026-Q3".to_owned()), "{:?}", api.acts());
    let (status, why) = api.problem(Method::GET, "/v1/ledger/export?hipaa=2026Q3", "audra").await;
    assert_eq!((status, &*why), (422, "`2026Q3` is no quarter: write the year and Q1 to Q4, such as 2026-Q3"));
    let (status, why) = api.problem(Method::GET, "/v1/ledger/export?hipaa=2026-Q3&subject=ann", "audra").await;
    assert!(status == 422 && why.starts_with("a quarter is told as a whole"), "{why}");
}
