use anyhow::{Context as _, bail};
use grille_config::SecretRef;
use secrecy::SecretString;

/// The secret that a reference names, as it is now. Its line break at the end does not count.
///
/// # Errors
/// When the variable is not set or the file cannot be read.
pub(crate) fn resolve(reference: &SecretRef) -> anyhow::Result<SecretString> {
    let mut text = match reference {
        SecretRef::Env(name) => std::env::var(name).with_context(|| format!("read environment variable {name}"))?,
        SecretRef::File(path) => {
            std::fs::read_to_string(path).with_context(|| format!("read secret from {}", path.display()))?
        }
    };
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() {
        bail!("{reference} is empty");
    }
    Ok(text.into())
}
