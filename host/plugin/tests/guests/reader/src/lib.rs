//! The verdict that the budget is about: the text and two facts are read, and little is done with them.

use grille_sdk::{Opinion, Policy, Session, Settings, Severity, SqlHook, Statement};

struct Reader;

impl Policy for Reader {
    fn new(_settings: &mut Settings) -> Self {
        Self
    }
}

impl SqlHook for Reader {
    fn judge(&self, session: &Session, statement: &Statement) -> Opinion {
        let is_forbidden = statement.has_kind("DROP TABLE") && !session.has_role("dba");
        if is_forbidden || statement.text().contains("forbidden") {
            return Opinion::block("forbidden", Severity::High, "it is forbidden");
        }
        Opinion::allow()
    }
}

grille_sdk::export!(Reader: sql);
