//! What must stay so for a while: a wave that is done before the next one starts, and all of them before the operation counts
//! as done.
//!
//! Never sends and never ends anything: it says how it looks.

use std::time::Duration;

use super::Operation;
use super::decide::{Gates, World, elapsed};
use super::probes::after_bake;
use super::verify::{Bake, bake_of};
use crate::domain::id::StepId;
use crate::domain::journal::Entry;
use crate::domain::plan::{Gate, Pace, Step};
use crate::domain::text::Text;

/// How a bake stands.
pub(super) enum Baked {
    /// It was healthy for long enough.
    Through,
    /// It is not over.
    NotYet,
    /// It will not come to an end by itself.
    Failed(Entry),
}

/// The gate between two waves: the one before must have been healthy without a break for as long as the policy asks.
pub(super) fn pass_gate(
    operation: &Operation,
    gates: &mut Gates,
    world: &World<'_>,
    index: usize,
    gate: Gate,
) -> Baked {
    let Gate::Healthy(bake) = gate else { return Baked::Through };
    let before = &operation.plan.waves[index - 1];
    let what = format!("wave {index}");
    let watched = Watched { number: index as u16, steps: before.steps.iter().collect(), bake, what: &what };
    match stays_healthy(operation, gates, world, &watched) {
        Ok(left) if left.is_zero() => after_bake(gates, world, watched.number, &before.place, &watched.steps),
        Ok(left) => {
            gates.waiting_for = Some(Text::new(&format!("{what} bakes: {} s to go", left.as_secs().max(1))));
            Baked::NotYet
        }
        Err(baked) => baked,
    }
}

/// After the last wave: whoever would take it back may do so in a moment, and then it is not done.
pub(super) fn watch_on(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Baked {
    let bake = world.policy.watch.unwrap_or_default();
    let number = operation.plan.waves.len() as u16;
    let steps: Vec<&Step> = operation.plan.steps().collect();
    if bake.is_zero() || operation.plan.pace == Pace::Fast {
        return match not_undone(operation, world) {
            Baked::Through => last_probe(operation, gates, world, number, &steps),
            other => other,
        };
    }
    let watched = Watched { number, steps, bake, what: "all of it" };
    match stays_healthy(operation, gates, world, &watched) {
        Ok(left) if left.is_zero() => last_probe(operation, gates, world, number, &watched.steps),
        Ok(left) => {
            let text = format!("all steps are done; watched for {} s more", left.as_secs().max(1));
            gates.waiting_for = Some(Text::new(&text));
            Baked::NotYet
        }
        Err(baked) => baked,
    }
}

/// The probe of the last wave; what only gives back needs none.
fn last_probe(operation: &Operation, gates: &mut Gates, world: &World<'_>, number: u16, steps: &[&Step]) -> Baked {
    let place = operation.place_of_wave(number).filter(|_| steps.iter().any(|step| step.action.replaces()));
    place.map_or(Baked::Through, |place| after_bake(gates, world, number, place, steps))
}

/// Without a watch there is one look all the same: between the last step and the end its driver may have died, for hours.
fn not_undone(operation: &Operation, world: &World<'_>) -> Baked {
    let undone = operation.plan.steps().find_map(|step| match bake_of(step, operation.progress(step.id), world) {
        Bake::Undone(reason) => Some(Entry::Failed { step: step.id, reason }),
        Bake::Healthy | Bake::Sick(_) => None,
    });
    undone.map_or(Baked::Through, Baked::Failed)
}

/// Steps that were verified and must stay healthy.
struct Watched<'a> {
    /// Of the last wave of them, from 1.
    number: u16,
    steps: Vec<&'a Step>,
    bake: Duration,
    what: &'a str,
}

/// How long they must stay so still; `Err` where they are not healthy.
fn stays_healthy(
    operation: &Operation,
    gates: &mut Gates,
    world: &World<'_>,
    watched: &Watched<'_>,
) -> Result<Duration, Baked> {
    let Watched { number, steps, bake, what } = watched;
    let mut sick: Option<(&Step, StepId, Text)> = None;
    for step in steps {
        match bake_of(step, operation.progress(step.id), world) {
            Bake::Healthy => {}
            Bake::Sick(why) => sick = Some((step, step.id, why)),
            Bake::Undone(reason) => return Err(Baked::Failed(Entry::Failed { step: step.id, reason })),
        }
    }
    if let Some((step, id, why)) = sick {
        gates.healthy_since.remove(number);
        gates.forget_answer(*number);
        let limit = world.policy.for_place(&step.workload.place).step_timeout;
        let since = *gates.sick_since.entry(*number).or_insert(world.now);
        if elapsed(since, world.now) > limit + *bake {
            let reason = format!("{what} did not stay healthy for {} s: {why}", bake.as_secs());
            return Err(Baked::Failed(Entry::Failed { step: id, reason: Text::new(&reason) }));
        }
        gates.waiting_for = Some(Text::new(&format!("{what} must be healthy: {why}")));
        return Err(Baked::NotYet);
    }
    gates.sick_since.remove(number);
    let since = *gates.healthy_since.entry(*number).or_insert(world.now);
    let left = bake.saturating_sub(elapsed(since, world.now));
    if !left.is_zero() {
        gates.forget_answer(*number);
    }
    Ok(left)
}
