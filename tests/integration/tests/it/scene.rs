//! A gateway whose configuration a test writes itself, before a server whose login rules it writes as well.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use grille_demo::cluster::{Cluster, Options};
use grille_demo::issuer::{AUDIENCE, Issuer};
use grille_test_support::{Gateway, Raw, free_address};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// A debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a configuration is written about.
pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    /// Where the gateway is to listen.
    pub(crate) address: SocketAddr,
    /// The issuer, whose name is `test`.
    pub(crate) issuer: Issuer,
    pub(crate) papers: Papers,
    dir: TempDir,
    _runtime: Runtime,
}

/// A gateway on its ground.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) ground: Ground,
}

impl Ground {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("grille-scene-").tempdir().context("make a temporary directory")?;
        let papers = Papers::new(dir.path())?;
        let cluster = Cluster::start(&dir.path().join("pg"), &Options::default())?;
        let runtime = Runtime::new().context("start a runtime")?;
        let issuer = runtime.block_on(Issuer::start())?;
        Ok(Self { cluster, address: free_address()?, issuer, papers, dir, _runtime: runtime })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and answers its path, ready to be written into a configuration.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<String> {
        write(self.dir.path(), name, text)
    }

    /// `[targets.NAME]` with the lines given and a role of the same name that lets database administrators in.
    pub(crate) fn target(name: &str, address: &str, more: &str) -> String {
        format!(
            r#"
[targets.{name}]
protocol = "postgres"
address = {address}
database = "postgres"
{more}

[roles.{name}]
groups = ["dbas"]
targets = ["{name}"]
relations = ["*"]
operations = ["*"]
"#
        )
    }

    /// Starts the gateway with these listeners and targets.
    pub(crate) fn serve(self, listeners_and_targets: &str) -> Result<Scene> {
        let text = format!(
            r#"version = 1
identity.test = {{ issuer = "{issuer}", audience = "{AUDIENCE}" }}
ledger.path = {ledger:?}
admin.address = "{admin}"
{listeners_and_targets}"#,
            issuer = self.issuer.url(),
            ledger = self.path("ledger"),
            admin = free_address()?,
        );
        let config = self.write("grille.toml", &text)?;
        let gateway = Gateway::start(Path::new(&config), &self.path("gateway.log"), &[self.address])?;
        Ok(Scene { gateway, ground: self })
    }

    /// Has the server speak TLS, by a certificate of ours for `localhost`, and ask these hosts for these logins. It
    /// writes the files itself, because it insists on owning its key.
    pub(crate) fn encrypt(&self, rules: &[&str]) -> Result<()> {
        let sql = |text: &str| self.cluster.sql("postgres", text);
        let (key, cert) = self.papers.issue("localhost")?;
        for (name, pem) in [("server.key", key), ("server.crt", cert), ("root.crt", self.papers.authority.pem())] {
            let lines = format!("(SELECT unnest(string_to_array('{}', E'\\n')))", pem.trim_end());
            sql(&format!("COPY {lines} TO PROGRAM 'umask 077 && cat > {name}'"))?;
        }
        if !rules.is_empty() {
            let lines: Vec<String> = rules.iter().map(|rule| format!("('{rule}')")).collect();
            let file = sql("SHOW hba_file")?;
            sql(&format!(
                "COPY (VALUES {}, ('host all all 127.0.0.1/32 scram-sha-256')) TO '{file}'",
                lines.join(", ")
            ))?;
        }
        sql("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")?;
        sql("ALTER SYSTEM SET ssl = on")?;
        sql("SELECT pg_reload_conf()").map(drop)
    }
}

impl Scene {
    pub(crate) fn token(&self) -> String {
        self.ground.issuer.token("dba").expect("the issuer signs for its accounts")
    }

    /// A session on a target, or what the gateway said instead.
    pub(crate) fn login(&self, target: &str) -> Result<Raw, String> {
        Raw::login(self.ground.address, target, target, &self.token()).map_err(|error| format!("{error:#}"))
    }

    /// The login must be refused in words that hold these.
    pub(crate) fn refuses(&self, target: &str, why: &str) {
        match self.login(target) {
            Ok(_) => panic!("{target} let us in; the gateway said:\n{}", self.gateway.said()),
            Err(said) => assert!(said.contains(why), "{target}: {said}"),
        }
    }

    /// The first value of an answer on a target.
    pub(crate) fn value(&self, target: &str, sql: &str) -> String {
        let mut session = self.login(target).unwrap_or_else(|said| panic!("{target}: {said}\n{}", self.gateway.said()));
        session.value(sql).expect("an answer")
    }
}

/// Waits for a state that comes by itself.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        sleep(Duration::from_millis(50));
    }
}

type Authority = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

/// Certificates: of one authority that everybody here trusts, and of a stranger.
pub(crate) struct Papers {
    pub(crate) authority: Authority,
    pub(crate) stranger: Authority,
}

impl Papers {
    /// The authorities' own certificates are in `root.pem` and `stranger.pem`.
    fn new(dir: &Path) -> Result<Self> {
        let papers = Self { authority: authority("our authority")?, stranger: authority("a stranger")? };
        write(dir, "root.pem", &papers.authority.pem())?;
        write(dir, "stranger.pem", &papers.stranger.pem())?;
        Ok(papers)
    }

    /// Key and certificate of our authority.
    pub(crate) fn issue(&self, name: &str) -> Result<(String, String)> {
        leaf(&self.authority, name)
    }
}

fn authority(name: &str) -> Result<Authority> {
    let mut params = rcgen::CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    Ok(rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?)
}

/// Key and certificate for a host or a user.
pub(crate) fn leaf(authority: &Authority, name: &str) -> Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()])?;
    // A name of its own: OpenSSL takes a certificate that is named like its issuer for self-signed.
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let cert = params.signed_by(&key, authority)?;
    Ok((key.serialize_pem(), cert.pem()))
}

/// For its owner alone: libpq insists on that for keys.
fn write(dir: &Path, name: &str, text: &str) -> Result<String> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("write {name}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).context("protect it")?;
    ensure!(path.is_absolute(), "a configuration names files from anywhere");
    Ok(path.display().to_string())
}
