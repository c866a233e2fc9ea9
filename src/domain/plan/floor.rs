//! How many instances stay healthy while a workload is changed, and how many must.
//!
//! Never takes a rollout for safe because it is slow: what its strategy may take away at once counts.

use super::by_hand::healthy_to_go;
use super::choose::check;
use super::{Action, Check, CheckVerdict, Step};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::WorkloadKind;
use crate::domain::observation::{Health, Strategy};
use crate::domain::policy::Policy;

/// What a rollout may leave healthy, and what the policy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// How many stay, by the workload's own strategy.
    pub left: u32,
    /// How many must.
    pub needed: u32,
}

impl Floor {
    /// For a rollout of a workload by this strategy, with the floor in percent of what it should have.
    pub fn of_rollout(
        fleet: &Fleet,
        workload: &Workload,
        strategy: &Strategy,
        step: &Step,
        floor_percent: u8,
    ) -> Floor {
        let desired = workload.seen.desired;
        let unavailable = strategy.max_unavailable.as_deref();
        // What is on the target already stays where instances have a place of their own and nothing is made on top.
        let at_most = |missing: u32| missing.min(healthy_to_go(fleet, workload, step));
        let missing = match (strategy.kind.as_str(), workload.id.kind) {
            ("Recreate", _) => desired,
            // What is new stands beside what is there until the traffic has moved.
            ("OnDelete", _) | ("BlueGreen", _) => 0,
            (_, WorkloadKind::StatefulSet) => at_most(share_of(unavailable.unwrap_or("1"), desired).max(1)),
            // Neither one less nor one more: it could never move, so one goes all the same (Kubernetes: ResolveFenceposts; a
            // refresh that may not exceed the group ends an instance while it launches the next).
            (_, WorkloadKind::Deployment | WorkloadKind::AutoScalingGroup | WorkloadKind::Rollout)
                if share_above(strategy.max_surge.as_deref().unwrap_or("25%"), desired) == 0 =>
            {
                share_of(unavailable.unwrap_or("25%"), desired).max(1)
            }
            (_, WorkloadKind::DaemonSet) => at_most(share_above(unavailable.unwrap_or("1"), desired)),
            (
                _,
                WorkloadKind::Deployment
                | WorkloadKind::AutoScalingGroup
                | WorkloadKind::ReplicaSet
                | WorkloadKind::Job
                | WorkloadKind::CronJob
                | WorkloadKind::Pod
                | WorkloadKind::Rollout
                | WorkloadKind::EcsService
                | WorkloadKind::EcsTask
                | WorkloadKind::Machine
                | WorkloadKind::Unknown,
            ) => share_of(unavailable.unwrap_or("25%"), desired),
        };
        Floor { left: desired.saturating_sub(missing), needed: healthy_floor(desired, floor_percent) }
    }
}

impl Strategy {
    /// Whether its rollouts keep the version before until the new one has proved itself, so that an abort goes back to that.
    pub fn has_stable(&self) -> bool {
        matches!(self.kind.as_str(), "Canary" | "BlueGreen")
    }

    /// In words: `RollingUpdate, max unavailable 25%, max surge 1`.
    pub fn describe(&self) -> String {
        let mut words = vec![self.kind.to_string()];
        words.extend(self.max_unavailable.as_ref().map(|value| format!("max unavailable {value}")));
        words.extend(self.max_surge.as_ref().map(|value| format!("max surge {value}")));
        words.extend((self.partition > 0).then(|| format!("partition {}: those below it stay", self.partition)));
        words.join(", ")
    }
}

