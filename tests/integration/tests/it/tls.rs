//! TLS on both legs, by programs that insist on it: psql in front, PostgreSQL behind.

use std::process::{Command, Output};

use anyhow::{Context, Result};
use bytes::BytesMut;
use grille_net::{ClientTls, ClientTlsMode};
use grille_pg_codec::encode;
use grille_pg_codec::tag::backend as tag;
use grille_test_support::{Raw, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cancel::{cancel, cancelled};
use crate::relay::Relay;
use crate::scene::{Ground, Scene, leaf, wait_until};
use crate::script::{conversation_with_login, tags};
use crate::version::{greeted, key};

/// A gateway whose listener demands TLS, before a server that is asked for TLS. The server's certificate is looked up in
/// `upstream_root`; `more` is said about the listener's TLS.
fn sealed(upstream_root: &str, more: &str) -> Result<Scene> {
    let ground = Ground::new()?;
    ground.encrypt(&[])?;
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let password = ground.write("password", "correct horse")?;
    show(&ground, &ground.papers.issue("localhost")?)?;
    let listener = format!(
        r#"
[listeners.pg]
protocol = "postgres"
address = "{address}"
tls = {{ cert = {cert:?}, key = {{ file = {key:?} }}{more} }}
"#,
        address = ground.address,
        cert = ground.path("cert.pem"),
        key = ground.path("key.pem"),
        more = more.replace("ROOT", &ground.path("root.pem").display().to_string()),
    );
    let address = format!("\"localhost:{}\"", ground.cluster.address().port());
    let target = format!(
        "login = {{ user = \"app\", password = {{ file = {password:?} }} }}\n\
         tls = {{ mode = \"verify-full\", root_cert = {:?} }}",
        ground.path(upstream_root),
    );
    ground.serve(&format!("{listener}{}", Ground::target("work", &address, &target)))
}

/// Puts another pair in the listener's files, the key first.
fn show(ground: &Ground, (key, cert): &(String, String)) -> Result<()> {
    ground.write("key.pem", key)?;
    ground.write("cert.pem", cert).map(drop)
}

fn psql(scene: &Scene, settings: &str, text: &str) -> Result<Output> {
    let dsn = format!(
        "host=localhost hostaddr=127.0.0.1 port={} dbname=work user=owner {settings}",
        scene.ground.address.port(),
    );
    let mut psql = Command::new(scene.ground.cluster.binaries().psql());
    psql.env("PGPASSWORD", scene.token()).args(["-X", "-A", "-t", "-c", text, &dsn]);
    psql.output().context("run psql")
}

/// As psql insists on it, by one of the authorities.
fn verified(scene: &Scene, root: &str) -> String {
    format!("sslmode=verify-full sslrootcert={}", scene.ground.path(root).display())
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "psql got in");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn both_legs_are_encrypted_and_verified() -> Result<()> {
    let scene = sealed("root.pem", "")?;
    let asked = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let answer = psql(&scene, &verified(&scene, "root.pem"), asked)?;
    let (said, failed) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert_eq!(said.trim(), "t|TLSv1.3", "the server's view of the upstream leg; psql said {failed}");

    let failed = self::failed(&psql(&scene, "sslmode=disable", "SELECT 1")?);
    assert!(failed.contains("over TLS only"), "before it is asked for a token: {failed}");
    let failed = self::failed(&psql(&scene, &verified(&scene, "stranger.pem"), "SELECT 1")?);
    assert!(failed.contains("certificate"), "{failed}");
    Ok(())
}

#[test]
fn who_comes_without_tls_is_not_asked_for_a_token() -> Result<()> {
    let scene = sealed("root.pem", "")?;
    let hello = Raw::hello("owner", "work", &scene.token())?;
    // With the token sent along unasked, and without.
    let startup = usize::from(hello[2]) << 8 | usize::from(hello[3]);
    for bytes in [&hello[..startup], &hello] {
        let mut raw = Raw::connect(scene.ground.address)?;
        raw.send(bytes)?;
        let replies = conversation_with_login(&raw.until_closed()?);
        assert_eq!(tags(&replies), "E");
        assert_eq!(replies[0].sqlstate().as_deref(), Some("28000"), "{:?}", replies[0].text());
    }
    Ok(())
}

/// The server takes a cancel in the clear as well, so only the bytes on the way tell.
#[test]
fn cancels_go_upstream_over_tls_too() -> Result<()> {
    let (ground, relay) = (Ground::new()?, Relay::new());
    ground.encrypt(&[])?;
    relay.leads_to(ground.cluster.address());
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let password = ground.write("password", "correct horse")?;
    let listener = format!("[listeners.pg]\nprotocol = \"postgres\"\naddress = \"{}\"\n", ground.address);
    let login = format!(
        "login = {{ user = \"app\", password = {{ file = {password:?} }} }}\n\
         tls = {{ mode = \"verify-full\", root_cert = {:?} }}",
        ground.path("root.pem")
    );
    let address = format!("\"localhost:{}\"", relay.address.port());
    let scene = ground.serve(&format!("{listener}{}", Ground::target("work", &address, &login)))?;
    let (mut session, greeting) = greeted(scene.ground.address, 0, &[("user", "work")], &scene.token());
    let (pid, key) = key(&greeting);
    let before = relay.codes().len();
    let replies = cancelled(&mut session, "SELECT pg_sleep(600)", || cancel(scene.ground.address, pid, &key));
    assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("57014"));
    let codes = relay.codes();
    assert!(codes.len() > before, "the cancel came by the relay");
    assert!(codes.iter().all(|code| *code == SSL_REQUEST), "{codes:?}");
    Ok(())
}

