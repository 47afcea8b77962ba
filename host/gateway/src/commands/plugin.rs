mod decision;

use super::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Ask a policy again what it was asked for a decision, with the answers that the host gave then
    Run(decision::Run),
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    let Action::Run(args) = action;
    decision::run(args)
}
