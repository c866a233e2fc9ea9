//! How many instances stay healthy while a workload is changed, and how many must.
//!
//! Never looks at what a policy is for: it counts.

use crate::domain::fleet::Workload;

/// What a rollout may leave healthy, and what the policy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// How many stay, by the workload's own strategy.
    pub left: u32,
    /// How many must.
    pub needed: u32,
}

impl Floor {
    /// For a rollout of a workload, with the floor in percent of what it should have.
    pub fn of_rollout(workload: &Workload, floor_percent: u8) -> Floor {
        let (desired, strategy) = (workload.seen.desired, &workload.seen.strategy);
        let missing = if strategy.kind == "Recreate" {
            desired
        } else {
            share_of(strategy.max_unavailable.as_deref().unwrap_or("25%"), desired)
        };
        Floor { left: desired.saturating_sub(missing), needed: healthy_floor(desired, floor_percent) }
    }
}

/// How many instances must stay healthy: the floor, rounded up.
pub(in crate::domain) fn healthy_floor(desired: u32, floor_percent: u8) -> u32 {
    (u64::from(desired) * u64::from(floor_percent)).div_ceil(100) as u32
}

/// A number, or a percentage of all rounded down (Kubernetes: `maxUnavailable`).
fn share_of(raw: &str, of: u32) -> u32 {
    match raw.strip_suffix('%') {
        Some(percent) => percent.parse::<u64>().map_or(of, |percent| (u64::from(of) * percent / 100) as u32),
        None => raw.parse().unwrap_or(of),
    }
}
