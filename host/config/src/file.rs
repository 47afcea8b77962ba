//! `grille.toml` one to one, as it is written. What must be there is marked `required` for the schema and optional in
//! the types: a file with one bad key can then still be searched for all the others.
#![allow(missing_docs, reason = "the documentation of a field is its description in the JSON Schema")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration of Grille, version 1.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The version of this file's format: 1.
    #[schemars(required)]
    pub version: Option<u32>,
    /// The issuers whose tokens are accepted, by name.
    #[schemars(required)]
    pub identity: Option<BTreeMap<String, Issuer>>,
    /// The addresses that callers reach, by name.
    #[schemars(required)]
    pub listeners: Option<BTreeMap<String, Listener>>,
    /// The protected upstreams, by name.
    #[schemars(required)]
    pub targets: Option<BTreeMap<String, Target>>,
    /// Who may reach what, by name; nobody may do anything by default.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// The policies, by name.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
    /// The services that policies may ask by name, by that name.
    #[serde(default)]
    pub lookups: BTreeMap<String, Lookup>,
    /// Masking.
    #[serde(default)]
    pub masking: Masking,
    /// The tamper-evident log.
    #[serde(default)]
    pub ledger: Ledger,
    /// Held operations and who decides about them.
    #[serde(default)]
    pub review: Review,
    /// The admin API; without it there is none.
    pub admin: Option<Admin>,
}

/// An issuer of tokens (OpenID Connect).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The issuer's URL exactly as its tokens say it in `iss`; https, or http on loopback.
    #[schemars(required)]
    pub issuer: Option<String>,
    /// The audience that tokens for this gateway carry in `aud`.
    #[schemars(required)]
    pub audience: Option<String>,
    /// The claim that lists the groups; default "groups".
    pub groups_claim: Option<String>,
    /// How far the clocks may differ; default "30s".
    pub leeway: Option<String>,
    /// How long a session may outlive its token, for callers that cannot connect again as often; default "0s".
    pub refresh_window: Option<String>,
}

/// An address that callers reach.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What is spoken there.
    #[schemars(required)]
    pub protocol: Option<Protocol>,
    /// IP address and port, such as "127.0.0.1:6432".
    #[schemars(required)]
    pub address: Option<String>,
    /// Certificate and key; required off loopback.
    pub tls: Option<ServerTls>,
    /// How callers show their token; default "password".
    pub auth: Option<Auth>,
    /// With auth = "oauthbearer": the issuer, by its name under `identity`, that callers without a token are sent to.
    /// Needed where there are several.
    pub issuer: Option<String>,
    /// With auth = "oauthbearer": the scopes that callers ask there for; default "openid".
    pub scope: Option<String>,
    /// The one target of this listener; without it the startup `database` names the target.
    pub target: Option<String>,
    /// How many connections at once; default 10000.
    pub max_connections: Option<u32>,
    /// How many of them before they have said who they are; default 1000.
    pub max_unauthenticated: Option<u32>,
    /// Load balancers before this listener, as addresses or networks such as "10.0.0.0/8". Each begins a connection with
    /// the PROXY protocol, version 2, and is believed where the caller is; nobody else is.
    pub trusted_proxies: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    Postgres,
}

/// What a listener shows of itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The PEM file with the certificate and its chain.
    #[schemars(required)]
    pub cert: Option<String>,
    /// The certificate's private key in PEM.
    #[schemars(required)]
    pub key: Option<Secret>,
    /// A PEM file of roots: callers show a certificate that one of them vouches for, besides their token.
    pub client_ca: Option<String>,
    /// Whether a caller without a certificate is let in; default "required".
    pub client_certs: Option<ClientCerts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCerts {
    /// Whoever shows one must show a good one.
    Optional,
    /// Nobody gets in without.
    Required,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The token is the password.
    Password,
    /// SASL OAUTHBEARER (RFC 7628).
    Oauthbearer,
}

/// A secret by reference: exactly one of `env` and `file`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-grille-secret" = true))]
pub struct Secret {
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The file that holds it; a line break at the end does not count.
    pub file: Option<String>,
}

