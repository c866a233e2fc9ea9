//! Workloads that stay at the version that an operation went back to.
//!
//! Never keeps anything else from being done: instances may be replaced, and that operation may be taken back.

use super::{Action, Goto, PlanRequest, Step};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::protection::{Protected, Protection};

/// What keeps a workload where it is, if these steps would move it away. The way back of the operation that has left it
/// may.
pub(super) fn moves_away<'a>(
    fleet: &'a Fleet,
    request: &PlanRequest,
    workload: &Workload,
    steps: &[Step],
) -> Option<&'a Protection> {
    let stay = fleet.protections().stay_of(&workload.id)?;
    let Protected::Stay { template, operation, .. } = &stay.what else { return None };
    let is_own_way_back = matches!(&request.goto, Goto::Before(back) if back == operation);
    let moves = |step: &Step| match &step.action {
        Action::RestoreRevision { hash, .. } => hash != template,
        action => action.is_rollout(),
    };
    (steps.iter().any(moves) && !is_own_way_back).then_some(stay)
}
