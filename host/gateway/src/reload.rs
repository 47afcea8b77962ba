//! Another configuration comes into force as a whole, or not at all.
//!
//! The order: read and check the file → targets and roles → load every policy → write the change into the ledger →
//! exchange policies, routes and issuers → end what was asked under the old policies. Whatever fails before the
//! record leaves everything as it was, and one line says why.

mod promote;
mod watch;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use grille_admin::view::Reload;
use grille_config::{Config, Lock, SecretRef};
use grille_identity::Issuer;
use grille_ledger::{By, ConfigChange, Kept, PolicyChange, Record};
use grille_policy::{Epoch, Subject};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::compose::{desk_config, issuers, read_config, unix_ms};
use crate::lookups::{self, Expected};
use crate::policies::{self, Loaded, Refused, digest_of, shorten};
use crate::rooms::status::weak_targets;
use crate::routes::{Known, routes};
use crate::state::{InForce, State};
use crate::weakening::{changed, lost_hooks, restart_parts, weakening};
use watch::Watch;

pub(crate) use watch::{Stamp, stamp};

/// Follows the files of the configuration in force until the gateway ends. `forced` is SIGHUP.
pub(crate) async fn follow(state: Arc<State>, mut forced: mpsc::Receiver<()>) {
    let mut watch = Watch::new(files(&state.config()));
    // What changed between the first reading and the first look would never be noticed.
    complete(&state, &mut watch).await;
    loop {
        tokio::select! {
            () = watch.changed() => complete(&state, &mut watch).await,
            Some(()) = forced.recv() => {
                state.reload(Told::Always).await;
            }
        }
        // Also what a refused configuration names: the file that it misses may appear.
        let mut named = files(&state.config());
        if let Ok(text) = std::fs::read_to_string(&state.started_with.path)
            && let Ok(config) = grille_config::parse(&text, &state.started_with.path)
        {
            named.extend(files(&config));
        }
        named.sort();
        named.dedup();
        if watch.refollow(named) {
            // The same for files that are looked at from now on.
            complete(&state, &mut watch).await;
        }
    }
}

/// A component that is copied slowly is no mistake: as long as more of it comes, nothing is said and nothing changes.
async fn complete(state: &State, watch: &mut Watch) {
    while state.reload(Told::UnlessIncomplete).await == Looked::Incomplete {
        if timeout(MORE_COMES, watch.changed()).await.is_err() {
            state.reload(Told::Once).await;
            return;
        }
    }
}

/// Longer than the pauses of who copies slowly.
const MORE_COMES: Duration = Duration::from_secs(2);

/// How a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Somebody asked, and hears it again.
    Always,
    /// Unless it was told already.
    Once,
    /// The same, and not where a component may still be on its way.
    UnlessIncomplete,
}

/// What a look at the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Done,
    /// More may come.
    Incomplete,
}

/// Who wanted a change.
#[derive(Clone, Copy)]
enum Cause<'a> {
    /// Whoever wrote the files.
    Files,
    Person(&'a Subject),
}

/// All that one reload exchanges, ready to be put in force.
struct Next {
    /// As grille.toml says it.
    written: Arc<Config>,
    /// The same with the modes of grille.lock.
    config: Arc<Config>,
    lock: Lock,
    issuers: Vec<Issuer>,
    routes: grille_postgres::Routes,
    known: Known,
    loaded: Loaded,
    expected: Expected,
    /// What is other in the policy set, in words.
    differences: Vec<String>,
    /// The keys that differ.
    parts: Vec<String>,
    weakening: Vec<String>,
}

/// Everything whose change means a look at all of it. Passwords are read at every login anyway.
fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.path.clone(), config.lock_path()];
    files.extend(config.policies.iter().map(|policy| policy.plugin.clone()));
    files.extend(config.policies.iter().map(|policy| grille_plugin::cases_path(&policy.plugin)));
    files.extend(config.targets.iter().filter_map(|target| target.tls.root_cert.clone()));
    let admin = config.admin.iter().filter_map(|admin| admin.tls.as_ref());
    let listeners = || config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).chain(admin.clone());
    files.extend(listeners().filter_map(|tls| tls.client_certs.as_ref()).map(|asked| asked.ca.clone()));
    let upstream = config.targets.iter().filter_map(|target| target.tls.pair.as_ref());
    for pair in listeners().map(|tls| &tls.pair).chain(upstream) {
        files.push(pair.cert.clone());
        if let SecretRef::File(key) = &pair.key {
            files.push(key.clone());
        }
    }
    files
}

impl State {
    /// The policies that the gateway starts with. Without them it does not start.
    pub(crate) async fn first_policies(&self) -> anyhow::Result<()> {
        let in_force = self.in_force.load_full();
        let config = &in_force.config;
        let loaded = policies::load(&self.plugins, config, &in_force.lock).await?;
        let epoch = self.next_epoch();
        self.keep(&loaded)?;
        let weakening = weakening_at_start(config);
        self.record_policies(By::Start, epoch, &loaded, &weakening)?;
        let names: Vec<&str> = config.policies.iter().map(|policy| &*policy.name).collect();
        let epoch = self.plugins.swap(loaded.set);
        tracing::info!(
            "policy epoch {epoch}: {}",
            if names.is_empty() { "no policies".to_owned() } else { names.join(", ") }
        );
        weakening.iter().chain(&weak_targets(config)).for_each(|line| tracing::warn!("{line}"));
        Ok(())
    }

