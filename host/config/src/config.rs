use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Digest, Mode, NameList, Protection};
use ipnet::IpNet;

use crate::Locations;

/// A configuration in which every name is resolved, every unit is read and nothing impossible is left. Equal
/// configurations mean the same, wherever in the text they say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The issuers, by name.
    pub issuers: Vec<Issuer>,
    /// The listeners, by name.
    pub listeners: Vec<Listener>,
    /// The targets, by name.
    pub targets: Vec<Target>,
    /// The roles, by name.
    pub roles: Vec<Role>,
    /// The policies, by name.
    pub policies: Vec<Policy>,
    /// The services that policies may ask, by name.
    pub lookups: Vec<Lookup>,
    /// Masking.
    pub masking: Masking,
    /// The ledger.
    pub ledger: Ledger,
    /// Reviews.
    pub review: Review,
    /// The admin API, if there is one.
    pub admin: Option<Admin>,
    /// Where each key stands in the file.
    pub locations: Locations,
}

/// `[identity.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    pub name: Arc<str>,
    /// Exactly as tokens carry it.
    pub issuer: Arc<str>,
    pub audience: Arc<str>,
    pub groups_claim: Arc<str>,
    pub leeway: Duration,
    pub refresh_window: Duration,
}

/// `[listeners.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// Always there off loopback.
    pub tls: Option<ListenerTls>,
    pub auth: Auth,
    /// The name of the one target, if it is pinned.
    pub target: Option<Arc<str>>,
    pub max_connections: u32,
    pub max_unauthenticated: u32,
    /// Who may say by the PROXY protocol whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
}

/// What a listener or a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Postgres,
}

/// Certificate and key of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    pub pair: CertPair,
    /// None = callers are not asked for a certificate.
    pub client_certs: Option<ClientCerts>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertPair {
    pub cert: PathBuf,
    pub key: SecretRef,
}

/// Which certificates callers show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCerts {
    pub ca: PathBuf,
    pub is_required: bool,
}

/// How callers show their token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    Password,
    Oauthbearer {
        /// The name of the issuer that callers are sent to.
        issuer: Arc<str>,
        scope: Arc<str>,
    },
}

/// Where a secret is; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a line break at its end does not count.
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// `[targets.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: Arc<str>,
    pub protocol: Protocol,
    /// At least one, tried in order.
    pub addresses: Vec<UpstreamAddress>,
    /// The upstream's own name.
    pub database: Arc<str>,
    pub login: Login,
    /// Logins by role.
    pub logins: BTreeMap<Arc<str>, Login>,
    pub tls: TargetTls,
    pub catalog_refresh: Duration,
    pub record: Record,
    /// How long the contents of its sessions are kept; none for the ledger's own.
    pub retention: Option<Duration>,
}

/// Host and port; the host is a name or an IP address without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    pub host: Arc<str>,
    pub port: u16,
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How Grille logs in upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: Arc<str>,
    pub password: Option<SecretRef>,
    pub accepts: Accepts,
    /// SCRAM only, bound to the upstream's certificate.
    pub must_bind: bool,
}

/// What an upstream may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepts {
    pub scram: bool,
    pub md5: bool,
    /// A password in clear text.
    pub clear: bool,
    pub nothing: bool,
}

/// How the upstream is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTls {
    pub mode: TlsMode,
    pub root_cert: Option<PathBuf>,
    /// What Grille shows the upstream.
    pub pair: Option<CertPair>,
}

/// In libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Require,
    VerifyFull,
}

/// How much of what callers saw is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    Capped,
    Full,
    Decisions,
}

/// `[roles.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: Arc<str>,
    pub groups: Vec<Arc<str>>,
    /// Names of targets.
    pub targets: Vec<Arc<str>>,
    pub relations: NameList,
    /// `relations` as written, for those who compile their own.
    pub relation_entries: Vec<Arc<str>>,
    pub rights: Rights,
    pub max_session: Option<Duration>,
    pub limits: RoleLimits,
    pub agents: bool,
}

