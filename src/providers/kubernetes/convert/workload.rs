//! From workloads of every kind to observations: what is asked for, how far it is, who owns it.
//!
//! Never believes a status that is older than the generation it is read with.

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::slim::{OwnerReference, Workload, WorkloadStatus};
use super::{claims, count, main_container, template_of, time};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::observation::{RevisionSeen, Rollout, Strategy, Template, WorkloadSeen};
use crate::domain::text::Text;

/// Where a brake notes the partition that a StatefulSet had.
pub(in super::super) const HELD_PARTITION: &str = "rolldeck.dev/held-partition";

/// A kind of workload that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Rollout,
}

/// What an object of a list is.
pub(in super::super) enum Seen {
    /// A workload, and when the owner of its image last wrote.
    Workload(Box<WorkloadSeen>, Option<Timestamp>),
    /// A version of a workload.
    Revision(Box<RevisionSeen>),
}

/// Converts one object.
pub(in super::super) fn workload(kind: Kind, raw: &Workload<'_>, keys: &ServiceKeys) -> Seen {
    let controller = OwnerReference::controller(&raw.metadata.owner_references);
    match (kind, controller.map(|owner| (owner.kind.as_str(), owner.uid.as_str()))) {
        (Kind::ReplicaSet, Some(("Deployment" | "Rollout", uid))) | (Kind::Job, Some(("CronJob", uid))) => {
            Seen::Revision(Box::new(revision(kind, raw, uid, template_of(&template_value(kind, raw)))))
        }
        _ => {
            let (seen, written_at) = alone(kind, raw, keys);
            Seen::Workload(Box::new(seen), written_at)
        }
    }
}

/// The same for one that is a workload whatever owns it, and when the owner of its image last wrote.
pub(in super::super) fn alone(kind: Kind, raw: &Workload<'_>, keys: &ServiceKeys) -> (WorkloadSeen, Option<Timestamp>) {
    let meta = &raw.metadata;
    let template_value = template_value(kind, raw);
    let template = template_of(&template_value);
    let controller = OwnerReference::controller(&meta.owner_references);
    let main = main_container(&template_value);
    let first = template.containers.first().map(|container| container.name.clone());
    let (owners, written_at) = match kind {
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::CronJob | Kind::Rollout => {
            claims::image_owners(meta.managed_fields, main.as_ref().or(first.as_ref()).map_or("", Text::as_str))
        }
        Kind::ReplicaSet | Kind::Job => (Vec::new(), None),
    };
    let label = |key: &str| template_value["metadata"]["labels"][key].as_str();
    let held = held_partition(kind, raw);
    let generation = meta.generation.unwrap_or(0).max(0).unsigned_abs();
    let observed = raw.status.observed_generation.unwrap_or(0).max(0).unsigned_abs();
    let seen = WorkloadSeen {
        uid: Uid::new(meta.uid.as_str()),
        kind: kind.workload_kind(),
        namespace: meta.namespace.filled().map(Text::new),
        name: Text::new(meta.name.as_str()),
        service: keys.service_of(|key| meta.labels.get(key), label, meta.name.as_str()),
        main_container: main,
        expected_annotation: meta.annotations.get("rolldeck.dev/expected-image").map(Text::new),
        generation,
        // Jobs and CronJobs do not say what they have observed.
        observed_generation: if matches!(kind, Kind::Job | Kind::CronJob) { generation } else { observed },
        desired: desired(kind, raw),
        rollout: if held.is_some() { Rollout::Paused } else { rollout(kind, raw, written_at) },
        running: None,
        canary: None,
        strategy: strategy(kind, raw, held),
        undoers: claims::undoers(meta, &owners),
        owners,
        requested_since: written_at.or_else(|| time(meta.creation_timestamp.as_str())),
        touched_by: meta.annotations.get("rolldeck.dev/operation").map(Text::new),
        inoperable: inoperable(kind, controller),
        trouble: suspended(kind, raw).or_else(|| trouble(&raw.status)),
        template,
    };
    (seen, written_at)
}

fn template_value(kind: Kind, raw: &Workload<'_>) -> Value {
    kind.template(raw).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null)
}

