//! A bad release and the way back: once, twice, under churn, and to a version that is bad itself.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::desk::{CRASH_LOOP, Desk, NEVER_READY, V40, V41, V42, asked, changes, release, requests, text, wait_bad};
use crate::real::cluster::{
    Cluster, MERGE_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments, pair_or_skip, wait,
};

/// A Deployment `app` at these versions, one after the other, each rolled out.
pub(crate) fn versions(cluster: &Cluster, namespace: &str, replicas: u32, images: &[&str]) {
    cluster.create_namespace(namespace);
    let (first, rest) = images.split_first().expect("at least one version");
    cluster.create_deployment(&deployment(namespace, "app", first, replicas, &[]));
    cluster.wait_rolled_out(namespace, "app");
    for image in rest {
        release(cluster, namespace, image, None);
        cluster.wait_rolled_out(namespace, "app");
    }
}

/// What every container of a namespace runs, as `instances` says: digest and health.
fn running(desk: &Desk, namespace: &str) -> Vec<(String, String, String)> {
    let said = desk.run(&["instances", &format!("ns:{namespace}")]).ended(0);
    let rows = said.json()["rows"].take();
    let rows = rows.as_array().expect("rows");
    rows.iter().map(|row| (text(&row["place"]), text(&row["running"]), text(&row["health"]))).collect()
}

