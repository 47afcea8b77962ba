//! `sql-guard`: refuses SQL that destroys, and asks people before all rows of a table change.
//!
//! Profile `standard`:
//!
//! | statement | verdict |
//! |---|---|
//! | DROP, TRUNCATE | block |
//! | DELETE without a WHERE that limits rows | block |
//! | GRANT, REVOKE, roles, owners, default privileges | block |
//! | functions that reach files or the network of the server, COPY that does, LOAD | block |
//! | UPDATE without a WHERE that limits rows; MERGE likewise | review |
//! | DO and CALL, whose code cannot be looked into | review |
//! | everything else | allow |
//!
//! The host says what a statement does (inner statements included), so comments, CTEs and several statements in one
//! text hide nothing. What it does not do: limit who reads what (that is what roles are for), or protect columns (that is
//! what `phi` is for).

mod rules;

use grille_sdk::{Opinion, Policy, Session, Settings, SqlHook, Statement};
use rules::Judged;

struct Guard;

impl Policy for Guard {
    fn new(settings: &mut Settings) -> Self {
        settings.one_of("profile", &["standard"]);
        Self
    }
}

impl SqlHook for Guard {
    fn judge(&self, _session: &Session, statement: &Statement) -> Opinion {
        let kinds = statement.kinds();
        rules::judge(&Judged {
            changes_privileges: statement.has_effect("privilege"),
            is_procedural: statement.has_effect("procedural"),
            // Files and programs of the server are a COPY's way out of what can be told; asked only where it matters.
            copies_blindly: kinds.iter().any(|kind| kind == "COPY") && statement.has_effect("unknown"),
            writes: statement.writes(),
            functions: statement.functions(),
            kinds,
        })
    }
}

grille_sdk::export!(Guard: sql);
