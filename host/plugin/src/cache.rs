use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use aws_lc_rs::digest;
use grille_policy::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled components by the digest of their source and the engine that compiled them.
///
/// Reading one back runs it unchecked, so the directory must be ours alone, and each file carries the digest of what
/// was written: a torn or decayed file is compiled anew.
pub(crate) struct Cache {
    directory: PathBuf,
    engine: u64,
}

impl Cache {
    /// Opens the directory and makes it if need be; none, with a warning, where others could write to it.
    pub(crate) fn open(directory: PathBuf, engine: &Engine) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        match private(&directory) {
            Ok(()) => Some(Self { directory, engine: hasher.finish() }),
            Err(error) => {
                let place = directory.display();
                tracing::warn!(%error, %place, "compiled policies are not kept: each start compiles anew");
                None
            }
        }
    }

    pub(crate) fn read(&self, source: &Digest, engine: &Engine) -> Option<Component> {
        let bytes = fs::read(self.path(source)).ok()?;
        let (sum, compiled) = bytes.split_at_checked(digest::SHA256_OUTPUT_LEN)?;
        if digest::digest(&digest::SHA256, compiled).as_ref() != sum {
            tracing::warn!(component = %source, "the compiled policy on disk is damaged and is compiled anew");
            return None;
        }
        // SAFETY: the bytes are exactly what `write` stored (the digest holds) in a directory that only we can write
        // to (`private`), made by this engine's version and settings (its hash is in the name). They are copied out
        // of the file, so that nothing changes them while they run.
        #[allow(unsafe_code, reason = "the only way to use what was compiled before")]
        let component = unsafe { Component::deserialize(engine, compiled) };
        component.ok()
    }

    /// Keeps a compiled component. Failing to is no failure of the load.
    pub(crate) fn write(&self, source: &Digest, component: &Component) {
        let Ok(compiled) = component.serialize() else { return };
        if let Err(error) = self.store(source, &compiled) {
            tracing::warn!(%error, place = %self.directory.display(), "a compiled policy could not be kept");
        }
    }

    fn store(&self, source: &Digest, compiled: &[u8]) -> io::Result<()> {
        let path = self.path(source);
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(digest::digest(&digest::SHA256, compiled).as_ref())?;
        file.write_all(compiled)?;
        drop(file);
        fs::rename(&beside, &path)
    }

    fn path(&self, source: &Digest) -> PathBuf {
        self.directory.join(format!("{source}-{:016x}.cwasm", self.engine))
    }
}

/// Makes the directory with mode 0700, or checks that it is ours and nobody else may write to it.
fn private(directory: &PathBuf) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // What we create belongs to us: compare with that instead of asking the system who we are.
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    let ours = File::create(&probe)?.metadata()?.uid();
    fs::remove_file(&probe)?;
    let meta = fs::metadata(directory)?;
    if meta.uid() != ours || meta.mode() & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may write to the directory: chmod 700 it"));
    }
    Ok(())
}
