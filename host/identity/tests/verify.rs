//! Tokens, good and forged, against a real issuer on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod issuer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grille_identity::{Denied, Issuer, IssuerEvent, Journal, MAX_STALE, Verifier};
use serde_json::{Value, json};

use issuer::{AUDIENCE, Server, Signer, forge};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn issuer(url: &str) -> Issuer {
    Issuer {
        name: "corp".into(),
        issuer: url.into(),
        audience: AUDIENCE.into(),
        groups_claim: "groups".into(),
        leeway: Duration::from_secs(30),
        refresh_window: Duration::ZERO,
        is_demo: false,
    }
}

fn verifier(server: &Server) -> Verifier {
    Verifier::new(vec![issuer(server.url())]).unwrap()
}

fn header(signer: &Signer) -> Value {
    json!({ "alg": signer.algorithm(), "kid": signer.kid(), "typ": "at+jwt" })
}

fn claims(server: &Server) -> Value {
    json!({ "iss": server.url(), "aud": AUDIENCE, "sub": "u-17", "exp": now() + 300, "iat": now(), "groups": ["a", "b"] })
}

fn with(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.as_object_mut().unwrap().remove(name),
            value => object.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    object
}

#[tokio::test]
async fn good_tokens_of_every_algorithm() {
    for signer in Signer::all() {
        let server = Server::start(vec![signer.public()]).await;
        let token = signer.sign(&header(&signer), &with(claims(&server), json!({ "email": "a@example.org" })));
        let subject = verifier(&server).verify(&token).await.unwrap();
        assert_eq!((&*subject.sub, &*subject.name, &*subject.provider), ("u-17", "a@example.org", "corp"));
        assert_eq!(subject.groups, ["a".into(), "b".into()]);
        assert!(subject.actors.is_empty() && subject.claims.contains("\"email\""));
    }
}

#[tokio::test]
async fn agents_carry_the_chain_of_whom_they_act_for() {
    let signer = Signer::rsa("k");
    let server = Server::start(vec![signer.public()]).await;
    let act = json!({ "sub": "agent", "act": { "sub": "tool", "iss": "https://tools.example.org" } });
    let token = signer.sign(&header(&signer), &with(claims(&server), json!({ "act": act })));
    let subject = verifier(&server).verify(&token).await.unwrap();
    let chain: Vec<_> = subject.actors.iter().map(|actor| (&*actor.sub, &*actor.issuer)).collect();
    assert_eq!(chain, [("agent", server.url()), ("tool", "https://tools.example.org")]);
}

#[tokio::test]
async fn headers_that_are_refused() {
    let signer = Signer::rsa("k");
    let server = Server::start(vec![signer.public()]).await;
    let verifier = verifier(&server);
    for (changes, expected) in [
        (json!({ "alg": "none" }), Denied::Algorithm("none".into())),
        (json!({ "alg": "HS256" }), Denied::Algorithm("HS256".into())),
        (json!({ "alg": "PS256" }), Denied::Algorithm("PS256".into())),
        (json!({ "typ": "dpop+jwt" }), Denied::Type("dpop+jwt".into())),
        (json!({ "typ": "logout+jwt" }), Denied::Type("logout+jwt".into())),
        (json!({ "crit": ["b64"] }), Denied::Extension("crit")),
        (json!({ "b64": false }), Denied::Extension("b64")),
        (json!({ "zip": "DEF" }), Denied::Extension("zip")),
    ] {
        let token = signer.sign(&with(header(&signer), changes.clone()), &claims(&server));
        assert_eq!(verifier.verify(&token).await.unwrap_err(), expected, "{changes}");
    }
    // Where a token says its key is does not matter.
    let other = Signer::rsa("k");
    let embedded = with(header(&other), json!({ "jwk": other.public(), "jku": "http://127.0.0.1:1/keys", "x5u": "x" }));
    let denied = verifier.verify(&other.sign(&embedded, &claims(&server))).await.unwrap_err();
    assert_eq!(denied, Denied::Signature("corp".into()));
}

