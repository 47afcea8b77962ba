//! `{{name}}`: lets only one group write.

use grille_sdk::{Opinion, Policy, Session, Settings, Severity, SqlHook, Statement};

struct WritersOnly {
    group: String,
}

impl Policy for WritersOnly {
    fn new(settings: &mut Settings) -> Self {
        let group = settings.text("group").unwrap_or_else(|| "writers".to_owned());
        if group.is_empty() {
            settings.problem("/group", "the group needs a name");
        }
        Self { group }
    }
}

impl SqlHook for WritersOnly {
    fn judge(&self, session: &Session, statement: &Statement) -> Opinion {
        match refusal(statement.has_effect("write"), session.has_group(&self.group), &self.group) {
            Some(message) => Opinion::block("writers-only", Severity::Medium, message),
            None => Opinion::allow(),
        }
    }
}

/// Why not, if so. Over plain data, so that `cargo test` runs it.
fn refusal(writes: bool, is_writer: bool, group: &str) -> Option<String> {
    (writes && !is_writer).then(|| format!("only {group} may write here; ask for the group"))
}

grille_sdk::export!(WritersOnly: sql);

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn only_writers_write() {
        assert_eq!(refusal(false, false, "writers"), None);
        assert_eq!(refusal(true, true, "writers"), None);
        assert_eq!(refusal(true, false, "writers").as_deref(), Some("only writers may write here; ask for the group"));
    }
}
