//! The way back from an operation: to what each of its workloads asked for before.
//!
//! Never takes back what has no way back: an instance that was replaced under the same template, a rollout that was ended.

use std::time::Duration;

use super::{Aims, Goto, PlanRequest, Scope};
use crate::domain::id::WorkloadId;
use crate::domain::operation::{Operation, StepState};

impl PlanRequest {
    /// A request for the way back; `None` where nothing was changed that could be taken back.
    pub fn reverse(operation: &Operation, valid: Duration) -> Option<PlanRequest> {
        let mut aims = Aims::default();
        for step in operation.plan.steps().filter(|step| step.action.is_rollout()) {
            let progress = operation.progress(step.id);
            // What was sent and never answered may have been done.
            let may_be_done =
                progress.accepted_at.is_some() || matches!(progress.state, StepState::Sent | StepState::Unresolved);
            if may_be_done {
                aims.0.entry(step.workload.clone()).or_insert_with(|| step.bound.template.clone());
            }
        }
        let workloads: Vec<WorkloadId> = aims.0.keys().cloned().collect();
        let goto = Goto::Before(operation.id.clone());
        let request = |workloads| PlanRequest { aims, ..PlanRequest::of(goto, Scope::Exactly(workloads), valid) };
        (!workloads.is_empty()).then(|| request(workloads))
    }
}
