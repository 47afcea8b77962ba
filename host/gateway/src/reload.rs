//! Another configuration comes into force as a whole, or not at all.
//!
//! The order: read and check the file → targets and roles → load every policy → write the change into the ledger →
//! exchange policies, routes and issuers → end what was asked under the old policies. Whatever fails before the
//! record leaves everything as it was, and one line says why.

mod watch;

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use grille_admin::view::Reload;
use grille_config::{Config, SecretRef};
use grille_ledger::{By, ConfigChange, PolicyChange, Record};
use grille_policy::{Digest, Epoch};
use tokio::sync::mpsc;

use crate::compose::{desk_config, issuers, read_config, unix_ms};
use crate::policies::{self, Loaded};
use crate::rooms::status::weak_targets;
use crate::routes::routes;
use crate::state::{InForce, State};
use crate::weakening::{changed, restart_parts, weakening};
use watch::Watch;

/// Follows the files of the configuration in force until the gateway ends. `forced` is SIGHUP.
pub(crate) async fn follow(state: Arc<State>, mut forced: mpsc::Receiver<()>) {
    let mut watch = Watch::new(files(&state.config()));
    // What changed between the first reading and the first look would never be noticed.
    state.reload(false).await;
    loop {
        let is_forced = tokio::select! {
            () = watch.changed() => false,
            Some(()) = forced.recv() => true,
        };
        state.reload(is_forced).await;
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
            state.reload(false).await;
        }
    }
}

/// Everything whose change means a look at all of it. Passwords are read at every login anyway.
fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.path.clone(), config.lock_path()];
    files.extend(config.policies.iter().map(|policy| policy.plugin.clone()));
    files.extend(config.targets.iter().filter_map(|target| target.tls.root_cert.clone()));
    let admin = config.admin.iter().filter_map(|admin| admin.tls.as_ref());
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).chain(admin) {
        files.push(tls.cert.clone());
        if let SecretRef::File(key) = &tls.key {
            files.push(key.clone());
        }
    }
    files
}

impl State {
    /// The policies that the gateway starts with. Without them it does not start.
    pub(crate) async fn first_policies(&self) -> anyhow::Result<()> {
        let config = self.config();
        let loaded = policies::load(&self.plugins, &config).await?;
        let epoch = self.next_epoch();
        self.keep(&loaded)?;
        let weakening = weakening_at_start(&config);
        self.record_policies(By::Start, epoch, &loaded, &weakening, None)?;
        let names: Vec<&str> = config.policies.iter().map(|policy| &*policy.name).collect();
        let epoch = self.plugins.swap(loaded.set);
        tracing::info!(
            "policy epoch {epoch}: {}",
            if names.is_empty() { "no policies".to_owned() } else { names.join(", ") }
        );
        weakening.iter().chain(&weak_targets(&config)).for_each(|line| tracing::warn!("{line}"));
        Ok(())
    }

    /// Reads everything again and puts it into force, or says why not: once, unless somebody asks.
    pub(crate) async fn reload(&self, is_forced: bool) {
        let _one = self.reloading.lock().await;
        let (is_done, lines) = match self.try_reload().await {
            Ok(None) if self.was_refused() => {
                let line = "the files agree again with what is in force".to_owned();
                tracing::info!("reloaded: {line}");
                (true, vec![line])
            }
            Ok(None) => return,
            Ok(Some(lines)) => {
                tracing::info!("reloaded: {}", lines.join("; "));
                (true, lines)
            }
            Err(error) => {
                let lines: Vec<String> = format!("{error:#}").lines().map(|line| line.trim_end().to_owned()).collect();
                if !is_forced && self.said_already(&lines) {
                    return;
                }
                tracing::error!("reload refused, the running configuration stays in force: {}", lines.join(" | "));
                self.record_refusal(&lines.join("\n"));
                (false, lines)
            }
        };
        let lines = lines.into_iter().map(Into::into).collect();
        *self.last_reload.lock() = Some(Reload { at_ms: unix_ms(), is_done, lines });
    }

    fn said_already(&self, lines: &[String]) -> bool {
        let last = self.last_reload.lock();
        last.as_ref().is_some_and(|reload| !reload.is_done && reload.lines.iter().map(|line| &**line).eq(lines))
    }

