//! One service in two real clusters and one Auto Scaling group: one row, one plan, one operation.

use serde_json::{Value, json};

use crate::journeys::desk::{Desk, V41, V42, text};
use crate::real::cluster::{Cluster, User, deployment, deployments, pair_or_skip};
use crate::real::moto::{Region, region_or_skip};

const NAMESPACE: &str = "journey-trio";

/// The service `trio` at v41, then at v42, everywhere.
fn bad_release(clusters: [&Cluster; 2], region: &Region) {
    for cluster in clusters {
        cluster.create_namespace(NAMESPACE);
        cluster.create_deployment(&deployment(NAMESPACE, "trio", V41, 2, &[]));
        cluster.wait_rolled_out(NAMESPACE, "trio");
        cluster.set_image(NAMESPACE, "trio", V42);
        cluster.wait_rolled_out(NAMESPACE, "trio");
    }
    let template = region.template("trio", &region.image("trio-41", "v41"));
    let second = region.version(&template, &region.image("trio-42", "v42"));
    region.group("trio-asg", &template, "1", 4, &[("Service", "trio")]);
    region.roll("trio-asg", &template, second);
}

fn asked(cluster: &Cluster) -> Value {
    cluster.read(&deployments(NAMESPACE, Some("trio")))["spec"]["template"]["spec"]["containers"][0]["image"].take()
}

#[test]
fn a_plan_over_two_clusters_and_a_group_is_aborted_in_the_middle_and_then_done() {
    let test = "a_plan_over_two_clusters_and_a_group_is_aborted_in_the_middle_and_then_done";
    let (Some((eu, us)), Some(region)) = (pair_or_skip(test), region_or_skip(test)) else { return };
    bad_release([eu, us], &region);
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    let aws = format!("aws/{}", region.name());
    desk.order("2s", "2m", &["k8s/prod-eu", &aws, "k8s/prod-us"]);
    desk.region(&region);

    let (plan, code, shown) = desk.plan(&["rollback", "trio"]);
    let places: Vec<String> =
        shown["waves"].as_array().expect("a list").iter().map(|wave| text(&wave["place"])).collect();
    assert_eq!(places, ["k8s/prod-eu", &aws, "k8s/prod-us"], "{shown}");
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let operation = desk.operation("the group's step to be taken", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][1]["accepted_at"].is_string()
    });
    region.step(2);
    desk.run(&["abort", &text(&operation["operation"])]).operation("stopped", 0);
    let stopped = apply.end().operation("stopped", 1);
    let states: Vec<&Value> = (0..3).map(|at| &stopped["steps"][at]["state"]).collect();
    assert_eq!(states, ["verified", "held", "skipped"], "{stopped}");
    region.step(1);
    assert_eq!((asked(eu), asked(us)), (json!(V41), json!(V42)));
    assert_eq!(region.newest("trio-asg"), "Cancelled");
    assert!(text(&stopped["debts"][0]["workload"]).ends_with("AutoScalingGroup trio-asg"), "{stopped}");

    // On: the group that is held, and the cluster that was not begun.
    let (plan, code, shown) = desk.plan(&["rollback", "trio", "--to", "v41"]);
    assert_eq!(shown["waves"].as_array().map(Vec::len), Some(2), "{shown}");
    let done = desk.start(&["apply", &plan, "--code", &code]).end_in(&region).operation("done", 0);
    assert_eq!(done["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!((asked(eu), asked(us)), (json!(V41), json!(V41)));
    assert_eq!((region.versions("trio-asg"), region.own_version("trio-asg")), (vec!["1".into(); 4], "1".into()));
    let owing: Vec<Value> = desk.operations().into_iter().filter(|row| row["debts"] != json!([])).collect();
    assert_eq!(owing, Vec::<Value>::new(), "the debt is paid");
}
