//! CronJobs: the way back is what the next run starts, what runs now is left to end, and the drift of a next run is seen.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use super::desk::{Desk, V40, V41, V42, changes, text};
use super::relay::{Keep, Relay};
use super::sets::verbs;
use crate::real::cluster::{Cluster, JSON_PATCH, MERGE_PATCH, PATIENCE, STRATEGIC_PATCH, User, cluster_or_skip, wait};

/// A CronJob `app` that starts nothing by itself while a test runs; its runs are made by the test, as its controller would.
struct Cron {
    cluster: &'static Cluster,
    namespace: &'static str,
}

impl Cron {
    /// At v41. `notes` are annotations of its pods.
    fn create(cluster: &'static Cluster, namespace: &'static str, notes: &Value) -> Cron {
        cluster.create_namespace(namespace);
        let labels = json!({"app.kubernetes.io/name": "app"});
        let template = json!({"metadata": {"labels": labels, "annotations": notes},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": V41}]}});
        let cron = json!({"metadata": {"name": "app", "labels": labels},
            "spec": {"schedule": "0 0 29 2 *", "jobTemplate": {"spec": {"template": template}}}});
        cluster.create(&format!("/apis/batch/v1/namespaces/{namespace}/cronjobs"), &cron);
        Cron { cluster, namespace }
    }

    fn read(&self) -> Value {
        self.cluster.read(&format!("/apis/batch/v1/namespaces/{}/cronjobs/app", self.namespace))
    }

    fn asked(&self) -> Value {
        self.read()["spec"]["jobTemplate"]["spec"]["template"].take()
    }

    fn release(&self, image: &str) {
        let template = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
        let body = json!({"spec": {"jobTemplate": {"spec": {"template": template}}}});
        let path = format!("/apis/batch/v1/namespaces/{}/cronjobs/app?fieldManager=ci", self.namespace);
        let (status, answer) = self.cluster.patch(&path, STRATEGIC_PATCH, &body);
        assert_eq!(status, 200, "{answer}");
    }

    /// Starts a run of what it asks for now; waits for its pod to be there, running or at its end.
    fn run(&self, name: &str) {
        let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "app", "controller": true,
            "uid": self.read()["metadata"]["uid"]});
        let job = json!({"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {"backoffLimit": 0, "template": self.asked()}});
        self.cluster.create(&format!("/apis/batch/v1/namespaces/{}/jobs", self.namespace), &job);
        wait("the pod of the run", PATIENCE, || {
            self.pods().iter().any(|(job, phase, _)| job == name && (phase == "Running" || phase == "Succeeded"))
        });
    }

    /// Run, phase and uid of each pod, by run.
    fn pods(&self) -> Vec<(String, String, String)> {
        let pods = self.cluster.pods(self.namespace, "app");
        let mut rows: Vec<(String, String, String)> = pods
            .iter()
            .map(|pod| {
                let run = text(&pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]);
                let phase = pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
                (run, phase, text(&pod["metadata"]["uid"]))
            })
            .collect();
        rows.sort();
        rows
    }

    fn only(&self) -> String {
        format!("ns:{}", self.namespace)
    }
}

/// Has a shell run the command with a kubectl that reads the run and keeps the patch, and the server go through that patch.
fn check_command(cron: &Cron, command: &str) {
    let folder = tempfile::tempdir().expect("a directory");
    let at = |name: &str| folder.path().join(name);
    let template =
        cron.cluster.read(&format!("/apis/batch/v1/namespaces/{}/jobs/app-1", cron.namespace))["spec"]["template"]
            .take();
    fs::write(at("template"), template.to_string()).expect("written");
    let script = "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in\n*' get job/app-1 '*) cat \"${0%/*}/template\" ;;\n\
        *) printf %s \"$last\" > \"${0%/*}/patch\" ;;\nesac\n";
    fs::write(at("kubectl"), script).expect("written");
    fs::set_permissions(at("kubectl"), Permissions::from_mode(0o755)).expect("it is ours");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new("sh").args(["-c", command]).env("PATH", path).status().expect("there is a shell");
    assert!(status.success(), "{command}");
    let patch = serde_json::from_slice(&fs::read(at("patch")).expect("readable")).expect("JSON");
    let path = format!("/apis/batch/v1/namespaces/{}/cronjobs/app?dryRun=All", cron.namespace);
    let (status, answer) = cron.cluster.patch(&path, JSON_PATCH, &patch);
    assert_eq!(status, 200, "{answer}");
    let put = &answer["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!(put["spec"]["containers"][0]["image"], V41);
    assert_eq!(put["metadata"]["labels"], json!({"app.kubernetes.io/name": "app"}));
}

fn says(plan: &Value) -> String {
    text(&plan["refusals"][0]["reason"])
}

#[test]
fn a_cron_job_goes_back_and_what_runs_now_is_left_to_end() {
    let name = "a_cron_job_goes_back_and_what_runs_now_is_left_to_end";
    let Some(cluster) = cluster_or_skip(name) else { return };
    let cron = Cron::create(cluster, "cron-back", &json!({}));
    cron.run("app-1");
    cron.release(V42);
    cron.run("app-2");
    cron.run("app-3");
    let before = cron.pods();
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let refused = desk.run(&["plan", "replace", "app", &cron.only()]).ended(1).json();
    assert!(says(&refused).contains("a CronJob replaces nothing: what runs now is left to end"), "{refused}");

    let (plan, code, shown) = desk.plan(&["rollback", "app", &cron.only()]);
    assert_eq!(verbs(&shown), ["restore_revision"], "{shown}");
    let step = &shown["waves"][0]["steps"][0];
    assert_eq!((&step["from"]["version"], &step["to"]["version"]), (&json!("v42"), &json!("v41")), "{step}");
    let command = text(&step["equivalent"]);
    assert!(command.contains("patch cronjob/app --type=json") && command.contains("get job/app-1"), "{command}");
    check_command(&cron, &command);
    assert!(shown.to_string().contains("its next run is the first that changes"), "{shown}");
    assert_eq!(step["also_goes_back"], json!([]), "the labels of a run are no part of its version");
    assert_eq!(changes(cluster, cron.namespace).len(), 0, "a plan changes nothing");

    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    let detail = text(&operation["steps"][0]["detail"]);
    assert!(detail.contains("the next run starts") && detail.contains("2 instances of an earlier version"), "{detail}");
    assert_eq!(operation["debts"], json!([]));
    let changes = changes(cluster, cron.namespace);
    assert_eq!(changes.len(), 1, "{changes:?}");
    let body = &changes[0]["requestObject"];
    assert_eq!(body["metadata"]["uid"], cron.read()["metadata"]["uid"]);
    assert!(body["metadata"]["resourceVersion"].is_string(), "{body}");
    assert!(body["metadata"]["annotations"]["rolldeck.dev/operation"].is_string(), "{body}");
    let put = &body["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!((&put["$patch"], &put["spec"]["containers"][0]["image"]), (&json!("replace"), &json!(V41)));
    assert_eq!(put["metadata"]["labels"], json!({"app.kubernetes.io/name": "app"}));
    assert_eq!(cron.pods(), before, "what runs is left alone");

    // Nothing is off: two runs are of an earlier version, and end by themselves.
    let drift = desk.run(&["drift", &cron.only()]).ended(0).json();
    let row = &drift["rows"][0];
    assert_eq!((&row["verdict"], &row["off"]), (&json!("mixed"), &json!(0)), "{row}");
    assert_eq!(row["reason"], "a run of an earlier version; it is left to end");
    // The way back of the operation is the version that it went from.
    let (_, _, reverse) = desk.plan(&["reverse", &text(&operation["operation"])]);
    assert_eq!(reverse["waves"][0]["steps"][0]["to"]["version"], "v42", "{reverse}");
    cron.run("app-4");
    let refused = desk.run(&["plan", "rollback", "app", &cron.only()]).ended(1).json();
    assert!(says(&refused).contains("no earlier version that is known to be good"), "{refused}");
    let refused = desk.run(&["plan", "rollback", "app", &cron.only(), "--to", "v41"]).ended(1).json();
    assert!(refused.to_string().contains("its next run starts it already"), "{refused}");

    // One image alone, where it is not in the history.
    let image = format!("registry.example:5000/shop/app:v43@sha256:{}", "3".repeat(64));
    let (plan, code, shown) = desk.plan(&["rollback", "app", &cron.only(), "--to", &image]);
    assert_eq!(verbs(&shown), ["set_image"], "{shown}");
    let command = text(&shown["waves"][0]["steps"][0]["equivalent"]);
    assert!(command.ends_with(&format!("set image cronjob/app app={image}")), "{command}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(cron.asked()["spec"]["containers"][0]["image"], image);
    assert_eq!(cron.pods().len(), 4);
}

#[test]
fn an_answer_about_a_cron_job_that_is_lost_is_found_in_the_cluster() {
    let name = "an_answer_about_a_cron_job_that_is_lost_is_found_in_the_cluster";
    let Some(cluster) = cluster_or_skip(name) else { return };
    let cron = Cron::create(cluster, "cron-lost", &json!({}));
    cron.run("app-1");
    cron.release(V42);
    let relay = Relay::to(cluster.port(), &cluster.authority());
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.through(relay.url());
    let (plan, code, _) = desk.plan(&["rollback", "app", &cron.only()]);
    relay.keep(Keep::Answer);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    relay.wait_kept();
    relay.lose_kept();
    let done = apply.end().operation("done", 0);
    assert!(done["steps"][0]["accepted_at"].is_string(), "{done}");
    assert_eq!(changes(cluster, cron.namespace).len(), 1);
    assert_eq!(cron.asked()["spec"]["containers"][0]["image"], V41);
}

#[test]
fn a_run_that_failed_speaks_against_its_version() {
    let Some(cluster) = cluster_or_skip("a_run_that_failed_speaks_against_its_version") else { return };
    let cron = Cron::create(cluster, "cron-failed", &json!({}));
    cron.release(V40);
    cron.run("app-1");
    cron.release(V41);
    cron.run("app-2");
    cron.release(V42);
    // What its Job says when its pod ends badly; the Job itself may not be tried again.
    let (_, _, uid) = cron.pods().into_iter().find(|(run, ..)| run == "app-2").expect("its pod");
    let pods = cluster.pods(cron.namespace, "app");
    let pod = pods.iter().find(|pod| pod["metadata"]["uid"] == uid.as_str()).expect("its pod");
    let path = format!("/api/v1/namespaces/{}/pods/{}/status", cron.namespace, text(&pod["metadata"]["name"]));
    let (status, answer) = cluster.patch(&path, MERGE_PATCH, &json!({"status": {"phase": "Failed"}}));
    assert_eq!(status, 200, "{answer}");
    wait("the run to have failed", PATIENCE, || {
        let job = cluster.read(&format!("/apis/batch/v1/namespaces/{}/jobs/app-2", cron.namespace));
        let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Failed" && condition["status"] == "True")
    });
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (_, _, shown) = desk.plan(&["rollback", "app", &cron.only()]);
    assert_eq!(shown["waves"][0]["steps"][0]["to"]["version"], "v40", "{shown}");
}

#[test]
fn what_the_next_run_would_start_is_seen_as_drift_though_nothing_runs() {
    let name = "what_the_next_run_would_start_is_seen_as_drift_though_nothing_runs";
    let Some(cluster) = cluster_or_skip(name) else { return };
    let cron = Cron::create(cluster, "cron-drift", &json!({"sim.rolldeck.dev/complete": ""}));
    cron.run("app-1");
    wait("the end of the run", PATIENCE, || {
        let job = cluster.read("/apis/batch/v1/namespaces/cron-drift/jobs/app-1");
        job["status"]["succeeded"] == 1
    });
    cron.release(V42);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let quiet = desk.run(&["drift", &cron.only()]).ended(0).json();
    assert_eq!(quiet["rows"], json!([]));
    desk.configure(&format!("[[expect]]\nservice = \"app\"\nimage = \"{V41}\""));
    let drift = desk.run(&["drift", &cron.only()]).ended(1).json();
    let row = &drift["rows"][0];
    assert_eq!((&row["kind"], &row["verdict"], &row["off"]), (&json!("CronJob"), &json!("drift"), &json!(0)), "{row}");
    assert_eq!(row["marks"], json!(["latent"]), "{row}");
    assert_eq!(row["reason"], "the next run would start v42, not what the configuration expects");
    let refused = desk.run(&["plan", "replace", "app", &cron.only()]).ended(1).json();
    assert!(says(&refused).contains("a CronJob replaces nothing"), "{refused}");
    let back = desk.plan_and_apply(&["rollback", "app", &cron.only()]).operation("done", 0);
    assert!(text(&back["steps"][0]["detail"]).contains("nothing runs now"), "{back}");
    let quiet = desk.run(&["drift", &cron.only()]).ended(0).json();
    assert_eq!(quiet["rows"], json!([]));
}
