//! Locks and quarantines on a real cluster: what they refuse, what they show, and that they end.

use serde_json::{Value, json};

use super::desk::{Desk, V40, V41, V42, asked, changes, text};
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
    let named = ["rollback", "app", &selector, "--to-revision", "2"];
    let refused = desk.run(&[&["plan"], &named[..]].concat()).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("quarantined"), "{refused}");
    assert!(text(&refused["refusals"][0]["hint"]).contains("--reason"), "{refused}");
    let (_, _, shown) = desk.plan(&[&named[..], &["--reason", "to reproduce it"]].concat());
    let warned = shown["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "quarantine");
    assert_eq!(warned.map(|check| check["verdict"].clone()), Some(json!("warn")), "{shown}");
    assert!(text(&warned.expect("it is said")["detail"]).ends_with("all the same: to reproduce it"), "{shown}");
    desk.run(&["quarantine", &digest(V41), "--reason", "this too"]).ended(0);
    let refused = desk.run(&["plan", "rollback", "app", &selector]).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("no earlier version"), "{refused}");
    desk.run(&["unquarantine", &digest(V41)]).ended(0);
    assert_eq!(row(&desk, namespace)["verdict"], "ok");
}

#[test]
fn a_rollback_keeps_its_workload_from_being_moved_away_until_its_own_way_back() {
    let test = "a_rollback_keeps_its_workload_from_being_moved_away_until_its_own_way_back";
    let Some(cluster) = cluster_or_skip(test) else { return };
    let namespace = "journey-stay";
    versions(cluster, namespace, 4, &[V40, V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let config = std::fs::read_to_string(desk.config()).expect("readable");
    let config = config.replacen("[policy]", "[policy]\nlock_after_rollback = \"2h\"", 1);
    std::fs::write(desk.config(), config).expect("written");
    let selector = format!("ns:{namespace}");
    let done = desk.plan_and_apply(&["rollback", "app", &selector]).operation("done", 0);
    let id = text(&done["operation"]);
    let listed = desk.run(&["lock"]).ended(0).json();
    assert_eq!(listed["rows"][0]["what"], "stay", "{listed}");
    assert_eq!(row(&desk, namespace)["marks"], json!(["locked"]));
    for to in ["v42", "v40"] {
        let refused = desk.run(&["plan", "rollback", "app", &selector, "--to", to]).ended(1).json();
        assert!(text(&refused["refusals"][0]["reason"]).contains(&format!("where {id} went back to")), "{refused}");
    }
    // Nothing else is forbidden, and its own way back lifts it.
    desk.plan_and_apply(&["replace", "app", &selector, "--oldest", "1"]).operation("done", 0);
    desk.plan_and_apply(&["reverse", &id]).operation("done", 0);
    assert_eq!(asked(cluster, namespace), V42);
    assert_eq!(desk.run(&["lock"]).ended(0).json()["rows"], json!([]));
}

#[test]
fn drift_that_is_snoozed_is_shown_and_does_not_end_a_script() {
    let Some(cluster) = cluster_or_skip("drift_that_is_snoozed_is_shown_and_does_not_end_a_script") else { return };
    let namespace = "journey-snooze";
    versions(cluster, namespace, 1, &[V41]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.configure(&format!("[[expect]]\nservice = \"app\"\nimage = \"{V42}\""));
    let selector = format!("ns:{namespace}");
    desk.run(&["drift", &selector]).ended(1);
    desk.run(&["snooze", "app", &selector, "--reason", "v42 comes on Monday", "--expires", "2d"]).ended(0);
    let said = desk.run(&["drift", &selector]).ended(0).json();
    assert_eq!(
        (&said["rows"][0]["verdict"], &said["rows"][0]["marks"]),
        (&json!("drift"), &json!(["snoozed"])),
        "{said}"
    );
    // A banned image is told all the same.
    let digest = V41.split_once('@').expect("pinned").1;
    desk.run(&["quarantine", digest, "--reason", "it loses orders"]).ended(0);
    desk.run(&["drift", &selector]).ended(1);
    desk.run(&["unquarantine", digest]).ended(0);
    desk.run(&["unsnooze", "app", &selector]).ended(0);
    desk.run(&["drift", &selector]).ended(1);
}

#[test]
fn an_operation_of_another_machine_is_seen_by_its_mark() {
    let Some(cluster) = cluster_or_skip("an_operation_of_another_machine_is_seen_by_its_mark") else { return };
    let namespace = "journey-others";
    versions(cluster, namespace, 1, &[V41, V42]);
    let (first, second) = (Desk::at(&[(cluster, User::Admin, None)]), Desk::at(&[(cluster, User::Admin, None)]));
    let selector = format!("ns:{namespace}");
    let done = first.plan_and_apply(&["rollback", "app", &selector]).operation("done", 0);
    let warned = |desk: &Desk| {
        let (_, _, shown) = desk.plan(&["rollback", "app", &selector, "--to", "v42"]);
        let checks = shown["checks"].as_array().cloned().unwrap_or_default();
        checks.into_iter().find(|check| check["name"] == "others").map(|check| text(&check["detail"]))
    };
    assert_eq!(warned(&first), None, "its own");
    let said = warned(&second).expect("another's");
    assert!(said.contains(&text(&done["operation"])) && said.contains("on another machine"), "{said}");
}
