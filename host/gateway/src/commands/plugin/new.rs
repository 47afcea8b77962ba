use std::path::PathBuf;

use clap::ValueEnum;
use grille_author::{Hook, Language, scaffold};

use super::Wrong;
use crate::commands::{Outcome, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's name: lower-case letters, digits and `-`
    name: String,
    /// What to write it in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Lang,
    /// The hook to begin with; others than sql in Rust only
    #[arg(long, value_enum, default_value = "sql")]
    hook: Begin,
    /// Where to make its folder; by default here, called after it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lang {
    Rust,
    C,
    Js,
    Python,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Begin {
    Sql,
    SqlColumns,
    Session,
    HttpRequest,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Wrong> {
    let language = match args.lang {
        Lang::Rust => Language::Rust,
        Lang::C => Language::C,
        Lang::Js => Language::Js,
        Lang::Python => Language::Python,
    };
    let hook = match args.hook {
        Begin::Sql => Hook::Sql,
        Begin::SqlColumns => Hook::SqlColumns,
        Begin::Session => Hook::Session,
        Begin::HttpRequest => Hook::HttpRequest,
    };
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let files = scaffold(&dir, &args.name, language, hook)?;
    let (name, dir, count) = (&args.name, dir.display(), files.len());
    say(&format!(
        "{dir}: {count} files; README.md says what they are\nnext:\n  grille plugin build {dir}\n  grille plugin test {dir}/{name}.wasm\n"
    ));
    Ok(Outcome::Done)
}
