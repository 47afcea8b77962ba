use grille_admin::view::{Hold, HoldWish, Holds};

use crate::client::{Client, NoAnswer, Reach};
use crate::commands::table::{line, table, time};
use crate::commands::{Format, Outcome, answer, print_json, say};

/// What is under a legal hold is not shredded, and carries a legal hold in the archive's bucket.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Keep a session, or all of a person's, from being shredded
    Add(Change),
    /// Lift a legal hold
    Remove(Change),
    /// List the legal holds in force
    List(List),
}

#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = false)]
struct What {
    /// This session, or a unique beginning of its id
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// All sessions of this person, by the `sub` of their tokens
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    what: What,
    /// Why; it is recorded
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    answer(async {
        match action {
            Action::Add(args) => change(args, true).await,
            Action::Remove(args) => change(args, false).await,
            Action::List(args) => list(args).await,
        }
    })
}

async fn change(args: &Change, is_held: bool) -> Result<(), NoAnswer> {
    let What { session, subject } = &args.what;
    let wish = HoldWish { session: session.clone(), subject: subject.clone(), is_held, reason: args.reason.clone() };
    let holds: Holds = Client::new(&args.reach)?.post(&["v1", "ledger", "holds"], &wish).await?;
    let done = if is_held { "the legal hold is in force" } else { "the legal hold is lifted" };
    say(&format!("{done}; {} in force\n", holds.holds.len()));
    Ok(())
}

async fn list(args: &List) -> Result<(), NoAnswer> {
    let holds: Holds = Client::new(&args.reach)?.read(&["v1", "ledger", "holds"], &[]).await?;
    if args.format == Format::Json {
        return print_json(&holds);
    }
    if holds.holds.is_empty() {
        say("no legal holds\n");
        return Ok(());
    }
    let row = |hold: &Hold| {
        let on = match (&hold.session, &hold.subject) {
            (Some(session), _) => session.to_string(),
            (None, subject) => format!("all of {}", line(subject.as_deref().unwrap_or("?"), 40)),
        };
        vec![on, time(hold.since_ms), line(&hold.by, 40), line(&hold.reason, 60)]
    };
    let rows: Vec<Vec<String>> = holds.holds.iter().map(row).collect();
    say(&table(&["WHAT", "SINCE", "BY", "WHY"], &rows));
    Ok(())
}
