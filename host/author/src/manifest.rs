//! What an author says of a plugin: `plugin.toml`, or for Rust `[package.metadata.grille]` in `Cargo.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;

/// The manifest of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What people call it; its files are called after it.
    pub name: String,
    /// Its version (semver).
    pub version: String,
    /// One sentence: what it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// An SPDX expression.
    #[serde(default)]
    pub licence: Option<String>,
    /// What it is written in.
    pub language: Language,
    /// The world of the contract that it targets; Rust needs none.
    #[serde(default)]
    pub world: Option<String>,
    /// The main source, relative to the manifest; Rust's is cargo's business.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// The hooks that it exports; without them, what it does export is written down.
    #[serde(default)]
    pub hooks: Option<Vec<String>>,
    /// Whether the same facts always come to the same answer.
    #[serde(default)]
    pub stateless: bool,
    /// What it wants to reach, and why.
    #[serde(default)]
    pub grants: Vec<Want>,
    /// The oldest host that it works with.
    #[serde(default)]
    pub minimum_host: Option<String>,
    /// What it needs.
    #[serde(default)]
    pub limits: Option<WantedLimits>,
    /// The JSON Schema of its settings, relative to the manifest.
    #[serde(default)]
    pub settings_schema: Option<PathBuf>,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// By cargo.
    Rust,
    /// By clang.
    C,
    /// On QuickJS.
    Js,
    /// On CPython.
    Python,
}

/// A grant that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Want {
    /// `clock`, `counters`, `kv` or `lookup:NAME`.
    pub name: String,
    /// Why, for the operator.
    pub reason: String,
}

/// Limits that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedLimits {
    /// Memory of one instance, such as `64MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Time of one call, such as `50ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

impl Manifest {
    /// The name of the manifest's file.
    pub const FILE: &str = "plugin.toml";

    /// Reads the manifest in a folder; none where there is no such file.
    ///
    /// # Errors
    /// When it cannot be read or is wrong.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(Self::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let manifest: Self = toml::from_str(&text).map_err(|error| wrong(&path, &text, &error))?;
        manifest.check().map_err(|problem| Error::Refused(format!("{}: {problem}", path.display())))?;
        Ok(Some(manifest))
    }

    /// The manifest in a package of cargo's, as `cargo metadata` shows it; none where it does not speak of Grille.
    pub(crate) fn of_package(package: &Value) -> Result<Option<Self>, Error> {
        let Some(said) = package["metadata"].get("grille") else { return Ok(None) };
        let manifest = package["manifest_path"].as_str().unwrap_or("Cargo.toml");
        let said: Said = serde_json::from_value(said.clone()).map_err(|error| {
            Error::Refused(format!("{manifest}: [package.metadata.grille]: {error}; correct it or use plugin.toml"))
        })?;
        let text = |key: &str| package[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let manifest = Self {
            name: text("name").unwrap_or_default(),
            version: text("version").unwrap_or_default(),
            description: text("description"),
            licence: text("license"),
            language: Language::Rust,
            world: None,
            source: None,
            hooks: said.hooks,
            stateless: said.stateless,
            grants: said.grants,
            minimum_host: said.minimum_host,
            limits: said.limits,
            settings_schema: said.settings,
        };
        Ok(Some(manifest))
    }

    fn check(&self) -> Result<(), String> {
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if self.name.is_empty() || !self.name.chars().all(is_plain) || self.name.starts_with('-') {
            return Err(format!("name: `{}` must be lower-case letters, digits and `-`", self.name));
        }
        if self.language != Language::Rust {
            for (key, is_there) in [("world", self.world.is_some()), ("source", self.source.is_some())] {
                if !is_there {
                    return Err(format!(
                        "{key} is missing; see the worlds in wit/world.wit, such as `statement-policy`"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the host learns without running the plugin: the content of the section `grille:metadata`.
    ///
    /// # Errors
    /// When the schema of the settings cannot be read.
    pub fn metadata(&self, dir: &Path, exported: Option<&[&str]>) -> Result<Value, Error> {
        let settings = match &self.settings_schema {
            None => Value::Null,
            Some(file) => {
                let path = dir.join(file);
                let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
                serde_json::from_str(&text).map_err(|error| {
                    Error::Refused(format!("{}: it is no JSON ({error}); correct the schema", path.display()))
                })?
            }
        };
        let mut metadata = json!({
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "license": self.licence,
            "hooks": self.hooks.as_ref().map(|hooks| json!(hooks)).or_else(|| exported.map(|hooks| json!(hooks))),
            "stateless": self.stateless,
            "grants": self.grants,
            "limits": self.limits,
            "settings": settings,
            "minimum_host": self.minimum_host,
        });
        if let Some(object) = metadata.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        Ok(metadata)
    }
}

/// The table `[package.metadata.grille]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default)]
    hooks: Option<Vec<String>>,
    #[serde(default)]
    stateless: bool,
    #[serde(default)]
    grants: Vec<Want>,
    #[serde(default)]
    minimum_host: Option<String>,
    #[serde(default)]
    limits: Option<WantedLimits>,
    #[serde(default)]
    settings: Option<PathBuf>,
}

/// A problem of TOML in one line, with its place.
fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
    let line = line.map_or_else(String::new, |line| format!(":{line}"));
    let message = error.message().lines().next().unwrap_or_default();
    Error::Refused(format!("{}{line}: {message}", path.display()))
}
