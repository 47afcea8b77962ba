use anyhow::Context;
use grille_config::{Problem, check_files, parse, render};

use super::{ConfigArg, Format, Outcome, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let path = &args.config.config;
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let problems = match parse(&text, path) {
        Ok(config) => check_files(&config),
        Err(problems) => problems,
    };
    match args.format {
        Format::Json => say(&format!("{}\n", serde_json::to_string_pretty(&Answer { problems: &problems })?)),
        Format::Text if problems.is_empty() => say(&format!("{}: no problems\n", path.display())),
        Format::Text => say(&render(path, &problems)),
    }
    Ok(if problems.is_empty() { Outcome::Done } else { Outcome::No })
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    problems: &'a [Problem],
}
