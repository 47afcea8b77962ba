//! Object Lock. The store's client writes no header of an object's own, so what it sends passes here: the headers are
//! added and the request is signed anew, because a signature covers them all.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, Request};
use object_store::aws::{AmazonS3, AwsAuthorizer, AwsCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{ClientOptions, Error, Result};

const MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const LEGAL_HOLD: HeaderName = HeaderName::from_static("x-amz-object-lock-legal-hold");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// Says that the body comes with its checksum, without which nothing is locked.
const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// What protects an object from being deleted or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Who may shorten it.
    pub mode: LockMode,
    /// For how long, from the moment the object is written.
    pub retention: Duration,
}

/// Who may shorten a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody, not the account's owner either.
    Compliance,
    /// Whoever holds the permission to bypass it.
    Governance,
}

/// Travels with a request whose object is under a legal hold from the beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnHold;

/// Makes clients that lock what they write.
#[derive(Debug, Clone)]
pub(crate) struct Locking {
    credential: Arc<AwsCredential>,
    region: String,
    lock: Option<Lock>,
}

impl Locking {
    pub(crate) fn new(credential: AwsCredential, region: &str, lock: Option<Lock>) -> Self {
        Self { credential: Arc::new(credential), region: region.to_owned(), lock }
    }

    fn add(&self, request: &mut HttpRequest) {
        let Some(lock) = &self.lock else { return };
        let mode = match lock.mode {
            LockMode::Compliance => "COMPLIANCE",
            LockMode::Governance => "GOVERNANCE",
        };
        let until = SystemTime::now() + lock.retention;
        let until = jiff::Timestamp::try_from(until).unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ");
        let until = HeaderValue::from_str(&until.to_string()).expect("a time is plain text");
        let is_held = request.extensions().get::<OnHold>().is_some();
        let headers = request.headers_mut();
        headers.insert(ALGORITHM, HeaderValue::from_static("SHA256"));
        headers.insert(MODE, HeaderValue::from_static(mode));
        headers.insert(UNTIL, until);
        if is_held {
            headers.insert(LEGAL_HOLD, HeaderValue::from_static("ON"));
        }
    }
}

impl HttpConnector for Locking {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(LockingClient { locking: self.clone(), client }))
    }
}

#[derive(Debug)]
struct LockingClient {
    locking: Locking,
    client: HttpClient,
}

#[async_trait::async_trait]
impl HttpService for LockingClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() == Method::PUT {
            // A query names a part of the object, such as its legal hold.
            if request.uri().query().is_none() {
                self.locking.add(&mut request);
            }
            let Locking { credential, region, .. } = &self.locking;
            let digest = request.headers_mut().remove(CONTENT_SHA256).and_then(|hex| from_hex(hex.as_bytes()));
            request.headers_mut().remove(AUTHORIZATION);
            AwsAuthorizer::new(credential, "s3", region)
                .try_authorize(&mut request, digest.as_deref())
                .map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        }
        self.client.execute(request).await
    }
}

/// The legal holds of a bucket's objects.
#[derive(Debug)]
pub(crate) struct Holds {
    store: Arc<AmazonS3>,
    client: HttpClient,
}

impl Holds {
    pub(crate) fn new(store: Arc<AmazonS3>, locking: &Locking, options: &ClientOptions) -> Result<Self> {
        Ok(Self { store, client: locking.connect(options)? })
    }

    pub(crate) async fn set(&self, path: &Path, is_held: bool) -> Result<()> {
        // Only where the object is; the client signs in headers.
        let mut url = self.store.signed_url(Method::PUT, path, Duration::from_secs(60)).await?;
        url.set_query(Some("legal-hold"));
        let status = if is_held { "ON" } else { "OFF" };
        let body = format!(
            "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></LegalHold>"
        );
        let checksum = STANDARD.encode(digest(&SHA256, body.as_bytes()));
        let request = Request::put(url.as_str())
            .header(ALGORITHM, "SHA256")
            .header(CHECKSUM, checksum)
            .body(HttpRequestBody::from(body));
        let answer = self.client.execute(request.map_err(refused)?).await.map_err(refused)?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(refused(format!("its legal hold was not set: {}", answer.status())))
    }
}

fn refused(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "S3", source: source.into() }
}

fn from_hex(hex: &[u8]) -> Option<Vec<u8>> {
    let pairs = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}
