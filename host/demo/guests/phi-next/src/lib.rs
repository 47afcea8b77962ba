//! What the tour installs over `phi` while a session is open: the same settings, a stricter mind. Every column that is
//! no key becomes NULL, so that the next statement shows at a glance which build judged it.

use grille_sdk::{Columns, ColumnsHook, KeyKind, Policy, Session, Settings, Treatment};

struct PhiNext;

impl Policy for PhiNext {
    fn new(settings: &mut Settings) -> Self {
        settings.host_keys();
        settings.one_of("profile", &["safe-harbor", "pseudonymous"]);
        settings.texts("columns");
        Self
    }
}

impl ColumnsHook for PhiNext {
    fn classify(&self, _session: &Session, columns: &Columns) -> Vec<Treatment> {
        columns
            .iter()
            .map(|column| {
                let stays = column.key != KeyKind::None
                    || matches!(column.schema.as_str(), "pg_catalog" | "information_schema");
                if stays { Treatment::Keep } else { Treatment::null() }
            })
            .collect()
    }
}

grille_sdk::export!(PhiNext: sql_columns);
