//! The steps of a plan in waves: place by place, and within a place what is borrowed first and given back last.
//!
//! Never changes a step but for its place in the plan.

use std::time::Duration;

use super::{Gate, Pace, Step, Wave};
use crate::domain::id::{PlaceId, StepId};
use crate::domain::policy::Policy;

/// How long a wave bakes at most where time presses.
pub(super) const FAST: Duration = Duration::from_secs(5);

/// One wave for each place, between what it borrows and what it gives back; steps come sorted by place.
pub(super) fn waves(steps: Vec<Step>, borrows: &[Step], returns: &[Step], policy: &Policy, pace: Pace) -> Vec<Wave> {
    let baked = |place: &PlaceId| {
        let bake = policy.for_place(place).bake;
        Gate::Healthy(match pace {
            Pace::Careful => bake,
            Pace::Fast => bake.min(FAST),
        })
    };
    let mut waves: Vec<Wave> = Vec::new();
    let mut gate = Gate::Open;
    for of_place in steps.chunk_by(|a, b| a.workload.place == b.workload.place) {
        let place = of_place[0].workload.place.clone();
        let there = |steps: &[Step]| steps.iter().filter(|step| step.workload.place == place).cloned().collect();
        let (lent, given_back): (Vec<Step>, Vec<Step>) = (there(borrows), there(returns));
        if !lent.is_empty() {
            waves.push(Wave { place: place.clone(), gate, steps: lent });
            gate = Gate::Open;
        }
        waves.push(Wave { place: place.clone(), gate, steps: of_place.to_vec() });
        gate = baked(&place);
        if !given_back.is_empty() {
            waves.push(Wave { place: place.clone(), gate, steps: given_back });
            gate = Gate::Open;
        }
    }
    for (index, wave) in waves.iter_mut().enumerate() {
        for (at, step) in wave.steps.iter_mut().enumerate() {
            step.id = StepId { wave: index as u16 + 1, step: at as u16 + 1 };
        }
    }
    waves
}
