//! A configuration becomes a gateway: every room is opened here, in the order in which they need each other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use grille_admin::{AdminConfig, Rooms};
use grille_archive::{Access, Archive, Lock, LockMode};
use grille_config::{ArchivePlace, Auth, Config, ListenerTls, Problem, SecretRef};
use grille_identity::{Issuer, Verifier};
use grille_ledger::{AtEnd, Ledger, LedgerConfig, Shipping, Sync};
use grille_mask::detect::Detector;
use grille_net::{ClientCerts, KeySource, Listen, Listener, ServerTls, ServerTlsConfig};
use grille_plugin::{Lookups, PluginHost};
use grille_postgres::PostgresPath;
use grille_review::{Desk, DeskConfig};
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use tokio::sync::Notify;

use crate::digests::Digests;
use crate::issuers::IssuerJournal;
use crate::keys::Keys;
use crate::lookups::Services;
use crate::rooms::admin::{Changes, Identity, LedgerAudit};
use crate::rooms::journal::{LedgerJournal, LedgerSigner};
use crate::rooms::status::Overview;
use crate::routes::{Known, routes};
use crate::secrets::resolve;
use crate::state::{InForce, State};
use crate::views::{Contents, Decisions, Evidence, Live, Sessions};
use crate::{lookups, policies};

/// What only the command line may say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether the demo's own issuer will do, whose tokens anybody on the machine can get.
    pub permit_demo_issuer: bool,
    /// How long sessions may go on once the gateway drains.
    pub drain: Duration,
}

/// A gateway that is wired and bound, and does not accept yet.
pub struct Gateway {
    pub(crate) state: Arc<State>,
    pub(crate) listeners: Vec<(Arc<grille_postgres::Listener>, Listener)>,
    pub(crate) admin: Option<Admin>,
}

/// The admin API, bound and not yet served.
pub(crate) struct Admin {
    pub(crate) socket: Listener,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) router: axum::Router,
}

/// Reads a configuration; everything that is wrong with it, as text for people.
///
/// # Errors
/// When the file cannot be read or has problems.
pub fn read_config(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let said = |problems: Vec<Problem>| {
        let text = grille_config::render(path, &problems);
        anyhow::anyhow!("{} has {} problem(s)\n{}", path.display(), problems.len(), text.trim_end())
    };
    let config = grille_config::parse(&text, path).map_err(said)?;
    let missing = grille_config::check_files(&config);
    if missing.is_empty() { Ok(config) } else { Err(said(missing)) }
}

impl Gateway {
    /// Opens every room. Fails on the first thing that would make the gateway less than what the configuration says.
    ///
    /// # Errors
    /// What could not be opened, and why.
    pub async fn compose(config: Config, options: Options) -> anyhow::Result<Self> {
        let lock = policies::read_lock(&config.lock_path())?;
        let written = Arc::new(config.clone());
        let mut config = config;
        policies::apply(&mut config, &lock);
        let issuers = issuers(&config, options)?;
        let keys = Keys::open(&config)?;
        let ledger = ledger(&config, &keys)?;
        let desk = desk(&config, &keys, &ledger)?;
        let journal = Arc::new(IssuerJournal(ledger.clone()));
        let verifier = Arc::new(Verifier::with_journal(issuers, Some(journal))?);
        let lookups = Arc::new(Services::new(lookups::table(&config)?)?);
        let engine = policies::engine_config(&config, Arc::clone(&lookups) as Arc<dyn Lookups>);
        let plugins = Arc::new(PluginHost::new(engine).context("start the plugin engine")?);
        let mask_key = Arc::new(keys.mask);
        let (first_routes, known) = routes(&config, &Known::new())?;
        let path = PostgresPath::new(grille_postgres::Services {
            evaluator: Arc::clone(&plugins) as Arc<dyn grille_policy::Evaluator>,
            ledger: ledger.clone(),
            is_strict: config.ledger.sync == grille_config::Sync::Strict,
            verifier: Arc::clone(&verifier),
            desk: desk.clone(),
            mask_key,
            detector: Arc::new(Detector::new().context("build the detectors")?),
            routes: ArcSwap::from_pointee(first_routes),
        });
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            listeners.push(open_listener(listener)?);
        }
        let admin_tls = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
        let admin_tls = admin_tls.map(|tls| server_tls(tls, &[b"http/1.1"])).transpose().context("admin.tls")?;
        let addresses = listeners
            .iter()
            .map(|(listener, socket)| Ok((Arc::clone(&listener.name), socket.local_addr()?)))
            .collect::<anyhow::Result<_>>()?;
        let state = Arc::new(State {
            options,
            started_ms: unix_ms(),
            addresses,
            path,
            plugins,
            lookups,
            ledger,
            seal_key: keys.seal,
            signing_key: keys.signing,
            desk,
            verifier,
            started_with: config.clone(),
            in_force: ArcSwap::from_pointee(InForce { written, config: Arc::new(config), lock, known }),
            reloading: tokio::sync::Mutex::new(()),
            reloaded: Notify::new(),
            surplus: Mutex::new(Vec::new()),
            last_reload: Mutex::new(None),
            waiting: Mutex::default(),
            digests: Digests::default(),
            tls: listeners.iter().map(|(listener, _)| Arc::clone(listener)).collect(),
            admin_tls: admin_tls.map(Arc::new),
        });
        state.first_policies().await?;
        let admin = admin(&state)?;
        Ok(Self { state, listeners, admin })
    }

    /// Where callers connect, by the listeners' names.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.state.addresses
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|admin| admin.socket.local_addr().ok())
    }
}

