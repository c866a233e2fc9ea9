//! Names of things: places, workloads, instances, operations, plans and their steps.
//!
//! Never checks whether the thing exists; an id is only a name that two parts of the program agree on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::Text;

/// One thing to connect to: `k8s/prod-eu`, `aws/123456789012/us-east-1`, or as configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlaceId(pub Text);

/// What tells one incarnation from another of the same name: a pod's uid, an EC2 instance id, a container id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub Text);

/// What owns instances and can roll them. Kinds that can't be operated are named too: they are shown with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// A ReplicaSet that no Deployment owns.
    ReplicaSet,
    /// `batch/v1` Job.
    Job,
    /// `batch/v1` CronJob.
    CronJob,
    /// A pod that nothing owns.
    Pod,
    /// `argoproj.io/v1alpha1` Rollout.
    Rollout,
    /// An EC2 Auto Scaling group.
    AutoScalingGroup,
    /// A service of an ECS cluster.
    EcsService,
    /// Tasks of one ECS family that no service owns.
    EcsTask,
    /// A virtual machine that no group owns.
    Machine,
    /// Owned by a kind that Rolldeck doesn't know.
    Unknown,
}

impl WorkloadKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [WorkloadKind; 13] = [
        WorkloadKind::Deployment,
        WorkloadKind::StatefulSet,
        WorkloadKind::DaemonSet,
        WorkloadKind::ReplicaSet,
        WorkloadKind::Job,
        WorkloadKind::CronJob,
        WorkloadKind::Pod,
        WorkloadKind::Rollout,
        WorkloadKind::AutoScalingGroup,
        WorkloadKind::EcsService,
        WorkloadKind::EcsTask,
        WorkloadKind::Machine,
        WorkloadKind::Unknown,
    ];

    /// The name that the kind's own platform uses.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
            WorkloadKind::ReplicaSet => "ReplicaSet",
            WorkloadKind::Job => "Job",
            WorkloadKind::CronJob => "CronJob",
            WorkloadKind::Pod => "Pod",
            WorkloadKind::Rollout => "Rollout",
            WorkloadKind::AutoScalingGroup => "AutoScalingGroup",
            WorkloadKind::EcsService => "EcsService",
            WorkloadKind::EcsTask => "EcsTask",
            WorkloadKind::Machine => "Machine",
            WorkloadKind::Unknown => "Unknown",
        }
    }

    /// Whether it starts runs that end by themselves: another template is what its next run starts, and nothing of it is
    /// ever replaced.
    pub fn has_runs(self) -> bool {
        match self {
            WorkloadKind::CronJob => true,
            WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::Job
            | WorkloadKind::Pod
            | WorkloadKind::Rollout
            | WorkloadKind::AutoScalingGroup
            | WorkloadKind::EcsService
            | WorkloadKind::EcsTask
            | WorkloadKind::Machine
            | WorkloadKind::Unknown => false,
        }
    }
}

/// A workload by name. Its incarnation is its `Uid`, kept beside it wherever it matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// Where it is.
    pub place: PlaceId,
    /// The namespace, where the provider has such a thing.
    pub namespace: Option<Text>,
    /// What kind of workload it is.
    pub kind: WorkloadKind,
    /// Its own name.
    pub name: Text,
}

/// One running (or just ended) thing: a place and an incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// Where it is.
    pub place: PlaceId,
    /// Which incarnation.
    pub uid: Uid,
}

/// `p-7k2m`: a plan that was made and may be applied with its code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub Text);

/// `o-7k2m4p`: a plan that was started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Text);

/// The place of a step in its plan, both counted from 1; shown as `1.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId {
    /// The wave, from 1.
    pub wave: u16,
    /// The step in its wave, from 1.
    pub step: u16,
}

impl PlaceId {
    /// From any text; what a terminal can't show is replaced.
    pub fn new(raw: &str) -> PlaceId {
        PlaceId(Text::new(raw))
    }
}

impl Uid {
    /// From any text; what a terminal can't show is replaced.
    pub fn new(raw: &str) -> Uid {
        Uid(Text::new(raw))
    }
}

impl fmt::Display for PlaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} ", self.place, self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        self.name.fmt(formatter)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}.{}", self.wave, self.step))
    }
}

impl std::str::FromStr for StepId {
    type Err = String;
    fn from_str(raw: &str) -> Result<StepId, String> {
        let wrong = || format!("`{raw}` is no step; steps look like 1.2");
        let (wave, step) = raw.split_once('.').ok_or_else(wrong)?;
        Ok(StepId { wave: wave.parse().map_err(|_| wrong())?, step: step.parse().map_err(|_| wrong())? })
    }
}

impl Serialize for StepId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<StepId, D::Error> {
        Text::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
