//! Tags that are resolved and never trusted: what a real registry says of them, against what the pods of a real cluster report.

use serde_json::{Value, json};

use super::desk::{Desk, changes, text};
use crate::real::cluster::{Cluster, MERGE_PATCH, PATIENCE, User, cluster_or_skip, deployment, wait};
use crate::real::registry::{Registry, registry_or_skip};

/// A Deployment of three by tag, whose new pods report this image.
fn create(cluster: &Cluster, namespace: &str, image: &str, new_pods: &str) {
    cluster.create_namespace(namespace);
    cluster.create_deployment(&deployment(namespace, "app", image, 3, &[("sim.rolldeck.dev/image-id", new_pods)]));
    cluster.wait_rolled_out(namespace, "app");
}

/// Has pods report another image, as if they had pulled it before.
fn report(cluster: &Cluster, namespace: &str, image: &str) {
    for pod in cluster.pods(namespace, "app") {
        let mut statuses = pod["status"]["containerStatuses"].clone();
        statuses[0]["imageID"] = json!(image);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}/status", text(&pod["metadata"]["name"]));
        assert_eq!(cluster.patch(&path, MERGE_PATCH, &json!({"status": {"containerStatuses": statuses}})).0, 200);
    }
}

fn desk(cluster: &Cluster, registry: &Registry) -> Desk {
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.configure(&format!("floor = \"50%\"\n[[registries]]\nhost = \"{}\"", registry.host()));
    desk
}

fn row(desk: &Desk, command: &str, only: &str, code: i32) -> Value {
    let said = desk.run(&[command, only]).ended(code).json();
    said["rows"][0].clone()
}

