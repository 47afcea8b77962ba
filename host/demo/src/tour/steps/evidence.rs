use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::tour::scene::{Scene, Script, session_in};
use crate::tour::{Need, Step};

pub(super) fn steps() -> Vec<Step> {
    let step = |id, shows, needs, act| Step { id, shows, needs, act };
    vec![
        step(
            "replay",
            "the ledger shows who did what, and replays what they saw: masked",
            &[Need::Phi, Need::Guard, Need::Passage] as &'static [Need],
            Box::new(replay as fn(&Scene<'_>, &mut Script) -> Result<()>) as super::super::Act,
        ),
        step("ledger-verify", "the ledger verifies", &[], Box::new(verify)),
        step("ledger-tampered", "one flipped byte is found, and its record named", &[], Box::new(tampered)),
    ]
}

fn replay(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("analyst")?.open()?;
    let shown = scene.ask_in(&mut session, "analyst", "SELECT id, ssn, state FROM patients WHERE id = 7;", script)?;
    let refused = scene.ask_in(&mut session, "analyst", "DROP TABLE intake_drafts;", script)?;
    let id = session_in(&refused.stderr).context("the refusal names no decision")?.to_string();
    drop(session);

    let listed = scene.grille("reviewer", &["session", "list"], script)?;
    ensure!(
        listed.code == Some(0) && listed.stdout.contains(&id),
        "session {id} is not listed: {}",
        listed.stderr.trim()
    );
    let denied = scene.grille("analyst", &["session", "list"], script)?;
    ensure!(denied.code != Some(0), "somebody who is no auditor lists sessions");
    let replayed = scene.grille("reviewer", &["session", "replay", &id], script)?;
    ensure!(replayed.code == Some(0), "no replay: {}", replayed.stderr.trim());
    for wanted in ["SELECT id, ssn, state FROM patients WHERE id = 7", "DROP TABLE intake_drafts", "42501"] {
        ensure!(replayed.stdout.contains(wanted), "the replay does not show `{wanted}`");
    }
    let state = shown.stdout.trim().rsplit('|').next().unwrap_or_default();
    ensure!(!state.is_empty() && replayed.stdout.contains(state), "the replay does not show the row");
    scene.clear.none_in(&replayed.stdout)
}

fn verify(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let ledger = scene.world.layout.ledger().to_string_lossy().into_owned();
    let verified = scene.grille("reviewer", &["ledger", "verify", &ledger], script)?;
    ensure!(verified.code == Some(0) && verified.stdout.contains("OK"), "the ledger does not verify");
    Ok(())
}

fn tampered(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let copy = tempfile::tempdir().context("make a temporary directory")?;
    let place = copy.path().join("ledger");
    copy_dir(&scene.world.layout.ledger(), &place)?;
    let file = longest_file(&place)?.context("the ledger holds no file")?;
    let mut bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let middle = bytes.len() / 2;
    let Some(byte) = bytes.get_mut(middle) else { bail!("{} is empty", file.display()) };
    *byte ^= 0x01;
    fs::write(&file, &bytes).with_context(|| format!("write {}", file.display()))?;
    script
        .note(format!("one bit flipped at byte {middle} of {}", file.strip_prefix(&place).unwrap_or(&file).display()));

    let verified = scene.grille("reviewer", &["ledger", "verify", &place.to_string_lossy()], script)?;
    ensure!(verified.code == Some(1), "the answer is {:?} instead of 1", verified.code);
    let said = format!("{}{}", verified.stdout, verified.stderr);
    ensure!(said.contains("record"), "no record is named");
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_dir(&path, &target)?;
        } else if path.is_file() {
            fs::copy(&path, &target).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// The longest file holds the records.
fn longest_file(dir: &Path) -> Result<Option<PathBuf>> {
    let mut longest: Option<(u64, PathBuf)> = None;
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                todo.push(path);
                continue;
            }
            let length = path.metadata()?.len();
            if longest.as_ref().is_none_or(|(most, _)| length > *most) {
                longest = Some((length, path));
            }
        }
    }
    Ok(longest.map(|(_, path)| path))
}