/// `[roles.NAME.limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoleLimits {
    pub idle: Option<Duration>,
    pub operation: Volume,
    pub session: Volume,
    pub hour: Volume,
}

/// How much of results; none is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Volume {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
}

/// What a role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    pub read: bool,
    pub write: bool,
    pub ddl: bool,
    /// `"*"`: also what is none of the three.
    pub all: bool,
}

/// `[policies.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub name: Arc<str>,
    pub plugin: PathBuf,
    /// Names of targets.
    pub targets: Vec<Arc<str>>,
    /// The roles that it binds.
    pub roles: NameList,
    /// `roles` as written, for people.
    pub role_entries: Vec<Arc<str>>,
    pub mode: Mode,
    /// Whether its failure lets operations pass.
    pub failure_allows: bool,
    pub limits: Limits,
    /// Whom one instance serves.
    pub isolation: Isolation,
    pub grants: Vec<Arc<str>>,
    pub pin: Pin,
    /// All of `settings`, the host's part too.
    pub settings: serde_json::Value,
    /// The host's part of `settings`.
    pub protection: Protection,
}

/// What a plugin may use up; none is the plugin's own wish, else the host's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes over all its memories.
    pub memory: Option<u64>,
    /// Per call.
    pub time: Option<Duration>,
}

/// Whom one instance of a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    #[default]
    Session,
    Request,
    Shared,
}

/// `[lookups.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    pub name: Arc<str>,
    /// With `{key}` once, in its path or its query.
    pub url: Arc<str>,
    pub timeout: Duration,
    /// A header's name, and where its value is.
    pub header: Option<(Arc<str>, SecretRef)>,
}

/// Which component a policy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Whatever is in the file (`allow_unsigned = true`), until grille.lock names one.
    Follow,
    /// This one (`sha256`).
    Digest(Digest),
    /// The one that grille.lock names.
    Lock,
}

/// `[masking]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masking {
    pub key: KeyRef,
}

/// A key of the gateway's own, which is generated if it is a file that is not there on first start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRef {
    pub source: SecretRef,
    /// Whether the file says it, or it is our default beside the ledger.
    pub is_default: bool,
}

/// `[ledger]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub path: PathBuf,
    pub signing_key: KeyRef,
    pub seal_key: KeyRef,
    pub sync: Sync,
    pub archive: Option<Archive>,
    /// How long the contents of sessions are kept where their target says nothing else.
    pub retention: Duration,
    /// Whether they are destroyed then.
    pub shreds_at_end: bool,
}

/// Where closed segments go: `ledger.segments` and `[ledger.archive]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub place: ArchivePlace,
    /// How much may wait for it.
    pub queue: u64,
    /// Whether records go on beyond that.
    pub goes_on: bool,
}

/// A folder, or a bucket of a store that speaks S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchivePlace {
    Folder(PathBuf),
    Bucket(Box<Bucket>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// What names in it begin with, without slashes around it.
    pub prefix: String,
    /// None for AWS itself.
    pub endpoint: Option<String>,
    pub region: String,
    pub key_id: SecretRef,
    pub secret_key: SecretRef,
    /// What nobody may delete, and for how long; none where the bucket has no Object Lock.
    pub lock: Option<ObjectLock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Whether not even the account's owner may shorten it.
    pub is_compliance: bool,
    /// The longest of all: a segment holds sessions of every target.
    pub retention: Duration,
}

/// When records are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Interval,
    Strict,
}

/// `[review]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub reviewers: Vec<Arc<str>>,
    pub quorum: u32,
    pub hold: Duration,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
    /// Always there off loopback.
    pub tls: Option<ListenerTls>,
    pub operators: Vec<Arc<str>>,
    /// Who may weaken.
    pub owners: Vec<Arc<str>>,
    pub auditors: Vec<Arc<str>>,
}

impl Config {
    /// The folder that relative paths start from.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        crate::validate::folder(&self.path)
    }

    /// Where grille.lock stands: beside the file.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.folder().join("grille.lock")
    }

    /// The target of that name (case matters).
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| &*target.name == name)
    }
}
