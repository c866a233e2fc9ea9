//! Argo Rollouts with their real controller: where they stand among their steps, what they ask for, what they take.

use rolldeck::domain::fleet::{Fleet, Workload};
use rolldeck::domain::id::{WorkloadId, WorkloadKind};
use rolldeck::domain::journal::Call;
use rolldeck::domain::observation::{Halt, Rollout as State};
use rolldeck::domain::plan::{Action, Goto, Promotion, Stride};
use rolldeck::domain::text::Text;
use rolldeck::providers::{Answer, Mutations};
use serde_json::{Value, json};

use super::sets::planned;
use super::watched::Watched;
use crate::real::cluster::{Cluster, MERGE_PATCH, STRATEGIC_PATCH, User, deployment, deployments, pair_or_skip};
use crate::real::rollouts::{Rollout, canary, rollouts, rollouts_or_skip};

const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
const V42: &str =
    "registry.example:5000/shop/app:v42@sha256:c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12";

async fn watched(cluster: &'static Cluster, namespace: &str) -> (Watched, WorkloadId) {
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-argo");
    watched.until_state("live").await;
    let id = WorkloadId { kind: WorkloadKind::Rollout, ..watched.id(namespace, "app") };
    (watched, id)
}

fn halt(app: &Workload) -> Option<&Halt> {
    app.seen.canary.as_ref()?.halt.as_ref()
}

/// Whether it waits at that step.
fn waits_at(fleet: &Fleet, id: &WorkloadId, step: &str) -> bool {
    let halt = fleet.workload(id).and_then(halt);
    matches!(halt, Some(Halt::Pause { what, .. }) if what.starts_with(step))
}