#[test]
fn a_moved_tag_is_found_explained_and_replaced() {
    let test = "a_moved_tag_is_found_explained_and_replaced";
    let (Some(cluster), Some(registry)) = (cluster_or_skip(test), registry_or_skip(test)) else { return };
    let (namespace, host) = ("journey-tag", registry.host());
    let next = registry.push("shop/app", "next", "42.0.0");
    let before = registry.push("shop/app", "stable", "41.0.2");
    let id = |digest: &rolldeck::domain::image::Digest| format!("{host}/shop/app@{digest}");
    create(cluster, namespace, &format!("{host}/shop/app:stable"), &id(&next.index));
    report(cluster, namespace, &id(&before.index));
    let (desk, only) = (desk(cluster, &registry), format!("ns:{namespace}"));
    let well = row(&desk, "fleet", &only, 0);
    assert_eq!((&well["verdict"], &well["expected"]["source"]), (&json!("ok"), &json!("resolved")), "{well}");
    assert_eq!(well["running"][0]["version"], "41.0.2", "its label says more than its tag");

    // The same tag stands for another image from here on.
    let moved = registry.push("shop/app", "stable", "42.0.0");
    assert_eq!(moved.index, next.index);
    let off = row(&desk, "drift", &only, 1);
    assert_eq!((&off["verdict"], &off["off"]), (&json!("drift"), &json!(3)), "{off}");
    let reason = text(&off["reason"]);
    assert!(reason.contains(&format!("tag stable stands for {} now", moved.index.short(12))), "{reason}");
    assert_eq!((&off["expected"]["version"], &off["running"][0]["version"]), (&json!("42.0.0"), &json!("41.0.2")));

    // Nobody has seen it work: that takes a reason.
    let refused = desk.run(&["plan", "replace", "app", &only]).ended(1).json();
    assert!(
        text(&refused["refusals"][0]["reason"]).contains("no instance of the expected image is healthy"),
        "{refused}"
    );
    let (plan, code, shown) = desk.plan(&["replace", "app", &only, "--reason", "42 is out"]);
    let check = |name: &str| {
        let checks = shown["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["name"] == name).map(|check| text(&check["detail"])).unwrap_or_default()
    };
    assert!(check("registry").contains(&format!("it stands for {}", moved.index.short(12))), "{shown}");
    assert!(check("proof").ends_with("all the same: 42 is out"), "{shown}");
    desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert_eq!(changes(cluster, namespace).len(), 3, "three pods, one by one");
    assert_eq!(row(&desk, "fleet", &only, 0)["verdict"], "ok");
}

#[test]
fn whatever_document_a_pod_reports_it_is_the_same_image() {
    let test = "whatever_document_a_pod_reports_it_is_the_same_image";
    let (Some(cluster), Some(registry)) = (cluster_or_skip(test), registry_or_skip(test)) else { return };
    let (namespace, host) = ("journey-documents", registry.host());
    let pushed = registry.push("shop/app", "v41", "41.0.2");
    let (manifest, config) = pushed.platforms[0].clone();
    create(cluster, namespace, &format!("{host}/shop/app:v41"), &format!("{host}/shop/app@{}", pushed.index));
    let (desk, only) = (desk(cluster, &registry), format!("ns:{namespace}"));
    let other = format!("{host}/shop/app@{}", pushed.platforms[1].0);
    for reported in [format!("{host}/shop/app@{manifest}"), other, config.to_string()] {
        report(cluster, namespace, &reported);
        let row = row(&desk, "fleet", &only, 0);
        assert_eq!(row["verdict"], "ok", "{reported}: {row}");
    }
    // So is a ban of its index, whatever the pods report.
    for reported in [format!("{host}/shop/app@{manifest}"), config.to_string()] {
        report(cluster, namespace, &reported);
        desk.run(&["quarantine", pushed.index.as_str(), "--reason", "it loses orders"]).ended(0);
        let bad = row(&desk, "drift", &only, 1);
        assert_eq!((&bad["verdict"], &bad["off"]), (&json!("quarantined"), &json!(3)), "{reported}: {bad}");
        desk.run(&["unquarantine", pushed.index.as_str()]).ended(0);
        assert_eq!(row(&desk, "fleet", &only, 0)["verdict"], "ok");
    }
    // A declaration by the index is met by a pod that reports its platform's manifest, and by no other image.
    report(cluster, namespace, &format!("{host}/shop/app@{manifest}"));
    let other = registry.push("shop/app", "v42", "42.0.0");
    for (index, code, verdict) in [(&pushed.index, 0, "ok"), (&other.index, 1, "drift")] {
        let declared = Desk::at(&[(cluster, User::Admin, None)]);
        declared.configure(&format!(
            "[[registries]]\nhost = \"{host}\"\n[[expect]]\nservice = \"app\"\nimage = \"{host}/shop/app@{index}\""
        ));
        assert_eq!(
            row(&declared, "drift", &only, code)["verdict"],
            if code == 0 { Value::Null } else { json!(verdict) }
        );
    }
}

#[test]
fn a_registry_that_does_not_answer_makes_nothing_wrong() {
    let test = "a_registry_that_does_not_answer_makes_nothing_wrong";
    let (Some(cluster), Some(registry)) = (cluster_or_skip(test), registry_or_skip(test)) else { return };
    let (namespace, host) = ("journey-unreachable", registry.host());
    let pushed = registry.push("shop/app", "v41", "41.0.2");
    create(cluster, namespace, &format!("{host}/shop/app:v41"), &format!("{host}/shop/app@{}", pushed.index));
    let (desk, only) = (desk(cluster, &registry), format!("ns:{namespace}"));
    drop(registry);
    wait("the registry to be gone", PATIENCE, || std::net::TcpStream::connect(&host).is_err());
    let row = row(&desk, "drift", &only, 3);
    assert_eq!(row["verdict"], "unknown", "{row}");
    let reason = text(&row["reason"]);
    assert!(reason.contains("what its tag stands for is not known") && reason.contains("does not answer"), "{reason}");
}

#[test]
fn a_version_that_its_registry_has_no_more_is_not_gone_to() {
    let test = "a_version_that_its_registry_has_no_more_is_not_gone_to";
    let (Some(cluster), Some(registry)) = (cluster_or_skip(test), registry_or_skip(test)) else { return };
    let (namespace, host) = ("journey-gone", registry.host());
    let (v41, v42) = (registry.push("shop/app", "v41", "41.0.2"), registry.push("shop/app", "v42", "42.0.0"));
    let image = |digest: &rolldeck::domain::image::Digest| format!("{host}/shop/app@{digest}");
    super::rollback::versions(cluster, namespace, 3, &[&image(&v41.index), &image(&v42.index)]);
    let (desk, only) = (desk(cluster, &registry), format!("ns:{namespace}"));
    let (_, _, shown) = desk.plan(&["rollback", "app", &only]);
    assert!(shown["checks"].to_string().contains("its registry has it, for linux/amd64, linux/arm64"), "{shown}");
    registry.delete("shop/app", &v41.index);
    let refused = desk.run(&["plan", "rollback", "app", &only]).ended(1).json();
    assert!(text(&refused["refusals"][0]["reason"]).contains("its registry has it no more"), "{refused}");
    let (_, _, shown) = desk.plan(&["rollback", "app", &only, "--reason", "all nodes have it"]);
    assert!(shown["checks"].to_string().contains("all the same: all nodes have it"), "{shown}");
}

#[test]
fn two_versions_are_compared_field_by_field_and_no_secret_is_told() {
    let test = "two_versions_are_compared_field_by_field_and_no_secret_is_told";
    let (Some(cluster), Some(registry)) = (cluster_or_skip(test), registry_or_skip(test)) else { return };
    let (namespace, host) = ("journey-fields", registry.host());
    let (v41, v42) = (registry.push("shop/app", "v41", "41.0.2"), registry.push("shop/app", "v42", "42.0.0"));
    let image = |digest: &rolldeck::domain::image::Digest| format!("{host}/shop/app@{digest}");
    super::rollback::versions(cluster, namespace, 2, &[&image(&v41.index), &image(&v42.index)]);
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "app",
        "env": [{"name": "TOKEN", "value": "hush"}], "resources": {"limits": {"memory": "64Mi"}}}]}}}});
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/app");
    assert_eq!(cluster.patch(&path, "application/strategic-merge-patch+json", &patch).0, 200);
    cluster.wait_rolled_out(namespace, "app");
    let desk = desk(cluster, &registry);
    let place = text(&row(&desk, "fleet", &format!("ns:{namespace}"), 0)["place"]);
    // Other tests have services of this name there, too.
    create(cluster, "journey-fields-b", &image(&v41.index), &image(&v41.index));
    let said = desk.run(&["compare", "app", "--between", &place, &place]).ended(2);
    assert!(said.err.contains("workloads of app"), "{said}");

    let (before, after) = (format!("{place}/{namespace}@1"), format!("{place}/{namespace}/app"));
    let said = desk.run(&["compare", "app", "--between", &before, &after]).ended(0);
    assert!(!said.out.contains("hush"), "{said}");
    let said = said.json();
    let told = |topic: &str, name: &str| {
        let rows = said["differences"].as_array().cloned().unwrap_or_default();
        let row = rows.into_iter().find(|row| row["topic"] == topic && row["name"] == name);
        let row = row.unwrap_or_else(|| panic!("{topic} {name}: {said}"));
        (row["left"].clone(), row["right"].clone())
    };
    assert_eq!(told("environment", "TOKEN"), (Value::Null, json!("set")));
    assert_eq!(told("environment", "of the image: BUILD_KEY"), (json!("set"), json!("set to something else")));
    assert_eq!(told("resource", "memory limit"), (Value::Null, json!("64Mi")));
    let label = "of the image: org.opencontainers.image.version";
    assert_eq!(told("label", label), (json!("41.0.2"), json!("42.0.0")));
    let layers = said["differences"].as_array().expect("rows").iter().filter(|row| row["topic"] == "layer").count();
    assert_eq!(layers, 2, "one of each: {said}");
    let same = said["same"].as_array().expect("topics").iter().find(|same| same["topic"] == "layer").cloned();
    assert_eq!(same.map(|same| same["fields"].clone()), Some(json!(1)), "the base is shared: {said}");
    assert_eq!((&said["left"]["version"], &said["right"]["version"]), (&json!("41.0.2"), &json!("42.0.0")));
}

