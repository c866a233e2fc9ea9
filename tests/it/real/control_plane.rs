//! The simulated parts of the control plane do what the other tests on it take for granted. Nothing of rolldeck is used here.

use serde_json::{Value, json};

use super::cluster::{
    Cluster, JSON_PATCH, MERGE_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments,
    own_cluster_or_skip, pair_or_skip, wait, write_kubeconfig,
};

const PINNED: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";

/// What a pod shows of itself: phase, ready, and of its first container imageID, reason for waiting and restarts.
fn shown(pod: &Value) -> (&str, bool, &str, &str, u64) {
    let status = &pod["status"];
    let container = &status["containerStatuses"][0];
    let ready = status["conditions"].as_array().is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    });
    (
        status["phase"].as_str().unwrap_or_default(),
        ready,
        container["imageID"].as_str().unwrap_or_default(),
        container["state"]["waiting"]["reason"].as_str().unwrap_or_default(),
        container["restartCount"].as_u64().unwrap_or_default(),
    )
}

/// Makes a Deployment of one pod and compares what the pod shows.
fn check(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    annotations: &[(&str, &str)],
    wanted: (&str, bool, &str, &str, u64),
) {
    cluster.create_deployment(&deployment(namespace, name, PINNED, 1, annotations));
    let pods = cluster.pods(namespace, name);
    assert_eq!(shown(&pods[0]), wanted, "{name}");
}

#[test]
fn a_pod_becomes_what_its_annotations_say() {
    let Some(cluster) = cluster_or_skip("a_pod_becomes_what_its_annotations_say") else { return };
    let namespace = "stages";
    cluster.create_namespace(namespace);
    let digest = "sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
    let id = format!("registry.example:5000/shop/app@{digest}");
    check(cluster, namespace, "plain", &[], ("Running", true, &id, "", 0));
    let notes = &[("sim.rolldeck.dev/never-ready", "")];
    check(cluster, namespace, "never-ready", notes, ("Pending", false, "", "ImagePullBackOff", 0));
    let notes = &[("sim.rolldeck.dev/crash-loop", "")];
    check(cluster, namespace, "crash-loop", notes, ("Running", false, &id, "CrashLoopBackOff", 5));
    let notes = &[("sim.rolldeck.dev/image-id", digest)];
    check(cluster, namespace, "bare-digest", notes, ("Running", true, digest, "", 0));
    let notes = &[("sim.rolldeck.dev/image-id.other-form", "docker://sha256:41bd")];
    check(cluster, namespace, "other-form", notes, ("Running", true, "docker://sha256:41bd", "", 0));

    let notes = &[("sim.rolldeck.dev/slow-start", "2s")];
    check(cluster, namespace, "slow-start", notes, ("Running", false, &id, "", 0));
    wait("the slow pod to be ready", PATIENCE, || shown(&cluster.pods(namespace, "slow-start")[0]).1);
    cluster.wait_rolled_out(namespace, "slow-start");
}

#[test]
fn init_containers_and_sidecars_have_their_own_statuses() {
    let Some(cluster) = cluster_or_skip("init_containers_and_sidecars_have_their_own_statuses") else { return };
    cluster.create_namespace("init");
    let mut app = deployment("init", "app", PINNED, 1, &[]);
    app["spec"]["template"]["spec"]["initContainers"] = json!([
        {"name": "migrate", "image": "registry.example/migrate:v1"},
        {"name": "proxy", "image": "registry.example/proxy:v3", "restartPolicy": "Always"},
    ]);
    cluster.create_deployment(&app);
    let pods = cluster.pods("init", "app");
    let statuses = &pods[0]["status"]["initContainerStatuses"];
    assert_eq!(statuses[0]["state"]["terminated"]["reason"], "Completed");
    assert!(statuses[1]["state"]["running"].is_object(), "{statuses}");
    assert!(statuses[1]["imageID"].as_str().is_some_and(|id| id.starts_with("registry.example/proxy@sha256:")));
}

#[test]
fn a_pod_that_was_touched_shows_it() {
    let Some(cluster) = cluster_or_skip("a_pod_that_was_touched_shows_it") else { return };
    cluster.create_namespace("touched");
    cluster.create_deployment(&deployment("touched", "app", PINNED, 1, &[]));
    let pod = cluster.pods("touched", "app").remove(0);
    let path = format!("/api/v1/namespaces/touched/pods/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry.example/tools:1"}]}});
    assert_eq!(cluster.patch(&format!("{path}/ephemeralcontainers"), STRATEGIC_PATCH, &debug).0, 200);
    let image = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "registry.example/app:hotfix"}]);
    assert_eq!(cluster.patch(&path, JSON_PATCH, &image).0, 200);
    wait("both to be seen", PATIENCE, || {
        let status = &cluster.read(&path)["status"];
        status["ephemeralContainerStatuses"][0]["state"]["running"].is_object()
            && status["containerStatuses"][0]["restartCount"] == 1
    });
    // What a test writes into a status stays: so pods of one template can be made to run different digests.
    let mut statuses = cluster.read(&path)["status"]["containerStatuses"].take();
    statuses[0]["imageID"] = json!("registry.example/app@sha256:77ab");
    let body = json!({"status": {"containerStatuses": statuses}});
    assert_eq!(cluster.patch(&format!("{path}/status"), MERGE_PATCH, &body).0, 200);
    assert_eq!(shown(&cluster.read(&path)).2, "registry.example/app@sha256:77ab");
}

