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
    let notes: Vec<String> = policies
        .policies
        .iter()
        .flat_map(|policy| policy.notes.iter().map(|note| format!("{}: {}\n", policy.name, harmless(note))))
        .collect();
    if !notes.is_empty() {
        text.push_str(&format!("\n{}", notes.concat()));
    }
    if let Some(reload) = &policies.reload {
        let outcome = if reload.is_done { "came into force" } else { "was refused, nothing changed" };
        text.push_str(&format!("\nthe last reload, {}, {outcome}\n", time(reload.at_ms)));
        for line in &reload.lines {
            text.push_str(&format!("  {}\n", harmless(line)));
        }
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

#[cfg(test)]
mod tests {
    use grille_admin::view::Reload;
    use grille_policy::Epoch;

    use super::*;

    fn policies() -> Policies {
        let policy = |name: &str, mode, state: &str, notes: &[&str]| Policy {
            name: name.into(),
            plugin: format!("{name} 0.1.0").into(),
            source: format!("plugins/{name}.wasm").into(),
            digest: Digest([0xab; 32]),
            settings: Digest([0xcd; 32]),
            mode,
            state: state.into(),
            targets: vec!["clinic".into()],
            roles: vec!["*".into(), "!dba".into()],
            hooks: vec!["sql".into(), "sql-columns".into()],
            on_failure: "block".into(),
            notes: notes.iter().map(|&note| note.into()).collect(),
        };
        let lines = vec!["policies.phi.plugin: the file is \u{1b}[1mtruncated".into()];
        Policies {
            epoch: Epoch(4),
            policies: vec![
                policy("guard", Mode::Monitor, "in force", &[]),
                policy("phi", Mode::Enforce, "missing", &["follows its file", "12 calls"]),
            ],
            reload: Some(Reload { at_ms: 1_795_000_000_000, is_done: false, lines }),
        }
    }

    #[test]
    fn a_list() {
        let expected = "\
NAME   PLUGIN       MODE     TARGETS  ROLES    ON FAILURE  SOURCE
guard  guard 0.1.0  monitor  clinic   *, !dba  block       plugins/guard.wasm
phi    phi 0.1.0    enforce  clinic   *, !dba  block       plugins/phi.wasm
";
        assert_eq!(list(&policies()), expected);
    }

    #[test]
    fn a_status() {
        let expected = "\
policy epoch 4

NAME   MODE     PLUGIN        SETTINGS      HOOKS             STATE
guard  monitor  abababababab  cdcdcdcdcdcd  sql, sql-columns  in force
phi    enforce  abababababab  cdcdcdcdcdcd  sql, sql-columns  missing

phi: follows its file
phi: 12 calls

the last reload, 2026-11-18T11:06:40Z, was refused, nothing changed
  policies.phi.plugin: the file is \\u001b[1mtruncated
";
        assert_eq!(status(&policies()), expected);
    }
}
