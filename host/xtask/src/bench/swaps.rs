//! From a saved file to the policy in force, as an operator lives it: the gateway watches, and its log says when.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::world::World;

const BUDGET_MS: f64 = 300.0;
const TIMES: usize = 9;
const PATIENCE: Duration = Duration::from_secs(30);

/// Saves another build of `phi` over it, and prints how long it took until it judged: compiled anew, and seen before. Its
/// test cases run in that time, as they do for an operator.
pub(super) fn run(world: &World) -> Result<()> {
    let place = world.component("phi")?;
    let kept = fs::read(&place).with_context(|| format!("read {}", place.display()))?;
    let (mut anew, mut seen) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        // A section that says nothing makes bytes that were never compiled.
        let mark = format!("{time}-{}", std::process::id());
        let mut fresh = kept.clone();
        fresh.extend([0, u8::try_from(mark.len() + 2)?, 1, b'x']);
        fresh.extend(mark.as_bytes());
        anew.push(put(world, &place, &fresh)?);
        seen.push(put(world, &place, &kept)?);
    }
    println!("\nfile saved, policy in force              median     budget");
    for (what, times) in [("a component never seen", anew), ("a digest seen before", seen)] {
        println!("{what:<38}{:>9.0} ms {BUDGET_MS:>8.0}", median(times));
    }
    Ok(())
}

#[expect(clippy::disallowed_types, reason = "a stopwatch beside another process; nobody pauses it")]
fn put(world: &World, place: &Path, bytes: &[u8]) -> Result<f64> {
    let before = world.epochs()?;
    let beside = place.with_extension("new");
    fs::write(&beside, bytes).with_context(|| format!("write {}", beside.display()))?;
    let began = std::time::Instant::now();
    fs::rename(&beside, place).with_context(|| format!("replace {}", place.display()))?;
    while world.epochs()? == before {
        ensure!(began.elapsed() < PATIENCE, "the gateway does not take the new component");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
