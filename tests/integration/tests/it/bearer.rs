//! OAUTHBEARER (RFC 7628) to the byte, as libpq 18 speaks it.

use anyhow::Result;
use bytes::BytesMut;
use grille_pg_codec::backend::{Authentication, Message};
use grille_pg_codec::startup::Version;
use grille_pg_codec::{encode, tag};
use grille_test_support::{Raw, Reply};

use crate::scene::{Ground, Scene};

fn scene() -> Result<Scene> {
    let ground = Ground::new()?;
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let password = ground.write("password", "correct horse")?;
    let listener = format!(
        r#"
[listeners.pg]
protocol = "postgres"
address = "{}"
auth = "oauthbearer"
scope = "openid groups"
"#,
        ground.address
    );
    let login = format!("login = {{ user = \"app\", password = {{ file = {password:?} }} }}\ntls = \"disable\"");
    let address = format!("\"{}\"", ground.cluster.address());
    ground.serve(&format!("{listener}{}", Ground::target("work", &address, &login)))
}

/// A connection that was offered OAUTHBEARER.
fn asked(scene: &Scene) -> Result<Raw> {
    let mut raw = Raw::connect(scene.ground.address)?;
    let mut out = BytesMut::new();
    encode::startup(&mut out, Version::V3_2, [("user", "work"), ("database", "work")])?;
    raw.send(&out)?;
    let offer = raw.reply()?.expect("an offer");
    match offer.message() {
        Message::Authentication(Authentication::Sasl(mechanisms)) => {
            assert_eq!(mechanisms.iter().collect::<Vec<_>>(), [b"OAUTHBEARER"]);
        }
        other => panic!("{other:?}"),
    }
    Ok(raw)
}

fn say(raw: &mut Raw, mechanism: &str, response: Option<&[u8]>) -> Result<()> {
    let mut out = BytesMut::new();
    encode::sasl_initial(&mut out, mechanism, response)?;
    raw.send(&out)
}

/// The challenge of a refusal, then the caller's empty answer, then the error, then the end.
fn refused(scene: &Scene, auth: &str) -> Result<(String, Reply)> {
    let mut raw = asked(scene)?;
    say(&mut raw, "OAUTHBEARER", Some(format!("n,,\x01auth={auth}\x01\x01").as_bytes()))?;
    let challenge = raw.reply()?.expect("a challenge");
    let challenge = match challenge.message() {
        Message::Authentication(Authentication::SaslContinue(json)) => String::from_utf8(json.to_vec())?,
        other => panic!("{other:?}"),
    };
    let mut out = BytesMut::new();
    encode::sasl_response(&mut out, b"\x01")?;
    raw.send(&out)?;
    let error = raw.reply()?.expect("an error");
    assert_eq!(raw.reply()?, None, "and then the end");
    Ok((challenge, error))
}

#[test]
fn a_token_opens_a_session_and_everything_else_says_where_tokens_come_from() -> Result<()> {
    let scene = scene()?;
    let mut raw = asked(&scene)?;
    say(&mut raw, "OAUTHBEARER", Some(format!("n,,\x01auth=Bearer {}\x01\x01", scene.token()).as_bytes()))?;
    let greeting = raw.until_ready()?;
    let first = greeting.first().map(Reply::message);
    assert_eq!(first, Some(Message::Authentication(Authentication::Ok)), "no SASLFinal before it");
    assert_eq!(raw.value("SELECT current_user")?, "app");

    let place = format!("\"openid-configuration\":\"{}/.well-known/openid-configuration\"", scene.ground.issuer.url());
    let expired = format!("Bearer {}", scene.ground.issuer.expired_token("dba")?);
    for auth in ["", "Bearer x.y.z", "Basic eDp5", &expired] {
        let (challenge, error) = refused(&scene, auth)?;
        for part in ["\"status\":\"invalid_token\"", "\"scope\":\"openid groups\"", &place] {
            assert!(challenge.contains(part), "{auth:?}: {challenge}");
        }
        assert_eq!(error.sqlstate().as_deref(), Some("28P01"), "{auth:?}: {error:?}");
    }
    Ok(())
}

#[test]
fn what_is_no_oauthbearer_is_malformed() -> Result<()> {
    let scene = scene()?;
    let token = scene.token();
    let good = format!("n,,\x01auth=Bearer {token}\x01\x01");
    let malformed: &[(&str, Option<&[u8]>)] = &[
        ("SCRAM-SHA-256", Some(good.as_bytes())),
        ("OAUTHBEARER", None),
        ("OAUTHBEARER", Some(b"")),
        ("OAUTHBEARER", Some(b"p=tls-server-end-point,,\x01auth=Bearer x\x01\x01")),
        ("OAUTHBEARER", Some(b"n,a=admin,\x01auth=Bearer x\x01\x01")),
        ("OAUTHBEARER", Some(b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01")),
    ];
    for (mechanism, response) in malformed {
        let mut raw = asked(&scene)?;
        say(&mut raw, mechanism, *response)?;
        let error = raw.reply()?.expect("an error");
        assert_eq!(error.sqlstate().as_deref(), Some("08P01"), "{mechanism} {response:?}: {error:?}");
    }
    // A password instead, a message that is too long, and somebody who goes away.
    let mut raw = asked(&scene)?;
    let mut out = BytesMut::new();
    encode::password(&mut out, token.as_bytes())?;
    raw.send(&out)?;
    assert_eq!(raw.reply()?.and_then(|error| error.sqlstate()).as_deref(), Some("08P01"));
    let mut raw = asked(&scene)?;
    raw.send(&[&[tag::frontend::PASSWORD][..], &(65_536_u32 + 4).to_be_bytes()].concat())?;
    assert_eq!(raw.reply()?.and_then(|error| error.sqlstate()).as_deref(), Some("08P01"));
    drop(asked(&scene)?);
    assert!(!scene.gateway.said().contains(&token), "a token is nobody's to read");
    Ok(())
}
