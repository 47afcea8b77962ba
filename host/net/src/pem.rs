use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::VerifierBuilderError;

/// Where a private key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// A PEM file, read again on each reload.
    File(PathBuf),
    /// PEM text that somebody else resolved.
    Text(zeroize::Zeroizing<String>),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text([redacted])"),
        }
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error("read certificates from {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        #[source]
        source: PemError,
    },
    /// The file holds none.
    #[error("{} holds no certificate: a PEM block BEGIN CERTIFICATE is expected", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The private key cannot be read.
    #[error("read a private key from {from}")]
    Key {
        /// The file, or what else it came from.
        from: String,
        #[source]
        source: PemError,
    },
    /// rustls refuses the pair.
    #[error("certificate and private key do not work together")]
    Pair(#[source] rustls::Error),
    /// A root certificate is none.
    #[error("{} holds a certificate that cannot be a root", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    /// rustls does not take the roots for callers' certificates.
    #[error("{} cannot vouch for callers' certificates", path.display())]
    ClientRoots {
        /// The file.
        path: PathBuf,
        #[source]
        source: VerifierBuilderError,
    },
    /// rustls cannot offer TLS 1.2 and 1.3 with the crypto provider.
    #[error("set up TLS")]
    Provider(#[source] rustls::Error),
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Certificates { path: path.to_owned(), source };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

pub(crate) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|source| TlsError::Root { path: path.to_owned(), source })?;
    }
    Ok(store)
}

pub(crate) fn private_key(source: &KeySource) -> Result<PrivateKeyDer<'static>, TlsError> {
    match source {
        KeySource::File(path) => PrivateKeyDer::from_pem_file(path)
            .map_err(|source| TlsError::Key { from: path.display().to_string(), source }),
        KeySource::Text(text) => PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|source| TlsError::Key { from: "the text of the named secret".to_owned(), source }),
    }
}