/// The platform itself must keep enough instances while it replaces: what its strategy may take away is compared with the
/// policy's floor.
///
/// # Errors
/// Why too few would stay: reason and hint.
pub(super) fn look(
    policy: &Policy,
    fleet: &Fleet,
    workload: &Workload,
    strategy: Option<&Strategy>,
    steps: &[Step],
) -> Result<Check, (String, &'static str)> {
    let found = |verdict, detail: String| Ok(check("healthy floor", verdict, format!("{}: {detail}", workload.id)));
    if workload.id.kind.has_runs() {
        return found(CheckVerdict::Pass, "the next run is the first that this changes".to_string());
    }
    let floor = policy.for_place(&workload.id.place).floor_percent;
    let desired = workload.seen.desired;
    let healthy = workload.judgement.tally.healthy;
    let needed = healthy_floor(desired, floor);
    let strategy = strategy.unwrap_or(&workload.seen.strategy);
    let roll = steps.iter().find(|step| step.action.is_rollout());
    // Where the platform replaces nothing by itself, what follows does, one at a time.
    let roll = roll.filter(|_| strategy.kind != "OnDelete");
    let missing = u32::from(roll.is_none() && steps.iter().any(|step| takes_healthy(fleet, workload, step)));
    let left = match roll {
        Some(step) => Floor::of_rollout(fleet, workload, strategy, step, floor).left,
        None => desired.saturating_sub(missing),
    };
    if healthy == 0 || desired == 0 {
        return found(CheckVerdict::Warn, "no instance is healthy now, nothing can be lost".to_string());
    }
    if roll.is_some() && left < needed {
        let reason = format!(
            "its strategy ({}) may leave {left} of {desired} healthy; the policy's floor is {floor}%, that is {needed}",
            strategy.describe()
        );
        return Err((reason, "lower `floor` for this place in [[policy.places]], or change the strategy"));
    }
    let stay = healthy.saturating_sub(missing);
    if missing > 0 && stay < needed.max(1) {
        let reason = format!(
            "taking one instance away leaves {stay} of {desired} healthy; the policy's floor is {floor}%, that is {needed}"
        );
        return Err((reason, "lower `floor` for this place in [[policy.places]], or scale it up first"));
    }
    let more = match on_top(workload, strategy) {
        more if roll.is_some() && more > 0 => format!("; up to {more} run on top meanwhile"),
        _ => String::new(),
    };
    if healthy < left {
        let detail = format!(
            "only {healthy} of {desired} are healthy now; its strategy takes {} at most, the floor is {needed}{more}",
            desired.saturating_sub(left)
        );
        return found(CheckVerdict::Warn, detail);
    }
    found(CheckVerdict::Pass, format!("at least {left} of {desired} stay, the floor is {needed}{more}"))
}

/// Whether a step takes away an instance that is healthy now.
fn takes_healthy(fleet: &Fleet, workload: &Workload, step: &Step) -> bool {
    let Action::Evict { instance, .. } = &step.action else { return false };
    let mut present = fleet.instances_of(workload);
    present.any(|present| present.seen.uid == *instance && present.seen.health == Health::Healthy)
}

/// How many instances may run on top of those that there should be while a rollout goes on.
pub(super) fn on_top(workload: &Workload, strategy: &Strategy) -> u32 {
    let desired = workload.seen.desired;
    let surge = |default: &str| share_above(strategy.max_surge.as_deref().unwrap_or(default), desired);
    match (strategy.kind.as_str(), workload.id.kind) {
        ("Recreate" | "OnDelete", _) => 0,
        ("BlueGreen", _) => desired,
        (_, WorkloadKind::Deployment | WorkloadKind::Rollout) => surge("25%"),
        (_, WorkloadKind::AutoScalingGroup | WorkloadKind::EcsService | WorkloadKind::DaemonSet) => surge("0"),
        (
            _,
            WorkloadKind::StatefulSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Pod
            | WorkloadKind::EcsTask
            | WorkloadKind::Machine
            | WorkloadKind::Unknown,
        ) => 0,
    }
}

/// How many instances must stay healthy: the floor, rounded up.
pub(in crate::domain) fn healthy_floor(desired: u32, floor_percent: u8) -> u32 {
    (u64::from(desired) * u64::from(floor_percent)).div_ceil(100) as u32
}

/// A number, or a percentage of all rounded down (Kubernetes: `maxUnavailable`).
pub(super) fn share_of(raw: &str, of: u32) -> u32 {
    match raw.strip_suffix('%') {
        Some(percent) => percent.parse::<u64>().map_or(of, |percent| (u64::from(of) * percent / 100) as u32),
        None => raw.parse().unwrap_or(of),
    }
}

/// The same, rounded up (Kubernetes: `maxUnavailable` of a DaemonSet, `maxSurge`).
pub(super) fn share_above(raw: &str, of: u32) -> u32 {
    match raw.strip_suffix('%') {
        Some(percent) => percent.parse::<u64>().map_or(of, |percent| (u64::from(of) * percent).div_ceil(100) as u32),
        None => raw.parse().unwrap_or(of),
    }
}
