//! Database, issuer and gateway of one demo, started in this order and stopped in the other.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Handle;

use crate::card::{Card, DatabaseCard, IssuerCard, Listeners, Pids};
use crate::clinic::{self, APP, DATABASE, DBA, Passwords, Size};
use crate::cluster::{Cluster, Options, SUPERUSER, write_secret};
use crate::config::Parts;
use crate::gateway::{Gateway, end_leftover};
use crate::issuer::{ACCOUNTS, AUDIENCE, Issuer};
use crate::layout::Layout;
use crate::port;

/// The ports that a running demo takes if they are free, so that pasted commands stay the same from day to day.
const PORTS: [u16; 2] = [6432, 6480];

/// What a world is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) grille: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) components: PathBuf,
    pub(crate) size: Size,
    /// A ledger that begins now.
    pub(crate) fresh_ledger: bool,
}

/// A running demo. The fields are dropped in this order: gateway, issuer, database.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) issuer: Issuer,
    pub(crate) cluster: Cluster,
    pub(crate) layout: Layout,
    pub(crate) grille: PathBuf,
    pub(crate) components: PathBuf,
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) passwords: Passwords,
    /// The policies whose components were there.
    pub(crate) has_phi: bool,
    pub(crate) has_guard: bool,
}

impl World {
    pub(crate) fn start(plan: &Plan, runtime: &Handle, mut progress: impl FnMut(&str)) -> Result<Self> {
        fs::create_dir_all(&plan.dir).with_context(|| format!("make {}", plan.dir.display()))?;
        let dir = plan.dir.canonicalize().with_context(|| format!("find {}", plan.dir.display()))?;
        let layout = Layout { dir };

        progress("database");
        let cluster = Cluster::start(&layout.cluster(), &Options::default())?;
        // The cluster's lock is ours now: whoever wrote this card is gone.
        if let Ok(card) = Card::read(&layout.dir) {
            end_leftover(card.pids.gateway, &layout.config());
        }
        if cluster.is_fresh() {
            progress("clinic (20,000 made-up patients)");
        }
        let passwords = Passwords { app: crate::random_hex::<24>()?, dba: crate::random_hex::<24>()? };
        clinic::install(&cluster, plan.size, &passwords)?;

        progress("issuer");
        let issuer = runtime.block_on(Issuer::start())?;

        progress("gateway");
        make_private(&layout.dir.join("secrets"))?;
        write_secret(&layout.secret(APP), &passwords.app)?;
        write_secret(&layout.secret(DBA), &passwords.dba)?;
        if plan.fresh_ledger && layout.ledger().exists() {
            fs::remove_dir_all(layout.ledger()).context("remove the ledger of the last check")?;
        }
        let has_phi = place(&plan.components, &layout, "phi")?;
        let has_guard = place(&plan.components, &layout, "sql-guard")?;
        let turn = turn();
        let [listener, admin] = addresses(PORTS)?;
        let parts = Parts {
            layout: &layout,
            issuer: issuer.url(),
            listener,
            admin,
            database: cluster.address(),
            has_phi,
            has_guard,
        };
        fs::write(layout.config(), parts.text()).with_context(|| format!("write {}", layout.config().display()))?;
        let gateway = Gateway::start(&plan.grille, &layout.config(), &layout.log(), &[listener, admin])?;
        drop(turn);

        let world = Self {
            gateway,
            issuer,
            cluster,
            layout,
            grille: plan.grille.clone(),
            components: plan.components.clone(),
            listener,
            admin,
            passwords,
            has_phi,
            has_guard,
        };
        world.card().write(&world.layout.dir)?;
        Ok(world)
    }

    fn card(&self) -> Card {
        Card {
            listeners: Listeners { pg: self.listener },
            admin: format!("http://{}", self.admin),
            config: self.layout.config(),
            ledger: self.layout.ledger(),
            log: self.layout.log(),
            issuer: IssuerCard {
                url: self.issuer.url().to_owned(),
                audience: AUDIENCE.to_owned(),
                token_endpoint: format!("{}/demo/token", self.issuer.url()),
                secret: self.issuer.secret().to_owned(),
                accounts: ACCOUNTS.iter().map(|account| account.name.to_owned()).collect(),
            },
            database: DatabaseCard {
                address: self.cluster.address(),
                name: DATABASE.to_owned(),
                superuser: SUPERUSER.to_owned(),
                password_file: self.cluster.dir().join("superuser.password"),
            },
            pids: Pids { demo: std::process::id(), gateway: self.gateway.pid(), postgres: self.cluster.pid() },
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nothing answers at these addresses any more.
        drop(fs::remove_file(self.layout.card()));
    }
}

/// Copies a component to where the demo's configuration names it; without one the policy is left out.
fn place(components: &Path, layout: &Layout, name: &str) -> Result<bool> {
    let from = components.join(format!("{name}.wasm"));
    let to = layout.plugin(name);
    fs::create_dir_all(layout.dir.join("plugins")).context("make the folder of plugins")?;
    if !from.is_file() {
        if to.exists() {
            fs::remove_file(&to).with_context(|| format!("remove {}", to.display()))?;
        }
        return Ok(false);
    }
    fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    place_cases(&from, &to)?;
    Ok(true)
}

/// A component's test cases go where it goes; one that has none leaves none of another behind.
pub(crate) fn place_cases(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.with_extension("cases.json"), to.with_extension("cases.json"));
    if from.is_file() {
        fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    } else if to.exists() {
        fs::remove_file(&to).with_context(|| format!("remove {}", to.display()))?;
    }
    Ok(())
}

fn make_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if !dir.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).with_context(|| format!("close {}", dir.display()))
}

/// Two demos that start at once would find the same ports free: one chooses when the other has taken its own. Where there
/// is no place for the lock, nothing is lost but that.
fn turn() -> Option<File> {
    let path = std::env::temp_dir().join("grille-demo.lock");
    let file = File::open(&path).or_else(|_| File::create(&path)).ok()?;
    file.lock().ok().map(|()| file)
}

/// Free ports, these if nobody has them. All are held until all are known, so that none is found twice.
fn addresses<const N: usize>(wished: [u16; N]) -> Result<[SocketAddr; N]> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let held = wished.map(|port| bind(port).or_else(|_| port::held()));
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(held.iter()) {
        let listener = listener.as_ref().map_err(|error| anyhow!("find a free loopback port: {error}"))?;
        *address = listener.local_addr().context("read the port")?;
    }
    Ok(addresses)
}
