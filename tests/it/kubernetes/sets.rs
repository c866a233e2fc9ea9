//! StatefulSets and DaemonSets on a real cluster: versions, and which instance is of which.

use rolldeck::domain::fleet::{Fleet, Workload};
use rolldeck::domain::id::{WorkloadId, WorkloadKind};
use rolldeck::domain::journal::Call;
use rolldeck::domain::plan::{Action, Goto, PlanRequest, Reach, Scope, Step, compose};
use rolldeck::domain::policy::{PlacePolicy, Policy};
use rolldeck::domain::text::Text;
use rolldeck::providers::Answer;
use serde_json::json;

use super::watched::Watched;
use crate::real::cluster::{Cluster, STRATEGIC_PATCH, cluster_or_skip};

const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
const V42: &str =
    "registry.example:5000/shop/app:v42@sha256:c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12";

fn path(namespace: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/app")
}

fn ask_for(cluster: &Cluster, namespace: &str, image: &str) {
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
    let (status, answer) = cluster.patch(&format!("{}?fieldManager=ci", path(namespace)), STRATEGIC_PATCH, &body);
    assert_eq!(status, 200, "{answer}");
}

/// A StatefulSet of three whose last pod alone is at v42: its partition holds the others back.
async fn halfway(cluster: &'static Cluster, namespace: &str) -> (Watched, WorkloadId) {
    cluster.create_namespace(namespace);
    let labels = json!({"app.kubernetes.io/name": "app"});
    let set = json!({"metadata": {"name": "app", "labels": labels}, "spec": {"replicas": 3, "serviceName": "app",
        "selector": {"matchLabels": labels},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": V41}]}}}});
    cluster.create(&format!("/apis/apps/v1/namespaces/{namespace}/statefulsets"), &set);
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu");
    watched.until_state("live").await;
    let id = WorkloadId { kind: WorkloadKind::StatefulSet, ..watched.id(namespace, "app") };
    watched.until("all at v41", |fleet| healthy(fleet, &id) == 3).await;
    ask_for(cluster, namespace, V42);
    let is_there = |fleet: &Fleet| {
        fleet.workload(&id).is_some_and(|app| app.revisions.len() == 2 && made(fleet, app) == [1, 1, 2])
            && healthy(fleet, &id) == 3
    };
    watched.until("the last one at v42", is_there).await;
    (watched, id)
}

fn healthy(fleet: &Fleet, id: &WorkloadId) -> u32 {
    fleet.workload(id).map_or(0, |app| app.judgement.tally.healthy)
}

/// The number of the version of each instance, by name.
fn made(fleet: &Fleet, app: &Workload) -> Vec<u64> {
    let counted = fleet.instances_of(app).filter(|instance| instance.seen.phase.is_counted());
    let mut rows: Vec<(Text, u64)> = counted
        .map(|instance| {
            let revision = app.revisions.iter().find(|revision| revision.made(&instance.seen));
            (instance.seen.name.clone(), revision.map_or(0, |revision| revision.number))
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, number)| number).collect()
}

pub(super) fn planned(watched: &Watched, id: &WorkloadId, goto: Goto) -> Step {
    let request = PlanRequest {
        reach: Reach::Narrow,
        ..PlanRequest::of(goto, Scope::Exactly(vec![id.clone()]), std::time::Duration::from_secs(600))
    };
    let policy = Policy { base: PlacePolicy { floor_percent: 0, ..PlacePolicy::default() }, ..Policy::default() };
    let now = watched.fleet.place(&watched.place).and_then(|place| place.heard_at).expect("heard");
    let plan = compose(&request, &watched.fleet, &policy, now, &|_| None);
    assert_eq!(plan.refusals, []);
    plan.waves[0].steps[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_of_a_set_is_known_by_the_version_that_made_it() {
    let Some(cluster) = cluster_or_skip("each_instance_of_a_set_is_known_by_the_version_that_made_it") else { return };
    let (watched, id) = halfway(cluster, "set-versions").await;
    let app = watched.fleet.workload(&id).expect("there");
    assert!(watched.fleet.instances_of(app).all(|instance| instance.seen.touched.is_none()));
    let versions: Vec<(u64, Option<&str>, bool)> = app
        .judgement
        .versions
        .iter()
        .map(|version| (version.number, version.version.as_deref(), version.is_running))
        .collect();
    assert_eq!(versions, [(2, Some("v42"), true), (1, Some("v41"), true)]);
    assert_eq!(app.last_good().map(|good| good.number), Some(1));
    let newest = app.revisions.iter().find(|revision| revision.number == 2).and_then(|revision| revision.created_at);
    assert_eq!(app.seen.requested_since, newest, "since its version was made, not since the set was");
    assert_eq!(app.seen.owners[0].manager, "ci");
    assert_eq!(app.seen.strategy.describe(), "RollingUpdate, max unavailable 1, partition 2: those below it stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_moved_is_not_overwritten() {
    let Some(cluster) = cluster_or_skip("a_set_that_moved_is_not_overwritten") else { return };
    let (watched, id) = halfway(cluster, "set-moved").await;
    let step = planned(&watched, &id, Goto::LastGood);
    assert!(matches!(step.action, Action::RestoreRevision { number: 1, .. }), "{step:?}");
    let partition = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}});
    cluster.patch(&path("set-moved"), STRATEGIC_PATCH, &partition);
    match watched.execute("o-set", Call::Step, &step).await {
        Answer::Moved { differences, .. } => {
            assert_eq!(differences, [Text::new("its update strategy was changed")]);
        }
        other => panic!("{other:?}"),
    }
    ask_for(cluster, "set-moved", "registry.example:5000/shop/app:v43");
    match watched.execute("o-set", Call::Step, &step).await {
        Answer::Moved { differences, .. } => assert_eq!(differences[0], "its template was changed"),
        other => panic!("{other:?}"),
    }
    // Nothing that is not ours is held.
    let answer = watched.execute("o-set", Call::Brake, &step).await;
    assert!(matches!(&answer, Answer::Refused(_)), "{answer:?}");
    let image = cluster.read(&path("set-moved"))["spec"]["template"]["spec"]["containers"][0]["image"].take();
    assert_eq!(image, "registry.example:5000/shop/app:v43");
}
