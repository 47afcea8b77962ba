use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;

use crate::config::phi_settings;
use crate::tour::psql::Session;
use crate::tour::scene::{Scene, Script, until};
use crate::tour::{Act, Need, Step};
use crate::world::place_cases;

/// A saved file is in force after 0.3 s; two busy cores and an unoptimised compiler get more.
const IN_FORCE: Duration = Duration::from_secs(15);

const LOOK: &str = "SELECT ssn, first_name FROM patients ORDER BY id LIMIT 1;";
const STRICT: &str = "safe-harbor";
const JOINABLE: &str = "pseudonymous";

/// A component with one import that neither the contract knows nor a stand-in answers, and nothing else. (Binary format:
/// preamble, type section with one empty instance type, import section with one name of that type.)
fn with_forbidden_import() -> Vec<u8> {
    const NAME: &[u8] = b"wasi:http/outgoing-handler@0.2.0";
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([7, 3, 1, 0x42, 0]);
    bytes.extend([10, NAME.len() as u8 + 5, 1, 0, NAME.len() as u8]);
    bytes.extend(NAME);
    bytes.extend([5, 0]);
    bytes
}

/// A core module with nothing in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A file that must not come into force, and what the gateway must say about it.
struct Bad {
    id: &'static str,
    shows: &'static str,
    save: fn(&Scene<'_>) -> Result<()>,
    says: &'static str,
}

const BAD: [Bad; 4] = [
    Bad {
        id: "truncated-component",
        shows: "half a component changes nothing, and one line says why",
        save: |scene| {
            let whole = fs::read(component(scene)).context("read phi")?;
            let half = whole.get(..whole.len() / 2).unwrap_or_default();
            fs::write(scene.world.layout.plugin("phi"), half).context("write half of phi")
        },
        says: "phi",
    },
    Bad {
        id: "core-module",
        shows: "nor does a core module",
        save: |scene| fs::write(scene.world.layout.plugin("phi"), CORE_MODULE).context("write a core module"),
        says: "component",
    },
    Bad {
        id: "forbidden-import",
        shows: "nor a component that wants to reach the web",
        save: |scene| fs::write(scene.world.layout.plugin("phi"), with_forbidden_import()).context("write a component"),
        says: "wasi:http",
    },
    Bad {
        id: "bad-settings",
        shows: "nor settings that the policy does not understand",
        save: |scene| set_profile(scene, "unsafe-harbor"),
        says: "unsafe-harbor",
    },
];

pub(super) fn steps() -> Vec<Step> {
    let step = |id, shows, act: Act| Step { id, shows, needs: &[Need::Phi, Need::Passage], act };
    let mut steps = vec![
        step(
            "edit-settings",
            "settings edited while psql stays open: the next statement follows",
            Box::new(edit_settings),
        ),
        step("replace-component", "the same with another build of the policy", Box::new(replace_component)),
    ];
    steps.extend(BAD.iter().map(|bad| step(bad.id, bad.shows, Box::new(|scene, script| refuse(bad, scene, script)))));
    steps
}

fn edit_settings(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("analyst")?.open()?;
    let before = scene.ask_in(&mut session, "analyst", LOOK, script)?.stdout;
    scene.clear.none_in(&before)?;
    let done = follow(scene, &mut session, script, &before, "grille.toml: profile = \"pseudonymous\"", |scene| {
        set_profile(scene, JOINABLE)
    });
    // Whatever came of it, the next step finds what it expects.
    set_profile(scene, STRICT)?;
    done?;
    until(IN_FORCE, "the old settings are back", || Ok((session.ask(LOOK)?.stdout == before).then_some(())))
}

fn replace_component(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("analyst")?.open()?;
    let before = scene.ask_in(&mut session, "analyst", LOOK, script)?.stdout;
    let done = follow(scene, &mut session, script, &before, "phi.wasm: another build", |scene| {
        install(scene, &scene.world.components.join("demo").join("phi-next.wasm"))
    });
    install(scene, &component(scene))?;
    done?;
    until(IN_FORCE, "the first build is back", || Ok((session.ask(LOOK)?.stdout == before).then_some(())))
}

/// Makes a change and asks in the open session until the answer is another one.
fn follow(
    scene: &Scene<'_>,
    session: &mut Session,
    script: &mut Script,
    before: &str,
    what: &str,
    change: impl Fn(&Scene<'_>) -> Result<()>,
) -> Result<()> {
    change(scene)?;
    let saved = Instant::now();
    let after = until(IN_FORCE, "the next statement follows", || {
        let said = session.ask(LOOK)?;
        scene.clear.none_at(&said)?;
        ensure!(!said.stderr.contains("ERROR"), "a statement failed meanwhile: {}", said.stderr.trim());
        Ok((said.stdout != before).then_some(said.stdout))
    })?;
    script.note(format!("{what}; followed after {} ms:", saved.elapsed().as_millis()));
    script.said(&after);
    Ok(())
}

fn refuse(bad: &Bad, scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let mut session = scene.psql("analyst")?.open()?;
    let before = scene.ask_in(&mut session, "analyst", LOOK, script)?.stdout;
    ensure!(!before.is_empty(), "nothing arrives even before the change");
    let status = status(scene)?;
    let refused = watch_refusal(bad, scene, &mut session, &before, &status);
    install(scene, &component(scene))?;
    set_profile(scene, STRICT)?;
    script.note(refused?);
    until(IN_FORCE, "the good files are taken again", || {
        let reload = self::status(scene)?;
        Ok((reload.pointer("/reload/is_done") != Some(&Value::Bool(false))).then_some(()))
    })
}

/// Saves the bad file; returns the line that says why it was refused.
fn watch_refusal(bad: &Bad, scene: &Scene<'_>, session: &mut Session, before: &str, old: &Value) -> Result<String> {
    let logged = scene.log_length()?;
    (bad.save)(scene)?;
    let now = until(IN_FORCE, "the gateway says why", || {
        let now = status(scene)?;
        let is_new = now.pointer("/reload/at_ms") != old.pointer("/reload/at_ms");
        Ok((is_new && now.pointer("/reload/is_done") == Some(&Value::Bool(false))).then_some(now))
    })?;
    ensure!(now.get("epoch") == old.get("epoch"), "the policy epoch moved");
    ensure!(session.ask(LOOK)?.stdout == before, "the answer changed");
    let log = scene.log_since(logged)?;
    let Some(line) = log.lines().find(|line| line.contains(bad.says)) else {
        bail!("no line of the log mentions `{}`: {}", bad.says, log.trim());
    };
    // The time and the long way to the files are of no interest here.
    let dir = scene.world.layout.dir.to_string_lossy().into_owned();
    let line = line.split_once(' ').map_or(line, |(_, rest)| rest).replace(&dir, "…");
    Ok(line.rsplit(" | ").next().unwrap_or(&line).trim().to_owned())
}

fn status(scene: &Scene<'_>) -> Result<Value> {
    let answered = scene.grille("reviewer", &["policy", "status", "--format", "json"], &mut Script::default())?;
    ensure!(answered.code == Some(0), "`grille policy status`: {}", answered.stderr.trim());
    serde_json::from_str(&answered.stdout).context("understand `grille policy status`")
}

/// phi as it was built.
fn component(scene: &Scene<'_>) -> std::path::PathBuf {
    scene.world.components.join("phi.wasm")
}

/// Replaces phi in one go, as an installer does.
fn install(scene: &Scene<'_>, component: &std::path::Path) -> Result<()> {
    let place = scene.world.layout.plugin("phi");
    let beside = place.with_extension("new");
    fs::copy(component, &beside).with_context(|| format!("copy {}", component.display()))?;
    // A build must never lie beside the promises of another: those that go, go first; those that come, come last.
    if !component.with_extension("cases.json").is_file() {
        place_cases(component, &place)?;
    }
    fs::rename(&beside, &place).with_context(|| format!("replace {}", place.display()))?;
    place_cases(component, &place)
}

/// Edits phi's profile in grille.toml, as an editor that saves in place does.
fn set_profile(scene: &Scene<'_>, profile: &str) -> Result<()> {
    let path = scene.world.layout.config();
    let text = fs::read_to_string(&path).context("read grille.toml")?;
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.starts_with("settings = ") && line.contains("columns") {
            true => format!("settings = {}", phi_settings(profile)),
            false => line.to_owned(),
        })
        .collect();
    fs::write(&path, lines.join("\n") + "\n").context("write grille.toml")
}

#[cfg(test)]
mod tests {
    use super::with_forbidden_import;

    #[test]
    fn the_forbidden_component_is_as_long_as_its_sections_say() {
        let bytes = with_forbidden_import();
        let imports = 8 + 5;
        assert_eq!(bytes[imports], 10);
        assert_eq!(usize::from(bytes[imports + 1]), bytes.len() - imports - 2);
    }
}
