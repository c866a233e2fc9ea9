//! Requests whose answer was lost, by a crash or on the way: the fleet decides what became of them.
//!
//! Never sends a second request, and never says that one was not done while it may still be on its way.

use std::time::Duration;

use jiff::Timestamp;

use super::decide::{Gates, World, elapsed, steps_in};
use super::verify::{Hold, Recovered, recover, seen_hold};
use super::{Operation, StepProgress, StepState};
use crate::domain::id::WorkloadId;
use crate::domain::journal::{Call, Entry, Receipt};
use crate::domain::keeper::Borrowed;
use crate::domain::plan::{Paused, Step};
use crate::domain::text::Text;

/// How long a request that was not answered may still be on its way: before that nobody says that it was not done.
const STRAGGLER: Duration = Duration::from_secs(15);

impl Gates {
    /// For how long an answer has been missed while somebody watched.
    fn missed(&mut self, call: Call, now: Timestamp) -> Duration {
        elapsed(*self.lost_since.entry(call).or_insert(now), now)
    }
}

/// From when on a request whose answer was lost can't be waited for by anybody any more: what is seen later counts.
fn given_up_at(operation: &Operation, sent_at: Option<Timestamp>, progress: &StepProgress) -> Timestamp {
    [sent_at, progress.unanswered_at].into_iter().flatten().fold(operation.claimed_at, Timestamp::max)
}

/// Steps that were sent and whose answer nobody in this process waits for: the fleet decides, never a second request.
pub(super) fn settle_lost(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Option<Entry> {
    for step in steps_in(operation, StepState::Sent) {
        let call = Call::Step(step.id);
        if world.in_flight.contains(&call) {
            continue;
        }
        let progress = operation.progress(step.id);
        let since = given_up_at(operation, progress.sent_at, progress);
        let before = operation.own_generation(&step.workload);
        let receipt = |generation, template| Receipt {
            generation,
            template,
            notes: vec![Text::new("the answer was lost; the fleet shows that it was done")],
        };
        match recover(step, (&operation.id, before), world.fleet, since) {
            Recovered::WasDone { generation, template } => {
                return Some(Entry::Accepted { call, receipt: receipt(generation, Some(template)) });
            }
            Recovered::Set { generation } => {
                return Some(Entry::Accepted { call, receipt: receipt(generation, None) });
            }
            Recovered::Gone => return Some(Entry::Accepted { call, receipt: receipt(0, None) }),
            Recovered::Unclear(_) if gates.missed(call, world.now) < STRAGGLER => {
                gates.waiting_for = Some(Text::new("an answer was lost; the request may still be on its way"));
            }
            Recovered::Unclear(reason) => return Some(Entry::Unresolved { step: step.id, reason }),
            Recovered::NotKnown => {
                if gates.missed(call, world.now) > world.policy.for_place(&step.workload.place).step_timeout {
                    let reason = format!("{} did not answer; look at {} there", step.workload.place, step.workload);
                    return Some(Entry::Unresolved { step: step.id, reason: Text::new(&reason) });
                }
                gates.waiting_for = Some(Text::new(&format!("{} must answer first", step.workload.place)));
            }
        }
    }
    None
}

/// Brakes and releases that were sent and whose answer nobody waits for: the fleet decides, never a second request.
pub(super) fn settle_lost_brakes(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Option<Entry> {
    for step in operation.plan.steps() {
        let progress = operation.progress(step.id);
        let Some(call) = progress.brake.filter(|call| !world.in_flight.contains(call)) else { continue };
        let since = given_up_at(operation, progress.brake_sent_at, progress);
        let waited = gates.missed(call, world.now);
        let wanted = if matches!(call, Call::Release(_)) { Paused::Running } else { Paused::Paused };
        let taken = progress.receipt.as_ref().map_or(0, |receipt| receipt.generation);
        match seen_hold(step, world.fleet, since) {
            // Older than the step itself: that says nothing of its brake.
            Hold::Is { generation, .. } if generation < taken && waited <= STRAGGLER * 4 => {
                gates.waiting_for = Some(Text::new(&format!("{} must answer first", step.workload.place)));
            }
            Hold::Is { paused, generation, template } if paused == wanted => {
                let notes = vec![Text::new("the answer was lost; the fleet shows that it was done")];
                return Some(Entry::Accepted {
                    call,
                    receipt: Receipt { generation, template: Some(template), notes },
                });
            }
            Hold::Gone => {
                return Some(Entry::Refused { call, reason: Text::new("the workload was deleted meanwhile") });
            }
            // What was seen while the request could still arrive proves nothing, however long ago that is.
            Hold::Is { .. } if waited > STRAGGLER && is_seen_after(step, world, since + STRAGGLER) => {
                let reason = Text::new("its answer was lost, and the fleet shows that it was not done");
                return Some(Entry::Refused { call, reason });
            }
            Hold::NotKnown if waited > world.policy.for_place(&step.workload.place).step_timeout => {
                let reason = format!("nobody knows whether its rollout is held; look at {}", step.workload);
                return Some(Entry::Unresolved { step: step.id, reason: Text::new(&reason) });
            }
            Hold::Is { .. } | Hold::NotKnown => {
                gates.waiting_for = Some(Text::new(&format!("{} must answer first", step.workload.place)));
            }
        }
    }
    None
}

fn is_seen_after(step: &Step, world: &World<'_>, moment: Timestamp) -> bool {
    matches!(seen_hold(step, world.fleet, moment), Hold::Is { .. })
}

impl Operation {
    /// The generation of a workload that the last of its own requests has left, as far as they were answered.
    fn own_generation(&self, workload: &WorkloadId) -> u64 {
        let is_of_workload = |step: &&Step| match step.action.loan().map(|loan| &loan.what) {
            Some(Borrowed::Keeper { .. }) => false,
            Some(Borrowed::Pace { .. }) | None => step.workload == *workload,
        };
        let receipts = self.plan.steps().filter(is_of_workload).map(|step| self.progress(step.id).receipt.as_ref());
        receipts.flatten().map(|receipt| receipt.generation).max().unwrap_or(0)
    }
}
