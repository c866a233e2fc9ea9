//! What was held is owed until the fleet shows that it is given back; what was asked is obeyed by whoever drives; a lost
//! answer is judged by what came after it was given up.

use std::time::Duration;

use rolldeck::app::effect::Effect;
use rolldeck::app::event::{CallAnswer, ControlRequest, Event, ProviderEvent};
use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::id::{OperationId, PlaceId};
use rolldeck::domain::journal::{Call, Entry, Outcome as Ended, Receipt, Request};
use rolldeck::domain::observation::{Batch, Observation, PlaceState};
use rolldeck::domain::operation::{Alive, Mode, Operation, StepState, paid as paid_entry};
use rolldeck::domain::plan::Goto;
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Fault, Intervention};
use rolldeck::runtime::session::Session;
use rolldeck::runtime::store::Journal;

use crate::harness::{Driving, Harness, deployment};
use crate::stage::{Stage, all_live, operation, rollback_plan, start, until};

/// One place whose release is bad, and one whose release is not.
const ONE_BAD: &str = r#"
name = "one-bad"
title = "One bad place"
description = "For tests."
seed = 3
policy = { bake = "5s", step_timeout = "60s", order = ["k8s/a", "k8s/b"] }
places = [{ id = "k8s/a", latency = "40ms" }, { id = "k8s/b", latency = "40ms" }]
[[services]]
name = "app"
namespace = "shop"
versions = [{ tag = "v1", age = "9d" }, { tag = "v2", age = "2d" }, { tag = "v3", age = "6m", fails = "readiness" }]
at = [{ place = "k8s/*", replicas = 8 }]
"#;

fn first(operation: &Operation) -> StepState {
    operation.steps.values().next().expect("it has a step").state
}

async fn process(stage: &Stage, state: &std::path::Path, who: &str) -> Session {
    let mut session = stage.process(state, who);
    all_live(&mut session).await;
    session
}

/// A rollback of one place that was stopped in its middle: ended, and its workload held.
async fn stopped_in_the_middle(stage: &Stage, state: &std::path::Path) -> (Session, OperationId) {
    let mut session = process(stage, state, "ana").await;
    let plan = rollback_plan(&session, "app place:k8s/a");
    let id = start(&mut session, plan);
    until(&mut session, "the step is accepted", |session| {
        session.model.operations.get(&id).is_some_and(|tracked| first(&tracked.operation) == StepState::Accepted)
    })
    .await;
    let effects = session.model.operations.ask(&id, ControlRequest::Plain(Request::Stop), &Text::new("ana"));
    session.perform(effects);
    until(&mut session, "it has ended", |session| operation(session, &id).ended.is_some()).await;
    assert_eq!(operation(&session, &id).debts.len(), 1, "what is held is owed");
    (session, id)
}

