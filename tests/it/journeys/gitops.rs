//! Who would undo it, on a real cluster with the projects' own CRDs: Argo CD and Flux take a way back back unless they are
//! suspended first; what was suspended is owed until it is given back; autoscalers keep their minimum meanwhile.
//!
//! Never runs Argo CD itself: a thread applies the way its controller does, by server-side apply under its field manager, and
//! heeds the application as it does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Desk, NEVER_READY, V41, V42, asked, changes, text, wait_bad};
use crate::pty::quick::type_code;
use crate::pty::terminal::{LARGE, Terminal, rolldeck};
use crate::real::cluster::{Cluster, MERGE_PATCH, PATIENCE, User, cluster_or_skip, deployment, deployments, wait};
use crate::real::gitops;

const ARGO: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications";
const APPLY: &str = "application/apply-patch+yaml";

/// What the repository asks for.
fn wanted(namespace: &str, image: &str, annotations: &[(&str, &str)], marks: &Value) -> Value {
    let mut wanted = deployment(namespace, "app", image, 4, annotations);
    for part in ["labels", "annotations"] {
        for (key, value) in marks[part].as_object().into_iter().flatten() {
            wanted["metadata"][part][key] = value.clone();
        }
    }
    wanted
}

/// One sync: what is wanted is applied, by force.
fn sync(cluster: &Cluster, namespace: &str, manager: &str, wanted: &Value) {
    let path = format!("{}?fieldManager={manager}&force=true", deployments(namespace, Some("app")));
    let (status, answer) = cluster.request(User::Admin, "PATCH", &path, Some((APPLY, wanted)));
    assert!(matches!(status, 200 | 201), "{status} {answer}");
}

fn argo_marks(application: &str, namespace: &str) -> Value {
    let id = format!("{application}:apps/Deployment:{namespace}/app");
    json!({"annotations": {"argocd.argoproj.io/tracking-id": id}})
}

/// A release that is bad, shipped by Argo CD; and the application that keeps it.
fn shipped_by_argo(cluster: &Cluster, namespace: &str) -> Value {
    gitops::install(cluster);
    cluster.create_namespace(namespace);
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": namespace, "namespace": "argocd"},
        "spec": {"project": "default", "destination": {"namespace": namespace, "server": "https://kubernetes.default.svc"},
            "source": {"repoURL": "https://git.example/shop", "path": ".", "targetRevision": "HEAD"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}}},
    });
    cluster.create(ARGO, &application);
    let marks = argo_marks(namespace, namespace);
    sync(cluster, namespace, "argocd-controller", &wanted(namespace, V41, &[], &marks));
    wait("the first version", PATIENCE, || cluster.pods(namespace, "app").len() == 4);
    cluster.wait_rolled_out(namespace, "app");
    let bad = wanted(namespace, V42, &[(NEVER_READY, "")], &marks);
    sync(cluster, namespace, "argocd-controller", &bad);
    wait_bad(cluster, namespace, V42);
    bad
}

fn application(cluster: &Cluster, name: &str) -> Value {
    cluster.read(&format!("{ARGO}/{name}"))
}

