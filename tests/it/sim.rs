//! The simulated cloud: its files, the state that each embedded scenario claims, and whole operations over it.

use std::collections::BTreeSet;
use std::time::Duration;

use rolldeck::domain::drift::Verdict;
use rolldeck::domain::id::{PlaceId, StepId, WorkloadKind};
use rolldeck::domain::image::ImageId;
use rolldeck::domain::journal::{Call, Entry, Outcome as Ended, Request};
use rolldeck::domain::observation::{Batch, Observation, PlaceState, Rollout};
use rolldeck::domain::operation::{Mode, Operation, StepState};
use rolldeck::domain::plan::{Brake, Goto, Pick, Unpause, compose};
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Fault, Intervention, Outcome, SCENARIOS, Scenario, list};

use crate::harness::{Driving, Harness, deployment};

/// Two places with a bad version each, and nothing that goes wrong.
const PAIR: &str = r#"
name = "pair"
title = "Two places"
description = "For tests."
seed = 1
policy = { bake = "5s", step_timeout = "60s", order = ["k8s/a", "k8s/b"] }
places = [{ id = "k8s/a", latency = "40ms" }, { id = "k8s/b", latency = "40ms" }]
[[services]]
name = "app"
namespace = "shop"
versions = [{ tag = "v1", age = "9d" }, { tag = "v2", age = "2d" }, { tag = "v3", age = "2h" }]
at = [{ place = "k8s/*", replicas = 8 }]
"#;

const FIRST: StepId = StepId { wave: 1, step: 1 };

#[test]
fn every_embedded_scenario_bears_its_name_and_says_what_there_is_to_see() {
    for (name, text) in SCENARIOS {
        let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scenario.name, *name);
        assert!(!scenario.title.is_empty() && scenario.description.len() > 80, "{name}");
    }
    assert_eq!(list().len(), SCENARIOS.len());
    assert_eq!(list()[0].name, "bad-release", "the default one comes first");
}

#[test]
fn a_faulty_scenario_is_refused_with_line_column_and_what_is_allowed() {
    for (right, wrong, line, says) in [
        ("seed = 1", "sed = 1", 5, "unknown field `sed`"),
        ("\"5s\"", "\"5 sec\"", 6, "durations look like 500ms, 90s"),
        ("\"k8s/*\"", "\"k8s/c\"", 12, "`k8s/c` is none of k8s/a, k8s/b"),
        ("age = \"2h\"", "fails = \"burns\"", 11, "readiness"),
        ("replicas = 8", "requested = \"v9\"", 12, "app has no version v9; its versions are v1, v2, v3"),
        ("\"k8s/a\", latency", "\"k8s/{n}\", latency", 7, "needs `count`"),
        ("name = \"app\"", "name = \"app\"\ncolour = 3", 10, "unknown field `colour`"),
        ("at = [", "at = 3 #", 12, "sequence"),
    ] {
        let text = PAIR.replacen(right, wrong, 1);
        assert_ne!(text, PAIR, "{right} is in the text");
        let error = Scenario::parse(&text).expect_err(wrong).to_string();
        assert!(error.starts_with(&format!("line {line}, column ")), "{wrong}: {error}");
        assert!(error.contains(says), "{wrong}: {error}");
    }
    let error = Scenario::load("no-such").expect_err("there is none").to_string();
    assert!(error.contains("`no-such`") && error.contains("bad-release"), "{error}");
}

/// What a workload shows: verdict, off, all, healthy.
fn check(harness: &Harness, place: &str, name: &str, expected: (Verdict, u32, u32, u32)) {
    let judgement = &harness.workload(place, name).judgement;
    let tally = judgement.tally;
    let shown = (judgement.verdict, tally.off(), tally.instances, tally.healthy);
    assert_eq!(shown, expected, "{name} in {place}: {}", judgement.reason);
}

