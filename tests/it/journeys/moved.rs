//! Facts that move after a plan was made, and two who act at once: what was not confirmed is not done.

use serde_json::{Value, json};

use super::desk::{CRASH_LOOP, Desk, V41, V42, asked, changes, release, text, wait_bad};
use super::rollback::versions;
use crate::real::cluster::{STRATEGIC_PATCH, User, cluster_or_skip, deployments, pair_or_skip};

const V43: &str = "registry.example:5000/shop/app:v43";

#[test]
fn a_plan_whose_facts_moved_is_refused_and_nothing_is_sent() {
    let Some(cluster) = cluster_or_skip("a_plan_whose_facts_moved_is_refused_and_nothing_is_sent") else { return };
    let namespace = "journey-moved";
    let only = format!("ns:{namespace}");
    versions(cluster, namespace, 2, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    let rollback = ["rollback", "app", only.as_str(), "--to-revision", "1"];
    let path = deployments(namespace, Some("app"));

    let (plan, code, _) = desk.plan(&rollback);
    release(cluster, namespace, V43, None);
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(1);
    assert!(said.err.contains("its template was changed") && said.err.contains("nothing was done"), "{said}");

    cluster.wait_rolled_out(namespace, "app");
    let (plan, code, _) = desk.plan(&rollback);
    let strategy = json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}});
    cluster.patch(&path, STRATEGIC_PATCH, &strategy);
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(1);
    assert!(said.err.contains("its update strategy was changed"), "{said}");
    assert_eq!(changes(cluster, namespace), Vec::<Value>::new());
    assert_eq!(desk.operations(), Vec::<Value>::new(), "nothing began");

    // Counts are no such fact.
    let strategy = json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}}});
    cluster.patch(&path, STRATEGIC_PATCH, &strategy);
    let (plan, code, _) = desk.plan(&rollback);
    cluster.patch(&path, STRATEGIC_PATCH, &json!({"spec": {"replicas": 4}}));
    let operation = desk.run(&["apply", &plan, "--code", &code]).operation("done", 0);
    assert!(text(&operation["steps"][0]["detail"]).contains("4 of 4 run 9f2c41d0"), "{operation}");
    assert_eq!(changes(cluster, namespace).len(), 1);
}

#[test]
fn a_fact_that_moves_between_two_waves_pauses_until_its_new_code() {
    let Some((eu, us)) = pair_or_skip("a_fact_that_moves_between_two_waves_pauses_until_its_new_code") else { return };
    let namespace = "journey-between";
    for cluster in [eu, us] {
        versions(cluster, namespace, 2, &[V41]);
        release(cluster, namespace, V42, Some((CRASH_LOOP, "")));
        wait_bad(cluster, namespace, V42);
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    desk.policy("4s", "40s");
    let (plan, code, _) = desk.plan(&["rollback", "app", &format!("ns:{namespace}")]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    desk.operation("the first step to be taken", |operation| operation["steps"][0]["accepted_at"].is_string());
    release(us, namespace, V43, None);
    let said = apply.end();
    let operation = said.operation("paused", 1);
    let (id, reason) = (text(&operation["operation"]), text(&operation["reason"]));
    assert!(reason.contains("plan moved") && reason.contains("its template was changed"), "{reason}");
    assert_eq!(operation["steps"][0]["state"], "verified");
    assert_eq!(operation["steps"][1]["state"], "waiting");
    assert_eq!(changes(us, namespace), Vec::<Value>::new());

    let listed = desk.operation("it in the list", |_| true);
    let new_code = text(&listed["resume_code"]);
    assert_ne!(new_code, code, "another plan, another code");
    for wrong in [["--code", "zzzz"].as_slice(), &["--code", &code], &[]] {
        let said = desk.run(&[&["resume", id.as_str()], wrong].concat()).ended(2);
        assert!(said.err.contains("code"), "{said}");
    }
    assert_eq!(changes(us, namespace), Vec::<Value>::new());
    desk.run(&["resume", &id, "--code", &new_code]).operation("done", 0);
    assert_eq!((changes(eu, namespace).len(), changes(us, namespace).len()), (1, 1));
    assert_eq!(asked(us, namespace), V41);
}

/// How often two race for one workload; `ROLLDECK_RACES` sets it.
fn races() -> usize {
    let set = std::env::var("ROLLDECK_RACES").ok();
    set.map_or(3, |set| set.parse().expect("ROLLDECK_RACES is a number"))
}

#[test]
fn of_two_who_start_at_once_exactly_one_acts() {
    let Some(cluster) = cluster_or_skip("of_two_who_start_at_once_exactly_one_acts") else { return };
    let namespace = "journey-race";
    let only = format!("ns:{namespace}");
    versions(cluster, namespace, 3, &[V41]);
    let desks = [(); 2].map(|()| Desk::at(&[(cluster, User::Admin, None)]));
    for race in 1..=races() {
        release(cluster, namespace, V42, Some((CRASH_LOOP, "")));
        wait_bad(cluster, namespace, V42);
        let plans = desks.each_ref().map(|desk| desk.plan(&["rollback", "app", &only]));
        let racing = desks.iter().zip(&plans);
        let racing: Vec<_> =
            racing.map(|(desk, (plan, code, _))| desk.start(&["apply", plan, "--code", code])).collect();
        let said: Vec<_> = racing.into_iter().map(super::desk::Running::end).collect();
        let both = format!("race {race}\n{}\n{}", said[0], said[1]);
        let (won, lost): (Vec<_>, Vec<_>) = said.iter().partition(|said| said.code == Some(0));
        assert_eq!((won.len(), lost.len()), (1, 1), "{both}");
        assert_eq!(changes(cluster, namespace).len(), race, "{both}");
        assert_eq!((won[0].json()["state"].as_str(), lost[0].code), (Some("done"), Some(1)), "{both}");
        // It saw the change before it began, or was told when it was about to send.
        let is_told = lost[0].err.contains("its template was changed") || lost[0].err.contains("somebody else");
        assert!(is_told, "{both}");
        cluster.wait_rolled_out(namespace, "app");
    }
}

#[test]
fn what_is_taken_back_right_after_the_end_is_no_success() {
    let Some(cluster) = cluster_or_skip("what_is_taken_back_right_after_the_end_is_no_success") else { return };
    let namespace = "journey-reverted";
    versions(cluster, namespace, 2, &[V41, V42]);
    let desk = Desk::at(&[(cluster, User::Admin, None)]);
    desk.watch("15s");
    let (plan, code, _) = desk.plan(&["rollback", "app", &format!("ns:{namespace}")]);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let id = desk.operation("its step to be verified", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][0]["state"] == "verified"
    });
    assert_eq!(id["state"], "running", "it is watched before it is done: {id}");
    release(cluster, namespace, V42, None);
    let reverted = apply.end().operation("failed", 1);
    assert!(text(&reverted["reason"]).contains("reverted by"), "{reverted}");
    assert_eq!(changes(cluster, namespace).len(), 1, "nothing more was sent");
}
