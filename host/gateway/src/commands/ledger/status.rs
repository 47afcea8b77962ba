use grille_admin::view::{Archived, Ledger, Status, Tail};

use crate::client::{Client, Reach};
use crate::commands::table::{facts, harmless};
use crate::commands::{Format, Outcome, answer, print_json, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Show) -> anyhow::Result<Outcome> {
    answer(async {
        let Status { ledger, .. } = Client::new(&args.reach)?.read(&["v1", "status"], &[]).await?;
        if args.format == Format::Json {
            return print_json(&ledger);
        }
        say(&text(&ledger));
        Ok(())
    })
}

fn text(ledger: &Ledger) -> String {
    let or_none = |tail: Option<Tail>, none: &str| tail.map_or_else(|| none.to_owned(), describe);
    let lines = [
        ("records", format!("{} written, {} safe from a power loss", ledger.written, ledger.synced)),
        ("unsigned", describe(ledger.unsigned)),
        ("unwitnessed", or_none(ledger.unwitnessed, "no witness has signed this log")),
        ("unanchored", or_none(ledger.unanchored, "there is no archive")),
        ("waiting", ledger.archive.as_ref().map(waiting).unwrap_or_default()),
        ("trouble", ledger.trouble.as_deref().unwrap_or_default().to_owned()),
    ];
    harmless(&facts(&lines))
}

fn describe(tail: Tail) -> String {
    match tail {
        Tail { records: 0, .. } => "nothing".to_owned(),
        Tail { records, age_ms } => format!("{records} records, the first of them {} s old", age_ms / 1000),
    }
}

fn waiting(archive: &Archived) -> String {
    let Archived { segments_waiting, bytes_waiting, trouble, .. } = archive;
    let trouble = trouble.as_ref().map(|why| format!("; the archive takes nothing: {why}")).unwrap_or_default();
    format!("{segments_waiting} closed segments for the archive, {} MiB{trouble}", bytes_waiting >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_vouches_for_is_told_and_what_nobody_could_is_not_zero() {
        let unsigned = Tail { records: 2, age_ms: 1_250 };
        let ledger = Ledger { written: 9, synced: 8, signed: 7, unsigned, ..Ledger::default() };
        assert_eq!(
            text(&ledger),
            "records      9 written, 8 safe from a power loss\n\
             unsigned     2 records, the first of them 1 s old\n\
             unwitnessed  no witness has signed this log\n\
             unanchored   there is no archive\n"
        );
        let archive =
            Archived { anchored: 9, segments_waiting: 2, bytes_waiting: 5 << 20, trouble: Some("off".into()) };
        let (unwitnessed, unanchored) = (Some(Tail { records: 3, age_ms: 60_000 }), Some(Tail::default()));
        let told = text(&Ledger { archive: Some(archive), unwitnessed, unanchored, ..ledger });
        for line in [
            "unwitnessed  3 records, the first of them 60 s old\n",
            "unanchored   nothing\n",
            "waiting      2 closed segments for the archive, 5 MiB; the archive takes nothing: off\n",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
    }
}
