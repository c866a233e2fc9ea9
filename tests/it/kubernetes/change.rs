//! What the provider changes on a real cluster: exactly what was ordered, once, and only while the bound facts hold.

use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::id::WorkloadId;
use rolldeck::domain::image::ImageRef;
use rolldeck::domain::journal::{Call, Receipt};
use rolldeck::domain::observation::{Health, Rollout};
use rolldeck::domain::plan::{Action, CheckVerdict, Paused, Unpause};
use rolldeck::domain::text::Text;
use rolldeck::providers::Answer;
use serde_json::{Value, json};

use super::watched::Watched;
use crate::real::cluster::{Cluster, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments};

const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
const V42: &str =
    "registry.example:5000/shop/app:v42@sha256:c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12";

/// A Deployment at its second version, watched and known whole.
async fn released(cluster: &'static Cluster, namespace: &str, replicas: u32) -> Watched {
    cluster.create_namespace(namespace);
    cluster.create_deployment(&deployment(namespace, "app", V41, replicas, &[]));
    cluster.wait_rolled_out(namespace, "app");
    cluster.set_image(namespace, "app", V42);
    cluster.wait_rolled_out(namespace, "app");
    let mut watched = Watched::start(cluster.kubeconfig(), "prod-eu");
    watched.until_state("live").await;
    let id = watched.id(namespace, "app");
    watched.until("the second version", |fleet| is_settled(fleet, &id, 2)).await;
    watched
}

fn is_settled(fleet: &Fleet, id: &WorkloadId, revisions: usize) -> bool {
    fleet.workload(id).is_some_and(|workload| {
        workload.seen.rollout == Rollout::Stable
            && workload.revisions.len() == revisions
            && fleet.instances_of(workload).count() == workload.seen.desired as usize
    })
}

