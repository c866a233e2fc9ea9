//! How many instances a rollout replaces at once, where a plan wants another number than the workload has: its strategy is
//! changed first and given back when the plan is done.
//!
//! Never takes more away at once than the workload's own strategy allows: more at once is more on top.

use super::abilities::Abilities;
use super::floor::{share_above, share_of};
use crate::domain::fleet::Workload;
use crate::domain::id::WorkloadKind;
use crate::domain::observation::Strategy;
use crate::domain::text::{Text, with_article};

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

    /// A number or a percentage, more or fewer of it, and `least` where that leaves less.
    fn scaled(self, raw: &str, least: u32) -> Text {
        let times = |count: u32| match self.0 {
            more @ 0.. => count.saturating_mul(1 << more),
            fewer => count >> -fewer,
        };
        Text::new(&match raw.strip_suffix('%').map(str::parse::<u32>) {
            Some(Ok(percent)) => format!("{}%", times(percent).clamp(least, 100)),
            Some(Err(_)) => raw.to_string(),
            None => raw.parse().map_or(raw.to_string(), |count| times(count).max(least).to_string()),
        })
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
        return refused(format!("{} {why}", with_article(&workload.id.kind)));
    }
    if own.kind != "RollingUpdate" {
        return refused(format!("a {} with the strategy {} has no pace", workload.id.kind, own.kind));
    }
    let is_faster = tempo.0 > 0;
    let (unavailable, surge) = match workload.id.kind {
        WorkloadKind::DaemonSet => ("1", "0"),
        _ => ("25%", "25%"),
    };
    let unavailable = own.max_unavailable.as_deref().unwrap_or(unavailable);
    let surge = own.max_surge.as_deref().unwrap_or(surge);
    let changed = match workload.id.kind {
        WorkloadKind::Deployment | WorkloadKind::DaemonSet if share_above(surge, desired) > 0 => {
            let max_surge = Some(tempo.scaled(surge, 1));
            // More at once is more on top, and nothing else.
            let max_unavailable =
                if is_faster { own.max_unavailable.clone() } else { Some(tempo.scaled(unavailable, 0)) };
            Strategy { max_unavailable, max_surge, ..own.clone() }
        }
        WorkloadKind::Deployment | WorkloadKind::DaemonSet if is_faster => {
            return refused("it makes none on top: more at once would be more that are missing".to_string());
        }
        WorkloadKind::Deployment | WorkloadKind::DaemonSet => {
            let fewer = tempo.scaled(unavailable, 1);
            // Never both none: it could not move (Kubernetes: ResolveFenceposts).
            let fewer = if share_of(&fewer, desired) == 0 { Text::new("1") } else { fewer };
            Strategy { max_unavailable: Some(fewer), ..own.clone() }
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