impl Kind {
    /// Whether its versions are objects of their own.
    pub(in super::super) fn has_versions(self) -> bool {
        match self {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::Rollout => true,
            Kind::ReplicaSet | Kind::Job | Kind::CronJob => false,
        }
    }

    /// The listed kind, if requests of ours can change workloads of it.
    pub(in super::super) fn operable(kind: WorkloadKind) -> Option<Kind> {
        match kind {
            WorkloadKind::Deployment => Some(Kind::Deployment),
            WorkloadKind::StatefulSet => Some(Kind::StatefulSet),
            WorkloadKind::DaemonSet => Some(Kind::DaemonSet),
            WorkloadKind::CronJob => Some(Kind::CronJob),
            WorkloadKind::Rollout => Some(Kind::Rollout),
            WorkloadKind::ReplicaSet
            | WorkloadKind::Job
            | WorkloadKind::Pod
            | WorkloadKind::AutoScalingGroup
            | WorkloadKind::EcsService
            | WorkloadKind::EcsTask
            | WorkloadKind::Machine
            | WorkloadKind::Unknown => None,
        }
    }

    /// The template of its pods, as it stands in an object of this kind.
    pub(in super::super) fn template<'a>(self, raw: &Workload<'a>) -> Option<&'a RawValue> {
        match self {
            Kind::CronJob => raw.spec.job_template.as_ref().and_then(|job| job.spec.template),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::Rollout => {
                raw.spec.template
            }
        }
    }

    /// Its API group.
    pub(in super::super) fn group(self) -> &'static str {
        match self {
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => "apps",
            Kind::Job | Kind::CronJob => "batch",
            Kind::Rollout => "argoproj.io",
        }
    }

    /// The version of its API that is spoken.
    pub(in super::super) fn version(self) -> &'static str {
        match self {
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::CronJob => {
                "v1"
            }
            Kind::Rollout => "v1alpha1",
        }
    }

    /// Its name in paths and permissions.
    pub(in super::super) fn resource(self) -> &'static str {
        match self {
            Kind::Deployment => "deployments",
            Kind::ReplicaSet => "replicasets",
            Kind::StatefulSet => "statefulsets",
            Kind::DaemonSet => "daemonsets",
            Kind::Job => "jobs",
            Kind::CronJob => "cronjobs",
            Kind::Rollout => "rollouts",
        }
    }

    /// The same, in the domain's words.
    pub(in super::super) fn workload_kind(self) -> WorkloadKind {
        match self {
            Kind::Deployment => WorkloadKind::Deployment,
            Kind::ReplicaSet => WorkloadKind::ReplicaSet,
            Kind::StatefulSet => WorkloadKind::StatefulSet,
            Kind::DaemonSet => WorkloadKind::DaemonSet,
            Kind::Job => WorkloadKind::Job,
            Kind::CronJob => WorkloadKind::CronJob,
            Kind::Rollout => WorkloadKind::Rollout,
        }
    }
}

fn revision(kind: Kind, raw: &Workload<'_>, workload: &str, template: Template) -> RevisionSeen {
    let meta = &raw.metadata;
    let created_at = time(meta.creation_timestamp.as_str());
    // A ReplicaSet is that of a Deployment, or that of a Rollout.
    let note = |name: &str| {
        let notes = ["deployment.kubernetes.io", "rollout.argoproj.io"];
        notes.iter().find_map(|prefix| meta.annotations.get(&format!("{prefix}/{name}")))
    };
    let number = note("revision").and_then(|number| number.parse().ok());
    let past = note("revision-history").unwrap_or_default();
    RevisionSeen {
        left: if kind == Kind::Job { failed_run(raw) } else { None },
        deprecated_at: None,
        label: None,
        uid: Uid::new(meta.uid.as_str()),
        workload: Uid::new(workload),
        // A job has no number: the runs of a CronJob are told apart by their time.
        number: number
            .or(created_at.filter(|_| kind == Kind::Job).map(|at| at.as_second().unsigned_abs()))
            .unwrap_or(0),
        past_numbers: past.split(',').filter_map(|number| number.trim().parse().ok()).collect(),
        template,
        created_at,
        cause: meta.annotations.get("kubernetes.io/change-cause").filter(|cause| !cause.is_empty()).map(Text::new),
    }
}

