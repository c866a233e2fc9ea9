//! The share that goes before the rest, where a rollout can be held by its brake: once so many are there and healthy it is held,
//! bakes, and goes on.
//!
//! Never lets go of what an operator holds, and never holds a second time.

use super::decide::{Gates, World, elapsed};
use super::verify::{Progress, progress_of};
use super::{Operation, StepState};
use crate::domain::journal::{Call, Entry};
use crate::domain::plan::{Brake, First, Step};
use crate::domain::text::Text;

impl Step {
    /// The share that we hold a rollout after ourselves; where the platform does, it is no business of ours.
    fn own_first(&self) -> Option<First> {
        self.first.filter(|_| self.brake == Brake::PauseRollout)
    }
}

/// The brake of a rollout whose first share is there.
pub(super) fn hold(operation: &Operation, world: &World<'_>) -> Option<Entry> {
    let reached = operation.plan.steps().find(|step| {
        let progress = operation.progress(step.id);
        let is_free =
            progress.state == StepState::Accepted && progress.brake.is_none() && progress.brake_failed.is_none();
        let Some(first) = step.own_first().filter(|_| is_free && !progress.first_has_passed) else { return false };
        match progress_of(step, progress, world.fleet) {
            Progress::OnItsWay { done, total } => done >= share_of(first, total) && done < total,
            Progress::Done(_) | Progress::Failed(_) | Progress::NotSeen(_) => false,
        }
    })?;
    Some(Entry::Sent { call: Call::Brake(reached.id), present: Vec::new() })
}

/// What is to be known of a rollout that goes on although its first share should have been looked at.
pub(super) fn not_held(operation: &Operation) -> Option<Text> {
    operation.plan.steps().find_map(|step| {
        let progress = operation.progress(step.id);
        let first = step.own_first().filter(|_| progress.state == StepState::Accepted)?;
        let why = progress.brake_failed.as_ref().filter(|_| !progress.first_has_passed)?;
        Some(Text::new(&format!("its rollout: it was not held after its first {}%: {why}", first.percent)))
    })
}

/// How a first share that is held stands.
pub(super) enum Share {
    /// It is none, or it has baked: the step may be let go.
    Passed,
    /// It bakes still.
    Bakes,
    /// It did not stay healthy.
    Failed(Entry),
}

/// Whether a held step may go on. What is left of the version before does not count: it may well be why we go.
pub(super) fn look(operation: &Operation, gates: &mut Gates, world: &World<'_>, step: &Step) -> Share {
    let progress = operation.progress(step.id);
    let is_first = progress.is_first_hold && progress.state == StepState::Held;
    let Some(first) = step.own_first().filter(|_| is_first) else { return Share::Passed };
    let percent = first.percent;
    let sick = match progress_of(step, progress, world.fleet) {
        Progress::Failed(reason) => return Share::Failed(Entry::Failed { step: step.id, reason }),
        Progress::NotSeen(why) => Some(why.to_string()),
        Progress::OnItsWay { done, total } if done < share_of(first, total) => {
            Some(format!("{done} of {} are", share_of(first, total)))
        }
        Progress::OnItsWay { .. } | Progress::Done(_) => None,
    };
    if let Some(why) = sick {
        gates.first_since.remove(&step.id);
        let limit = world.policy.for_place(&step.workload.place).step_timeout + first.hold;
        let since = *gates.first_sick_since.entry(step.id).or_insert(world.now);
        if elapsed(since, world.now) > limit {
            let reason = format!("its first {percent}% did not stay healthy: {why}; the rest is held");
            return Share::Failed(Entry::Failed { step: step.id, reason: Text::new(&reason) });
        }
        gates.waiting_for = Some(Text::new(&format!("the first {percent}% must be healthy: {why}")));
        return Share::Bakes;
    }
    gates.first_sick_since.remove(&step.id);
    let since = *gates.first_since.entry(step.id).or_insert(world.now);
    let left = first.hold.saturating_sub(elapsed(since, world.now));
    if left.is_zero() {
        return Share::Passed;
    }
    let text = format!("the first {percent}% bakes: {} s to go, the rest is held", left.as_secs().max(1));
    gates.waiting_for = Some(Text::new(&text));
    Share::Bakes
}

/// How many go first, of all that shall come.
fn share_of(first: First, total: u32) -> u32 {
    (u64::from(total) * u64::from(first.percent)).div_ceil(100).max(1) as u32
}
