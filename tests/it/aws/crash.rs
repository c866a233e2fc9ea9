//! kill -9 between StartInstanceRefresh and its answer, answers that are lost, a server that fails: nothing is sent twice.

use serde_json::{Value, json};

use super::act::bad_release;
use crate::journeys::desk::{Desk, text};
use crate::journeys::relay::{Keep, Relay};
use crate::real::moto::region_or_skip;

/// Begins a rollback through a relay, and ends rolldeck once the relay has kept the request or its answer; the operation.
fn killed(desk: &Desk, relay: &Relay, keep: Keep) -> String {
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    relay.keep(keep);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    relay.wait_kept();
    apply.kill();
    let operation = desk.operation("the journal to have it", |operation| operation["plan"] == plan.as_str());
    assert_eq!((&operation["state"], &operation["steps"][0]["state"]), (&json!("interrupted"), &json!("sent")));
    assert_eq!(operation["steps"][0]["accepted_at"], Value::Null, "nobody heard of it");
    text(&operation["operation"])
}

#[test]
fn killed_between_the_refresh_and_its_answer_it_goes_on_and_sends_nothing_twice() {
    let name = "killed_between_the_refresh_and_its_answer_it_goes_on_and_sends_nothing_twice";
    let Some(region) = region_or_skip(name) else { return };
    bad_release(&region, 3);
    let relay = Relay::to_aws(region.moto().port());
    let desk = Desk::at(&[]);
    desk.region_at(&region, relay.url());
    let operation = killed(&desk, &relay, Keep::Answer);
    assert_eq!(region.refreshes("checkout").len(), 2, "it was done");
    let done = desk.start(&["resume", &operation]).end_in(&region).operation("done", 0);
    assert_eq!(done["steps"][0]["state"], "verified");
    assert_eq!(region.versions("checkout"), ["1", "1", "1"]);
    assert_eq!(relay.changes(), ["StartInstanceRefresh"]);
}

#[test]
fn killed_before_the_refresh_arrived_it_is_unresolved_and_not_sent_again() {
    let name = "killed_before_the_refresh_arrived_it_is_unresolved_and_not_sent_again";
    let Some(region) = region_or_skip(name) else { return };
    bad_release(&region, 3);
    let relay = Relay::to_aws(region.moto().port());
    let desk = Desk::at(&[]);
    desk.region_at(&region, relay.url());
    let operation = killed(&desk, &relay, Keep::Request);
    let ended = desk.run(&["resume", &operation]).operation("unresolved", 3);
    let detail = text(&ended["steps"][0]["detail"]);
    assert!(detail.contains("looks not done") && detail.contains("look once more"), "{detail}");
    assert_eq!((region.refreshes("checkout").len(), relay.changes().len()), (1, 1));
}

#[test]
fn an_answer_that_is_lost_is_found_in_the_account() {
    let Some(region) = region_or_skip("an_answer_that_is_lost_is_found_in_the_account") else { return };
    bad_release(&region, 3);
    let relay = Relay::to_aws(region.moto().port());
    let desk = Desk::at(&[]);
    desk.region_at(&region, relay.url());
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    relay.keep(Keep::Answer);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    relay.wait_kept();
    relay.lose_kept();
    let done = apply.end_in(&region).operation("done", 0);
    assert!(done["steps"][0]["accepted_at"].is_string(), "{done}");
    assert_eq!(relay.changes(), ["StartInstanceRefresh"], "the SDK has sent nothing again");
}