#[tokio::test]
async fn forged_signatures() {
    let (rsa, ec, ed) = (Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"));
    let server = Server::start(vec![rsa.public(), ec.public(), ed.public()]).await;
    let verifier = verifier(&server);
    let claims = claims(&server);
    let refused = Denied::Signature("corp".into());
    let hs256 = json!({ "alg": "HS256", "kid": "r", "typ": "at+jwt" });
    for (what, token, expected) in [
        ("no signature", forge(&json!({ "alg": "none" }), &claims, b""), Denied::Algorithm("none".into())),
        ("HMAC with the public key", rsa.sign_hmac_with_public_key(&hs256, &claims), Denied::Algorithm("HS256".into())),
        ("another key", Signer::rsa("r").sign(&header(&rsa), &claims), refused.clone()),
        ("empty", forge(&header(&rsa), &claims, b""), refused.clone()),
        ("zeros", forge(&header(&ec), &claims, &[0; 64]), refused.clone()),
        ("zeros, EdDSA", forge(&header(&ed), &claims, &[0; 64]), refused.clone()),
        ("RSA key as EC", forge(&json!({ "alg": "ES256", "kid": "r" }), &claims, &[1; 64]), unknown("ES256", "r")),
    ] {
        assert_eq!(verifier.verify(&token).await.unwrap_err(), expected, "{what}");
    }
    let good = rsa.sign(&header(&rsa), &claims);
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = forge(&header(&rsa), &with(claims.clone(), json!({ "sub": "root" })), b"");
    let swapped = format!("{head}.{}.{signature}", other.split('.').nth(1).unwrap());
    assert_eq!(verifier.verify(&swapped).await.unwrap_err(), refused);
    verifier.verify(&good).await.unwrap();
}

fn unknown(algorithm: &'static str, kid: &str) -> Denied {
    Denied::UnknownKey { issuer: "corp".into(), algorithm, kid: Some(kid.into()) }
}

#[tokio::test]
async fn claims_that_are_refused() {
    let signer = Signer::ec("k");
    let server = Server::start(vec![signer.public()]).await;
    let verifier = verifier(&server);
    let many: Vec<_> = (0..2_001).map(|at| at.to_string()).collect();
    let deep =
        (0..9).fold(
            Value::Null,
            |act, _| if act.is_null() { json!({ "sub": "x" }) } else { json!({ "sub": "x", "act": act }) },
        );
    for (changes, expected) in [
        (json!({ "exp": now() - 31 }), "Expired"),
        (json!({ "exp": null }), "Claim(exp)"),
        (json!({ "exp": "soon" }), "Claim(exp)"),
        (json!({ "exp": 1.5e10 }), "Claim(exp)"),
        (json!({ "exp": 253_402_300_799_u64 }), "Claim(exp)"),
        (json!({ "nbf": now() + 60 }), "TooEarly"),
        (json!({ "nbf": "now" }), "Claim(nbf)"),
        (json!({ "iat": now() + 60 }), "TooEarly"),
        (json!({ "iss": null }), "Claim(iss)"),
        (json!({ "iss": format!("{}/", server.url()) }), "ForeignIssuer"),
        (json!({ "iss": [server.url()] }), "Claim(iss)"),
        (json!({ "iss": "https://id.example.org" }), "ForeignIssuer"),
        (json!({ "aud": "other" }), "Audience"),
        (json!({ "aud": ["other", "more"] }), "Audience"),
        (json!({ "aud": null }), "Audience"),
        (json!({ "aud": 7 }), "Audience"),
        (json!({ "sub": null }), "Claim(sub)"),
        (json!({ "sub": "" }), "Claim(sub)"),
        (json!({ "sub": "a\u{0}b" }), "Claim(sub)"),
        (json!({ "sub": "x".repeat(256) }), "Claim(sub)"),
        (json!({ "cnf": { "jkt": "x" } }), "Claim(cnf)"),
        (json!({ "groups": null }), "GroupsUnknown"),
        (json!({ "groups": "a" }), "GroupsUnknown"),
        (json!({ "groups": ["a", 1] }), "GroupsUnknown"),
        (json!({ "groups": [""] }), "GroupsUnknown"),
        (json!({ "groups": many }), "GroupsUnknown"),
        (json!({ "hasgroups": true }), "GroupsUnknown"),
        (json!({ "_claim_names": { "groups": "src1" } }), "GroupsUnknown"),
        (json!({ "act": "agent" }), "Claim(act)"),
        (json!({ "act": { "sub": 3 } }), "Claim(act)"),
        (json!({ "act": deep }), "Claim(act)"),
    ] {
        let denied = verifier.verify(&signer.sign(&header(&signer), &with(claims(&server), changes.clone()))).await;
        let found = match denied.unwrap_err() {
            Denied::Claim { claim, .. } => format!("Claim({claim})"),
            other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        assert_eq!(found, expected, "{changes}");
    }
    for fine in [
        json!({ "exp": now() - 1 }),
        json!({ "nbf": now() + 10 }),
        json!({ "aud": ["other", AUDIENCE] }),
        json!({ "groups": [] }),
        json!({ "hasgroups": false }),
    ] {
        let token = signer.sign(&header(&signer), &with(claims(&server), fine.clone()));
        assert!(verifier.verify(&token).await.is_ok(), "{fine}");
    }
}

#[tokio::test]
async fn id_tokens_are_no_access_tokens() {
    let signer = Signer::ec("k");
    let server = Server::start(vec![signer.public()]).await;
    let verifier = verifier(&server);
    let unmarked = with(header(&signer), json!({ "typ": "JWT" }));
    assert!(verifier.verify(&signer.sign(&unmarked, &claims(&server))).await.is_ok());
    for mark in [json!({ "nonce": "n" }), json!({ "at_hash": "h" }), json!({ "typ": "ID" })] {
        let token = signer.sign(&unmarked, &with(claims(&server), mark));
        assert!(matches!(verifier.verify(&token).await, Err(Denied::Type(_))));
    }
}

#[tokio::test]
async fn texts_that_are_no_tokens() {
    let signer = Signer::ec("k");
    let server = Server::start(vec![signer.public()]).await;
    let verifier = verifier(&server);
    let good = signer.sign(&header(&signer), &claims(&server));
    let twice = format!(r#"{{"iss":"{0}","iss":"{0}","sub":"x"}}"#, server.url());
    let deep = "[".repeat(10_000);
    for text in [
        String::new(),
        "..".to_owned(),
        "password".to_owned(),
        format!("{good}.x"),
        format!(" {good}"),
        signer.sign_raw(&header(&signer).to_string(), &twice),
        signer.sign_raw(r#"{"alg":"ES256","alg":"none"}"#, "{}"),
        signer.sign_raw(&header(&signer).to_string(), &deep),
        signer.sign_raw(&header(&signer).to_string(), "[]"),
    ] {
        let shown: String = text.chars().take(60).collect();
        assert!(matches!(verifier.verify(&text).await, Err(Denied::Malformed(_))), "{shown}");
    }
    let long = format!("{good}{}", "x".repeat(64 << 10));
    assert_eq!(verifier.verify(&long).await.unwrap_err(), Denied::TooLong(long.len()));
}

#[tokio::test]
async fn new_keys_are_fetched_once_when_a_token_names_them() {
    let (old, new) = (Signer::rsa("old"), Signer::ec("new"));
    let server = Server::start(vec![old.public()]).await;
    let verifier = verifier(&server);
    verifier.verify(&old.sign(&header(&old), &claims(&server))).await.unwrap();
    assert_eq!(server.asked(), 1);
    server.publish(vec![old.public(), new.public()]);
    verifier.verify(&new.sign(&header(&new), &claims(&server))).await.unwrap();
    assert_eq!(server.asked(), 2);
    let stranger = Signer::ec("stranger");
    for _ in 0..20 {
        let denied = verifier.verify(&stranger.sign(&header(&stranger), &claims(&server))).await.unwrap_err();
        assert_eq!(denied, unknown("ES256", "stranger"));
    }
    assert_eq!(server.asked(), 2, "strangers cannot make the gateway ask again and again");
    verifier.verify(&old.sign(&header(&old), &claims(&server))).await.unwrap();
}

#[tokio::test]
async fn keys_outlive_their_issuer_for_an_hour() {
    let signer = Signer::ec("k");
    let server = Server::start(vec![signer.public()]).await;
    let verifier = verifier(&server);
    let token = signer.sign(&header(&signer), &claims(&server));
    verifier.verify(&token).await.unwrap();
    server.break_down("500");
    advance(Duration::from_secs(3_000)).await;
    verifier.verify(&token).await.unwrap();
    assert!(server.failed() > 0, "it was asked and the old keys were good enough");
    advance(MAX_STALE - Duration::from_secs(3_000)).await;
    assert!(matches!(verifier.verify(&token).await, Err(Denied::Unreachable { .. })));
    server.publish(vec![signer.public()]);
    advance(Duration::from_secs(3)).await;
    verifier.verify(&token).await.unwrap();
}

/// Writes down what it is told, unless it is full.
#[derive(Default)]
struct Notes {
    written: Mutex<Vec<String>>,
    is_full: AtomicBool,
}

impl Journal for Notes {
    fn write(&self, issuer: &Issuer, event: &IssuerEvent) -> Result<(), String> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err("the disk is full".to_owned());
        }
        let said = match event {
            IssuerEvent::Keys(keys) => keys.iter().filter_map(|key| key.kid.clone()).collect::<Vec<_>>().join(" "),
            IssuerEvent::Unreachable(_) => "away".to_owned(),
        };
        self.written.lock().unwrap().push(format!("{}: {said}", issuer.name));
        Ok(())
    }
}

#[tokio::test]
async fn keys_are_written_down_before_a_token_is_checked_by_them() {
    let (old, new) = (Signer::rsa("old"), Signer::ec("new"));
    let server = Server::start(vec![old.public()]).await;
    let notes = Arc::new(Notes::default());
    let journal = Arc::clone(&notes) as Arc<dyn Journal>;
    let verifier = Verifier::with_journal(vec![issuer(server.url())], Some(journal)).unwrap();
    let [by_old, by_new] = [&old, &new].map(|signer| signer.sign(&header(signer), &claims(&server)));

    notes.is_full.store(true, Ordering::SeqCst);
    match verifier.verify(&by_old).await.unwrap_err() {
        Denied::Unreachable { cause, .. } => assert!(cause.contains("cannot be recorded: the disk is full"), "{cause}"),
        other => panic!("{other:?}"),
    }
    notes.is_full.store(false, Ordering::SeqCst);
    advance(Duration::from_secs(3)).await;
    verifier.verify(&by_old).await.unwrap();
    // The same keys again are nothing to tell.
    advance(Duration::from_secs(400)).await;
    verifier.verify(&by_old).await.unwrap();
    server.publish(vec![new.public()]);
    verifier.verify(&by_new).await.unwrap();
    server.break_down("500");
    for _ in 0..3 {
        advance(Duration::from_secs(400)).await;
        verifier.verify(&by_new).await.unwrap();
    }
    server.publish(vec![new.public()]);
    advance(Duration::from_secs(400)).await;
    verifier.verify(&by_new).await.unwrap();
    assert_eq!(*notes.written.lock().unwrap(), ["corp: old", "corp: new", "corp: away", "corp: new"]);
}

async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_issuer_that_cannot_be_used_denies_and_says_why() {
    let signer = Signer::ec("k");
    for (trouble, says) in [
        ("500", "500"),
        ("html", "Failed to parse"),
        ("huge", "longer than 1048576 bytes"),
        ("slow", "timed out"),
        ("other issuer", "unexpected issuer"),
        ("redirect", "302"),
        ("far keys", "neither https nor on loopback"),
        ("no keys", "no key for"),
        ("demo", "grille demo"),
    ] {
        let server = Server::start(vec![signer.public()]).await;
        server.break_down(trouble);
        let token = signer.sign(&header(&signer), &claims(&server));
        match verifier(&server).verify(&token).await.unwrap_err() {
            Denied::Unreachable { cause, .. } => assert!(cause.contains(says), "{trouble}: {cause}"),
            other => panic!("{trouble}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_at_start_is_used_once_it_is_up() {
    let signer = Signer::ec("k");
    let server = Server::start(vec![signer.public()]).await;
    server.break_down("500");
    let verifier = verifier(&server);
    verifier.warm().await;
    let token = signer.sign(&header(&signer), &claims(&server));
    let denied = verifier.verify(&token).await.unwrap_err();
    assert!(matches!(denied, Denied::Unreachable { .. }));
    assert!(verifier.probe().await.iter().all(|(_, answer)| answer.is_err()));
    server.publish(vec![signer.public()]);
    advance(Duration::from_secs(3)).await;
    verifier.verify(&token).await.unwrap();
}

#[tokio::test]
async fn the_demo_issuer_needs_to_be_meant() {
    let signer = Signer::ec("k");
    let server = Server::start(vec![signer.public()]).await;
    server.break_down("demo");
    let token = signer.sign(&header(&signer), &claims(&server));
    let meant = Verifier::new(vec![Issuer { is_demo: true, ..issuer(server.url()) }]).unwrap();
    meant.verify(&token).await.unwrap();
}

#[tokio::test]
async fn two_issuers_are_two_principals_and_may_be_exchanged() {
    let (one, two) = (Signer::ec("k"), Signer::ec("k"));
    let (here, there) = (Server::start(vec![one.public()]).await, Server::start(vec![two.public()]).await);
    let verifier = verifier(&here);
    let (mine, theirs) = (one.sign(&header(&one), &claims(&here)), two.sign(&header(&two), &claims(&there)));
    let subject = verifier.verify(&mine).await.unwrap();
    assert!(matches!(verifier.verify(&theirs).await, Err(Denied::ForeignIssuer(_))));
    verifier.replace(vec![issuer(here.url()), Issuer { name: "other".into(), ..issuer(there.url()) }]);
    let other = verifier.verify(&theirs).await.unwrap();
    assert!(subject.sub == other.sub && !subject.is_same_person(&other));
    verifier.verify(&mine).await.unwrap();
    assert_eq!(here.asked(), 1, "an issuer that stays keeps its keys");
    let crossed = one.sign(&header(&one), &with(claims(&here), json!({ "iss": there.url() })));
    assert_eq!(verifier.verify(&crossed).await.unwrap_err(), Denied::Signature("other".into()));
}

/// Sessions run on any thread.
#[test]
fn verifying_may_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    let verifier = Verifier::new(Vec::new()).unwrap();
    is_send(verifier.verify(""));
}