/// That a run has failed, which speaks against its version.
fn failed_run(raw: &Workload<'_>) -> Option<Text> {
    let failed = raw.status.conditions.iter().find(|condition| condition.kind.as_str() == "Failed")?;
    let why = failed.reason.filled().unwrap_or("no reason is given");
    let name = raw.metadata.name.as_str();
    (failed.status.as_str() == "True").then(|| Text::new(&format!("its run {name} failed: {why}")))
}

fn desired(kind: Kind, raw: &Workload<'_>) -> u32 {
    match kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::Rollout => count(raw.spec.replicas.or(Some(1))),
        Kind::DaemonSet => count(raw.status.desired_number_scheduled),
        Kind::Job => count(raw.status.active.as_ref().and_then(Value::as_i64)),
        Kind::CronJob => 0,
    }
}

fn rollout(kind: Kind, raw: &Workload<'_>, written_at: Option<Timestamp>) -> Rollout {
    let status = &raw.status;
    let is_observed = status.observed_generation.unwrap_or(0) >= raw.metadata.generation.unwrap_or(0);
    let desired = desired(kind, raw);
    let settled = |is_settled: bool| if is_settled { Rollout::Stable } else { Rollout::Progressing };
    match kind {
        Kind::Deployment if raw.spec.paused == Some(true) => Rollout::Paused,
        Kind::Deployment => deployment_rollout(raw, is_observed, desired, written_at),
        // Of a Rollout its own conversion tells.
        Kind::ReplicaSet | Kind::Job | Kind::CronJob | Kind::Rollout => Rollout::Stable,
        // Nothing moves by itself there.
        Kind::StatefulSet | Kind::DaemonSet if is_on_delete(raw) => Rollout::Stable,
        Kind::StatefulSet => {
            let partition = partition(raw);
            let is_whole = partition > 0 || status.update_revision == status.current_revision;
            let wanted = desired.saturating_sub(partition);
            settled(is_observed && is_whole && count(status.updated_replicas) >= wanted)
        }
        Kind::DaemonSet => settled(is_observed && count(status.updated_number_scheduled) == desired),
    }
}

/// Done and failed as `kubectl rollout status` says, with two corrections. A rollout that was complete stays so when an
/// instance falls ill later. And a verdict that is older than the last write of the template is about the rollout before:
/// the controller keeps it for a moment after a rollback to a ReplicaSet that is already there.
fn deployment_rollout(raw: &Workload<'_>, is_observed: bool, desired: u32, written_at: Option<Timestamp>) -> Rollout {
    let status = &raw.status;
    let progressing = status.conditions.iter().find(|condition| condition.kind.as_str() == "Progressing");
    let verdict = progressing.filter(|condition| {
        let updated_at = time(condition.last_update_time.as_str());
        is_observed && written_at.zip(updated_at).is_none_or(|(written, updated)| updated >= written)
    });
    if let Some(failed) = verdict.filter(|condition| condition.reason.as_str() == "ProgressDeadlineExceeded") {
        let message = failed.message.filled().unwrap_or("no progress in time");
        return Rollout::Failed(Text::new(&format!("ProgressDeadlineExceeded: {message}")));
    }
    let was_complete = verdict.is_some_and(|condition| condition.reason.as_str() == "NewReplicaSetAvailable");
    let is_replaced = count(status.updated_replicas) == desired && count(status.replicas) == desired;
    let is_available = count(status.available_replicas) == desired;
    if is_observed && is_replaced && (is_available || was_complete) { Rollout::Stable } else { Rollout::Progressing }
}

/// Why pods can't be made (a quota, an admission webhook): the platform goes on trying.
fn trouble(status: &WorkloadStatus<'_>) -> Option<Text> {
    let failure = status.conditions.iter().find(|condition| condition.kind.as_str() == "ReplicaFailure");
    let failure = failure.filter(|condition| condition.status.as_str() == "True")?;
    Some(Text::new(&format!("{}: {}", failure.reason.as_str(), failure.message.as_str())))
}

/// A CronJob that starts nothing.
fn suspended(kind: Kind, raw: &Workload<'_>) -> Option<Text> {
    let is_suspended = kind == Kind::CronJob && raw.spec.suspend == Some(true);
    is_suspended.then(|| Text::new("it is suspended: no run starts until somebody resumes it"))
}

