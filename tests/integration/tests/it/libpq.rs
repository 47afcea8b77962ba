//! libpq 18, which speaks what older clients do not: protocol 3.2, direct TLS and OAUTHBEARER. psycopg brings it along.

use std::process::Command;

use anyhow::{Context, Result};
use grille_test_support::{free_address, python};

use crate::scene::Ground;

const SCRIPT: &str = include_str!("libpq18.py");

#[test]
fn libpq_18_speaks_everything_that_it_has() -> Result<()> {
    let ground = Ground::new()?;
    // Upstream is encrypted too, so the cancels go there through TLS as well.
    ground.encrypt(&["hostnossl all app 127.0.0.1/32 reject"])?;
    ground.cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    let password = ground.write("password", "correct horse")?;
    let (key, cert) = ground.papers.issue("localhost")?;
    let (key, cert) = (ground.write("key.pem", &key)?, ground.write("cert.pem", &cert)?);
    let oauth = free_address()?;
    let listeners = format!(
        r#"
[listeners.pg]
protocol = "postgres"
address = "{address}"
tls = {{ cert = {cert:?}, key = {{ file = {key:?} }} }}

[listeners.oauth]
protocol = "postgres"
address = "{oauth}"
auth = "oauthbearer"
scope = "openid groups"
"#,
        address = ground.address,
    );
    let login = format!(
        "login = {{ user = \"app\", password = {{ file = {password:?} }} }}\n\
         tls = {{ mode = \"verify-full\", root_cert = {:?} }}",
        ground.path("root.pem")
    );
    let server = format!("\"localhost:{}\"", ground.cluster.address().port());
    let scene = ground.serve(&format!("{listeners}{}", Ground::target("work", &server, &login)))?;
    let output = Command::new(python())
        .args(["-c", SCRIPT])
        .env("PORT", scene.ground.address.port().to_string())
        .env("OAUTH_PORT", oauth.port().to_string())
        .env("TOKEN", scene.token())
        .env("ISSUER", scene.ground.issuer.url())
        .env("ROOT", scene.ground.path("root.pem"))
        // The issuer of the tests speaks http on loopback, which libpq takes only when it is told that this is a test.
        .env("PGOAUTHDEBUG", "UNSAFE")
        .output()
        .context("run python")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && said.trim_end().ends_with("all of it holds"),
        "`cargo xtask test` prepares a python with psycopg and sets GRILLE_PYTHON. This one said:\n{said}\n{}",
        scene.gateway.said()
    );
    Ok(())
}