/// A protected upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What is spoken there.
    #[schemars(required)]
    pub protocol: Option<Protocol>,
    /// Host and port, such as "10.0.0.7:5432"; of a list the first that answers is taken.
    #[schemars(required)]
    pub address: Option<OneOrMore>,
    /// The upstream's own name of the database.
    #[schemars(required)]
    pub database: Option<String>,
    /// How Grille logs in; callers never see it.
    #[schemars(required)]
    pub login: Option<Login>,
    /// Other logins for sessions that hold these roles.
    #[serde(default)]
    pub logins: BTreeMap<String, Login>,
    /// How the upstream is trusted; default "verify-full" against Mozilla's roots.
    pub tls: Option<ClientTls>,
    /// How long changes of definitions that do not pass through Grille may stay unnoticed; default "5s".
    pub catalog_refresh: Option<String>,
    /// How much of what callers saw is kept; default "capped".
    pub record: Option<Record>,
    /// How long the contents of its sessions are kept, counted from their end; default: `ledger.retention`.
    pub retention: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// How Grille logs in upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The upstream's user.
    #[schemars(required)]
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// What the upstream may ask for; default ["scram-sha-256", "md5"] with a password, ["none"] without.
    pub require_auth: Option<Vec<UpstreamAuth>>,
    /// Whether SCRAM must be bound to the upstream's certificate; default "prefer", wherever the upstream offers it.
    pub channel_binding: Option<ChannelBinding>,
}

/// In libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamAuth {
    /// SCRAM-SHA-256, with or without channel binding.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// A salted MD5 hash.
    Md5,
    /// The password in clear text, only inside TLS or on loopback: for short-lived tokens of cloud databases.
    Password,
    /// Nothing: the upstream trusts the connection, or its client certificate.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    /// Wherever the upstream offers it.
    Prefer,
    /// No login without it.
    Require,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClientTls {
    Mode(TlsMode),
    Table(ClientTlsTable),
}

/// How the upstream is trusted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsTable {
    /// How the upstream is trusted; default "verify-full".
    pub mode: Option<TlsMode>,
    /// A PEM file of roots to trust instead of Mozilla's.
    pub root_cert: Option<String>,
    /// A PEM file with the certificate, and its chain, that Grille shows the upstream.
    pub cert: Option<String>,
    /// The certificate's private key in PEM.
    pub key: Option<Secret>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS with whoever answers.
    Require,
    /// TLS with a certificate that a root vouches for and that names the host.
    VerifyFull,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// Requests whole, of each result the first 10,000 rows or 4 MiB.
    Capped,
    /// Everything.
    Full,
    /// No results at all.
    Decisions,
}

/// Who may reach what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Whoever is in one of these groups holds the role.
    #[schemars(required)]
    pub groups: Option<Vec<String>>,
    /// The targets that it opens.
    #[schemars(required)]
    pub targets: Option<Vec<String>>,
    /// The relations that may be used: "schema.name" globs, "!" removes, a lone "*" is no limit; none by default.
    #[serde(default)]
    pub relations: Vec<String>,
    /// What may be done; default ["read"].
    pub operations: Option<Vec<Right>>,
    /// The longest session.
    pub max_session: Option<String>,
    /// How much of results its holders may take, and how long a session may rest. Who holds several roles has the most
    /// generous limit of each kind.
    #[serde(default)]
    pub limits: RoleLimits,
    /// Whether programs that act for somebody may hold it; default true.
    pub agents: Option<bool>,
}

/// What holders of a role may take; nothing is limited by default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleLimits {
    /// A session in which nothing was asked for so long ends.
    pub idle: Option<String>,
    /// Of one operation.
    #[serde(default)]
    pub operation: Volume,
    /// Of one session.
    #[serde(default)]
    pub session: Volume,
    /// Of one subject on one target within 60 minutes, over all its sessions.
    #[serde(default)]
    pub hour: Volume,
}

/// How much of results; what is more is cut.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Rows, or messages of COPY data.
    pub rows: Option<u64>,
    /// Bytes of these as the target sends them, such as "64MiB".
    pub bytes: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Reading rows.
    Read,
    /// Changing rows.
    Write,
    /// Changing definitions.
    Ddl,
    /// Everything.
    #[serde(rename = "*")]
    All,
}

/// A plugin bound to targets.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The component's file, relative to this one.
    #[schemars(required)]
    pub plugin: Option<String>,
    /// The targets whose sessions it binds.
    #[schemars(required)]
    pub targets: Option<Vec<String>>,
    /// The roles that it binds, "!" removes; default ["*"].
    pub roles: Option<Vec<String>>,
    /// Whether it acts or only watches; default "enforce".
    pub mode: Option<Mode>,
    /// What its failure counts as; default "block".
    pub on_failure: Option<OnFailure>,
    /// What it may use up.
    #[serde(default)]
    pub limits: Limits,
    /// Whom one instance of the plugin serves; default "session".
    pub isolation: Option<Isolation>,
    /// What it may ask of the host besides its log and the detectors: "clock", "counters", "kv", "lookup:NAME".
    #[serde(default)]
    pub grants: Vec<String>,
    /// Whether it follows its file until it is promoted; else `sha256` or grille.lock decides.
    pub allow_unsigned: Option<bool>,
    /// The SHA-256 of the only component that will do.
    pub sha256: Option<String>,
    /// The plugin's own settings, and the host's part of them: inference, opaque, writes, notify, functions.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It decides.
    Enforce,
    /// It decides and is recorded; nothing is done about it.
    Monitor,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The operation is refused.
    Block,
    /// The operation passes, and the record says so.
    Allow,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// One session, as long as it lives.
    Session,
    /// One call.
    Request,
    /// Whoever calls next, of any subject.
    Shared,
}