/// The code of a packet that asks for TLS.
const SSL_REQUEST: u32 = 80_877_103;

#[test]
fn a_target_that_nobody_vouches_for_is_refused() -> Result<()> {
    let scene = sealed("stranger.pem", "")?;
    let failed = failed(&psql(&scene, &verified(&scene, "root.pem"), "SELECT 1")?);
    assert!(failed.contains("cannot be reached"), "{failed}");
    Ok(())
}

#[test]
fn callers_show_certificates_where_the_listener_asks_for_them() -> Result<()> {
    for (more, without_one) in
        [(", client_ca = \"ROOT\"", false), (", client_ca = \"ROOT\", client_certs = \"optional\"", true)]
    {
        let scene = sealed("root.pem", more)?;
        let papers = &scene.ground.papers;
        let mut outcomes = Vec::new();
        for (name, pair) in [("ours", papers.issue("owner")?), ("strange", leaf(&papers.stranger, "owner")?)] {
            let key = scene.ground.write(&format!("{name}.key"), &pair.0)?;
            let cert = scene.ground.write(&format!("{name}.pem"), &pair.1)?;
            let settings = format!("{} sslcert={cert} sslkey={key}", verified(&scene, "root.pem"));
            outcomes.push(psql(&scene, &settings, "SELECT 1")?.status.success());
        }
        outcomes.push(psql(&scene, &verified(&scene, "root.pem"), "SELECT 1")?.status.success());
        assert_eq!(outcomes, [true, false, without_one], "ours, a stranger's, none{more}");
        // The certificate is nobody's identity: without a token it opens nothing.
        let ours = ["key", "pem"].map(|ending| scene.ground.path(&format!("ours.{ending}")).display().to_string());
        let settings = format!("{} sslcert={} sslkey={} password=x", verified(&scene, "root.pem"), ours[1], ours[0]);
        assert!(failed(&psql(&scene, &settings, "SELECT 1")?).contains("token"), "a certificate is no token");
    }
    Ok(())
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() -> Result<()> {
    let scene = sealed("root.pem", "")?;
    let trusts =
        |root: &str| psql(&scene, &verified(&scene, root), "SELECT 1").is_ok_and(|output| output.status.success());
    assert!(trusts("root.pem") && !trusts("stranger.pem"));
    show(&scene.ground, &leaf(&scene.ground.papers.stranger, "localhost")?)?;
    wait_until("the new certificate is shown", || trusts("stranger.pem"));
    assert!(!trusts("root.pem"));
    scene.ground.write("key.pem", "no key at all")?;
    wait_until("the log says that the key is broken", || {
        let said = scene.gateway.said();
        said.contains("reload refused") && said.contains("key.pem")
    });
    assert!(trusts("stranger.pem"), "the last good pair stays");
    Ok(())
}

#[test]
fn what_comes_around_the_handshake_is_not_taken_for_its_contents() -> Result<()> {
    let scene = sealed("root.pem", "")?;
    let mut request = BytesMut::new();
    encode::ssl_request(&mut request);
    let mut raw = Raw::connect(scene.ground.address)?;
    raw.send(&[&request[..], &Raw::hello("owner", "work", &scene.token())?].concat())?;
    assert_eq!(raw.until_closed()?, b"", "no S for who says more than it asked");

    // Inside TLS there is nothing left to negotiate.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tls = ClientTls::new(ClientTlsMode::Require, None, None, &[b"postgresql"])?;
    let answer = runtime.block_on(async {
        let mut stream = tls.connect(TcpStream::connect(scene.ground.address).await?, "localhost").await?;
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        // However it ends, nothing may have been said.
        stream.read_to_end(&mut answer).await.ok();
        anyhow::Ok(answer)
    })?;
    assert_eq!(answer, b"");
    Ok(())
}

#[test]
fn tls_without_a_request_needs_the_protocols_name() -> Result<()> {
    let scene = sealed("root.pem", "")?;
    let hello = Raw::hello("owner", "work", &scene.token())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = |alpn: &[&[u8]]| -> Result<Vec<u8>> {
        let tls = ClientTls::new(ClientTlsMode::VerifyFull, Some(&scene.ground.path("root.pem")), None, alpn)?;
        runtime.block_on(async {
            let stream = TcpStream::connect(scene.ground.address).await?;
            let mut stream = tls.connect(stream, "localhost").await?;
            stream.write_all(&hello).await?;
            let mut first = vec![0];
            let count = stream.read(&mut first).await?;
            first.truncate(count);
            Ok(first)
        })
    };
    assert_eq!(answer(&[b"postgresql"])?, [tag::AUTHENTICATION]);
    for other in [&[][..], &[b"http/1.1".as_slice()]] {
        let answer = answer(other);
        assert!(!matches!(&answer, Ok(bytes) if !bytes.is_empty()), "{answer:?}");
    }
    Ok(())
}
