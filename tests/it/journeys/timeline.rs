//! What changed and who did it, told by processes that come and go: a release, a rollback of Rolldeck's, a foreign patch.

use serde_json::{Value, json};

use super::desk::{Desk, V40, V41, V42, release, text};
use super::rollback::versions;
use crate::real::cluster::{STRATEGIC_PATCH, User, cluster_or_skip, deployments};

/// Event, version and who did it, the oldest first.
fn told(rows: &[Value]) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut rows: Vec<&Value> = rows.iter().collect();
    rows.reverse();
    rows.iter().map(|row| (text(&row["event"]), text(&row["version"]), text(&row["by"]))).collect()
}

#[test]
fn a_release_a_rollback_and_a_foreign_patch_show_up_with_who_did_each() {
    let name = "a_release_a_rollback_and_a_foreign_patch_show_up_with_who_did_each";
    let Some(cluster) = cluster_or_skip(name) else { return };
    let namespace = "journey-timeline";
    let only = format!("ns:{namespace}");
    versions(cluster, namespace, 2, &[V41]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let rows = |code: i32| -> Vec<Value> {
        let said = desk.run(&["timeline", &only, "--timeout", "10s"]).ended(code).json();
        said["rows"].as_array().expect("rows").clone()
    };
    let news = |known: usize| -> Vec<Value> {
        let mut rows = rows(0);
        rows.truncate(rows.len() - known);
        rows
    };
    let is = |told: &[(String, String, String)], event: &str, version: &str, by: &str| {
        let found = told.iter().any(|row| row.0 == event && row.1 == version && row.2.starts_with(by));
        assert!(found, "{event} {version} {by}: {told:#?}");
    };
    // What was there before anybody looked is history, and nothing has appeared.
    let first = rows(0);
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!((text(&first[0]["event"]), text(&first[0]["version"])), ("requested".into(), "v41".into()));
    assert!(text(&first[0]["detail"]).starts_with("history: revision 1"), "{first:#?}");
    assert_eq!(rows(0), first, "another process tells nothing again");

    // A release while nobody watches.
    release(cluster, namespace, V42, None);
    cluster.wait_rolled_out(namespace, "app");
    let released = told(&news(first.len()));
    is(&released, "requested", "v42", "ci");
    is(&released, "appeared", "v42", "ci");
    is(&released, "vanished", "v41", "ci");
    assert_eq!(released.len(), 3, "the version and the change are one fact: {released:#?}");

    // A rollback, watched from its plan to its end.
    let before = rows(0).len();
    let operation = desk.plan_and_apply(&["rollback", "app", &only]).operation("done", 0);
    let id = text(&operation["operation"]);
    let back = news(before);
    let told_back = told(&back);
    is(&told_back, "operation", "v41", &id);
    is(&told_back, "requested", "v41", &id);
    is(&told_back, "appeared", "v41", &id);
    is(&told_back, "vanished", "v42", &id);
    is(&told_back, "ended", "v41", &id);
    assert_eq!(told_back.len(), 5, "{told_back:#?}");
    assert_eq!(told_back[0].0, "operation", "{told_back:#?}");
    let ended = back.iter().find(|row| row["event"] == "ended").expect("it was found");
    assert!(text(&ended["detail"]).starts_with("done; "), "{ended}");

    // Somebody else patches: the mark of the operation stays on the object, and is not believed.
    let before = rows(0).len();
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": V40}]}}}});
    let path = format!("{}?fieldManager=kubectl-patch", deployments(namespace, Some("app")));
    assert_eq!(cluster.patch(&path, STRATEGIC_PATCH, &body).0, 200);
    cluster.wait_rolled_out(namespace, "app");
    let patched = told(&news(before));
    is(&patched, "requested", "v40", "kubectl-patch");
    is(&patched, "appeared", "v40", "kubectl-patch");
    is(&patched, "vanished", "v41", "kubectl-patch");

    // The loss of the cluster loses nothing of it.
    let kept = rows(0);
    desk.through("http://127.0.0.1:9");
    assert_eq!(rows(3), kept);
}
