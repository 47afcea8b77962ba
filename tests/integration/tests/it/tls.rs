//! TLS on both legs, by programs that insist on it: psql in front, PostgreSQL behind.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};
use grille_demo::cluster::{Cluster, Options};
use grille_demo::issuer::{AUDIENCE, Issuer};
use grille_test_support::{Gateway, free_address};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A gateway whose listener demands TLS, before a server that offers nothing else to the network.
struct Sealed {
    _gateway: Gateway,
    cluster: Cluster,
    address: SocketAddr,
    token: String,
    dir: TempDir,
    /// Answers the gateway's questions as long as it lives.
    _issuer: Issuer,
    _runtime: Runtime,
}

impl Sealed {
    /// `trusted` says whether the gateway knows the authority that signed the server's certificate.
    fn start(trusted: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("grille-tls-").tempdir().context("make a temporary directory")?;
        let authority = authority()?;
        let root = write(dir.path(), "root.pem", &authority.pem())?;
        let stranger = write(dir.path(), "stranger.pem", &self::authority()?.pem())?;
        let cluster = Cluster::start(&dir.path().join("pg"), &Options::default())?;
        encrypt(&cluster, &authority)?;
        cluster.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'correct horse'")?;

        let (key, cert) = leaf(&authority)?;
        let (key, cert) = (write(dir.path(), "key.pem", &key)?, write(dir.path(), "cert.pem", &cert)?);
        let password = write(dir.path(), "password", "correct horse")?;
        let runtime = Runtime::new().context("start a runtime")?;
        let issuer = runtime.block_on(Issuer::start())?;
        let (address, admin) = (free_address()?, free_address()?);
        let text = format!(
            r#"version = 1
identity.test = {{ issuer = "{issuer}", audience = "{AUDIENCE}" }}

[listeners.pg]
protocol = "postgres"
address = "{address}"
tls = {{ cert = {cert:?}, key = {{ file = {key:?} }} }}

[targets.work]
protocol = "postgres"
address = "localhost:{port}"
database = "postgres"
login = {{ user = "app", password = {{ file = {password:?} }} }}
tls = {{ mode = "verify-full", root_cert = {upstream_root:?} }}

[roles.owner]
groups = ["dbas"]
targets = ["work"]
relations = ["*"]

[ledger]
path = {ledger:?}

[admin]
address = "{admin}"
"#,
            issuer = issuer.url(),
            port = cluster.address().port(),
            upstream_root = if trusted { &root } else { &stranger },
            ledger = dir.path().join("ledger"),
        );
        let config = dir.path().join("grille.toml");
        fs::write(&config, text).context("write grille.toml")?;
        let gateway = Gateway::start(&config, &dir.path().join("gateway.log"), &[address])?;
        let token = issuer.token("dba")?;
        Ok(Self { _gateway: gateway, cluster, address, token, dir, _issuer: issuer, _runtime: runtime })
    }

    fn psql(&self, sslmode: &str, text: &str) -> Result<Output> {
        let root = self.dir.path().join("root.pem");
        let dsn = format!(
            "host=localhost hostaddr=127.0.0.1 port={} dbname=work user=owner sslmode={sslmode} sslrootcert={}",
            self.address.port(),
            root.display()
        );
        let mut psql = std::process::Command::new(self.cluster.binaries().psql());
        psql.env("PGPASSWORD", &self.token).args(["-X", "-A", "-t", "-c", text, &dsn]);
        psql.output().context("run psql")
    }
}

#[test]
fn both_legs_are_encrypted_and_verified() -> Result<()> {
    let sealed = Sealed::start(true)?;
    let asked = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let answer = sealed.psql("verify-full", asked)?;
    let (said, failed) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert_eq!(said.trim(), "t|TLSv1.3", "the server's view of the upstream leg; psql said {failed}");
    Ok(())
}

#[test]
fn a_caller_without_tls_is_told_before_it_is_asked_for_a_token() -> Result<()> {
    let sealed = Sealed::start(true)?;
    let answer = sealed.psql("disable", "SELECT 1")?;
    let failed = String::from_utf8_lossy(&answer.stderr);
    assert!(!answer.status.success() && failed.contains("over TLS only"), "{failed}");
    Ok(())
}

#[test]
fn a_target_that_nobody_vouches_for_is_refused() -> Result<()> {
    let sealed = Sealed::start(false)?;
    let answer = sealed.psql("verify-full", "SELECT 1")?;
    let failed = String::from_utf8_lossy(&answer.stderr);
    assert!(!answer.status.success() && failed.contains("cannot be reached"), "{failed}");
    Ok(())
}

type Authority = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = rcgen::CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    Ok(rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?)
}

/// Key and certificate for `localhost`.
fn leaf(authority: &Authority) -> Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    // A name of its own: OpenSSL takes a certificate that is named like its issuer for self-signed.
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let cert = params.signed_by(&key, authority)?;
    Ok((key.serialize_pem(), cert.pem()))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<String> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("write {name}"))?;
    Ok(path.display().to_string())
}

/// Has the server speak TLS. It writes the files itself, because it insists on owning its key.
fn encrypt(cluster: &Cluster, authority: &Authority) -> Result<()> {
    let (key, cert) = leaf(authority)?;
    for (name, pem) in [("server.key", key), ("server.crt", cert)] {
        let lines = format!("(SELECT unnest(string_to_array('{}', E'\\n')))", pem.trim_end());
        cluster.sql("postgres", &format!("COPY {lines} TO PROGRAM 'umask 077 && cat > {name}'"))?;
    }
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on")?;
    cluster.sql("postgres", "SELECT pg_reload_conf()")?;
    Ok(())
}
