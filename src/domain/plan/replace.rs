//! Which instances of a workload are replaced by what it should run, and why not.
//!
//! Never replaces without a proof that what comes works, unless somebody says why.

use sha2::{Digest as _, Sha256};

use super::by_hand::{is_held_back, is_of_another, is_stuck};
use super::choose::{Choice, check, evictions, go_to, refused, roll, roll_to_image, stale_pull};
use super::{Action, Check, CheckVerdict, Pick, PlanRequest, Scope, Side};
use crate::domain::drift::Verdict;
use crate::domain::fleet::{Fleet, Instance, Workload};
use crate::domain::observation::{Health, Phase, Rollout};

/// What brings the instances that are off to what they should run.
pub(super) fn replace(request: &PlanRequest, fleet: &Fleet, workload: &Workload) -> Choice {
    let off: Vec<&Instance> = fleet
        .instances_of(workload)
        .filter(|instance| {
            instance.seen.phase.is_counted() && (instance.is_off(workload) || is_stuck(workload, instance))
        })
        .collect();
    let expectation = workload.judgement.expected.as_ref();
    let target = expectation.and_then(|expectation| expectation.main()).and_then(|target| target.reference.clone());
    let requested = workload.requested();
    let asks_for_target = target.as_ref().zip(requested).is_none_or(|(target, asked)| target.asks_same(asked));
    let own = || {
        let mut versions = workload.judgement.versions.iter();
        versions.find(|version| version.hash == workload.seen.template.hash)
    };
    if off.is_empty() && asks_for_target {
        // Held when nothing was left to do, and meant by itself: whoever finds it so may let it go.
        let is_meant = matches!(request.scope, Scope::Exactly(_)) && workload.seen.rollout == Rollout::Paused;
        return match own().filter(|_| is_meant) {
            Some(own) => go_to(request, fleet, workload, own),
            None => Choice::AlreadyThere("nothing is off".to_string()),
        };
    }
    let Some(mut checks) = proof(request, fleet, workload) else { return would_spread() };
    if asks_for_target && would_come_again(workload, &off) {
        return match (&workload.seen.rollout, own()) {
            // Held half way: the same request asks for the rest and lets it go on.
            (Rollout::Paused, Some(own)) => go_to(request, fleet, workload, own),
            _ => not_at_its_end(workload),
        };
    }
    match target {
        Some(image) if !asks_for_target => {
            let container = workload.judgement.main.clone();
            let to = Side {
                reference: Some(image.clone()),
                image: image.pinned(),
                version: image.version(),
                container: container.clone(),
            };
            roll_to_image(request, workload, roll(workload, Action::SetImage { container, image }, to), checks)
        }
        _ => {
            checks.extend(stale_pull(workload));
            Choice::Steps { steps: evictions(workload, &off), checks }
        }
    }
}

/// That the target works: an instance of it is healthy there. Else somebody must have said why it is replaced all the same, as
/// where a tag has moved and nobody runs what it stands for yet.
fn proof(request: &PlanRequest, fleet: &Fleet, workload: &Workload) -> Option<Vec<Check>> {
    if is_target_healthy(fleet, workload) {
        return Some(Vec::new());
    }
    let reason = request.reason.as_ref()?;
    let detail = format!(
        "{}: no instance of the expected image is healthy there, the first new one is the proof; all the same: {reason}",
        workload.id
    );
    Some(vec![check("proof", CheckVerdict::Warn, detail)])
}

/// Whether an instance that runs what it should is healthy there: proof that the image works.
fn is_target_healthy(fleet: &Fleet, workload: &Workload) -> bool {
    fleet.instances_of(workload).any(|instance| {
        let seen = &instance.seen;
        instance.verdict == Verdict::Ok && seen.phase == Phase::Running && seen.health == Health::Healthy
    })
}

fn would_spread() -> Choice {
    refused(
        "no instance of the expected image is healthy there: replacing could spread a bad image",
        "go back to the last good version instead (b, or `plan rollback`), or say why: Alt-w, or --reason",
    )
}

/// What makes some instances anew, whatever they run.
pub(super) fn replace_picked(request: &PlanRequest, fleet: &Fleet, workload: &Workload) -> Choice {
    let mut instances: Vec<&Instance> = fleet
        .instances_of(workload)
        .filter(|instance| matches!(instance.seen.phase, Phase::Running | Phase::Pending))
        .collect();
    let count = match request.pick {
        Pick::Oldest(count) => {
            instances
                .sort_by(|a, b| a.seen.started_at.cmp(&b.seen.started_at).then_with(|| a.seen.uid.cmp(&b.seen.uid)));
            count
        }
        Pick::Random { count, seed } => {
            let order = |instance: &Instance| Sha256::digest(format!("{seed}|{}", instance.seen.uid)).to_vec();
            instances.sort_by_cached_key(|instance| order(instance));
            count
        }
        Pick::Off => 0,
    };
    instances.truncate(count as usize);
    if instances.is_empty() {
        return Choice::AlreadyThere("it has no instance".to_string());
    }
    let Some(mut checks) = proof(request, fleet, workload) else { return would_spread() };
    if would_come_again(workload, &instances) {
        return not_at_its_end(workload);
    }
    checks.extend(stale_pull(workload));
    Choice::Steps { steps: evictions(workload, &instances), checks }
}

/// Whether some of these would be made again as they are: of another version than what is asked for, while the rollout to
/// that has not come to an end, or will not come to them.
fn would_come_again(workload: &Workload, instances: &[&Instance]) -> bool {
    let is_moving = workload.seen.rollout != Rollout::Stable;
    instances.iter().any(|instance| {
        is_of_another(workload, instance)
            && (is_held_back(workload, instance) || is_moving && !is_stuck(workload, instance))
    })
}

fn not_at_its_end(workload: &Workload) -> Choice {
    if workload.seen.rollout == Rollout::Stable {
        let partition = workload.seen.strategy.partition;
        return refused(
            &format!("instances below its partition {partition} would be made again as they are"),
            "lower the partition, or leave these instances as they are",
        );
    }
    let hint = match workload.seen.rollout {
        Rollout::Stable | Rollout::Progressing => {
            "wait for the rollout, or go back to the last good version: b, or `plan rollback`"
        }
        Rollout::Paused | Rollout::Failed(_) => {
            "pick a version to go to (B, or --to-revision), or go back to the last good one: b, or `plan rollback`"
        }
    };
    refused(
        "its rollout has not come to an end: instances of the earlier version would be made again as they are",
        hint,
    )
}
