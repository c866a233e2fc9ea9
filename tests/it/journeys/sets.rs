//! StatefulSets and DaemonSets: the way back by their own patch, the pod that is stuck on the bad version, what is replaced on
//! delete alone, partitions that are honoured, and the one that holds.

use serde_json::{Value, json};

use super::desk::{CRASH_LOOP, Desk, NEVER_READY, SLOW_START, V41, V42, changes, text};
use crate::real::cluster::{Cluster, MERGE_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, wait};

/// A StatefulSet or DaemonSet `app` of one namespace.
struct Set {
    cluster: &'static Cluster,
    namespace: &'static str,
    kind: &'static str,
    count: usize,
}

impl Set {
    /// At v41, and healthy.
    fn create(cluster: &'static Cluster, namespace: &'static str, kind: &'static str, strategy: &Value) -> Set {
        Set::create_with(cluster, (namespace, kind), strategy, &json!({}))
    }

    fn create_with(
        cluster: &'static Cluster,
        (namespace, kind): (&'static str, &'static str),
        strategy: &Value,
        annotations: &Value,
    ) -> Set {
        let labels = json!({"app.kubernetes.io/name": "app"});
        let mut spec = json!({"selector": {"matchLabels": labels}, "updateStrategy": strategy,
            "template": {"metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": V41}]}}});
        if kind == "statefulsets" {
            spec["replicas"] = json!(3);
            spec["serviceName"] = json!("app");
        }
        cluster.create_namespace(namespace);
        // One on each of the three nodes.
        let set = Set { cluster, namespace, kind, count: 3 };
        let folder = format!("/apis/apps/v1/namespaces/{namespace}/{kind}");
        cluster.create(
            &folder,
            &json!({"metadata": {"name": "app", "namespace": namespace, "labels": labels}, "spec": spec}),
        );
        set.wait_running(V41, 3);
        set
    }

    fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/{}/app", self.namespace, self.kind)
    }

    fn read(&self) -> Value {
        self.cluster.read(&self.path())
    }

    /// Another version: image, and the pods' only annotation.
    fn release(&self, image: &str, annotation: Option<&str>) {
        let mut annotations = json!({NEVER_READY: null, CRASH_LOOP: null, SLOW_START: null});
        if let Some(key) = annotation {
            annotations[key] = json!("");
        }
        let body = json!({"spec": {"template": {"metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": "app", "image": image}]}}}});
        let path = format!("{}?fieldManager=ci", self.path());
        let (status, answer) = self.cluster.patch(&path, STRATEGIC_PATCH, &body);
        assert_eq!(status, 200, "{answer}");
    }

    fn pods(&self) -> Vec<Value> {
        self.cluster.pods(self.namespace, "app")
    }

    /// Name and uid of each pod, by name.
    fn uids(&self) -> Vec<(String, String)> {
        let mut uids: Vec<(String, String)> =
            self.pods().iter().map(|pod| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]))).collect();
        uids.sort();
        uids
    }

    /// Waits until so many pods of that image are ready, and the others are not of it.
    fn wait_running(&self, image: &str, count: usize) {
        wait(&format!("{count} pods of {image}"), PATIENCE, || {
            let pods = self.pods();
            let of_it = |pod: &&Value| pod["spec"]["containers"][0]["image"] == image;
            pods.len() == self.count && pods.iter().filter(of_it).filter(|pod| is_ready(pod)).count() == count
        });
    }

    /// Waits until a bad pod is there.
    fn wait_bad(&self, image: &str) {
        wait("the bad release to arrive", PATIENCE, || {
            self.pods().iter().any(|pod| {
                pod["spec"]["containers"][0]["image"] == image
                    && pod["status"]["containerStatuses"].is_array()
                    && !is_ready(pod)
            })
        });
    }

    /// Deletes each pod, and waits for its successor.
    fn delete_pods(&self, image: &str) {
        for (number, (name, _)) in self.uids().into_iter().enumerate() {
            let (status, answer) = self.cluster.delete(&format!("/api/v1/namespaces/{}/pods/{name}", self.namespace));
            assert_eq!(status, 200, "{answer}");
            self.wait_running(image, number + 1);
        }
    }

    fn only(&self) -> String {
        format!("ns:{}", self.namespace)
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn rolling() -> Value {
    json!({"type": "RollingUpdate"})
}

pub(super) fn verbs(plan: &Value) -> Vec<String> {
    let steps =
        plan["waves"].as_array().into_iter().flatten().flat_map(|wave| wave["steps"].as_array().into_iter().flatten());
    steps.map(|step| text(&step["verb"])).collect()
}

fn says(plan: &Value, name: &str) -> String {
    let checks = plan["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).map(|check| text(&check["detail"])).unwrap_or_default()
}

/// One patch that puts v41 back, bound to the object, with our mark.
fn check_patch(set: &Set, entry: &Value) {
    assert_eq!((entry["verb"].as_str(), entry["objectRef"]["resource"].as_str()), (Some("patch"), Some(set.kind)));
    let body = &entry["requestObject"];
    assert_eq!(body["metadata"]["uid"], set.read()["metadata"]["uid"]);
    assert!(body["metadata"]["resourceVersion"].is_string(), "{body}");
    assert!(body["metadata"]["annotations"]["rolldeck.dev/operation"].is_string(), "{body}");
    assert_eq!(body["spec"]["template"]["$patch"], "replace");
    assert_eq!(body["spec"]["template"]["spec"]["containers"][0]["image"], V41);
}

fn evicted(entry: &Value) -> String {
    assert_eq!(entry["objectRef"]["subresource"], "eviction", "{entry}");
    assert!(entry["requestObject"]["deleteOptions"]["preconditions"]["uid"].is_string(), "{entry}");
    text(&entry["objectRef"]["name"])
}

#[test]
fn a_stateful_set_that_is_stuck_on_a_bad_pod_goes_back_and_that_pod_is_replaced() {
    let name = "a_stateful_set_that_is_stuck_on_a_bad_pod_goes_back_and_that_pod_is_replaced";
    let Some(cluster) = cluster_or_skip(name) else { return };
    // Slowly: of two versions of one second nobody can tell which was first.
    let slow = json!({SLOW_START: "1s"});
    let set = Set::create_with(cluster, ("sets-stuck", "statefulsets"), &rolling(), &slow);
    set.release(V42, Some(CRASH_LOOP));
    set.wait_bad(V42);
    let before = set.uids();
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &set.only()]);
    assert_eq!(verbs(&shown), ["restore_revision", "evict"], "{shown}");
    let steps = &shown["waves"][0]["steps"];
    assert_eq!(steps[0]["to"]["version"], "v41");
    let undo = text(&steps[0]["equivalent"]);
    assert!(undo.ends_with("-n sets-stuck rollout undo statefulset/app --to-revision=1"), "{undo}");
    assert!(says(&shown, "stuck").contains("app-2 not ready"), "{shown}");
    assert_eq!(changes(cluster, set.namespace).len(), 0, "a plan changes nothing");

    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let details: Vec<String> =
        operation["steps"].as_array().expect("steps").iter().map(|step| text(&step["detail"])).collect();
    assert!(details[0].contains("3 of 3 run 9f2c41d0"), "{operation}");
    assert!(details[1].contains("app-2 took its place"), "{operation}");
    assert_eq!(operation["debts"], json!([]));
    let changes = changes(cluster, set.namespace);
    assert_eq!(changes.len(), 2, "{changes:?}");
    check_patch(&set, &changes[0]);
    assert_eq!(evicted(&changes[1]), "app-2");
    let after = set.uids();
    assert_eq!((&before[..2], before.len(), after.len()), (&after[..2], 3, 3), "the healthy ones were left alone");
    set.wait_running(V41, 3);
    let drift = desk.run(&["drift", &set.only()]).ended(0).json();
    assert_eq!(drift["rows"], json!([]));

    // Neither our record nor the cluster's own history offers the bad one.
    for desk in [&desk, &Desk::at(&[(cluster, User::Admin, None)])] {
        let plan = desk.run(&["plan", "rollback", "app", &set.only()]).ended(1).json();
        let reason = text(&plan["refusals"][0]["reason"]);
        assert!(reason.contains("no earlier version that is known to be good"), "{plan}");
    }
}