#[tokio::test(start_paused = true)]
async fn bad_release_is_bad_in_three_places_of_five() {
    let mut harness = Harness::open("bad-release").await;
    harness.run_for(Duration::from_secs(3)).await;
    for (place, expected) in [
        ("k8s/prod-eu", (Verdict::Drift, 10, 25, 15)),
        ("k8s/prod-us", (Verdict::Drift, 5, 20, 15)),
        ("aws/use1", (Verdict::Drift, 4, 20, 16)),
        ("k8s/prod-ap", (Verdict::Ok, 0, 20, 20)),
        ("k8s/staging", (Verdict::Ok, 0, 4, 4)),
    ] {
        check(&harness, place, "checkout", expected);
    }
    check(&harness, "aws/use1", "search", (Verdict::Drift, 5, 12, 12));
    check(&harness, "k8s/prod-us", "mailer", (Verdict::Outlier, 1, 9, 9));
    check(&harness, "k8s/dr-weu", "ledger", (Verdict::Unknown, 0, 6, 0));
    check(&harness, "k8s/prod-eu", "billing", (Verdict::Ok, 0, 12, 9));
    let checkout = harness.workload("k8s/prod-eu", "checkout");
    assert_eq!(checkout.last_good().and_then(|good| good.version.clone()), Some(Text::new("v41")));
    assert!(matches!(checkout.seen.rollout, Rollout::Failed(_)), "{:?}", checkout.seen.rollout);
    let billing = harness.workload("k8s/prod-eu", "billing");
    assert!(billing.is_changed_within(harness.world.now(), Duration::from_secs(3600)));
    let dark = harness.fleet.place(&PlaceId::new("k8s/dr-weu")).expect("known");
    assert!(matches!(dark.state, PlaceState::Stale(_)), "{:?}", dark.state);
    let answered_at = dark.heard_at.expect("it answered once");
    assert!(answered_at.to_string().as_str() < "2026-11-21T03:10:02Z", "the report of silence is no answer");
    let names: BTreeSet<&str> = harness.fleet.services().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 10, "{names:?}");
}

