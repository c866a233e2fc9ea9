//! kill -9 of rolldeck, and of the API server, in the middle of an operation: nothing is lost and nothing is done twice.

use serde_json::{Value, json};

use super::control::{begin, slow_way_back};
use super::desk::{Desk, V41, V42, asked, changes, text};
use super::relay::{Keep, Relay};
use super::rollback::versions;
use crate::real::cluster::{User, cluster_or_skip, own_cluster_or_skip, pair_or_skip};

/// Begins a rollback through a relay, and ends rolldeck once the relay has kept the request or its answer.
fn killed(desk: &Desk, relay: &Relay, namespace: &str, keep: Keep) -> Value {
    let (plan, code, _) = desk.plan(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    relay.keep(keep);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    relay.wait_kept();
    apply.kill();
    let operation = desk.operation("the journal to have it", |operation| operation["plan"] == plan.as_str());
    assert_eq!((&operation["state"], &operation["steps"][0]["state"]), (&json!("interrupted"), &json!("sent")));
    operation
}

#[test]
fn killed_between_request_and_answer_it_goes_on_and_sends_nothing_twice() {
    let Some(cluster) = cluster_or_skip("killed_between_request_and_answer_it_goes_on_and_sends_nothing_twice") else {
        return;
    };
    let namespace = "journey-answer";
    versions(cluster, namespace, 2, &[V41, V42]);
    let relay = Relay::to(cluster.port(), &cluster.authority());
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.through(relay.url());
    let operation = killed(&desk, &relay, namespace, Keep::Answer);
    assert_eq!(changes(cluster, namespace).len(), 1, "it was done");
    assert_eq!(operation["steps"][0]["accepted_at"], Value::Null, "and nobody heard of it");

    let id = text(&operation["operation"]);
    // Looking is no taking over.
    desk.run(&["watch", &id]).operation("interrupted", 1);
    let done = desk.run(&["resume", &id]).operation("done", 0);
    assert_eq!(done["steps"][0]["state"], "verified");
    assert_eq!(changes(cluster, namespace).len(), 1);
    assert_eq!(asked(cluster, namespace), V41);
}

#[test]
fn an_answer_that_is_lost_is_found_in_the_cluster() {
    let Some(cluster) = cluster_or_skip("an_answer_that_is_lost_is_found_in_the_cluster") else { return };
    let namespace = "journey-lost";
    versions(cluster, namespace, 1, &[V41, V42]);
    let relay = Relay::to(cluster.port(), &cluster.authority());
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.through(relay.url());
    let (plan, code, _) = desk.plan(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    relay.keep(Keep::Answer);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    relay.wait_kept();
    relay.lose_kept();
    let done = apply.end().operation("done", 0);
    assert!(done["steps"][0]["accepted_at"].is_string(), "{done}");
    assert_eq!(changes(cluster, namespace).len(), 1);
}

#[test]
fn killed_while_it_is_held_it_still_owes_and_goes_on() {
    let Some(cluster) = cluster_or_skip("killed_while_it_is_held_it_still_owes_and_goes_on") else { return };
    let namespace = "journey-owing";
    slow_way_back(cluster, namespace, "5s");
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (apply, id) = begin(&desk, namespace);
    desk.run(&["pause", &id]).operation("paused", 0);
    apply.kill();
    let listed = desk.operation("the journal to have it", |_| true);
    assert_eq!((&listed["state"], &listed["debts"][0]["what"]), (&json!("interrupted"), &json!("its rollout is held")));
    let done = desk.run(&["resume", &id]).operation("done", 0);
    assert_eq!(done["debts"], json!([]));
    let verbs: Vec<Value> = changes(cluster, namespace)
        .iter()
        .map(|entry| entry["requestObject"]["spec"].get("paused").cloned().unwrap_or(json!("none")))
        .collect();
    assert_eq!(verbs, [json!("none"), json!(true), Value::Null], "the step, its brake, and its release");
}

#[test]
fn killed_before_the_request_arrived_it_is_unresolved_and_not_sent_again() {
    let Some(cluster) = cluster_or_skip("killed_before_the_request_arrived_it_is_unresolved_and_not_sent_again") else {
        return;
    };
    let namespace = "journey-request";
    versions(cluster, namespace, 1, &[V41, V42]);
    let relay = Relay::to(cluster.port(), &cluster.authority());
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.through(relay.url());
    let operation = killed(&desk, &relay, namespace, Keep::Request);
    let ended = desk.run(&["resume", &text(&operation["operation"])]).operation("unresolved", 3);
    let detail = text(&ended["steps"][0]["detail"]);
    assert!(detail.contains("looks not done") && detail.contains("look once more"), "{detail}");
    assert_eq!((changes(cluster, namespace).len(), asked(cluster, namespace)), (0, json!(V42)));
    // A new plan is not in its way.
    let said = desk.plan_and_apply(&["rollback", "app", &format!("ns:{namespace}"), "--to", "v41"]);
    said.operation("done", 0);
    assert_eq!(changes(cluster, namespace).len(), 1);
}

#[test]
fn killed_between_two_waves_it_goes_on_with_the_second() {
    let Some((eu, us)) = pair_or_skip("killed_between_two_waves_it_goes_on_with_the_second") else { return };
    let namespace = "journey-waves";
    for cluster in [eu, us] {
        versions(cluster, namespace, 2, &[V41, V42]);
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    // It does not come to the second wave before it is killed.
    desk.policy("10m", "40s");
    let (apply, id) = begin(&desk, namespace);
    desk.operation("the first step to be verified", |operation| operation["steps"][0]["state"] == "verified");
    apply.kill();
    let operation = desk.operation("the journal to have it", |_| true);
    assert_eq!((&operation["state"], &operation["steps"][1]["state"]), (&json!("interrupted"), &json!("waiting")));
    assert_eq!((changes(eu, namespace).len(), changes(us, namespace).len()), (1, 0));
    // The plan keeps the gate that was confirmed: another plan with a short one is what can be waited for here.
    desk.run(&["abort", &id]).operation("stopped", 0);
    desk.policy("3s", "40s");
    for cluster in [eu, us] {
        super::desk::release(cluster, namespace, V42, None);
        cluster.wait_rolled_out(namespace, "app");
    }
    let (apply, id) = begin(&desk, namespace);
    desk.operation("the first step to be verified", |operation| operation["steps"][0]["state"] == "verified");
    apply.kill();
    desk.run(&["resume", &id]).operation("done", 0);
    assert_eq!((changes(eu, namespace).len(), changes(us, namespace).len()), (2, 1));
    assert_eq!((asked(eu, namespace), asked(us, namespace)), (json!(V41), json!(V41)));
}

#[test]
fn an_api_server_that_is_killed_and_comes_back_does_not_end_an_operation() {
    let test = "an_api_server_that_is_killed_and_comes_back_does_not_end_an_operation";
    let Some(cluster) = own_cluster_or_skip(test, "gone") else { return };
    let namespace = "journey-gone";
    slow_way_back(&cluster, namespace, "6s");
    let desk = Desk::at(&[(&cluster, User::Admin, None)]);
    desk.policy("2s", "2m");
    let (apply, _) = begin(&desk, namespace);
    cluster.kill_apiserver();
    cluster.start_apiserver();
    let done = apply.end().operation("done", 0);
    assert_eq!(done["steps"][0]["state"], "verified");
    assert_eq!(changes(&cluster, namespace).len(), 1);
    assert_eq!(asked(&cluster, namespace), V41);
}
