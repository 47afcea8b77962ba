//! When to look again: an event in a watched folder, or else every two seconds.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// The files that a configuration is made of, and what tells that one of them may have changed.
pub(crate) struct Watch {
    events: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
    seen: Vec<Stamp>,
}

/// What changes whenever a file is written or exchanged. None for a file that is not there.
pub(crate) type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

impl Watch {
    /// Without the operating system's events it still notices everything, two seconds later.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_read = event.is_ok_and(|event| event.kind.is_access());
            if !is_read && sender.try_send(()).is_err() {
                tracing::trace!("a look is due already");
            }
        });
        let watcher =
            watcher.map_err(|error| tracing::warn!("no file events, changes are noticed within 2 s: {error}")).ok();
        let mut watch = Self { events, watcher, folders: BTreeSet::new(), files: Vec::new(), seen: Vec::new() };
        watch.follow(files);
        watch
    }

    /// Watches these files from now on. Folders are watched, for files are exchanged by renaming.
    pub(crate) fn follow(&mut self, files: Vec<PathBuf>) {
        let folders: BTreeSet<PathBuf> = files.iter().map(|file| folder(file)).collect();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.folders.difference(&folders) {
                drop(watcher.unwatch(gone));
            }
            for new in folders.difference(&self.folders) {
                if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                    tracing::debug!(folder = %new.display(), "no file events: {error}");
                }
            }
        }
        self.folders = folders;
        self.seen = files.iter().map(|file| stamp(file)).collect();
        self.files = files;
    }

    /// Watches these instead, without overlooking what changed since the last look. Answers whether some are new.
    pub(crate) fn refollow(&mut self, files: Vec<PathBuf>) -> bool {
        let known: Vec<(PathBuf, Stamp)> = self.files.drain(..).zip(self.seen.drain(..)).collect();
        self.follow(files);
        let mut has_new = false;
        for (file, seen) in self.files.iter().zip(&mut self.seen) {
            match known.iter().find(|(path, _)| path == file) {
                Some((_, before)) => *seen = *before,
                None => has_new = true,
            }
        }
        has_new
    }

    /// Waits until a file is other than when it was last looked at.
    pub(crate) async fn changed(&mut self) {
        loop {
            match timeout(LOOK, self.events.recv()).await {
                Ok(Some(())) => self.settle().await,
                // Nobody sends any: without a pause this would look all the time.
                Ok(None) => sleep(LOOK).await,
                Err(_) => {}
            }
            let now: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// Files are written in pieces: waits until it is quiet, though not for ever.
    async fn settle(&mut self) {
        let last = Instant::now() + SETTLE_MAX;
        while Instant::now() < last && matches!(timeout(QUIET, self.events.recv()).await, Ok(Some(()))) {}
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Follows links, so that exchanging what a link leads to is seen.
pub(crate) fn stamp(file: &Path) -> Stamp {
    let data = fs::metadata(file).ok()?;
    Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()))
}

const LOOK: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(100);
/// A folder in which somebody writes all the time must not keep a change from being noticed.
const SETTLE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    async fn notices(watch: &mut Watch) -> bool {
        timeout(Duration::from_secs(10), watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn writing_renaming_removing_and_links_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("grille.toml");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(vec![file.clone()]);
        fs::write(&file, "2").unwrap();
        assert!(notices(&mut watch).await);
        fs::write(dir.path().join("new"), "3").unwrap();
        fs::rename(dir.path().join("new"), &file).unwrap();
        assert!(notices(&mut watch).await);
        fs::remove_file(&file).unwrap();
        assert!(notices(&mut watch).await);

        for version in ["one", "two"] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("grille.toml"), version).unwrap();
        }
        let link = |to: &str| {
            std::os::unix::fs::symlink(dir.path().join(to), dir.path().join("tmp")).unwrap();
            fs::rename(dir.path().join("tmp"), dir.path().join("data")).unwrap();
        };
        link("one");
        watch.follow(vec![dir.path().join("data/grille.toml")]);
        link("two");
        assert!(notices(&mut watch).await);
    }

    #[tokio::test]
    async fn without_events_every_change_is_noticed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("phi.wasm");
        fs::write(&file, "1").unwrap();
        let (sender, silent) = mpsc::channel(1);
        let (_, closed) = mpsc::channel(1);
        for events in [silent, closed] {
            let (folders, files) = (BTreeSet::new(), Vec::new());
            let mut watch = Watch { events, watcher: None, folders, files, seen: Vec::new() };
            watch.follow(vec![file.clone()]);
            assert!(timeout(Duration::from_millis(200), watch.changed()).await.is_err(), "it waits, it does not spin");
            fs::write(dir.path().join("new"), "2").unwrap();
            fs::rename(dir.path().join("new"), &file).unwrap();
            assert!(notices(&mut watch).await);
        }
        drop(sender);
    }

    #[tokio::test]
    async fn other_files_are_none_of_its_business() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("grille.toml");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(vec![file]);
        fs::write(dir.path().join("stray.wasm"), "x").unwrap();
        assert!(timeout(Duration::from_millis(500), watch.changed()).await.is_err());
    }
}
