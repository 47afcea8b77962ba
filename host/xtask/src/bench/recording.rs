//! What recordings cost: point selects with the default, beside decisions and outcomes alone, in one gateway.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Sample, pgbench};
use super::world::World;
use super::{CLIENTS, Effort, MODES, median};
use crate::shell::say;

/// Processor time per transaction with recordings, beside that without.
const RATIO_MAX: f64 = 1.15;
const TARGET: &str = "[targets.clinic]\n";
const PATIENCE: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Takes turns between both ways to keep a session, and prints the medians.
pub(super) fn run(world: &World, effort: Effort) -> Result<()> {
    let mut rows = Vec::new();
    for mode in MODES {
        say(&format!("recordings, {mode}, {} clients", CLIENTS[0]));
        let mut taken: [Vec<Sample>; 2] = [const { Vec::new() }; 2];
        for _ in 0..effort.rounds {
            for (record, samples) in ["decisions", "capped"].iter().zip(&mut taken) {
                keep(world, record)?;
                samples.push(pgbench(&world.grille()?, &world.script, mode, CLIENTS[0], effort.seconds)?);
            }
        }
        rows.push((mode, taken.map(median)));
    }
    println!("\nCPU per transaction, us      record = \"decisions\"   \"capped\"   ratio   budget");
    for (mode, [decisions, capped]) in rows {
        let ratio = capped.cpu_micros / decisions.cpu_micros;
        println!("  {mode:<26}{:>22.1}{:>11.1}{ratio:>8.2}{RATIO_MAX:>9}", decisions.cpu_micros, capped.cpu_micros);
    }
    Ok(())
}

/// Has the gateway keep what comes from now on in this way.
fn keep(world: &World, record: &str) -> Result<()> {
    let path = world.config();
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    ensure!(text.contains(TARGET), "{} has no {TARGET}", path.display());
    let others = text.split_inclusive('\n').filter(|line| !line.starts_with("record = "));
    let wanted = others.collect::<String>().replace(TARGET, &format!("{TARGET}record = \"{record}\"\n"));
    if wanted == text {
        return Ok(());
    }
    let before = world.reloads()?;
    let beside = path.with_extension("new");
    fs::write(&beside, wanted)
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("write {}", path.display()))?;
    for _ in 0..PATIENCE {
        if world.reloads()? > before {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    bail!("the gateway does not take the configuration; see gateway.log beside {}", path.display())
}
