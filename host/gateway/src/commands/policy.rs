use std::sync::Arc;

use grille_admin::view::{Policies, Policy};
use grille_policy::{Digest, Mode};

use super::table::{harmless, line, table, time};
use super::{Format, Outcome, answer, print_json, say};
use crate::client::{Client, NoAnswer, Reach};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// List the policies in force
    List(Args),
    /// Show what is in force, what waits, and how the last reload went
    Status(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    answer(async {
        let (Action::List(args) | Action::Status(args)) = action;
        let policies: Policies = Client::new(&args.reach)?.read(&["v1", "policies"], &[]).await?;
        if args.format == Format::Json {
            return print_json(&policies);
        }
        say(&match action {
            Action::List(_) => list(&policies),
            Action::Status(_) => status(&policies),
        });
        Ok::<(), NoAnswer>(())
    })
}

fn list(policies: &Policies) -> String {
    if policies.policies.is_empty() {
        return "no policies\n".to_owned();
    }
    let row = |policy: &Policy| {
        vec![
            line(&policy.name, 30),
            line(&policy.plugin, 30),
            mode(policy.mode).to_owned(),
            line(&names(&policy.targets), 30),
            line(&names(&policy.roles), 30),
            line(&policy.on_failure, 10),
            line(&policy.source, 60),
        ]
    };
    let rows: Vec<Vec<String>> = policies.policies.iter().map(row).collect();
    table(&["NAME", "PLUGIN", "MODE", "TARGETS", "ROLES", "ON FAILURE", "SOURCE"], &rows)
}

fn status(policies: &Policies) -> String {
    let row = |policy: &Policy| {
        vec![
            line(&policy.name, 30),
            mode(policy.mode).to_owned(),
            short(&policy.digest),
            short(&policy.settings),
            line(&names(&policy.hooks), 60),
            line(&policy.state, 60),
        ]
    };
    let rows: Vec<Vec<String>> = policies.policies.iter().map(row).collect();
    let mut text = format!("policy epoch {}\n\n", policies.epoch);
    text.push_str(&table(&["NAME", "MODE", "PLUGIN", "SETTINGS", "HOOKS", "STATE"], &rows));
    for policy in &policies.policies {
        for note in &policy.notes {
            text.push_str(&format!("\n{}: {}", policy.name, harmless(note)));
        }
    }
    if let Some(reload) = &policies.reload {
        let outcome = if reload.is_done { "came into force" } else { "was refused, nothing changed" };
        text.push_str(&format!("\nthe last reload, {}, {outcome}", time(reload.at_ms)));
        for line in &reload.lines {
            text.push_str(&format!("\n  {}", harmless(line)));
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Monitor => "monitor",
    }
}

fn names(names: &[Arc<str>]) -> String {
    names.join(", ")
}

/// Enough of a digest to tell two apart.
fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}