/// The issuers of a configuration; the demo's only where it is meant.
pub(crate) fn issuers(config: &Config, options: Options) -> anyhow::Result<Vec<Issuer>> {
    let mut issuers = Vec::new();
    for issuer in &config.issuers {
        if &*issuer.audience == grille_demo::issuer::AUDIENCE && !options.permit_demo_issuer {
            bail!("identity.{}: this is the demo's issuer, which only `grille demo` may use", issuer.name);
        }
        issuers.push(Issuer {
            name: Arc::clone(&issuer.name),
            issuer: Arc::clone(&issuer.issuer),
            audience: Arc::clone(&issuer.audience),
            groups_claim: Arc::clone(&issuer.groups_claim),
            leeway: issuer.leeway,
            refresh_window: issuer.refresh_window,
            is_demo: options.permit_demo_issuer,
        });
    }
    Ok(issuers)
}

pub(crate) fn ledger(config: &Config, keys: &Keys) -> anyhow::Result<Ledger> {
    let path = config.ledger.path.clone();
    let mut settings = LedgerConfig::new(path, keys.signing.clone(), keys.seal.clone());
    settings.sync = match config.ledger.sync {
        grille_config::Sync::Interval => Sync::default(),
        grille_config::Sync::Strict => Sync::Strict,
    };
    settings.retention = config.ledger.retention;
    settings.at_end = if config.ledger.shreds_at_end { AtEnd::Shred } else { AtEnd::Keep };
    settings.shipping = config.ledger.archive.as_ref().map(shipping).transpose().context("ledger.segments")?;
    let opened = Ledger::open(settings);
    opened.with_context(|| format!("open the ledger {}", config.ledger.path.display()))
}

fn shipping(archive: &grille_config::Archive) -> anyhow::Result<Shipping> {
    Ok(Shipping { archive: open_archive(archive)?, queue_bytes: archive.queue, goes_on: archive.goes_on })
}

/// The configured archive, ready to be asked. Its secrets are read now.
///
/// # Errors
/// When a secret cannot be read, or the archive cannot be used as it is configured.
pub fn open_archive(archive: &grille_config::Archive) -> anyhow::Result<Archive> {
    Ok(match &archive.place {
        ArchivePlace::Folder(path) => Archive::folder(path)?,
        ArchivePlace::Bucket(bucket) => {
            let secret = |key: &str, secret| {
                Ok::<_, anyhow::Error>(resolve(secret).context(key.to_owned())?.expose_secret().trim().to_owned())
            };
            let access = Access {
                endpoint: bucket.endpoint.clone(),
                region: bucket.region.clone(),
                key_id: secret("ledger.archive.key_id", &bucket.key_id)?,
                secret_key: secret("ledger.archive.secret_key", &bucket.secret_key)?,
            };
            let lock = bucket.lock.map(|lock| Lock {
                mode: if lock.is_compliance { LockMode::Compliance } else { LockMode::Governance },
                retention: lock.retention,
            });
            Archive::bucket(&bucket.name, &bucket.prefix, &access, lock)?
        }
    })
}

