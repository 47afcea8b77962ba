//! Both sides of TLS against each other on loopback, with certificates made here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use grille_net::{
    ClientCertificate, ClientCerts, ClientTls, ClientTlsMode, KeySource, ServerTls, ServerTlsConfig, describe,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.issue("127.0.0.1");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new root and a new certificate for `host` under it.
    fn issue(&self, host: &str) {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &root).unwrap();
        std::fs::write(self.path("root.pem"), root.pem()).unwrap();
        std::fs::write(self.path("cert.pem"), leaf.pem()).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }

    fn server(&self) -> ServerTls {
        self.server_that_asks(None)
    }

    fn server_that_asks(&self, client_certs: Option<ClientCerts>) -> ServerTls {
        let config = ServerTlsConfig {
            cert: self.path("cert.pem"),
            key: KeySource::File(self.path("key.pem")),
            alpn: vec![b"postgresql".to_vec()],
            client_certs,
        };
        ServerTls::new(config).unwrap()
    }

    fn client(&self, mode: ClientTlsMode) -> ClientTls {
        ClientTls::new(mode, Some(&self.path("root.pem")), None, &[b"postgresql"]).unwrap()
    }

    /// A client that shows what these files hold, and trusts whoever answers.
    fn client_with_certificate(&self) -> ClientTls {
        let certificate = ClientCertificate { cert: self.path("cert.pem"), key: KeySource::File(self.path("key.pem")) };
        ClientTls::new(ClientTlsMode::Require, None, Some(&certificate), &[]).unwrap()
    }
}

async fn talk(server: &ServerTls, client: &ClientTls, host: &str) -> std::io::Result<String> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let serve = async {
        let mut stream = server.accept(far).await?;
        let seen = describe(stream.get_ref().1);
        stream.write_all(seen.as_bytes()).await?;
        stream.shutdown().await
    };
    let call = async {
        let mut stream = client.connect(near, host).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok(said)
    };
    let (served, said) = tokio::join!(serve, call);
    said.and_then(|said| served.map(|()| said))
}

#[tokio::test]
async fn verify_full_trusts_its_root_and_the_right_name_only() {
    let files = Files::new();
    let (server, client) = (files.server(), files.client(ClientTlsMode::VerifyFull));
    let said = talk(&server, &client, "127.0.0.1").await.unwrap();
    assert!(said.starts_with("TLSv1_3 TLS13_"), "{said}");
    assert!(talk(&server, &client, "db.example.org").await.is_err());
    let mozilla = ClientTls::new(ClientTlsMode::VerifyFull, None, None, &[]).unwrap();
    assert!(talk(&server, &mozilla, "127.0.0.1").await.is_err());
}

#[tokio::test]
async fn require_takes_any_certificate_and_disable_takes_none() {
    let files = Files::new();
    let server = files.server();
    assert!(talk(&server, &files.client(ClientTlsMode::Require), "db.example.org").await.is_ok());
    assert!(talk(&server, &files.client(ClientTlsMode::Disable), "127.0.0.1").await.is_err());
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_and_a_failed_one_keeps_the_old() {
    let files = Files::new();
    let server = files.server();
    let old = files.client(ClientTlsMode::VerifyFull);
    files.issue("127.0.0.1");
    assert!(talk(&server, &old, "127.0.0.1").await.is_ok(), "nothing changes by itself");
    server.reload().unwrap();
    assert!(talk(&server, &old, "127.0.0.1").await.is_err());
    let new = files.client(ClientTlsMode::VerifyFull);
    assert!(talk(&server, &new, "127.0.0.1").await.is_ok());
    std::fs::write(files.path("key.pem"), "no key").unwrap();
    let error = server.reload().unwrap_err();
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert!(talk(&server, &new, "127.0.0.1").await.is_ok());
}

#[tokio::test]
async fn callers_show_a_certificate_where_they_are_asked_for_one() {
    let (ours, strangers) = (Files::new(), Files::new());
    let asks = |is_required| ours.server_that_asks(Some(ClientCerts { ca: ours.path("root.pem"), is_required }));
    for (is_required, without_one) in [(true, false), (false, true)] {
        let server = asks(is_required);
        let outcomes = [
            talk(&server, &ours.client_with_certificate(), "127.0.0.1").await.is_ok(),
            talk(&server, &ours.client(ClientTlsMode::Require), "127.0.0.1").await.is_ok(),
            talk(&server, &strangers.client_with_certificate(), "127.0.0.1").await.is_ok(),
        ];
        assert_eq!(outcomes, [true, without_one, false], "our own, none, a stranger's; required: {is_required}");
    }
}

#[tokio::test]
async fn tls_1_1_is_refused_by_an_alert() {
    let server = Files::new().server();
    let (mut near, far) = tokio::io::duplex(64 << 10);
    // A ClientHello of TLS 1.1 with two suites of its time.
    let suites_and_signatures = [0, 0, 4, 0xc0, 0x14, 0, 0x35, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let body = [&[3, 2][..], &[7; 32], &suites_and_signatures].concat();
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let hello = [&[22, 3, 1][..], &length(body.len() + 4), &[1, 0], &length(body.len()), &body].concat();
    near.write_all(&hello).await.unwrap();
    assert!(server.accept(far).await.is_err());
    let mut said = Vec::new();
    near.read_to_end(&mut said).await.unwrap();
    assert!(said.starts_with(&[21]) && said.ends_with(&[2, 70]), "a fatal alert, protocol_version: {said:?}");
}
