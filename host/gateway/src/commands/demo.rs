pub(super) mod token;

use std::path::PathBuf;

use grille_demo::Options;

use super::Outcome;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Perform the tour by itself, print a transcript, exit 0 only if every step holds
    #[arg(long)]
    check: bool,
    /// Where everything of the demo lies
    #[arg(long, value_name = "DIR", default_value = DIR)]
    dir: PathBuf,
    /// Where the policies' components are; `cargo xtask components` builds them
    #[arg(long, value_name = "DIR", default_value = "target/components")]
    components: PathBuf,
}

/// Where a demo lies unless somebody says otherwise.
pub(super) const DIR: &str = "target/demo";

pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    let options = Options { dir: args.dir, components: args.components, check: args.check };
    let holds = grille_demo::run(&options, &mut std::io::stdout())?;
    Ok(if holds { Outcome::Done } else { Outcome::No })
}