/// What a plugin may use up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Over all its memories; default: what the plugin asks for, else "64MiB".
    pub memory: Option<String>,
    /// Per call; default: what the plugin asks for, else "50ms".
    pub time: Option<String>,
}

/// A service that policies with the grant "lookup:NAME" may ask about a key: 200 is its answer, 404 means that it knows
/// nothing of the key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// Where it is asked; `{key}` stands once in the path or the query. https, or http on loopback.
    #[schemars(required)]
    pub url: Option<String>,
    /// How long it is waited for; default "200ms".
    pub timeout: Option<String>,
    /// A header that tells the service who asks.
    pub header: Option<Header>,
}

/// A header with a secret.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name, such as "Authorization".
    #[schemars(required)]
    pub name: Option<String>,
    /// Its whole value, read at every request.
    #[schemars(required)]
    pub value: Option<Secret>,
}

/// Masking.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Masking {
    /// The key of pseudonyms and of FF1; generated beside the ledger on first start.
    pub key: Option<Secret>,
}

/// The tamper-evident log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Its folder; default "var/ledger".
    pub path: Option<String>,
    /// The key that signs checkpoints; generated beside the ledger on first start.
    pub signing_key: Option<Secret>,
    /// The key that seals contents; generated beside the ledger on first start.
    pub seal_key: Option<Secret>,
    /// When records are made durable; default "interval".
    pub sync: Option<Sync>,
    /// Where closed segments and checkpoints go besides: "s3://bucket/prefix" or "file:///folder"; default: nowhere.
    pub segments: Option<String>,
    /// How that place is reached, and what happens while it cannot.
    pub archive: Option<Archive>,
    /// How long the contents of sessions are kept where their target says nothing else, counted from their end; default
    /// "6y", a year being 366 days. What is archived in a bucket nobody can delete for the longest of all retentions.
    pub retention: Option<String>,
    /// What happens to the contents of a session whose retention is over; default "keep".
    pub at_end: Option<AtEnd>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtEnd {
    /// They stay until somebody destroys them.
    Keep,
    /// Their keys are destroyed, with a record of it, unless a legal hold is in force.
    Shred,
}

/// The archive of closed segments.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The store's address where it is not AWS itself, such as "https://s3.example.org".
    pub endpoint: Option<String>,
    /// The region that requests are signed for; default "us-east-1".
    pub region: Option<String>,
    /// The id of the access key.
    pub key_id: Option<Secret>,
    /// The access key.
    pub secret_key: Option<Secret>,
    /// What Object Lock holds objects with; default "compliance".
    pub lock: Option<ObjectLock>,
    /// How much may wait for the archive on this disk; default "4GiB".
    pub queue: Option<String>,
    /// What happens beyond that; default "refuse".
    pub when_full: Option<WhenFull>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectLock {
    /// Nobody deletes before the time is over.
    Compliance,
    /// Whoever has the right to bypass it may.
    Governance,
    /// The bucket has no Object Lock.
    None,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Nothing new is forwarded until the archive has caught up.
    Refuse,
    /// Records go on; status and metrics say how much is not archived.
    GoOn,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Every 100 ms, and at once for blocked, reviewed and writing operations.
    Interval,
    /// Before every operation.
    Strict,
}

/// Held operations.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The groups whose members decide.
    #[serde(default)]
    pub reviewers: Vec<String>,
    /// How many different people have to approve; default 1.
    pub quorum: Option<u32>,
    /// How long an operation waits; default "120s".
    pub hold: Option<String>,
}

/// The admin API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port, such as "127.0.0.1:6480".
    #[schemars(required)]
    pub address: Option<String>,
    /// Certificate and key; required off loopback.
    pub tls: Option<ServerTls>,
    /// The groups that may end sessions and promote policies, as long as nothing is protected less afterwards.
    #[serde(default)]
    pub operators: Vec<String>,
    /// The groups that may also weaken: from enforce to monitor, for example. Nobody else may through the API.
    #[serde(default)]
    pub owners: Vec<String>,
    /// The groups that may look at sessions and the ledger.
    #[serde(default)]
    pub auditors: Vec<String>,
}
