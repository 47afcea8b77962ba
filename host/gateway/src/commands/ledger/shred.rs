use grille_admin::view::{ShredWish, Shredded};

use crate::client::{Client, Reach};
use crate::commands::{Outcome, answer, say};

/// Its records, leaves and proofs stay; what they hold is gone for good, and a record says who did it and why. Refused under
/// a legal hold, and before the end of its retention. Copies of the ledger's `keys` folder elsewhere open it still: destroy the row there, too.
#[derive(Debug, clap::Args)]
pub(crate) struct Shred {
    /// The session, or a unique beginning of its id
    #[arg(long, value_name = "ID")]
    session: String,
    /// Why; it is recorded
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Although its retention is not over; the record says so
    #[arg(long)]
    early: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Shred) -> anyhow::Result<Outcome> {
    answer(async {
        let wish = ShredWish { session: args.session.clone(), reason: args.reason.clone(), early: args.early };
        let done: Shredded = Client::new(&args.reach)?.post(&["v1", "ledger", "shred"], &wish).await?;
        say(&format!("the contents of session {} are destroyed\n", done.session));
        Ok(())
    })
}
