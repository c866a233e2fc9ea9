//! Promotions: when one may begin, whether it was done, and what a step waits for that only a person can let go on.
//!
//! Never believes that a promotion was done because it was accepted: the rollout must have left the halt.

use super::follows::Turn;
use super::{Operation, Progress, StepState, World};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::journal::Entry;
use crate::domain::observation::{Halt, Rollout};
use crate::domain::plan::{Action, Bound, Step};
use crate::domain::text::Text;

/// A promotion that hurries on the rollout which an earlier step has begun.
pub(super) fn turn(operation: &Operation, world: &World<'_>, step: &Step) -> Turn {
    let rolls = |other: &&Step| other.workload == step.workload && other.action.is_rollout();
    let Some(progress) = operation.plan.steps().find(rolls).map(|roll| operation.progress(roll.id)) else {
        return Turn::Waits(Text::new("there is no rollout that it could follow"));
    };
    let receipt = match (progress.state, &progress.receipt) {
        (StepState::Verified, _) => {
            let detail = Text::new("its rollout has come to its end without it; nothing was sent");
            return Turn::First(Entry::Verified { step: step.id, detail });
        }
        (StepState::Accepted, Some(receipt)) => receipt,
        _ => return Turn::Waits(Text::new("the earlier template must have been put back")),
    };
    let Some(workload) = world.fleet.workload(&step.workload) else {
        return Turn::Waits(Text::new("its workload is not seen here"));
    };
    let seen = &workload.seen;
    if seen.generation < receipt.generation || seen.observed_generation < receipt.generation {
        return Turn::Waits(Text::new("its platform must have seen the new template"));
    }
    // Only what our own request has moved. Where it runs no rollout, the template was that of the stable version, or all is done.
    let now = Bound::of(seen);
    if now.running.is_none() {
        return Turn::Waits(Text::new("no step of its canary has begun"));
    }
    let template = receipt.template.as_ref().unwrap_or(&step.bound.template).clone();
    let (owners, running, paused) = (now.owners.clone(), now.running.clone(), now.paused);
    let bound = Bound { template, owners, running, paused, ..step.bound.clone() };
    match bound == now && bound != step.bound {
        true => Turn::First(Entry::Rebound { step: step.id, bound: Box::new(bound) }),
        false => Turn::Now,
    }
}

/// How far a promotion is.
pub(super) fn progress(step: &Step, workload: &Workload) -> Progress {
    let Action::Promote { halt, what, .. } = &step.action else { return Progress::OnItsWay { done: 0, total: 0 } };
    match (has_left(halt.as_ref(), workload), halt) {
        (true, Some(_)) => Progress::Done(Text::new(&format!("it has left {what}"))),
        (true, None) => Progress::Done(Text::new("it waits at no step")),
        (false, _) => Progress::OnItsWay { done: 0, total: 0 },
    }
}

/// Whether a rollout is past the halt that a promotion was decided at; without one, whether it waits at none.
pub(super) fn has_left(halt: Option<&Text>, workload: &Workload) -> bool {
    let now = workload.seen.canary.as_ref().and_then(|canary| canary.halt.as_ref());
    match (halt, now) {
        (_, None) => true,
        (Some(decided), Some(now)) => now.id() != decided,
        (None, Some(_)) => false,
    }
}

/// Whether a promotion whose answer was lost was done: one that was decided at no halt shows only when the rollout has ended.
pub(super) fn was_let_go(halt: Option<&Text>, workload: &Workload) -> bool {
    match halt {
        Some(_) => has_left(halt, workload),
        None => workload.seen.running.is_none(),
    }
}

/// Whether a workload keeps the version before for a while after the traffic has left it (blue-green, `scaleDownDelaySeconds`).
pub(super) fn keeps_old(workload: &Workload) -> bool {
    let seen = &workload.seen;
    let is_over = seen.running.is_none() && matches!(seen.rollout, Rollout::Stable | Rollout::Progressing);
    is_over && seen.canary.is_some() && seen.strategy.kind == "BlueGreen"
}

/// What a rollout of ours waits for that no time-out must cut off: a pause of its own.
pub(super) fn waits_at(step: &Step, fleet: &Fleet) -> Option<Text> {
    let workload = fleet.workload(&step.workload).filter(|_| step.action.is_rollout())?;
    match workload.seen.canary.as_ref()?.halt.as_ref()? {
        Halt::Pause { what, .. } => Some(Text::new(&format!("its canary waits at {what}: promote it"))),
        Halt::Aborted { .. } => None,
    }
}
