//! One version in two regions: a file that a build has written names its machine images, and from then on it is one release.

use aws_sdk_ec2::types::{InstanceType, RequestLaunchTemplateData};
use serde_json::{Value, json};

use crate::journeys::desk::{Desk, text};
use crate::real::cluster::{User, cluster_or_skip, deployment};
use crate::real::moto::{Region, region_or_skip};

/// A group of two at this image, whose template has this one too.
fn group(region: &Region, first: &str, second: &str) {
    let template = region.template("rel", first);
    let version = region.version(&template, second);
    region.group("rel-asg", &template, "1", 2, &[("Service", "rel")]);
    region.roll("rel-asg", &template, version);
}

fn rows(desk: &Desk, arguments: &[&str], code: i32) -> Vec<Value> {
    desk.run(arguments).ended(code).json()["rows"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_manifest_of_packer_makes_the_images_of_two_regions_one_version() {
    let test = "a_manifest_of_packer_makes_the_images_of_two_regions_one_version";
    let (Some(east), Some(west)) = (region_or_skip(test), region_or_skip(test)) else { return };
    let desk = Desk::at(&[]);
    let mut images = Vec::new();
    for region in [&east, &west] {
        // What people called them: nothing that anybody could bring together.
        let (old, new) = (region.image("rel-a", "a"), region.image("rel-b", "b"));
        group(region, &old, &new);
        desk.region(region);
        images.push((region.name().to_string(), old, new));
    }
    let manifest = |version: &str, at: i64, of: &dyn Fn(&(String, String, String)) -> String| {
        let artifacts: Vec<String> = images.iter().map(|one| format!("{}:{}", one.0, of(one))).collect();
        json!({"last_run_uuid": version, "builds": [{"packer_run_uuid": version, "build_time": at,
            "artifact_id": artifacts.join(","), "custom_data": {"service": "rel", "version": version}}]})
    };
    let write = |name: &str, manifest: &Value| {
        let path = desk.directory().join(name);
        std::fs::write(&path, manifest.to_string()).expect("written");
        path.display().to_string()
    };
    let old = write("117.json", &manifest("117", 1_790_000_000, &|one| one.1.clone()));
    let new = write("118.json", &manifest("118", 1_795_000_000, &|one| one.2.clone()));
    desk.run(&["release", "add", &old, &new]).ended(0);

    let listed = rows(&desk, &["release", "list", "svc:rel"], 0);
    assert_eq!(listed.len(), 2, "{listed:?}");
    for row in &listed {
        assert_eq!(
            (&row["expected"], &row["running"], &row["behind"]),
            (&json!("118"), &json!(["118"]), &json!(0)),
            "{row}"
        );
    }
    for row in rows(&desk, &["fleet", "svc:rel"], 0) {
        assert_eq!((&row["verdict"], &row["expected"]["source"]), (&json!("ok"), &json!("release")), "{row}");
        assert_eq!(row["running"][0]["version"], "118", "{row}");
        assert!(text(&row["expected"]["says"]).starts_with("release 118 of 2026-"), "{row}");
        assert_eq!(row["last_good"]["version"], "117", "{row}");
    }
    // One plan goes back to one version, whatever it is called in each region.
    let (_, _, shown) = desk.plan(&["rollback", "rel"]);
    for wave in shown["waves"].as_array().expect("waves") {
        assert_eq!(wave["steps"][0]["to"]["version"], "117", "{wave}");
    }
    // What was taken away is expected nowhere.
    desk.run(&["release", "remove", "rel", "118"]).ended(0);
    for row in rows(&desk, &["drift", "svc:rel"], 1) {
        assert_eq!((&row["verdict"], &row["expected"]["version"]), (&json!("drift"), &json!("117")), "{row}");
    }
}

#[test]
fn a_file_of_releases_in_the_configuration_that_is_wrong_stops_with_what_is_wrong() {
    let desk = Desk::at(&[]);
    desk.configure("[releases]\nfiles = [\"ci.toml\"]");
    std::fs::write(desk.config().with_file_name("ci.toml"), "[[release]]\nservice = \"a\"\nversion = 7\n")
        .expect("written");
    let said = desk.run(&["config", "check"]).ended(2);
    assert!(said.err.contains("ci.toml") && said.err.contains("line 3"), "{said}");
}

#[test]
fn a_version_of_a_group_is_compared_with_another_one_and_with_a_deployment() {
    let test = "a_version_of_a_group_is_compared_with_another_one_and_with_a_deployment";
    let (Some(cluster), Some(region)) = (cluster_or_skip(test), region_or_skip(test)) else { return };
    let (old, new) = (region.image("cmp-a", "117"), region.image("cmp-b", "118"));
    let template = region.template("cmp", &old);
    let launch = RequestLaunchTemplateData::builder().image_id(&new).instance_type(InstanceType::M5Large);
    // "hush", as user data is sent.
    let version = region.version_with(&template, launch.user_data("aHVzaA==").build());
    region.group("cmp-asg", &template, "1", 1, &[("Service", "cmp")]);
    let namespace = "compare-kinds";
    cluster.create_namespace(namespace);
    cluster.create_deployment(&deployment(namespace, "cmp", "registry.example/cmp:118", 1, &[]));
    cluster.wait_rolled_out(namespace, "cmp");
    let desk = Desk::at(&[(cluster, User::Admin, Some(namespace))]);
    desk.region(&region);
    let place = |kind: &str| {
        let all = rows(&desk, &["fleet", "svc:cmp"], 0);
        let found = all.iter().find(|row| row["kind"] == kind).map(|row| text(&row["place"]));
        found.unwrap_or_else(|| panic!("{kind}: {all:?}"))
    };
    let (group, cluster) = (place("AutoScalingGroup"), place("Deployment"));
    let compare = |left: &str, right: &str| {
        let said = desk.run(&["compare", "cmp", "--between", left, right]).ended(0);
        assert!(!said.out.contains("aHVzaA"), "{said}");
        said.json()
    };
    let told = |said: &Value, topic: &str, name: &str| {
        let rows = said["differences"].as_array().cloned().unwrap_or_default();
        let row = rows.into_iter().find(|row| row["topic"] == topic && row["name"] == name);
        row.map(|row| (row["left"].clone(), row["right"].clone()))
    };
    let said = compare(&group, &format!("{group}@{version}"));
    assert_eq!(told(&said, "image", "asked as"), Some((json!(old), json!(new))), "{said}");
    assert_eq!(told(&said, "image", "name"), Some((json!("cmp-a"), json!("cmp-b"))), "{said}");
    let size = told(&said, "resource", "instance type");
    assert!(size.is_some_and(|(before, after)| before != after && after == "m5.large"), "{said}");
    assert_eq!(told(&said, "launch", "user data"), Some((Value::Null, json!("set"))), "{said}");
    assert_eq!(told(&said, "label", "of the image: version"), Some((json!("117"), json!("118"))), "{said}");
    // Two kinds have the image in common, and what each says beside it.
    let said = compare(&group, &cluster);
    assert_eq!(told(&said, "image", "asked as"), Some((json!(old), json!("registry.example/cmp:118"))), "{said}");
    assert_eq!((&said["left"]["kind"], &said["right"]["kind"]), (&json!("AutoScalingGroup"), &json!("Deployment")));
}
