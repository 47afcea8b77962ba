//! Behind a load balancer that speaks the PROXY protocol: who called is known, and nobody else may say so.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use grille_ledger::{Reader, Record, SealKey};
use grille_test_support::{Raw, free_address};

use crate::scene::{Ground, wait_until};

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_trusted_proxy_says_who_called_and_nobody_else_does() -> Result<()> {
    let ground = Ground::new()?;
    let (gateway, named, nameless) = (ground.address, free_address()?, free_address()?);
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let password = ground.write("password", "correct horse")?;
    let lines = format!(
        r#"
[listeners.pg]
protocol = "postgres"
address = "{gateway}"
trusted_proxies = ["127.0.0.2", "192.0.2.0/24"]
{}"#,
        Ground::target(
            "work",
            &format!("{:?}", ground.cluster.address().to_string()),
            &format!("tls = \"disable\"\nlogin = {{ user = \"app\", password = {{ file = {password:?} }} }}")
        )
    );
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen named\n bind {named}\n server gateway {gateway} send-proxy-v2 source 127.0.0.2\n\
         listen nameless\n bind {nameless}\n server gateway {gateway} source 127.0.0.2\n"
    );
    let config = ground.write("haproxy.cfg", &config)?;
    let scene = ground.serve(&lines)?;
    // Debian puts it where PATH does not lead everybody.
    let path = format!("{}:/usr/sbin", std::env::var("PATH")?);
    let mut haproxy = Command::new("haproxy");
    haproxy.env("PATH", path);
    let _proxy = Proxy(haproxy.args(["-db", "-q", "-f", &config]).stdin(Stdio::null()).spawn().context("run haproxy")?);
    let token = scene.token();
    let mut through = None;
    wait_until("the proxy passes on", || {
        through = Raw::login(named, "work", "work", &token).ok();
        through.is_some()
    });
    let mut through = through.context("a session")?;
    assert_eq!(through.value("SELECT 1")?, "1");
    let caller = through.address()?.to_string();
    let direct = Raw::login(gateway, "work", "work", &token)?;

    // What it says of itself is no startup packet, and who is trusted has to say something.
    let mut boasting = Raw::connect(gateway)?;
    boasting.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\x0a\0\0\x01\x14\x1f\x15\x38")?;
    boasting.send(&Raw::hello("work", "work", &token)?)?;
    assert!(boasting.until_ready().is_err(), "it is not listened to");
    assert!(Raw::login(nameless, "work", "work", &token).is_err(), "nobody knows who that is");
    let why = "a trusted proxy sent no PROXY header";
    wait_until("the log says why", || scene.gateway.said().contains(why));

    let mut opened = Vec::new();
    wait_until("both sessions are recorded", || {
        let seal = SealKey::from_file(&scene.ground.path("seal.key")).expect("the key");
        let reader = Reader::open(&scene.ground.path("ledger"), Some(seal)).expect("the ledger");
        let of = |record: &Record<'_>| match record {
            Record::SessionOpen(open) => {
                Some((open.facts.peer.to_string(), open.proxy.as_ref().map(ToString::to_string)))
            }
            _ => None,
        };
        let records = reader.records().expect("records");
        opened = records.filter_map(|entry| of(entry.expect("a record").record()?)).collect();
        opened.len() == 2
    });
    let proxy = opened.first().and_then(|(_, proxy)| proxy.as_deref()).unwrap_or_default().to_owned();
    assert!(proxy.starts_with("127.0.0.2:"), "{opened:?}");
    assert_eq!(opened, [(caller, Some(proxy)), (direct.address()?.to_string(), None)]);
    Ok(())
}
