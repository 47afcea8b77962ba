use std::path::{Path, PathBuf};

use anyhow::Context as _;
use grille_plugin::{CaseFile, CaseResult, cases_path, cases_schema};

use super::super::table::harmless;
use super::{Wrong, host, show, stage, wait};
use crate::commands::{Format, Outcome, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component, or a folder of components that have test cases beside them
    #[arg(default_value = ".")]
    place: PathBuf,
    /// Print the JSON Schema of files of test cases, and do nothing else
    #[arg(long)]
    schema: bool,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(serde::Serialize)]
struct Tested {
    plugin: String,
    held: usize,
    failed: usize,
    cases: Vec<CaseResult>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Wrong> {
    if args.schema {
        say(&format!("{}\n", serde_json::to_string_pretty(&cases_schema()).context("write JSON")?));
        return Ok(Outcome::Done);
    }
    let host = host()?;
    let mut all = Vec::new();
    for plugin in plugins(&args.place)? {
        let file = read_cases(&plugin)?;
        let staged = stage(&host, &plugin)?;
        let cases = wait(async {
            let mut results = Vec::with_capacity(file.cases.len());
            for case in &file.cases {
                results.push(staged.play(&file, case).await);
            }
            results
        })?;
        let failed = cases.iter().filter(|result| !result.holds()).count();
        all.push(Tested { plugin: plugin.display().to_string(), held: cases.len() - failed, failed, cases });
    }
    show(args.format, &all, || harmless(&all.iter().map(text).collect::<String>()))?;
    Ok(if all.iter().any(|tested| tested.failed > 0) { Outcome::No } else { Outcome::Done })
}

/// The cases beside a plugin, or the one line why there are none.
pub(super) fn read_cases(plugin: &Path) -> Result<CaseFile, Wrong> {
    let path = cases_path(plugin);
    if !path.is_file() {
        return Err(Wrong::No(format!(
            "{}: there are no test cases; `grille plugin new` shows how they look",
            path.display()
        )));
    }
    CaseFile::read(&path).map_err(|wrong| Wrong::No(format!("{}: {wrong}", path.display())))
}

/// The components that a place means.
fn plugins(place: &Path) -> Result<Vec<PathBuf>, Wrong> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut plugins = Vec::new();
    for entry in std::fs::read_dir(place).with_context(|| format!("list {}", place.display()))? {
        let path = entry.with_context(|| format!("list {}", place.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".cases.json") {
            plugins.push(path.with_file_name(format!("{stem}.wasm")));
        }
    }
    plugins.sort();
    if let Some(missing) = plugins.iter().find(|plugin| !plugin.is_file()) {
        let missing = missing.display();
        return Err(Wrong::No(format!("{missing}: it is not built; run: grille plugin build {}", place.display())));
    }
    if plugins.is_empty() {
        return Err(Wrong::No(format!("{}: no file of test cases lies here; name a component", place.display())));
    }
    Ok(plugins)
}

fn text(tested: &Tested) -> String {
    let mut text = format!("{}\n", tested.plugin);
    for result in &tested.cases {
        if result.holds() {
            text.push_str(&format!("  ✓ {}\n", result.name));
            continue;
        }
        text.push_str(&format!("  ✗ {}\n", result.name));
        for mismatch in &result.mismatches {
            text.push_str(&format!(
                "      {}\n        expected  {}\n        got       {}\n",
                mismatch.what, mismatch.expected, mismatch.got
            ));
        }
        for line in result.answer.iter().flat_map(|answer| &answer.log) {
            text.push_str(&format!("        log       {line}\n"));
        }
    }
    let (held, failed) = (tested.held, tested.failed);
    let said = if failed == 0 { format!("{held} held") } else { format!("{held} held, {failed} failed") };
    text.push_str(&format!("  {said}\n"));
    text
}
