//! What a file says of itself before anything of it runs or is compiled.

use grille_policy::Digest;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use wasmparser::{Encoding, Parser, Payload};

use crate::wasi;

/// The biggest component that was measured is 18 MB.
pub(crate) const BYTES_MAX: u64 = 64 << 20;
const METADATA_SECTION: &str = "grille:metadata";
const METADATA_MAX: usize = 64 << 10;

const PACKAGE: &str = "grille:policy/";
/// The minor version that this host speaks. Within it, older and newer patches link as far as they use what exists.
const MAJOR: u64 = 0;
const MINOR: u64 = 1;
/// Interfaces of the contract that hold types and handles, or that the host implements.
const IMPORTS: [&str; 10] =
    ["types", "context", "sql-data", "http-data", "log", "clock", "counters", "detect", "kv", "lookup"];
const HOOKS: [&str; 8] =
    ["session", "sql", "sql-columns", "sql-result", "sql-values", "http-request", "http-response", "http-values"];

/// The section `grille:metadata`. Everything in it is a claim; what a component imports and exports is a fact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// What people call the plugin.
    pub name: Option<String>,
    /// Its version (semver).
    pub version: Option<String>,
    /// One sentence: what it is for.
    pub description: Option<String>,
    /// An SPDX expression.
    #[serde(alias = "licence")]
    pub license: Option<String>,
    /// The hooks that it exports. Must be what it does export.
    pub hooks: Option<Vec<String>>,
    /// Whether the same facts always come to the same answer, so that answers may be remembered.
    #[serde(default, deserialize_with = "null_is_default")]
    pub stateless: bool,
    /// What it wants to reach, and why.
    #[serde(default, deserialize_with = "null_is_default")]
    pub grants: Vec<Want>,
    /// What it needs, where a policy's configuration says nothing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub limits: WantedLimits,
    /// The JSON Schema of its settings.
    pub settings: Option<Value>,
    /// The oldest host that it works with (semver).
    pub minimum_host: Option<String>,
}

/// Tools write null for what a manifest does not say.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A grant that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// `clock`, `counters`, `kv` or `lookup:NAME`.
    pub name: String,
    /// Why, for the operator.
    pub reason: String,
}

/// Limits that a plugin asks for, as the configuration writes them: `"64MiB"`, `"50ms"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedLimits {
    /// Memory of one instance.
    pub memory: Option<String>,
    /// Time of one call.
    pub time: Option<String>,
}

/// A component that was read whole; nothing of it has run.
#[derive(Debug, Clone, Serialize)]
pub struct Artifact {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// What it says of itself.
    pub metadata: Metadata,
    /// The hooks that it exports, sorted.
    pub hooks: Vec<&'static str>,
    /// The interfaces of the contract that it imports, sorted: what it can reach.
    pub imports: Vec<String>,
    /// What its language runtime imports of WASI. Stand-ins answer.
    pub stand_ins: Vec<String>,
}

/// Where reading failed, and why in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no whole component.
    #[error("{0}")]
    Parse(String),
    /// What it says of itself is wrong.
    #[error("{0}")]
    Metadata(String),
    /// It imports or exports what it must not.
    #[error("{0}")]
    Imports(String),
}

impl Artifact {
    /// Reads a file. Says in one line what is wrong with it and what to do.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let Outline { metadata, imports, exports } = outline(bytes)?;
        imports.iter().try_for_each(|import| check_import(import)).map_err(Refusal::Imports)?;
        let hooks = hooks(&exports).map_err(Refusal::Imports)?;
        let metadata = match metadata {
            Some(json) => serde_json::from_slice::<Metadata>(&json)
                .map_err(|error| Refusal::Metadata(format!("the section {METADATA_SECTION} is unreadable: {error}")))?,
            None => Metadata::default(),
        };
        if let Some(declared) = &metadata.hooks {
            let mut declared: Vec<&str> = declared.iter().map(String::as_str).collect();
            declared.sort_unstable();
            if declared != hooks {
                let (declared, found) = (declared.join(", "), hooks.join(", "));
                return Err(Refusal::Metadata(format!(
                    "its metadata declare the hooks [{declared}] but it exports [{found}]; build it again"
                )));
            }
        }
        check_minimum_host(&metadata)?;
        let (ours, stand_ins): (Vec<String>, Vec<String>) =
            imports.into_iter().partition(|import| of_contract(import).is_some());
        let mut imports: Vec<String> =
            ours.iter().filter_map(|import| of_contract(import)).map(|(interface, _)| interface.to_owned()).collect();
        imports.sort_unstable();
        Ok(Self { digest: sha256(bytes), metadata, hooks, imports, stand_ins })
    }

    /// Whether it imports an interface of the contract.
    pub(crate) fn wants(&self, interface: &str) -> bool {
        self.imports.iter().any(|import| import == interface)
    }
}

/// The version of this host that plugins ask about.
const HOST: (u64, u64, u64) = (0, 1, 0);

fn check_minimum_host(metadata: &Metadata) -> Result<(), Refusal> {
    let Some(minimum) = &metadata.minimum_host else { return Ok(()) };
    let mut parts = minimum.split('.').map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Metadata(format!("its minimum_host is `{minimum}`, which is no version such as 0.1.0")));
    };
    if (major, minor, patch) > HOST {
        let (a, b, c) = HOST;
        return Err(Refusal::Metadata(format!(
            "it needs a host of version {minimum}; this is {a}.{b}.{c}: upgrade it"
        )));
    }
    Ok(())
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    Digest(digest)
}

