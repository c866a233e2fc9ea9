//! How many instances a rollout replaces at once, where a plan wants another number than the workload has: its strategy is
//! changed first and given back when the plan is done.
//!
//! Never takes more away at once than the workload's own strategy allows: more at once is more on top.

use super::abilities::Abilities;
use super::floor::{share_above, share_of};
use crate::domain::fleet::Workload;
use crate::domain::id::WorkloadKind;
use crate::domain::observation::Strategy;
use crate::domain::text::Text;

/// How much more or less at once: each step doubles it, or halves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tempo(pub i8);

impl Tempo {
    /// How far it goes, either way.
    const MOST: i8 = 4;

    /// Twice as many at once.
    pub fn faster(self) -> Tempo {
        Tempo((self.0 + 1).min(Tempo::MOST))
    }

    /// Half as many at once.
    pub fn slower(self) -> Tempo {
        Tempo((self.0 - 1).max(-Tempo::MOST))
    }

    fn scaled(self, count: u32) -> u32 {
        match self.0 {
            more @ 0.. => count.saturating_mul(1 << more),
            fewer => count >> -fewer,
        }
    }
}

/// The strategy that a workload needs for a tempo; `None` where it has that already.
///
/// # Errors
/// Why its kind has no such pace: reason and hint.
pub(super) fn strategy_for(workload: &Workload, tempo: Tempo) -> Result<Option<Strategy>, (String, &'static str)> {
    let (own, desired) = (&workload.seen.strategy, workload.seen.desired);
    if tempo == Tempo::default() {
        return Ok(None);
    }
    let refused = |why: String| Err((why, "leave its pace as it is: + and - put it back"));
    if let Some(why) = Abilities::of(workload.id.kind).pace.why_not() {
        return refused(format!("a {} {why}", workload.id.kind));
    }
    if own.kind != "RollingUpdate" {
        return refused(format!("a {} with the strategy {} has no pace", workload.id.kind, own.kind));
    }
    let number = |count: u32| Some(Text::new(&count.to_string()));
    let unavailable = |default| share_of(own.max_unavailable.as_deref().unwrap_or(default), desired);
    let changed = match workload.id.kind {
        WorkloadKind::Deployment => {
            let surge = share_above(own.max_surge.as_deref().unwrap_or("25%"), desired);
            // Never both none: it could not move (Kubernetes: ResolveFenceposts).
            let on_top = tempo.scaled(surge.max(1)).clamp(1, desired.max(1));
            let missing = tempo.scaled(unavailable("25%")).min(unavailable("25%"));
            Strategy { max_unavailable: number(missing), max_surge: number(on_top), ..own.clone() }
        }
        WorkloadKind::DaemonSet if tempo.0 > 0 => {
            return refused("a DaemonSet makes none on top: more at once would be more that are missing".to_string());
        }
        WorkloadKind::DaemonSet => {
            Strategy { max_unavailable: number(tempo.scaled(unavailable("1")).max(1)), ..own.clone() }
        }
        // None of them has a pace: they were refused above.
        WorkloadKind::StatefulSet
        | WorkloadKind::AutoScalingGroup
        | WorkloadKind::EcsService
        | WorkloadKind::Rollout
        | WorkloadKind::CronJob
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job
        | WorkloadKind::Pod
        | WorkloadKind::EcsTask
        | WorkloadKind::Machine
        | WorkloadKind::Unknown => return Ok(None),
    };
    Ok((changed != *own).then_some(changed))
}
