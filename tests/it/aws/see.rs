//! What is there: groups, machines, services, tasks, and what of them is off.

use serde_json::{Value, json};

use crate::journeys::desk::{Desk, text};
use crate::real::moto::{Region, region_or_skip};

/// The row of a workload, as `fleet` says it.
fn row(desk: &Desk, name: &str) -> Value {
    let said = desk.run(&["fleet"]);
    let rows = said.json()["rows"].take();
    let found = rows.as_array().expect("rows").iter().find(|row| row["workload"] == *name).cloned();
    found.unwrap_or_else(|| panic!("no row {name}: {said}"))
}

fn at(region: &Region) -> Desk {
    let desk = Desk::at(&[]);
    desk.region(region);
    desk
}

#[test]
fn a_group_is_judged_by_the_image_of_its_template_version() {
    let Some(region) = region_or_skip("a_group_is_judged_by_the_image_of_its_template_version") else { return };
    let (old, new) = (region.image("checkout-41", "v41"), region.image("checkout-42", "v42"));
    let template = region.template("checkout", &old);
    region.version(&template, &new);
    region.group("checkout-asg", &template, "1", 3, &[("Service", "checkout")]);
    let desk = at(&region);
    let row = row(&desk, "checkout-asg");
    assert_eq!(text(&row["service"]), "checkout");
    assert_eq!((&row["verdict"], &row["total"], &row["healthy"]), (&json!("ok"), &json!(3), &json!(3)), "{row}");
    assert_eq!((&row["expected"]["image"], &row["expected"]["source"]), (&json!(old), &json!("template")));
    assert_eq!((&row["running"][0]["version"], &row["requested"]["version"]), (&json!("v41"), &json!("v41")), "{row}");
    let places = desk.run(&["places"]).json();
    assert_eq!(places["rows"][0]["account"], "123456789012");
}

#[test]
fn a_machine_without_a_group_is_unmanaged_and_left_alone() {
    let Some(region) = region_or_skip("a_machine_without_a_group_is_unmanaged_and_left_alone") else { return };
    let machine = region.machine(&region.image("bastion-3", "3"), "bastion");
    let desk = at(&region);
    let row = row(&desk, &machine);
    assert_eq!((&row["service"], &row["kind"]), (&json!("bastion"), &json!("Machine")));
    assert_eq!((&row["verdict"], &row["expected"]), (&json!("ok"), &Value::Null), "{row}");
    let said = desk.run(&["plan", "replace", "bastion", "--oldest", "1"]).ended(1);
    assert!(text(&said.json()["refusals"][0]["reason"]).contains("unmanaged"), "{said}");
}

#[test]
fn a_root_volume_that_was_replaced_is_touched() {
    let Some(region) = region_or_skip("a_root_volume_that_was_replaced_is_touched") else { return };
    let (old, new) = (region.image("api-1", "v1"), region.image("api-2", "v2"));
    let template = region.template("api", &old);
    let second = region.version(&template, &new);
    region.group("api", &template, "1", 2, &[]);
    region.refresh_in_place("api", &template, second);
    region.step(4);
    let desk = at(&region);
    let row = row(&desk, "api");
    assert_eq!((&row["verdict"], &row["marks"]), (&json!("ok"), &json!(["touched"])), "{row}");
    assert_eq!((&row["running"][0]["image"], &row["running"][0]["instances"]), (&json!(new), &json!(2)));
}

#[test]
fn what_a_parameter_stands_for_is_expected_and_latent() {
    let Some(region) = region_or_skip("what_a_parameter_stands_for_is_expected_and_latent") else { return };
    let (old, new) = (region.image("web-1", "v1"), region.image("web-2", "v2"));
    region.parameter("/images/web", &old);
    let template = region.template("web", "resolve:ssm:/images/web");
    region.group("web", &template, "1", 2, &[]);
    let desk = at(&region);
    let before = row(&desk, "web");
    assert_eq!((&before["verdict"], &before["marks"]), (&json!("ok"), &json!(["latent"])), "{before}");
    assert_eq!((&before["expected"]["image"], &before["expected"]["source"]), (&json!(old), &json!("resolved")));
    region.parameter("/images/web", &new);
    let after = row(&desk, "web");
    assert_eq!(
        (&after["verdict"], &after["off"], &after["expected"]["image"]),
        (&json!("drift"), &json!(2), &json!(new))
    );
}

#[test]
fn a_service_is_judged_by_the_digests_that_ecs_resolved() {
    let Some(region) = region_or_skip("a_service_is_judged_by_the_digests_that_ecs_resolved") else { return };
    region.cluster("shop");
    let image = "registry.example/judged:v41";
    region.service("shop", "pay", &region.definition("pay", image), 3);
    let digest = text(&json!(region.tasks("shop", "pay")[0].containers()[0].image_digest()));
    // What the tag stands for elsewhere by now is nothing that these tasks are measured by.
    region.move_tag(image, &format!("sha256:{}", "5".repeat(64)));
    let desk = at(&region);
    let row = row(&desk, "pay");
    assert_eq!((&row["namespace"], &row["kind"]), (&json!("shop"), &json!("EcsService")));
    assert_eq!((&row["verdict"], &row["total"], &row["healthy"]), (&json!("ok"), &json!(3), &json!(3)), "{row}");
    assert_eq!((&row["expected"]["image"], &row["expected"]["version"]), (&json!(digest), &json!("v41")));
    assert_eq!(row["running"][0]["image"], json!(digest));
}

#[test]
fn a_refresh_on_its_way_is_mixed_and_one_that_failed_is_off() {
    let Some(region) = region_or_skip("a_refresh_on_its_way_is_mixed_and_one_that_failed_is_off") else { return };
    let (old, new) = (region.image("api-1", "v1"), region.image("api-2", "v2"));
    let template = region.template("api", &old);
    let second = region.version(&template, &new);
    region.group("api", &template, "1", 4, &[("moto-rolldeck:fail-after", "2")]);
    region.refresh("api", &template, second, 75);
    region.step(2);
    let desk = at(&region);
    let moving = row(&desk, "api");
    assert_eq!(
        (&moving["verdict"], &moving["off"], &moving["marks"]),
        (&json!("mixed"), &json!(0), &json!(["rolling"]))
    );
    assert_eq!(moving["requested"]["image"], json!(new), "what the refresh asks for, not the group's own settings");
    assert_eq!(moving["last_good"]["image"], json!(old));
    region.step(2);
    let failed = row(&desk, "api");
    assert_eq!((&failed["off"], &failed["marks"]), (&json!(2), &json!(["latent", "failed"])), "{failed}");
    assert_eq!(failed["last_good"]["image"], json!(old), "the way back is the same");
}
