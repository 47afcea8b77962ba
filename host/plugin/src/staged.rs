//! A component that its author tries out: it is read, compiled and linked as for the gateway, and then asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Mode, NameList};
use serde_json::Value;
use wasmtime::component::Linker;

use crate::artifact::Artifact;
use crate::cases::{self, Case, CaseFile, CaseResult, Cost, Measured, Stage};
use crate::engine::Shared;
use crate::guest::Guest;
use crate::instance::Instance;
use crate::isolation::Isolation;
use crate::load::{self, Known, PolicySpec};
use crate::loaded::{Loaded, Parts};
use crate::problem::LoadProblem;
use crate::services::Grants;
use crate::settings;

/// A component on a stage. What it does there reaches nothing.
pub struct Staged {
    shared: Arc<Shared>,
    policy: Loaded,
}

pub(crate) fn stage(shared: &Arc<Shared>, linker: &Linker<Guest>, file: &Path) -> Result<Staged, Vec<LoadProblem>> {
    let stem: Arc<str> = file.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy().into());
    let problem = |(step, message)| LoadProblem { policy: Arc::clone(&stem), step, message };
    let spec = PolicySpec {
        name: Arc::clone(&stem),
        plugin: file.to_owned(),
        pin: None,
        targets: NameList::new(["*"]),
        roles: NameList::new(["*"]),
        mode: Mode::Enforce,
        on_failure_allow: false,
        memory: None,
        time: None,
        isolation: Isolation::Shared,
        grants: Vec::new(),
        settings: Value::Null,
    };
    let parts = || {
        let plugin = load::plugin(shared, linker, &mut Known::default(), &spec)?;
        let limits = load::limits(&spec, &plugin.artifact)?;
        let settings: Arc<str> = settings::canonical(&Value::Null).into();
        Ok::<_, load::Wrong>(Parts {
            settings_digest: crate::artifact::sha256(settings.as_bytes()),
            settings,
            stem: Arc::clone(&stem),
            limits,
            plugin,
            protection: None,
            grants: Arc::default(),
            state: Arc::default(),
            stats: Arc::default(),
            name: spec.name,
            targets: spec.targets,
            roles: spec.roles,
            mode: spec.mode,
            on_failure_allow: false,
            isolation: spec.isolation,
            stage: Some(Arc::new(Stage::new(None, false))),
        })
    };
    let policy = Loaded::new(parts().map_err(|wrong| wrong.into_iter().map(problem).collect::<Vec<_>>())?);
    Ok(Staged { shared: Arc::clone(shared), policy })
}

impl Staged {
    /// What the file says of itself.
    #[must_use]
    pub fn artifact(&self) -> &Artifact {
        &self.policy.plugin.artifact
    }

    /// Asks what a case asks, and compares. Cases without settings run under an empty table.
    pub async fn play(&self, file: &CaseFile, case: &Case) -> CaseResult {
        cases::play(&self.shared, &self.policy, file, case, None).await
    }

    /// Times a case on a warm instance: so many calls, or as many as fit into the time.
    ///
    /// # Errors
    /// One sentence, where the plugin cannot be asked or fails.
    pub async fn measure(
        &self,
        file: &CaseFile,
        case: &Case,
        calls: usize,
        time: Duration,
    ) -> Result<Measured, String> {
        cases::measure(&self.shared, &self.policy, file, case, calls, time).await
    }

    /// What an instance costs under these settings.
    ///
    /// # Errors
    /// One sentence, where it does not start or refuses the settings.
    pub async fn cost(&self, settings: &Value) -> Result<Cost, String> {
        let settings = settings::canonical(settings).into();
        let stage = self.policy.stage.as_ref().map(Arc::clone);
        let policy = cases::staged(&self.policy, settings, Grants::default(), stage);
        let cost = cases::cost(&self.shared, &policy).await;
        cost.map_err(|failure| format!("{} ({})", failure.kind.describe(), failure.message))
    }

    /// Bytes of memory of a fresh instance that was told nothing yet.
    ///
    /// # Errors
    /// One sentence, where it does not start.
    pub async fn fresh_memory(&self) -> Result<u64, String> {
        let started = Instance::start(&self.shared, &self.policy.terms(&self.policy.grants), None).await;
        let say = |failure: grille_policy::Failure| format!("{} ({})", failure.kind.describe(), failure.message);
        Ok(started.map_err(say)?.memory())
    }
}
