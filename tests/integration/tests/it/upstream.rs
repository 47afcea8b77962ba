//! Grille's own login at a real server: by every method, by none, and not by those that its configuration leaves out.

use anyhow::Result;
use grille_test_support::free_address;

use crate::scene::{Ground, Scene, leaf, wait_until};

const LISTENER: &str = "\n[listeners.pg]\nprotocol = \"postgres\"\naddress = ";

/// Who logs in how. The first rule that fits counts.
const RULES: [&str; 5] = [
    "hostssl all certified 127.0.0.1/32 cert",
    "host all certified 127.0.0.1/32 reject",
    "host all trusted 127.0.0.1/32 trust",
    "host all plain 127.0.0.1/32 password",
    "host all old 127.0.0.1/32 md5",
];
const ROLES: &str = "
CREATE ROLE app LOGIN PASSWORD 'correct horse';
CREATE ROLE certified LOGIN;
CREATE ROLE trusted LOGIN;
CREATE ROLE plain LOGIN PASSWORD 'correct horse';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'correct horse';
";

/// A server that knows every method, and a target for each way of asking it.
fn scene() -> Result<Scene> {
    let ground = Ground::new()?;
    ground.encrypt(&RULES)?;
    ground.cluster.sql("postgres", ROLES)?;
    let password = ground.write("password", "correct horse")?;
    let (key, cert) = ground.papers.issue("certified")?;
    let (key, cert) = (ground.write("app.key", &key)?, ground.write("app.pem", &cert)?);
    let root = ground.path("root.pem");
    let port = ground.cluster.address().port();
    let server = format!("\"localhost:{port}\"");
    let verified = format!("tls = {{ mode = \"verify-full\", root_cert = {root:?} }}");
    let shown = format!("tls = {{ root_cert = {root:?}, cert = {cert:?}, key = {{ file = {key:?} }} }}");
    let login =
        |user: &str, more: &str| format!("login = {{ user = \"{user}\", password = {{ file = {password:?} }}{more} }}");
    let bound = ", channel_binding = \"require\"";
    let bare = |user: &str| format!("login = {{ user = \"{user}\" }}");
    let twice = format!("[\"{}\", {server}]", free_address()?);
    let targets: Vec<String> = [
        ("app", &server, login("app", ""), &verified),
        ("bound", &server, login("app", bound), &verified),
        ("certified", &server, bare("certified"), &shown),
        ("uncertified", &server, bare("certified"), &verified),
        ("secretless", &server, bare("app"), &verified),
        ("trusted", &server, login("trusted", ""), &verified),
        ("trusted_on_purpose", &server, login("trusted", ", require_auth = [\"none\"]"), &verified),
        (
            "trusted_bound",
            &server,
            login("trusted", &format!(", require_auth = [\"none\", \"scram-sha-256\"]{bound}")),
            &verified,
        ),
        ("plain", &server, login("plain", ""), &verified),
        ("plain_on_purpose", &server, login("plain", ", require_auth = [\"password\"]"), &verified),
        ("old", &server, login("old", ""), &verified),
        ("old_refused", &server, login("old", ", require_auth = [\"scram-sha-256\"]"), &verified),
        ("old_bound", &server, login("old", bound), &verified),
        ("second", &twice, login("app", ""), &verified),
        ("nowhere", &format!("\"{}\"", free_address()?), login("app", ""), &verified),
    ]
    .into_iter()
    .map(|(name, address, login, tls)| Ground::target(name, address, &format!("{login}\n{tls}")))
    .collect();
    let listener = format!("{LISTENER}\"{}\"\n", ground.address);
    ground.serve(&format!("{listener}{}", targets.concat()))
}

#[test]
fn every_method_that_is_configured_works_and_no_other() -> Result<()> {
    let scene = scene()?;
    let who = "SELECT current_user || ' ' || ssl || ' ' || coalesce(client_dn, '') FROM pg_stat_ssl \
               WHERE pid = pg_backend_pid()";
    for (target, answer) in [
        ("app", "app true "),
        ("bound", "app true "),
        ("certified", "certified true /CN=certified"),
        ("trusted_on_purpose", "trusted true "),
        ("plain_on_purpose", "plain true "),
        ("old", "old true "),
        ("second", "app true "),
    ] {
        assert_eq!(scene.value(target, who), answer, "{target}");
    }
    for (target, why) in [
        ("uncertified", "client certificate"),
        ("secretless", "does the login name a password?"),
        ("trusted", "without asking for its password"),
        ("trusted_bound", "bound to its certificate"),
        ("plain", "a password in clear text, which needs \"password\""),
        ("old_refused", "md5, which require_auth"),
        ("old_bound", "bound to its certificate"),
        ("nowhere", "cannot be reached"),
    ] {
        scene.refuses(target, why);
    }
    let said = scene.gateway.said();
    assert!(!said.contains("correct horse") && !said.contains("panicked"), "{said}");
    Ok(())
}

#[test]
fn a_password_is_read_again_at_each_login() -> Result<()> {
    let scene = scene()?;
    let mut before = scene.login("app").expect("the first password");
    scene.ground.cluster.sql("postgres", "ALTER ROLE app PASSWORD 'battery staple'")?;
    scene.refuses("app", "refused Grille's login");
    scene.ground.write("password", "battery staple\n")?;
    assert_eq!(scene.value("app", "SELECT current_user"), "app");
    assert_eq!(before.value("SELECT current_user")?, "app", "a session under way needs no password");
    std::fs::remove_file(scene.ground.path("password"))?;
    scene.refuses("app", "cannot be read");
    Ok(())
}

#[test]
fn a_new_certificate_of_ours_is_shown_without_a_restart() -> Result<()> {
    let scene = scene()?;
    let ground = &scene.ground;
    let show = |(key, cert): (String, String)| -> Result<()> {
        ground.write("app.key", &key)?;
        ground.write("app.pem", &cert).map(drop)
    };
    let mut before = scene.login("certified").expect("our certificate");
    show(leaf(&ground.papers.stranger, "certified")?)?;
    wait_until("the server is shown a stranger's certificate", || scene.login("certified").is_err());
    show(ground.papers.issue("certified")?)?;
    wait_until("the server is shown ours again", || scene.login("certified").is_ok());
    assert_eq!(before.value("SELECT current_user")?, "certified", "a session under way keeps its connection");
    Ok(())
}
