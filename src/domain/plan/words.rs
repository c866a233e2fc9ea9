//! What a plan says of itself as a whole: its title, and what a stop leaves.
//!
//! Never decides anything.

use std::collections::BTreeSet;

use super::canary;
use super::{Action, Follows, Goto, PlanRequest, Step, Verb};
use crate::domain::fleet::Workload;
use crate::domain::id::WorkloadKind;
use crate::domain::text::{Text, counted};

/// One line: service, from, to.
pub(super) fn title(verb: Verb, workloads: &[&Workload], steps: &[Step]) -> Text {
    let services: BTreeSet<&Text> = workloads.iter().map(|workload| &workload.seen.service).collect();
    let what = match services.len() {
        0 => "nothing".to_string(),
        1..=3 => services.into_iter().map(Text::as_str).collect::<Vec<&str>>().join(", "),
        more => counted(more, "service"),
    };
    let replacing = steps.iter().filter(|step| step.action.replaces() && step.follows != Follows::NewTemplate);
    let sides: BTreeSet<(String, String)> = replacing.map(|step| (step.from.label(), step.to.label())).collect();
    match (sides.len(), sides.first()) {
        (1, Some((from, to))) if from != to => Text::new(&format!("{} {what}: {from} -> {to}", verb.as_str())),
        (1, Some((from, _))) => Text::new(&format!("{} {what}: {from}", verb.as_str())),
        _ => Text::new(&format!("{} {what}", verb.as_str())),
    }
}

/// What a stop in the middle leaves.
pub(super) fn abort_leaves(request: &PlanRequest, steps: &[Step], borrows: &[Step]) -> String {
    if matches!(request.goto, Goto::GiveBack(_)) {
        return "x s stops here: what was given back stays so, the rest is owed still".to_string();
    }
    let replaces = |step: &&Step| step.action.replaces() && step.follows != Follows::NewTemplate;
    let ends = steps.iter().any(|step| matches!(step.action, Action::EndRollout { .. }));
    let brakeless = steps.iter().filter(replaces).any(|step| !step.brake.exists());
    let leaves = if let Some(own) = canary::abort_leaves(steps) {
        own
    } else if ends {
        "x s stops here: a rollout that was ended stays where it was, with two versions and no debt; p pauses"
    } else if brakeless {
        "x s stops here: what was replaced stays, what is in flight the platform finishes; p pauses"
    } else {
        "x s stops here: what was replaced stays, the rollout is held (a debt until released); p pauses"
    };
    let mut leaves = leaves.to_string();
    if steps.iter().any(ends_with_surplus) {
        leaves += "; a group with instances on top then takes as many away by its termination policy, healthy ones too";
    }
    if !borrows.is_empty() {
        leaves += "; what was borrowed is owed until D gives it back";
    }
    leaves
}

/// Whether its brake leaves a group with more instances than it should have: which of them go then is up to its termination
/// policy, which does not look at health (Amazon EC2 Auto Scaling User Guide, "Control which instances terminate").
fn ends_with_surplus(step: &Step) -> bool {
    let surge = step.bound.strategy.max_surge.as_deref().unwrap_or("0");
    step.workload.kind == WorkloadKind::AutoScalingGroup && step.action.is_rollout() && !matches!(surge, "0" | "0%")
}
