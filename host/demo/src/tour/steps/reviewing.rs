use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::tour::scene::{Scene, Script, request_in};
use crate::tour::{Need, Step};

/// The notice of a hold is sent at once.
const NOTICE: Duration = Duration::from_secs(10);
/// From the approval to the last of 20,000 updated rows.
const RELEASE: Duration = Duration::from_secs(30);

const BULK: &str = "UPDATE patients SET reminder_opt_in = true;";

pub(super) fn steps() -> Vec<Step> {
    vec![
        Step {
            id: "own-approval",
            shows: "nobody approves their own request, not even a reviewer",
            needs: &[Need::Guard, Need::Passage],
            act: Box::new(own_approval),
        },
        Step {
            id: "held-and-approved",
            shows: "a bulk update waits at the prompt until another person approves it",
            needs: &[Need::Guard, Need::Passage],
            act: Box::new(held_and_approved),
        },
    ]
}

fn own_approval(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("reviewer")?.open()?;
    script.asked("reviewer", BULK);
    session.send(BULK)?;
    let (notice, id) = session.notice(NOTICE, request_in).context("no notice names a request")?;
    script.said(&notice);
    let id = id.to_string();
    let own = scene.grille("reviewer", &["review", "approve", &id, "--reason", "it is mine"], script)?;
    ensure!(own.code == Some(1), "the answer to one's own approval is {:?}", own.code);
    let denied = scene.grille("analyst", &["review", "approve", &id, "--reason", "no right to"], script)?;
    ensure!(denied.code != Some(0), "somebody who is no reviewer approved");
    ensure!(scene.truth("SELECT count(*) FROM patients WHERE reminder_opt_in")? == "0", "the update ran");
    // The caller goes: the request is withdrawn with it.
    drop(session);
    Ok(())
}

fn held_and_approved(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("analyst")?.open()?;
    script.asked("analyst", BULK);
    session.send(BULK)?;
    let (notice, id) = session.notice(NOTICE, request_in).context("no notice names a request")?;
    script.said(&notice);
    ensure!(notice.contains("NOTICE:"), "psql shows no notice");
    let id = id.to_string();
    ensure!(
        scene.truth("SELECT count(*) FROM patients WHERE reminder_opt_in")? == "0",
        "it ran before anybody approved"
    );

    let listed = scene.grille("reviewer", &["review", "list"], script)?;
    ensure!(listed.code == Some(0) && listed.stdout.contains(&id), "the request is not listed");
    let reason = "the campaign of July, agreed with the privacy office";
    let approved = scene.grille("reviewer", &["review", "approve", &id, "--reason", reason], script)?;
    ensure!(approved.code == Some(0), "the approval was not taken: {}", approved.stderr.trim());

    let said = session.answer(RELEASE)?;
    scene.heard(&said, script);
    ensure!(!said.stderr.contains("ERROR"), "the statement failed after the approval: {}", said.stderr.trim());
    let (updated, all) = (
        scene.truth("SELECT count(*) FROM patients WHERE reminder_opt_in")?,
        scene.truth("SELECT count(*) FROM patients")?,
    );
    ensure!(updated == all, "{updated} of {all} rows are updated");
    script.note(format!("the statement ran: {updated} rows"));
    let again = scene.ask_in(&mut session, "analyst", "SELECT 'the session goes on';", script)?;
    ensure!(again.stdout.contains("goes on"), "the session is stuck");
    Ok(())
}