    fn was_refused(&self) -> bool {
        self.last_reload.lock().as_ref().is_some_and(|reload| !reload.is_done)
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
        let old = self.in_force.load_full();
        let config = read_config(&self.started_with.path)?;
        let issuers = issuers(&config, self.options)?;
        let (new_routes, known) = routes(&config, &old.known)?;
        let loaded = policies::load(&self.plugins, &config).await?;

        let mut lines = policies::differences(&policies::in_force(&self.plugins), &loaded.in_force);
        let parts = changed(&old.config, &config);
        if lines.is_empty() && parts.is_empty() {
            // Roots of trust are read anew each time; nobody need be told that they may have changed.
            self.path.replace_routes(new_routes);
            self.in_force.store(Arc::new(InForce { config: Arc::new(config), known }));
            return Ok(None);
        }
        let weakening = weakening(&old.config, &config);
        let swaps = !lines.is_empty() || parts.iter().any(|part| part.starts_with("policies."));
        lines.extend(parts.iter().map(|part| format!("{part} changed")));
        lines.extend(weakening.iter().map(|line| format!("weaker: {line}")));
        for part in restart_parts(&self.started_with, &config) {
            lines.push(format!("[{part}] takes effect at the next start"));
        }

        if !parts.is_empty() {
            let digest = digest_of(&config.path)?;
            let by = by(&config.path);
            let changed = parts.iter().map(|part| Cow::Borrowed(part.as_str())).collect();
            self.ledger.admin(&Record::ConfigChange(ConfigChange { by, digest, changed, refused: None }))?;
        }
        if swaps {
            self.keep(&loaded)?;
            let epoch = self.next_epoch();
            self.record_policies(by(&config.path), epoch, &loaded, &weakening, None)?;
            let epoch = self.plugins.swap(loaded.set);
            self.desk.supersede(epoch);
            lines.insert(0, format!("policy epoch {epoch}"));
        }
        if old.config.review != config.review {
            self.desk.reconfigure(desk_config(&config));
        }
        self.verifier.replace(issuers);
        self.path.replace_routes(new_routes);
        self.in_force.store(Arc::new(InForce { config: Arc::new(config), known }));
        Ok(Some(lines))
    }

    fn next_epoch(&self) -> Epoch {
        Epoch(grille_policy::Evaluator::epoch(&*self.plugins).0 + 1)
    }

    /// The components stay with the ledger, so that decisions can be run again.
    fn keep(&self, loaded: &Loaded) -> anyhow::Result<()> {
        loaded
            .components
            .iter()
            .try_for_each(|bytes| self.ledger.keep_plugin(bytes).map(drop))
            .context("keep the plugins")
    }

    fn record_policies(
        &self,
        by: By<'_>,
        epoch: Epoch,
        loaded: &Loaded,
        weakening: &[String],
        refused: Option<&str>,
    ) -> anyhow::Result<()> {
        let record = Record::PolicyChange(PolicyChange {
            by,
            epoch,
            policies: loaded.in_force.iter().map(|(name, policy)| (Cow::Borrowed(&**name), policy.clone())).collect(),
            weakening: weakening.iter().map(|line| Cow::Borrowed(line.as_str())).collect(),
            refused: refused.map(Cow::Borrowed),
        });
        self.ledger.admin(&record).map(drop).context("record the change of policies")
    }

    fn record_refusal(&self, why: &str) {
        let path = &self.started_with.path;
        let in_force = policies::in_force(&self.plugins);
        let record = Record::PolicyChange(PolicyChange {
            by: by(path),
            epoch: grille_policy::Evaluator::epoch(&*self.plugins),
            policies: in_force.iter().map(|(name, policy)| (Cow::Borrowed(&**name), policy.clone())).collect(),
            weakening: Vec::new(),
            refused: Some(Cow::Borrowed(why)),
        });
        if let Err(error) = self.ledger.admin(&record) {
            tracing::error!("a refused reload cannot be recorded: {error}");
        }
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

fn digest_of(path: &Path) -> anyhow::Result<Digest> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut digest = Digest([0; 32]);
    digest.0.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref());
    Ok(digest)
}