    /// Reads everything again and puts it into force, or says why not.
    pub(crate) async fn reload(&self, told: Told) -> Looked {
        let _one = self.reloading.lock().await;
        let (is_done, lines, is_incomplete) = match self.try_reload().await {
            Ok(None) if self.was_refused() => {
                let line = "the files agree again with what is in force".to_owned();
                tracing::info!("reloaded: {line}");
                (true, vec![line], false)
            }
            Ok(None) => return Looked::Done,
            Ok(Some(lines)) => {
                tracing::info!("reloaded: {}", lines.join("; "));
                (true, lines, false)
            }
            Err(error) => {
                let is_incomplete = error.downcast_ref::<Refused>().is_some_and(|refused| refused.is_incomplete);
                if is_incomplete && told == Told::UnlessIncomplete {
                    return Looked::Incomplete;
                }
                let lines: Vec<String> = format!("{error:#}").lines().map(|line| line.trim_end().to_owned()).collect();
                if told != Told::Always && self.said_already(&lines, is_incomplete) {
                    return Looked::Done;
                }
                tracing::error!("reload refused, the running configuration stays in force: {}", lines.join(" | "));
                self.record_refusal(by(&self.started_with.path), &lines.join("\n"));
                (false, lines, is_incomplete)
            }
        };
        self.tell(is_done, lines, is_incomplete);
        Looked::Done
    }

    fn tell(&self, is_done: bool, lines: Vec<String>, is_incomplete: bool) {
        let lines = lines.into_iter().map(Into::into).collect();
        *self.last_reload.lock() = Some((Reload { at_ms: unix_ms(), is_done, lines }, is_incomplete));
    }

    /// The same refusal; of a component that is not complete each look finds another byte missing.
    fn said_already(&self, lines: &[String], is_incomplete: bool) -> bool {
        let last = self.last_reload.lock();
        last.as_ref().is_some_and(|(reload, was_incomplete)| {
            let is_same = reload.lines.iter().map(|line| &**line).eq(lines);
            !reload.is_done && (is_same || (is_incomplete && *was_incomplete))
        })
    }

    fn was_refused(&self) -> bool {
        self.last_reload.lock().as_ref().is_some_and(|(reload, _)| !reload.is_done)
    }

    /// What changed, in words; none where nothing did.
    async fn try_reload(&self) -> anyhow::Result<Option<Vec<String>>> {
        for listener in &self.tls {
            if let Some(tls) = &listener.tls {
                tls.reload().with_context(|| format!("listeners.{}.tls", listener.name))?;
            }
        }
        if let Some(tls) = &self.admin_tls {
            tls.reload().context("admin.tls")?;
        }
        let path = &self.started_with.path;
        let config = read_config(path)?;
        let lock = policies::read_lock(&config.lock_path())?;
        let next = self.prepare(Arc::new(config), lock).await?;
        policies::may_be_a_part(&next.loaded, &policies::in_force(&self.plugins), &next.config)?;
        self.put_in_force(next, Cause::Files)
    }

    /// Everything that another configuration makes, without a change to what is in force.
    async fn prepare(&self, written: Arc<Config>, lock: Lock) -> anyhow::Result<Next> {
        let old = self.in_force.load_full();
        let mut config = Config::clone(&written);
        policies::apply(&mut config, &lock);
        let issuers = issuers(&config, self.options)?;
        let (routes, known) = routes(&config, &old.known)?;
        let expected = self.lookups.expect(lookups::table(&config)?);
        let loaded = policies::load(&self.plugins, &config, &lock).await?;
        let mut weakening = weakening(&old.config, &config);
        weakening.extend(lost_hooks(&self.plugins.describe().1, &loaded.described));
        Ok(Next {
            differences: policies::differences(&policies::in_force(&self.plugins), &loaded.in_force),
            parts: changed(&old.config, &config),
            written,
            config: Arc::new(config),
            lock,
            issuers,
            routes,
            known,
            loaded,
            expected,
            weakening,
        })
    }

