//! `cargo xtask bench`: what policies cost, and point selects straight to PostgreSQL, through PgBouncer, and through Grille
//! with both first-party policies and the ledger on, in one run on one machine.
//!
//! Absolute figures say little on a shared machine, ratios say much: the three ways take turns within each round, and
//! the medians of the rounds are compared. Processor time per transaction is the steadier figure of the two.

mod measure;
mod recording;
mod streams;
mod swaps;
mod world;

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{cargo, run as run_command, say, target_dir};
use crate::{components, system};
use measure::{Sample, pgbench};
use world::World;

/// Grille's budgets beside PgBouncer in session mode.
const CPU_RATIO_MAX: f64 = 1.5;
const TPS_RATIO_MIN: f64 = 0.8;

const MODES: [&str; 3] = ["simple", "extended", "prepared"];
const CLIENTS: [u32; 2] = [8, 32];

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Length of one measurement; its first second is not counted.
    pub(crate) seconds: u32,
    /// Measurements of each way and load.
    pub(crate) rounds: u32,
}

/// Builds in release, starts everything, measures, prints a table; without an effort only what policies cost. Being over
/// budget is a finding, not an error.
pub(crate) fn run(root: &Path, effort: Option<Effort>) -> Result<()> {
    if let Some(effort) = effort {
        ensure!(effort.seconds >= 3, "--seconds must be 3 or more: the first second is not counted");
        ensure!(effort.rounds >= 1, "--rounds must be 1 or more");
    }
    system::prepare(&system::DEMO, false)?;
    say("building the policies and grille in release");
    components::build(root)?;
    // In one command, so that all have the same features of what they share and wasmtime is built once.
    let packages = ["grille-gateway", "grille-plugin", "grille-mask", "grille-ledger"]
        .into_iter()
        .flat_map(|name| ["--package", name]);
    run_command(cargo(root).args(["build", "--release", "--locked", "--bins", "--examples"]).args(packages))?;
    let release = target_dir(root)?.join("release");
    say("policies");
    run_command(&mut Command::new(release.join("examples").join("budget")))?;
    say("scanning dense notes (budget 60 MB/s on one core)");
    let notes = root.join("host/mask/tests/golden/notes.jsonl");
    let notes = File::open(&notes).with_context(|| format!("open {}", notes.display()))?;
    run_command(Command::new(release.join("examples").join("speed")).stdin(notes))?;
    say("writing and verifying a million records (budget 10 s to verify)");
    let records = target_dir(root)?.join("bench/ledger");
    run_command(Command::new(release.join("examples").join("measure")).arg("1000000").arg(records))?;
    say("starting database, issuer, gateway and PgBouncer");
    let world =
        World::start(&release.join("grille"), &target_dir(root)?.join("bench"), &root.join("target/components"))?;
    swaps::run(&world)?;
    streams::run(&world)?;

    let Some(effort) = effort else { return Ok(()) };
    let mut rows = Vec::new();
    for mode in MODES {
        for clients in CLIENTS {
            say(&format!("{mode}, {clients} clients"));
            rows.push(row(&world, mode, clients, effort)?);
        }
    }
    print(&rows, effort);
    recording::run(&world, effort)
}

struct Row {
    mode: &'static str,
    clients: u32,
    direct: Sample,
    bouncer: Sample,
    grille: Sample,
}

/// The three ways in turn, `rounds` times, and the median of each.
fn row(world: &World, mode: &'static str, clients: u32, effort: Effort) -> Result<Row> {
    let mut taken: [Vec<Sample>; 3] = [const { Vec::new() }; 3];
    for round in 0..effort.rounds {
        let ways = [world.direct(), world.bouncer(), world.grille()?];
        for (way, samples) in ways.iter().zip(&mut taken) {
            let sample = pgbench(way, &world.script, mode, clients, effort.seconds)
                .with_context(|| format!("round {} through {}", round + 1, way.name))?;
            samples.push(sample);
        }
    }
    let [direct, bouncer, grille] = taken.map(median);
    Ok(Row { mode, clients, direct, bouncer, grille })
}

/// The medians of both figures, each by itself.
fn median(samples: Vec<Sample>) -> Sample {
    let middle = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        let half = figures.len() / 2;
        match figures.len() % 2 {
            0 => (figures[half - 1] + figures[half]) / 2.0,
            _ => figures[half],
        }
    };
    Sample {
        tps: middle(samples.iter().map(|sample| sample.tps).collect()),
        cpu_micros: middle(samples.iter().map(|sample| sample.cpu_micros).collect()),
    }
}

fn print(rows: &[Row], effort: Effort) {
    let (seconds, rounds) = (effort.seconds, effort.rounds);
    println!(
        "\npgbench point selects; {seconds} s x {rounds} rounds, medians; CPU is the proxy's own, per transaction"
    );
    println!("Grille: analyst, policies phi and sql-guard enforced, ledger on. PgBouncer: session mode.\n");
    println!("                     direct      PgBouncer             Grille             Grille / PgBouncer");
    println!("  mode     clients      tps      tps  ratio  CPU us    tps  ratio  CPU us      tps     CPU");
    for Row { mode, clients, direct, bouncer, grille } in rows {
        let (tps, cpu) = (grille.tps / bouncer.tps, grille.cpu_micros / bouncer.cpu_micros);
        let mark = if tps >= TPS_RATIO_MIN && cpu <= CPU_RATIO_MAX { "" } else { "  over budget" };
        println!(
            "  {mode:<9}{clients:>7}{:>9.0}{:>9.0}{:>7.2}{:>8.1}{:>7.0}{:>7.2}{:>8.1}{tps:>9.2}{cpu:>8.2}{mark}",
            direct.tps,
            bouncer.tps,
            bouncer.tps / direct.tps,
            bouncer.cpu_micros,
            grille.tps,
            grille.tps / direct.tps,
            grille.cpu_micros,
        );
    }
    println!("\n  budget: tps at least {TPS_RATIO_MIN}, CPU at most {CPU_RATIO_MAX} of PgBouncer's");
}

#[cfg(test)]
mod tests {
    use super::{Sample, median};

    #[test]
    fn the_median_is_of_each_figure_by_itself() {
        let sample = |tps, cpu_micros| Sample { tps, cpu_micros };
        let odd = median(vec![sample(3.0, 1.0), sample(1.0, 2.0), sample(2.0, 9.0)]);
        assert_eq!((odd.tps, odd.cpu_micros), (2.0, 2.0));
        let even = median(vec![sample(4.0, 1.0), sample(2.0, 2.0)]);
        assert_eq!((even.tps, even.cpu_micros), (3.0, 1.5));
    }
}
