use std::path::PathBuf;

use anyhow::Context as _;
use grille_author::Listing;
use grille_config::Config;
use grille_plugin::{Artifact, Want};

use super::super::table::{facts, harmless};
use super::{Wrong, host, show, size, stage, wait};
use crate::commands::{Format, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component
    file: PathBuf,
    /// Show beside it what this policy of the configuration grants
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "grille.toml", env = "GRILLE_CONFIG")]
    config: PathBuf,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Wrong> {
    let place = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("read {place}"))?;
    let artifact = Artifact::read(&bytes).map_err(|refusal| Wrong::No(format!("{place}: {refusal}")))?;
    let mut listing = Listing::new(artifact, bytes.len());
    if let Some(policy) = &args.policy {
        listing.granted = Some(granted(args, policy)?);
    }
    // Only now something of it runs: enough to see that it starts, and how big it is then.
    let host = host()?;
    let staged = stage(&host, &args.file)?;
    let memory = wait(staged.fresh_memory())?;
    listing.memory = Some(memory.map_err(|why| Wrong::No(format!("{place}: it does not start: {why}")))?);
    show(args.format, &listing, || text(&listing))?;
    Ok(Outcome::Done)
}

fn granted(args: &Args, policy: &str) -> Result<Vec<String>, Wrong> {
    let place = args.config.display();
    let text = std::fs::read_to_string(&args.config).with_context(|| format!("read {place}"))?;
    let config: Config = grille_config::parse(&text, &args.config).map_err(|problems| {
        Wrong::No(format!("{place}: it has {} problem(s); `grille check -c {place}` names them", problems.len()))
    })?;
    let found = config.policies.iter().find(|known| *known.name == *policy);
    let found = found.ok_or_else(|| {
        let known: Vec<&str> = config.policies.iter().map(|policy| &*policy.name).collect();
        Wrong::No(format!("{place}: there is no policy \"{policy}\"; it has {}", known.join(", ")))
    })?;
    Ok(found.grants.iter().map(ToString::to_string).collect())
}

fn text(listing: &Listing) -> String {
    let or_none = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join("\n") };
    let hooks: Vec<String> = listing.hooks.iter().map(|hook| (*hook).to_owned()).collect();
    let want = |want: &Want| format!("{}: {}", want.name, want.reason);
    let limits = [("memory", &listing.limits.memory), ("time", &listing.limits.time)];
    let limits = limits.iter().filter_map(|(name, limit)| Some(format!("{name} {}", limit.as_ref()?)));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let all = facts(&[
        ("name", listing.name.clone().unwrap_or_else(|| "none; the file's will do".to_owned())),
        ("version", text(&listing.version)),
        ("for", text(&listing.description)),
        ("licence", text(&listing.licence)),
        ("digest", format!("sha256 {}", listing.digest)),
        ("size", size(listing.size as u64)),
        ("hooks", or_none(hooks)),
        ("imports", or_none(listing.imports.clone())),
        ("wanted", or_none(listing.wanted.iter().map(want).collect())),
        ("granted", listing.granted.clone().map(or_none).unwrap_or_default()),
        ("stand-ins", or_none(listing.stand_ins.clone())),
        ("stateless", if listing.stateless { "yes" } else { "no" }.to_owned()),
        ("limits", limits.collect::<Vec<_>>().join(", ")),
        ("settings", listing.settings.join(", ")),
        ("minimum host", text(&listing.minimum_host)),
        ("memory", listing.memory.map(|memory| format!("{} of a fresh instance", size(memory))).unwrap_or_default()),
    ]);
    harmless(&all)
}
