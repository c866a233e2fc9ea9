//! What the provider shows of a real cluster: everything that is there, who owns it, and what may not be seen.

use std::collections::BTreeSet;

use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::id::WorkloadKind;
use rolldeck::domain::observation::{PlaceState, Role, Rollout};
use rolldeck::providers::Mutations;
use serde_json::{Value, json};

use super::watched::Watched;
use crate::real::cluster::{
    Cluster, JSON_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, own_cluster_or_skip, wait,
};

const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
const V42: &str =
    "registry.example:5000/shop/app:v42@sha256:c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_found_and_platforms_are_those_of_the_nodes() {
    let Some(cluster) = cluster_or_skip("owners_are_found_and_platforms_are_those_of_the_nodes") else { return };
    cluster.create_namespace("owners");
    cluster.create_deployment(&deployment("owners", "app", V41, 6, &[]));
    cluster.create(
        "/api/v1/namespaces/owners/pods",
        &json!({"metadata": {"name": "alone"},
        "spec": {"containers": [{"name": "a", "image": V41}]}}),
    );
    let template =
        json!({"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": V41}]}});
    let selector = json!({"matchLabels": {"app": "db"}});
    for (kind, spec) in [
        ("replicasets", json!({"replicas": 1, "selector": selector, "template": template})),
        ("statefulsets", json!({"replicas": 1, "serviceName": "db", "selector": selector, "template": template})),
        ("daemonsets", json!({"selector": selector, "template": template})),
    ] {
        cluster.create(
            &format!("/apis/apps/v1/namespaces/owners/{kind}"),
            &json!({"metadata": {"name": "db"}, "spec": spec}),
        );
    }
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu");
    let has_its_version = |workload: &rolldeck::domain::fleet::Workload| {
        let is_meant = workload.id.namespace.as_deref() == Some("owners") && workload.seen.inoperable.is_none();
        !is_meant || workload.revisions.len() == 1
    };
    let count = |fleet: &Fleet, kind: WorkloadKind, name: &str| {
        let is_meant = |seen: &rolldeck::domain::observation::WorkloadSeen| {
            seen.kind == kind && seen.namespace.as_deref() == Some("owners") && seen.name == *name
        };
        let found = fleet.workloads().find(|workload| is_meant(&workload.seen));
        found.map_or(0, |workload| fleet.instances_of(workload).count())
    };
    watched
        .until("all instances under their owners", |fleet| {
            count(fleet, WorkloadKind::Deployment, "app") == 6
                && count(fleet, WorkloadKind::Pod, "alone") == 1
                && count(fleet, WorkloadKind::ReplicaSet, "db") == 1
                && count(fleet, WorkloadKind::StatefulSet, "db") == 1
                && count(fleet, WorkloadKind::DaemonSet, "db") == 3
                && fleet.workloads().filter(|workload| workload.seen.name == *"db").all(has_its_version)
        })
        .await;
    watched.until_state("live").await;
    let app = watched.deployment("owners", "app");
    let platforms: BTreeSet<&str> =
        watched.fleet.instances_of(app).filter_map(|instance| instance.seen.platform.as_deref()).collect();
    assert!(platforms.iter().all(|platform| ["linux/amd64", "linux/arm64"].contains(platform)), "{platforms:?}");
    assert!(!platforms.is_empty());
    assert_eq!(app.seen.inoperable, None);
    assert_eq!((app.revisions.len(), app.revisions[0].number), (1, 1));
    assert_eq!(app.revisions[0].template.hash, app.seen.template.hash);
    let owned = |workload: &&rolldeck::domain::fleet::Workload| workload.id.namespace.as_deref() == Some("owners");
    for workload in watched.fleet.workloads().filter(owned) {
        let is_operable = matches!(
            workload.seen.kind,
            WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet
        );
        assert_eq!(workload.seen.inoperable.is_none(), is_operable, "{}", workload.id);
        let mut instances = watched.fleet.instances_of(workload);
        let is_of_it = |instance: &rolldeck::domain::fleet::Instance| workload.revisions[0].made(&instance.seen);
        assert!(!is_operable || workload.revisions.len() == 1 && instances.all(is_of_it), "{}", workload.id);
    }
}

/// Namespace, name, image and digest of each pod that is not on its way out, as the fleet has them.
fn rows(fleet: &Fleet, namespace: &str) -> BTreeSet<String> {
    let counted = fleet.instances().filter(|(instance, _)| instance.seen.namespace.as_deref() == Some(namespace));
    let row = |instance: &rolldeck::domain::fleet::Instance| {
        let container = &instance.seen.containers[0];
        let (asked, running) = (container.asked.as_ref(), container.running.as_ref());
        format!(
            "{} {} {:?} {:?}",
            instance.seen.uid,
            instance.seen.name,
            asked.map(|asked| asked.as_str()),
            running.map(|running| running.as_str())
        )
    };
    counted.map(|(instance, _)| row(instance)).collect()
}

