//! How many instances stay healthy while a workload is changed, and how many must.
//!
//! Never looks at what a policy is for: it counts.

use super::Step;
use super::by_hand::healthy_to_go;
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::WorkloadKind;
use crate::domain::observation::Strategy;

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
