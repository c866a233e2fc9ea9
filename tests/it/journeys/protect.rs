//! Locks and quarantines on a real cluster: what they refuse, what they show, and that they end.

use serde_json::{Value, json};

use super::desk::{Desk, V41, V42, asked, changes, text};
use super::rollback::versions;
use crate::real::cluster::{User, cluster_or_skip};

/// The row of `app` in a namespace, as `fleet` says it.
fn row(desk: &Desk, namespace: &str) -> Value {
    let mut said = desk.run(&["fleet", &format!("ns:{namespace}")]).json();
    said["rows"][0].take()
}

#[test]
fn what_is_locked_is_not_operated_until_the_lock_is_lifted() {
    let Some(cluster) = cluster_or_skip("what_is_locked_is_not_operated_until_the_lock_is_lifted") else { return };
    let namespace = "journey-lock";
    versions(cluster, namespace, 1, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let selector = format!("ns:{namespace}");
    let (plan, code, _) = desk.plan(&["rollback", "app", &selector]);
    desk.run(&["lock", "app", &selector]).ended(2);
    desk.run(&["lock", "nobody", "--reason", "x"]).ended(2);
    desk.run(&["lock", "app", &selector, "--reason", "the auditors look", "--expires", "2h"]).ended(0);
    let locked = row(&desk, namespace);
    assert_eq!(locked["marks"], json!(["locked"]), "{locked}");
    let refused = desk.run(&["plan", "rollback", "app", &selector]).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("the auditors look"), "{refused}");
    // A plan from before the lock waits, and sends nothing.
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let id = desk.operation("it to wait", |operation| operation["plan"] == plan.as_str());
    let listed = desk.run(&["lock"]).ended(0).json();
    let number = listed["rows"][0]["number"].to_string();
    assert_eq!(listed["rows"][0]["target"], format!("app {selector}"), "{listed}");
    assert_eq!((changes(cluster, namespace).len(), &id["steps"][0]["sent_at"]), (0, &Value::Null), "{id}");
    desk.run(&["unlock", &number]).ended(0);
    apply.end().operation("done", 0);
    assert_eq!((asked(cluster, namespace), row(&desk, namespace)["marks"].take()), (json!(V41), json!([])));
    desk.run(&["unlock", &number]).ended(2);
}

#[test]
fn a_quarantined_image_is_bad_where_it_runs_and_no_way_back() {
    let Some(cluster) = cluster_or_skip("a_quarantined_image_is_bad_where_it_runs_and_no_way_back") else { return };
    let namespace = "journey-quarantine";
    versions(cluster, namespace, 1, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let selector = format!("ns:{namespace}");
    let digest = |reference: &str| reference.split_once('@').expect("pinned").1.to_string();
    desk.run(&["quarantine", "sha256:9f2", "--reason", "short"]).ended(2);
    desk.run(&["quarantine", &digest(V42), "--reason", "it loses orders"]).ended(0);
    let bad = row(&desk, namespace);
    assert_eq!((&bad["verdict"], &bad["off"]), (&json!("quarantined"), &json!(1)), "{bad}");
    assert!(text(&bad["reason"]).contains("it loses orders"), "{bad}");
    desk.run(&["drift", &selector]).ended(1);
    // The way back from it is as it was; the way to it is not offered, and is said where somebody names it.
    desk.plan_and_apply(&["rollback", "app", &selector]).operation("done", 0);
    assert_eq!(asked(cluster, namespace), V41);
    let (_, _, shown) = desk.plan(&["rollback", "app", &selector, "--to-revision", "2"]);
    let warned = shown["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "quarantine");
    assert_eq!(warned.map(|check| check["verdict"].clone()), Some(json!("warn")), "{shown}");
    desk.run(&["quarantine", &digest(V41), "--reason", "this too"]).ended(0);
    let refused = desk.run(&["plan", "rollback", "app", &selector]).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("no earlier version"), "{refused}");
    desk.run(&["unquarantine", &digest(V41)]).ended(0);
    assert_eq!(row(&desk, namespace)["verdict"], "ok");
}
