//! Instances that a platform does not replace by itself once it was given another template: they are taken away one by one,
//! as steps of the plan that follow the one with the template. And those that stay as they are whatever is asked for.
//!
//! Never takes away what the platform replaces in time.

use super::choose::{check, evictions};
use super::{Action, Check, CheckVerdict, Follows, Step};
use crate::domain::fleet::{Fleet, Instance, Workload};
use crate::domain::history::current_revision;
use crate::domain::id::WorkloadKind;
use crate::domain::observation::{Health, Phase, RevisionSeen};
use crate::domain::text::counted;

/// Adds to a rollout's step those that follow it, and says what the platform leaves as it is.
pub(super) fn follow(fleet: &Fleet, workload: &Workload, steps: &mut Vec<Step>, checks: &mut Vec<Check>) {
    let Some(roll) = steps.iter_mut().find(|step| step.action.is_rollout()) else { return };
    let target = target_of(workload, roll);
    let counted_ones = || fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted());
    let held_back = counted_ones().filter(|instance| is_held_back(workload, instance)).count() as u32;
    if held_back > 0 {
        let detail = format!(
            "{}: its partition is {}: {held_back} of {} stay as they are, and are not waited for",
            workload.id, workload.seen.strategy.partition, workload.seen.desired
        );
        checks.push(check("partition", CheckVerdict::Warn, detail));
    }
    let by_hand = |instance: &&Instance| {
        let is_there = target.is_some_and(|target| target.made(&instance.seen));
        !is_there
            && match replaces(workload) {
                Replaces::All => false,
                Replaces::Ready => !is_healthy(instance) && !is_held_back(workload, instance),
                Replaces::None => true,
            }
    };
    let mut instances: Vec<&Instance> = counted_ones().filter(by_hand).collect();
    // What is lost already first, then from the highest number down, as a StatefulSet does.
    instances.sort_by_key(|instance| (is_healthy(instance), std::cmp::Reverse(number_of(&instance.seen.name))));
    let names: Vec<&str> = instances.iter().map(|instance| instance.seen.name.as_str()).collect();
    match replaces(workload) {
        Replaces::Ready if !names.is_empty() => {
            let detail = format!(
                "{}: {} not ready on another version: a {} does not replace these by itself, they are evicted after the patch",
                workload.id,
                names.join(", "),
                workload.id.kind
            );
            checks.push(check("stuck", CheckVerdict::Warn, detail));
        }
        Replaces::None => {
            let count = counted(names.len(), "instance");
            let detail = format!("{}: OnDelete: {count} evicted after the patch, one at a time", workload.id);
            checks.push(check("by hand", CheckVerdict::Pass, detail));
        }
        Replaces::All | Replaces::Ready => {}
    }
    let moving = roll.instances.saturating_sub(held_back);
    roll.instances = moving.saturating_sub(instances.len() as u32);
    let to = roll.to.clone();
    let follows = |step| Step { follows: Follows::NewTemplate, to: to.clone(), ..step };
    steps.extend(evictions(workload, &instances).into_iter().map(follows));
}

/// Whether a workload's own settings keep an instance at the version that it has.
pub(in crate::domain) fn is_held_back(workload: &Workload, instance: &Instance) -> bool {
    let strategy = &workload.seen.strategy;
    // Kubernetes: isCurrentRevisionNeeded; a set need not begin at 0 (spec.ordinals.start).
    let first_to_go = u64::from(strategy.first_number) + u64::from(strategy.partition);
    strategy.partition > 0
        && workload.id.kind == WorkloadKind::StatefulSet
        && number_of(&instance.seen.name).is_some_and(|number| number < first_to_go)
}

/// Whether the platform waits for an instance to get ready, which would be made anew from another version: it never gets
/// further by itself (kubernetes 67250).
pub(in crate::domain) fn is_stuck(workload: &Workload, instance: &Instance) -> bool {
    match replaces(workload) {
        Replaces::All | Replaces::None => false,
        Replaces::Ready => {
            instance.seen.phase.is_counted()
                && !is_healthy(instance)
                && !is_held_back(workload, instance)
                && is_of_another(workload, instance)
        }
    }
}

/// Whether an instance is of another version than what is asked for; not known where that version isn't.
pub(in crate::domain) fn is_of_another(workload: &Workload, instance: &Instance) -> bool {
    let current = current_revision(&workload.revisions, &workload.seen.template.hash);
    instance.seen.owner.is_some() && current.is_some_and(|current| !current.made(&instance.seen))
}

/// How many healthy instances a platform that makes none on top has to take away on its way to a step's target.
pub(super) fn healthy_to_go(fleet: &Fleet, workload: &Workload, step: &Step) -> u32 {
    let target = target_of(workload, step);
    let goes = |instance: &&Instance| {
        let is_there = target.is_some_and(|target| target.made(&instance.seen));
        instance.seen.phase.is_counted() && is_healthy(instance) && !is_there && !is_held_back(workload, instance)
    };
    fleet.instances_of(workload).filter(goes).count() as u32
}

/// Which instances a platform replaces by itself when it is given another template.
enum Replaces {
    /// All of them.
    All,
    /// Those that are ready: it waits for the others.
    Ready,
    /// None.
    None,
}

fn replaces(workload: &Workload) -> Replaces {
    match workload.id.kind {
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet if workload.seen.strategy.kind == "OnDelete" => {
            Replaces::None
        }
        WorkloadKind::StatefulSet => Replaces::Ready,
        WorkloadKind::Deployment
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job
        | WorkloadKind::CronJob
        | WorkloadKind::Pod
        | WorkloadKind::Rollout
        | WorkloadKind::AutoScalingGroup
        | WorkloadKind::EcsService
        | WorkloadKind::EcsTask
        | WorkloadKind::Machine
        | WorkloadKind::Unknown => Replaces::All,
    }
}

/// The version that a step goes to, where its platform knows it already.
fn target_of<'a>(workload: &'a Workload, step: &Step) -> Option<&'a RevisionSeen> {
    match &step.action {
        Action::RestoreRevision { revision, .. } => workload.revisions.iter().find(|known| known.uid == *revision),
        Action::SetImage { .. }
        | Action::Evict { .. }
        | Action::EndRollout { .. }
        | Action::Promote { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => None,
    }
}

fn is_healthy(instance: &Instance) -> bool {
    instance.seen.phase == Phase::Running && instance.seen.health == Health::Healthy
}

/// The number at the end of an instance's name (`db-2`).
fn number_of(name: &str) -> Option<u64> {
    name.rsplit_once('-')?.1.parse().ok()
}