/// Plays Argo CD with self-heal while `work` is done: it looks twice a second.
fn with_self_heal<T>(cluster: &Cluster, namespace: &str, bad: &Value, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let automated = &application(cluster, namespace)["spec"]["syncPolicy"]["automated"];
                let acts = automated.is_object() && automated["enabled"] != false;
                if acts && asked(cluster, namespace) != V42 {
                    sync(cluster, namespace, "argocd-controller", bad);
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        // Also when it panics: the scope would wait for the thread for ever.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn argo_cd_is_suspended_first_and_owed_until_it_is_given_back() {
    let Some(cluster) = cluster_or_skip("argo_cd_is_suspended_first_and_owed_until_it_is_given_back") else { return };
    let namespace = "journey-argocd";
    let bad = shipped_by_argo(cluster, namespace);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.watch("5s");
    let selector = format!("ns:{namespace}");
    with_self_heal(cluster, namespace, &bad, || {
        let reverted = desk.plan_and_apply(&["rollback", "app", &selector]).operation("failed", 1);
        assert!(text(&reverted["reason"]).contains("argocd-controller"), "{reverted}");
        assert_eq!(asked(cluster, namespace), V42);
        wait_bad(cluster, namespace, V42);

        let before = application(cluster, namespace)["spec"].take();
        let (plan, code, shown) = desk.plan(&["rollback", "app", &selector, "--suspend", "--to", "v41"]);
        assert_eq!(shown["waves"][0]["steps"][0]["loan"], format!("suspends Argo CD application argocd/{namespace}"));
        assert!(text(&shown["waves"][0]["steps"][0]["equivalent"]).contains("patch applications.argoproj.io/"));
        let done = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
        let debt = &done["debts"][0];
        assert_eq!(debt["what"], format!("Argo CD application argocd/{namespace} is suspended"), "{done}");
        assert!(debt["due"].is_string(), "{debt}");
        let automated = application(cluster, namespace)["spec"]["syncPolicy"]["automated"].take();
        assert_eq!(automated, json!({"prune": true, "selfHeal": true, "enabled": false}));
        assert_eq!(asked(cluster, namespace), V41);

        // Given back by a plan of its own: what Argo CD does then is its business.
        let (plan, code, _) = desk.plan(&["give-back", &text(&done["operation"])]);
        desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
        assert_eq!(application(cluster, namespace)["spec"], before, "as it was, to the letter");
        let owing: Vec<Value> = desk.operations().into_iter().filter(|row| row["debts"] != json!([])).collect();
        assert_eq!(owing, Vec::<Value>::new(), "the debt is paid");
        wait("Argo CD to put its version back", PATIENCE, || asked(cluster, namespace) == V42);
    });
}

#[test]
fn argo_cd_is_suspended_and_given_back_by_keys() {
    let Some(cluster) = cluster_or_skip("argo_cd_is_suspended_and_given_back_by_keys") else { return };
    let namespace = "journey-argocd-keys";
    let bad = shipped_by_argo(cluster, namespace);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.watch("5s");
    std::fs::create_dir_all(desk.state()).expect("made");
    let path = |path: &std::path::Path| path.to_str().expect("plain").to_owned();
    let (kubeconfig, config) = (path(&desk.kubeconfig()), path(&desk.config()));
    let arguments = ["--kubeconfig", &kubeconfig, "--config", &config];
    with_self_heal(cluster, namespace, &bad, || {
        let mut terminal = Terminal::open(rolldeck(&desk.state(), &arguments), LARGE);
        terminal.see("places 1/1 ok");
        terminal.press(&format!("/ns:{namespace}\r"));
        terminal.until("its row", |screen| screen.contains(">") && screen.contains("app"));
        terminal.press("b");
        terminal.see("puts back what is in Git");
        terminal.press("\u{1b}s");
        terminal.see(&format!("suspends Argo CD application argocd/{namespace}"));
        type_code(&mut terminal);
        terminal.see("2 of 2 steps done");
        terminal.see(&format!("Argo CD application argocd/{namespace} is suspended"));
        terminal.see("D gives it back");
        assert_eq!(asked(cluster, namespace), V41);
        terminal.press("D");
        terminal.see(&format!("lets Argo CD application argocd/{namespace} act again"));
        type_code(&mut terminal);
        terminal.see("1 of 1 step done");
        terminal.see("debts 0");
        terminal.press("q");
        assert_eq!(terminal.wait_exit().exit_code(), 0);
    });
    assert_eq!(application(cluster, namespace)["spec"]["syncPolicy"]["automated"]["enabled"], Value::Null);
}

/// A release that is bad, shipped by Flux; and the object that keeps it. Says where that is.
fn shipped_by_flux(cluster: &Cluster, namespace: &str, kind: &str) -> String {
    gitops::install(cluster);
    cluster.create_namespace(namespace);
    let group = kind.to_lowercase().replace("kustomization", "kustomize").replace("helmrelease", "helm");
    let (version, resource) = if group == "helm" { ("v2", "helmreleases") } else { ("v1", "kustomizations") };
    let labels = json!({
        format!("{group}.toolkit.fluxcd.io/name"): namespace, format!("{group}.toolkit.fluxcd.io/namespace"): namespace,
    });
    let path = format!("/apis/{group}.toolkit.fluxcd.io/{version}/namespaces/{namespace}/{resource}");
    let spec = match group.as_str() {
        "helm" => json!({"interval": "10m", "chart": {"spec": {"chart": "app",
            "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}}),
        _ => json!({"interval": "10m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "shop"}}),
    };
    let object = json!({"apiVersion": format!("{group}.toolkit.fluxcd.io/{version}"), "kind": kind,
        "metadata": {"name": namespace, "namespace": namespace}, "spec": spec});
    cluster.create(&path, &object);
    let manager = format!("{group}-controller");
    let marks = json!({"labels": labels});
    sync(cluster, namespace, &manager, &wanted(namespace, V41, &[], &marks));
    wait("the first version", PATIENCE, || cluster.pods(namespace, "app").len() == 4);
    cluster.wait_rolled_out(namespace, "app");
    sync(cluster, namespace, &manager, &wanted(namespace, V42, &[(NEVER_READY, "")], &marks));
    wait_bad(cluster, namespace, V42);
    format!("{path}/{namespace}")
}

fn check_flux(test: &str, namespace: &str, kind: &str) {
    let Some(cluster) = cluster_or_skip(test) else { return };
    let path = shipped_by_flux(cluster, namespace, kind);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let arguments = ["rollback", "app", &format!("ns:{namespace}"), "--suspend", "until-done"];
    let (plan, code, shown) = desk.plan(&arguments);
    let verbs: Vec<&str> =
        shown["waves"].as_array().expect("waves").iter().filter_map(|wave| wave["steps"][0]["verb"].as_str()).collect();
    assert_eq!(verbs, ["borrow", "restore_revision", "give_back"], "{shown}");
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    wait("it to be suspended", PATIENCE, || cluster.read(&path)["spec"]["suspend"] == true);
    let done = apply.end().operation("done", 0);
    assert_eq!(done["debts"], json!([]));
    assert_eq!(cluster.read(&path)["spec"]["suspend"], Value::Null);
    assert_eq!(asked(cluster, namespace), V41);
}

#[test]
fn a_kustomization_of_flux_is_suspended_for_as_long_as_the_plan_runs() {
    let test = "a_kustomization_of_flux_is_suspended_for_as_long_as_the_plan_runs";
    check_flux(test, "journey-kustomize", "Kustomization");
}

#[test]
fn a_helm_release_of_flux_is_suspended_for_as_long_as_the_plan_runs() {
    let test = "a_helm_release_of_flux_is_suspended_for_as_long_as_the_plan_runs";
    check_flux(test, "journey-helm", "HelmRelease");
}

#[test]
fn the_minimum_of_an_autoscaler_is_held_and_given_back() {
    let Some(cluster) = cluster_or_skip("the_minimum_of_an_autoscaler_is_held_and_given_back") else { return };
    let namespace = "journey-hpa";
    super::rollback::versions(cluster, namespace, 4, &[V41, V42]);
    let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"});
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}});
    cluster.create(
        &path,
        &json!({"metadata": {"name": "app"},
        "spec": {"minReplicas": 2, "maxReplicas": 9, "scaleTargetRef": target, "metrics": [metric]}}),
    );
    let path = format!("{path}/app");
    let minimum = || cluster.read(&path)["spec"]["minReplicas"].clone();
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let selector = format!("ns:{namespace}");
    let (plan, code, shown) = desk.plan(&["rollback", "app", &selector]);
    assert_eq!(
        shown["waves"][0]["steps"][0]["loan"],
        format!("raises the minimum of autoscaler {namespace}/app from 2 to 4"),
        "{shown}"
    );
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    wait("the minimum to be held", PATIENCE, || minimum() == 4);
    let done = apply.end().operation("done", 0);
    assert_eq!((done["debts"].clone(), minimum()), (json!([]), json!(2)));
    let mut changes = changes(cluster, namespace);
    assert_eq!(changes.len(), 3, "held, gone back, given back: {changes:?}");
    changes.retain(|change| change["objectRef"]["resource"] == "deployments");
    assert_eq!(changes.len(), 1, "of the Deployment: the way back alone");
    // Left as it is where somebody says so.
    let (_, _, shown) = desk.plan(&["rollback", "app", &selector, "--to", "v42", "--leave-minimum"]);
    assert_eq!(shown["waves"].as_array().map(Vec::len), Some(1));
    let warned = shown["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "minimum");
    assert!(text(&warned.expect("it is said")["detail"]).contains("may scale it down to 2"), "{shown}");
}

#[test]
fn who_may_not_suspend_is_told_so_before_the_code() {
    let Some(cluster) = cluster_or_skip("who_may_not_suspend_is_told_so_before_the_code") else { return };
    let namespace = "journey-argocd-rights";
    shipped_by_argo(cluster, namespace);
    let everything = json!([{"apiGroups": ["", "apps", "batch", "policy"], "resources": ["*"], "verbs": ["*"]}]);
    cluster.grant(User::Shop, Some(namespace), &everything);
    let desk = Desk::at(&[(cluster, User::Shop, Some(namespace))]);
    let arguments = ["plan", "rollback", "app", &format!("ns:{namespace}"), "--suspend"];
    wait("the role to count", PATIENCE, || desk.run(&arguments).code == Some(1));
    let refused = desk.run(&arguments).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("is not seen here"), "{refused}");

    let looks =
        json!([{"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list", "watch"]}]);
    cluster.grant(User::Viewer, Some("argocd"), &looks);
    cluster.grant(User::Viewer, Some(namespace), &everything);
    let desk = Desk::at(&[(cluster, User::Viewer, None)]);
    let namespaces = format!("[\"{namespace}\", \"argocd\"]");
    desk.configure(&format!(
        "[[places]]\nkind = \"kubernetes\"\ncontext = \"prod-eu-viewer\"\nnamespaces = {namespaces}"
    ));
    wait("the role to count", PATIENCE, || {
        let said = desk.run(&arguments);
        said.code == Some(1) && said.out.contains("patch applications is not granted")
    });
    let spec = json!({"spec": {"syncPolicy": {"automated": {"enabled": false}}}});
    assert_eq!(cluster.patch(&format!("{ARGO}/{namespace}"), MERGE_PATCH, &spec).0, 200);
    // Nobody has to be suspended any more.
    wait("the plan to see that", PATIENCE, || {
        let said = desk.run(&arguments);
        said.code == Some(0) && said.out.contains("is suspended already")
    });
}

#[test]
fn another_pace_is_borrowed_for_a_rollout_and_given_back_to_the_letter() {
    let test = "another_pace_is_borrowed_for_a_rollout_and_given_back_to_the_letter";
    let Some(cluster) = cluster_or_skip(test) else { return };
    let namespace = "journey-pace";
    super::rollback::versions(cluster, namespace, 4, &[V41, V42]);
    let strategy = || cluster.read(&deployments(namespace, Some("app")))["spec"]["strategy"]["rollingUpdate"].take();
    let own = strategy();
    assert_eq!(own, json!({"maxUnavailable": "25%", "maxSurge": "25%"}));
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let (plan, code, shown) = desk.plan(&["rollback", "app", &format!("ns:{namespace}"), "--at-once", "-1"]);
    assert!(text(&shown["waves"][0]["steps"][0]["loan"]).contains("max surge 12% instead of 25%"), "{shown}");
    let command = text(&shown["waves"][0]["steps"][0]["equivalent"]);
    assert!(command.contains("patch deployment/app -p") && command.contains("12%"), "{command}");
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    wait("another pace", PATIENCE, || strategy() == json!({"maxUnavailable": "12%", "maxSurge": "12%"}));
    let done = apply.end().operation("done", 0);
    assert_eq!((done["debts"].clone(), strategy()), (json!([]), own));
    let bodies: Vec<Value> =
        changes(cluster, namespace).into_iter().map(|mut entry| entry["requestObject"].take()).collect();
    assert_eq!(bodies.len(), 3, "{bodies:?}");
    assert_eq!(asked(cluster, namespace), V41);
}
