use serde::{Deserialize, Serialize};

/// Whose doing an error was. It picks log level, metric label, retry and wire status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The caller sent what it must not.
    Caller,
    /// The upstream failed or misbehaved.
    Target,
    /// A policy decided against it.
    Policy,
    /// A plugin trapped, stalled, or answered nonsense.
    Plugin,
    /// Grille itself.
    Gateway,
}
