use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::BoxFuture;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

/// The way to issuers: short, small, and never redirected.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

/// Why a request to an issuer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client cannot be built.
    #[error("set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// TLS cannot be offered with the crypto provider.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// An address that is not to be trusted.
    #[error("{0} is neither https nor on loopback")]
    Insecure(String),
    /// The network.
    #[error("request failed")]
    Request(#[from] reqwest::Error),
    /// More than an issuer has to say.
    #[error("the answer of {0} is longer than {BODY_MAX} bytes")]
    TooLong(String),
}

impl Http {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, HttpError> {
        build_client(builder).map(Self)
    }

    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let url = request.url().clone();
        let on_loopback = url.host_str().is_some_and(is_loopback);
        if url.scheme() != "https" && !(url.scheme() == "http" && on_loopback) {
            return Err(HttpError::Insecure(url.to_string()));
        }
        let mut answer = self.0.execute(request).await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > BODY_MAX {
                return Err(HttpError::TooLong(url.to_string()));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = HttpResponse::new(body);
        *response.status_mut() = answer.status();
        response.headers_mut().extend(std::mem::take(answer.headers_mut()));
        Ok(response)
    }
}

/// A client that trusts the system's roots, or Mozilla's where the system has none: a bare container must still start.
///
/// # Errors
/// When TLS cannot be set up.
pub fn build_client(builder: impl Fn() -> reqwest::ClientBuilder) -> Result<reqwest::Client, HttpError> {
    builder().build().or_else(|error| {
        tracing::warn!("Mozilla's roots are trusted instead of the system's: {}", causes(&error));
        builder().tls_backend_preconfigured(mozilla()?).build().map_err(HttpError::Setup)
    })
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("grille/", env!("CARGO_PKG_VERSION")))
}

fn mozilla() -> Result<rustls::ClientConfig, HttpError> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(HttpError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// reqwest says that something failed, its sources say what.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The adapter that openidconnect asks for.
impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.fetch(request))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Somebody waits at a login prompt; the whole exchange, body included.
const PATIENCE: Duration = Duration::from_secs(5);
/// A large provider's key set has a few dozen KiB.
const BODY_MAX: usize = 1 << 20;
