use anyhow::{Context, Result, ensure};

use crate::tour::psql::Said;
use crate::tour::scene::{Scene, Script, decision_in};
use crate::tour::{Need, Step};

/// What an analyst must not do to a table that the gateway's own login could drop.
const REFUSED: [(&str, &str, &str); 5] = [
    ("drop-table", "DROP TABLE stops at the gate", "DROP TABLE intake_drafts"),
    ("delete-all", "so does DELETE without WHERE", "DELETE FROM intake_drafts"),
    (
        "delete-in-cte",
        "also inside a CTE",
        "WITH gone AS (DELETE FROM intake_drafts RETURNING id) SELECT count(*) FROM gone",
    ),
    ("delete-after-comment", "also after comments", "/* monthly */ -- clean-up\nDELETE FROM intake_drafts"),
    ("delete-as-second", "also as the second statement of a text", "SELECT 1; DELETE FROM intake_drafts"),
];

pub(super) fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = REFUSED
        .iter()
        .map(|(id, shows, text)| Step {
            id,
            shows,
            needs: &[Need::Guard],
            act: Box::new(|scene, script| refuse(text, scene, script)),
        })
        .collect();
    steps.push(Step {
        id: "session-goes-on",
        shows: "after a refusal the session goes on, and its transaction is where PostgreSQL would have it",
        needs: &[Need::Guard, Need::Passage],
        act: Box::new(session_goes_on),
    });
    steps
}

fn refuse(text: &str, scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let before = scene.truth("SELECT count(*) FROM intake_drafts")?;
    let said = scene.ask("analyst", text, script)?;
    refused(&said)?;
    let after = scene.truth("SELECT count(*) FROM intake_drafts")?;
    ensure!(before == after && after == "300", "the table had {before} rows and has {after}");
    Ok(())
}

/// SQLSTATE, a reason, and the decision's id.
fn refused(said: &Said) -> Result<()> {
    ensure!(said.stderr.contains("ERROR:  42501: "), "no refusal arrived: {}", said.stderr.trim());
    decision_in(&said.stderr).context("the refusal names no decision")?;
    let reason =
        said.stderr.split_once("ERROR:  42501: ").map_or("", |(_, rest)| rest.lines().next().unwrap_or_default());
    ensure!(reason.len() > 20, "the refusal gives no reason: {reason}");
    Ok(())
}

fn session_goes_on(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("analyst")?.open()?;
    let mut ask = |text: &str| scene.ask_in(&mut session, "analyst", text, script);

    refused(&ask("DROP TABLE intake_drafts;")?)?;
    ensure!(ask("SELECT 'outside', count(*) FROM intake_drafts;")?.stdout == "outside|300\n", "the session is stuck");

    ask("BEGIN;")?;
    ensure!(ask("SELECT 'inside';")?.stdout == "inside\n", "the transaction did not begin");
    refused(&ask("DELETE FROM intake_drafts;")?)?;
    let aborted = ask("SELECT 'too late';")?;
    ensure!(
        aborted.stderr.contains("25P02"),
        "the transaction goes on after an error: {}{}",
        aborted.stdout,
        aborted.stderr
    );
    ask("ROLLBACK;")?;
    ensure!(ask("SELECT 'after', count(*) FROM intake_drafts;")?.stdout == "after|300\n", "the rollback left traces");
    Ok(())
}
