//! Instances that a platform does not replace by itself: taken away one by one after the patch, each once, whoever drives.

use rolldeck::domain::journal::{Call, Entry, Outcome};
use rolldeck::domain::operation::{Operation, StepState};
use rolldeck::domain::plan::{Action, Follows, Goto};

use crate::harness::{Driving, Harness};

fn scenario(replace: &str, fails: &str) -> String {
    format!(
        r#"
name = "by-hand"
title = "A set"
description = "For tests."
seed = 5
policy = {{ bake = "5s", step_timeout = "120s", floor = "50%", order = ["k8s/a"] }}
places = [{{ id = "k8s/a", latency = "40ms" }}]
[[services]]
name = "db"
namespace = "shop"
kind = "StatefulSet"
replace = "{replace}"
versions = [{{ tag = "v1", age = "9d" }}, {{ tag = "v2", age = "6m"{fails} }}]
at = [{{ place = "k8s/a", replicas = 4 }}]
"#
    )
}

fn done_evictions(operation: &Operation) -> usize {
    let evictions = operation.plan.steps().filter(|step| matches!(step.action, Action::Evict { .. }));
    evictions.filter(|step| operation.progress(step.id).state == StepState::Verified).count()
}

fn check_end(driving: &Driving, harness: &Harness) {
    let (outcome, ..) = driving.operation.ended.clone().expect("it has ended");
    assert_eq!(outcome, Outcome::Done, "\n{}", driving.story());
    let db = harness.workload("k8s/a", "db");
    assert_eq!((db.judgement.tally.ok, db.judgement.tally.healthy), (4, 4), "\n{}", driving.story());
    for step in driving.operation.plan.steps() {
        let is_it = |entry: &Entry| matches!(entry, Entry::Sent { call: Call::Step(sent), .. } if *sent == step.id);
        let sent = driving.records.iter().filter(|record| is_it(&record.entry)).count();
        assert!(sent <= 1, "step {} was sent {sent} times\n{}", step.id, driving.story());
    }
}

#[tokio::test(start_paused = true)]
async fn on_delete_is_driven_one_by_one_by_whoever_has_taken_it_over() {
    let mut harness = Harness::open(&scenario("OnDelete", "")).await;
    let plan = harness.plan("svc:db", Goto::LastGood);
    let follows: Vec<Follows> = plan.steps().map(|step| step.follows).collect();
    assert_eq!(follows[0], Follows::Nothing);
    assert!(follows.len() == 5 && follows[1..].iter().all(|follows| *follows == Follows::NewTemplate), "{follows:?}");
    assert_eq!(plan.instances(), 4, "each is counted once");
    let mut driving = Driving::start(plan, harness.world.now());
    driving.drive(&mut harness, "two are done", |operation| done_evictions(operation) == 2).await;
    let is_going = |operation: &Operation| {
        operation.steps.values().filter(|progress| progress.state == StepState::Accepted).count() > 1
    };
    driving.drive(&mut harness, "the third is on its way", is_going).await;
    let mut driving = driving.take_over(harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    check_end(&driving, &harness);
}

#[tokio::test(start_paused = true)]
async fn one_that_the_platform_has_replaced_meanwhile_is_not_asked_for() {
    let mut harness = Harness::open(&scenario("RollingUpdate", ", fails = \"readiness\"")).await;
    let plan = harness.plan("svc:db", Goto::LastGood);
    assert!(plan.steps().count() > 1, "what is not ready is taken away: {plan:?}");
    assert!(plan.steps().next().is_some_and(|step| step.brake.exists()));
    let driving = harness.operate(plan).await;
    check_end(&driving, &harness);
}
