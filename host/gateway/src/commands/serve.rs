use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use grille_gateway::{Gateway, LogFormat, Options, Signals, read_config, start_logging};

use super::{ConfigArg, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value = "text")]
    log: Log,
    /// How long sessions may go on after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
    /// Accept tokens that anybody on this machine can get
    #[arg(long, hide = true)]
    permit_demo_issuer: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    Text,
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    start_logging(match args.log {
        Log::Text => LogFormat::Text,
        Log::Json => LogFormat::Json,
    });
    let config = read_config(&args.config.config)?;
    let options = Options { permit_demo_issuer: args.permit_demo_issuer, drain: Duration::from_secs(args.drain) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        let signals = Signals::hear()?;
        let running = Gateway::compose(config, options).await?.start();
        running.until_signal(signals).await
    })?;
    // What still runs was told to end; nobody waits for it.
    runtime.shutdown_background();
    Ok(Outcome::Done)
}
