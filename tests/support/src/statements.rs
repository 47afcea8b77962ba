/// Statements of every kind, with every built-in type; comments and empty lines between them.
pub const STATEMENTS: &str = include_str!("statements.sql");

/// The statements one by one.
pub fn statements() -> impl Iterator<Item = &'static str> {
    STATEMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with("--"))
}