#[test]
fn a_way_back_to_what_is_not_signed_says_so_where_what_runs_is() {
    let test = "a_way_back_to_what_is_not_signed_says_so_where_what_runs_is";
    let (Some(cluster), Some(registry)) = (cluster_or_skip(test), registry_or_skip(test)) else { return };
    let (namespace, host) = ("journey-signed", registry.host());
    let (v41, v42) = (registry.push("shop/app", "v41", "41.0.2"), registry.push("shop/app", "v42", "42.0.0"));
    let image = |digest: &rolldeck::domain::image::Digest| format!("{host}/shop/app@{digest}");
    super::rollback::versions(cluster, namespace, 3, &[&image(&v41.index), &image(&v42.index)]);
    // The pods report the manifest of their platform; what was signed is the index.
    report(cluster, namespace, &image(&v42.platforms[0].0));
    let (desk, only) = (desk(cluster, &registry), format!("ns:{namespace}"));
    let said = |shown: &Value| {
        let checks = shown["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["name"] == "signature").map(|check| text(&check["detail"]))
    };
    assert_eq!(said(&desk.plan(&["rollback", "app", &only]).2), None, "neither is signed");
    let sign = |digest: &rolldeck::domain::image::Digest| {
        let tag = format!("sha256-{}.sig", digest.hex());
        registry.artifact("shop/app", Some(&tag), "application/vnd.oci.image.config.v1+json", &json!({}));
    };
    sign(&v42.index);
    let (_, code, shown) = desk.plan(&["rollback", "app", &only]);
    assert!(
        said(&shown)
            .is_some_and(|said| said.ends_with("the target is not signed, what runs is (cosign, not verified)")),
        "{shown}"
    );
    assert!(!code.is_empty(), "it is a warning and no more");
    sign(&v41.index);
    assert_eq!(said(&desk.plan(&["rollback", "app", &only]).2), None, "both are signed");
}
