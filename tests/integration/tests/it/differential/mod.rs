//! Random scripts of messages, played straight to the server and through the gateway: the answers must agree message by
//! message. Where a policy blocks a message, the server is told one that cannot parse in its place, so that transaction
//! state, Sync, portals and prepared statements must be exactly what a failing statement leaves.
//!
//! What is left out on purpose stands in [`oracle::Oracle::may_say`] and in `play::is_same`.
//!
//! `GRILLE_SEED` chooses the scripts, `GRILLE_SCRIPTS` how many. A difference is reported with its seed, shortened to the
//! messages that it needs.
#![allow(clippy::print_stdout, reason = "the table is what people want of it")]

mod coverage;
mod generate;
mod message;
mod oracle;
mod play;
mod session;

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use grille_test_support::{Chance, World};
use tokio::time::Instant;

use coverage::Coverage;
use play::{Difference, Pace, Step};
use session::{Kind, Pair};

use crate::records::each_is_recorded_once;

/// The default number of scripts, of which the coverage is required.
const SCRIPTS: u64 = 10_000;
/// Most scripts follow others on the same connections; each of these gets new ones.
const FRESH_EVERY: u64 = 100;

#[test]
fn a_blocked_message_leaves_what_a_failing_one_leaves() {
    let (seed, scripts) = (number("GRILLE_SEED", 1), number("GRILLE_SCRIPTS", SCRIPTS));
    let world = session::world().expect("a world");
    let (is_over, began) = (AtomicBool::new(false), Instant::now());
    let results: Vec<_> = thread::scope(|scope| {
        // Each kind of session has every third script, so that a seed always says the same.
        let work = |(first, kind)| work(&world, kind, seed, (first..scripts).step_by(Kind::ALL.len()), &is_over);
        let workers: Vec<_> =
            (0..).zip(Kind::ALL).map(|(first, kind)| scope.spawn(move || work((first, kind)))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker reports, it does not panic")).collect()
    });
    let mut coverage = Coverage::default();
    let mut differences = Vec::new();
    for result in results {
        match result {
            Ok(covered) => coverage.add(covered),
            Err(error) => differences.push(format!("seed {seed}, {error:#}")),
        }
    }
    let said = tail(&world.said());
    assert!(differences.is_empty(), "{}\nthe gateway said:\n{said}", differences.join("\n\n"));
    println!("{scripts} scripts from seed {seed} in {:.1} s\n{coverage}", began.elapsed().as_secs_f64());
    assert!(!world.said().contains("panicked"), "{}", world.said());
    // And of all of it there is a decision and an outcome, once each.
    assert!(each_is_recorded_once(&world) as u64 > scripts);
    if scripts >= SCRIPTS {
        let server = oracle::Oracle::new(world.direct()).expect("the server answers");
        let missing = coverage.missing(server.version);
        assert!(missing.is_empty(), "fewer than {} times:\n{}", coverage::EACH, missing.join("\n"));
    }
}

/// Plays scripts until there are none left, or one of them failed somewhere.
fn work(
    world: &World,
    kind: Kind,
    seed: u64,
    scripts: impl Iterator<Item = u64>,
    is_over: &AtomicBool,
) -> Result<Coverage> {
    let mut coverage = Coverage::default();
    let mut pair = Pair::new(world, kind)?;
    let mut last = 0;
    for script in scripts {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        if script / FRESH_EVERY > last / FRESH_EVERY {
            pair.reconnect()?;
        }
        last = script;
        let mut chance = Chance::seeded(seed.wrapping_mul(1_000_000_007).wrapping_add(script));
        let played = one(&mut pair, &mut chance, &mut coverage);
        if let Err(error) = played {
            is_over.store(true, Ordering::Relaxed);
            return Err(error.context(format!("script {script}, {kind:?}")));
        }
    }
    Ok(coverage)
}

fn one(pair: &mut Pair<'_>, chance: &mut Chance, coverage: &mut Coverage) -> Result<()> {
    let pace = [Pace::AtOnce, Pace::AtOnce, Pace::Batches, Pace::InStep][chance.below(4)];
    let steps = play::invent(pair, chance).context("the script could not be played to the server itself")?;
    pair.reset()?;
    let difference = play::compare(pair, &steps, pace);
    play::count(&steps, coverage);
    let Some(difference) = difference else { return pair.reset() };
    // Its ending may stay: what a shorter script does not need is left out, and it gets one of its own.
    let messages: Vec<_> = steps.iter().map(|step| step.message.clone()).collect();
    match play::shrink(pair, &messages, pace) {
        Some((steps, shrunk)) => anyhow::bail!("{pace:?}, shortened:\n{}", report(&steps, &shrunk)),
        None => anyhow::bail!("{pace:?}, only after the scripts before it:\n{}", report(&steps, &difference)),
    }
}

fn report(steps: &[Step], difference: &Difference) -> String {
    let mut text = format!("{}\n", difference.why);
    for step in steps {
        let expected: Vec<_> = step.expected.iter().map(play::shown).collect();
        writeln!(text, "  {}\n      {}", step.message, expected.join(" ")).expect("a text takes more");
    }
    let got: Vec<_> = difference.got.iter().map(play::shown).collect();
    text + "through the gateway:\n      " + &got.join(" ")
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
