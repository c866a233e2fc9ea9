//! From a pod to an instance: what it asks for, what it runs, whether it works, how it was changed.
//!
//! Never takes a pod's word for who owns it beyond the controller reference, and never guesses a digest.

use std::sync::Arc;

use super::super::slim::{ContainerStatus, Node, OwnerReference, Pod, PodContainer};
use super::Asked;
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::image::{Digest, DigestKind, ImageId, ImageRef};
use crate::domain::observation::{ContainerSeen, Health, InstanceSeen, Owner, Phase, Role};
use crate::domain::text::Text;

/// What is known beside the pod.
pub(in super::super) struct Surrounding<'a> {
    /// Which labels name the service.
    pub keys: &'a ServiceKeys,
    /// The platform of its node.
    pub platform: Option<Text>,
    /// What the template asks for that it was made from.
    pub asked: Option<&'a Asked>,
}

/// The instance that a pod is.
pub(in super::super) fn instance(pod: &Pod<'_>, surrounding: &Surrounding<'_>) -> InstanceSeen {
    let (meta, status) = (&pod.metadata, &pod.status);
    let owner = OwnerReference::controller(&meta.owner_references);
    let phase = phase(pod);
    let health = health(pod, phase);
    let label = |key: &str| meta.labels.get(key);
    let restarts = status.container_statuses.iter().chain(&status.init_container_statuses);
    let restarts = restarts.map(|status| status.restart_count.max(0)).sum::<i64>();
    InstanceSeen {
        uid: Uid::new(meta.uid.as_str()),
        owner: owner.map(owner_seen).map(Arc::new),
        service: surrounding.keys.service_of(
            label,
            |_| None,
            owner.map_or(meta.name.as_str(), |owner| owner.name.as_str()),
        ),
        namespace: meta.namespace.filled().map(Text::new),
        name: Text::new(meta.name.as_str()),
        revision: revision_of(pod),
        phase,
        health,
        reason: if health == Health::Healthy { None } else { reason(pod) },
        platform: surrounding.platform.clone(),
        containers: containers(pod, surrounding.asked).into(),
        started_at: status.start_time.filled().or(meta.creation_timestamp.filled()).and_then(super::time),
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        touched: touched(pod, surrounding.asked),
    }
}

/// The name of the ControllerRevision that a pod was made from: a StatefulSet writes it into the label, a DaemonSet only
/// its last part.
pub(in super::super) fn revision_of(pod: &Pod<'_>) -> Option<Text> {
    let label = pod.metadata.labels.get("controller-revision-hash")?;
    let owner = OwnerReference::controller(&pod.metadata.owner_references);
    Some(match owner.filter(|owner| owner.kind.as_str() == "DaemonSet") {
        Some(owner) => Text::new(&format!("{}-{label}", owner.name.as_str())),
        None => Text::new(label),
    })
}

/// Name and platform (`linux/arm64`) of a node.
pub(in super::super) fn platform(node: &Node<'_>) -> Option<Text> {
    let (label, info) = (|key: &str| node.metadata.labels.get(key), &node.status.node_info);
    let system = label("kubernetes.io/os").or(info.operating_system.filled())?;
    let architecture = label("kubernetes.io/arch").or(info.architecture.filled())?;
    Some(Text::new(&format!("{system}/{architecture}")))
}

/// Every form of `imageID` (reference section 6). What names a repository is an index or a manifest, the kubelet does not
/// say which; what does not is what the engine calls the image: its configuration.
fn image_id(raw: &str) -> Option<ImageId> {
    let named = raw.strip_prefix("docker-pullable://").or(raw.strip_prefix("docker://")).unwrap_or(raw);
    let (digest, kind) = match named.rsplit_once('@') {
        Some((_, digest)) => (digest, DigestKind::Repository),
        None => (named, DigestKind::Config),
    };
    digest.parse::<Digest>().ok().map(|digest| ImageId::oci(digest, kind))
}

fn owner_seen(owner: &OwnerReference<'_>) -> Owner {
    let kind = match owner.kind.as_str() {
        "ReplicaSet" => WorkloadKind::ReplicaSet,
        "StatefulSet" => WorkloadKind::StatefulSet,
        "DaemonSet" => WorkloadKind::DaemonSet,
        "Job" => WorkloadKind::Job,
        _ => WorkloadKind::Unknown,
    };
    let name = match kind {
        WorkloadKind::Unknown
        | WorkloadKind::AutoScalingGroup
        | WorkloadKind::EcsService
        | WorkloadKind::EcsTask
        | WorkloadKind::Machine => Text::new(&format!("{}/{}", owner.kind.as_str(), owner.name.as_str())),
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job
        | WorkloadKind::CronJob
        | WorkloadKind::Rollout
        | WorkloadKind::Pod => Text::new(owner.name.as_str()),
    };
    Owner { uid: Uid::new(owner.uid.as_str()), kind, name }
}

