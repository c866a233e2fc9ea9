//! Holding, going on and stopping from a second process; codes; and what a stop leaves.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::desk::{Desk, Running, SLOW_START, V41, V42, asked, changes, release, text};
use super::rollback::versions;
use crate::real::cluster::{Cluster, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments, wait};

/// A Deployment whose first version takes its time to get ready, at its second one.
pub(crate) fn slow_way_back(cluster: &Cluster, namespace: &str, slow: &str) {
    cluster.create_namespace(namespace);
    cluster.create_deployment(&deployment(namespace, "app", V41, 2, &[(SLOW_START, slow)]));
    release(cluster, namespace, V42, None);
    cluster.wait_rolled_out(namespace, "app");
}

/// Plans the way back, begins it, and returns once its first request was taken: the command, and the operation.
pub(crate) fn begin(desk: &Desk, namespace: &str) -> (Running, String) {
    let (plan, code, _) = desk.plan(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let operation = desk.operation("the first step to be taken", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][0]["accepted_at"].is_string()
    });
    (apply, text(&operation["operation"]))
}

fn paused(cluster: &Cluster, namespace: &str) -> Value {
    cluster.read(&deployments(namespace, Some("app")))["spec"]["paused"].take()
}

#[test]
fn what_a_stop_left_held_goes_back_by_the_request_that_lets_it_go() {
    let Some(cluster) = cluster_or_skip("what_a_stop_left_held_goes_back_by_the_request_that_lets_it_go") else {
        return;
    };
    let namespace = "journey-stop";
    slow_way_back(cluster, namespace, "8s");
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (apply, operation) = begin(&desk, namespace);
    desk.run(&["abort", &operation]).operation("stopped", 0);
    let stopped = apply.end().operation("stopped", 1);
    assert_eq!(stopped["steps"][0]["state"], "held");
    let debt = &stopped["debts"][0];
    assert_eq!(debt["what"], "its rollout is held", "{stopped}");
    assert!(text(&debt["workload"]).ends_with(&format!("{namespace}/app")), "{debt}");
    assert_eq!(paused(cluster, namespace), true);
    let before = changes(cluster, namespace);
    assert_eq!(before.len(), 2, "the step and its brake: {before:?}");
    assert_eq!(before[1]["requestObject"]["spec"], json!({"paused": true}));

    let (plan, code, shown) = desk.plan(&["rollback", "app", &format!("ns:{namespace}"), "--to-revision", "2"]);
    let is_told = |check: &Value| check["name"] == "rollout" && check["verdict"] == "warn";
    assert!(shown["checks"].as_array().is_some_and(|checks| checks.iter().any(is_told)), "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let after = changes(cluster, namespace);
    assert_eq!(after.len(), 3, "one request does both: {after:?}");
    let body = &after[2]["requestObject"]["spec"];
    assert!(body["paused"].is_null() && body.as_object().is_some_and(|spec| spec.contains_key("paused")), "{body}");
    assert_eq!(body["template"]["spec"]["containers"][0]["image"], V42);
    assert_ne!(paused(cluster, namespace), true);
    let owing: Vec<Value> = desk.operations().into_iter().filter(|row| row["debts"] != json!([])).collect();
    assert_eq!(owing, Vec::<Value>::new(), "the debt is paid");
}

/// Nothing is left for the rollout to do, and it is held all the same: whoever gives that back need not go anywhere.
#[test]
fn what_is_held_though_it_is_through_is_let_go_by_giving_it_back() {
    let Some(cluster) = cluster_or_skip("what_is_held_though_it_is_through_is_let_go_by_giving_it_back") else {
        return;
    };
    let namespace = "journey-through";
    slow_way_back(cluster, namespace, "8s");
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (apply, operation) = begin(&desk, namespace);
    desk.run(&["abort", &operation]).operation("stopped", 0);
    apply.end().operation("stopped", 1);
    let hold = |paused: bool| {
        let body = json!({"spec": {"paused": paused}});
        let (status, answer) = cluster.patch(&deployments(namespace, Some("app")), STRATEGIC_PATCH, &body);
        assert_eq!(status, 200, "{answer}");
    };
    // Half way there is something to decide, by somebody who knows where to.
    let said = desk.run(&["plan", "give-back", &operation]).ended(2);
    assert!(said.err.contains("plan reverse"), "{said}");
    hold(false);
    cluster.wait_rolled_out(namespace, "app");
    hold(true);
    let before = changes(cluster, namespace).len();
    let (plan, code, shown) = desk.plan(&["give-back", &operation]);
    assert_eq!(shown["waves"][0]["steps"][0]["to"]["version"], "v41", "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!((asked(cluster, namespace), changes(cluster, namespace).len()), (json!(V41), before + 1));
    assert_ne!(paused(cluster, namespace), true);
    let owing: Vec<Value> = desk.operations().into_iter().filter(|row| row["debts"] != json!([])).collect();
    assert_eq!(owing, Vec::<Value>::new(), "the debt is paid");
}

#[test]
fn a_stop_with_the_way_back_takes_back_what_was_done() {
    let Some(cluster) = cluster_or_skip("a_stop_with_the_way_back_takes_back_what_was_done") else { return };
    let namespace = "journey-return";
    slow_way_back(cluster, namespace, "8s");
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (apply, operation) = begin(&desk, namespace);
    // Asked from another process: who drives the operation drives the way back.
    let returned = desk.run(&["abort", &operation, "--return"]).operation("done", 0);
    assert_ne!(returned["operation"], operation.as_str());
    assert!(text(&returned["title"]).ends_with(&format!("back from {operation}")), "{returned}");
    apply.end().operation("stopped", 1);
    assert_eq!((asked(cluster, namespace), changes(cluster, namespace).len()), (json!(V42), 3));
    assert_ne!(paused(cluster, namespace), true);
    let owing: Vec<Value> = desk.operations().into_iter().filter(|row| row["debts"] != json!([])).collect();
    assert_eq!(owing, Vec::<Value>::new(), "what was held was given back");

    // And that can be taken back too.
    let way_back = text(&returned["operation"]);
    let (plan, code, shown) = desk.plan(&["reverse", &way_back]);
    assert!(text(&shown["title"]).contains(&format!("back from {way_back}")), "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(asked(cluster, namespace), json!(V41));
}

#[test]
fn an_operation_that_nobody_drives_is_stopped_and_taken_back_by_who_asks() {
    let Some(cluster) = cluster_or_skip("an_operation_that_nobody_drives_is_stopped_and_taken_back_by_who_asks") else {
        return;
    };
    let namespace = "journey-return-crash";
    slow_way_back(cluster, namespace, "8s");
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (apply, operation) = begin(&desk, namespace);
    apply.kill();
    desk.run(&["abort", &operation, "--return"]).operation("done", 0);
    assert_eq!((asked(cluster, namespace), changes(cluster, namespace).len()), (json!(V42), 3));
    // Nothing of it is left to do.
    desk.run(&["abort", &operation, "--return"]).ended(2);
}

#[test]
fn a_second_process_holds_an_operation_and_lets_it_go_on() {
    let Some(cluster) = cluster_or_skip("a_second_process_holds_an_operation_and_lets_it_go_on") else { return };
    let namespace = "journey-hold";
    slow_way_back(cluster, namespace, "6s");
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (apply, operation) = begin(&desk, namespace);
    let held = desk.run(&["pause", &operation]).operation("paused", 0);
    assert!(text(&held["reason"]).starts_with("paused by "), "{held}");
    assert_eq!((paused(cluster, namespace), &held["debts"][0]["what"]), (json!(true), &json!("its rollout is held")));
    assert_eq!(desk.operation("it in the list", |_| true)["state"], "paused", "its owner is alive");
    // Another follows it to its end.
    let watch = desk.start(&["watch", &operation]);
    let done = desk.run(&["resume", &operation]).operation("done", 0);
    assert_eq!(done["debts"], json!([]));
    apply.end().operation("done", 0);
    watch.end().operation("done", 0);
    let changes = changes(cluster, namespace);
    let specs: Vec<&Value> = changes[1..].iter().map(|entry| &entry["requestObject"]["spec"]["paused"]).collect();
    assert_eq!(specs, [&json!(true), &Value::Null], "a brake and its release: {changes:?}");
    assert_eq!(asked(cluster, namespace), V41);
    // It is over: there is nothing to hold any more.
    for (command, code) in [("watch", 0), ("pause", 0), ("resume", 0), ("abort", 0)] {
        desk.run(&[command, &operation]).operation("done", code);
    }
}

#[test]
fn a_plan_is_started_once_with_its_code_and_in_time() {
    let Some(cluster) = cluster_or_skip("a_plan_is_started_once_with_its_code_and_in_time") else { return };
    let namespace = "journey-codes";
    versions(cluster, namespace, 1, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let only = format!("ns:{namespace}");
    let rollback = ["rollback", "app", only.as_str(), "--to", "v41"];

    let (plan, code, _) = desk.plan(&rollback);
    for left in ["4 tries", "3 tries", "2 tries", "1 tr", "0 tries"] {
        let said = desk.run(&["apply", &plan, "--code", "zzzz"]).ended(2);
        assert!(said.err.contains("the code is wrong, nothing was done") && said.err.contains(left), "{said}");
    }
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(2);
    assert!(said.err.contains("ended after 5 wrong codes"), "{said}");

    let (plan, code, shown) = desk.plan(&[&rollback[..], &["--valid", "1s"]].concat());
    let until: Timestamp = text(&shown["expires_at"]).parse().expect("a time");
    wait("the plan to expire", PATIENCE, || Timestamp::now() > until);
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(2);
    assert!(said.err.contains("expired"), "{said}");

    let said = desk.run(&["apply", "p-none", "--code", "zzzz"]).ended(2);
    assert!(said.err.contains("there is no plan p-none"), "{said}");
    for command in ["watch", "pause", "resume", "abort"] {
        let said = desk.run(&[command, "o-none"]).ended(2);
        assert!(said.err.contains("there is no operation o-none"), "{said}");
    }
    let said = desk.run(&["plan", "rollback", "ap", &only]).ended(2);
    assert!(said.err.contains("no service is called ap") && said.err.contains("app"), "{said}");
    assert_eq!(changes(cluster, namespace), Vec::<Value>::new());
    assert_eq!(desk.operations(), Vec::<Value>::new(), "nothing was journalled");

    let (plan, code, _) = desk.plan(&rollback);
    let done = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(2);
    assert!(said.err.contains("was started already") && said.err.contains(&text(&done["operation"])), "{said}");
    assert_eq!(changes(cluster, namespace).len(), 1);
}
