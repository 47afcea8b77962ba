//! What the configured archive holds of the configured log, as files to read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use grille_archive::Archive;
use grille_config::{ArchivePlace, Config};
use grille_gateway::open_archive;
use tempfile::TempDir;

/// One log of an archive.
pub(super) struct Archived {
    pub(super) path: PathBuf,
    /// Where it was fetched to, if it was; gone with this.
    _fetched: Option<TempDir>,
}

impl Archived {
    /// A folder is read where it is, a bucket is fetched first, which needs as much room as the segments take.
    pub(super) fn find(config: &Config, origin: &str, told: &mut dyn FnMut(usize, usize)) -> anyhow::Result<Self> {
        let Some(archive) = &config.ledger.archive else {
            bail!("the configuration names no archive: ledger.segments = \"s3://bucket/prefix\" or \"file:///folder\"")
        };
        if let ArchivePlace::Folder(folder) = &archive.place {
            return Ok(Self { path: folder.join(origin), _fetched: None });
        }
        let dir = tempfile::Builder::new().prefix("grille-archive-").tempdir().context("make a temporary directory")?;
        let archive = open_archive(archive).context("ledger.archive")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        runtime.block_on(fetch(&archive, origin, dir.path(), told))?;
        Ok(Self { path: dir.path().join(origin), _fetched: Some(dir) })
    }
}

async fn fetch(archive: &Archive, origin: &str, to: &Path, told: &mut dyn FnMut(usize, usize)) -> anyhow::Result<()> {
    let names = archive.list(origin).await?;
    for (done, name) in names.iter().enumerate() {
        told(done, names.len());
        // Names come from the store: none may lead out of the directory.
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            bail!("the archive holds an object with the name {name:?}, which no ledger wrote");
        }
        let path = to.join(name);
        let bytes = archive.get(name).await?.with_context(|| format!("{name} is gone from the archive"))?;
        fs::create_dir_all(path.parent().unwrap_or(to)).with_context(|| format!("make a folder for {name}"))?;
        fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
