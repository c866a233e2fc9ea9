//! What the end of an operation leaves: by policy a rollback keeps its workloads where it has brought them, and the way back
//! of that lets them go.
//!
//! Never does so for an operation that another process has driven to its end: that one has.

use super::effect::Effect;
use super::model::Model;
use crate::domain::id::OperationId;
use crate::domain::journal::Outcome;
use crate::domain::operation::Operation;
use crate::domain::plan::{Verb, Way};
use crate::domain::protection::Protected;
use crate::domain::text::Text;

/// An operation of this process has just ended.
pub(crate) fn of(model: &Model, id: &OperationId) -> Vec<Effect> {
    let Some(operation) = model.operations.get(id).map(|tracked| &tracked.operation) else { return Vec::new() };
    if !matches!(operation.ended, Some((Outcome::Done, ..))) {
        return Vec::new();
    }
    let protections = model.fleet.protections();
    let reversed = operation.plan.reverses.iter();
    let lifted = reversed.flat_map(|reversed| protections.stays_of(reversed)).map(|stay| Effect::Lift(stay.number));
    lifted.chain(stays(model, operation)).collect()
}

fn stays(model: &Model, operation: &Operation) -> Vec<Effect> {
    let Some(time) = model.settings.policy.lock_after_rollback else { return Vec::new() };
    // Who has picked a version has not said that the one before is bad.
    if operation.plan.verb != Verb::Rollback || operation.plan.way != Way::Back {
        return Vec::new();
    }
    let expires_at = model.now.checked_add(time).ok();
    let rolls = operation.plan.steps().filter(|step| step.action.is_rollout());
    let gone_to = rolls.filter_map(|step| {
        let template = operation.progress(step.id).receipt.as_ref()?.template.clone()?;
        let what = Protected::Stay {
            workload: step.workload.clone(),
            template,
            version: Text::new(&step.to.label()),
            operation: operation.id.clone(),
        };
        let reason = Text::new(&format!("{} went back to it (policy lock_after_rollback)", operation.id));
        Some(Effect::Protect { what, reason, expires_at })
    });
    gone_to.collect()
}
