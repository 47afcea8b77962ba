//! From an author's folder, or a prebuilt core module, to a component that the host takes.

mod c;
mod early_drop;
mod js;
mod python;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use grille_plugin::Artifact;

use crate::{Error, Language, Manifest, advice, build_rust, embedded, finish, tool, wrap};

/// A component on disk.
#[derive(Debug, Clone)]
pub struct Built {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: usize,
    /// What it is, read back from its bytes.
    pub artifact: Artifact,
}

/// Builds every plugin of a folder: `<name>.wasm` beside its manifest, or at `out` where there is one plugin only.
///
/// # Errors
/// When something is missing, does not build, or makes a component that the host would refuse.
pub fn build(dir: &Path, cargo: &OsStr, out: Option<&Path>) -> Result<Vec<Built>, Error> {
    let manifest = Manifest::read(dir)?;
    let language = match &manifest {
        Some(manifest) => manifest.language,
        None if dir.join("Cargo.toml").is_file() => Language::Rust,
        None if !dir.is_dir() => {
            return Err(Error::Refused(format!(
                "{}: there is no such folder; `grille plugin new` makes one",
                dir.display()
            )));
        }
        None => {
            let dir = dir.display();
            return Err(Error::Refused(format!(
                "{dir}: there is neither a plugin.toml nor a Cargo.toml; `grille plugin new` writes one"
            )));
        }
    };
    if language == Language::Rust {
        let plugins = build_rust(dir, cargo, None)?;
        if out.is_some() && plugins.len() > 1 {
            let count = plugins.len();
            return Err(Error::Refused(format!("{}: it holds {count} plugins; leave --out away", dir.display())));
        }
        return plugins.iter().map(|plugin| put(&plugin.component, &plugin.manifest, &plugin.dir, out)).collect();
    }
    let Some(manifest) = manifest else { return Ok(Vec::new()) };
    let job = Job::new(dir, &manifest)?;
    let component = match language {
        Language::C => wrap::wrap(&c::module(&job)?, Some(job.world))?,
        Language::Js => js::component(&job)?,
        Language::Python | Language::Rust => python::component(&job)?,
    };
    Ok(vec![put(&component, &manifest, dir, out)?])
}

/// Wraps a core module that was built elsewhere; a manifest in its folder, or in the one given, says what it is.
///
/// # Errors
/// When it does not become a component that the host takes.
pub fn build_core(core: &Path, world: Option<&str>, dir: Option<&Path>, out: Option<&Path>) -> Result<Built, Error> {
    let module = fs::read(core).map_err(Error::io("read", core))?;
    let beside = core.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let dir = dir.unwrap_or(beside);
    let manifest = Manifest::read(dir)?;
    let world = world.or_else(|| manifest.as_ref().and_then(|manifest| manifest.world.as_deref()));
    let component = wrap::wrap(&module, world)?;
    let stem = core.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.strip_suffix(".core").unwrap_or(&stem).to_owned();
    let own = core.with_file_name(format!("{name}.wasm"));
    let out = out.map_or(own, Path::to_owned);
    if out == core {
        return Err(Error::Refused(format!(
            "{}: the component would replace its core module; give --out",
            core.display()
        )));
    }
    match &manifest {
        Some(manifest) => put(&component, manifest, dir, Some(&out)),
        None => {
            let hooks = exported(&component, &out)?;
            let metadata = serde_json::json!({ "name": name, "hooks": hooks });
            write(&finish(&component, &metadata)?, &out)
        }
    }
}

/// What the builders of all languages need.
struct Job<'a> {
    dir: &'a Path,
    world: &'a str,
    source: &'a Path,
    /// For what is generated, inside the author's folder so that editors find it.
    scratch: PathBuf,
}

impl<'a> Job<'a> {
    fn new(dir: &'a Path, manifest: &'a Manifest) -> Result<Self, Error> {
        // The manifest was checked for both.
        let (Some(world), Some(source)) = (manifest.world.as_deref(), manifest.source.as_deref()) else {
            return Err(Error::Refused(format!(
                "{}: world and source are missing",
                dir.join(Manifest::FILE).display()
            )));
        };
        wrap::contract(world)?;
        if !dir.join(source).is_file() {
            return Err(Error::Refused(format!(
                "{}: there is no such source; correct plugin.toml",
                dir.join(source).display()
            )));
        }
        let scratch = dir.join(".grille");
        fs::create_dir_all(&scratch).map_err(Error::io("make", &scratch))?;
        // A path that tools find whatever folder they work in.
        let scratch = scratch.canonicalize().map_err(Error::io("find", &scratch))?;
        Ok(Self { dir, world, source, scratch })
    }

    /// The contract as files.
    fn wit(&self) -> Result<PathBuf, Error> {
        let wit = self.scratch.join("wit");
        fs::create_dir_all(&wit).map_err(Error::io("make", &wit))?;
        for (name, text) in embedded::below("wit") {
            let path = wit.join(name);
            fs::write(&path, text).map_err(Error::io("write", &path))?;
        }
        Ok(wit)
    }

    /// Runs a compiler in the author's folder.
    fn run(&self, command: &mut Command, install: &str) -> Result<(), Error> {
        let output = tool::capture(command.current_dir(self.dir), install)?;
        if output.status.success() {
            return Ok(());
        }
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let dir = self.dir.display();
        let message = match advice::of_output(&said) {
            Some(advice) => format!("{dir} did not build: {advice}"),
            None => format!("{dir} did not build; {} says why above", command.get_program().display()),
        };
        Err(Error::Tool { message, output: said })
    }
}

/// Finishes a component with what its manifest says, and checks that the host would take it.
fn put(component: &[u8], manifest: &Manifest, dir: &Path, out: Option<&Path>) -> Result<Built, Error> {
    let own = dir.join(format!("{}.wasm", manifest.name));
    let out = out.map_or(own, Path::to_owned);
    let hooks = exported(component, &out)?;
    let metadata = manifest.metadata(dir, Some(&hooks))?;
    write(&finish(component, &metadata)?, &out)
}

fn exported(component: &[u8], out: &Path) -> Result<Vec<&'static str>, Error> {
    read(component, out).map(|artifact| artifact.hooks)
}

fn read(component: &[u8], out: &Path) -> Result<Artifact, Error> {
    Artifact::read(component)
        .map_err(|refusal| Error::Refused(format!("{}: {}", out.display(), advice::of_component(&refusal.to_string()))))
}

/// Into place in one go, so that a gateway that follows the file never sees half of it.
fn write(component: &[u8], out: &Path) -> Result<Built, Error> {
    let artifact = read(component, out)?;
    let beside = out.with_extension("wasm.new");
    fs::write(&beside, component).map_err(Error::io("write", &beside))?;
    fs::rename(&beside, out).map_err(Error::io("write", out))?;
    Ok(Built { path: out.to_owned(), size: component.len(), artifact })
}
