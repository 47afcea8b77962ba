//! Grille's own login at servers that are none, or not the one that is meant.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream as Blocking};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use bytes::BytesMut;
use grille_net::{ClientTls, ClientTlsMode, KeySource, ServerTls, ServerTlsConfig};
use grille_pg_codec::{encode, tag::backend as tag};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use crate::scene::{Ground, Scene};

/// What a false server does with each connection.
type Does = fn(&mut Blocking) -> std::io::Result<()>;

/// Serves connections one after the other, as long as the test runs.
fn rogue(does: Does) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whatever goes wrong in here is the gateway's decision, and seen there.
            does(&mut stream).ok();
        }
    });
    Ok(address)
}

/// Reads a message of the client; the startup packet has no type byte.
fn heard(stream: &mut Blocking, has_tag: bool) -> std::io::Result<Vec<u8>> {
    let mut head = vec![0; if has_tag { 5 } else { 4 }];
    stream.read_exact(&mut head)?;
    let length = head.iter().rev().take(4).rev().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn say(stream: &mut Blocking, write: impl FnOnce(&mut BytesMut)) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    write(&mut out);
    stream.write_all(&out)
}

fn authentication(out: &mut BytesMut, code: u32, rest: &[u8]) {
    out.extend_from_slice(&[tag::AUTHENTICATION]);
    out.extend_from_slice(&u32::try_from(rest.len() + 8).unwrap().to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(rest);
}

/// The challenge of SCRAM after a startup packet: the client's nonce, a salt, and these iterations.
fn challenge(stream: &mut Blocking, iterations: &str) -> std::io::Result<()> {
    heard(stream, false)?;
    say(stream, |out| encode::authentication_sasl(out, &["SCRAM-SHA-256"]).unwrap())?;
    let first = String::from_utf8_lossy(&heard(stream, true)?).into_owned();
    // Without TLS there is nothing to bind to, and the client says so.
    assert!(first.contains("n,,n=,r="), "{first}");
    // The nonce may hold anything but a comma.
    let nonce = first.rsplit(",r=").next().unwrap_or_default().to_owned();
    let challenge = format!("r={nonce}x,s=c2FsdHNhbHQ=,i={iterations}");
    say(stream, |out| encode::authentication_sasl_continue(out, challenge.as_bytes()).unwrap())
}

const ROGUES: [(&str, Does, &str); 10] = [
    // Everything before TLS may be of somebody else: its text is nobody's to read.
    (
        "speaks_first",
        |s| heard(s, false).and_then(|_| say(s, |o| encode::error_response(o, &[(b'M', "hack")]).unwrap())),
        "offers no TLS",
    ),
    (
        "stuffs",
        |s| heard(s, false).and_then(|_| s.write_all(b"SR\0\0\0\x08\0\0\0\0")),
        "bytes before the TLS handshake",
    ),
    ("forgets_to_ask", |s| heard(s, false).and_then(|_| say(s, |o| authentication(o, 0, &[]))), "without asking"),
    ("wants_it_plain", |s| heard(s, false).and_then(|_| say(s, |o| authentication(o, 3, &[]))), "in clear text"),
    (
        "binds_without_tls",
        |s| {
            heard(s, false).and_then(|_| {
                say(s, |o| encode::authentication_sasl(o, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]).unwrap())
            })
        },
        "outside TLS",
    ),
    ("knows_another_way", |s| heard(s, false).and_then(|_| say(s, |o| authentication(o, 7, &[]))), "GSSAPI"),
    ("burns_our_cpu", |s| challenge(s, "2000000000"), "sane number of iterations"),
    (
        "does_not_know_it",
        |s| {
            challenge(s, "4096")?;
            heard(s, true)?;
            say(s, |o| encode::authentication_sasl_final(o, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap())
        },
        "does not know the password",
    ),
    (
        "skips_its_proof",
        |s| {
            challenge(s, "4096")?;
            heard(s, true)?;
            say(s, |o| authentication(o, 0, &[]))
        },
        "no SCRAM signature",
    ),
    (
        "asks_again",
        |s| {
            heard(s, false)?;
            say(s, |o| authentication(o, 5, b"salt"))?;
            heard(s, true)?;
            say(s, |o| authentication(o, 5, b"salt"))
        },
        "another question",
    ),
];

#[test]
fn a_server_that_is_none_gets_no_secret_and_no_session() -> Result<()> {
    let ground = Ground::new()?;
    let password = ground.write("password", "correct horse")?;
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let mut text = format!("\n[listeners.pg]\nprotocol = \"postgres\"\naddress = \"{}\"\n", ground.address);
    let login = format!("login = {{ user = \"app\", password = {{ file = {password:?} }} }}");
    for (name, does, _) in ROGUES {
        let tls = if matches!(name, "speaks_first" | "stuffs") { "require" } else { "disable" };
        text += &Ground::target(name, &format!("\"{}\"", rogue(does)?), &format!("{login}\ntls = \"{tls}\""));
    }
    let starting = rogue(|stream| {
        heard(stream, false)?;
        say(stream, |out| {
            encode::error_response(out, &[(b'S', "FATAL"), (b'C', "57P03"), (b'M', "starting up")]).unwrap()
        })
    })?;
    let addresses = format!("[\"{starting}\", \"{}\"]", ground.cluster.address());
    text += &Ground::target("fails_over", &addresses, &format!("{login}\ntls = \"disable\""));
    let scene = ground.serve(&text)?;
    for (name, _, why) in ROGUES {
        scene.refuses(name, why);
    }
    assert_eq!(scene.value("fails_over", "SELECT current_user"), "app", "a server that starts is not the last word");
    let said = scene.gateway.said();
    assert!(!said.contains("hack") && !said.contains("correct horse") && !said.contains("panicked"), "{said}");
    Ok(())
}

/// Somebody in the middle, with a certificate of his own that Grille would take.
#[derive(Clone)]
struct Middle {
    real: SocketAddr,
    cert: PathBuf,
    key: PathBuf,
    /// Takes the server's offer of channel binding away.
    strips: bool,
}

impl Middle {
    fn start(self) -> Result<SocketAddr> {
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
                while let Ok((stream, _)) = listener.accept().await {
                    // How it ends is seen in the gateway.
                    self.relay(stream).await.ok();
                }
            });
        });
        Ok(told.recv()?)
    }

    async fn relay(&self, mut near: TcpStream) -> Result<()> {
        let mut request = [0; 8];
        near.read_exact(&mut request).await?;
        near.write_all(b"S").await?;
        let (cert, key) = (self.cert.clone(), KeySource::File(self.key.clone()));
        let tls = ServerTls::new(ServerTlsConfig { cert, key, alpn: Vec::new(), client_certs: None })?;
        let mut near = tls.accept(near).await?;
        let mut far = TcpStream::connect(self.real).await?;
        far.write_all(&request).await?;
        far.read_exact(&mut [0]).await?;
        let mut far = ClientTls::new(ClientTlsMode::Require, None, None, &[])?.connect(far, "localhost").await?;
        if self.strips {
            let mut startup = vec![0; 4];
            near.read_exact(&mut startup).await?;
            let length = startup.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            startup.resize(length, 0);
            near.read_exact(&mut startup[4..]).await?;
            far.write_all(&startup).await?;
            let mut offer = [0; 5];
            far.read_exact(&mut offer).await?;
            let length = offer[1..].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            far.read_exact(&mut vec![0; length - 4]).await?;
            let mut out = BytesMut::new();
            encode::authentication_sasl(&mut out, &["SCRAM-SHA-256"])?;
            near.write_all(&out).await?;
        }
        copy_bidirectional(&mut near, &mut far).await?;
        Ok(())
    }
}

