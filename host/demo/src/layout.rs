use std::path::{Path, PathBuf};

/// Where everything of one demo lies.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn cluster(&self) -> PathBuf {
        self.dir.join("pg")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("grille.toml")
    }

    pub(crate) fn plugin(&self, name: &str) -> PathBuf {
        self.dir.join("plugins").join(format!("{name}.wasm"))
    }

    pub(crate) fn secret(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(format!("{name}.password"))
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("gateway.log")
    }

    pub(crate) fn card(&self) -> PathBuf {
        card(&self.dir)
    }
}

/// Where a demo in `dir` says how to reach it.
pub(crate) fn card(dir: &Path) -> PathBuf {
    dir.join("demo.json")
}
