//! What stops a rollout of a workload where it is, by its kind.
//!
//! Never offers a stop that the platform does not have: where there is none, it says what happens instead.

use super::Brake;
use super::abilities::Abilities;
use crate::domain::fleet::Workload;
use crate::domain::id::WorkloadKind;
use crate::domain::text::{Text, with_article};

/// The brake of a workload.
pub(super) fn brake_of(workload: &Workload) -> Brake {
    match workload.id.kind {
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet if workload.seen.strategy.kind == "OnDelete" => {
            Brake::None(Text::new("it replaces nothing by itself: after a stop no more is evicted"))
        }
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::Rollout => Brake::PauseRollout,
        WorkloadKind::AutoScalingGroup | WorkloadKind::EcsService => Brake::CancelRollout,
        WorkloadKind::DaemonSet
        | WorkloadKind::CronJob
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job
        | WorkloadKind::Pod
        | WorkloadKind::EcsTask
        | WorkloadKind::Machine
        | WorkloadKind::Unknown => {
            let why = Abilities::of(workload.id.kind).hold.why_not().unwrap_or("has no brake");
            Brake::None(Text::new(&format!("{} {why}", with_article(&workload.id.kind))))
        }
    }
}
