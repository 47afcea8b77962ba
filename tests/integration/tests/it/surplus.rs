//! What upstream logins may do beyond what policies assume: told before and at the start, with SQL that takes it away.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use grille_ledger::{Entry, Reader, Record, SealKey};
use grille_test_support::{Gateway, free_address, program};

use crate::approvals::ask;
use crate::scene::{Ground, wait_until};

/// What `grille check --online` warns of.
fn warnings(config: &Path) -> Result<String> {
    let mut command = Command::new(program()?);
    let output = command.args(["check", "--online", "--permit-demo-issuer", "-c"]).arg(config).output()?;
    let said = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{said}");
    Ok(said)
}

/// The SQL in the hints.
fn remedies(said: &str) -> String {
    let hints = said.lines().filter(|line| line.starts_with("    ")).flat_map(|line| {
        let begins = ["REVOKE", "ALTER"].iter().filter_map(|word| line.find(word)).min()?;
        line.get(begins..)
    });
    hints.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_login_that_may_do_more_than_its_roles_is_told_and_how_to_take_it_away() -> Result<()> {
    let phi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/phi.wasm");
    assert!(phi.is_file(), "{} is missing: run `cargo xtask components` first", phi.display());
    let ground = Ground::new()?;
    let admin = free_address()?;
    let sql = |text: &str| ground.cluster.sql("postgres", text);
    sql("CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;
    sql("CREATE TABLE people (id int); CREATE TABLE pay (id int); CREATE TABLE \"Of Nobody\" (id int)")?;
    sql("GRANT SELECT, INSERT ON people, pay TO app; GRANT UPDATE (id) ON people TO app")?;
    let password = ground.write("password", "correct horse")?;
    let text = format!(
        r#"version = 1
identity.test = {{ issuer = "{issuer}", audience = "grille-demo" }}
ledger.path = {ledger:?}
admin = {{ address = "{admin}", operators = ["dbas"] }}

[listeners.pg]
protocol = "postgres"
address = "{address}"

[targets.work]
protocol = "postgres"
address = "{server}"
database = "postgres"
login = {{ user = "app", password = {{ file = {password:?} }} }}
tls = "disable"

[roles.reader]
groups = ["dbas"]
targets = ["work"]
relations = ["public.people"]

[policies.phi]
plugin = {phi:?}
targets = ["work"]
allow_unsigned = true
settings = {{ profile = "safe-harbor" }}
"#,
        issuer = ground.issuer.url(),
        ledger = ground.path("ledger"),
        address = ground.address,
        server = ground.cluster.address(),
    );
    let config = ground.write("grille.toml", &text)?;
    let config = Path::new(&config);

    let said = warnings(config)?;
    assert!(said.contains("may use relation public.pay that none of its roles names"), "{said}");
    assert!(said.contains("may change relation public.people, and its roles only read"), "{said}");
    assert!(!said.contains("Of Nobody") && !said.contains("superuser"), "{said}");
    sql(&remedies(&said))?;
    assert!(!warnings(config)?.contains("warning"), "{}", warnings(config)?);

    sql("ALTER TABLE \"Of Nobody\" OWNER TO app; ALTER ROLE app BYPASSRLS; GRANT pg_read_server_files TO app")?;
    let said = warnings(config)?;
    for told in
        ["owns relation public.Of Nobody", "passes row-level security by", "is a member of pg_read_server_files"]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
    sql("CREATE ROLE another_role")?;
    sql(&remedies(&said))?;
    assert!(!warnings(config)?.contains("warning"), "{}", warnings(config)?);

    sql("ALTER ROLE app SUPERUSER")?;
    assert!(warnings(config)?.contains("is a superuser at the server"), "{}", warnings(config)?);
    let gateway = Gateway::start(config, &ground.path("gateway.log"), &[ground.address, admin])?;
    let warning = "targets.work.login: the login is a superuser, and masked sessions run under it";
    wait_until("it warns at its start", || gateway.said().contains(warning));
    let token = ground.issuer.token("dba")?;
    wait_until("the status warns", || ask(admin, &token, "GET", "/v1/status", "").contains(warning));
    wait_until("the ledger holds the warning, once", || {
        let seal = SealKey::from_file(&ground.path("seal.key")).expect("the key");
        let reader = Reader::open(&ground.path("ledger"), Some(seal)).expect("the ledger");
        let entries = reader.records().expect("records").map(|entry| entry.expect("a record"));
        let is_it = |entry: &Entry| match entry.record() {
            Some(Record::Warning(found)) => found.message.contains(warning),
            _ => false,
        };
        entries.filter(is_it).count() == 1
    });
    Ok(())
}