fn phase(pod: &Pod<'_>) -> Phase {
    if pod.metadata.deletion_timestamp.filled().is_some() {
        return Phase::Draining;
    }
    match pod.status.phase.as_str() {
        "Pending" => Phase::Pending,
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        _ => Phase::Unknown,
    }
}

fn health(pod: &Pod<'_>, phase: Phase) -> Health {
    let ready = pod.status.conditions.iter().find(|condition| condition.kind.as_str() == "Ready");
    let is_lost =
        pod.status.reason.as_str() == "NodeLost" || ready.is_some_and(|ready| ready.status.as_str() == "Unknown");
    match phase {
        Phase::Unknown => Health::Unknown,
        Phase::Succeeded => Health::Healthy,
        Phase::Pending | Phase::Running | Phase::Draining | Phase::Failed if is_lost => Health::Unknown,
        Phase::Running | Phase::Draining if ready.is_some_and(|ready| ready.status.as_str() == "True") => {
            Health::Healthy
        }
        Phase::Pending | Phase::Running | Phase::Draining | Phase::Failed => Health::Unhealthy,
    }
}

/// Why it does not work, in the platform's words, the most telling first.
fn reason(pod: &Pod<'_>) -> Option<Text> {
    let status = &pod.status;
    let stopped = |status: &ContainerStatus<'_>| {
        let waiting = status.state.waiting.as_ref().and_then(|why| why.reason.filled());
        let is_starting = |reason: &&str| matches!(*reason, "ContainerCreating" | "PodInitializing");
        let ended = status.state.terminated.as_ref().filter(|why| why.exit_code != 0);
        waiting
            .filter(|reason| !is_starting(reason))
            .or(ended.map(|why| why.reason.filled().unwrap_or("Error")))
            .map(Text::new)
    };
    let in_init = || {
        let failing =
            status.init_container_statuses.iter().find_map(|status| Some((status.name.as_str(), stopped(status)?)));
        failing.map(|(name, reason)| Text::new(&format!("init container {name}: {reason}")))
    };
    let starting = || {
        let waiting = status.container_statuses.iter().filter_map(|status| status.state.waiting.as_ref());
        waiting.filter_map(|why| why.reason.filled()).map(Text::new).next()
    };
    let condition = |kind: &str| {
        let found = status.conditions.iter().find(|condition| condition.kind.as_str() == kind)?;
        if found.status.as_str() == "True" {
            return None;
        }
        match (found.reason.filled(), found.message.filled()) {
            (Some("Unschedulable"), Some(message)) => Some(Text::new(&format!("Unschedulable: {message}"))),
            (Some(reason), _) => Some(Text::new(reason)),
            (None, message) => message.map(Text::new),
        }
    };
    status
        .container_statuses
        .iter()
        .find_map(stopped)
        .or_else(in_init)
        .or_else(|| status.reason.filled().map(Text::new))
        .or_else(|| condition("PodScheduled"))
        .or_else(starting)
        .or_else(|| condition("Ready"))
}

fn containers(pod: &Pod<'_>, asked: Option<&Asked>) -> Vec<ContainerSeen> {
    let (spec, status) = (&pod.spec, &pod.status);
    let is_injected = |name: &str| asked.is_some_and(|asked| !asked.iter().any(|(known, _)| known == name));
    let seen = |container: &PodContainer<'_>, statuses: &[ContainerStatus<'_>], role: Role| {
        let name = container.name.as_str();
        let status = statuses.iter().find(|status| status.name.as_str() == name);
        ContainerSeen {
            name: Text::new(name),
            role,
            asked: container.image.as_str().parse::<ImageRef>().ok(),
            running: status.and_then(|status| image_id(status.image_id.as_str())),
        }
    };
    let own = |name: &str, role: Role| if is_injected(name) { Role::Injected } else { role };
    let count = spec.containers.len() + spec.init_containers.len() + spec.ephemeral_containers.len();
    let mut all = Vec::with_capacity(count);
    for container in &spec.containers {
        all.push(seen(container, &status.container_statuses, own(container.name.as_str(), Role::App)));
    }
    for container in &spec.init_containers {
        let role = if container.restart_policy.as_str() == "Always" { Role::Sidecar } else { Role::Init };
        all.push(seen(container, &status.init_container_statuses, own(container.name.as_str(), role)));
    }
    for container in &spec.ephemeral_containers {
        all.push(seen(container, &status.ephemeral_container_statuses, Role::Debug));
    }
    all
}

