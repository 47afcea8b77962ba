use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key path, such as `policies.phi.mode`; empty for a text that is no TOML.
    pub key: String,
    /// The line, from 1; 0 where no place can be named.
    pub line: u32,
    /// The column in characters, from 1; 0 where no place can be named.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The problems for people: `grille.toml:12:3 policies.phi.mode: what`, the hint on a line of its own. The text of the
/// file is not repeated: it may hold a secret that should not be there.
#[must_use]
pub fn render(path: &Path, problems: &[Problem]) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a String takes what is written");
    for Problem { key, line: at, column, message, hint } in problems {
        let place = if *at == 0 { String::new() } else { format!(":{at}:{column}") };
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        line(format_args!("{}{place} {key}{message}", path.display()));
        if let Some(hint) = hint {
            line(format_args!("    {hint}"));
        }
    }
    out
}