/// The same from a fresh list.
fn listed(cluster: &Cluster, namespace: &str) -> BTreeSet<String> {
    let list = cluster.read(&format!("/api/v1/namespaces/{namespace}/pods"));
    let row = |pod: &Value| {
        let id = pod["status"]["containerStatuses"][0]["imageID"].as_str().filter(|id| !id.is_empty());
        let running = id.and_then(|id| id.rsplit('@').next());
        format!(
            "{} {} {:?} {running:?}",
            pod["metadata"]["uid"].as_str().unwrap_or_default(),
            pod["metadata"]["name"].as_str().unwrap_or_default(),
            pod["spec"]["containers"][0]["image"].as_str()
        )
    };
    list["items"].as_array().expect("a list").iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_watched_equals_a_fresh_list_after_churn() {
    let Some(cluster) = cluster_or_skip("what_was_watched_equals_a_fresh_list_after_churn") else { return };
    cluster.create_namespace("churn");
    for name in ["a", "b", "c"] {
        cluster.create_deployment(&deployment("churn", name, V41, 3, &[]));
    }
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu");
    watched.until_state("live").await;
    assert_eq!(rows(&watched.fleet, "churn"), listed(cluster, "churn"));
    cluster.set_image("churn", "a", V42);
    cluster.delete("/apis/apps/v1/namespaces/churn/deployments/b");
    let scale = json!({"spec": {"replicas": 5}});
    cluster.patch("/apis/apps/v1/namespaces/churn/deployments/c", STRATEGIC_PATCH, &scale);
    cluster.set_image("churn", "c", V42);
    cluster.wait_rolled_out("churn", "a");
    cluster.wait_rolled_out("churn", "c");
    wait("the pods of b to be gone", PATIENCE, || listed(cluster, "churn").len() == 8);
    let expected = listed(cluster, "churn");
    watched.until("the same rows", |fleet| rows(fleet, "churn") == expected).await;
    let gone = watched.id("churn", "b");
    watched.until("b to be gone", |fleet| fleet.workload(&gone).is_none()).await;
    let a = watched.deployment("churn", "a");
    assert_eq!((a.seen.owners.len(), a.seen.owners[0].manager.as_str()), (1, "ci"));
    // The list of pods and of ReplicaSets come on two connections.
    let id = a.id.clone();
    watched
        .until("both versions and the end of the rollout", |fleet| {
            fleet.workload(&id).is_some_and(|a| a.revisions.len() == 2 && a.seen.rollout == Rollout::Stable)
        })
        .await;
    let a = watched.deployment("churn", "a");
    let newest = a.revisions.iter().max_by_key(|revision| revision.number).expect("two");
    assert_eq!(a.seen.requested_since, newest.created_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_was_changed_by_hand_is_touched() {
    let Some(cluster) = cluster_or_skip("a_pod_that_was_changed_by_hand_is_touched") else { return };
    cluster.create_namespace("by-hand");
    cluster.create_deployment(&deployment("by-hand", "app", V41, 2, &[]));
    let pods = cluster.pods("by-hand", "app");
    let path = |pod: &Value| {
        format!("/api/v1/namespaces/by-hand/pods/{}", pod["metadata"]["name"].as_str().unwrap_or_default())
    };
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu");
    watched.until_state("live").await;
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry.example/tools:1"}]}});
    assert_eq!(cluster.patch(&format!("{}/ephemeralcontainers", path(&pods[0])), STRATEGIC_PATCH, &debug).0, 200);
    let image = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": V42}]);
    assert_eq!(cluster.patch(&path(&pods[1]), JSON_PATCH, &image).0, 200);
    let texts = |fleet: &Fleet| -> BTreeSet<String> {
        let of = fleet.instances().filter(|(instance, _)| instance.seen.namespace.as_deref() == Some("by-hand"));
        of.filter_map(|(instance, _)| instance.seen.touched.as_ref().map(ToString::to_string)).collect()
    };
    watched.until("both marks", |fleet| texts(fleet).len() == 2).await;
    let texts = texts(&watched.fleet);
    assert!(texts.iter().any(|text| text.contains("debug container debug")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("image of app was patched")), "{texts:?}");
    watched
        .until("the debug container", |fleet| {
            fleet.instances().any(|(instance, _)| {
                instance.seen.containers.iter().any(|found| found.role == Role::Debug && found.running.is_some())
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_namespace_is_shown_where_all_are_forbidden() {
    let Some(cluster) = cluster_or_skip("one_namespace_is_shown_where_all_are_forbidden") else { return };
    cluster.create_namespace("narrow");
    cluster.create_deployment(&deployment("narrow", "app", V41, 2, &[]));
    let rules = json!([{"apiGroups": ["", "apps"], "resources": ["pods", "deployments", "replicasets"], "verbs": ["get", "list", "watch"]}]);
    cluster.grant(User::Shop, Some("narrow"), &rules);
    let path = "/api/v1/namespaces/narrow/pods?limit=1";
    wait("the role to count", PATIENCE, || cluster.request(User::Shop, "GET", path, None).0 == 200);
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("config");
    crate::real::cluster::write_kubeconfig(&kubeconfig, &[(cluster, User::Shop, Some("narrow"))]);
    let mut watched = Watched::start(&kubeconfig, "prod-eu-shop");
    watched.until_state("live").await;
    let place = watched.place.clone();
    watched
        .until("who we are", |fleet| fleet.place(&place).is_some_and(|place| place.identity.account.is_some()))
        .await;
    let place = watched.fleet.place(&place).expect("added");
    assert_eq!(place.identity.notes.last().map(|note| note.as_str()), Some("only namespace narrow"));
    assert_eq!(place.identity.identity.as_deref(), Some("shop-only"));
    assert!(place.identity.server.as_deref().is_some_and(|version| version.starts_with("v1.")));
    // Other tests bring kinds that keep workloads into the cluster: forbidden too, where they are there.
    let keepers = ["applications", "helmreleases", "horizontalpodautoscalers", "kustomizations"];
    let is_keeper = |source: &str| keepers.iter().any(|keeper| source.starts_with(keeper));
    let limited = place.limits.iter().map(|(source, _)| source.0);
    let limited: BTreeSet<&str> = limited.filter(|source| !is_keeper(source)).collect();
    assert_eq!(
        limited,
        [
            "controllerrevisions in narrow",
            "cronjobs in narrow",
            "daemonsets in narrow",
            "jobs in narrow",
            "nodes",
            "statefulsets in narrow"
        ]
        .into()
    );
    let app = watched.deployment("narrow", "app");
    assert_eq!(watched.fleet.instances_of(app).count(), 2);
    assert!(watched.fleet.instances_of(app).all(|instance| instance.seen.platform.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_see_nothing_is_told_so_and_a_wrong_token_too() {
    let Some(cluster) = cluster_or_skip("who_may_see_nothing_is_told_so_and_a_wrong_token_too") else { return };
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu-nobody");
    let state = watched.until_state("forbidden").await;
    assert!(state.reason().is_some_and(|why| why.contains("namespace") && why.contains("nobody")), "{state:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("config");
    let text = std::fs::read_to_string(cluster.kubeconfig()).expect("it is there");
    std::fs::write(&kubeconfig, text.replace("viewer-token", "s3cret-canary")).expect("written");
    let mut watched = Watched::start(&kubeconfig, "prod-eu-viewer");
    let state = watched.until_state("auth_expired").await;
    assert!(
        matches!(&state, PlaceState::AuthExpired(how) if how.contains("prod-eu-user-viewer") && !how.contains("s3cret")),
        "{state:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_namespaces_are_the_only_ones_seen() {
    let Some(cluster) = cluster_or_skip("configured_namespaces_are_the_only_ones_seen") else { return };
    for namespace in ["left", "right", "elsewhere"] {
        cluster.create_namespace(namespace);
        cluster.create_deployment(&deployment(namespace, "app", V41, 1, &[]));
    }
    let settings = json!({"context": "prod-eu", "namespaces": ["left", "right"]});
    let mut watched = Watched::start_with(cluster.kubeconfig(), settings, Mutations::Forbidden);
    assert!(watched.operator.is_none());
    watched.until_state("live").await;
    let namespaces: BTreeSet<&str> =
        watched.fleet.workloads().filter_map(|workload| workload.seen.namespace.as_deref()).collect();
    assert_eq!(namespaces, ["left", "right"].into());
    let place = watched.place.clone();
    watched
        .until("who we are", |fleet| fleet.place(&place).is_some_and(|place| place.identity.account.is_some()))
        .await;
    let cannot = &watched.fleet.place(&place).expect("added").identity.cannot;
    assert!(cannot.len() == 6 && cannot.iter().all(|(_, why)| why == "read only"), "{cannot:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_was_killed_is_stale_and_then_live_with_what_was_missed() {
    let Some(cluster) = own_cluster_or_skip("an_api_server_that_was_killed_is_stale_and_then_live", "killed") else {
        return;
    };
    cluster.create_namespace("kept");
    cluster.create_deployment(&deployment("kept", "app", V41, 2, &[]));
    let mut watched = Watched::start(cluster.kubeconfig(), "killed");
    watched.until_state("live").await;
    let id = watched.id("kept", "app");
    watched
        .until("its pods", |fleet| fleet.workload(&id).is_some_and(|app| fleet.instances_of(app).count() == 2))
        .await;
    cluster.kill_apiserver();
    watched.until_state("stale").await;
    let app = watched.deployment("kept", "app");
    assert_eq!(watched.fleet.instances_of(app).count(), 2, "the last data is kept");
    cluster.start_apiserver();
    cluster.set_image("kept", "app", V42);
    cluster.wait_rolled_out("kept", "app");
    watched.until_state("live").await;
    let expected = listed(&cluster, "kept");
    watched.until("the same rows", |fleet| rows(fleet, "kept") == expected).await;
}
