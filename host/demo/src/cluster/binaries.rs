use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Debian, Ubuntu, and what the postgresql.org packages for other systems use. The highest version wins.
const VERSIONED: [&str; 2] = ["/usr/lib/postgresql", "/usr/pgsql"];
const SERVER: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Where PostgreSQL's server programs and `psql` are.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
    psql: PathBuf,
}

impl Binaries {
    /// Looks on PATH, then in the distributions' versioned directories.
    ///
    /// # Errors
    /// Names the package to install.
    pub fn find() -> Result<Self> {
        let path: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        let Some(dir) = path.iter().cloned().chain(versioned()).find(|dir| has_server(dir)) else {
            bail!(
                "no PostgreSQL server on this machine (looked for initdb on PATH and in /usr/lib/postgresql/*/bin): \
                 `apt-get install postgresql`, or `cargo xtask demo --yes`, which does it without a system cluster"
            );
        };
        let beside = dir.join("psql");
        let psql =
            if beside.is_file() { Some(beside) } else { path.iter().map(|d| d.join("psql")).find(|p| p.is_file()) };
        let Some(psql) = psql else { bail!("no psql on this machine: `apt-get install postgresql-client`") };
        Ok(Self { dir, psql })
    }

    /// The directory of the server programs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The client.
    #[must_use]
    pub fn psql(&self) -> &Path {
        &self.psql
    }

    pub(super) fn server(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }

    pub(super) fn major(&self) -> Result<String> {
        let output =
            Command::new(self.server("postgres")).arg("--version").output().context("run postgres --version")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let major: String = number.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        if major.is_empty() {
            bail!("`postgres --version` answers `{}`", text.trim());
        }
        Ok(major)
    }
}

fn has_server(dir: &Path) -> bool {
    SERVER.iter().all(|program| dir.join(program).is_file())
}

fn versioned() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = VERSIONED
        .iter()
        .filter_map(|root| std::fs::read_dir(root).ok())
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_string_lossy().trim_start_matches('-').parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}
