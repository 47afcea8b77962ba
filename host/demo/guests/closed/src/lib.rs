//! Refuses every statement, whatever its settings say. The tests put it in the place of `sql-guard` and demand that
//! exactly the steps of the tour fail that need a statement to pass.

use grille_sdk::{Opinion, Policy, Session, Settings, Severity, SqlHook, Statement};

struct Closed;

impl Policy for Closed {
    fn new(settings: &mut Settings) -> Self {
        settings.text("profile");
        Self
    }
}

impl SqlHook for Closed {
    fn judge(&self, _session: &Session, _statement: &Statement) -> Opinion {
        Opinion::block("closed", Severity::High, "this policy refuses every statement")
    }
}

grille_sdk::export!(Closed: sql);
