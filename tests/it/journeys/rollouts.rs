//! Argo Rollouts with their real controller: the way back out of a canary and over one, promotions while an operation waits for them,
//! the brake, and a template that stands in a Deployment.

use serde_json::{Value, json};

use super::desk::{Desk, V40, V41, V42, changes, text};
use super::sets::verbs;
use crate::pty::quick::type_code;
use crate::pty::terminal::{LARGE, Terminal, rolldeck};
use crate::real::cluster::{Cluster, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments, wait};
use crate::real::rollouts::{Rollout, canary, rollouts_or_skip};

fn desk(cluster: &Cluster) -> Desk {
    Desk::at(&[(cluster, User::Admin, None)])
}

fn says(plan: &Value, name: &str) -> String {
    let checks = plan["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).map(|check| text(&check["detail"])).unwrap_or_default()
}

fn refusal(plan: &Value) -> String {
    text(&plan["refusals"][0]["reason"])
}

/// The subresource and the body of each request of ours that was taken.
fn bodies(rollout: &Rollout) -> Vec<(Value, Value)> {
    let changes = changes(rollout.cluster, rollout.namespace);
    for entry in &changes {
        let meta = &entry["requestObject"]["metadata"];
        assert!(meta["uid"].is_string() && meta["resourceVersion"].is_string(), "bound to what was read: {entry}");
    }
    changes.iter().map(|entry| (entry["objectRef"]["subresource"].clone(), entry["requestObject"].clone())).collect()
}

#[test]
fn a_canary_in_flight_is_aborted_and_its_template_taken_back() {
    let Some(cluster) = rollouts_or_skip("a_canary_in_flight_is_aborted_and_its_template_taken_back") else { return };
    let rollout = Rollout::create(cluster, "argo-back", V41, &canary());
    rollout.release(V42);
    rollout.wait_step(2);
    let desk = desk(cluster);
    let fleet = desk.run(&["fleet", &rollout.only()]).ended(0).json();
    let row = &fleet["rows"][0];
    assert_eq!((&row["kind"], &row["waits_at"]), (&json!("Rollout"), &json!("step 2 of 5 (20%)")), "{row}");
    assert!(text(&row["in_flight"]).starts_with("canary at step 2 of 5, 20%, paused since 20"), "{row}");

    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only()]);
    assert_eq!(verbs(&shown), ["end_rollout", "restore_revision"], "{shown}");
    assert!(says(&shown, "rollout").contains("is aborted first: its traffic goes back"), "{shown}");
    let steps = &shown["waves"][0]["steps"];
    assert!(text(&steps[0]["equivalent"]).ends_with("-n argo-back argo rollouts abort app"), "{steps}");
    assert!(text(&steps[1]["equivalent"]).ends_with("argo rollouts undo app --to-revision=1"), "{steps}");
    assert_eq!(changes(cluster, rollout.namespace).len(), 0, "a plan changes nothing");

    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert!(text(&operation["steps"][1]["detail"]).contains("5 of 5 run 9f2c41d0"), "{operation}");
    assert_eq!(operation["debts"], json!([]));
    assert_eq!(rollout.images(), [V41; 5]);
    rollout.wait_phase("Healthy");
    let bodies = bodies(&rollout);
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert_eq!((&bodies[0].0, &bodies[0].1["status"]), (&json!("status"), &json!({"abort": true})));
    assert!(bodies[1].1["metadata"]["annotations"]["rolldeck.dev/operation"].is_string(), "{bodies:?}");
    let again = desk.run(&["plan", "rollback", "app", &rollout.only()]).ended(1).json();
    assert!(refusal(&again).contains("no earlier version that is known to be good"), "{again}");
}

