use anyhow::{Result, ensure};

use crate::issuer::Issuer;
use crate::tour::scene::{Scene, Script};
use crate::tour::{Need, Step};

pub(super) fn steps() -> Vec<Step> {
    let step = |id, shows, needs, act| Step { id, shows, needs, act };
    vec![
        step(
            "wrong-token",
            "a token whose signature was touched opens nothing",
            &[] as &'static [Need],
            Box::new(|scene: &Scene<'_>, script: &mut Script| {
                let mut token = scene.world.issuer.token("dba")?;
                // The last character of a signature carries padding bits; one in its middle never does.
                let at = token.len() - 20;
                let other = if token.get(at..=at) == Some("A") { "B" } else { "A" };
                token.replace_range(at..=at, other);
                denied(scene, "dba, forged", token, script)
            }),
        ),
        step(
            "expired-token",
            "nor does one that ran out",
            &[],
            Box::new(|scene, script| denied(scene, "dba, expired", scene.world.issuer.expired_token("dba")?, script)),
        ),
        step(
            "foreign-token",
            "nor one of another issuer",
            &[],
            Box::new(|scene, script| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let token = runtime.block_on(Issuer::start())?.token("dba")?;
                denied(scene, "dba, elsewhere", token, script)
            }),
        ),
        step(
            "no-secret-at-caller",
            "the database's passwords stand in nothing that a caller received",
            &[],
            Box::new(no_secret_at_caller),
        ),
    ]
}

fn denied(scene: &Scene<'_>, who: &str, token: String, script: &mut Script) -> Result<()> {
    script.asked(who, "SELECT ssn FROM patients");
    let said = scene.psql_with("dba", token.clone()).run("SELECT ssn FROM patients LIMIT 1")?;
    scene.heard(&said, script);
    ensure!(!said.success && said.stdout.is_empty(), "the token was taken");
    ensure!(said.stderr.contains("FATAL:"), "the message is not clear: {}", said.stderr.trim());
    let code: &[u8] = b"C28P01\0";
    ensure!(said.wire.windows(code.len()).any(|window| window == code), "the SQLSTATE is not 28P01");
    let parts: Vec<&str> = token.split('.').collect();
    ensure!(parts.iter().all(|part| !said.stderr.contains(part)), "the message repeats the token");
    Ok(())
}

fn no_secret_at_caller(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let received = scene.received();
    let world = scene.world;
    for secret in [&world.passwords.app, &world.passwords.dba] {
        ensure!(
            !received.windows(secret.len()).any(|window| window == secret.as_bytes()),
            "a password reached a caller"
        );
    }
    let log = std::fs::read_to_string(world.layout.log())?;
    ensure!(!log.contains(&world.passwords.app) && !log.contains(&world.passwords.dba), "a password stands in the log");
    ensure!(received.len() > 1_000, "callers received next to nothing");
    script.note(format!("searched {} bytes that callers received, and the gateway's log", received.len()));
    Ok(())
}
