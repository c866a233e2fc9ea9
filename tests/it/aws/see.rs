//! What is there: groups, machines, services, tasks, and what of them is off.

use serde_json::{Value, json};

use crate::journeys::desk::{Desk, text};
use crate::real::moto::region_or_skip;

/// The row of a workload, as `fleet` says it.
fn row(desk: &Desk, name: &str) -> Value {
    let said = desk.run(&["fleet"]);
    let rows = said.json()["rows"].take();
    let found = rows.as_array().expect("rows").iter().find(|row| row["workload"] == *name).cloned();
    found.unwrap_or_else(|| panic!("no row {name}: {said}"))
}

#[test]
fn a_group_is_judged_by_the_image_of_its_template_version() {
    let Some(region) = region_or_skip("a_group_is_judged_by_the_image_of_its_template_version") else { return };
    let (old, new) = (region.image("checkout-41", "v41"), region.image("checkout-42", "v42"));
    let template = region.template("checkout", &old);
    region.version(&template, &new);
    region.group("checkout-asg", &template, "1", 3, &[("Service", "checkout")]);
    region.machine(&old, "bastion");
    let desk = Desk::at(&[]);
    desk.region(&region);
    let row = row(&desk, "checkout-asg");
    assert_eq!(text(&row["service"]), "checkout");
    assert_eq!((&row["verdict"], &row["total"], &row["healthy"]), (&json!("ok"), &json!(3), &json!(3)), "{row}");
    assert_eq!((&row["expected"]["image"], &row["expected"]["source"]), (&json!(old), &json!("template")));
}