    /// Exchanges everything, unless it cannot be recorded. Waits for nothing, so that nobody can stop it half way.
    fn put_in_force(&self, next: Next, cause: Cause<'_>) -> anyhow::Result<Option<Vec<String>>> {
        let old = self.in_force.load_full();
        let Next { written, config, lock, issuers, routes, known, loaded, expected: _until_here, .. } = next;
        let Next { differences, parts, weakening, .. } = next;
        self.say_what_waits(&config, &lock);
        let mut lines = differences;
        let in_force = InForce { written, config: Arc::clone(&config), lock, known };
        if lines.is_empty() && parts.is_empty() {
            // Roots of trust are read anew each time; nobody need be told that they may have changed.
            self.lookups.put_in_force();
            self.path.replace_routes(routes);
            self.in_force.store(Arc::new(in_force));
            return Ok(None);
        }
        let swaps = !lines.is_empty() || parts.iter().any(|part| part.starts_with("policies.") || part == "lookups");
        lines.extend(parts.iter().map(|part| format!("{part} changed")));
        lines.extend(weakening.iter().map(|line| format!("weaker: {line}")));
        for part in restart_parts(&self.started_with, &config) {
            lines.push(format!("[{part}] takes effect at the next start"));
        }
        let by = match cause {
            Cause::Files => by(&config.path),
            Cause::Person(subject) => By::Subject(Box::new(Cow::Borrowed(subject))),
        };
        self.record(by, &parts, swaps.then_some(&loaded), &weakening)?;
        if swaps {
            let epoch = self.plugins.swap(loaded.set);
            self.desk.supersede(epoch);
            lines.insert(0, format!("policy epoch {epoch}"));
        }
        self.lookups.put_in_force();
        if old.config.review != config.review {
            self.desk.reconfigure(desk_config(&config));
        }
        self.verifier.replace(issuers);
        self.path.replace_routes(routes);
        self.in_force.store(Arc::new(in_force));
        self.reloaded.notify_one();
        Ok(Some(lines))
    }

    /// The change, before it takes effect.
    fn record(
        &self,
        by: By<'_>,
        parts: &[String],
        swapped: Option<&Loaded>,
        weakening: &[String],
    ) -> anyhow::Result<()> {
        if let (By::File { .. }, false) = (&by, parts.is_empty()) {
            let digest = digest_of(&self.started_with.path)?;
            let changed = parts.iter().map(|part| Cow::Borrowed(part.as_str())).collect();
            let weakening: &[String] = if swapped.is_some() { &[] } else { weakening };
            let weakening = weakening.iter().map(|line| Cow::Borrowed(line.as_str())).collect();
            let record = ConfigChange { by: by.clone(), digest, changed, weakening, refused: None };
            self.ledger.admin(&Record::ConfigChange(record))?;
        }
        if let Some(loaded) = swapped {
            self.keep(loaded)?;
            self.record_policies(by, self.next_epoch(), loaded, weakening)?;
        }
        Ok(())
    }

    fn next_epoch(&self) -> Epoch {
        Epoch(grille_policy::Evaluator::epoch(&*self.plugins).0 + 1)
    }

    /// The components and their settings stay with the ledger, so that decisions can be run again and a policy can go back
    /// to them.
    fn keep(&self, loaded: &Loaded) -> anyhow::Result<()> {
        loaded
            .described
            .iter()
            .try_for_each(|policy| {
                self.ledger.keep(Kept::Plugin, &policy.bytes)?;
                self.ledger.keep(Kept::Settings, policy.settings.as_bytes()).map(drop)
            })
            .context("keep the plugins")
    }

    fn record_policies(&self, by: By<'_>, epoch: Epoch, loaded: &Loaded, weakening: &[String]) -> anyhow::Result<()> {
        let record = Record::PolicyChange(PolicyChange {
            by,
            epoch,
            policies: loaded.in_force.iter().map(|(name, policy)| (Cow::Borrowed(&**name), policy.clone())).collect(),
            weakening: weakening.iter().map(|line| Cow::Borrowed(line.as_str())).collect(),
            refused: None,
        });
        self.ledger.admin(&record).map(drop).context("record the change of policies")
    }

    fn record_refusal(&self, by: By<'_>, why: &str) {
        let in_force = policies::in_force(&self.plugins);
        let record = Record::PolicyChange(PolicyChange {
            by,
            epoch: grille_policy::Evaluator::epoch(&*self.plugins),
            policies: in_force.iter().map(|(name, policy)| (Cow::Borrowed(&**name), policy.clone())).collect(),
            weakening: Vec::new(),
            refused: Some(Cow::Borrowed(why)),
        });
        if let Err(error) = self.ledger.admin(&record) {
            tracing::error!("a refused change cannot be recorded: {error}");
        }
    }

    /// Says once of each pinned policy whose file holds another component that it waits for somebody.
    fn say_what_waits(&self, config: &Config, lock: &Lock) {
        let mut waiting = BTreeMap::new();
        for policy in &config.policies {
            let Some(pin) = policies::pin(policy, lock) else { continue };
            if let Ok(digest) = self.digests.of(&policy.plugin)
                && digest != pin
            {
                waiting.insert(Arc::clone(&policy.name), digest);
            }
        }
        let mut known = self.waiting.lock();
        for (name, digest) in waiting.iter().filter(|(name, digest)| known.get(*name) != Some(*digest)) {
            let digest = shorten(digest);
            tracing::info!("policy \"{name}\": new digest waiting ({digest}); `grille policy promote {name}` takes it");
        }
        *known = waiting;
    }
}

/// At start there is no old configuration: what is weak by itself.
fn weakening_at_start(config: &Config) -> Vec<String> {
    let none = Config { policies: Vec::new(), ..config.clone() };
    weakening(&none, config)
}

/// A file's change is its owner's.
fn by(path: &Path) -> By<'_> {
    By::File { path: path.to_string_lossy(), uid: std::fs::metadata(path).ok().map(|data| data.uid()) }
}
