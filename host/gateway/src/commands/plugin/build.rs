use std::ffi::OsStr;
use std::path::PathBuf;

use grille_author::{Built, build, build_core};

use super::{Wrong, show, size};
use crate::commands::{Format, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's folder, which holds plugin.toml or Cargo.toml
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Wrap this core module instead of building; a plugin.toml beside it, or in DIR, says what it is
    #[arg(long, value_name = "FILE")]
    core: Option<PathBuf>,
    /// The world that the core module targets, unless it says so itself
    #[arg(long, value_name = "W", requires = "core")]
    world: Option<String>,
    /// Where to write the component; by default <name>.wasm in DIR
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(serde::Serialize)]
struct Line {
    path: String,
    size: usize,
    digest: String,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Wrong> {
    let out = args.out.as_deref();
    let built = match &args.core {
        Some(core) => {
            let dir = (args.dir.as_os_str() != ".").then_some(args.dir.as_path());
            vec![build_core(core, args.world.as_deref(), dir, out)?]
        }
        None => build(&args.dir, OsStr::new("cargo"), out)?,
    };
    let line = |built: &Built| Line {
        path: built.path.display().to_string(),
        size: built.size,
        digest: built.artifact.digest.to_string(),
    };
    let lines: Vec<Line> = built.iter().map(line).collect();
    show(args.format, &lines, || {
        let line = |line: &Line| format!("{}  {}  sha256 {}\n", line.path, size(line.size as u64), line.digest);
        lines.iter().map(line).collect()
    })?;
    Ok(Outcome::Done)
}
