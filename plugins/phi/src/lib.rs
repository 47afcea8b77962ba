//! `phi`: finds the columns that identify patients, and says how each is masked.
//!
//! It judges base columns by their place, name, type, part in keys and comment, after the eighteen identifiers of
//! 45 CFR 164.514(b)(2). The host does the rest: it follows these columns through queries and masks natively.
//!
//! | setting | meaning |
//! |---|---|
//! | `profile` | `safe-harbor` (default) removes or generalises; `pseudonymous` keeps joins by keyed pseudonyms and is not Safe Harbor |
//! | `columns` | protected besides what the profile finds: `schema.table.column` with `*` within a part |
//! | `keep` | columns that their owner vouches for |
//! | `providers` | `mask` (default) or `keep`: names of clinicians |
//!
//! What it does not do: read values. A column called `c1` that holds names is found only if `columns` or its comment
//! (`phi`) says so. Integer and uuid keys that only link rows stay, which is not Safe Harbor; name them in `columns`
//! where that matters.

mod classify;
mod kind;
mod lists;
mod words;

use classify::{Named, Profile};
use grille_sdk::{Columns, ColumnsHook, Glob, Policy, Session, Settings, Treatment};

struct Phi(classify::Rules);

impl Policy for Phi {
    fn new(settings: &mut Settings) -> Self {
        settings.host_keys();
        let profile = match settings.one_of("profile", &["safe-harbor", "pseudonymous"]) {
            "pseudonymous" => Profile::Pseudonymous,
            _ => Profile::SafeHarbor,
        };
        let masks_providers = settings.one_of("providers", &["mask", "keep"]) == "mask";
        Self(classify::Rules {
            profile,
            masks_providers,
            columns: globs(settings, "columns"),
            keep: globs(settings, "keep"),
        })
    }
}

fn globs(settings: &mut Settings, key: &str) -> Vec<Glob> {
    let mut globs = Vec::new();
    for (index, text) in settings.texts(key).into_iter().enumerate() {
        let glob = Glob::new(text.as_str());
        if glob.parts() == 3 {
            globs.push(glob);
        } else {
            let message = format!("`{text}` must have three parts: schema.table.column, such as `public.*.ssn`");
            settings.problem(&format!("/{key}/{index}"), message);
        }
    }
    globs
}

impl ColumnsHook for Phi {
    fn classify(&self, _session: &Session, columns: &Columns) -> Vec<Treatment> {
        columns
            .iter()
            .map(|column| {
                self.0.treatment(&Named {
                    schema: &column.schema,
                    table: &column.table,
                    column: &column.column,
                    type_name: &column.type_name,
                    key: column.key,
                    comment: &column.comment,
                })
            })
            .collect()
    }
}

grille_sdk::export!(Phi: sql_columns);
