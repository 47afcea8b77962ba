//! What `grille check` looks at beyond the text of the file.

use std::sync::Arc;
use std::time::Duration;

use grille_config::{Config, Problem, check_files};
use grille_identity::Verifier;
use grille_plugin::{EngineConfig, PluginHost};

use crate::compose::{Options, issuers};
use crate::lookups::Services;
use crate::secrets::resolve;
use crate::surplus::surplus;
use crate::{lookups, policies};

/// Whether everything that the configuration names is there and fits: files, secrets, components with their settings.
///
/// # Errors
/// When it cannot be told.
pub async fn check(config: &Config) -> anyhow::Result<Found> {
    let problems = check_files(config);
    if !problems.is_empty() {
        return Ok(Found { problems, warnings: Vec::new() });
    }
    let lock = policies::read_lock(&config.lock_path())?;
    let lookups = Arc::new(Services::new(lookups::table(config)?)?);
    // Nothing is left behind by looking.
    let engine = EngineConfig { cache_dir: None, ..policies::engine_config(config, lookups) };
    let plugins = PluginHost::new(engine)?;
    Ok(match policies::try_load(&plugins, config, &lock).await {
        Ok(set) => Found { problems: Vec::new(), warnings: policies::ungranted(&set, config) },
        Err((problems, _)) => Found { problems, warnings: Vec::new() },
    })
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Found {
    /// What keeps the gateway from running like this.
    pub problems: Vec<Problem>,
    /// What it would run with, though hardly as meant.
    pub warnings: Vec<Problem>,
}

/// Whether secrets are there, issuers answer and targets can be reached; and what logins may do at their servers beyond
/// what the policies assume of the sessions under them, with the SQL that takes it away.
///
/// # Errors
/// When it cannot be told.
pub async fn check_online(config: &Config, options: Options) -> anyhow::Result<Found> {
    let mut problems = Vec::new();
    let verifier = Verifier::new(issuers(config, options)?)?;
    for (name, answer) in verifier.probe().await {
        if let Err(error) = answer {
            let message = format!("the issuer cannot be used: {error}");
            problems.push(config.locations.problem(&format!("identity.{name}.issuer"), message, None));
        }
    }
    for target in &config.targets {
        let key = format!("targets.{}", target.name);
        let logins = target.logins.iter().map(|(role, login)| (format!("{key}.logins.{role}.password"), login));
        for (key, login) in std::iter::once((format!("{key}.login.password"), &target.login)).chain(logins) {
            if let Some(Err(error)) = login.password.as_ref().map(resolve) {
                problems.push(config.locations.problem(&key, format!("{error:#}"), None));
            }
        }
        for address in &target.addresses {
            if let Err(error) = grille_net::dial(&address.to_string(), PATIENCE).await {
                let message = format!("{address} cannot be reached: {error}");
                problems.push(config.locations.problem(&format!("targets.{}.address", target.name), message, None));
            }
        }
    }
    let warnings = if problems.is_empty() { surplus(config).await? } else { Vec::new() };
    Ok(Found { problems, warnings })
}

/// Somebody waits for the answer at a prompt.
const PATIENCE: Duration = Duration::from_secs(5);