#[test]
fn the_way_back_of_a_finished_rollout_does_not_wait_at_its_canary() {
    let Some(cluster) = rollouts_or_skip("the_way_back_of_a_finished_rollout_does_not_wait_at_its_canary") else {
        return;
    };
    let rollout = Rollout::create(cluster, "argo-over", V41, &canary());
    rollout.roll(V42);
    let desk = desk(cluster);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only()]);
    assert_eq!(verbs(&shown), ["restore_revision", "promote"], "{shown}");
    assert!(says(&shown, "canary").contains("its canary's 5 steps are skipped"), "{shown}");
    assert!(
        text(&shown["waves"][0]["steps"][1]["equivalent"]).ends_with("argo rollouts promote app --full"),
        "{shown}"
    );
    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(operation["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!(rollout.images(), [V41; 5]);
    rollout.wait_phase("Healthy");
    let bodies = bodies(&rollout);
    assert_eq!(bodies.last().map(|(_, body)| body["status"].clone()), Some(json!({"promoteFull": true})), "{bodies:?}");
    // The template is the one that was there, whole, and nothing of the other is left in it.
    let template = &rollout.read()["spec"]["template"];
    assert_eq!(template["metadata"]["labels"], json!({"app.kubernetes.io/name": "app"}), "{template}");
    // Where it is asked for again its steps are there again.
    rollout.release(V40);
    rollout.wait_step(2);
}

#[test]
fn a_picked_version_goes_through_its_steps_and_waits_to_be_promoted() {
    let name = "a_picked_version_goes_through_its_steps_and_waits_to_be_promoted";
    let Some(cluster) = rollouts_or_skip(name) else { return };
    let rollout = Rollout::create(cluster, "argo-pick", V41, &canary());
    rollout.roll(V42);
    let desk = desk(cluster);
    // Shorter than anybody needs to promote it: waiting there is no lack of progress.
    desk.policy("2s", "5s");
    let idle = desk.run(&["plan", "promote", "app", &rollout.only()]).ended(1).json();
    assert!(refusal(&idle).contains("nothing waits there for a promotion"), "{idle}");
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only(), "--to", "v41"]);
    assert_eq!(verbs(&shown), ["restore_revision"], "{shown}");
    assert!(says(&shown, "canary").contains("its canary's 5 steps are honoured"), "{shown}");
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let waits = "its canary waits at step 2 of 5 (20%): promote it";
    wait("what it waits for", PATIENCE, || apply.progress().contains(waits));
    let busy = desk.run(&["plan", "rollback", "app", &rollout.only()]).ended(1).json();
    assert!(refusal(&busy).contains("is driving it"), "{busy}");
    // Longer than its time-out.
    let since = std::time::Instant::now();
    wait("its time-out to pass", PATIENCE, || since.elapsed().as_secs() > 8);

    let (promotion, its_code, shown) = desk.plan(&["promote", "app", &rollout.only()]);
    assert_eq!((verbs(&shown), text(&shown["verb"])), (vec!["promote".to_string()], "promote".to_string()), "{shown}");
    assert!(text(&shown["waves"][0]["steps"][0]["equivalent"]).ends_with("argo rollouts promote app"), "{shown}");
    let done = desk.run(&["apply", &promotion, "--code", &its_code]).operation("done", 0);
    assert!(text(&done["steps"][0]["detail"]).contains("it has left step 2 of 5 (20%)"), "{done}");
    rollout.wait_step(4);
    assert_eq!(rollout.count(V41), 3);
    wait("what it waits for now", PATIENCE, || apply.progress().contains("step 4 of 5 (60%)"));
    desk.plan_and_apply(&["promote", "app", &rollout.only(), "--full"]).operation("done", 0);
    apply.end().operation("done", 0);
    assert_eq!(rollout.images(), [V41; 5]);
}

#[test]
fn what_was_aborted_is_retried() {
    let Some(cluster) = rollouts_or_skip("what_was_aborted_is_retried") else { return };
    let rollout = Rollout::create(cluster, "argo-retry", V41, &canary());
    rollout.release(V42);
    rollout.wait_step(2);
    rollout.patch_status(&json!({"abort": true}));
    rollout.wait_phase("Degraded");
    let desk = desk(cluster);
    let refused = desk.run(&["plan", "rollback", "app", &rollout.only(), "--to", "v42"]).ended(1).json();
    assert!(refusal(&refused).contains("its rollout was aborted"), "{refused}");
    let (plan, code, shown) = desk.plan(&["promote", "app", &rollout.only()]);
    assert!(text(&shown["waves"][0]["steps"][0]["equivalent"]).ends_with("argo rollouts retry rollout app"), "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    rollout.wait_step(2);
    assert_eq!(bodies(&rollout)[0].1["status"], json!({"abort": false}));
    rollout.patch_status(&json!({"abort": true}));
    rollout.wait_phase("Degraded");
    // The way back of what was aborted already is one patch: it is on the stable version.
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only()]);
    assert_eq!(verbs(&shown), ["restore_revision"], "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    rollout.wait_phase("Healthy");
    assert_eq!(rollout.images(), [V41; 5]);
}