fn versions(app: &Workload) -> Vec<(u64, Option<&str>, bool)> {
    let versions = app.judgement.versions.iter();
    versions.map(|version| (version.number, version.version.as_deref(), version.is_running)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_in_flight_shows_its_step_its_share_and_both_versions() {
    let Some(cluster) = rollouts_or_skip("a_canary_in_flight_shows_its_step_its_share_and_both_versions") else {
        return;
    };
    let rollout = Rollout::create(cluster, "argo-flight", V41, &canary());
    let (mut watched, id) = watched(cluster, "argo-flight").await;
    let is_settled = |fleet: &Fleet| {
        fleet.workload(&id).is_some_and(|app| app.judgement.tally.healthy == 5 && app.judgement.tally.ok == 5)
    };
    watched.until("all at v41", is_settled).await;
    let app = watched.fleet.workload(&id).expect("there");
    assert_eq!((&app.seen.rollout, &app.seen.running, halt(app)), (&State::Stable, &None, None));
    assert_eq!(versions(app), [(1, Some("v41"), true)], "what it asks for is known though its defaults are left out");
    assert_eq!(app.seen.strategy.describe(), "Canary, max unavailable 25%, max surge 25%");

    rollout.release(V42);
    rollout.wait_step(2);
    watched.until("it at step 2", |fleet| waits_at(fleet, &id, "step 2 of 5") && healthy(fleet, &id) == 5).await;
    let app = watched.fleet.workload(&id).expect("there");
    assert_eq!(halt(app).map(|halt| halt.what().as_str()), Some("step 2 of 5 (20%)"));
    let what = app.seen.running.as_ref().map(|running| running.what.as_str()).expect("in flight");
    assert!(what.starts_with("canary at step 2 of 5, 20%, paused since 20"), "{what}");
    assert_eq!(app.seen.rollout, State::Progressing, "nobody holds it");
    assert_eq!(versions(app), [(2, Some("v42"), true), (1, Some("v41"), true)]);
    let stable = app.revisions.iter().find(|revision| revision.number == 1).map(|old| &old.template.hash);
    assert_eq!(app.seen.canary.as_ref().and_then(|canary| canary.stable.as_ref()), stable);
    assert_eq!(app.last_good().map(|good| good.number), Some(1));
    assert_eq!(app.seen.owners[0].manager, "ci");
    assert_eq!((app.judgement.tally.mixed, app.judgement.tally.off()), (4, 0));
    // Every row once: its ReplicaSets are versions, no workloads.
    let rows = watched.fleet.workloads().filter(|row| row.id.namespace.as_deref() == Some("argo-flight"));
    assert_eq!(rows.count(), 1);

    rollout.patch(&json!({"spec": {"paused": true}}));
    watched.until("it held", |fleet| fleet.workload(&id).is_some_and(|app| app.seen.rollout == State::Paused)).await;
    rollout.patch(&json!({"spec": {"paused": null}}));
    rollout.patch_status(&json!({"abort": true}));
    let is_aborted = |fleet: &Fleet| {
        let app = fleet.workload(&id);
        app.is_some_and(|app| matches!((&app.seen.rollout, halt(app)), (State::Failed(_), Some(Halt::Aborted { .. }))))
    };
    watched.until("it aborted", is_aborted).await;
    let app = watched.fleet.workload(&id).expect("there");
    assert!(matches!(&app.seen.rollout, State::Failed(why) if why.contains("aborted")), "{:?}", app.seen.rollout);
    assert_eq!(app.seen.running, None, "it runs no more");
}

fn healthy(fleet: &Fleet, id: &WorkloadId) -> u32 {
    fleet.workload(id).map_or(0, |app| app.judgement.tally.healthy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_lets_go_the_pause_that_it_was_decided_at_and_no_other() {
    let name = "a_promotion_lets_go_the_pause_that_it_was_decided_at_and_no_other";
    let Some(cluster) = rollouts_or_skip(name) else { return };
    let rollout = Rollout::create(cluster, "argo-promote", V41, &canary());
    rollout.release(V42);
    rollout.wait_step(2);
    let (mut watched, id) = watched(cluster, "argo-promote").await;
    watched.until("it at step 2", |fleet| waits_at(fleet, &id, "step 2 of 5")).await;
    let step = planned(&watched, &id, Goto::Promote(Stride::Next));
    assert!(matches!(&step.action, Action::Promote { promotion: Promotion::Next, halt: Some(_), .. }), "{step:?}");
    let answer = watched.execute("o-argo", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Accepted(_)), "{answer:?}");
    rollout.wait_step(4);
    // It was decided at another pause: this one nobody has looked at.
    match watched.execute("o-argo", Call::Step, &step).await {
        Answer::Moved { differences, .. } => {
            assert!(differences[0].starts_with("it waits elsewhere now: step 4 of 5"), "{differences:?}");
        }
        other => panic!("{other:?}"),
    }
    rollout.wait_step(4);
    watched.until("it at step 4", |fleet| waits_at(fleet, &id, "step 4 of 5 (60%)")).await;
    let step = planned(&watched, &id, Goto::Promote(Stride::Full));
    let answer = watched.execute("o-argo", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Accepted(_)), "{answer:?}");
    rollout.wait_running(V42, 5);
    rollout.wait_phase("Healthy");
    match watched.execute("o-argo", Call::Step, &step).await {
        Answer::Moved { differences, .. } => {
            assert_eq!(differences[0], "the rollout that ran has come to its end", "{differences:?}");
        }
        other => panic!("{other:?}"),
    }
    // The next release goes through its steps: nothing was kept that would skip them.
    rollout.release(V41);
    rollout.wait_step(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_waits_for_its_promotion() {
    let Some(cluster) = rollouts_or_skip("a_preview_waits_for_its_promotion") else { return };
    cluster.create_namespace("argo-preview");
    let service = json!({"metadata": {"name": "app"}, "spec": {"ports": [{"port": 80}], "selector": {"app.kubernetes.io/name": "app"}}});
    cluster.create("/api/v1/namespaces/argo-preview/services", &service);
    let strategy =
        json!({"blueGreen": {"activeService": "app", "autoPromotionEnabled": false, "scaleDownDelaySeconds": 1}});
    let rollout = Rollout::create(cluster, "argo-preview", V41, &strategy);
    rollout.release(V42);
    rollout.wait_phase("Paused");
    let (mut watched, id) = watched(cluster, "argo-preview").await;
    watched.until("its preview", |fleet| waits_at(fleet, &id, "its preview")).await;
    let app = watched.fleet.workload(&id).expect("there");
    let what = app.seen.running.as_ref().map(|running| running.what.as_str()).expect("in flight");
    assert!(what.starts_with("preview of ") && what.contains(", paused since 20"), "{what}");
    assert_eq!(app.seen.strategy.kind, "BlueGreen");
    let step = planned(&watched, &id, Goto::Promote(Stride::Next));
    let answer = watched.execute("o-blue", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Accepted(_)), "{answer:?}");
    rollout.wait_running(V42, 5);
    let is_over = |fleet: &Fleet| {
        let app = fleet.workload(&id).expect("there");
        app.seen.rollout == State::Stable && app.seen.running.is_none() && app.judgement.tally.ok == 5
    };
    watched.until("its end", is_over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_refers_to_a_deployment_asks_for_what_that_one_does() {
    let name = "a_rollout_that_refers_to_a_deployment_asks_for_what_that_one_does";
    let Some(cluster) = rollouts_or_skip(name) else { return };
    let namespace = "argo-refers";
    cluster.create_namespace(namespace);
    cluster.create(&deployments(namespace, None), &deployment(namespace, "app", V41, 0, &[]));
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"});
    let rollout =
        Rollout::create_as(cluster, namespace, &json!({"replicas": 5, "workloadRef": reference, "strategy": canary()}));
    rollout.wait_running(V41, 5);
    let (mut watched, id) = watched(cluster, namespace).await;
    let is_settled = |fleet: &Fleet| fleet.workload(&id).is_some_and(|app| app.judgement.tally.ok == 5);
    watched.until("all at v41", is_settled).await;
    let of_deployment = watched.deployment(namespace, "app");
    assert_eq!((of_deployment.seen.desired, of_deployment.judgement.tally.instances), (0, 0), "no instance twice");
    let why = of_deployment.seen.inoperable.as_deref().unwrap_or_default();
    assert!(why.starts_with("Rollout/app uses its template"), "{why}");

    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": V42}]}}}});
    let path = format!("{}?fieldManager=ci", deployments(namespace, Some("app")));
    assert_eq!(cluster.patch(&path, STRATEGIC_PATCH, &body).0, 200);
    rollout.wait_step(2);
    watched.until("it at step 2", |fleet| waits_at(fleet, &id, "step 2 of 5")).await;
    let app = watched.fleet.workload(&id).expect("there");
    assert_eq!(versions(app), [(2, Some("v42"), true), (1, Some("v41"), true)]);
    assert_eq!(app.seen.owners[0].manager, "ci");
    let other = json!({"metadata": {"name": "other"}, "spec": {"replicas": 1, "strategy": canary(),
        "workloadRef": {"apiVersion": "v1", "kind": "PodTemplate", "name": "none"}}});
    cluster.create(
        &rollouts(namespace, None),
        &json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": other["metadata"], "spec": other["spec"]}),
    );
    let other = WorkloadId { name: Text::new("other"), ..id.clone() };
    watched.until("the other one", |fleet| fleet.workload(&other).is_some()).await;
    let why = watched.fleet.workload(&other).and_then(|other| other.seen.inoperable.clone()).unwrap_or_default();
    assert!(why.starts_with("its template is that of PodTemplate/none"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_rollouts_lacks_nothing() {
    let Some((_, us)) = pair_or_skip("a_cluster_without_rollouts_lacks_nothing") else { return };
    let rules = json!([{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["batch"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    us.grant(User::Viewer, None, &rules);
    // Who may not list them is refused whether they are there or not.
    for user in [User::Admin, User::Viewer] {
        let context = us.context(user);
        let mut watched = Watched::start_with(us.kubeconfig(), json!({"context": context}), Mutations::Allowed);
        watched.until_state("live").await;
        let place = watched.fleet.place(&watched.place).expect("there");
        let limits: Vec<&str> = place.limits.iter().map(|(source, _)| source.0).collect();
        assert!(!limits.contains(&"rollouts"), "{limits:?}");
        watched.until("who we are", has_identity).await;
        let can = format!("{:?}", watched.fleet.place(&watched.place).map(|place| place.identity.clone()));
        assert!(!can.contains("Rollouts"), "{can}");
    }
}

fn has_identity(fleet: &Fleet) -> bool {
    fleet.places().iter().any(|place| !place.identity.can.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollouts_that_may_not_be_listed_are_a_limit_where_there_are_some() {
    let name = "rollouts_that_may_not_be_listed_are_a_limit_where_there_are_some";
    let Some(cluster) = rollouts_or_skip(name) else { return };
    Rollout::create(cluster, "argo-limit", V41, &canary());
    let rules: Value = json!([{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    cluster.grant(User::Shop, None, &rules);
    let context = cluster.context(User::Shop);
    let mut watched = Watched::start_with(cluster.kubeconfig(), json!({"context": context}), Mutations::Allowed);
    watched.until_state("live").await;
    let is_limited = |fleet: &Fleet| {
        fleet.places().iter().any(|place| place.limits.iter().any(|(source, _)| source.0 == "rollouts"))
    };
    watched.until("the limit", is_limited).await;
    // Its ReplicaSet stands for itself, and says whose it is.
    let is_of = |row: &&Workload| row.id.namespace.as_deref() == Some("argo-limit");
    watched
        .until("its pods", |fleet| fleet.workloads().find(is_of).is_some_and(|row| row.judgement.tally.healthy == 5))
        .await;
    let row = watched.fleet.workloads().find(is_of).expect("there");
    assert_eq!((row.id.kind, row.seen.service.as_str()), (WorkloadKind::ReplicaSet, "app"));
    assert!(row.seen.inoperable.as_ref().is_some_and(|why| why.contains("Rollout/app owns it")), "{:?}", row.seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_has_changed_is_not_overwritten() {
    let Some(cluster) = rollouts_or_skip("what_somebody_else_has_changed_is_not_overwritten") else { return };
    let rollout = Rollout::create(cluster, "argo-moved", V41, &canary());
    rollout.roll(V42);
    let (mut watched, id) = watched(cluster, "argo-moved").await;
    let is_settled = |fleet: &Fleet| {
        fleet.workload(&id).is_some_and(|app| app.judgement.tally.ok == 5 && app.seen.rollout == State::Stable)
    };
    watched.until("all at v42", is_settled).await;
    let step = planned(&watched, &id, Goto::Revision(1));
    rollout.release("registry.example:5000/shop/app:v43");
    rollout.wait_step(2);
    match watched.execute("o-moved", Call::Step, &step).await {
        Answer::Moved { differences, .. } => assert_eq!(differences[0], "its template was changed", "{differences:?}"),
        other => panic!("{other:?}"),
    }
    let answer = watched.execute("o-moved", Call::Brake, &step).await;
    assert!(matches!(&answer, Answer::Refused(_)), "{answer:?}");
    let path = rollouts("argo-moved", Some("app"));
    assert_eq!(cluster.patch(&path, MERGE_PATCH, &json!({})).0, 200);
    assert_eq!(rollout.read()["spec"]["paused"], Value::Null);
}
