use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use grille_plugin::{Cost, Measured};
use serde_json::Value;

use super::super::table::{facts, harmless, line, table};
use super::test::read_cases;
use super::{Wrong, host, micros, show, size, stage, wait};
use crate::commands::{Format, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component; the cases beside it are what is asked
    file: PathBuf,
    /// Show every case, not only its hook
    #[arg(long)]
    cases: bool,
    /// How often each case is asked
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    calls: usize,
    /// Exit 1 where the p99 of a hook is over so many microseconds
    #[arg(long, value_name = "US")]
    max_p99: Option<f64>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(serde::Serialize)]
struct Figures {
    instance: Cost,
    /// The slowest case of each hook.
    hooks: BTreeMap<&'static str, Slowest>,
    cases: Vec<Measured>,
    /// Bytes of memory of an instance at most.
    memory: u64,
}

#[derive(Clone, Copy, serde::Serialize)]
struct Slowest {
    p50_ns: u64,
    p99_ns: u64,
}

/// Nobody waits longer for one case.
const CASE_TIME: Duration = Duration::from_secs(2);

pub(super) fn run(args: &Args) -> Result<Outcome, Wrong> {
    let place = args.file.display();
    let file = read_cases(&args.file)?;
    let host = host()?;
    let staged = stage(&host, &args.file)?;
    let named = file.cases.iter().find_map(|case| case.settings.as_ref()).or(file.settings.as_ref());
    let cost = wait(staged.cost(named.unwrap_or(&Value::Null)))?;
    let instance = cost.map_err(|why| Wrong::No(format!("{place}: it does not start: {why}")))?;
    let mut figures = Figures { instance, hooks: BTreeMap::new(), cases: Vec::new(), memory: instance.memory };
    for case in &file.cases {
        let measured = wait(staged.measure(&file, case, args.calls.max(1), CASE_TIME))?;
        let measured = measured.map_err(|why| Wrong::No(format!("{place}: case \"{}\": {why}", case.name)))?;
        let slowest = figures.hooks.entry(measured.hook).or_insert(Slowest { p50_ns: 0, p99_ns: 0 });
        slowest.p50_ns = slowest.p50_ns.max(measured.p50_ns);
        slowest.p99_ns = slowest.p99_ns.max(measured.p99_ns);
        figures.memory = figures.memory.max(measured.memory);
        figures.cases.push(measured);
    }
    show(args.format, &figures, || harmless(&text(&figures, args.cases)))?;
    let Some(max) = args.max_p99 else { return Ok(Outcome::Done) };
    let over = figures.hooks.iter().find(|(_, slowest)| slowest.p99_ns as f64 / 1000.0 > max);
    match over {
        Some((hook, slowest)) => {
            Err(Wrong::No(format!("{place}: the p99 of `{hook}` is {}, over {max} µs", micros(slowest.p99_ns))))
        }
        None => Ok(Outcome::Done),
    }
}

fn text(figures: &Figures, all: bool) -> String {
    let hook = |(hook, slowest): (&&str, &Slowest)| {
        vec![(*hook).to_owned(), String::new(), micros(slowest.p50_ns), micros(slowest.p99_ns)]
    };
    let case =
        |case: &Measured| vec![case.hook.to_owned(), line(&case.name, 60), micros(case.p50_ns), micros(case.p99_ns)];
    let rows: Vec<Vec<String>> = match all {
        true => figures.cases.iter().map(case).collect(),
        false => figures.hooks.iter().map(hook).collect(),
    };
    let headings = if all { ["HOOK", "CASE", "P50", "P99"] } else { ["HOOK", "", "P50", "P99"] };
    let instance = facts(&[
        ("instantiate", micros(figures.instance.instantiate_ns)),
        ("configure", micros(figures.instance.configure_ns)),
        ("memory", format!("{} at most", size(figures.memory))),
    ]);
    format!("{}\n{instance}", table(&headings, &rows))
}
