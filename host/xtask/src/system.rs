//! What the machine must have before cargo can build and the demo can run, and how to get it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{on_path, read, run, say};

/// The guests' target: components come from core modules without WASI.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// Debian's postgresql-common reads it when a server package is installed.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

/// One thing from the system.
pub(crate) struct Need {
    what: &'static str,
    /// Debian's packages for it.
    packages: &'static [&'static str],
    there: fn() -> bool,
}

const COMPILER: Need =
    Need { what: "a C compiler", packages: &["gcc", "libc6-dev"], there: || on_path("cc").is_some() };
const LIBCLANG: Need =
    Need { what: "libclang (bindings to PostgreSQL's parser)", packages: &["libclang-dev"], there: has_libclang };
const PSQL: Need = Need { what: "psql", packages: &["postgresql-client"], there: || on_path("psql").is_some() };
const SERVER: Need = Need { what: "a PostgreSQL server", packages: &["postgresql"], there: || server_dir().is_some() };
const PYTHON: Need = Need { what: "Python with venv", packages: &["python3-venv"], there: has_python };
const NODE: Need = Need { what: "node", packages: &["nodejs"], there: || on_path("node").is_some() };
const NPM: Need = Need { what: "npm", packages: &["npm"], there: || on_path("npm").is_some() };
/// A JDK, not a JRE: `java FILE.java` compiles first.
const JDK: Need = Need { what: "a JDK", packages: &["default-jdk-headless"], there: || on_path("javac").is_some() };
const JDBC: Need = Need {
    what: "PostgreSQL's JDBC driver",
    packages: &["libpostgresql-jdbc-java"],
    there: || Path::new(JDBC_DRIVER).is_file(),
};
const PGBENCH: Need =
    Need { what: "pgbench", packages: &["postgresql-contrib"], there: || on_path("pgbench").is_some() };
const SQLSMITH: Need = Need { what: "sqlsmith", packages: &["sqlsmith"], there: || on_path("sqlsmith").is_some() };

const HAPROXY: Need = Need { what: "a load balancer", packages: &["haproxy"], there: || sbin("haproxy").is_file() };

/// Pages are read in it; playwright brings no browser of its own here.
const CHROMIUM: Need = Need { what: "a browser", packages: &["chromium"], there: || on_path("chromium").is_some() };

/// Where Debian puts what only administrators start, also where PATH does not name it.
fn sbin(program: &str) -> PathBuf {
    on_path(program).unwrap_or_else(|| Path::new("/usr/sbin").join(program))
}

/// Where Debian puts pgjdbc.
pub(crate) const JDBC_DRIVER: &str = "/usr/share/java/postgresql.jar";

/// What `cargo xtask demo` needs.
pub(crate) const DEMO: [&Need; 4] = [&COMPILER, &LIBCLANG, &PSQL, &SERVER];
/// What `cargo xtask test --quick` needs.
pub(crate) const QUICK: [&Need; 4] = DEMO;
/// What `cargo xtask test` needs.
pub(crate) const TEST: [&Need; 13] =
    [&COMPILER, &LIBCLANG, &PSQL, &SERVER, &PYTHON, &NODE, &NPM, &JDK, &JDBC, &PGBENCH, &SQLSMITH, &HAPROXY, &CHROMIUM];

/// Checks everything; installs what is missing if allowed, else names the one command that does.
pub(crate) fn prepare(needs: &[&Need], yes: bool) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !(need.there)()).collect();
    if !missing.is_empty() {
        install(&missing, yes)?;
    }
    wasm_target()
}

fn install(missing: &[&Need], yes: bool) -> Result<()> {
    let what = missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let root = fs::metadata("/proc/self").context("look at /proc/self")?.uid() == 0;
    let wants_server = packages.contains(&"postgresql");
    // Written before the package comes: no cluster of the system's own is created or started.
    let no_cluster =
        format!("mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >> {CREATE_CLUSTER}");
    let apt = format!(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
         -o Dpkg::Options::=--force-confold {}",
        packages.join(" ")
    );
    let script = if wants_server { format!("{no_cluster} && {apt}") } else { apt };

    ensure!(
        on_path("apt-get").is_some(),
        "missing: {what}. This system has no apt-get: install what its packages call {}",
        packages.join(", ")
    );
    if !root && !yes {
        bail!("missing: {what}. Install it with\n\n    sudo sh -c \"{script}\"\n\nor let `--yes` do so");
    }
    say(&format!("missing: {what}; installing {}", packages.join(" ")));
    let mut command = if root { Command::new("sh") } else { Command::new("sudo") };
    if !root {
        command.arg("sh");
    }
    run(command.arg("-c").arg(&script))?;
    for need in missing {
        ensure!((need.there)(), "{} is still missing after installing {}", need.what, need.packages.join(" "));
    }
    Ok(())
}

fn wasm_target() -> Result<()> {
    let sysroot = read(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    ensure!(
        on_path("rustup").is_some(),
        "this Rust has no {WASM_TARGET} and there is no rustup: install rustup, or your distribution's wasm standard library"
    );
    say(&format!("adding {WASM_TARGET}"));
    run(Command::new("rustup").args(["target", "add", WASM_TARGET]))
}

/// Where bindgen's loader looks: LIBCLANG_PATH, LLVM's own directories, the system's libraries.
fn has_libclang() -> bool {
    let named = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let llvm =
        children("/usr/lib").into_iter().filter(|dir| file_name(dir).starts_with("llvm")).map(|dir| dir.join("lib"));
    let system =
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    named.into_iter().chain(llvm).chain(system.iter().map(PathBuf::from)).any(|dir| {
        children(&dir).iter().any(|file| {
            let name = file_name(file);
            name.starts_with("libclang.so")
                || name.starts_with("libclang-") && name.contains(".so") && !name.contains("cpp")
        })
    })
}

/// The server's programs: on PATH or in Debian's versioned directories.
fn server_dir() -> Option<PathBuf> {
    if let Some(initdb) = on_path("initdb") {
        return initdb.parent().map(Path::to_owned);
    }
    children("/usr/lib/postgresql").into_iter().map(|dir| dir.join("bin")).find(|bin| bin.join("initdb").is_file())
}

fn has_python() -> bool {
    read(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok()
}

fn children(dir: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