/// A gateway that trusts whoever answers at TLS, and reaches the server through the one in the middle.
fn intercepted(strips: bool, more: &str) -> Result<Scene> {
    let ground = Ground::new()?;
    ground.encrypt(&[])?;
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let password = ground.write("password", "correct horse")?;
    let (key, cert) = crate::scene::leaf(&ground.papers.stranger, "localhost")?;
    let (key, cert) = (ground.write("middle.key", &key)?.into(), ground.write("middle.pem", &cert)?.into());
    let real = ground.cluster.address();
    let middle = Middle { real, cert, key, strips }.start()?;
    let listener = format!("\n[listeners.pg]\nprotocol = \"postgres\"\naddress = \"{}\"\n", ground.address);
    let login = format!("login = {{ user = \"app\", password = {{ file = {password:?} }}{more} }}\ntls = \"require\"");
    let targets = [("straight", real), ("intercepted", middle)]
        .map(|(name, address)| Ground::target(name, &format!("\"{address}\""), &login));
    ground.serve(&format!("{listener}{}", targets.concat()))
}

#[test]
fn scram_notices_who_sits_in_the_middle() -> Result<()> {
    let scene = intercepted(false, "")?;
    assert_eq!(scene.value("straight", "SELECT current_user"), "app");
    scene.refuses("intercepted", "SCRAM channel binding check failed");
    Ok(())
}

#[test]
fn taking_the_offer_of_channel_binding_away_is_noticed() -> Result<()> {
    let scene = intercepted(true, "")?;
    scene.refuses("intercepted", "channel binding");
    let scene = intercepted(true, ", channel_binding = \"require\"")?;
    assert_eq!(scene.value("straight", "SELECT current_user"), "app");
    scene.refuses("intercepted", "bound to its certificate");
    Ok(())
}
