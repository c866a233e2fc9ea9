//! A namespace of a real Kubernetes control plane for the conformance suite, with Deployments, with StatefulSets or with Argo Rollouts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rolldeck::domain::id::PlaceId;
use rolldeck::providers::{PlaceSpec, Surroundings};
use serde_json::{Value, json};

use super::{Deed, Lack, Subject};
use crate::real::cluster::{
    Cluster, MERGE_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments, wait,
};
use crate::real::rollouts::{rollouts, rollouts_or_skip};

/// What workloads are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deployment,
    StatefulSet,
    Rollout,
}

/// A namespace of its own on the shared control plane, with Deployments.
pub(super) fn deployments_subject() -> Option<Subject> {
    subject(Kind::Deployment)
}

/// The same with StatefulSets.
pub(super) fn stateful_sets_subject() -> Option<Subject> {
    subject(Kind::StatefulSet)
}

/// The same with Rollouts, whose canary has no steps: it is a rolling update by their own controller.
pub(super) fn rollouts_subject() -> Option<Subject> {
    subject(Kind::Rollout)
}

fn subject(kind: Kind) -> Option<Subject> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let cluster = match kind {
        Kind::Deployment | Kind::StatefulSet => cluster_or_skip("the conformance suite on kubernetes")?,
        Kind::Rollout => rollouts_or_skip("the conformance suite on kubernetes")?,
    };
    let namespace = format!("conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    cluster.create_namespace(&namespace);
    let context = cluster.context(User::Admin);
    let place = PlaceId::new(&format!("k8s/{context}"));
    let (own, acting, asked) = (place.clone(), namespace.clone(), namespace.clone());
    Some(Subject {
        place,
        connect: Box::new(move |mutations| {
            let kind = rolldeck::providers::kind("kubernetes").expect("it is in KINDS");
            let settings = json!({"context": context, "namespaces": [asked]});
            let settings = settings.as_object().expect("a table").clone();
            let surroundings =
                Surroundings { kubeconfigs: vec![cluster.kubeconfig().to_path_buf()], ..Surroundings::default() };
            let spec = PlaceSpec { id: own.clone(), kind: kind.name, settings };
            (kind.connect)(spec, surroundings, mutations).expect("it connects")
        }),
        now: Box::new(Timestamp::now),
        act: Box::new(move |deed| act(cluster, kind, &acting, deed)),
        // A real server can't be made to forget what it has told; the fake one of `kubernetes::faults` can.
        expire: None,
        requests: Box::new(move || requests(cluster, &namespace)),
        patience: PATIENCE,
        calm: Duration::from_secs(2),
        lacks: match kind {
            Kind::Deployment | Kind::StatefulSet => &[],
            // Its traffic goes back first; `journeys::rollouts` has that.
            Kind::Rollout => &[Lack::Superseding],
        },
    })
}