/// How the pod was changed after its start.
fn touched(pod: &Pod<'_>, asked: Option<&Asked>) -> Option<Text> {
    let debug = pod.spec.ephemeral_containers.first().map(|container| container.name.as_str());
    if let Some(debug) = debug {
        return Some(Text::new(&format!("debug container {debug} was attached")));
    }
    // An admission webhook changes images too, but before the pod starts: its generation is still 1 then, and a changed
    // image restarts its container.
    if pod.metadata.generation == Some(1) {
        return None;
    }
    let patched = pod.spec.containers.iter().find(|container| {
        let name = container.name.as_str();
        let template = asked.and_then(|asked| asked.iter().find(|(known, _)| known == name));
        let status = pod.status.container_statuses.iter().find(|status| status.name.as_str() == name);
        template.is_some_and(|(_, image)| is_another(image, container.image.as_str()))
            && status.is_some_and(|status| status.restart_count > 0)
    })?;
    Some(Text::new(&format!("the image of {} was patched on the running pod", patched.name.as_str())))
}

/// Whether two references ask for different images; a mirror in place of a registry does not.
fn is_another(template: &str, pod: &str) -> bool {
    match (template.parse::<ImageRef>(), pod.parse::<ImageRef>()) {
        (Ok(template), Ok(pod)) => match (template.digest(), pod.digest()) {
            (Some(template), Some(pod)) => template != pod,
            _ => template.tag() != pod.tag() || base(template.repository()) != base(pod.repository()),
        },
        (Err(_), _) | (_, Err(_)) => template != pod,
    }
}

