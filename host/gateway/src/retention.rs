//! How long contents are kept, and the hourly look for sessions for which that is over.

use std::time::Duration;

use grille_ledger::{Ledger, ShredError};
use tokio::time::sleep;

use crate::causes::causes;

/// Between two looks. Retentions count in days.
const AGAIN: Duration = Duration::from_secs(3600);
/// Between two steps of one look, so that sessions and syncs get their turn.
const PAUSE: Duration = Duration::from_millis(200);

/// A span for people.
pub(crate) fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Looks at the start, then every hour, step by step.
pub(crate) async fn watch(ledger: Ledger) {
    loop {
        let before = ledger.status().retained;
        let looked = look(&ledger).await;
        let after = ledger.status().retained;
        let ended = after.destroyed - before.destroyed;
        if ended > 0 {
            tracing::info!("the retention of {ended} session(s) is over: their contents are destroyed");
        }
        if after.leapt > before.leapt {
            let days = (after.leapt - before.leapt) / 86_400_000_000;
            tracing::warn!(
                "the clock leapt by {days} day(s) that the ledger did not see pass: no retention counts them"
            );
        }
        if let Err(error) = looked {
            tracing::error!("what is past its retention stays for now: {}", causes(&error));
        }
        sleep(AGAIN).await;
    }
}

async fn look(ledger: &Ledger) -> Result<(), ShredError> {
    while ledger.end_retentions().await? {
        sleep(PAUSE).await;
    }
    Ok(())
}
