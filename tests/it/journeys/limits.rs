//! What keeps rolldeck back: disruption budgets, roles, `--read-only`; and what must never leave the cluster.

use std::fs;

use serde_json::{Value, json};

use super::desk::{CRASH_LOOP, Desk, V41, V42, asked, changes, release, requests, text, wait_bad};
use super::rollback::versions;
use crate::real::cluster::{
    Cluster, MERGE_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments,
    own_cluster_or_skip, pair_or_skip, wait,
};

#[test]
fn an_eviction_waits_for_a_budget_and_says_its_numbers() {
    let Some(cluster) = cluster_or_skip("an_eviction_waits_for_a_budget_and_says_its_numbers") else { return };
    let namespace = "journey-budget";
    let only = format!("ns:{namespace}");
    // Not pinned: what its pods run is known by looking alone.
    versions(cluster, namespace, 4, &["registry.example:5000/shop/app:v41"]);
    let budgets = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
    let selector = json!({"matchLabels": {"app.kubernetes.io/name": "app"}});
    cluster
        .create(&budgets, &json!({"metadata": {"name": "strict"}, "spec": {"minAvailable": 4, "selector": selector}}));
    let budget = format!("{budgets}/strict");
    wait("the budget to count", PATIENCE, || cluster.read(&budget)["status"]["currentHealthy"] == 4);
    // One pod runs another image under the same name: a stale image on its node.
    let pod = cluster.pods(namespace, "app").remove(0);
    let (name, uid) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let mut statuses = pod["status"]["containerStatuses"].clone();
    statuses[0]["imageID"] = json!(V42.replace(":v42@", "@"));
    let body = json!({"status": {"containerStatuses": statuses}});
    assert_eq!(cluster.patch(&format!("{path}/status"), MERGE_PATCH, &body).0, 200);

    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let row = desk.run(&["drift", &only]).ended(1).json()["rows"][0].take();
    assert_eq!((&row["verdict"], &row["off"], &row["total"]), (&json!("outlier"), &json!(1), &json!(4)), "{row}");
    let (plan, code, shown) = desk.plan(&["replace", "app", &only]);
    assert_eq!(shown["waves"][0]["steps"].as_array().map(Vec::len), Some(1), "{shown}");
    let warned = shown["checks"].as_array().expect("checks").iter().any(|check| {
        check["verdict"] == "warn"
            && text(&check["detail"]).contains("budget strict allows 0 now (4 healthy, 4 needed)")
    });
    assert!(warned, "{}", shown["checks"]);

    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let blocked = desk.operation("the step to be blocked", |operation| operation["steps"][0]["detail"] != "");
    let detail = text(&blocked["steps"][0]["detail"]);
    assert!(detail.contains("disruption budget") && detail.contains("needs 4 healthy pods and has 4"), "{detail}");
    assert_eq!((&blocked["state"], &blocked["steps"][0]["state"]), (&json!("running"), &json!("waiting")));
    assert_eq!(changes(cluster, namespace), Vec::<Value>::new());
    cluster.patch(&budget, MERGE_PATCH, &json!({"spec": {"minAvailable": 3}}));
    let said = apply.end();
    assert!(said.err.contains("needs 4 healthy pods"), "progress says what it waits for: {said}");
    said.operation("done", 0);
    let changes = changes(cluster, namespace);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["objectRef"]["subresource"], "eviction");
    assert_eq!(changes[0]["requestObject"]["deleteOptions"]["preconditions"]["uid"], uid.as_str());
    assert_eq!(cluster.get(&path).0, 404, "the pod is gone");
    desk.run(&["drift", &only]).ended(0);
}