#[test]
fn a_pod_that_an_undo_by_hand_has_left_stuck_is_replaced() {
    let Some(cluster) = cluster_or_skip("a_pod_that_an_undo_by_hand_has_left_stuck_is_replaced") else { return };
    let set = Set::create(cluster, "sets-undone", "statefulsets", &rolling());
    set.release(V42, Some(CRASH_LOOP));
    set.wait_bad(V42);
    set.release(V41, None);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (plan, code, shown) = desk.plan(&["replace", "app", &set.only()]);
    assert_eq!(verbs(&shown), ["evict"], "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    set.wait_running(V41, 3);
    assert_eq!(changes(cluster, set.namespace).len(), 1);
}

#[test]
fn a_daemon_set_goes_back_node_by_node() {
    let Some(cluster) = cluster_or_skip("a_daemon_set_goes_back_node_by_node") else { return };
    let set = Set::create(cluster, "sets-daemon", "daemonsets", &rolling());
    set.release(V42, None);
    set.wait_running(V42, 3);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let back = ["rollback", "app", &set.only()];
    // One of three is more than the usual floor lets go.
    let refused = desk.run(&[&["plan"], &back[..]].concat()).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("may leave 2 of 3 healthy"), "{refused}");
    desk.configure("floor = \"50%\"");
    let (plan, code, shown) = desk.plan(&back);
    assert_eq!(verbs(&shown), ["restore_revision"], "{shown}");
    let step = &shown["waves"][0]["steps"][0];
    assert!(text(&step["equivalent"]).ends_with("rollout undo daemonset/app --to-revision=1"), "{step}");
    assert!(shown.to_string().contains("a DaemonSet has no brake"), "{shown}");
    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert!(text(&operation["steps"][0]["detail"]).contains("3 of 3 run 9f2c41d0"), "{operation}");
    let changes = changes(cluster, set.namespace);
    assert_eq!(changes.len(), 1, "{changes:?}");
    check_patch(&set, &changes[0]);

    // One image alone, where it is not in the history.
    let image = format!("registry.example:5000/shop/app:v43@sha256:{}", "3".repeat(64));
    let (plan, code, shown) = desk.plan(&["rollback", "app", &set.only(), "--to", &image]);
    assert_eq!(verbs(&shown), ["set_image"], "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    set.wait_running(&image, 3);
}

#[test]
fn what_is_replaced_on_delete_alone_is_evicted_one_by_one() {
    let Some(cluster) = cluster_or_skip("what_is_replaced_on_delete_alone_is_evicted_one_by_one") else { return };
    for (kind, namespace) in [("statefulsets", "sets-delete"), ("daemonsets", "sets-delete-daemon")] {
        let set = Set::create(cluster, namespace, kind, &json!({"type": "OnDelete"}));
        set.release(V42, None);
        set.delete_pods(V42);
        let before = set.uids();
        let desk = Desk::at(&[(cluster, User::Admin, None)]);
        desk.configure("floor = \"50%\"");
        let (plan, code, shown) = desk.plan(&["rollback", "app", &set.only()]);
        assert_eq!(verbs(&shown), ["restore_revision", "evict", "evict", "evict"], "{shown}");
        assert!(says(&shown, "by hand").contains("3 instances evicted after the patch, one at a time"), "{shown}");
        let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
        assert_eq!(operation["steps"].as_array().map(Vec::len), Some(4), "{operation}");
        let changes = changes(cluster, set.namespace);
        assert_eq!(changes.len(), 4, "{changes:?}");
        check_patch(&set, &changes[0]);
        let mut names: Vec<String> = changes[1..].iter().map(evicted).collect();
        if kind == "statefulsets" {
            assert_eq!(names, ["app-2", "app-1", "app-0"]);
        }
        names.sort();
        assert_eq!(names, before.into_iter().map(|(name, _)| name).collect::<Vec<String>>());
        set.wait_running(V41, 3);
    }
}

#[test]
fn a_partition_keeps_what_it_keeps_and_nobody_waits_for_that() {
    let Some(cluster) = cluster_or_skip("a_partition_keeps_what_it_keeps_and_nobody_waits_for_that") else { return };
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    let set = Set::create(cluster, "sets-partition", "statefulsets", &strategy);
    // Its pods are app-5 to app-7 from then on, and the partition counts from 5.
    let ordinals = json!({"spec": {"ordinals": {"start": 5}}});
    assert_eq!(cluster.patch(&set.path(), MERGE_PATCH, &ordinals).0, 200);
    wait("the pods to have their new numbers", PATIENCE, || {
        let names: Vec<String> = set.uids().into_iter().map(|(name, _)| name).collect();
        names == ["app-5", "app-6", "app-7"]
    });
    set.wait_running(V41, 3);
    set.release(V42, None);
    set.wait_running(V42, 1);
    let before = set.uids();
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.configure("floor = \"50%\"");
    // What stays below it would come again as it is.
    let refused = desk.run(&["plan", "replace", "app", &set.only()]).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("below its partition 2"), "{refused}");
    let (plan, code, shown) = desk.plan(&["rollback", "app", &set.only(), "--to-revision", "1"]);
    assert!(says(&shown, "partition").contains("its partition is 2: 2 of 3 stay as they are"), "{shown}");
    assert_eq!(shown["waves"][0]["steps"][0]["instances"], 1, "{shown}");
    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let detail = text(&operation["steps"][0]["detail"]);
    assert!(detail.contains("1 of 3 run 9f2c41d0") && detail.contains("2 below its partition stay"), "{detail}");
    assert_eq!(before[..2], set.uids()[..2]);
    assert_eq!(set.read()["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 2);
}

#[test]
fn a_stateful_set_is_held_by_its_partition_which_it_gets_back() {
    let Some(cluster) = cluster_or_skip("a_stateful_set_is_held_by_its_partition_which_it_gets_back") else { return };
    let slow = json!({SLOW_START: "5s"});
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    let set = Set::create_with(cluster, ("sets-hold", "statefulsets"), &strategy, &slow);
    set.release(V42, None);
    set.wait_running(V42, 2);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.configure("floor = \"50%\"");
    let partition = || set.read()["spec"]["updateStrategy"]["rollingUpdate"]["partition"].take();
    let note = || set.read()["metadata"]["annotations"]["rolldeck.dev/held-partition"].take();
    let (plan, code, _) = desk.plan(&["rollback", "app", &set.only(), "--to-revision", "1"]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let operation = desk.operation("the first step to be taken", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][0]["accepted_at"].is_string()
    });
    let operation = text(&operation["operation"]);
    let held = desk.run(&["pause", &operation]).operation("paused", 0);
    assert_eq!(held["debts"][0]["what"], "its rollout is held");
    assert_eq!((partition(), note()), (json!(3), json!("1")));
    let shown = desk.run(&["fleet", &set.only()]).ended(0).json();
    assert!(shown.to_string().contains("paused"), "{shown}");
    let done = desk.run(&["resume", &operation]).operation("done", 0);
    assert_eq!(done["debts"], json!([]));
    apply.end().operation("done", 0);
    assert_eq!((partition(), note()), (json!(1), Value::Null));
    assert_eq!(changes(cluster, set.namespace).len(), 3, "step, brake and release");

    // Stopped half way, it goes elsewhere by the request that lets it go.
    let (plan, code, _) = desk.plan(&["rollback", "app", &set.only(), "--to", "v42"]);
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let (plan, code, _) = desk.plan(&["rollback", "app", &set.only(), "--to", "v41"]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let begun = desk.operation("the step to be taken", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][0]["accepted_at"].is_string()
    });
    desk.run(&["abort", &text(&begun["operation"])]).operation("stopped", 0);
    apply.end().operation("stopped", 1);
    assert_eq!((partition(), note()), (json!(3), json!("1")));
    let (plan, code, _) = desk.plan(&["rollback", "app", &set.only(), "--to", "v42"]);
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!((partition(), note()), (json!(1), Value::Null));
    let owing: Vec<Value> = desk.operations().into_iter().filter(|row| row["debts"] != json!([])).collect();
    assert_eq!(owing, Vec::<Value>::new(), "the debt is paid");
}
