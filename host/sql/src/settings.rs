use crate::Limits;

/// The session's settings that change what a text means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The schemas that unqualified names are looked up in, in order: `current_schemas(true)`, which names the
    /// session's temporary schema and `pg_catalog` too.
    pub search_path: Vec<String>,
    /// Whether a backslash in a plain string constant is an ordinary character. Texts are only understood if so.
    pub standard_conforming_strings: bool,
    /// How much one text may ask for.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            search_path: vec!["pg_catalog".into(), "public".into()],
            standard_conforming_strings: true,
            limits: Limits::default(),
        }
    }
}