fn accepted(answer: Answer) -> Receipt {
    match answer {
        Answer::Accepted(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

fn runs(fleet: &Fleet, id: &WorkloadId, digest: &str) -> bool {
    let Some(workload) = fleet.workload(id) else { return false };
    let mut instances = fleet.instances_of(workload);
    let is_there = |instance: &rolldeck::domain::fleet::Instance| {
        let running = instance.seen.containers[0].running.as_ref();
        running.is_some_and(|running| running.distinctive().starts_with(digest))
            && instance.seen.health == Health::Healthy
    };
    is_settled(fleet, id, workload.revisions.len()) && instances.all(is_there)
}

/// What rolldeck changed in a namespace, from the audit log.
fn sent(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    let is_ours = |entry: &Value| {
        entry["objectRef"]["namespace"] == namespace
            && entry["requestURI"].as_str().is_some_and(|uri| uri.contains("fieldManager=rolldeck"))
    };
    cluster.audit().into_iter().filter(is_ours).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_template_goes_back_by_one_request_and_the_fleet_shows_it() {
    let Some(cluster) = cluster_or_skip("an_earlier_template_goes_back_by_one_request_and_the_fleet_shows_it") else {
        return;
    };
    let mut watched = released(cluster, "goes-back", 3).await;
    let note =
        json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:goes-back/app"}}});
    cluster.patch(&deployments("goes-back", Some("app")), STRATEGIC_PATCH, &note);
    let id = watched.id("goes-back", "app");
    watched.until("the annotation", |fleet| fleet.workload(&id).is_some_and(|app| !app.seen.undoers.is_empty())).await;
    let step = watched.restore("goes-back", "app", 1);
    let target = step.bound.clone();
    let receipt = accepted(watched.execute("o-back", Call::Step, &step).await);
    let Action::RestoreRevision { hash, revision, .. } = &step.action else { panic!("a restore") };
    assert_eq!((receipt.template.as_ref(), receipt.notes.len()), (Some(hash), 0));
    watched
        .until("everything on the earlier digest", |fleet| {
            fleet.workload(&id).is_some_and(|app| app.seen.observed_generation >= receipt.generation)
                && runs(fleet, &id, "9f2c41d0")
        })
        .await;
    let app = watched.deployment("goes-back", "app");
    assert_ne!(app.seen.template.hash, target.template);
    assert!(
        watched
            .fleet
            .instances_of(app)
            .all(|instance| instance.seen.owner.as_ref().map(|owner| &owner.uid) == Some(revision))
    );
    assert!(
        app.seen.touched_by.as_deref().is_some_and(|by| by.starts_with("o-back ada@desk ")),
        "{:?}",
        app.seen.touched_by
    );
    assert_eq!(app.seen.owners[0].manager, "rolldeck");
    assert_eq!(app.seen.undoers[0].by, "Argo CD");
    watched
        .until("the revision to have come back", |fleet| {
            fleet.workload(&id).is_some_and(|app| {
                app.revisions.iter().any(|revision| (revision.number, &revision.past_numbers[..]) == (3, &[1][..]))
            })
        })
        .await;
    // It was asked for again just now, not when that version was first made.
    let app = watched.deployment("goes-back", "app");
    let created = app.revisions.iter().find(|found| found.number == 3).and_then(|found| found.created_at);
    assert!(app.seen.requested_since >= created);
    let cause = app.revisions.iter().find_map(|revision| revision.cause.as_ref());
    assert_eq!(cause.map(Text::as_str), Some("rolldeck: ada@desk o-back rollback"));
    crate::real::cluster::wait("the entry in the audit log", crate::real::cluster::PATIENCE, || {
        !sent(cluster, "goes-back").is_empty()
    });
    assert_eq!(sent(cluster, "goes-back").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_moved_is_not_overwritten() {
    let Some(cluster) = cluster_or_skip("a_template_that_moved_is_not_overwritten") else { return };
    let watched = released(cluster, "moved", 2).await;
    let step = watched.restore("moved", "app", 1);
    cluster.set_image("moved", "app", "registry.example:5000/shop/app:v43");
    match watched.execute("o-moved", Call::Step, &step).await {
        Answer::Moved { differences, bound } => {
            assert_eq!(differences, [Text::new("its template was changed")]);
            assert_ne!(bound.template, step.bound.template);
        }
        other => panic!("{other:?}"),
    }
    let pause = json!({"spec": {"paused": true}});
    cluster.patch(&deployments("moved", Some("app")), STRATEGIC_PATCH, &pause);
    let Answer::Moved { differences, bound } = watched.execute("o-moved", Call::Step, &step).await else {
        panic!("moved")
    };
    assert_eq!((differences.len(), bound.paused), (2, Paused::Paused));
    cluster.delete(&deployments("moved", Some("app")));
    let answer = watched.execute("o-moved", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("not sent")), "{answer:?}");
    assert_eq!(sent(cluster, "moved"), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_deployment_is_released_by_the_request_that_takes_it_back() {
    let Some(cluster) = cluster_or_skip("a_held_deployment_is_released_by_the_request_that_takes_it_back") else {
        return;
    };
    let mut watched = released(cluster, "held", 3).await;
    let id = watched.id("held", "app");
    let pause = json!({"spec": {"paused": true}});
    cluster.patch(&deployments("held", Some("app")), STRATEGIC_PATCH, &pause);
    watched
        .until("the pause", |fleet| fleet.workload(&id).is_some_and(|app| app.seen.rollout == Rollout::Paused))
        .await;
    let mut step = watched.restore("held", "app", 1);
    assert_eq!(step.bound.paused, Paused::Paused);
    step.unpause = Unpause::Release;
    accepted(watched.execute("o-held", Call::Step, &step).await);
    watched.until("everything on the earlier digest", |fleet| runs(fleet, &id, "9f2c41d0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brake_holds_our_own_rollout_and_nobody_elses() {
    let Some(cluster) = cluster_or_skip("a_brake_holds_our_own_rollout_and_nobody_elses") else { return };
    let mut watched = released(cluster, "brake", 2).await;
    let id = watched.id("brake", "app");
    let container = Text::new("app");
    let image: ImageRef = "registry.example:5000/shop/app:v43".parse().expect("an image");
    let mut step = watched.step("brake", "app", Action::SetImage { container, image });
    let answer = watched.execute("o-brake", Call::Brake, &step).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("not this operation's")), "{answer:?}");
    let first = accepted(watched.execute("o-brake", Call::Step, &step).await);
    // A brake is bound to what the step has left.
    step.bound.template = first.template.clone().expect("a template");
    let held = accepted(watched.execute("o-brake", Call::Brake, &step).await);
    assert_eq!(held.template, first.template);
    assert!(held.generation > first.generation);
    watched
        .until("the pause", |fleet| fleet.workload(&id).is_some_and(|app| app.seen.rollout == Rollout::Paused))
        .await;
    let again = watched.execute("o-brake", Call::Brake, &step).await;
    assert!(matches!(&again, Answer::Refused(why) if why.contains("held already")), "{again:?}");
    accepted(watched.execute("o-brake", Call::Release, &step).await);
    watched
        .until("the rollout to end", |fleet| {
            fleet.workload(&id).is_some_and(|app| app.requested().is_some_and(|image| image.as_str().ends_with(":v43")))
                && is_settled(fleet, &id, 3)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eviction_obeys_budgets_and_takes_only_the_pod_that_was_meant() {
    let Some(cluster) = cluster_or_skip("an_eviction_obeys_budgets_and_takes_only_the_pod_that_was_meant") else {
        return;
    };
    let mut watched = released(cluster, "evict", 3).await;
    let id = watched.id("evict", "app");
    let budgets = "/apis/policy/v1/namespaces/evict/poddisruptionbudgets";
    cluster.create(
        budgets,
        &json!({"metadata": {"name": "strict"}, "spec": {"minAvailable": 3,
        "selector": {"matchLabels": {"app.kubernetes.io/name": "app"}}}}),
    );
    let path = format!("{budgets}/strict");
    crate::real::cluster::wait("the budget to count", crate::real::cluster::PATIENCE, || {
        let status = &cluster.read(&path)["status"];
        status["currentHealthy"] == 3 && status["disruptionsAllowed"] == 0
    });
    let victim = |watched: &Watched| {
        let app = watched.deployment("evict", "app");
        let first = watched.fleet.instances_of(app).next().expect("three").seen.clone();
        (first.uid.clone(), first.name.clone(), first.containers[0].running.clone())
    };
    let (instance, name, image) = victim(&watched);
    let step = watched.step(
        "evict",
        "app",
        Action::Evict { instance: instance.clone(), name: name.clone(), image: image.clone(), started_at: None },
    );
    let inspection = watched.provider.clone().inspect(step.clone()).await;
    let budget = inspection.checks.iter().find(|check| check.name == "disruption budget").expect("a check");
    assert_eq!(budget.verdict, CheckVerdict::Warn);
    assert!(budget.detail.contains("budget strict allows 0 now (3 healthy, 3 needed)"), "{}", budget.detail);
    assert!(inspection.equivalent.is_some_and(|line| line.contains(&format!("pods/{name}/eviction"))));
    let rehearsal = watched.operator.clone().expect("allowed").rehearse(step.clone()).await;
    assert!(
        rehearsal.checks.iter().any(|check| check.verdict == CheckVerdict::Warn && check.detail.contains("budget"))
    );
    let answer = watched.execute("o-evict", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Blocked(why) if why.contains("needs 3 healthy pods and has 3")), "{answer:?}");

    cluster.delete(&path);
    let other = Action::Evict {
        instance: rolldeck::domain::id::Uid::new("another"),
        name: name.clone(),
        image: image.clone(),
        started_at: None,
    };
    let answer = watched.execute("o-evict", Call::Step, &watched.step("evict", "app", other)).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("already gone")), "{answer:?}");
    let other = Action::Evict { instance: instance.clone(), name: name.clone(), image: None, started_at: None };
    let answer = watched.execute("o-evict", Call::Step, &watched.step("evict", "app", other)).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("another image now")), "{answer:?}");
    accepted(watched.execute("o-evict", Call::Step, &step).await);
    watched
        .until("another in its place", |fleet| {
            let Some(app) = fleet.workload(&id) else { return false };
            fleet.instances_of(app).all(|present| present.seen.uid != instance) && is_settled(fleet, &id, 2)
        })
        .await;
    let answer = watched.execute("o-evict", Call::Step, &step).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("already gone")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inspection_tells_what_goes_back_and_what_is_not_granted() {
    let Some(cluster) = cluster_or_skip("an_inspection_tells_what_goes_back_and_what_is_not_granted") else { return };
    let mut watched = released(cluster, "inspect", 1).await;
    let id = watched.id("inspect", "app");
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "TOKEN", "value": "s3cret-canary"}],
        "resources": {"limits": {"cpu": "1"}}}]}}}});
    cluster.patch(&deployments("inspect", Some("app")), STRATEGIC_PATCH, &patch);
    watched.until("the third version", |fleet| is_settled(fleet, &id, 3)).await;
    let step = watched.restore("inspect", "app", 1);
    let inspection = watched.provider.clone().inspect(step.clone()).await;
    let lines: Vec<&str> = inspection.also_goes_back.iter().map(Text::as_str).collect();
    assert_eq!(
        lines,
        [
            "container app: env TOKEN removed",
            "container app: limits cpu 1 -> none",
            "container app: requests cpu 1 -> none"
        ][..lines.len()]
    );
    assert!(lines.len() >= 2 && !format!("{inspection:?}").contains("s3cret"));
    let equivalent = "kubectl --context prod-eu -n inspect rollout undo deployment/app --to-revision=1";
    assert_eq!(inspection.equivalent.as_deref(), Some(equivalent));
    assert!(inspection.checks.iter().all(|check| check.verdict == CheckVerdict::Pass), "{:?}", inspection.checks);
    let rehearsal = watched.operator.clone().expect("allowed").rehearse(step.clone()).await;
    assert_eq!(rehearsal.refusals, []);
    assert_eq!(rehearsal.checks.len(), 1, "{:?}", rehearsal.checks);
    // A dry run changes nothing.
    assert_eq!(cluster.read(&deployments("inspect", Some("app")))["metadata"]["generation"], 3);

    let rules = json!([{"apiGroups": ["", "apps"], "resources": ["pods", "deployments", "replicasets"], "verbs": ["get", "list", "watch"]}]);
    cluster.grant(User::Viewer, Some("inspect"), &rules);
    crate::real::cluster::wait("the role to count", crate::real::cluster::PATIENCE, || {
        cluster.request(User::Viewer, "GET", &deployments("inspect", None), None).0 == 200
    });
    let settings = json!({"context": "prod-eu-viewer", "namespaces": ["inspect"]});
    let viewer = super::watched::connect(cluster.kubeconfig(), settings, rolldeck::providers::Mutations::Allowed);
    let inspection = viewer.provider.inspect(step.clone()).await;
    assert!(
        inspection
            .checks
            .iter()
            .any(|check| check.verdict == CheckVerdict::Fail && check.detail.contains("patch deployments"))
    );
    let operator = viewer.operator.expect("allowed");
    assert!(operator.clone().rehearse(step.clone()).await.refusals[0].0.contains("forbidden"));
    let order = rolldeck::providers::Order {
        operation: rolldeck::domain::id::OperationId(Text::new("o-viewer")),
        who: Text::new("ada@desk"),
        call: Call::Step(step.id),
        step,
    };
    let answer = operator.execute(order).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("operator's role")), "{answer:?}");
}