#[test]
fn a_rollout_of_ours_is_held_and_let_go() {
    let Some(cluster) = rollouts_or_skip("a_rollout_of_ours_is_held_and_let_go") else { return };
    let rollout = Rollout::create(cluster, "argo-hold", V41, &canary());
    rollout.roll(V42);
    let desk = desk(cluster);
    let (plan, code, _) = desk.plan(&["rollback", "app", &rollout.only(), "--to", "v41"]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    rollout.wait_step(2);
    let operation = text(&desk.operation("it", |_| true)["operation"]);
    let held = desk.run(&["pause", &operation]).operation("paused", 0);
    assert_eq!(
        (&rollout.read()["spec"]["paused"], &held["debts"][0]["what"]),
        (&json!(true), &json!("its rollout is held"))
    );
    let refused = desk.run(&["plan", "promote", "app", &rollout.only()]).ended(1).json();
    assert!(refusal(&refused).contains("its rollout is held"), "{refused}");
    let resume = desk.start(&["resume", &operation]);
    wait("its release", PATIENCE, || rollout.read()["spec"]["paused"].is_null());
    rollout.wait_step(2);
    desk.plan_and_apply(&["promote", "app", &rollout.only(), "--full"]).operation("done", 0);
    resume.end().operation("done", 0);
    apply.end().operation("done", 0);
    assert_eq!(rollout.images(), [V41; 5]);
}

#[test]
fn a_canary_that_somebody_holds_is_aborted_and_let_go_by_its_way_back() {
    let name = "a_canary_that_somebody_holds_is_aborted_and_let_go_by_its_way_back";
    let Some(cluster) = rollouts_or_skip(name) else { return };
    let rollout = Rollout::create(cluster, "argo-held", V41, &canary());
    rollout.release(V42);
    rollout.wait_step(2);
    rollout.patch(&json!({"spec": {"paused": true}}));
    wait("it to be held", PATIENCE, || rollout.read()["status"]["message"] == "manually paused");
    let desk = desk(cluster);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only()]);
    assert_eq!(verbs(&shown), ["end_rollout", "restore_revision"], "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(rollout.read()["spec"]["paused"], Value::Null);
    assert_eq!(rollout.images(), [V41; 5]);
}

#[test]
fn the_way_back_of_a_blue_green_rollout_does_not_wait_for_its_preview() {
    let name = "the_way_back_of_a_blue_green_rollout_does_not_wait_for_its_preview";
    let Some(cluster) = rollouts_or_skip(name) else { return };
    let namespace = "argo-blue";
    cluster.create_namespace(namespace);
    let selector = json!({"app.kubernetes.io/name": "app"});
    let service = json!({"metadata": {"name": "app"}, "spec": {"ports": [{"port": 80}], "selector": selector}});
    cluster.create(&format!("/api/v1/namespaces/{namespace}/services"), &service);
    // What it leaves stays for an hour: nobody waits for that.
    let strategy =
        json!({"blueGreen": {"activeService": "app", "autoPromotionEnabled": false, "scaleDownDelaySeconds": 3600}});
    let rollout = Rollout::create(cluster, namespace, V41, &strategy);
    rollout.release(V42);
    rollout.wait_phase("Paused");
    rollout.patch_status(&json!({"promoteFull": true}));
    rollout.wait_phase("Healthy");
    let desk = desk(cluster);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only()]);
    assert!(says(&shown, "canary").contains("its preview's pause is skipped"), "{shown}");
    let done = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let detail = text(&done["steps"][0]["detail"]);
    assert!(detail.contains("5 of 5 run 9f2c41d0") && detail.contains("5 of the version before stay"), "{detail}");
    let active = cluster.read(&format!("/api/v1/namespaces/{namespace}/services/app"));
    let status = &rollout.read()["status"];
    assert_eq!(active["spec"]["selector"]["rollouts-pod-template-hash"], status["stableRS"]);
    assert_eq!(status["stableRS"], status["currentPodHash"]);
}