fn is_on_delete(raw: &Workload<'_>) -> bool {
    raw.spec.update_strategy.as_ref().is_some_and(|strategy| strategy.kind.as_deref() == Some("OnDelete"))
}

fn partition(raw: &Workload<'_>) -> u32 {
    let rolling = raw.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    count(rolling.and_then(|rolling| rolling.partition))
}

/// The partition that a StatefulSet had before a brake of ours raised it; `None` while it is not held so. A StatefulSet has
/// no `paused`: the partition is what stops it, and the annotation is what has to be given back.
fn held_partition(kind: Kind, raw: &Workload<'_>) -> Option<u32> {
    let own = raw.metadata.annotations.get(HELD_PARTITION).filter(|_| kind == Kind::StatefulSet)?;
    own.parse().ok().filter(|own| partition(raw) > *own)
}

/// How it replaces, as its owner wants it: without what a brake of ours has changed.
fn strategy(kind: Kind, workload: &Workload<'_>, held: Option<u32>) -> Strategy {
    let Some(raw) = workload.spec.strategy.as_ref().or(workload.spec.update_strategy.as_ref()) else {
        return Strategy::default();
    };
    let text = |value: &Value| match value {
        Value::String(text) => Text::new(text),
        other => Text::new(&other.to_string()),
    };
    let rolling = raw.rolling_update.as_ref();
    let max_unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).map(text);
    // A StatefulSet that says nothing replaces one at a time.
    let one = || (kind == Kind::StatefulSet && !is_on_delete(workload)).then(|| Text::new("1"));
    Strategy {
        kind: Text::new(raw.kind.as_deref().unwrap_or_default()),
        max_unavailable: max_unavailable.or_else(one),
        max_surge: rolling.and_then(|rolling| rolling.max_surge.as_ref()).map(text),
        partition: held.unwrap_or_else(|| partition(workload)),
        first_number: count(workload.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start)),
    }
}

