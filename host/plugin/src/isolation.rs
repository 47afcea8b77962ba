/// Whom an instance serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// One session, as long as it lives or is used.
    #[default]
    Session,
    /// One call. What a guest remembers is gone after it.
    Request,
    /// Whoever calls next, of any subject: for policies that may remember nothing of anybody.
    Shared,
}