#[test]
fn users_see_and_do_what_their_roles_grant() {
    let Some(cluster) = own_cluster_or_skip("users_see_and_do_what_their_roles_grant", "roles") else { return };
    for namespace in ["open", "other"] {
        versions(&cluster, namespace, 1, &[V41, V42]);
    }
    let look = json!({"apiGroups": ["", "apps"], "resources": ["pods", "nodes", "deployments", "replicasets",
        "statefulsets", "daemonsets"], "verbs": ["get", "list", "watch"]});
    let change = json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]});
    cluster.grant(User::Viewer, None, &json!([look]));
    cluster.grant(User::Shop, Some("open"), &json!([look, change]));
    let can = |user, path: &str| cluster.request(user, "GET", path, None).0 == 200;
    wait("the roles to count", PATIENCE, || {
        can(User::Viewer, "/apis/apps/v1/deployments") && can(User::Shop, &deployments("open", None))
    });

    let viewer = Desk::at(&[(&cluster, User::Viewer, None)]);
    let fleet = viewer.run(&["fleet"]).ended(0).json();
    assert_eq!((&fleet["complete"], namespaces(&fleet)), (&json!(true), vec!["open".to_owned(), "other".to_owned()]));
    let plan = viewer.run(&["plan", "rollback", "app", "ns:open", "--to", "v41"]).ended(1).json();
    let not_granted = |check: &Value| {
        check["verdict"] == "fail" && text(&check["detail"]).contains("patch deployments is not granted")
    };
    assert!(plan["checks"].as_array().is_some_and(|checks| checks.iter().any(not_granted)), "{plan}");
    assert_eq!(plan["code"], Value::Null);
    assert!(text(&plan["refusals"][0]["reason"]).contains("forbidden"), "{plan}");

    let shop = Desk::at(&[(&cluster, User::Shop, Some("open"))]);
    let fleet = shop.run(&["fleet"]).ended(0).json();
    assert_eq!(namespaces(&fleet), ["open"]);
    let place = shop.run(&["places"]).ended(0).json()["rows"][0].take();
    assert_eq!((&place["state"], &place["notes"]), (&json!("live"), &json!(["only namespace open"])), "{place}");
    let why: Vec<String> = place["cannot"].as_array().expect("a list").iter().map(|row| text(&row["why"])).collect();
    assert!(why.iter().any(|why| why.contains("nodes is forbidden")), "what is not shown is told: {place}");
    shop.plan_and_apply(&["rollback", "app", "--to", "v41"]).operation("done", 0);
    assert_eq!(asked(&cluster, "open"), V41);

    let nobody = Desk::at(&[(&cluster, User::Nobody, None)]);
    for command in ["fleet", "drift", "places", "instances"] {
        let said = nobody.run(&[command]).ended(2).json();
        assert_eq!((&said["places"][0]["state"], &said["complete"]), (&json!("forbidden"), &json!(false)), "{said}");
    }
    let said = nobody.run(&["plan", "rollback", "app"]).ended(2);
    assert!(said.err.contains("k8s/roles-nobody is forbidden"), "{said}");

    let by =
        |user: User| changes(&cluster, "open").iter().filter(|entry| entry["user"]["username"] == user.name()).count();
    assert_eq!([User::Viewer, User::Shop, User::Nobody].map(by), [0, 1, 0]);
    assert_eq!(changes(&cluster, "other"), Vec::<Value>::new());
}

fn namespaces(fleet: &Value) -> Vec<String> {
    let rows = fleet["rows"].as_array().expect("rows").iter();
    let mut names: Vec<String> = rows.map(|row| text(&row["namespace"])).collect();
    names.sort();
    names
}

