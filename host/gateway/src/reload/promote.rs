//! Somebody chooses which component a policy runs, and how: grille.lock and what is in force change together.
//!
//! The order: choose → load everything → who may that → write grille.lock → record → exchange. What fails before the
//! file is written has changed nothing; what fails after it puts the file back.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use grille_admin::view::{Changed, Promotion};
use grille_admin::{PolicyWish, RefusedChange};
use grille_config::{Choice, Config, Locked, Pin, Policy};
use grille_ledger::By;
use grille_policy::{Digest, Subject};

use super::Cause;
use crate::compose::read_config;
use crate::policies::{self, shorten};
use crate::state::State;

impl State {
    /// Does it, or says why not.
    pub(crate) async fn change_policy(
        &self,
        name: &str,
        wish: &PolicyWish,
        by: &Subject,
        may_weaken: bool,
    ) -> Result<Changed, RefusedChange> {
        let _one = self.reloading.lock().await;
        let written = self.config_with(name)?;
        let policy = written.policies.iter().find(|policy| &*policy.name == name);
        let policy = policy.ok_or_else(|| RefusedChange::NotFound(no_policy(name, &written)))?;
        let path = written.lock_path();
        let lock = policies::read_lock(&path).map_err(refused)?;
        let locked = self.choose(policy, lock.policies.get(name), wish, &written)?;
        let mut next_lock = lock.clone();
        next_lock.policies.insert(name.to_owned(), locked);

        let next = match self.prepare(Arc::clone(&written), next_lock.clone()).await {
            Ok(next) => next,
            Err(error) => {
                let why = format!("{error:#}");
                self.record_refusal(By::Subject(Box::new(std::borrow::Cow::Borrowed(by))), &why);
                return Err(RefusedChange::No(one_line(&why)));
            }
        };
        if !next.weakening.is_empty() && !may_weaken {
            return Err(RefusedChange::Weakens(next.weakening));
        }
        let (mode, weakening) = (mode_of(&next.config, name), next.weakening.clone());
        let before = fs::read(&path).ok();
        if next_lock != lock {
            write(&path, next_lock.render().as_bytes()).map_err(|error| RefusedChange::Failed(format!("{error:#}")))?;
        }
        let lines = match self.put_in_force(next, Cause::Person(by)) {
            Ok(lines) => lines,
            Err(error) => {
                put_back(&path, before.as_deref());
                return Err(RefusedChange::Failed(format!("nothing changed: {error:#}")));
            }
        };
        let is_changed = lines.is_some();
        if let Some(lines) = lines {
            tracing::info!("{} {} by {}: {}", policy.name, wish.verb(), by.name, lines.join("; "));
            self.tell(
                true,
                std::iter::once(format!("{name} {} by {}", wish.verb(), by.name)).chain(lines).collect(),
                false,
            );
        }
        Ok(Changed {
            policy: Arc::clone(&policy.name),
            epoch: grille_policy::Evaluator::epoch(&*self.plugins),
            digest: locked.sha256,
            mode,
            is_changed,
            is_pinned: next_lock != lock,
            weakening: weakening.into_iter().map(Into::into).collect(),
        })
    }

    /// The configuration in force, whatever became of the file meanwhile; the file where it names a policy that is new.
    fn config_with(&self, name: &str) -> Result<Arc<Config>, RefusedChange> {
        let written = Arc::clone(&self.in_force.load().written);
        if written.policies.iter().any(|policy| &*policy.name == name) {
            return Ok(written);
        }
        match read_config(&self.started_with.path) {
            Ok(config) if config.policies.iter().any(|policy| &*policy.name == name) => Ok(Arc::new(config)),
            _ => Err(RefusedChange::NotFound(no_policy(name, &written))),
        }
    }

