use super::{Outcome, say};

pub(super) fn run() -> anyhow::Result<Outcome> {
    say(&format!("{}\n", serde_json::to_string_pretty(&grille_config::schema())?));
    Ok(Outcome::Done)
}