#[test]
fn a_template_that_stands_in_a_deployment_is_taken_back_there() {
    let Some(cluster) = rollouts_or_skip("a_template_that_stands_in_a_deployment_is_taken_back_there") else { return };
    let namespace = "argo-ref-back";
    cluster.create_namespace(namespace);
    cluster.create(&deployments(namespace, None), &deployment(namespace, "app", V41, 0, &[]));
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"});
    let rollout =
        Rollout::create_as(cluster, namespace, &json!({"replicas": 5, "workloadRef": reference, "strategy": canary()}));
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": V42}]}}}});
    let path = format!("{}?fieldManager=ci", deployments(namespace, Some("app")));
    assert_eq!(cluster.patch(&path, STRATEGIC_PATCH, &body).0, 200);
    rollout.wait_step(2);
    rollout.patch_status(&json!({"promoteFull": true}));
    rollout.wait_running(V42, 5);
    rollout.wait_phase("Healthy");

    let desk = desk(cluster);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only(), "kind:Rollout"]);
    assert_eq!(verbs(&shown), ["restore_revision", "promote"], "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(rollout.images(), [V41; 5]);
    let asked = &cluster.read(&deployments(namespace, Some("app")))["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(asked["image"], V41);
    let bodies = bodies(&rollout);
    assert_eq!(bodies[0].1["spec"]["template"]["$patch"], "replace", "to the Deployment: {bodies:?}");
    let of_deployment = desk.run(&["plan", "rollback", "app", &rollout.only(), "kind:Deployment"]).ended(1).json();
    assert!(refusal(&of_deployment).contains("Rollout/app uses its template"), "{of_deployment}");
}

#[test]
fn one_pod_of_a_rollout_is_replaced_and_one_image_is_set() {
    let Some(cluster) = rollouts_or_skip("one_pod_of_a_rollout_is_replaced_and_one_image_is_set") else { return };
    let rollout = Rollout::create(cluster, "argo-pods", V41, &canary());
    let desk = desk(cluster);
    let (plan, code, shown) = desk.plan(&["replace", "app", &rollout.only(), "--oldest", "1"]);
    assert_eq!(verbs(&shown), ["evict"], "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &rollout.only(), "--to", V40]);
    assert_eq!(verbs(&shown), ["set_image"], "{shown}");
    assert!(text(&shown["waves"][0]["steps"][0]["equivalent"]).contains("argo rollouts set image app app="), "{shown}");
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    rollout.wait_step(2);
    // What its rollout has not come to is not taken away: it would come again as it is.
    let refused = desk.run(&["plan", "promote", "app", &rollout.only(), "--full"]).ended(0).json();
    assert_eq!(verbs(&refused), ["promote"]);
    desk.plan_and_apply(&["promote", "app", &rollout.only(), "--full"]).operation("done", 0);
    apply.end().operation("done", 0);
    assert_eq!(rollout.images(), [V40; 5]);
}

#[test]
fn nothing_is_promoted_where_nothing_waits() {
    let Some(cluster) = cluster_or_skip("nothing_is_promoted_where_nothing_waits") else { return };
    super::rollback::versions(cluster, "argo-none", 1, &[V41]);
    let desk = desk(cluster);
    let refused = desk.run(&["plan", "promote", "app", "ns:argo-none"]).ended(1).json();
    assert!(refusal(&refused).contains("a Deployment has no steps that wait for a promotion"), "{refused}");
}

#[test]
fn a_canary_is_promoted_and_taken_back_by_keys() {
    let Some(cluster) = rollouts_or_skip("a_canary_is_promoted_and_taken_back_by_keys") else { return };
    let rollout = Rollout::create(cluster, "argo-keys", V41, &canary());
    rollout.release(V42);
    rollout.wait_step(2);
    let desk = desk(cluster);
    let (kubeconfig, config) = (desk.kubeconfig(), desk.config());
    let path = |path: &std::path::Path| path.to_str().expect("plain").to_owned();
    let arguments = ["--kubeconfig", &path(&kubeconfig), "--config", &path(&config)];
    std::fs::create_dir_all(desk.state()).expect("made");
    let mut terminal = Terminal::open(rolldeck(&desk.state(), &arguments), LARGE);
    terminal.see("places 1/1 ok");
    terminal.press("2");
    terminal.press("/ns:argo-keys\r");
    terminal.until("its row", |screen| screen.contains("app"));
    terminal.press("d");
    terminal.see("canary at step 2 of 5, 20%, paused since");
    terminal.press("\u{1b}");
    // An Esc with a letter right behind it is Alt with that letter.
    terminal.until("the list", |screen| !screen.contains("paused since"));
    terminal.press("P");
    terminal.see("promotes step 2 of 5 (20%) to its next step");
    type_code(&mut terminal);
    rollout.wait_step(4);
    terminal.see("1 of 1 step done");
    terminal.press("b");
    terminal.see("is aborted first");
    type_code(&mut terminal);
    terminal.see("2 of 2 steps done");
    rollout.wait_running(V41, 5);
    rollout.wait_phase("Healthy");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
}
