use std::path::PathBuf;

use anyhow::Context;

use crate::commands::{Outcome, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account of the running demo: analyst, dba, reviewer, agent
    #[arg(long, value_name = "NAME")]
    demo: String,
    /// Where the demo lies
    #[arg(long, value_name = "DIR", default_value = super::DIR)]
    dir: PathBuf,
}

pub(in crate::commands) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    say(&format!("{}\n", runtime.block_on(grille_demo::token(&args.dir, &args.demo))?));
    Ok(Outcome::Done)
}