fn base(repository: &str) -> &str {
    repository.rsplit('/').next().unwrap_or(repository)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const HEX: &str = "9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";

    fn seen(pod: &Value, asked: Option<&Asked>) -> InstanceSeen {
        let text = pod.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).expect("a pod");
        instance(&pod, &Surrounding { keys: &ServiceKeys::default(), platform: None, asked })
    }

    fn pod(status: Value) -> Value {
        json!({"metadata": {"name": "checkout-1", "namespace": "shop", "uid": "u1", "labels": {"app": "checkout"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "checkout-77", "uid": "rs1", "controller": true}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "shop/checkout:v41"}]}, "status": status})
    }

    #[test]
    fn every_form_of_image_id_is_understood() {
        let id = |kind| Some(ImageId::oci(format!("sha256:{HEX}").parse().expect("a digest"), kind));
        for (raw, expected) in [
            (format!("docker-pullable://shop/checkout@sha256:{HEX}"), id(DigestKind::Repository)),
            (format!("docker://sha256:{HEX}"), id(DigestKind::Config)),
            (format!("registry.example:5000/shop/checkout@sha256:{HEX}"), id(DigestKind::Repository)),
            (format!("sha256:{HEX}"), id(DigestKind::Config)),
            (String::new(), None),
            ("docker://sha256:41bd".to_string(), None),
            ("shop/checkout:v41".to_string(), None),
        ] {
            assert_eq!(image_id(&raw), expected, "{raw}");
        }
    }

    #[test]
    fn phase_health_and_reason_are_those_of_the_platform() {
        let ready = |status: &str| json!([{"type": "Ready", "status": status, "reason": "ContainersNotReady"}]);
        let waiting = |reason: &str| json!([{"name": "app", "state": {"waiting": {"reason": reason}}}]);
        for (status, phase, health, reason) in [
            (json!({"phase": "Running", "conditions": ready("True")}), Phase::Running, Health::Healthy, None),
            (
                json!({"phase": "Running", "conditions": ready("False")}),
                Phase::Running,
                Health::Unhealthy,
                Some("ContainersNotReady"),
            ),
            (
                json!({"phase": "Running", "conditions": ready("Unknown")}),
                Phase::Running,
                Health::Unknown,
                Some("ContainersNotReady"),
            ),
            (
                json!({"phase": "Running", "reason": "NodeLost", "conditions": ready("True")}),
                Phase::Running,
                Health::Unknown,
                Some("NodeLost"),
            ),
            (
                json!({"phase": "Pending", "containerStatuses": waiting("ImagePullBackOff"), "conditions": ready("False")}),
                Phase::Pending,
                Health::Unhealthy,
                Some("ImagePullBackOff"),
            ),
            (
                json!({"phase": "Pending", "containerStatuses": waiting("PodInitializing"), "initContainerStatuses":
                [{"name": "migrate", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                Phase::Pending,
                Health::Unhealthy,
                Some("init container migrate: CrashLoopBackOff"),
            ),
            (
                json!({"phase": "Running", "containerStatuses":
                [{"name": "app", "restartCount": 3, "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}),
                Phase::Running,
                Health::Unhealthy,
                Some("OOMKilled"),
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes"}]}),
                Phase::Pending,
                Health::Unhealthy,
                Some("Unschedulable: 0/3 nodes"),
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), Phase::Failed, Health::Unhealthy, Some("Evicted")),
            (json!({"phase": "Succeeded"}), Phase::Succeeded, Health::Healthy, None),
            (json!({"phase": "Odd"}), Phase::Unknown, Health::Unknown, None),
        ] {
            let seen = seen(&pod(status.clone()), None);
            let reason = reason.map(Text::new);
            assert_eq!((seen.phase, seen.health, seen.reason), (phase, health, reason), "{status}");
        }
        let mut draining = pod(json!({"phase": "Running", "conditions": ready("True")}));
        draining["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(seen(&draining, None).phase, Phase::Draining);
    }

    #[test]
    fn containers_have_the_role_they_play() {
        let mut pod = pod(
            json!({"phase": "Running", "initContainerStatuses": [{"name": "proxy", "imageID": format!("x@sha256:{HEX}")}]}),
        );
        pod["spec"]["containers"] = json!([{"name": "app", "image": "a:1"}, {"name": "mesh", "image": "m:1"}]);
        pod["spec"]["initContainers"] =
            json!([{"name": "migrate", "image": "i:1"}, {"name": "proxy", "image": "p:1", "restartPolicy": "Always"}]);
        pod["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": "d:1"}]);
        let asked: Asked = [("app", "a:1"), ("migrate", "i:1"), ("proxy", "p:1")]
            .map(|(name, image)| (Text::new(name), Text::new(image)))
            .into();
        let seen = seen(&pod, Some(&asked));
        let roles: Vec<(&str, Role)> = seen.containers.iter().map(|found| (found.name.as_str(), found.role)).collect();
        assert_eq!(
            roles,
            [
                ("app", Role::App),
                ("mesh", Role::Injected),
                ("migrate", Role::Init),
                ("proxy", Role::Sidecar),
                ("debugger", Role::Debug)
            ]
        );
        assert!(seen.containers[3].running.is_some());
        assert_eq!(seen.touched, Some(Text::new("debug container debugger was attached")));
    }

    #[test]
    fn an_image_patched_on_a_running_pod_is_told_from_one_changed_at_admission() {
        let asked: Asked = [(Text::new("app"), Text::new("shop/checkout:v41"))].into();
        let check = |image: &str, generation: Option<i64>, restarts: i64, expected: bool| {
            let mut pod =
                pod(json!({"phase": "Running", "containerStatuses": [{"name": "app", "restartCount": restarts}]}));
            pod["spec"]["containers"][0]["image"] = json!(image);
            pod["metadata"]["generation"] = json!(generation);
            assert_eq!(seen(&pod, Some(&asked)).touched.is_some(), expected, "{image} {generation:?} {restarts}");
        };
        check("shop/checkout:hotfix", Some(2), 1, true);
        check("shop/checkout:hotfix", None, 1, true);
        check("shop/checkout:hotfix", Some(1), 1, false);
        check("mirror.example/cache/checkout:v41", None, 1, false);
        check("shop/checkout:v41", Some(2), 4, false);
    }

    #[test]
    fn the_owner_is_the_controller_and_unknown_kinds_are_named() {
        let mut pod = pod(json!({}));
        assert_eq!(seen(&pod, None).owner.expect("owned").kind, WorkloadKind::ReplicaSet);
        pod["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "j", "uid": "x"},
            {"kind": "Sandbox", "name": "one", "uid": "s1", "controller": true}]);
        let owner = seen(&pod, None).owner.expect("owned");
        assert_eq!((owner.kind, owner.name.as_str()), (WorkloadKind::Unknown, "Sandbox/one"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(image_id in ".{0,90}", phase in ".{0,12}", name in ".{0,20}", restarts in any::<i64>()) {
            let mut pod = pod(json!({"phase": phase, "containerStatuses": [{"name": name, "imageID": image_id, "restartCount": restarts}],
                "conditions": [{"type": "Ready", "status": name}]}));
            pod["metadata"]["name"] = json!(name);
            pod["metadata"]["creationTimestamp"] = json!(image_id);
            let seen = seen(&pod, None);
            prop_assert!(seen.name.chars().all(|character| !character.is_control()));
        }

        #[test]
        fn image_ids_never_panic(raw in "(docker://|docker-pullable://|)[a-z/@:.]{0,20}(sha256:|)[0-9a-f]{0,70}") {
            let _ = image_id(&raw);
        }
    }
}
