//! The tour: what the gateway does, shown on the clinic, each step with its proof.
//!
//! Steps are data: an id, what they show, which parts of the gateway they need. So a test can take a part away and
//! demand that exactly the steps that need it fail.

mod clear;
mod psql;
mod scene;
mod steps;
mod tap;

use std::io::Write;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::world::World;
use scene::{Scene, Script};

/// A part of the gateway that a step relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The policy that finds and masks identifying columns.
    Phi,
    /// The policy that blocks and sends to review.
    Guard,
    /// That ordinary statements pass at all.
    Passage,
}

/// One step of the tour.
pub struct Step {
    /// Its name in transcripts and tests.
    pub id: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// Without any of these it cannot hold.
    pub needs: &'static [Need],
    act: Act,
}

type Act = Box<dyn Fn(&Scene<'_>, &mut Script) -> Result<()> + Send + Sync>;

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All steps in their order.
#[must_use]
pub fn steps() -> Vec<Step> {
    steps::all()
}

/// Performs all steps, prints the transcript, and says whether every one held.
pub(crate) fn perform(world: &World, interrupted: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<bool> {
    let began = Instant::now();
    let scene = Scene::set(world)?;
    let (mut held, mut failed) = (0usize, Vec::new());
    for step in steps() {
        if interrupted() {
            anyhow::bail!("interrupted before `{}`", step.id);
        }
        let start = Instant::now();
        let mut script = Script::default();
        let result = (step.act)(&scene, &mut script);
        let mark = if result.is_ok() { '✓' } else { '✗' };
        let seconds = start.elapsed().as_secs_f32();
        let print = (|| {
            writeln!(out, "{mark} {:<22} {}  ({seconds:.1} s)", step.id, step.shows)?;
            for line in script.lines() {
                writeln!(out, "    {line}")?;
            }
            if let Err(error) = &result {
                writeln!(out, "    ✗ {error:#}")?;
            }
            out.flush()
        })();
        print.context("print the transcript")?;
        match result {
            Ok(()) => held += 1,
            Err(_) => failed.push(step.id),
        }
    }
    let seconds = began.elapsed().as_secs_f32();
    let print = match failed.as_slice() {
        [] => writeln!(out, "\nall {held} steps hold ({seconds:.1} s)"),
        some => writeln!(out, "\n{held} steps hold, {} do not: {} ({seconds:.1} s)", some.len(), some.join(", ")),
    };
    print.context("print the transcript")?;
    Ok(failed.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Need, steps};

    #[test]
    fn steps_have_names_of_their_own_and_each_part_is_needed_by_some_and_not_by_all() {
        let steps = steps();
        let ids: HashSet<_> = steps.iter().map(|step| step.id).collect();
        assert_eq!(ids.len(), steps.len());
        for need in [Need::Phi, Need::Guard, Need::Passage] {
            let with = steps.iter().filter(|step| step.needs.contains(&need)).count();
            assert!(with > 0 && with < steps.len(), "{need:?}: {with}");
        }
    }
}