fn act(cluster: &Cluster, kind: Kind, namespace: &str, deed: Deed<'_>) {
    match deed {
        Deed::Deploy(name, replicas, versions) => {
            let (first, rest) = versions.split_first().expect("at least one version");
            let slowly = [("sim.rolldeck.dev/slow-start", "1s")];
            let app = deployment(namespace, name, &image(name, first), replicas, &slowly);
            match kind {
                Kind::Deployment => cluster.create_deployment(&app),
                Kind::StatefulSet => {
                    cluster.create(&sets(namespace, None), &stateful_set(app));
                }
                Kind::Rollout => {
                    cluster.create(&rollouts(namespace, None), &rollout(app));
                }
            }
            wait_rolled_out(cluster, kind, namespace, (name, first));
            for version in rest {
                ask_for(cluster, kind, namespace, (name, version));
                wait_rolled_out(cluster, kind, namespace, (name, version));
            }
            // Terminated pods are gone a moment after the rollout counts as complete.
            wait("the old pods to go", PATIENCE, || cluster.pods(namespace, name).len() == replicas as usize);
        }
        Deed::Request(name, version) => ask_for(cluster, kind, namespace, (name, version)),
        Deed::DeleteInstances(name, count) => {
            for pod in cluster.pods(namespace, name).iter().take(count as usize) {
                let pod = pod["metadata"]["name"].as_str().expect("a name");
                let (status, answer) = cluster.delete(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"));
                assert_eq!(status, 200, "{answer}");
            }
        }
        Deed::Remove(name) => {
            let (status, answer) = cluster.delete(&path(kind, namespace, name));
            assert_eq!(status, 200, "{answer}");
        }
    }
}

/// The same as a StatefulSet, whose instances come up side by side and are replaced one by one.
fn stateful_set(mut app: Value) -> Value {
    app["kind"] = json!("StatefulSet");
    app["spec"]["serviceName"] = app["metadata"]["name"].clone();
    app["spec"]["podManagementPolicy"] = json!("Parallel");
    app
}

/// The same as a Rollout.
fn rollout(mut app: Value) -> Value {
    app["apiVersion"] = json!("argoproj.io/v1alpha1");
    app["kind"] = json!("Rollout");
    app["spec"]["strategy"] = json!({"canary": {}});
    app
}

fn sets(namespace: &str, name: Option<&str>) -> String {
    let list = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets");
    name.map_or(list.clone(), |name| format!("{list}/{name}"))
}

fn path(kind: Kind, namespace: &str, name: &str) -> String {
    match kind {
        Kind::Deployment => deployments(namespace, Some(name)),
        Kind::StatefulSet => sets(namespace, Some(name)),
        Kind::Rollout => rollouts(namespace, Some(name)),
    }
}

fn ask_for(cluster: &Cluster, kind: Kind, namespace: &str, (name, version): (&str, &str)) {
    if kind == Kind::Deployment {
        return cluster.set_image(namespace, name, &image(name, version));
    }
    let template = json!({"spec": {"containers": [{"name": name, "image": image(name, version)}]}});
    let path = format!("{}?fieldManager=ci", path(kind, namespace, name));
    let patch = if kind == Kind::Rollout { MERGE_PATCH } else { STRATEGIC_PATCH };
    let (status, answer) = cluster.patch(&path, patch, &json!({"spec": {"template": template}}));
    assert_eq!(status, 200, "{answer}");
}

fn wait_rolled_out(cluster: &Cluster, kind: Kind, namespace: &str, (name, version): (&str, &str)) {
    if kind == Kind::Deployment {
        return cluster.wait_rolled_out(namespace, name);
    }
    wait(&format!("{name} to be at {version}"), PATIENCE, || {
        let set = cluster.read(&path(kind, namespace, name));
        let (status, wanted) = (&set["status"], &set["spec"]["replicas"]);
        if kind == Kind::Rollout {
            let observed = status["observedGeneration"].as_str().and_then(|number| number.parse().ok());
            let is_asked = set["spec"]["template"]["spec"]["containers"][0]["image"] == image(name, version).as_str();
            return status["phase"] == "Healthy" && observed == set["metadata"]["generation"].as_u64() && is_asked;
        }
        let is_whole = status["currentRevision"] == status["updateRevision"]
            && status["observedGeneration"] == set["metadata"]["generation"];
        is_whole && status["availableReplicas"] == *wanted && status["updatedReplicas"] == *wanted
    });
}

/// Mutating requests of ours in the namespace. An entry may land just after the answer that it is about: the count is
/// taken when it has stood still for a few looks.
fn requests(cluster: &Cluster, namespace: &str) -> usize {
    let (mut last, mut still) = (count(cluster, namespace), 0);
    wait("the audit log to stand still", PATIENCE, || {
        let now = count(cluster, namespace);
        still = if now == last { still + 1 } else { 0 };
        last = now;
        still >= 4
    });
    last
}

/// As far as the audit log has them; dry runs left out.
fn count(cluster: &Cluster, namespace: &str) -> usize {
    let is_ours = |entry: &&Value| {
        let by_us = entry["userAgent"].as_str().is_none_or(|agent| !agent.contains("test-harness"));
        let uri = entry["requestURI"].as_str().unwrap_or_default();
        let rehearsed = uri.contains("dryRun") || entry["requestObject"]["deleteOptions"]["dryRun"].is_array();
        entry["objectRef"]["namespace"] == namespace && by_us && !rehearsed
    };
    cluster.audit().iter().filter(is_ours).count()
}

fn image(name: &str, version: &str) -> String {
    let digit = version.trim_start_matches('v');
    format!("registry.example:5000/shop/{name}:{version}@sha256:{}", digit.repeat(64))
}
