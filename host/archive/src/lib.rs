//! Where sealed parts of the ledger are kept for good: a folder, or a bucket of any store that speaks S3.
//!
//! An object is written once and never again. In a bucket with Object Lock it carries its retention, and a legal hold where
//! one is in force, from the moment it is there. This room knows no ledger: it is handed names and bytes.
//!
//! **What is absent:** nothing here deletes, and nothing reads the environment.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod lock;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AwsCredential, Checksum};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig};

use lock::{Holds, Locking, OnHold};
pub use lock::{Lock, LockMode};

/// One request, from its first byte to the last of its answer: a segment of 64 MiB at half a MiB a second.
const REQUEST: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(10);

/// How a bucket is reached.
#[derive(Clone)]
pub struct Access {
    /// The store's address; none for AWS itself.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key's id.
    pub key_id: String,
    /// The access key.
    pub secret_key: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("endpoint", &self.endpoint).field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What the archive did not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be used as it is configured.
    #[error("the archive cannot be used")]
    Setup(#[source] object_store::Error),
    /// It could not be reached, or said no.
    #[error("the archive does not take or give {name}")]
    Store {
        /// The object.
        name: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// Another object is there under this name. Somebody else writes to the same place.
    #[error("{name} is in the archive already and holds something else: two ledgers share one name")]
    Conflict {
        /// The object.
        name: String,
    },
}

/// An archive. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    holds: Option<Arc<Holds>>,
}

impl Archive {
    /// A folder, which is made. What is written there is synced before it counts.
    pub fn folder(path: &Path) -> Result<Self, ArchiveError> {
        let setup = |source| ArchiveError::Setup(object_store::Error::Generic { store: "folder", source });
        std::fs::create_dir_all(path).map_err(|error| setup(error.into()))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(ArchiveError::Setup)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: String::new(), holds: None })
    }

    /// A bucket; what is written carries `lock`.
    pub fn bucket(bucket: &str, prefix: &str, access: &Access, lock: Option<Lock>) -> Result<Self, ArchiveError> {
        let credential =
            AwsCredential { key_id: access.key_id.clone(), secret_key: access.secret_key.clone(), token: None };
        let options = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(access.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")));
        let locking = Locking::new(credential, &access.region, lock);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&access.region)
            .with_access_key_id(&access.key_id)
            .with_secret_access_key(&access.secret_key)
            // Object Lock takes nothing without a checksum.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(options.clone())
            .with_http_connector(locking.clone())
            // Whoever calls tries again for as long as it takes.
            .with_retry(RetryConfig { max_retries: 1, retry_timeout: REQUEST, ..RetryConfig::default() });
        if let Some(endpoint) = &access.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = Arc::new(builder.build().map_err(ArchiveError::Setup)?);
        let holds = lock.map(|_| Holds::new(Arc::clone(&store), &locking, &options)).transpose();
        let holds = holds.map_err(ArchiveError::Setup)?.map(Arc::new);
        Ok(Self { store, prefix: prefix.to_owned(), holds })
    }

    /// Writes an object that is not there yet, under a legal hold if `is_held`. One that is there with the same bytes is
    /// as good.
    pub async fn put(&self, name: &str, bytes: Bytes, is_held: bool) -> Result<(), ArchiveError> {
        let mut options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        if is_held {
            options.extensions.insert(OnHold);
        }
        match self.store.put_opts(&self.path(name), bytes.clone().into(), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) if self.get(name).await?.as_ref() == Some(&bytes) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => Err(ArchiveError::Conflict { name: name.to_owned() }),
            Err(source) => Err(failed(name, source)),
        }
    }

    /// Reads an object; none if it is not there.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, ArchiveError> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed(name, source)),
        };
        found.bytes().await.map(Some).map_err(|source| failed(name, source))
    }

    /// The names of all objects below a name.
    pub async fn list(&self, below: &str) -> Result<Vec<String>, ArchiveError> {
        let start = self.path("").as_ref().len();
        let found = self.store.list(Some(&self.path(below))).map_ok(move |object| {
            let name = object.location.as_ref();
            name.get(start..).unwrap_or(name).trim_start_matches('/').to_owned()
        });
        let mut names: Vec<String> = found.try_collect().await.map_err(|source| failed(below, source))?;
        names.sort();
        Ok(names)
    }

    /// Puts an object that is there under a legal hold, or takes it away. A folder knows none, nor does a bucket
    /// without Object Lock.
    pub async fn hold(&self, name: &str, is_held: bool) -> Result<(), ArchiveError> {
        let Some(holds) = &self.holds else { return Ok(()) };
        holds.set(&self.path(name), is_held).await.map_err(|source| failed(name, source))
    }

    fn path(&self, name: &str) -> ObjectPath {
        ObjectPath::from(format!("{}/{name}", self.prefix))
    }
}

fn failed(name: &str, source: object_store::Error) -> ArchiveError {
    ArchiveError::Store { name: name.to_owned(), source }
}
