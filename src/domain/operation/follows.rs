//! Steps that can only begin once an earlier one of the same workload has done its part.
//!
//! Never sends: it says what such a step waits for, or which facts it is bound to from then on.

use super::promoted;
use super::{Operation, StepState, World};
use crate::domain::fleet::Workload;
use crate::domain::journal::Entry;
use crate::domain::keeper::{Borrowed, Loan};
use crate::domain::observation::{Health, Phase};
use crate::domain::plan::{Action, Bound, Follows, Paused, Step};
use crate::domain::text::Text;

/// Whether a step may begin.
pub(super) enum Turn {
    /// It may.
    Now,
    /// Not yet.
    Waits(Text),
    /// This is to be written first.
    First(Entry),
}

/// Whether what a step follows is done.
pub(super) fn turn_of(operation: &Operation, world: &World<'_>, step: &Step) -> Turn {
    if let Some(bound) = at_borrowed_pace(operation, world, step) {
        return Turn::First(Entry::Rebound { step: step.id, bound: Box::new(bound) });
    }
    match step.follows {
        Follows::Nothing => Turn::Now,
        Follows::EndOfRollout => after_end(operation, world, step),
        Follows::NewTemplate => after_template(operation, world, step),
        Follows::Loan => after_loan(operation, step),
        Follows::OwnRollout => promoted::turn(operation, world, step),
    }
}

/// The bound facts of a step whose workload was given another pace by the plan itself, if that is what has moved.
fn at_borrowed_pace(operation: &Operation, world: &World<'_>, step: &Step) -> Option<Bound> {
    if step.action.loan().is_some() {
        return None;
    }
    let is_borrowed = |other: &&Step| other.workload == step.workload && matches!(other.action, Action::Borrow { .. });
    let mut loans = operation.plan.steps().filter(is_borrowed);
    loans.find_map(|other| match other.action.loan().map(|loan| &loan.what) {
        Some(Borrowed::Pace { from, to }) if operation.progress(other.id).state == StepState::Verified => {
            let now = &world.fleet.workload(&step.workload)?.seen.strategy;
            let has_moved = step.bound.strategy == *from && now == to;
            has_moved.then(|| Bound { strategy: to.clone(), ..step.bound.clone() })
        }
        _ => None,
    })
}

/// What somebody else has given back meanwhile, or changed, is not given back again.
fn after_loan(operation: &Operation, step: &Step) -> Turn {
    let Some(loan) = step.action.loan() else { return Turn::Now };
    if operation.owes(&step.workload, loan) {
        return Turn::Now;
    }
    let borrows = |other: &&Step| {
        let is_of_same = |other: &Loan| other.what.is_of_same(&loan.what);
        other.workload == step.workload && matches!(&other.action, Action::Borrow { loan } if is_of_same(loan))
    };
    let was_not_done = |borrow: &Step| operation.progress(borrow.id).state == StepState::Refused;
    let detail = Text::new(match operation.plan.steps().find(borrows).is_some_and(was_not_done) {
        true => "it was not borrowed; nothing was sent",
        false => "it was given back, or changed, without us; nothing was sent",
    });
    Turn::First(Entry::Verified { step: step.id, detail })
}

fn after_end(operation: &Operation, world: &World<'_>, step: &Step) -> Turn {
    let ends = |other: &&Step| other.workload == step.workload && matches!(other.action, Action::EndRollout { .. });
    let is_ended = |other: &Step| operation.progress(other.id).state == StepState::Verified;
    if !operation.plan.steps().find(ends).is_some_and(is_ended) {
        return Turn::Waits(Text::new("what runs there must have ended"));
    }
    match held_by_its_end(world, step) {
        Some(bound) => Turn::First(Entry::Rebound { step: step.id, bound: Box::new(bound) }),
        None => Turn::Now,
    }
}

/// The bound facts of a step after the rollout before it was ended, if that has moved those that it must move: it runs no
/// longer, and what was ended half way is held.
fn held_by_its_end(world: &World<'_>, step: &Step) -> Option<Bound> {
    let now = Bound::of(&world.fleet.workload(&step.workload)?.seen);
    let bound = Bound { paused: now.paused, running: None, ..step.bound.clone() };
    // Once, from what the plan has seen: whatever begins after that is a fact that moved.
    (step.bound.running.is_some() && bound == now).then_some(bound)
}

/// An instance that is taken away so that it is made again from a template: that must be there first, and the instance may
/// well have gone by itself meanwhile.
fn after_template(operation: &Operation, world: &World<'_>, step: &Step) -> Turn {
    let rolls = |other: &&Step| other.workload == step.workload && other.action.is_rollout();
    let progress = operation.plan.steps().find(rolls).map(|roll| operation.progress(roll.id));
    let taken = progress.filter(|progress| matches!(progress.state, StepState::Accepted | StepState::Verified));
    let Some(receipt) = taken.and_then(|progress| progress.receipt.as_ref()) else {
        return Turn::Waits(Text::new("the earlier template must have been put back"));
    };
    let Some(workload) = world.fleet.workload(&step.workload) else {
        return Turn::Waits(Text::new("its workload is not seen here"));
    };
    let seen = &workload.seen;
    if seen.generation < receipt.generation || seen.observed_generation < receipt.generation {
        return Turn::Waits(Text::new("its platform must have seen the new template"));
    }
    if let Some(turn) = gone_by_itself(world, workload, step) {
        return turn;
    }
    // Only what our own request has moved: the template, whose it is, and a hold that it took off. Another template again is
    // somebody else's doing.
    let now = Bound::of(seen);
    let template = receipt.template.as_ref().unwrap_or(&step.bound.template).clone();
    let owners = now.owners.clone();
    let bound = Bound { template, owners, paused: Paused::Running, ..step.bound.clone() };
    match bound == now && bound != step.bound {
        true => Turn::First(Entry::Rebound { step: step.id, bound: Box::new(bound) }),
        false => Turn::Now,
    }
}

fn gone_by_itself(world: &World<'_>, workload: &Workload, step: &Step) -> Option<Turn> {
    let Action::Evict { instance, name, .. } = &step.action else { return None };
    let Some(present) = world.fleet.instances_of(workload).find(|present| present.seen.uid == *instance) else {
        let detail = format!("{name} was replaced without us; nothing was sent");
        return Some(Turn::First(Entry::Verified { step: step.id, detail: Text::new(&detail) }));
    };
    let is_replaced_by_us = workload.seen.strategy.kind == "OnDelete";
    match (present.seen.phase, present.seen.health) {
        (Phase::Draining | Phase::Succeeded | Phase::Failed, _) => {
            Some(Turn::Waits(Text::new(&format!("{name} is on its way out"))))
        }
        (Phase::Running, Health::Healthy) if !is_replaced_by_us => {
            Some(Turn::Waits(Text::new(&format!("{name} has got ready: its platform replaces it by itself"))))
        }
        (Phase::Pending | Phase::Running | Phase::Unknown, _) => None,
    }
}
