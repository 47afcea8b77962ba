use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pem::{KeySource, TlsError, certificates, private_key, roots};

/// What a listener shows of itself.
#[derive(Debug, Clone)]
pub struct ServerTlsConfig {
    /// The PEM file with the certificate and its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: KeySource,
    /// The protocols to agree on, such as `postgresql`; empty = none is asked for.
    pub alpn: Vec<Vec<u8>>,
    /// Whose certificates callers show; none = they are not asked for one.
    pub client_certs: Option<ClientCerts>,
}

/// Certificates of callers. They keep strangers out; who somebody is, they do not say.
#[derive(Debug, Clone)]
pub struct ClientCerts {
    /// The PEM file with the roots that vouch for them.
    pub ca: PathBuf,
    /// Whether a caller without one is turned away. One that no root vouches for is never taken.
    pub is_required: bool,
}

/// TLS towards callers: 1.2 and 1.3. Certificates are exchanged without touching sessions under way.
#[derive(Debug)]
pub struct ServerTls {
    config: ServerTlsConfig,
    current: ArcSwap<ServerConfig>,
}

impl ServerTls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When a file cannot be read or the pair does not fit.
    pub fn new(config: ServerTlsConfig) -> Result<Self, TlsError> {
        let current = ArcSwap::new(load(&config)?);
        Ok(Self { config, current })
    }

    /// Reads the files again; on failure the pair in use stays.
    ///
    /// # Errors
    /// When a file cannot be read or the pair does not fit.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(load(&self.config)?);
        Ok(())
    }

    /// Does the handshake with the pair in use now. The caller of this sets the time limit.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.current.load_full()).accept(stream).await
    }
}

/// The protocol version and cipher suite of a finished handshake, for the record.
#[must_use]
pub fn describe(connection: &CommonState) -> Arc<str> {
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    match connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()) {
        Some(suite) => format!("{version} {suite}").into(),
        None => version.into(),
    }
}

fn load(config: &ServerTlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let builder = match &config.client_certs {
        Some(asked) => builder.with_client_cert_verifier(verifier(asked, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut server =
        builder.with_single_cert(certificates(&config.cert)?, private_key(&config.key)?).map_err(TlsError::Pair)?;
    server.alpn_protocols.clone_from(&config.alpn);
    Ok(Arc::new(server))
}

fn verifier(asked: &ClientCerts, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&asked.ca)?), provider);
    let builder = if asked.is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|source| TlsError::ClientRoots { path: asked.ca.clone(), source })
}