    fn choose(
        &self,
        policy: &Policy,
        locked: Option<&Locked>,
        wish: &PolicyWish,
        config: &Config,
    ) -> Result<Locked, RefusedChange> {
        let name = &policy.name;
        let in_force = policies::in_force(&self.plugins).get(name).map(|policy| policy.plugin);
        let now = locked.map(Locked::choice).or_else(|| in_force.map(|sha256| Choice { sha256, mode: None }));
        let choice = match wish {
            PolicyWish::Rollback => locked.and_then(|locked| locked.previous).ok_or_else(|| {
                RefusedChange::No(format!(
                    "policy \"{name}\" has nothing to go back to: grille.lock names nothing before"
                ))
            })?,
            PolicyWish::Promote(Promotion { digest: Some(_), mode: Some(_) }) => {
                let why = "a component or a mode, one after the other, so that `rollback` takes back one of them";
                return Err(RefusedChange::Unclear(why.to_owned()));
            }
            PolicyWish::Promote(Promotion { digest: None, mode: Some(mode) }) => {
                let now = now.ok_or_else(|| {
                    RefusedChange::No(format!("policy \"{name}\" is not in force yet; promote its component first"))
                })?;
                Choice { mode: Some(*mode), ..now }
            }
            PolicyWish::Promote(Promotion { digest, mode: None }) => {
                let sha256 = match digest {
                    Some(text) => self.find(policy, text, config)?,
                    None => policies::digest_of(&policy.plugin).map_err(refused)?,
                };
                Choice { sha256, mode: now.and_then(|now| now.mode) }
            }
        };
        if let Pin::Digest(pinned) = policy.pin
            && pinned != choice.sha256
        {
            let why = format!(
                "policy \"{name}\" is pinned to {} by `sha256` in grille.toml: take that key out, or change it there",
                shorten(&pinned)
            );
            return Err(RefusedChange::No(why));
        }
        Ok(match (locked, now) {
            // Nothing is chosen anew, so there is nothing else to go back to.
            (Some(locked), _) if locked.choice() == choice => *locked,
            (None, Some(now)) if now == choice => Locked::with(None, choice),
            (_, now) => Locked::with(now, choice),
        })
    }

    /// The component that a digest, or its beginning, names: in the policy's file, or among those that were in force.
    fn find(&self, policy: &Policy, text: &str, config: &Config) -> Result<Digest, RefusedChange> {
        let text = text.to_ascii_lowercase();
        if text.len() < DIGITS_MIN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let why = format!("`{text}` is no SHA-256: 64 hexadecimal digits, or at least its first {DIGITS_MIN}");
            return Err(RefusedChange::Unclear(why));
        }
        let mut found: Vec<Digest> = policies::digest_of(&policy.plugin).ok().into_iter().collect();
        let kept = policies::kept(config, &Digest([0; 32]));
        let names = kept.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
        let of = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".wasm")?.parse::<Digest>().ok();
        found.extend(names.filter_map(|name| of(name.ok()?.file_name())));
        found.retain(|digest| digest.to_string().starts_with(&text));
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(RefusedChange::No(format!(
                "no component {text}: neither {} nor the ledger's plugins hold it; put it into the file first",
                policy.plugin.display()
            ))),
            several => {
                let several: Vec<String> = several.iter().map(shorten).collect();
                Err(RefusedChange::Unclear(format!("`{text}` could be {}: say more digits", several.join(" or "))))
            }
        }
    }
}

fn no_policy(name: &str, config: &Config) -> String {
    let names = config.policies.iter().map(|policy| &*policy.name);
    match grille_config::closest(name, names) {
        Some(meant) => format!("there is no policy `{name}`; did you mean `{meant}`?"),
        None => format!("there is no policy `{name}`; `grille policy list` names them"),
    }
}

fn mode_of(config: &Config, name: &str) -> grille_policy::Mode {
    let policy = config.policies.iter().find(|policy| &*policy.name == name);
    policy.map_or(grille_policy::Mode::Enforce, |policy| policy.mode)
}

fn refused(error: anyhow::Error) -> RefusedChange {
    RefusedChange::No(format!("{error:#}"))
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" | ")
}

/// Another file takes the place of the old one, whole and on the disk: a gateway that starts meanwhile reads one of both.
fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let beside = path.with_extension(format!("lock.{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&beside))).with_context(|| format!("write {}", path.display()))
}

fn put_back(path: &Path, before: Option<&[u8]>) {
    let done = match before {
        Some(text) => write(path, text),
        None => fs::remove_file(path).context("remove it"),
    };
    if let Err(error) = done {
        tracing::error!("{} cannot be put back as it was: {error:#}", path.display());
    }
}

/// Fewer digits of a digest are too easily another's.
const DIGITS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_replaced_whole_and_can_be_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grille.lock");
        write(&path, b"one").unwrap();
        let old = File::open(&path).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::io::read_to_string(old).unwrap(), "one", "who reads the old file reads all of it");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        put_back(&path, Some(b"one"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        put_back(&path, None);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let nowhere = dir.path().join("gone/grille.lock");
        assert!(format!("{:#}", write(&nowhere, b"x").unwrap_err()).contains("write "));
    }
}
