use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pem::{KeySource, TlsError, certificates, private_key, roots};

/// How an upstream is trusted, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// No TLS.
    Disable,
    /// TLS with whoever answers: stops listeners, not impostors.
    Require,
    /// TLS with a certificate that a root vouches for and that names the host.
    VerifyFull,
}

/// What an upstream reads of us, where it asks for a certificate.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The PEM file with the certificate and its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: KeySource,
}

/// TLS towards an upstream: 1.2 and 1.3.
#[derive(Debug, Clone)]
pub struct ClientTls {
    mode: ClientTlsMode,
    config: Option<Arc<ClientConfig>>,
}

impl ClientTls {
    /// `root_cert` is a PEM file of roots; without it Mozilla's are trusted, as compiled in.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should.
    pub fn new(
        mode: ClientTlsMode,
        root_cert: Option<&Path>,
        certificate: Option<&ClientCertificate>,
        alpn: &[&[u8]],
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Provider)?;
        let builder = match mode {
            ClientTlsMode::Disable => return Ok(Self { mode, config: None }),
            ClientTlsMode::Require => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            }
            ClientTlsMode::VerifyFull => builder.with_root_certificates(match root_cert {
                Some(path) => roots(path)?,
                None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            }),
        };
        let mut config = match certificate {
            Some(ClientCertificate { cert, key }) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(TlsError::Pair)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { mode, config: Some(Arc::new(config)) })
    }

    /// How the upstream is trusted.
    #[must_use]
    pub const fn mode(&self) -> ClientTlsMode {
        self.mode
    }

    /// Does the handshake with `host` (a name or an IP address). The caller of this sets the time limit.
    ///
    /// # Errors
    /// When the handshake fails, the certificate is not trusted, or the mode is `disable`.
    pub async fn connect<S>(&self, stream: S, host: &str) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(config) = &self.config else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is disabled for this target"));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(config.clone()).connect(name, stream).await
    }
}

/// `require`: whoever holds the key of the shown certificate will do. The handshake's signature is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
