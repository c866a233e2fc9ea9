//! CronJobs on a real cluster: their runs are their versions, and a template that moved is not overwritten.

use rolldeck::domain::drift::Verdict;
use rolldeck::domain::fleet::{Fleet, Workload};
use rolldeck::domain::id::{WorkloadId, WorkloadKind};
use rolldeck::domain::journal::Call;
use rolldeck::domain::plan::{Action, Brake, Goto};
use rolldeck::domain::text::Text;
use rolldeck::providers::Answer;
use serde_json::{Value, json};

use super::sets::planned;
use super::watched::Watched;
use crate::real::cluster::{Cluster, STRATEGIC_PATCH, cluster_or_skip};

const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
const V42: &str =
    "registry.example:5000/shop/app:v42@sha256:c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12";

fn path(namespace: &str) -> String {
    format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/app")
}

fn change(cluster: &Cluster, namespace: &str, body: &Value) {
    let (status, answer) = cluster.patch(&format!("{}?fieldManager=ci", path(namespace)), STRATEGIC_PATCH, body);
    assert_eq!(status, 200, "{answer}");
}

fn asks_for(image: &str) -> Value {
    let template = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
    json!({"spec": {"jobTemplate": {"spec": {"template": template}}}})
}

fn runs<'a>(fleet: &'a Fleet, id: &WorkloadId) -> Vec<&'a Text> {
    let Some(app) = fleet.workload(id) else { return Vec::new() };
    let counted = fleet.instances_of(app).filter(|instance| instance.seen.phase.is_counted());
    counted.filter(|instance| instance.verdict == Verdict::Mixed).map(|instance| &instance.reason).collect()
}

fn is_of_its_template(app: &Workload) -> bool {
    app.revisions.iter().any(|run| run.template.hash == app.seen.template.hash)
}

/// A CronJob whose controller has made a run of v41, without any label; then it asks for v42.
async fn after_a_run(cluster: &'static Cluster, namespace: &str) -> (Watched, WorkloadId) {
    cluster.create_namespace(namespace);
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": V41}]});
    let cron = json!({"metadata": {"name": "app"}, "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Forbid",
        "jobTemplate": {"spec": {"template": {"spec": pod}}}}});
    cluster.create(&format!("/apis/batch/v1/namespaces/{namespace}/cronjobs"), &cron);
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu");
    watched.until_state("live").await;
    let id = WorkloadId { kind: WorkloadKind::CronJob, ..watched.id(namespace, "app") };
    let has_run = |fleet: &Fleet| {
        fleet.workload(&id).is_some_and(|app| is_of_its_template(app) && app.judgement.tally.healthy == 1)
    };
    watched.until("the first run", has_run).await;
    let app = watched.fleet.workload(&id).expect("there");
    assert_eq!((app.judgement.verdict, app.judgement.tally.ok), (Verdict::Ok, 1), "{:?}", app.judgement.reason);
    change(cluster, namespace, &asks_for(V42));
    watched.until("the run to be an earlier one", |fleet| runs(fleet, &id).len() == 1).await;
    (watched, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_a_version_and_a_cron_job_that_moved_is_not_overwritten() {
    let name = "a_run_is_a_version_and_a_cron_job_that_moved_is_not_overwritten";
    let Some(cluster) = cluster_or_skip(name) else { return };
    let namespace = "cron-moved";
    let (mut watched, id) = after_a_run(cluster, namespace).await;
    assert_eq!(runs(&watched.fleet, &id), ["a run of an earlier version; it is left to end"]);
    let app = watched.fleet.workload(&id).expect("there");
    assert_eq!((app.judgement.tally.off(), app.judgement.is_off()), (0, false));
    assert_eq!(app.seen.owners.iter().map(|owner| owner.manager.as_str()).collect::<Vec<&str>>(), ["ci"]);
    let good = app.last_good().expect("the run");
    assert_eq!((good.version.as_deref(), good.is_running), (Some("v41"), true));

    let step = planned(&watched, &id, Goto::LastGood);
    assert!(matches!(step.action, Action::RestoreRevision { .. }) && matches!(step.brake, Brake::None(_)), "{step:?}");
    change(cluster, namespace, &asks_for("registry.example:5000/shop/app:v43"));
    match watched.execute("o-cron", Call::Step, &step).await {
        Answer::Moved { differences, .. } => assert_eq!(differences[0], "its template was changed"),
        other => panic!("{other:?}"),
    }
    let answer = watched.execute("o-cron", Call::Brake, &step).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("can't be held")), "{answer:?}");
    let asked = || cluster.read(&path(namespace))["spec"]["jobTemplate"]["spec"]["template"].take();
    assert_eq!(asked()["spec"]["containers"][0]["image"], "registry.example:5000/shop/app:v43");

    // Other fields may move: the version is put back, and is the run's to the last label.
    change(cluster, namespace, &json!({"spec": {"suspend": true}}));
    let is_v43 = |fleet: &Fleet| {
        fleet.workload(&id).and_then(|app| app.requested().map(|image| image.as_str().ends_with("v43"))) == Some(true)
    };
    watched.until("v43 to be asked for", is_v43).await;
    let step = planned(&watched, &id, Goto::LastGood);
    let answer = watched.execute("o-cron", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Accepted(_)), "{answer:?}");
    assert_eq!(asked()["spec"]["containers"][0]["image"], V41);
    assert!(asked()["metadata"]["labels"].is_null(), "{}", asked());
    watched.until("its run to be of its template", |fleet| fleet.workload(&id).is_some_and(is_of_its_template)).await;
    let touched = watched.fleet.workload(&id).and_then(|app| app.seen.touched_by.clone()).unwrap_or_default();
    assert!(touched.starts_with("o-cron "), "{touched}");
}
