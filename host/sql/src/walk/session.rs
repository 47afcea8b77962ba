//! What statements do to the session.

use std::sync::Arc;

use grille_policy::Effect;
use pg_raw_parse::nodes::{TransactionStmt, VariableSetStmt};
use pg_raw_parse::{Node, raw};

use super::Walker;
use super::functions::constant_text;
use crate::analysis::{Discard, SessionEffect, SetValue};

/// Notes that a setting changes; some settings are who the session is.
pub(super) fn note_setting(walker: &mut Walker<'_>, name: Arc<str>, value: SetValue, local: bool) {
    let effect = match (&*name, &value) {
        ("role", SetValue::Constant(_) | SetValue::NonConstant) => SessionEffect::SetRole,
        ("session_authorization", SetValue::Constant(_) | SetValue::NonConstant) => {
            SessionEffect::SetSessionAuthorization
        }
        _ => SessionEffect::Set { name, value, local },
    };
    walker.found.session.push(effect);
}

impl<'a> Walker<'a> {
    pub(super) fn set(&mut self, statement: &'a VariableSetStmt) -> &'static str {
        use raw::VariableSetKind as Kind;
        self.effect(Effect::Session);
        let name: Arc<str> = statement.name().unwrap_or_default().to_ascii_lowercase().into();
        let local = statement.is_local;
        match statement.kind {
            Kind::VAR_RESET => {
                self.found.session.push(SessionEffect::Reset { name });
                return "RESET";
            }
            Kind::VAR_RESET_ALL => {
                self.found.session.push(SessionEffect::ResetAll);
                return "RESET";
            }
            Kind::VAR_SET_DEFAULT => note_setting(self, name, SetValue::Default, local),
            Kind::VAR_SET_CURRENT => note_setting(self, name, SetValue::Current, local),
            Kind::VAR_SET_MULTI => self.set_transaction(&name, statement),
            _ => {
                let values: Option<Vec<Arc<str>>> = statement.args().iter().map(constant_text).collect();
                let value = values.map_or(SetValue::NonConstant, SetValue::Constant);
                note_setting(self, name, value, local);
            }
        }
        "SET"
    }

    /// SET TRANSACTION and SET SESSION CHARACTERISTICS name several settings at once.
    fn set_transaction(&mut self, name: &str, statement: &'a VariableSetStmt) {
        let prefix = if name == "session characteristics" { "default_" } else { "" };
        let mut is_any = false;
        for node in statement.args() {
            let (setting, value) = match node {
                Node::DefElem(option) => (option.defname().unwrap_or_default(), constant_text(option.arg())),
                node => ("transaction_snapshot", constant_text(node)),
            };
            is_any = true;
            let value = value.map_or(SetValue::NonConstant, |value| SetValue::Constant(vec![value]));
            note_setting(self, format!("{prefix}{setting}").into(), value, true);
        }
        if !is_any {
            note_setting(self, name.into(), SetValue::NonConstant, true);
        }
    }

    pub(super) fn transaction(&mut self, statement: &'a TransactionStmt) -> &'static str {
        use raw::TransactionStmtKind as Kind;
        self.effect(Effect::Session);
        let (kind, effect) = match statement.kind {
            Kind::TRANS_STMT_BEGIN | Kind::TRANS_STMT_START => ("BEGIN", SessionEffect::Begin),
            Kind::TRANS_STMT_COMMIT => ("COMMIT", SessionEffect::Commit),
            Kind::TRANS_STMT_ROLLBACK => ("ROLLBACK", SessionEffect::Rollback),
            Kind::TRANS_STMT_SAVEPOINT => ("SAVEPOINT", SessionEffect::Savepoint),
            Kind::TRANS_STMT_RELEASE => ("RELEASE", SessionEffect::Release),
            Kind::TRANS_STMT_ROLLBACK_TO => ("ROLLBACK", SessionEffect::RollbackTo),
            Kind::TRANS_STMT_COMMIT_PREPARED => ("COMMIT PREPARED", SessionEffect::FinishPrepared),
            Kind::TRANS_STMT_ROLLBACK_PREPARED => ("ROLLBACK PREPARED", SessionEffect::FinishPrepared),
            // Whatever else there may be is refused like the one kind that is.
            _ => ("PREPARE TRANSACTION", SessionEffect::PrepareTransaction),
        };
        self.found.session.push(effect);
        kind
    }

    pub(super) fn discard(&mut self, target: raw::DiscardMode::Type) -> &'static str {
        use raw::DiscardMode as Mode;
        self.effect(Effect::Session);
        let what = match target {
            Mode::DISCARD_PLANS => Discard::Plans,
            Mode::DISCARD_SEQUENCES => Discard::Sequences,
            Mode::DISCARD_TEMP => Discard::Temp,
            _ => Discard::All,
        };
        self.found.session.push(SessionEffect::Discard(what));
        "DISCARD"
    }

    pub(super) fn session_effect(&mut self, kind: &'static str, effect: SessionEffect) -> &'static str {
        self.effect(Effect::Session);
        self.found.session.push(effect);
        kind
    }
}
