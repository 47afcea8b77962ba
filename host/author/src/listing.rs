//! What a component is, as facts, claims and grants side by side.

use grille_plugin::{Artifact, Want, WantedLimits};
use serde::Serialize;

/// What `grille plugin inspect` shows. Nothing of the plugin has run for it.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// What people call it; none without metadata.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Under which terms.
    pub licence: Option<String>,
    /// SHA-256 of the file.
    pub digest: String,
    /// Bytes of the file.
    pub size: usize,
    /// The hooks that it exports: a fact.
    pub hooks: Vec<&'static str>,
    /// The interfaces of the contract that it imports: all that it can reach. A fact.
    pub imports: Vec<String>,
    /// What it says that it wants to reach, and why: a claim.
    pub wanted: Vec<Want>,
    /// What the policy's configuration grants; none where no policy was named.
    pub granted: Option<Vec<String>>,
    /// What its language runtime imports of WASI: stand-ins answer, with nothing behind them.
    pub stand_ins: Vec<String>,
    /// Whether it says that its answers may be remembered.
    pub stateless: bool,
    /// The limits that it asks for.
    pub limits: WantedLimits,
    /// The keys of its settings, by its own schema.
    pub settings: Vec<String>,
    /// The oldest host that it works with.
    pub minimum_host: Option<String>,
    /// Bytes of memory of a fresh instance; none where none was made.
    pub memory: Option<u64>,
}

impl Listing {
    /// What was read of a file.
    #[must_use]
    pub fn new(artifact: Artifact, size: usize) -> Self {
        let Artifact { digest, metadata, hooks, imports, stand_ins } = artifact;
        let keys = metadata.settings.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        Self {
            settings: keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default(),
            name: metadata.name,
            version: metadata.version,
            description: metadata.description,
            licence: metadata.license,
            digest: digest.to_string(),
            size,
            hooks,
            imports,
            wanted: metadata.grants,
            granted: None,
            stand_ins,
            stateless: metadata.stateless,
            limits: metadata.limits,
            minimum_host: metadata.minimum_host,
            memory: None,
        }
    }
}