/// One PATCH, bound to the object as it was, with its mark.
fn check_patch(entry: &Value, operation: &str, uid: &Value) {
    assert_eq!(entry["verb"], "patch", "{entry}");
    let uri = entry["requestURI"].as_str().unwrap_or_default();
    assert!(uri.contains("?fieldManager=rolldeck&"), "{uri}");
    let body = &entry["requestObject"];
    assert_eq!(body["metadata"]["uid"], *uid);
    assert!(body["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()), "{body}");
    let note = |key: &str| body["metadata"]["annotations"][key].as_str().unwrap_or_default();
    assert!(note("rolldeck.dev/operation").starts_with(&format!("{operation} ")), "{body}");
    let cause = note("kubernetes.io/change-cause");
    assert!(cause.starts_with("rolldeck: ") && cause.contains(operation), "{cause}");
    assert_eq!(body["spec"]["template"]["$patch"], "replace");
    assert_eq!(body["spec"]["template"]["spec"]["containers"][0]["image"], V41);
}

#[test]
fn a_pod_that_has_ended_does_not_hold_up_the_way_back() {
    let Some(cluster) = cluster_or_skip("a_pod_that_has_ended_does_not_hold_up_the_way_back") else { return };
    let namespace = "journey-ended";
    versions(cluster, namespace, 2, &[V41, V42]);
    // As the kubelet leaves a pod that it evicted: ended, still there, replaced by another.
    let pod = text(&cluster.pods(namespace, "app")[0]["metadata"]["name"]);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/status");
    let ended = json!({"status": {"phase": "Failed", "reason": "Evicted", "containerStatuses": null}});
    let (status, answer) = cluster.patch(&path, MERGE_PATCH, &ended);
    assert_eq!(status, 200, "{answer}");
    wait("another pod in its place", PATIENCE, || cluster.pods(namespace, "app").len() == 3);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let said = desk.plan_and_apply(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    let operation = said.operation("done", 0);
    assert!(text(&operation["steps"][0]["detail"]).contains("2 of 2 run 9f2c41d0"), "{operation}");
    let left = cluster.pods(namespace, "app").into_iter().filter(|pod| pod["status"]["phase"] == "Failed").count();
    assert_eq!(left, 1, "it was there all the time");
}

#[test]
fn what_is_declared_is_put_into_a_template_that_asks_for_something_else() {
    let name = "what_is_declared_is_put_into_a_template_that_asks_for_something_else";
    let Some(cluster) = cluster_or_skip(name) else { return };
    let namespace = "journey-declared";
    let only = format!("ns:{namespace}");
    versions(cluster, namespace, 3, &[V41]);
    // Somebody held the rollout before the bad release came: nothing of it runs yet, and the next launch would be bad.
    let path = deployments(namespace, Some("app"));
    cluster.patch(&path, STRATEGIC_PATCH, &json!({"spec": {"paused": true}}));
    release(cluster, namespace, V42, None);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.configure(&format!("[[expect]]\nservice = \"app\"\nimage = \"{V41}\""));
    let (plan, code, shown) = desk.plan(&["replace", "app", &only]);
    let step = &shown["waves"][0]["steps"][0];
    assert_eq!((step["verb"].as_str(), step["to"]["reference"].as_str()), (Some("set_image"), Some(V41)), "{step}");
    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert!(text(&operation["steps"][0]["detail"]).contains("3 of 3 run 9f2c41d0"), "{operation}");
    let changes = changes(cluster, namespace);
    assert_eq!(changes.len(), 1, "{changes:?}");
    let body = &changes[0]["requestObject"]["spec"];
    assert_eq!(body["template"], json!({"spec": {"containers": [{"name": "app", "image": V41}]}}), "nothing else");
    assert_eq!(cluster.read(&path)["spec"]["paused"], Value::Null, "the same request lets the rollout go on");
    assert_eq!(asked(cluster, namespace), V41);
}

#[test]
fn a_bad_release_goes_back_in_two_clusters() {
    let Some((eu, us)) = pair_or_skip("a_bad_release_goes_back_in_two_clusters") else { return };
    let namespace = "journey-bad";
    let only = format!("ns:{namespace}");
    for (cluster, trouble) in [(eu, CRASH_LOOP), (us, NEVER_READY)] {
        versions(cluster, namespace, 4, &[V41]);
        release(cluster, namespace, V42, Some((trouble, "")));
        wait_bad(cluster, namespace, V42);
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    desk.configure(&format!("[[expect]]\nservice = \"app\"\nimage = \"{V41}\"\nplaces = [\"k8s/*\"]"));

    let drift = desk.run(&["drift", &only]).ended(1).json();
    assert_eq!((&drift["schema"], &drift["complete"]), (&json!(1), &json!(true)));
    let rows = drift["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{drift}");
    for row in rows {
        assert_eq!((row["service"].as_str(), row["namespace"].as_str()), (Some("app"), Some(namespace)));
        assert_eq!(row["expected"]["reference"], V41);
        assert_eq!(row["expected"]["source"], "configuration");
        assert_eq!(row["requested"]["reference"], V42);
        assert_eq!(row["last_good"]["version"], "v41", "{row}");
        assert!(row["total"].as_u64() >= Some(4), "{row}");
    }
    // Pods that have no image yet are not off: they are on their way until the rollout's deadline.
    let states: Vec<(&str, bool)> =
        rows.iter().map(|row| (row["verdict"].as_str().unwrap_or_default(), row["off"].as_u64() > Some(0))).collect();
    assert_eq!(states, [("drift", true), ("mixed", false)]);
    let fleet = desk.run(&["fleet", &only]).ended(0).json();
    assert_eq!(fleet["rows"].as_array().map(Vec::len), Some(2));
    assert!(fleet["totals"]["drift"].as_u64() > Some(0), "{}", fleet["totals"]);

    let (plan, code, shown) = desk.plan(&["rollback", "app", &only]);
    let places: Vec<&Value> = shown["waves"].as_array().expect("waves").iter().map(|wave| &wave["place"]).collect();
    assert_eq!(places, ["k8s/prod-eu", "k8s/prod-us"], "in the order of the policy");
    let step = &shown["waves"][1]["steps"][0];
    assert_eq!((step["to"]["version"].as_str(), step["from"]["version"].as_str()), (Some("v41"), Some("v42")));
    assert!(step["equivalent"].as_str().is_some_and(|line| line.contains("rollout undo deployment/app")), "{step}");
    assert_eq!((changes(eu, namespace).len(), changes(us, namespace).len()), (0, 0), "a plan changes nothing");

    let said = desk.run(&["apply", &plan, "--code", &code]);
    assert!(said.err.contains("begins"), "progress goes to stderr: {said}");
    let operation = said.operation("done", 0);
    assert_eq!(operation["debts"], json!([]));
    for step in operation["steps"].as_array().expect("steps") {
        assert_eq!(step["state"], "verified");
        assert!(step["detail"].as_str().is_some_and(|detail| detail.contains("4 of 4 run 9f2c41d0")), "{step}");
    }
    for cluster in [eu, us] {
        let changes = changes(cluster, namespace);
        assert_eq!(changes.len(), 1, "{changes:?}");
        let uid = &cluster.read(&deployments(namespace, Some("app")))["metadata"]["uid"];
        check_patch(&changes[0], &text(&operation["operation"]), uid);
    }
    let running = running(&desk, namespace);
    assert_eq!(running.len(), 8);
    let is_back =
        |(_, image, health): &(String, String, String)| image.contains("9f2c41d09f2c41d0") && health == "healthy";
    assert!(running.iter().all(is_back), "{running:?}");
    let drift = desk.run(&["drift", &only]).ended(0).json();
    assert_eq!(drift["rows"], json!([]));
    assert_eq!(drift["totals"]["ok"], 8);
}

#[test]
fn a_rollback_after_a_rollback_never_brings_the_bad_image_back() {
    let Some(cluster) = cluster_or_skip("a_rollback_after_a_rollback_never_brings_the_bad_image_back") else { return };
    // Two versions: there is nowhere to go. Our own record says so, and so does the cluster's history alone.
    let namespace = "journey-twice";
    let only = format!("ns:{namespace}");
    versions(cluster, namespace, 2, &[V41]);
    release(cluster, namespace, V42, Some((CRASH_LOOP, "")));
    wait_bad(cluster, namespace, V42);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.plan_and_apply(&["rollback", "app", &only]).operation("done", 0);
    for desk in [&desk, &Desk::at(&[(cluster, User::Admin, None)])] {
        let plan = desk.run(&["plan", "rollback", "app", &only]).ended(1).json();
        assert_eq!((&plan["code"], &plan["waves"]), (&Value::Null, &json!([])));
        let reason = text(&plan["refusals"][0]["reason"]);
        assert!(reason.contains("no earlier version that is known to be good"), "{reason}");
    }
    assert_eq!(changes(cluster, namespace).len(), 1);

    // Three: it goes to the version before, and then nowhere.
    let namespace = "journey-thrice";
    let only = format!("ns:{namespace}");
    versions(cluster, namespace, 2, &[V40, V41]);
    release(cluster, namespace, V42, Some((CRASH_LOOP, "")));
    wait_bad(cluster, namespace, V42);
    desk.plan_and_apply(&["rollback", "app", &only]).operation("done", 0);
    assert_eq!(asked(cluster, namespace), V41);
    let stranger = Desk::at(&[(cluster, User::Admin, None)]);
    let (.., plan) = stranger.plan(&["rollback", "app", &only]);
    assert_eq!(plan["waves"][0]["steps"][0]["to"]["reference"], V40, "without a record of ours");
    desk.plan_and_apply(&["rollback", "app", &only]).operation("done", 0);
    assert_eq!(asked(cluster, namespace), V40);
    let plan = desk.run(&["plan", "rollback", "app", &only]).ended(1).json();
    assert_eq!(plan["code"], Value::Null, "both later versions were gone away from: {plan}");
}

#[test]
fn a_rollback_comes_to_its_end_while_pods_are_deleted_all_the_time() {
    let Some((eu, us)) = pair_or_skip("a_rollback_comes_to_its_end_while_pods_are_deleted_all_the_time") else {
        return;
    };
    const DELETIONS: usize = 40;
    let namespace = "journey-churn";
    for cluster in [eu, us] {
        versions(cluster, namespace, 4, &[V41]);
        release(cluster, namespace, V42, Some((NEVER_READY, "")));
        wait_bad(cluster, namespace, V42);
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    let has_ended = AtomicBool::new(false);
    let deleted = std::thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            let mut deleted = 0;
            while deleted < DELETIONS && !has_ended.load(Ordering::Relaxed) {
                for cluster in [eu, us] {
                    // The oldest and the newest in turn, whatever version it is of.
                    let pods = cluster.pods(namespace, "app");
                    let Some(pod) = (if deleted % 4 < 2 { pods.first() } else { pods.last() }) else { continue };
                    let name = text(&pod["metadata"]["name"]);
                    cluster.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}"));
                    deleted += 1;
                }
            }
            deleted
        });
        wait("the first deletions", PATIENCE, || {
            eu.audit().iter().any(|entry| entry["verb"] == "delete" && entry["objectRef"]["namespace"] == namespace)
        });
        let said = desk.plan_and_apply(&["rollback", "app", &format!("ns:{namespace}")]);
        has_ended.store(true, Ordering::Relaxed);
        said.operation("done", 0);
        deleting.join().expect("deletes")
    });
    assert!(deleted >= 10, "{deleted}");
    for cluster in [eu, us] {
        assert_eq!(changes(cluster, namespace).len(), 1);
        assert_eq!(asked(cluster, namespace), V41);
    }
}

