pub(super) mod explain;
mod status;

use std::sync::Arc;

use grille_admin::view::{Changed, Policies, Policy, Promotion};
use grille_policy::{Digest, Mode};

use super::table::{line, table};
use super::{Format, Outcome, answer, print_json, say};
use crate::client::{Client, NoAnswer, Reach};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// List the policies in force
    List(Args),
    /// Show what is in force, what it did, what waits, and how the last reload went
    Status(Args),
    /// Put the component in a policy's file in force, or another one, or another mode
    Promote(PromoteArgs),
    /// Go back to what a policy ran before the last promotion; once more goes forward again
    Rollback(RollbackArgs),
    /// Show a decision: who asked for what, which policy said what, how it ended
    Explain(explain::Explain),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// The policy
    name: String,
    /// The component by its SHA-256 or the beginning of it; else the one that is in the file now
    #[arg(long, value_name = "SHA256", conflicts_with = "mode")]
    digest: Option<String>,
    /// The mode, with the component as it is; enforce → monitor takes the right of an owner
    #[arg(long, value_enum)]
    mode: Option<To>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The policy
    name: String,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum To {
    Enforce,
    Monitor,
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    answer(async {
        match action {
            Action::List(args) => show(args, list).await,
            Action::Status(args) => show(args, status::status).await,
            Action::Promote(promote) => {
                let mode = promote.mode.map(|to| match to {
                    To::Enforce => Mode::Enforce,
                    To::Monitor => Mode::Monitor,
                });
                let promotion = Promotion { digest: promote.digest.clone(), mode };
                change(&promote.args, &promote.name, "promote", &promotion).await
            }
            Action::Rollback(rollback) => change(&rollback.args, &rollback.name, "rollback", &()).await,
            Action::Explain(args) => explain::explain(args).await,
        }
    })
}

async fn show(args: &Args, text: fn(&Policies) -> String) -> Result<(), NoAnswer> {
    let policies: Policies = Client::new(&args.reach)?.read(&["v1", "policies"], &[]).await?;
    if args.format == Format::Json {
        return print_json(&policies);
    }
    say(&text(&policies));
    Ok(())
}

async fn change(args: &Args, name: &str, what: &str, body: &impl serde::Serialize) -> Result<(), NoAnswer> {
    let changed: Changed = Client::new(&args.reach)?.post(&["v1", "policies", name, what], body).await?;
    if args.format == Format::Json {
        return print_json(&changed);
    }
    say(&said(&changed));
    Ok(())
}

fn said(changed: &Changed) -> String {
    let (digest, mode) = (short(&changed.digest), mode(changed.mode));
    let Changed { policy, epoch, .. } = changed;
    let mut text = match (changed.is_changed, changed.is_pinned) {
        (true, _) => format!("policy {policy} runs {digest} ({mode}); policy epoch {epoch} is in force\n"),
        (false, true) => format!("policy {policy} is pinned to {digest} ({mode}), which it runs already\n"),
        (false, false) => format!("nothing to change: policy {policy} runs {digest} ({mode}) and is pinned to it\n"),
    };
    changed.weakening.iter().for_each(|line| text.push_str(&format!("weaker: {}\n", super::table::harmless(line))));
    text
}

fn list(policies: &Policies) -> String {
    if policies.policies.is_empty() {
        return "no policies\n".to_owned();
    }
    let row = |policy: &Policy| {
        vec![
            line(&policy.name, 30),
            line(&plugin(policy), 30),
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

/// The plugin's name and version.
fn plugin(policy: &Policy) -> String {
    match &policy.version {
        Some(version) => format!("{} {version}", policy.plugin),
        None => policy.plugin.to_string(),
    }
}

pub(super) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Monitor => "monitor",
    }
}

fn names(names: &[Arc<str>]) -> String {
    names.join(", ")
}

/// Enough of a digest to tell two apart.
pub(super) fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use grille_policy::Epoch;

    use super::*;

    #[test]
    fn a_list() {
        let expected = "\
NAME   PLUGIN       MODE     TARGETS  ROLES    ON FAILURE  SOURCE
guard  guard 0.1.0  monitor  clinic   *, !dba  block       plugins/guard.wasm
phi    phi 0.1.0    enforce  clinic   *, !dba  allow       plugins/phi.wasm
";
        assert_eq!(list(&status::tests::policies()), expected);
    }

    #[test]
    fn what_changed_is_said_in_a_line() {
        let changed = |is_changed, is_pinned, weakening: &[&str]| Changed {
            policy: "phi".into(),
            epoch: Epoch(7),
            digest: Digest([0xab; 32]),
            mode: Mode::Monitor,
            is_changed,
            is_pinned,
            weakening: weakening.iter().map(|&line| line.into()).collect(),
        };
        for (changed, expected) in [
            (
                changed(true, true, &["policy \"phi\" only monitors"]),
                "policy phi runs abababababab (monitor); policy epoch 7 is in force\n\
                 weaker: policy \"phi\" only monitors\n",
            ),
            (changed(false, true, &[]), "policy phi is pinned to abababababab (monitor), which it runs already\n"),
            (
                changed(false, false, &[]),
                "nothing to change: policy phi runs abababababab (monitor) and is pinned to it\n",
            ),
        ] {
            assert_eq!(said(&changed), expected);
        }
    }
}
