//! The template is of a plugin that judges statements; in Rust there are beginnings for other hooks too.

use std::path::{Path, PathBuf};

use crate::Error;

/// The hook that a new plugin begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Judges statements.
    Sql,
    /// Protects columns.
    SqlColumns,
    /// Judges the opening of sessions.
    Session,
    /// Judges HTTP requests.
    HttpRequest,
}

impl Hook {
    pub(super) const fn cases(self) -> &'static str {
        match self {
            Self::Sql => include_str!("../../templates/sql.cases.json"),
            Self::SqlColumns => include_str!("../../templates/sql-columns.cases.json"),
            Self::Session => include_str!("../../templates/session.cases.json"),
            Self::HttpRequest => include_str!("../../templates/http-request.cases.json"),
        }
    }

    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Self::Sql => "Lets only one group write.",
            Self::SqlColumns => "Masks columns by their names.",
            Self::Session => "Lets only one group in.",
            Self::HttpRequest => "Lets only one group send anything but GET and HEAD.",
        }
    }

    pub(super) const fn settings(self) -> &'static str {
        match self {
            Self::SqlColumns => "names = [\"ssn\"]",
            _ => "group = \"writers\"",
        }
    }

    pub(super) fn try_out(self, name: &str) -> String {
        match self {
            Self::Sql => format!("grille plugin run {name}.wasm --sql 'DELETE FROM t'"),
            _ => format!("grille plugin run {name}.wasm --case 1"),
        }
    }

    const fn world(self) -> &'static str {
        match self {
            Self::Sql => "statement-policy",
            Self::SqlColumns => "masking-policy",
            Self::Session => "session-policy",
            Self::HttpRequest => "http-policy",
        }
    }
}

/// Exchanges the template's source for that of another hook.
pub(super) fn turn(files: &mut [(PathBuf, String)], hook: Hook, name: &str) -> Result<(), Error> {
    let source = match hook {
        Hook::Sql => return Ok(()),
        Hook::SqlColumns => include_str!("../../templates/sql-columns.rs.txt"),
        Hook::Session => include_str!("../../templates/session.rs.txt"),
        Hook::HttpRequest => include_str!("../../templates/http-request.rs.txt"),
    };
    let schema = match hook {
        Hook::SqlColumns => Some(include_str!("../../templates/sql-columns.schema.json")),
        _ => None,
    };
    let has = |path: &str| files.iter().any(|(known, _)| known == Path::new(path));
    if !(has("src/lib.rs") && has("plugin.toml")) {
        return Err(Error::Refused("the Rust template in this binary is damaged".into()));
    }
    for (path, text) in files.iter_mut() {
        match path.to_str() {
            Some("src/lib.rs") => *text = source.replace("{{name}}", name),
            Some("plugin.toml" | "Cargo.toml") => {
                *text = text.replace("statement-policy", hook.world()).replace(Hook::Sql.purpose(), hook.purpose());
            }
            Some("settings.schema.json") => {
                if let Some(schema) = schema {
                    *text = schema.to_owned();
                }
            }
            _ => {}
        }
    }
    Ok(())
}