#[test]
fn what_a_group_could_not_be_is_refused_with_the_reason() {
    let group = PAIR.replace("id = \"k8s/b\"", "id = \"aws/b\", kind = \"aws\"");
    let group = group.replace("place = \"k8s/*\", replicas = 8", "place = \"aws/b\", replicas = 8");
    Scenario::parse(&group).expect("a group like others");
    for (right, wrong, line, says) in [
        ("kind = \"aws\"", "kind = \"azure\"", 7, "expected `kubernetes` or `aws`"),
        ("replicas = 8", "max_surge = \"2\"", 12, "app in aws/b: `max_surge` of an Auto Scaling group is a percentage"),
        ("replicas = 8", "max_unavailable = \"120%\"", 12, "is a percentage (\"20%\"), not 120%"),
        ("replicas = 8", "stale = 1", 12, "`stale` is of clusters alone"),
        ("replicas = 8", "touched = 1", 12, "`touched` is of clusters alone"),
        ("age = \"2h\"", "fails = \"image_pull\"", 12, "a machine pulls no image"),
        ("age = \"2h\"", "ami = \"ami-42\"", 11, "`ami-42` is no machine image; write ami- and 17"),
    ] {
        let text = group.replacen(right, wrong, 1);
        assert_ne!(text, group, "{right} is in the text");
        let error = Scenario::parse(&text).expect_err(wrong).to_string();
        assert!(error.starts_with(&format!("line {line}, column ")), "{wrong}: {error}");
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_demos_group_is_told_as_a_real_one_is() {
    let harness = Harness::open("bad-release").await;
    let group = harness.workload("aws/use1", "checkout");
    assert_eq!((group.id.kind, &group.id.namespace), (WorkloadKind::AutoScalingGroup, &None));
    let asked = group.requested().expect("it asks for an image");
    assert!(asked.is_machine() && group.called() == Some(Text::new("v42")), "{asked}");
    assert_eq!(group.seen.strategy.kind, Text::new("InstanceRefresh"));
    assert!(group.seen.owners.is_empty(), "AWS does not say who");
    let versions: Vec<(u64, bool)> = group
        .judgement
        .versions
        .iter()
        .map(|version| (version.number, matches!(version.image, Some(ImageId::Machine { .. }))))
        .collect();
    assert_eq!(versions, [(4, true), (3, true), (2, true), (1, true)], "versions of its launch template");
    for instance in harness.fleet.instances_of(group) {
        let seen = &instance.seen;
        assert!(seen.name.starts_with("i-0") && seen.name.len() == 19 && seen.uid.0 == seen.name, "{}", seen.name);
        assert!(matches!(&seen.containers[0].running, Some(ImageId::Machine { .. })), "{:?}", seen.containers);
        let why = seen.reason.as_deref().unwrap_or_default();
        assert!(!why.contains("CrashLoop") && !why.contains("container"), "{why}");
    }
    let cluster = harness.workload("k8s/prod-us", "checkout");
    assert!(group.asks_like(cluster), "one release, by its name");
    assert!(matches!(cluster.judgement.requested, Some(ImageId::Oci { .. })), "a digest there");
}

/// A way back of the demo's group, with what goes wrong on it.
async fn group_rolled_back(faults: &[Fault]) -> (Driving, Harness) {
    let mut harness = Harness::open("bad-release").await;
    for fault in faults {
        harness.world.fault(&PlaceId::new("aws/use1"), 0, fault.clone());
    }
    let plan = harness.plan("svc:checkout place:aws/use1", Goto::LastGood);
    assert_eq!(plan.steps().map(|step| step.brake.clone()).collect::<Vec<_>>(), [Brake::CancelRollout]);
    let driving = harness.operate(plan).await;
    (driving, harness)
}

#[tokio::test(start_paused = true)]
async fn a_groups_earlier_ami_comes_back_under_its_number_whatever_becomes_of_the_answer() {
    for faults in [&[][..], &[Fault::LoseAnswer]] {
        let (driving, harness) = group_rolled_back(faults).await;
        check_end(&driving, &harness, Ended::Done, &[("restore_revision", Outcome::Done)]);
        check(&harness, "aws/use1", "checkout", (Verdict::Ok, 0, 20, 20));
        let group = harness.workload("aws/use1", "checkout");
        assert_eq!((group.called(), group.seen.rollout.clone()), (Some(Text::new("v41")), Rollout::Stable));
        let bad = &group.judgement.versions[0];
        assert_eq!((bad.number, bad.rejected.as_deref()), (4, Some("its instance refresh was rolled back")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_refresh_was_stopped_has_two_amis_and_launches_its_own() {
    let mut harness = Harness::open("bad-release").await;
    harness.run_for(Duration::from_secs(150)).await;
    let failed = harness.workload("aws/use1", "checkout").seen.rollout.clone();
    assert!(matches!(&failed, Rollout::Failed(why) if why.contains("the instance refresh failed")), "{failed:?}");
    let plan = harness.plan("svc:checkout place:aws/use1", Goto::Revision(2));
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the refresh began", accepted).await;
    harness.run_for(Duration::from_secs(6)).await;
    driving.ask(Request::Stop, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    let done = Outcome::Done;
    check_end(&driving, &harness, Ended::Stopped, &[("restore_revision", done), ("brake", done)]);
    let held = |fleet: &rolldeck::domain::fleet::Fleet| {
        fleet.workloads().any(|workload| workload.seen.rollout == Rollout::Paused)
    };
    harness.until("the end of the refresh is seen", held).await;
    let latent = harness.workload("aws/use1", "checkout").seen.template.latent.clone().expect("it says so");
    assert!(latent.starts_with("an instance launched now is of version 3"), "{latent}");
    let id = harness.workload("aws/use1", "checkout").id.clone();
    assert!(harness.world.intervene(&id, &Intervention::DeleteInstances(4)));
    harness.run_for(Duration::from_secs(20)).await;
    let newest = harness.fleet.instances_of(harness.workload("aws/use1", "checkout"));
    let newest = newest.max_by_key(|instance| instance.seen.started_at).expect("twenty");
    let version = |number: u64| {
        let versions = &harness.workload("aws/use1", "checkout").judgement.versions;
        versions.iter().find(|version| version.number == number).and_then(|version| version.image.clone())
    };
    assert_eq!(newest.seen.containers[0].running, version(3), "the group's own version");
}

#[tokio::test(start_paused = true)]
async fn a_group_can_not_be_paused_touched_or_given_an_image_of_its_own() {
    let text = include_str!("../scenarios/bad-release.toml");
    let text = text.replacen("running = { \"118\" = 7, \"117\" = 5 }", "paused = true", 1);
    for scenario in ["bad-release", text.as_str()] {
        let harness = Harness::open(scenario).await;
        let search = harness.workload("aws/use1", "search");
        assert_eq!(search.seen.rollout, Rollout::Stable, "no refresh runs");
        harness.world.intervene(&search.id, &Intervention::Pause);
        assert_eq!(harness.world.is_held(&search.id), Some(false));
        let image = search.judgement.versions[1].reference.clone().expect("known");
        let set = Intervention::SetImage { container: Text::new("machine"), image };
        for intervention in [Intervention::Touch, set] {
            assert!(!harness.world.intervene(&search.id, &intervention), "{intervention:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_can_not_be_taken_back_there_is_ended_first() {
    let mut harness = Harness::open("bad-release").await;
    let plan = harness.plan("svc:checkout place:aws/use1", Goto::Revision(2));
    let driving = harness.operate(plan).await;
    let done = Outcome::Done;
    check_end(&driving, &harness, Ended::Done, &[("end_rollout", done), ("restore_revision", done)]);
}

#[tokio::test(start_paused = true)]
async fn same_tag_shows_outliers_where_nothing_is_declared_and_unknown_where_a_tag_is() {
    let harness = Harness::open("same-tag").await;
    check(&harness, "k8s/prod-eu", "report", (Verdict::Outlier, 3, 10, 10));
    check(&harness, "k8s/prod-us", "report", (Verdict::Ok, 0, 10, 10));
    check(&harness, "k8s/prod-us", "gateway", (Verdict::Unknown, 0, 6, 6));
    check(&harness, "k8s/prod-eu", "importer", (Verdict::Ok, 0, 4, 4));
}

#[tokio::test(start_paused = true)]
async fn stuck_rollout_was_given_up_by_its_platform() {
    let harness = Harness::open("stuck-rollout").await;
    let pricing = harness.workload("k8s/prod-eu", "pricing");
    assert!(matches!(&pricing.seen.rollout, Rollout::Failed(why) if why.contains("ProgressDeadlineExceeded")));
    assert_eq!(pricing.judgement.tally.healthy, 6, "the strategy keeps three quarters");
    let stuck = harness.fleet.instances_of(pricing).filter(|instance| instance.seen.reason.is_some());
    let reasons: BTreeSet<&str> = stuck.filter_map(|instance| instance.seen.reason.as_deref()).collect();
    assert_eq!(reasons, ["ImagePullBackOff: registry.example/shop/pricing:v6: manifest unknown"].into());
}

#[tokio::test(start_paused = true)]
async fn churn_changes_instances_and_never_their_number() {
    let mut harness = Harness::open("churn").await;
    let of = |harness: &Harness| -> BTreeSet<String> {
        let workload = harness.workload("k8s/spot-us", "thumbnails");
        let counted = harness.fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted());
        counted.map(|instance| instance.seen.uid.to_string()).collect()
    };
    let mut before = of(&harness);
    for _ in 0..20 {
        harness.run_for(Duration::from_secs(3)).await;
        let after = of(&harness);
        assert_eq!(after.len(), 40);
        assert!(after.difference(&before).count() >= 10, "eight go in a second");
        before = after;
    }
    let total = harness.fleet.instance_count();
    assert!(total < 60 + 60 + 40 + 20, "those that are gone are forgotten: {total}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_fleet_of_100_000_instances_says_nothing_but_that_it_is_there() {
    let mut harness = Harness::open("quiet-100k").await;
    let total = harness.fleet.total();
    assert_eq!((total.instances, total.ok, total.healthy), (100_000, 100_000, 100_000));
    let before = harness.fleet.revision();
    harness.run_for(Duration::from_secs(60)).await;
    let batches = harness.fleet.revision() - before;
    assert!((20 * 11..=20 * 13).contains(&batches), "a heartbeat each five seconds from 20 places, not {batches}");
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_a_scenario_are_the_same() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut harness = Harness::open("churn").await;
        harness.run_for(Duration::from_secs(10)).await;
        let mut names: Vec<String> = harness.fleet.instances().map(|(row, _)| format!("{:?}", row.seen)).collect();
        names.sort();
        runs.push(names);
    }
    assert_eq!(runs[0], runs[1]);
}

/// How an operation ended, and what each place was asked.
fn check_end(driving: &Driving, harness: &Harness, outcome: Ended, calls: &[(&str, Outcome)]) {
    let ended = driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome);
    assert_eq!(ended, Some(outcome), "\n{}", driving.story());
    let received = harness.world.calls();
    let received: Vec<(&str, Outcome)> = received.iter().map(|call| (call.verb, call.outcome)).collect();
    assert_eq!(received, calls, "\n{}", driving.story());
}

fn state_of(operation: &Operation, wave: u16) -> StepState {
    operation.progress(StepId { wave, step: 1 }).state
}

#[tokio::test(start_paused = true)]
async fn a_rollback_over_three_places_ends_done_wave_by_wave() {
    let mut harness = Harness::open("bad-release").await;
    let plan = harness.plan("svc:checkout place:k8s/prod-us,k8s/prod-eu,aws/use1", Goto::LastGood);
    let places: Vec<&str> = plan.waves.iter().map(|wave| wave.place.0.as_str()).collect();
    assert_eq!(places, ["k8s/prod-us", "k8s/prod-eu", "aws/use1"], "the order of the policy");
    let driving = harness.operate(plan).await;
    check_end(&driving, &harness, Ended::Done, &[("restore_revision", Outcome::Done); 3]);
    for place in places_of_checkout() {
        check(&harness, place, "checkout", (Verdict::Ok, 0, 20, 20));
        let mark = harness.workload(place, "checkout").seen.touched_by.clone();
        match place.starts_with("aws/") {
            true => assert_eq!(mark, None, "a group has no room for one"),
            false => {
                let mark = mark.expect("it leaves its mark");
                assert!(mark.starts_with("o-test oncall@example 2026-11-21T03:1"), "{mark}");
            }
        }
    }
    // The bake: between a wave that is verified and the next request five seconds pass at least.
    let at = |is_it: &dyn Fn(&Entry) -> bool| {
        driving.records.iter().find(|record| is_it(&record.entry)).map(|record| record.at)
    };
    let verified = at(&|entry| matches!(entry, Entry::Verified { step, .. } if *step == FIRST)).expect("verified");
    let second = Call::Step(StepId { wave: 2, step: 1 });
    let sent = at(&|entry| matches!(entry, Entry::Sent { call, .. } if *call == second)).expect("sent");
    assert!(sent.duration_since(verified).as_secs() >= 5, "{verified} {sent}");
}

fn places_of_checkout() -> [&'static str; 3] {
    ["k8s/prod-us", "k8s/prod-eu", "aws/use1"]
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_sticks_fails_with_the_deadline_and_stops_the_second_place() {
    let mut harness = Harness::open("stuck-rollout").await;
    let plan = harness.plan("svc:pricing", Goto::Revision(2));
    let driving = harness.operate(plan).await;
    check_end(&driving, &harness, Ended::Failed, &[("restore_revision", Outcome::Done)]);
    let reason = driving.operation.reason();
    assert!(reason.contains("ProgressDeadlineExceeded"), "{reason}");
    assert_eq!(state_of(&driving.operation, 2), StepState::Skipped);
    // v4 still runs: that is the last good one, not the version before.
    let again = harness.plan("svc:pricing", Goto::LastGood);
    let driving = harness.operate(again).await;
    assert_eq!(
        driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome),
        Some(Ended::Done),
        "{}",
        driving.story()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_by_the_mark_and_nothing_is_sent_again() {
    for fault in [Fault::LoseAnswer, Fault::GoDark(Duration::from_secs(20))] {
        let mut harness = Harness::open(PAIR).await;
        harness.world.fault(&PlaceId::new("k8s/a"), 0, fault);
        let plan = harness.plan("svc:app", Goto::LastGood);
        let driving = harness.operate(plan).await;
        check_end(&driving, &harness, Ended::Done, &[("restore_revision", Outcome::Done); 2]);
        let lost = driving.records.iter().any(|record| matches!(record.entry, Entry::Unanswered { .. }));
        assert!(lost, "\n{}", driving.story());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_unresolved_and_not_sent_again() {
    let mut harness = Harness::open(PAIR).await;
    harness.world.fault(&PlaceId::new("k8s/a"), 0, Fault::LoseRequest);
    let plan = harness.plan("svc:app", Goto::LastGood);
    let driving = harness.operate(plan).await;
    check_end(&driving, &harness, Ended::Unresolved, &[]);
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_entry_it_is_taken_over_and_nothing_is_sent_twice() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let entries = harness.operate(plan).await.records.len();
    for stop_at in 1..entries {
        let mut harness = Harness::open(PAIR).await;
        let plan = harness.plan("svc:app", Goto::LastGood);
        let mut driving = Driving::start(plan, harness.world.now());
        let count = |operation: &Operation| operation.last_sequence as usize >= stop_at;
        driving.drive(&mut harness, "it is to be killed", count).await;
        let mut driving = driving.take_over(harness.world.now());
        driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
        check_end(&driving, &harness, Ended::Done, &[("restore_revision", Outcome::Done); 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn killed_before_the_request_left_it_is_unresolved_and_still_not_sent() {
    let mut harness = Harness::open(PAIR).await;
    harness.world.fault(&PlaceId::new("k8s/a"), 0, Fault::LoseRequest);
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let sent = |operation: &Operation| state_of(operation, 1) == StepState::Sent;
    driving.drive(&mut harness, "it is written down", sent).await;
    let mut driving = driving.take_over(harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    check_end(&driving, &harness, Ended::Unresolved, &[]);
    assert_eq!(state_of(&driving.operation, 2), StepState::Skipped);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_goes_dark_in_the_middle_is_waited_for() {
    let mut harness = Harness::open("dark-place").await;
    let plan = harness.plan("svc:inventory", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let is_dark = |operation: &Operation| state_of(operation, 2) == StepState::Accepted;
    driving.drive(&mut harness, "the second place took its step", is_dark).await;
    harness.run_for(Duration::from_secs(20)).await;
    let dark = harness.fleet.place(&PlaceId::new("k8s/prod-us")).expect("known");
    assert!(matches!(dark.state, PlaceState::Stale(_)), "{:?}", dark.state);
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    check_end(&driving, &harness, Ended::Done, &[("restore_revision", Outcome::Done); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_template_that_moved_between_two_waves_holds_the_operation() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let first = |operation: &Operation| state_of(operation, 1) == StepState::Verified;
    driving.drive(&mut harness, "the first wave is done", first).await;
    assert!(harness.world.intervene(&deployment("k8s/b", "shop", "app"), &Intervention::Request(Text::new("v1"))));
    let moved = |operation: &Operation| matches!(operation.mode, Mode::PlanMoved { .. });
    driving.drive(&mut harness, "the plan has moved", moved).await;
    assert_eq!(harness.world.calls().len(), 1, "nothing was sent to the second place");
    assert!(driving.operation.resume_code().is_some());
    let differences = driving.operation.reason();
    assert!(differences.contains("its template was changed"), "{differences}");
}

#[tokio::test(start_paused = true)]
async fn pause_holds_the_rollout_and_resume_lets_it_end() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the first step is accepted", accepted).await;
    driving.ask(Request::Pause, harness.world.now());
    let held = |operation: &Operation| state_of(operation, 1) == StepState::Held;
    driving.drive(&mut harness, "it is held", held).await;
    let id = deployment("k8s/a", "shop", "app");
    assert_eq!(harness.world.is_held(&id), Some(true));
    assert_eq!(driving.operation.debts.len(), 1);
    harness.run_for(Duration::from_secs(30)).await;
    let before = harness.workload("k8s/a", "app").judgement.running.len();
    assert_eq!(before, 2, "old and new stay side by side while it is held");
    driving.ask(Request::Resume, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    let done = Outcome::Done;
    let calls = [("restore_revision", done), ("brake", done), ("release", done), ("restore_revision", done)];
    check_end(&driving, &harness, Ended::Done, &calls);
    assert!(driving.operation.debts.is_empty() && harness.world.is_held(&id) == Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_a_stop_left_held_can_be_rolled_back_in_one_request() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the step is accepted", accepted).await;
    driving.ask(Request::Stop, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    let done = Outcome::Done;
    check_end(&driving, &harness, Ended::Stopped, &[("restore_revision", done), ("brake", done)]);
    let is_held = |fleet: &rolldeck::domain::fleet::Fleet| {
        fleet.workloads().any(|workload| workload.seen.rollout == Rollout::Paused)
    };
    harness.until("the brake is seen", is_held).await;
    let back = harness.plan("svc:app place:k8s/a", Goto::Revision(3));
    assert_eq!(back.waves[0].steps[0].unpause, Unpause::Release);
    let driving = harness.operate(back).await;
    let calls = [("restore_revision", done), ("brake", done), ("restore_revision", done)];
    check_end(&driving, &harness, Ended::Done, &calls);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_ends_although_pods_go_all_the_time() {
    let mut harness = Harness::open("churn").await;
    let plan = harness.plan("svc:worker place:k8s/prod-eu", Goto::LastGood);
    let driving = harness.operate(plan).await;
    check_end(&driving, &harness, Ended::Done, &[("restore_revision", Outcome::Done)]);
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_off_are_replaced_one_after_the_other() {
    let mut harness = Harness::open("bad-release").await;
    let plan = harness.plan("svc:search", Goto::Expected);
    assert_eq!(plan.instances(), 5);
    let driving = harness.operate(plan).await;
    check_end(&driving, &harness, Ended::Done, &[("evict", Outcome::Done); 5]);
    check(&harness, "aws/use1", "search", (Verdict::Ok, 0, 12, 12));
}

#[tokio::test(start_paused = true)]
async fn a_disruption_budget_blocks_and_the_step_fails_in_the_end() {
    let text = PAIR.replacen("namespace = \"shop\"", "namespace = \"shop\"\npdb = \"100%\"\npin = \"tag\"", 1);
    let text = text.replace("place = \"k8s/*\", replicas = 8", "place = \"k8s/a\", replicas = 8, stale = 1");
    let mut harness = Harness::open(&text).await;
    let plan = harness.plan("svc:app", Goto::Expected);
    let driving = harness.operate(plan).await;
    let ended = driving.operation.ended.clone().expect("it has ended");
    assert_eq!(ended.0, Ended::Failed, "{}", driving.story());
    assert!(ended.1.contains("disruption budget"), "{}", ended.1);
    let calls = harness.world.calls();
    assert!(calls.len() > 2 && calls.iter().all(|call| call.outcome == Outcome::Blocked), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn instances_are_not_taken_away_for_an_image_that_nobody_saw_healthy() {
    let harness = Harness::open("stuck-rollout").await;
    let request = rolldeck::domain::plan::PlanRequest {
        pick: Pick::Oldest(2),
        ..harness.request("svc:pricing place:k8s/prod-eu", Goto::Expected)
    };
    let plan = compose(&request, &harness.fleet, &harness.policy, harness.world.now(), &|_| None);
    assert!(
        plan.refusals.iter().any(|refusal| refusal.reason.contains("could spread a bad image")),
        "{:?}",
        plan.refusals
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_three_times_and_no_more() {
    for (conflicts, ended, last) in [(2, Ended::Done, Outcome::Done), (3, Ended::Refused, Outcome::Conflict)] {
        let mut harness = Harness::open(PAIR).await;
        for _ in 0..conflicts {
            harness.world.fault(&PlaceId::new("k8s/a"), 0, Fault::Conflict);
        }
        let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
        let driving = harness.operate(plan).await;
        let calls: Vec<(&str, Outcome)> =
            [Outcome::Conflict, Outcome::Conflict, last].map(|outcome| ("restore_revision", outcome)).to_vec();
        check_end(&driving, &harness, ended, &calls);
    }
}

#[tokio::test(start_paused = true)]
async fn self_heal_puts_the_version_back_and_the_plan_had_said_so() {
    let mut harness = Harness::open("gitops").await;
    let plan = harness.plan("svc:coupons", Goto::LastGood);
    assert!(plan.will_be_undone_by.iter().any(|undone| undone.undoer.by == "Argo CD"), "{:?}", plan.will_be_undone_by);
    let driving = harness.operate(plan).await;
    // It is watched for longer than Argo CD takes: that it was done for a moment is no success.
    let (outcome, reason, _) = driving.operation.ended.clone().expect("it has ended");
    assert_eq!(outcome, Ended::Failed, "{}", driving.story());
    assert!(reason.contains("reverted by Argo CD"), "{reason}");
    let requested =
        |harness: &Harness| harness.workload("k8s/prod-us", "coupons").requested().and_then(|image| image.version());
    harness.run_for(Duration::from_secs(40)).await;
    assert_eq!(requested(&harness), Some(Text::new("v3")));
}

/// Pauses the first step right after it was accepted, resumes it 20 seconds later, and drives it to its end; `faults` are
/// those of the requests to its place.
async fn paused_and_resumed(faults: &[(usize, Fault)]) -> (Driving, Harness) {
    let mut harness = Harness::open(PAIR).await;
    for (after, fault) in faults {
        harness.world.fault(&PlaceId::new("k8s/a"), *after, fault.clone());
    }
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the first step is accepted", accepted).await;
    driving.ask(Request::Pause, harness.world.now());
    let held = |operation: &Operation| state_of(operation, 1) == StepState::Held;
    driving.drive(&mut harness, "it is held", held).await;
    assert_eq!(driving.operation.debts.len(), 1);
    driving.ask(Request::Resume, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    (driving, harness)
}

#[tokio::test(start_paused = true)]
async fn a_brake_or_release_whose_answer_was_lost_is_found_in_the_fleet() {
    let done = Outcome::Done;
    let calls = [("restore_revision", done), ("brake", done), ("release", done), ("restore_revision", done)];
    for after in [1, 2] {
        let (driving, harness) = paused_and_resumed(&[(after, Fault::LoseAnswer)]).await;
        check_end(&driving, &harness, Ended::Done, &calls);
        assert!(driving.operation.debts.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_refused_or_lost_is_not_sent_again_and_stays_a_debt() {
    let done = Outcome::Done;
    let refused = Fault::Refuse(Text::new("no"));
    for (fault, last) in [(refused, Some(("release", Outcome::Refused))), (Fault::LoseRequest, None)] {
        let (driving, harness) = paused_and_resumed(&[(2, fault)]).await;
        let calls: Vec<(&str, Outcome)> =
            [("restore_revision", done), ("brake", done)].into_iter().chain(last).collect();
        check_end(&driving, &harness, Ended::Failed, &calls);
        assert_eq!(driving.operation.debts.len(), 1, "it is still held, and that is said");
        let reason = driving.operation.reason();
        assert!(reason.contains("still held"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_while_it_brakes_the_next_driver_knows_that_it_is_held() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the step is accepted", accepted).await;
    driving.ask(Request::Stop, harness.world.now());
    let braking = |operation: &Operation| operation.progress(FIRST).brake.is_some();
    driving.drive(&mut harness, "the brake is written down", braking).await;
    let mut driving = driving.take_over(harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    let done = Outcome::Done;
    check_end(&driving, &harness, Ended::Stopped, &[("restore_revision", done), ("brake", done)]);
    assert_eq!(state_of(&driving.operation, 1), StepState::Held);
    assert_eq!(driving.operation.debts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_brake_that_a_dark_place_swallowed_is_unresolved_and_not_forgotten() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the step is accepted", accepted).await;
    harness.world.go_dark(&PlaceId::new("k8s/a"), Duration::from_secs(3600));
    driving.ask(Request::Stop, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    assert_eq!(state_of(&driving.operation, 1), StepState::Unresolved, "{}", driving.story());
    assert_eq!(driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome), Some(Ended::Unresolved));
}

#[tokio::test(start_paused = true)]
async fn a_lost_brake_is_not_called_undone_by_what_was_seen_before_it_could_arrive() {
    let mut harness = Harness::open(PAIR).await;
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let accepted = |operation: &Operation| state_of(operation, 1) == StepState::Accepted;
    driving.drive(&mut harness, "the step is accepted", accepted).await;
    let generation =
        driving.operation.progress(StepId { wave: 1, step: 1 }).receipt.clone().expect("accepted").generation;
    let id = deployment("k8s/a", "shop", "app");
    harness.until("it is seen", |fleet| fleet.workload(&id).is_some_and(|one| one.seen.generation >= generation)).await;
    let sent_at = harness.world.now();
    let call = Call::Brake(StepId { wave: 1, step: 1 });
    driving.append(Entry::Sent { call, present: Vec::new() }, sent_at);
    driving.append(Entry::Unanswered { call, reason: Text::new("reset") }, sent_at);
    let mut heard = |at: u64, now: u64| {
        let (at, now) = (sent_at + Duration::from_secs(at), sent_at + Duration::from_secs(now));
        let batch = Batch { place: id.place.clone(), fetched_at: at, observations: vec![Observation::Heartbeat] };
        harness.fleet.apply(batch);
        driving.next(&harness, now)
    };
    assert_eq!(heard(1, 1), None, "it has only just begun to miss an answer");
    assert_eq!(heard(2, 27), None, "25 s have passed, and what is seen is of the second after it was sent");
    assert!(
        matches!(heard(40, 41), Some(Entry::Refused { call: of, .. }) if of == call),
        "now it is seen that it never came"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_may_take_none_and_add_none_takes_one_and_is_held_to_the_floor() {
    let strategy = "name = \"app\"\nmax_unavailable = \"25%\"\nmax_surge = \"0%\"";
    for (kind, place) in [("kubernetes", "k8s/a"), ("aws", "aws/a")] {
        // A quarter of three is none.
        let text = PAIR
            .replace("name = \"app\"", strategy)
            .replace("replicas = 8", "replicas = 3")
            .replace("k8s/*", place)
            .replace("\"k8s/a\", latency", &format!("\"{place}\", kind = \"{kind}\", latency"));
        let harness = Harness::open(&text).await;
        let request = harness.request("svc:app", Goto::LastGood);
        let plan = compose(&request, &harness.fleet, &harness.policy, harness.world.now(), &|_| None);
        let reasons: Vec<&str> = plan.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        assert!(reasons.iter().any(|reason| reason.contains("may leave 2 of 3 healthy")), "{kind}: {reasons:?}");
    }
}