#[test]
fn read_only_sends_not_one_request_that_could_change_something() {
    let Some(cluster) = cluster_or_skip("read_only_sends_not_one_request_that_could_change_something") else { return };
    let namespace = "journey-read-only";
    versions(cluster, namespace, 1, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let rollback = ["rollback", "app", "ns:journey-read-only", "--to", "v41"];
    let plan = desk.run(&[&["--read-only", "plan"], &rollback[..]].concat()).ended(1).json();
    assert_eq!(plan["waves"][0]["steps"][0]["to"]["reference"], V41, "it is shown all the same: {plan}");
    let is_skipped = |check: &Value| {
        check["name"] == "dry run" && check["verdict"] == "unknown" && text(&check["detail"]).contains("skipped")
    };
    assert!(plan["checks"].as_array().is_some_and(|checks| checks.iter().any(is_skipped)), "{plan}");
    assert_eq!((&plan["code"], &plan["refusals"][0]["reason"]), (&Value::Null, &json!("started with --read-only")));
    assert_eq!(requests(cluster, namespace), Vec::<Value>::new(), "no dry run either");

    let (plan, code, _) = desk.plan(&rollback);
    assert_eq!(requests(cluster, namespace).len(), 1, "without it, a plan is rehearsed");
    let said = desk.run(&["apply", &plan, "--code", &code, "--read-only"]).ended(1);
    assert!(said.err.contains("started with --read-only"), "{said}");
    assert_eq!(requests(cluster, namespace).len(), 1);
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(changes(cluster, namespace).len(), 1);
}

#[test]
fn secrets_are_neither_printed_nor_kept() {
    let Some(cluster) = cluster_or_skip("secrets_are_neither_printed_nor_kept") else { return };
    let namespace = "journey-secrets";
    let (token, value) = (User::Admin.token(), "canary-value-5a1e");
    versions(cluster, namespace, 1, &[V41]);
    let environment = |value: &str| {
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "app", "env": [{"name": "DATABASE_PASSWORD", "value": value}]}]}}}})
    };
    let path = deployments(namespace, Some("app"));
    cluster.patch(&path, STRATEGIC_PATCH, &environment(value));
    cluster.wait_rolled_out(namespace, "app");
    release(cluster, namespace, V42, Some((CRASH_LOOP, "")));
    cluster.patch(&path, STRATEGIC_PATCH, &environment("canary-value-0ther"));
    wait_bad(cluster, namespace, V42);

    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let only = format!("ns:{namespace}");
    for command in ["drift", "fleet", "instances"] {
        desk.run(&[command, &only, "-vv"]);
    }
    desk.run(&["places", "-vv"]).ended(0);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &only, "-vv"]);
    let also = shown["waves"][0]["steps"][0]["also_goes_back"].to_string();
    assert!(also.contains("DATABASE_PASSWORD"), "the name is shown: {also}");
    desk.run(&["apply", &plan, "--code", &code, "-vv"]).operation("done", 0);
    desk.run(&["operations", "-vv"]).ended(0);
    // Where it goes wrong, too: a token that is not accepted, a server that does not answer.
    let stranger = Desk::at(&[(cluster, User::Admin, None)]);
    let refused = "canary-token-77ab";
    let kubeconfig = fs::read_to_string(stranger.kubeconfig()).expect("readable").replace(token, refused);
    fs::write(stranger.kubeconfig(), &kubeconfig).expect("written");
    stranger.run(&["fleet", "-vv"]).ended(2);
    fs::write(stranger.kubeconfig(), kubeconfig.replace(&cluster.url(), "https://127.0.0.1:1")).expect("written");
    stranger.run(&["fleet", "-vv"]).ended(2);

    let mut names = Vec::new();
    for (file, bytes) in desk.files().into_iter().chain(stranger.files()) {
        for secret in [token, refused, value, "canary-value-0ther"] {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{secret} is in {}", file.display());
        }
        names.extend(file.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    for kept in ["journal.db", "observations.db", "rolldeck.log", "0.out", "0.err"] {
        let end = kept.split_at(1).1;
        assert!(names.iter().any(|name| name == kept || name.ends_with(end)), "{kept} was searched: {names:?}");
    }
}

#[test]
fn what_one_cluster_answers_is_shown_when_the_other_does_not() {
    let Some(cluster) = cluster_or_skip("what_one_cluster_answers_is_shown_when_the_other_does_not") else { return };
    let namespace = "journey-partial";
    versions(cluster, namespace, 1, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None), (cluster, User::Viewer, None)]);
    let dark: &Cluster = cluster;
    let file = fs::read_to_string(desk.kubeconfig()).expect("readable");
    let mut config: Value = serde_json::from_str(&file).expect("JSON");
    config["clusters"][1]["cluster"]["server"] = json!("https://127.0.0.1:1");
    fs::write(desk.kubeconfig(), config.to_string()).expect("written");
    let fleet = desk.run(&["fleet", &format!("ns:{namespace}")]).ended(3).json();
    assert_eq!((&fleet["complete"], fleet["rows"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert_eq!(fleet["places"][1]["id"], format!("k8s/{}", dark.context(User::Viewer)));
    assert_eq!(fleet["places"][1]["state"], "unreachable");
    let said = desk.plan_and_apply(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    said.operation("done", 0);
}

#[test]
fn what_goes_with_the_pods_is_said_before_the_code() {
    let Some(cluster) = cluster_or_skip("what_goes_with_the_pods_is_said_before_the_code") else { return };
    let namespace = "journey-lost-data";
    cluster.create_namespace(namespace);
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "journey-lost-data"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
        "local": {"path": "/mnt/fast"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]}}}});
    cluster.create("/api/v1/persistentvolumes", &volume);
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": "by-hand", "volumeName": "journey-lost-data", "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.create(&format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims"), &claim);
    let mut app = deployment(namespace, "app", V41, 1, &[]);
    app["spec"]["template"]["spec"]["volumes"] = json!([
        {"name": "cache", "emptyDir": {}},
        {"name": "logs", "hostPath": {"path": "/var/log/app"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    ]);
    cluster.create(&deployments(namespace, None), &app);
    release(cluster, namespace, V42, None);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (_, _, shown) = desk.plan(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    let said: Vec<String> = shown["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|check| check["name"] == "lost" && check["verdict"] == "warn")
        .map(|check| text(&check["detail"]).split_once("app: ").expect("its workload is named").1.to_owned())
        .collect();
    assert_eq!(
        said,
        [
            "gone with each pod: emptyDir cache",
            "left behind where the next pod comes to another node: hostPath logs (/var/log/app)",
            "claim data is a local volume: the next pod starts on that node or not at all",
        ]
    );
}

#[test]
fn a_probe_that_says_no_stops_before_the_next_wave() {
    let Some((eu, us)) = pair_or_skip("a_probe_that_says_no_stops_before_the_next_wave") else { return };
    let namespace = "journey-probe";
    for cluster in [eu, us] {
        versions(cluster, namespace, 1, &[V41, V42]);
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    let words = "echo \"asked for wave $ROLLDECK_WAVE\"; echo 41 errors >&2; test -e fine";
    let probe = |directory: &std::path::Path| {
        let command = format!("cd {} && {{ {words}; }}", directory.display());
        format!("[[policy.probe]]\ncommand = [\"sh\", \"-c\", {}]\ntimeout = \"5s\"", json!(command))
    };
    desk.configure(&probe(desk.directory()));
    let selector = format!("ns:{namespace}");
    let (plan, code, shown) = desk.plan(&["rollback", "app", &selector]);
    let checks = shown["checks"].as_array().expect("checks");
    assert_eq!(checks.iter().filter(|check| check["name"] == "probe").count(), 2, "{shown}");
    let failed = desk.run(&["apply", &plan, "--code", &code]).operation("failed", 1);
    let reason = text(&failed["reason"]);
    assert!(reason.contains("the probe of wave 1 says no") && reason.contains("41 errors"), "{reason}");
    assert_eq!((asked(eu, namespace), asked(us, namespace)), (json!(V41), json!(V42)), "the second wave has not begun");
    fs::write(desk.directory().join("fine"), "").expect("written");
    desk.plan_and_apply(&["rollback", "app", &selector, "--to", "v41"]).operation("done", 0);
    assert_eq!(asked(us, namespace), V41);
}
