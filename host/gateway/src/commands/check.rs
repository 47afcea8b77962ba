use anyhow::Context as _;
use grille_config::{Problem, parse, render};
use grille_gateway::{Found, Options, check, check_online};

use super::{ConfigArg, Format, Outcome, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Also ask issuers, reach targets, and ask what their logins may do there
    #[arg(long)]
    online: bool,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Accept tokens that anybody on this machine can get
    #[arg(long, hide = true)]
    permit_demo_issuer: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let path = &args.config.config;
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let Found { problems, warnings } = match parse(&text, path) {
        Err(problems) => Found { problems, warnings: Vec::new() },
        Ok(config) => {
            let options = Options { permit_demo_issuer: args.permit_demo_issuer, ..Options::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("start the runtime")?.block_on(async {
                let mut found = check(&config).await?;
                if args.online {
                    let Found { problems, warnings } = check_online(&config, options).await?;
                    found.problems.extend(problems);
                    found.warnings.extend(warnings);
                }
                anyhow::Ok(found)
            })?
        }
    };
    match args.format {
        Format::Json => {
            say(&format!("{}\n", serde_json::to_string_pretty(&Answer { problems: &problems, warnings: &warnings })?))
        }
        Format::Text => {
            render(path, &warnings).lines().for_each(|line| match line.strip_prefix("    ") {
                Some(hint) => say(&format!("    {hint}\n")),
                None => say(&format!("warning: {line}\n")),
            });
            say(&match problems.is_empty() {
                true => format!("{}: no problems\n", path.display()),
                false => render(path, &problems),
            });
        }
    }
    Ok(if problems.is_empty() { Outcome::Done } else { Outcome::No })
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    problems: &'a [Problem],
    warnings: &'a [Problem],
}
