//! What an operator does under pressure, at AWS: locks, bans, the floor, stopping with the way back, burning healthy machines.

use serde_json::{Value, json};

use super::act::bad_release;
use crate::journeys::desk::{Desk, text};
use crate::real::moto::region_or_skip;

fn first_row(desk: &Desk, arguments: &[&str], code: i32) -> Value {
    desk.run(arguments).ended(code).json()["rows"][0].take()
}

fn refusal(desk: &Desk, arguments: &[&str]) -> String {
    let refused = desk.run(&[&["plan"], arguments].concat()).ended(1).json();
    text(&refused["refusals"][0]["reason"])
}

#[test]
fn a_locked_group_is_left_alone_and_a_banned_image_is_bad_in_its_region() {
    let test = "a_locked_group_is_left_alone_and_a_banned_image_is_bad_in_its_region";
    let Some(region) = region_or_skip(test) else { return };
    let (_, old, new) = bad_release(&region, 2);
    let desk = Desk::at(&[]);
    let place = desk.region(&region);
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    desk.run(&["lock", &format!("place:{place}"), "--reason", "the auditors look"]).ended(0);
    assert!(refusal(&desk, &["rollback", "checkout"]).contains("the auditors look"));
    // A plan from before the lock waits, and sends nothing.
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let waits = desk.operation("it to wait", |operation| operation["plan"] == plan.as_str());
    assert_eq!((region.refreshes("checkout").len(), &waits["steps"][0]["sent_at"]), (1, &Value::Null), "{waits}");
    let number = desk.run(&["lock"]).ended(0).json()["rows"][0]["number"].to_string();
    desk.run(&["unlock", &number]).ended(0);
    apply.end_in(&region).operation("done", 0);
    assert_eq!(region.versions("checkout"), ["1"; 2]);

    desk.run(&["quarantine", &old, "--reason", "it loses orders"]).ended(0);
    let bad = first_row(&desk, &["drift", "svc:checkout"], 1);
    assert_eq!((&bad["verdict"], &bad["off"]), (&json!("quarantined"), &json!(2)), "{bad}");
    assert!(text(&bad["reason"]).contains("it loses orders"), "{bad}");
    desk.run(&["quarantine", &new, "--reason", "this one too"]).ended(0);
    let named = ["rollback", "checkout", "--to-revision", "2"];
    assert!(refusal(&desk, &named).contains("quarantined"));
    desk.plan(&[&named[..], &["--reason", "to reproduce it"]].concat());
    desk.run(&["unquarantine", &old]).ended(0);
    assert_eq!(first_row(&desk, &["fleet", "svc:checkout"], 0)["verdict"], "ok");
}

#[test]
fn the_floor_refuses_a_group_that_takes_more_than_it_leaves() {
    let Some(region) = region_or_skip("the_floor_refuses_a_group_that_takes_more_than_it_leaves") else { return };
    bad_release(&region, 2);
    let desk = Desk::at(&[]);
    desk.configure("floor = \"100%\"");
    desk.region(&region);
    // A machine that is terminated is gone before another is there.
    let why = refusal(&desk, &["replace", "checkout", "--oldest", "1"]);
    assert!(why.contains("leaves 1 of 2 healthy") && why.contains("floor is 100%"), "{why}");
    assert_eq!(region.refreshes("checkout").len(), 1, "nothing was sent");
}

#[test]
fn the_oldest_machine_is_burnt_and_another_takes_its_place() {
    let Some(region) = region_or_skip("the_oldest_machine_is_burnt_and_another_takes_its_place") else { return };
    bad_release(&region, 3);
    let desk = Desk::at(&[]);
    desk.configure("floor = \"60%\"");
    desk.region(&region);
    let names = || {
        let rows = desk.run(&["instances", "svc:checkout"]).ended(0).json();
        let rows = rows["rows"].as_array().expect("rows");
        let mut all: Vec<(String, String)> =
            rows.iter().map(|row| (text(&row["started_at"]), text(&row["name"]))).collect();
        all.sort();
        all.into_iter().map(|(_, name)| name).collect::<Vec<String>>()
    };
    let before = names();
    let (plan, code, shown) = desk.plan(&["replace", "checkout", "--oldest", "1"]);
    let steps = shown["waves"][0]["steps"].as_array().expect("steps");
    assert_eq!((steps.len(), steps[0]["from"]["image"].clone()), (1, steps[0]["to"]["image"].clone()), "{shown}");
    desk.start(&["apply", &plan, "--code", &code]).end_in(&region).operation("done", 0);
    let after = names();
    assert_eq!((before.len(), after.len()), (3, 3));
    let gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
    assert_eq!(gone.len(), 1, "{before:?} {after:?}");
    assert_eq!(region.versions("checkout"), ["2"; 3], "what it runs is what it ran");
    let (_, _, shown) = desk.plan(&["replace", "checkout", "--random", "1"]);
    assert_eq!(shown["waves"][0]["steps"].as_array().map(Vec::len), Some(1), "{shown}");
}

#[test]
fn a_stop_with_the_way_back_takes_a_group_back() {
    let Some(region) = region_or_skip("a_stop_with_the_way_back_takes_a_group_back") else { return };
    bad_release(&region, 4);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let running = desk.operation("the step to be taken", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][0]["accepted_at"].is_string()
    });
    region.step(2);
    let operation = text(&running["operation"]);
    let back = desk.start(&["abort", &operation, "--return"]);
    let returned = back.end_in(&region).operation("done", 0);
    apply.end_in(&region);
    assert!(text(&returned["title"]).ends_with(&format!("back from {operation}")), "{returned}");
    assert_eq!(region.versions("checkout"), ["2"; 4], "as it was before");
}