struct Outline {
    metadata: Option<Vec<u8>>,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Walks through the whole file, so that a truncated one is an error here and nothing else anywhere.
fn outline(bytes: &[u8]) -> Result<Outline, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Parse("the file is empty; copy the component again".into()));
    }
    if !b"\0asm".starts_with(bytes.get(..4).unwrap_or(bytes)) {
        return Err(Refusal::Parse("the file is not WebAssembly; name the .wasm of a component".into()));
    }
    let torn = |error: wasmparser::BinaryReaderError| {
        Refusal::Parse(format!(
            "the file is damaged or not complete (at byte {} of {}: {}); copy the component again",
            error.offset(),
            bytes.len(),
            error.message()
        ))
    };
    let mut outline = Outline { metadata: None, imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(torn)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Refusal::Parse(
                    "the file is a core module, not a component; link it with wasm-component-ld (sdk/rust/README.md)"
                        .into(),
                ));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == METADATA_SECTION => {
                if outline.metadata.is_some() {
                    return Err(Refusal::Metadata(format!("it has two sections {METADATA_SECTION}; build it again")));
                }
                if section.data().len() > METADATA_MAX {
                    return Err(Refusal::Metadata(format!("its section {METADATA_SECTION} exceeds 64 KiB")));
                }
                outline.metadata = Some(section.data().to_vec());
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outline.imports.push(import.map_err(torn)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outline.exports.push(export.map_err(torn)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

/// The import list is what a component can reach, and cannot lie.
fn check_import(import: &str) -> Result<(), String> {
    if let Some((interface, version)) = of_contract(import) {
        check_version(import, version)?;
        if IMPORTS.contains(&interface) {
            return Ok(());
        }
        return Err(format!(
            "it imports {import}, which this host does not have; upgrade the host or build the plugin without it"
        ));
    }
    if wasi::has_stand_in(import) {
        return Ok(());
    }
    let advice = if import.starts_with("wasi:") {
        "policies reach nothing outside; build it without, or with your language's option to stub WASI"
    } else {
        "policies reach nothing but grille:policy; remove it"
    };
    Err(format!("it imports {import}, which is forbidden: {advice}"))
}

fn hooks(exports: &[String]) -> Result<Vec<&'static str>, String> {
    let mut hooks = Vec::new();
    let mut has_lifecycle = false;
    for export in exports {
        // What a component exports besides is nobody's business.
        let Some((interface, version)) = of_contract(export) else { continue };
        check_version(export, version)?;
        match HOOKS.iter().find(|hook| **hook == interface) {
            Some(hook) => hooks.push(*hook),
            None if interface == "lifecycle" => has_lifecycle = true,
            None => {
                return Err(format!("it exports {export}, a hook that this host does not know; upgrade the host"));
            }
        }
    }
    if !has_lifecycle {
        return Err("it does not export grille:policy/lifecycle, as every policy must; is it a policy?".into());
    }
    hooks.sort_unstable();
    Ok(hooks)
}

/// Interface and version of a name of our package.
fn of_contract(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE).map(|rest| rest.split_once('@').unwrap_or((rest, "")))
}

fn check_version(name: &str, version: &str) -> Result<(), String> {
    let mut numbers = version.split(['.', '-', '+']).map(|number| number.parse::<u64>().ok());
    let major_minor = (numbers.next().flatten(), numbers.next().flatten());
    if major_minor == (Some(MAJOR), Some(MINOR)) && !version.contains('-') {
        return Ok(());
    }
    let advice = match major_minor {
        (Some(major), Some(minor)) if (major, minor) > (MAJOR, MINOR) => {
            "upgrade the host, or rebuild with an older SDK"
        }
        _ => "rebuild it with a current SDK",
    };
    Err(format!("it was built against {name}; this host speaks grille:policy {MAJOR}.{MINOR}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_contract_are_refused_with_advice() {
        for (import, expected) in [
            ("grille:policy/log@0.1.0", ""),
            ("grille:policy/log@0.1.9", ""),
            ("grille:policy/kv@0.1.1", ""),
            ("grille:policy/shell@0.1.1", "which this host does not have"),
            ("grille:policy/log@0.2.0", "upgrade the host"),
            ("grille:policy/log@1.0.0", "upgrade the host"),
            ("grille:policy/log@0.0.9", "rebuild it with a current SDK"),
            ("grille:policy/log@0.1.0-rc.1", "rebuild it"),
            ("grille:policy/log", "rebuild it"),
            ("wasi:filesystem/types@0.2.9", ""),
            ("wasi:http/types@0.2.9", "policies reach nothing outside"),
            ("evil:net/socket@1.0.0", "reach nothing but grille:policy"),
        ] {
            let said = check_import(import).err().unwrap_or_default();
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{import}: {said}");
        }
    }

    #[test]
    fn only_known_hooks_beside_a_lifecycle() {
        let found = |names: &[&str]| hooks(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let lifecycle = "grille:policy/lifecycle@0.1.0";
        assert_eq!(found(&[lifecycle, "grille:policy/sql@0.1.0", "run"]), Ok(vec!["sql"]));
        assert!(found(&["grille:policy/sql@0.1.0"]).is_err());
        assert!(found(&[lifecycle, "grille:policy/shell@0.1.0"]).is_err());
        assert!(found(&[lifecycle, "grille:policy/sql@0.2.0"]).is_err());
    }
}
