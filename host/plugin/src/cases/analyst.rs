use std::sync::Arc;

use grille_policy::StatementFacts;

/// Works out what the SQL of a case means. The room that reads SQL is none of this one's: whoever composes the host
/// brings it along.
pub trait Analyst: Send + Sync {
    /// The facts of a text in a database that has these tables besides PostgreSQL's own.
    ///
    /// # Errors
    /// One sentence, when the text is no SQL or a table has a type that nobody knows.
    fn facts(&self, sql: &str, tables: &Arc<[Table]>) -> Result<Arc<StatementFacts>, String>;

    /// The OID and PostgreSQL's own name of a type, by any of its usual names.
    fn type_of(&self, name: &str) -> Option<(u32, Arc<str>)>;
}

/// A table of a case's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
    /// Its columns, left to right.
    pub columns: Vec<TableColumn>,
}

/// A column of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// The column.
    pub name: String,
    /// Its type, as people write it.
    pub type_name: String,
}