fn paid(state: &std::path::Path) -> Vec<String> {
    let records = Journal::open(state).expect("opens").replay(0).expect("readable");
    let how = |entry: Entry| if let Entry::DebtPaid { how, .. } = entry { Some(how.to_string()) } else { None };
    records.into_iter().filter_map(|record| how(record.entry)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_somebody_took_off_by_hand_is_owed_no_longer() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let (mut session, id) = stopped_in_the_middle(&stage, state.path()).await;
    assert!(stage.world.intervene(&deployment("k8s/a", "shop", "app"), &Intervention::Resume));
    until(&mut session, "the debt is paid", |session| operation(session, &id).debts.is_empty()).await;
    assert_eq!(paid(state.path()), ["its pause was taken off by somebody else"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_twice_is_not_owed_twice() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let (mut session, id) = stopped_in_the_middle(&stage, state.path()).await;
    let call = Call::Brake(*operation(&session, &id).steps.keys().next().expect("it has a step"));
    let answer = CallAnswer::Accepted(Receipt { generation: 9, template: None, notes: Vec::new() });
    session.give(Event::Provider(ProviderEvent::Executed { operation: id.clone(), call, answer }));
    let from = session.model.now;
    until(&mut session, "a while has passed", |session| session.model.now.duration_since(from).as_secs() > 5).await;
    assert_eq!(operation(&session, &id).debts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_held_workload_that_was_deleted_is_owed_nothing() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let (mut session, id) = stopped_in_the_middle(&stage, state.path()).await;
    assert!(stage.world.intervene(&deployment("k8s/a", "shop", "app"), &Intervention::Remove));
    until(&mut session, "the debt is gone", |session| operation(session, &id).debts.is_empty()).await;
    assert_eq!(paid(state.path()), ["the workload was deleted"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_answer_was_lost_pays_what_another_operation_owed() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let (mut session, owing) = stopped_in_the_middle(&stage, state.path()).await;
    stage.world.fault(&rolldeck::domain::id::PlaceId::new("k8s/a"), 0, Fault::LoseAnswer);
    let plan = rollback_plan(&session, "app place:k8s/a");
    let releasing = start(&mut session, plan);
    until(&mut session, "it has ended", |session| {
        session.model.operations.get(&releasing).is_some_and(|tracked| tracked.operation.ended.is_some())
    })
    .await;
    assert!(operation(&session, &owing).debts.is_empty(), "{:?}", operation(&session, &owing).debts);
    assert_eq!(paid(state.path()), [format!("released by {releasing}")]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_driver_did_not_live_to_write_down_is_obeyed_by_the_next_one() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let mut owner = process(&stage, state.path(), "ana").await;
    let mut asking = process(&stage, state.path(), "ben").await;
    let plan = rollback_plan(&owner, "app");
    let id = start(&mut owner, plan);
    until(&mut asking, "it is seen", |session| {
        session.model.operations.get(&id).is_some_and(|tracked| tracked.alive == Alive::Elsewhere)
    })
    .await;
    let effects = asking.model.operations.ask(&id, ControlRequest::Plain(Request::Stop), &Text::new("ben"));
    asking.perform(effects);
    drop(owner);
    until(&mut asking, "nobody drives it", |session| {
        session.model.operations.get(&id).is_some_and(|tracked| tracked.alive == Alive::Nobody)
    })
    .await;
    asking.perform(vec![Effect::Claim(id.clone())]);
    until(&mut asking, "it is stopped", |session| operation(session, &id).ended.is_some()).await;
    let outcome = operation(&asking, &id).ended.as_ref().map(|(outcome, ..)| *outcome);
    assert_eq!(outcome, Some(Ended::Stopped));
    assert!(Journal::open(state.path()).expect("opens").requests(&id).expect("readable").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_brake_whose_answer_was_lost_while_its_step_ended_is_owed() {
    let mut harness = Harness::open(ONE_BAD).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    driving.drive(&mut harness, "the first step is done", |operation| first(operation) == StepState::Verified).await;
    // As if it had been asked for in the last moment: written down, sent, done, and no answer came.
    let brake = Call::Brake(*driving.operation.steps.keys().next().expect("it has a step"));
    driving.append(Entry::Sent { call: brake, present: Vec::new() }, harness.world.now());
    assert!(harness.world.intervene(&deployment("k8s/a", "shop", "app"), &Intervention::Pause));
    driving.append(Entry::Unanswered { call: brake, reason: Text::new("no answer") }, harness.world.now());
    driving.ask(Request::Stop, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    assert_eq!(first(&driving.operation), StepState::Verified, "what was verified stays so");
    assert_eq!(driving.operation.debts.len(), 1, "\n{}", driving.story());
}

#[tokio::test(start_paused = true)]
async fn a_mark_on_a_template_that_was_changed_again_proves_nothing() {
    let mut harness = Harness::open(ONE_BAD).await;
    harness.world.fault(&rolldeck::domain::id::PlaceId::new("k8s/a"), 0, Fault::LoseAnswer);
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let is_sent = |operation: &Operation| first(operation) == StepState::Sent;
    driving.drive(&mut harness, "it is sent", is_sent).await;
    harness
        .until("it was done there", |fleet| {
            let mut of_place = fleet.workloads().filter(|workload| *workload.id.place.0 == *"k8s/a");
            of_place.any(|workload| workload.seen.touched_by.is_some())
        })
        .await;
    let other = Intervention::Request(Text::new("v1"));
    assert!(harness.world.intervene(&deployment("k8s/a", "shop", "app"), &other));
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    let (outcome, reason, _) = driving.operation.ended.clone().expect("it has ended");
    assert_eq!(outcome, Ended::Unresolved, "\n{}", driving.story());
    assert!(reason.contains("somebody changed it again"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_request_may_still_be_on_its_way_until_it_was_given_up() {
    let mut harness = Harness::open(ONE_BAD).await;
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    let step = *driving.operation.steps.keys().next().expect("it has a step");
    // Sent a minute ago, given up now: the request may have left at any time until now.
    driving.append(Entry::Sent { call: Call::Step(step), present: Vec::new() }, harness.world.now());
    harness.run_for(Duration::from_secs(58)).await;
    let given_up = harness.world.now();
    driving.append(Entry::Unanswered { call: Call::Step(step), reason: Text::new("no answer within 60 s") }, given_up);
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    let unresolved = driving.records.iter().find(|record| matches!(record.entry, Entry::Unresolved { .. }));
    let waited = unresolved.expect("nobody can tell").at.duration_since(given_up);
    assert!(waited.as_secs() >= 15, "it waited {waited} after it was given up");
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_moved_too_late_does_not_undo_a_stop() {
    let mut harness = Harness::open(ONE_BAD).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    driving.drive(&mut harness, "the first step is done", |operation| first(operation) == StepState::Verified).await;
    let second = *driving.operation.steps.keys().nth(1).expect("it has two steps");
    let bound = driving.operation.plan.step(second).expect("it is there").bound.clone();
    driving.append(Entry::Sent { call: Call::Step(second), present: Vec::new() }, harness.world.now());
    driving.ask(Request::Stop, harness.world.now());
    let differences = vec![Text::new("its template was changed")];
    driving.append(Entry::Moved { step: second, differences, bound: Box::new(bound) }, harness.world.now());
    assert!(matches!(driving.operation.mode, Mode::Stopping { .. }), "{:?}", driving.operation.mode);
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    assert_eq!(driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome), Some(Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn time_for_which_a_step_was_held_is_not_held_against_it() {
    let mut harness = Harness::open(ONE_BAD).await;
    let plan = harness.plan("svc:app place:k8s/a", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    driving.drive(&mut harness, "it is accepted", |operation| first(operation) == StepState::Accepted).await;
    driving.ask(Request::Pause, harness.world.now());
    driving.drive(&mut harness, "it is held", |operation| first(operation) == StepState::Held).await;
    // Five times the step's time-out.
    harness.run_for(Duration::from_secs(300)).await;
    driving.ask(Request::Resume, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    assert_eq!(
        driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome),
        Some(Ended::Done),
        "{}",
        driving.story()
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_held_beside_a_failed_step_is_let_go_before_the_end() {
    let two =
        ONE_BAD.replace("at = [{ place = \"k8s/*\", replicas = 8 }]", "at = [{ place = \"k8s/a\", replicas = 8 }]");
    let other = two.split("[[services]]").nth(1).expect("a service").replace("\"app\"", "\"api\"");
    let mut harness = Harness::open(&format!("{two}\n[[services]]{other}")).await;
    let plan = harness.plan("svc:app,api", Goto::LastGood);
    assert_eq!(plan.waves.len(), 1, "both are in one place");
    let mut driving = Driving::start(plan, harness.world.now());
    let are = |state: StepState| move |operation: &Operation| operation.steps.values().all(|step| step.state == state);
    driving.drive(&mut harness, "both are accepted", are(StepState::Accepted)).await;
    driving.ask(Request::Pause, harness.world.now());
    driving.drive(&mut harness, "both are held", are(StepState::Held)).await;
    let second = *driving.operation.steps.keys().nth(1).expect("two");
    driving.append(Entry::Failed { step: second, reason: Text::new("it sticks") }, harness.world.now());
    driving.ask(Request::Resume, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    assert_eq!(first(&driving.operation), StepState::Verified, "\n{}", driving.story());
    assert_eq!(driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome), Some(Ended::Failed));
}

#[tokio::test(start_paused = true)]
async fn what_is_merely_not_seen_is_owed_still() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let (session, id) = stopped_in_the_middle(&stage, state.path()).await;
    // Another process whose place is live and whose namespace is another one.
    let mut fleet = Fleet::new(Vec::new());
    let place = PlaceId::new("k8s/a");
    fleet.add_place(place.clone());
    let fetched_at = session.model.now + Duration::from_secs(60);
    fleet.apply(Batch { place, fetched_at, observations: vec![Observation::Place(PlaceState::Live)] });
    assert_eq!(paid_entry(operation(&session, &id), &fleet), None);
}

#[tokio::test(start_paused = true)]
async fn a_brake_that_landed_when_its_step_was_done_is_let_go_again() {
    let mut harness = Harness::open(ONE_BAD).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    driving.drive(&mut harness, "the first step is done", |operation| first(operation) == StepState::Verified).await;
    let brake = Call::Brake(*driving.operation.steps.keys().next().expect("it has a step"));
    driving.append(Entry::Sent { call: brake, present: Vec::new() }, harness.world.now());
    assert!(harness.world.intervene(&deployment("k8s/a", "shop", "app"), &Intervention::Pause));
    driving.append(Entry::Unanswered { call: brake, reason: Text::new("no answer") }, harness.world.now());
    driving.drive(&mut harness, "it has ended", |operation| operation.ended.is_some()).await;
    assert_eq!(
        driving.operation.ended.as_ref().map(|(outcome, ..)| *outcome),
        Some(Ended::Done),
        "{}",
        driving.story()
    );
    assert_eq!(harness.world.is_held(&deployment("k8s/a", "shop", "app")), Some(false), "{}", driving.story());
    assert!(driving.operation.debts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_swallowed_by_a_fact_that_moved() {
    let mut harness = Harness::open(ONE_BAD).await;
    let plan = harness.plan("svc:app", Goto::LastGood);
    let mut driving = Driving::start(plan, harness.world.now());
    driving.drive(&mut harness, "the first step is done", |operation| first(operation) == StepState::Verified).await;
    let second = *driving.operation.steps.keys().nth(1).expect("it has two steps");
    let bound = driving.operation.plan.step(second).expect("it is there").bound.clone();
    let moved = || Entry::Moved {
        step: second,
        differences: vec![Text::new("its template was changed")],
        bound: Box::new(bound.clone()),
    };
    for order in [[true, false], [false, true]] {
        for is_pause in order {
            match is_pause {
                true => driving.ask(Request::Pause, harness.world.now()),
                false => driving.append(moved(), harness.world.now()),
            }
        }
        assert!(matches!(driving.operation.mode, Mode::Paused { .. }), "{:?}", driving.operation.mode);
        driving.ask(Request::Resume, harness.world.now());
    }
}

/// A workload that owes and goes while nobody watches is never seen to be gone: somebody has to say so.
#[tokio::test(start_paused = true)]
async fn what_can_never_be_given_back_is_written_off_with_a_reason() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let (session, id) = stopped_in_the_middle(&stage, state.path()).await;
    drop(session);
    assert!(stage.world.intervene(&deployment("k8s/a", "shop", "app"), &Intervention::Remove));
    let mut session = process(&stage, state.path(), "bob").await;
    let from = session.model.now;
    until(&mut session, "a while has passed", |session| session.model.now.duration_since(from).as_secs() > 60).await;
    assert_eq!(operation(&session, &id).debts.len(), 1, "nobody saw it go");
    session.model.operations.write_off(&id, Text::new("written off by bob: its namespace is gone"));
    until(&mut session, "nothing is owed", |session| operation(session, &id).debts.is_empty()).await;
    assert_eq!(paid(state.path()), ["written off by bob: its namespace is gone"]);
}

/// A share first, held by our own brake: the rest follows once the share has stayed healthy.
#[tokio::test(start_paused = true)]
async fn a_rollout_is_held_after_its_first_share_and_goes_on_when_that_has_baked() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let mut session = process(&stage, state.path(), "ana").await;
    session.model.settings.policy.base.first_percent = Some(25);
    session.model.settings.policy.base.bake = Duration::from_secs(30);
    let plan = rollback_plan(&session, "app place:k8s/a");
    let id = start(&mut session, plan);
    until(&mut session, "it is held", |session| {
        session.model.operations.get(&id).is_some_and(|tracked| first(&tracked.operation) == StepState::Held)
    })
    .await;
    let held_at = session.model.now;
    assert_eq!(operation(&session, &id).debts.len(), 1, "what is held is owed, for as long as it is");
    until(&mut session, "it says so", |session| {
        let waits = session.model.operations.get(&id).and_then(|tracked| tracked.gates.waiting_for.clone());
        waits.is_some_and(|waits| waits.contains("the first 25% bakes"))
    })
    .await;
    let census = stage.world.census(&deployment("k8s/a", "shop", "app")).expect("it is there");
    let new = census.instances.iter().filter(|one| one.template == census.template).count();
    assert!((2..8).contains(&new), "a share of 8, not all: {new}");
    until(&mut session, "it has ended", |session| operation(session, &id).ended.is_some()).await;
    let (outcome, _, at) = operation(&session, &id).ended.clone().expect("it has");
    assert_eq!((outcome, operation(&session, &id).debts.len()), (Ended::Done, 0));
    assert!(at.duration_since(held_at).as_secs() >= 30, "the share has baked");
    let verbs: Vec<&str> = stage.world.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["restore_revision", "brake", "release"]);
}

/// An operator who holds it before that share is there has looked at nothing.
#[tokio::test(start_paused = true)]
async fn a_pause_before_the_first_share_does_not_stand_for_its_bake() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let mut session = process(&stage, state.path(), "ana").await;
    session.model.settings.policy.base.first_percent = Some(25);
    session.model.settings.policy.base.bake = Duration::from_secs(30);
    let plan = rollback_plan(&session, "app place:k8s/a");
    let id = start(&mut session, plan);
    let is = |session: &Session, state| {
        session.model.operations.get(&id).is_some_and(|tracked| first(&tracked.operation) == state)
    };
    until(&mut session, "it is accepted", |session| is(session, StepState::Accepted)).await;
    let hold = session.model.operations.ask(&id, ControlRequest::Plain(Request::Pause), &Text::new("ana"));
    session.perform(hold);
    until(&mut session, "it is held", |session| is(session, StepState::Held)).await;
    let go_on = session.model.operations.ask(&id, ControlRequest::Plain(Request::Resume), &Text::new("ana"));
    session.perform(go_on);
    until(&mut session, "it has ended", |session| operation(session, &id).ended.is_some()).await;
    let verbs: Vec<&str> = stage.world.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["restore_revision", "brake", "release", "brake", "release"]);
    let (outcome, _, at) = operation(&session, &id).ended.clone().expect("it has");
    let released = stage.world.calls().last().expect("it was released").at;
    assert_eq!(outcome, Ended::Done);
    assert!(at > released);
}

/// The brake of the first share may be refused; the rollout goes on, and that is said.
#[tokio::test(start_paused = true)]
async fn a_first_share_that_can_not_be_held_is_said() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(ONE_BAD);
    let mut session = process(&stage, state.path(), "ana").await;
    session.model.settings.policy.base.first_percent = Some(25);
    let plan = rollback_plan(&session, "app place:k8s/a");
    stage.world.fault(&PlaceId::new("k8s/a"), 1, Fault::Refuse(Text::new("webhook says no")));
    let id = start(&mut session, plan);
    until(&mut session, "it says so", |session| {
        let waits = session.model.operations.get(&id).and_then(|tracked| tracked.gates.waiting_for.clone());
        waits.is_some_and(|waits| waits.contains("not held after its first 25%: webhook says no"))
    })
    .await;
    until(&mut session, "it has ended", |session| operation(session, &id).ended.is_some()).await;
    assert!(matches!(operation(&session, &id).ended, Some((Ended::Done, ..))));
}