fn inoperable(kind: Kind, controller: Option<&OwnerReference<'_>>) -> Option<Text> {
    if let Some(owner) = controller {
        let (kind, name) = (owner.kind.as_str(), owner.name.as_str());
        return Some(Text::new(&format!("{kind}/{name} owns it and would undo a change; change that one")));
    }
    let text = match kind {
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::CronJob | Kind::Rollout => return None,
        Kind::ReplicaSet => "no Deployment owns it: it has no earlier version and replaces nothing by itself",
        Kind::Job => "a Job runs once: start a new one instead of changing it",
    };
    Some(Text::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn seen(kind: Kind, raw: &Value) -> WorkloadSeen {
        let text = raw.to_string();
        let raw: Workload<'_> = serde_json::from_str(&text).expect("a workload");
        match workload(kind, &raw, &ServiceKeys::default()) {
            Seen::Workload(seen, _) => *seen,
            Seen::Revision(_) => panic!("a revision"),
        }
    }

    fn deployment(spec: &Value, status: &Value) -> Value {
        let key = "k:{\"name\":\"app\"}";
        json!({"metadata": {"name": "checkout", "namespace": "shop", "uid": "d1", "generation": 4,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app.kubernetes.io/name": "shop-checkout"},
                "annotations": {"rolldeck.dev/operation": "o-1 ada@desk 2026-01-01T00:00:00Z"},
                "managedFields": [{"manager": "ci", "operation": "Update", "time": "2026-01-01T10:00:00Z", "fieldsV1":
                    {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {"f:image": {}}}}}}}}]},
            "spec": spec, "status": status})
    }

    fn spec() -> Value {
        json!({"replicas": 3, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": "shop/checkout:v41"}]}}})
    }

    #[test]
    fn a_deployment_is_read_whole() {
        let seen = seen(Kind::Deployment, &deployment(&spec(), &json!({})));
        assert_eq!(seen.service, "shop-checkout");
        assert_eq!(seen.strategy.max_unavailable, Some(Text::new("25%")));
        assert_eq!(seen.strategy.max_surge, Some(Text::new("1")));
        assert_eq!(seen.owners.len(), 1);
        assert_eq!(seen.requested_since, "2026-01-01T10:00:00Z".parse().ok());
        assert!(seen.touched_by.is_some_and(|by| by.starts_with("o-1 ")));
        assert_eq!((seen.desired, seen.generation, seen.observed_generation), (3, 4, 0));
        assert_eq!(seen.inoperable, None);
    }

    #[test]
    fn how_far_a_deployment_is() {
        let counts = |observed: u32, updated: u32, all: u32, available: u32| json!({"observedGeneration": observed, "updatedReplicas": updated, "replicas": all, "availableReplicas": available});
        let with = |mut status: Value, reason: &str, at: &str| {
            status["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": reason, "message": "late",
                "lastUpdateTime": at}]);
            status
        };
        let (before, after) = ("2026-01-01T09:00:00Z", "2026-01-01T11:00:00Z");
        let failed = Rollout::Failed(Text::new("ProgressDeadlineExceeded: late"));
        for (status, expected) in [
            (counts(4, 3, 3, 3), Rollout::Stable),
            (counts(3, 3, 3, 3), Rollout::Progressing),
            (counts(4, 2, 3, 3), Rollout::Progressing),
            (counts(4, 3, 4, 3), Rollout::Progressing),
            (counts(4, 3, 3, 2), Rollout::Progressing),
            (with(counts(4, 3, 3, 2), "NewReplicaSetAvailable", after), Rollout::Stable),
            (with(counts(4, 3, 3, 2), "NewReplicaSetAvailable", before), Rollout::Progressing),
            (with(counts(4, 1, 4, 3), "ProgressDeadlineExceeded", after), failed),
            // Left over from the rollout that was rolled back from.
            (with(counts(4, 1, 4, 3), "ProgressDeadlineExceeded", before), Rollout::Progressing),
            (with(counts(3, 1, 4, 3), "ProgressDeadlineExceeded", after), Rollout::Progressing),
        ] {
            assert_eq!(seen(Kind::Deployment, &deployment(&spec(), &status)).rollout, expected, "{status}");
        }
        let mut paused = spec();
        paused["paused"] = json!(true);
        assert_eq!(seen(Kind::Deployment, &deployment(&paused, &counts(4, 3, 3, 3))).rollout, Rollout::Paused);
    }

    #[test]
    fn other_kinds_say_why_they_cant_be_operated() {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}]}});
        let object = |spec: Value, status: Value| json!({"metadata": {"name": "db", "uid": "u", "generation": 1}, "spec": spec, "status": status});
        let set = object(
            json!({"replicas": 2, "template": template, "updateStrategy": {"type": "RollingUpdate"}}),
            json!({"observedGeneration": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
        );
        let set = seen(Kind::StatefulSet, &set);
        assert_eq!((set.rollout, set.desired, set.inoperable), (Rollout::Progressing, 2, None));
        assert_eq!(set.strategy.max_unavailable, Some(Text::new("1")), "one at a time where it says nothing");
        let daemon = object(
            json!({"template": template}),
            json!({"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}),
        );
        assert_eq!(
            (seen(Kind::DaemonSet, &daemon).rollout, seen(Kind::DaemonSet, &daemon).desired),
            (Rollout::Stable, 3)
        );
        let cron = seen(
            Kind::CronJob,
            &object(json!({"jobTemplate": {"spec": {"template": template}}}), json!({"active": [{}]})),
        );
        assert_eq!((cron.template.containers.len(), cron.desired, cron.inoperable), (1, 0, None));
        let mut owned = object(json!({"replicas": 1, "template": template}), json!({}));
        owned["metadata"]["ownerReferences"] =
            json!([{"kind": "CloneSet", "name": "r", "uid": "x", "controller": true}]);
        assert!(seen(Kind::ReplicaSet, &owned).inoperable.is_some_and(|why| why.contains("CloneSet/r")));
    }

    #[test]
    fn a_stateful_set_is_held_by_a_partition_of_ours_alone() {
        let check = |note: Option<&str>, partition: u32, expected: (Rollout, u32)| {
            let set = json!({"metadata": {"name": "db", "uid": "u", "generation": 1, "annotations": {HELD_PARTITION: note}},
                "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}},
                "status": {"observedGeneration": 1, "updatedReplicas": 3, "currentRevision": "a", "updateRevision": "a"}});
            let seen = seen(Kind::StatefulSet, &set);
            assert_eq!((seen.rollout, seen.strategy.partition), expected, "{note:?} {partition}");
        };
        check(None, 0, (Rollout::Stable, 0));
        // Its owner's, whatever it holds back.
        check(None, 3, (Rollout::Stable, 3));
        check(Some("1"), 3, (Rollout::Paused, 1));
        // Somebody gave it back by hand, and left the note.
        check(Some("1"), 1, (Rollout::Stable, 1));
        check(Some("what"), 3, (Rollout::Stable, 3));
    }

    #[test]
    fn what_is_replaced_on_delete_alone_moves_by_itself_never() {
        for kind in [Kind::StatefulSet, Kind::DaemonSet] {
            let set = json!({"metadata": {"name": "db", "uid": "u", "generation": 2},
                "spec": {"replicas": 3, "updateStrategy": {"type": "OnDelete"}},
                "status": {"observedGeneration": 2, "updatedReplicas": 1, "desiredNumberScheduled": 3}});
            let seen = seen(kind, &set);
            assert_eq!((seen.rollout, seen.strategy.max_unavailable), (Rollout::Stable, None));
        }
    }

    #[test]
    fn a_replica_set_of_a_deployment_is_one_of_its_versions() {
        let raw = json!({"metadata": {"name": "checkout-77", "uid": "r1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"kind": "Deployment", "name": "checkout", "uid": "d1", "controller": true}],
                "annotations": {"deployment.kubernetes.io/revision": "5", "deployment.kubernetes.io/revision-history": "1,3",
                    "kubernetes.io/change-cause": "because"}},
            "spec": {"replicas": 0, "template": {"metadata": {"labels": {"app": "x", "pod-template-hash": "77"}},
                "spec": {"containers": [{"name": "app", "image": "shop/checkout:v41"}]}}}})
        .to_string();
        let raw: Workload<'_> = serde_json::from_str(&raw).expect("a ReplicaSet");
        let Seen::Revision(revision) = workload(Kind::ReplicaSet, &raw, &ServiceKeys::default()) else {
            panic!("a workload")
        };
        assert_eq!((revision.number, &revision.past_numbers[..], revision.workload), (5, &[1, 3][..], Uid::new("d1")));
        assert_eq!(revision.cause, Some(Text::new("because")));
        assert_eq!(revision.template.hash, seen(Kind::Deployment, &deployment(&spec(), &json!({}))).template.hash);
    }

    #[test]
    fn a_job_of_a_cron_job_is_a_version_and_a_failed_one_speaks_against_it() {
        let job = |status: &str| {
            let raw = json!({"metadata": {"name": "report-1", "uid": "j1", "creationTimestamp": "2026-01-01T00:00:00Z",
                    "ownerReferences": [{"kind": "CronJob", "name": "report", "uid": "c1", "controller": true}]},
                "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "shop/report:v41"}]}}},
                "status": {"conditions": [{"type": "Failed", "status": status, "reason": "BackoffLimitExceeded"}]}})
            .to_string();
            let raw: Workload<'_> = serde_json::from_str(&raw).expect("a Job");
            match workload(Kind::Job, &raw, &ServiceKeys::default()) {
                Seen::Revision(revision) => *revision,
                Seen::Workload(..) => panic!("a workload"),
            }
        };
        assert_eq!(job("True").left, Some(Text::new("its run report-1 failed: BackoffLimitExceeded")));
        assert_eq!((job("False").left, job("False").number), (None, 1_767_225_600));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,60}", number in any::<i64>()) {
            let raw = json!({"metadata": {"name": text, "uid": text, "generation": number, "creationTimestamp": text,
                    "annotations": {"deployment.kubernetes.io/revision": text, "rolldeck.dev/operation": text}, "managedFields": [text]},
                "spec": {"replicas": number, "template": {"spec": {"containers": [{"name": text, "image": text}, 1, null]}}},
                "status": {"observedGeneration": number, "replicas": number, "conditions": [{"type": "Progressing", "lastUpdateTime": text}]}})
            .to_string();
            let raw: Workload<'_> = serde_json::from_str(&raw).expect("typed as the API does");
            for kind in [Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::CronJob] {
                let _ = workload(kind, &raw, &ServiceKeys::default());
            }
        }
    }
}