fn desk(config: &Config, keys: &Keys, ledger: &Ledger) -> anyhow::Result<Desk> {
    let signer = LedgerSigner::new(keys.signing.clone(), ledger);
    Ok(Desk::new(desk_config(config), Arc::new(LedgerJournal(ledger.clone())), Arc::new(signer))?)
}

pub(crate) fn desk_config(config: &Config) -> DeskConfig {
    DeskConfig {
        reviewers: config.review.reviewers.clone(),
        quorum: config.review.quorum,
        hold: config.review.hold,
        ..DeskConfig::default()
    }
}

fn open_listener(listener: &grille_config::Listener) -> anyhow::Result<(Arc<grille_postgres::Listener>, Listener)> {
    let key = format!("listeners.{}", listener.name);
    let tls = listener.tls.as_ref().map(|tls| server_tls(tls, &[grille_postgres::ALPN])).transpose();
    let open = grille_postgres::Listener {
        name: Arc::clone(&listener.name),
        target: listener.target.clone(),
        trusted_proxies: listener.trusted_proxies.clone(),
        tls: tls.with_context(|| format!("{key}.tls"))?,
        auth: match &listener.auth {
            Auth::Password => grille_postgres::Auth::Password,
            Auth::Oauthbearer { issuer, scope } => {
                grille_postgres::Auth::Oauthbearer { issuer: Arc::clone(issuer), scope: Arc::clone(scope) }
            }
        },
    };
    let socket = Listener::bind(Listen {
        name: Arc::clone(&listener.name),
        address: listener.address,
        max_connections: listener.max_connections,
        max_unauthenticated: listener.max_unauthenticated,
    })?;
    Ok((Arc::new(open), socket))
}

fn server_tls(tls: &ListenerTls, alpn: &[&[u8]]) -> anyhow::Result<ServerTls> {
    let key = private_key(&tls.pair.key)?;
    let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let asked = tls.client_certs.as_ref();
    let client_certs = asked.map(|asked| ClientCerts { ca: asked.ca.clone(), is_required: asked.is_required });
    Ok(ServerTls::new(ServerTlsConfig { cert: tls.pair.cert.clone(), key, alpn, client_certs })?)
}

/// A file is read again whenever it changes; a variable keeps its value as long as the process lives.
pub(crate) fn private_key(key: &SecretRef) -> anyhow::Result<KeySource> {
    Ok(match key {
        SecretRef::File(path) => KeySource::File(path.clone()),
        secret @ SecretRef::Env(_) => KeySource::Text(resolve(secret)?.expose_secret().to_owned().into()),
    })
}

fn admin(state: &Arc<State>) -> anyhow::Result<Option<Admin>> {
    let config = state.config();
    let Some(admin) = &config.admin else { return Ok(None) };
    let live = Arc::clone(state.path.live());
    let (seal, signing) = (state.seal_key.clone(), state.signing_key.clone());
    let rooms = Rooms {
        identify: Arc::new(Identity(Arc::clone(&state.verifier))),
        status: Arc::new(Overview(Arc::clone(state))),
        policies: Arc::new(Overview(Arc::clone(state))),
        changes: Arc::new(Changes(Arc::clone(state))),
        decisions: Arc::new(Decisions::new(state.ledger.path().to_owned(), state.seal_key.clone())),
        evidence: Arc::new(Evidence::new(state.ledger.clone(), seal, signing, Arc::clone(&live) as Arc<dyn Live>)),
        sessions: Arc::new(Sessions::new(state.ledger.path().to_owned(), state.seal_key.clone(), live)),
        keeping: Arc::new(Contents::new(state.ledger.clone(), state.seal_key.clone())),
        audit: Arc::new(LedgerAudit(state.ledger.clone())),
        desk: state.desk.clone(),
    };
    let rights = AdminConfig {
        operators: admin.operators.clone(),
        owners: admin.owners.clone(),
        auditors: admin.auditors.clone(),
        reviewers: config.review.reviewers.clone(),
        hosts: Vec::new(),
    };
    let socket = Listener::bind(Listen {
        name: "admin".into(),
        address: admin.address,
        max_connections: ADMIN_CONNECTIONS,
        max_unauthenticated: ADMIN_CONNECTIONS,
    })?;
    Ok(Some(Admin { socket, tls: state.admin_tls.clone(), router: grille_admin::router(rights, rooms) }))
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// People and their scripts; each connection may hold a recording being read.
const ADMIN_CONNECTIONS: u32 = 128;
