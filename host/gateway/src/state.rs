use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use grille_admin::view::Reload;
use grille_config::{Config, Lock};
use grille_identity::Verifier;
use grille_ledger::{Ledger, SealKey, SigningKey};
use grille_net::ServerTls;
use grille_plugin::PluginHost;
use grille_policy::Digest;
use grille_postgres::PostgresPath;
use grille_review::Desk;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::compose::Options;
use crate::digests::Digests;
use crate::lookups::Services;
use crate::routes::Known;

/// What lives as long as the gateway does.
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) started_ms: u64,
    /// Where callers connect really.
    pub(crate) addresses: Vec<(Arc<str>, SocketAddr)>,
    pub(crate) path: Arc<PostgresPath>,
    pub(crate) plugins: Arc<PluginHost>,
    /// What policies may ask by name.
    pub(crate) lookups: Arc<Services>,
    pub(crate) ledger: Ledger,
    /// Opens what the ledger sealed, for those who may look.
    pub(crate) seal_key: SealKey,
    /// Signs what is taken out of the ledger.
    pub(crate) signing_key: SigningKey,
    pub(crate) desk: Desk,
    pub(crate) verifier: Arc<Verifier>,
    /// What listeners, ledger and the like were made from: only a restart changes them.
    pub(crate) started_with: Config,
    pub(crate) in_force: ArcSwap<InForce>,
    /// One reload at a time.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// Says that another configuration is in force.
    pub(crate) reloaded: Notify,
    /// What the logins of masked sessions may do outside the database, as far as it was asked.
    pub(crate) surplus: Mutex<Vec<String>>,
    /// The last one, and whether what it refused may only have been incomplete.
    pub(crate) last_reload: Mutex<Option<(Reload, bool)>>,
    /// The pinned policies whose file holds another component, as far as somebody was told.
    pub(crate) waiting: Mutex<BTreeMap<Arc<str>, Digest>>,
    pub(crate) digests: Digests,
    /// Whose certificates are read again on reload.
    pub(crate) tls: Vec<Arc<grille_postgres::Listener>>,
    pub(crate) admin_tls: Option<Arc<ServerTls>>,
}

/// What one reload exchanges as a whole.
pub(crate) struct InForce {
    /// As grille.toml says it.
    pub(crate) written: Arc<Config>,
    /// The same with the modes of grille.lock.
    pub(crate) config: Arc<Config>,
    pub(crate) lock: Lock,
    pub(crate) known: Known,
}

impl State {
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.in_force.load().config)
    }
}