#[test]
fn a_target_that_never_gets_ready_fails_its_step_and_no_other_wave_starts() {
    let Some((eu, us)) = pair_or_skip("a_target_that_never_gets_ready_fails_its_step_and_no_other_wave_starts") else {
        return;
    };
    let namespace = "journey-never";
    for cluster in [eu, us] {
        cluster.create_namespace(namespace);
        let mut app = deployment(namespace, "app", V40, 2, &[(NEVER_READY, "")]);
        app["spec"]["progressDeadlineSeconds"] = json!(4);
        cluster.create_deployment(&app);
        release(cluster, namespace, V41, None);
        cluster.wait_rolled_out(namespace, "app");
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    let said = desk.plan_and_apply(&["rollback", "app", &format!("ns:{namespace}"), "--to-revision", "1"]);
    let operation = said.operation("failed", 1);
    let states: Vec<&Value> = operation["steps"].as_array().expect("steps").iter().map(|step| &step["state"]).collect();
    assert_eq!(states, ["failed", "skipped"]);
    let detail = text(&operation["steps"][0]["detail"]);
    assert!(detail.to_lowercase().contains("progress"), "{detail}");
    assert_eq!(changes(eu, namespace).len(), 1);
    assert_eq!(changes(us, namespace).len(), 0);
    assert_eq!(asked(us, namespace), V41);
    // An operation went away from v41, so it is not taken for good by itself; by its number it can be gone back to.
    let said = desk.plan_and_apply(&["rollback", "app", &format!("ns:{namespace}"), "--to-revision", "2"]);
    let operation = said.operation("done", 0);
    assert_eq!(operation["steps"].as_array().map(Vec::len), Some(1), "{operation}");
    assert_eq!(asked(eu, namespace), V41);
    // Nothing is rehearsed for a place that is left out.
    let patch = json!({"metadata": {"annotations": {"seen": "yes"}}});
    us.patch(&deployments(namespace, Some("app")), STRATEGIC_PATCH, &patch);
    assert_eq!(requests(us, namespace).len(), 1, "the rehearsal of the first plan");
}
