use std::fmt;
use std::sync::Arc;

/// Why a policy did not load: cause, place and fix in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy \"{policy}\": {message}")]
pub struct LoadProblem {
    /// The policy's name in the configuration.
    pub policy: Arc<str>,
    /// The step that failed.
    pub step: Step,
    /// What to tell people.
    pub message: String,
}

/// The steps of a load, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What the configuration says of the policy.
    Spec,
    /// Reading the file.
    Read,
    /// Walking through all of it.
    Parse,
    /// Comparing its digest with the pinned one.
    Digest,
    /// Its section of metadata.
    Metadata,
    /// What it imports and exports.
    Imports,
    /// Compiling it.
    Compile,
    /// Linking it with what the host offers.
    Link,
    /// The plugin's own check of its settings.
    Settings,
    /// The first configured instance.
    Configure,
    /// The plugin's own test cases.
    Cases,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "spec",
            Self::Read => "read",
            Self::Parse => "parse",
            Self::Digest => "digest",
            Self::Metadata => "metadata",
            Self::Imports => "imports",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Settings => "settings",
            Self::Configure => "configure",
            Self::Cases => "cases",
        })
    }
}