#[test]
fn the_pods_of_a_job_complete() {
    let Some(cluster) = cluster_or_skip("the_pods_of_a_job_complete") else { return };
    cluster.create_namespace("jobs");
    let template = json!({
        "metadata": {"annotations": {"sim.rolldeck.dev/complete": ""}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "report", "image": "registry.example/report:v1"}]},
    });
    let path = "/apis/batch/v1/namespaces/jobs/jobs";
    cluster.create(path, &json!({"metadata": {"name": "report"}, "spec": {"template": template}}));
    wait("the job to succeed", PATIENCE, || cluster.read(&format!("{path}/report"))["status"]["succeeded"] == 1);
}

/// With a wrong lease duration kwok beats once, and a minute later every pod is marked not ready.
#[test]
fn nodes_of_two_architectures_keep_their_heartbeat() {
    let Some(cluster) = cluster_or_skip("nodes_of_two_architectures_keep_their_heartbeat") else { return };
    let nodes = cluster.read("/api/v1/nodes");
    let nodes = nodes["items"].as_array().expect("a list has items");
    let mut architectures: Vec<&str> =
        nodes.iter().filter_map(|node| node["status"]["nodeInfo"]["architecture"].as_str()).collect();
    architectures.sort_unstable();
    assert_eq!(architectures, ["amd64", "amd64", "arm64"]);
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/amd64-1";
    let renewed = || cluster.get(path).1["spec"]["renewTime"].as_str().map(str::to_owned);
    wait("the first heartbeat", PATIENCE, || renewed().is_some());
    let first = renewed();
    wait("the next heartbeat", PATIENCE, || renewed() != first);
}

#[test]
fn users_may_do_what_was_granted_and_no_more() {
    let Some(cluster) = cluster_or_skip("users_may_do_what_was_granted_and_no_more") else { return };
    cluster.create_namespace("granted");
    let path = deployments("granted", None);
    let status = |user, path: &str| cluster.request(user, "GET", path, None).0;
    for user in [User::Viewer, User::Shop, User::Nobody] {
        assert_eq!(status(user, &path), 403, "{user:?}");
    }
    let rules = json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]}]);
    cluster.grant(User::Shop, Some("granted"), &rules);
    wait("the role to count", PATIENCE, || status(User::Shop, &path) == 200);
    assert_eq!(status(User::Shop, "/apis/apps/v1/deployments"), 403);
    assert_eq!(cluster.request(User::Shop, "DELETE", &path, None).0, 403);
    assert_eq!(status(User::Nobody, &path), 403);
}

#[test]
fn the_audit_log_names_who_changed_what() {
    let Some(cluster) = cluster_or_skip("the_audit_log_names_who_changed_what") else { return };
    cluster.create_namespace("audited");
    cluster.create_deployment(&deployment("audited", "app", PINNED, 2, &[]));
    cluster.set_image("audited", "app", "registry.example/app:v42");
    cluster.wait_rolled_out("audited", "app");
    let entries = || -> Vec<Value> {
        let entries = cluster.audit().into_iter();
        entries.filter(|entry| entry["objectRef"]["namespace"] == "audited").collect()
    };
    wait("the entry of the patch", PATIENCE, || entries().len() >= 2);
    // Nothing of what the controllers and kubelets did to follow.
    let verbs: Vec<Value> = entries().iter().map(|entry| entry["verb"].clone()).collect();
    assert_eq!(verbs, ["create", "patch"]);
    let patch = &entries()[1];
    assert_eq!(patch["user"]["username"], "admin");
    assert_eq!(patch["userAgent"], "test-harness");
    assert!(patch["requestURI"].as_str().is_some_and(|uri| uri.ends_with("?fieldManager=ci")), "{patch}");
    assert_eq!(
        patch["requestObject"]["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example/app:v42"
    );
}

#[test]
fn an_api_server_that_was_killed_comes_back_with_its_data() {
    let Some(cluster) = own_cluster_or_skip("an_api_server_that_was_killed_comes_back_with_its_data", "restarted")
    else {
        return;
    };
    cluster.create_namespace("kept");
    cluster.create_deployment(&deployment("kept", "app", PINNED, 2, &[]));
    cluster.kill_apiserver();
    assert_eq!(cluster.get("/readyz").0, 0);
    cluster.start_apiserver();
    assert_eq!(cluster.pods("kept", "app").len(), 2);
    // The controllers and kubelets come back too.
    cluster.set_image("kept", "app", "registry.example/app:v42");
    cluster.wait_rolled_out("kept", "app");
}

#[test]
fn the_two_shared_clusters_are_two() {
    let Some((eu, us)) = pair_or_skip("the_two_shared_clusters_are_two") else { return };
    eu.create_namespace("only-eu");
    assert_eq!(us.get("/api/v1/namespaces/only-eu").0, 404);
    assert_eq!((eu.context(User::Admin), us.context(User::Shop)), ("prod-eu".to_owned(), "prod-us-shop".to_owned()));
    let path = std::env::temp_dir().join(format!("rolldeck-two-{}.kubeconfig", std::process::id()));
    write_kubeconfig(&path, &[(eu, User::Admin, None), (us, User::Shop, Some("shop"))]);
    let written: Value = serde_json::from_slice(&std::fs::read(&path).expect("written")).expect("JSON");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(written["current-context"], "prod-eu");
    assert_eq!(written["contexts"][1]["context"]["namespace"], "shop");
    assert!(eu.kubeconfig().is_file());
}
