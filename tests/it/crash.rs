//! kill -9 at any moment: the next start knows what happened, takes over on request, and never sends twice.

use std::collections::BTreeMap;
use std::time::Duration;

use rolldeck::app::event::{ControlRequest, Event};
use rolldeck::app::settings::Connection;
use rolldeck::domain::id::{OperationId, WorkloadId};
use rolldeck::domain::journal::{Call, Outcome, Request};
use rolldeck::domain::observation::PlaceState;
use rolldeck::domain::operation::{Alive, Mode, OperationState, StepState};
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Fault, SimWorld};
use rolldeck::runtime::session::Session;
use rolldeck::runtime::store::Journal;

use crate::stage::{Stage, all_live, operation, rollback_plan, start, until};

/// A release that hangs in two places, small and quick.
const TWO_PLACES: &str = r#"
name = "two-places"
title = "Two places"
description = "For tests."
seed = 7
[policy]
bake = "5s"
step_timeout = "60s"
order = ["k8s/us", "k8s/eu"]
[[places]]
id = "k8s/eu"
latency = "50ms"
[[places]]
id = "k8s/us"
latency = "50ms"
[[services]]
name = "checkout"
namespace = "shop"
progress_deadline = "5m"
versions = [{ tag = "v41", age = "2d" }, { tag = "v42", age = "6m", fails = "readiness" }]
[[services.at]]
place = "k8s/eu"
replicas = 4
[[services.at]]
place = "k8s/us"
replicas = 4
"#;

async fn ready(stage: &Stage, state: &std::path::Path, who: &str) -> Session {
    let mut session = stage.process(state, who);
    all_live(&mut session).await;
    session
}

fn sent(world: &SimWorld) -> BTreeMap<(Call, WorkloadId), usize> {
    let mut counts = BTreeMap::new();
    for call in world.calls() {
        *counts.entry((call.call, call.workload)).or_insert(0) += 1;
    }
    counts
}

fn ended(session: &Session, id: &OperationId) -> Option<Outcome> {
    session.model.operations.get(id)?.operation.ended.as_ref().map(|(outcome, ..)| *outcome)
}

fn take_over(session: &mut Session, id: &OperationId) {
    let who = session.model.settings.driver.who.clone();
    let effects = session.model.operations.ask(id, ControlRequest::Plain(Request::Resume), &who);
    session.perform(effects);
}

/// How many entries the story has when nothing goes wrong.
async fn entries_of_a_whole_run() -> usize {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&session, "checkout");
    let id = start(&mut session, plan);
    until(&mut session, "it has ended", |session| ended(session, &id).is_some()).await;
    assert_eq!(ended(&session, &id), Some(Outcome::Done));
    Journal::open(state.path()).expect("opens").replay(0).expect("readable").len()
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_at_any_entry_is_taken_over_and_nothing_is_sent_twice() {
    let entries = entries_of_a_whole_run().await;
    assert!(entries >= 9, "started, twice sent, accepted, verified, a gate, ended: {entries}");
    let mut interrupted = 0;
    for kill_at in 1..entries {
        let state = tempfile::tempdir().expect("a directory");
        let stage = Stage::open(TWO_PLACES);
        let mut first = ready(&stage, state.path(), "ana").await;
        let plan = rollback_plan(&first, "checkout");
        let id = start(&mut first, plan);
        let journal = Journal::open(state.path()).expect("opens");
        until(&mut first, "the entry is on disk", |_| journal.replay(0).expect("readable").len() >= kill_at).await;
        // Everything that this process was doing ends here, whether its requests were out or not.
        drop(first);

        let mut second = ready(&stage, state.path(), "ben").await;
        let tracked = second.model.operations.get(&id).expect("the journal has it");
        // The last entries are written in one turn of the loop: there is no moment between them.
        if tracked.operation.ended.is_some() {
            continue;
        }
        interrupted += 1;
        assert_eq!(tracked.operation.state(tracked.alive), OperationState::Interrupted, "killed at {kill_at}");
        assert_eq!(tracked.operation.driver.who, "ana");
        let before = sent(&stage.world);
        let from = second.model.now;
        until(&mut second, "a while has passed", |session| session.model.now.duration_since(from).as_secs() > 30).await;
        assert_eq!(sent(&stage.world), before, "nothing is sent unattended, killed at {kill_at}");

        take_over(&mut second, &id);
        until(&mut second, "it has ended", |session| ended(session, &id).is_some()).await;
        let outcome = ended(&second, &id);
        assert!(
            matches!(outcome, Some(Outcome::Done | Outcome::Unresolved)),
            "killed at {kill_at}: {outcome:?} {:?}",
            operation(&second, &id).ended
        );
        if outcome == Some(Outcome::Unresolved) {
            let unresolved = operation(&second, &id)
                .steps
                .values()
                .any(|step| step.state == StepState::Unresolved && !step.detail.is_empty());
            assert!(unresolved, "it says what to look at, killed at {kill_at}");
        }
        let twice: Vec<_> = sent(&stage.world).into_iter().filter(|(_, count)| *count > 1).collect();
        assert!(twice.is_empty(), "killed at {kill_at}, sent more than once: {twice:?}");
    }
    assert!(interrupted + 2 >= entries - 1, "{interrupted} of {entries} entries were interrupted at");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_in_the_fleet_and_not_sent_again() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&session, "checkout");
    let place = plan.waves[0].place.clone();
    stage.world.fault(&place, 0, Fault::LoseAnswer);
    let id = start(&mut session, plan);
    until(&mut session, "it has ended", |session| ended(session, &id).is_some()).await;
    assert_eq!(ended(&session, &id), Some(Outcome::Done));
    assert!(sent(&stage.world).values().all(|count| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_unresolved_and_says_what_to_look_at() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&session, "checkout");
    let place = plan.waves[0].place.clone();
    stage.world.fault(&place, 0, Fault::LoseRequest);
    let id = start(&mut session, plan);
    until(&mut session, "it has ended", |session| ended(session, &id).is_some()).await;
    assert_eq!(ended(&session, &id), Some(Outcome::Unresolved));
    assert!(operation(&session, &id).reason().contains("looks not done"), "{}", operation(&session, &id).reason());
    assert_eq!(stage.world.calls().len(), 0, "the second place was not begun");
}

#[tokio::test(start_paused = true)]
async fn another_process_watches_pauses_and_stops() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut owner = ready(&stage, state.path(), "ana").await;
    let mut watcher = ready(&stage, state.path(), "ben").await;
    let plan = rollback_plan(&owner, "checkout");
    let id = start(&mut owner, plan);
    until(&mut owner, "the first step is accepted", |session| {
        session.model.operations.get(&id).is_some_and(|tracked| tracked.operation.counts().in_flight > 0)
    })
    .await;
    until(&mut watcher, "the other process sees it", |session| {
        session.model.operations.get(&id).is_some_and(|tracked| tracked.alive == Alive::Elsewhere)
    })
    .await;
    let ask = |session: &mut Session, request| {
        let effects = session.model.operations.ask(&id, ControlRequest::Plain(request), &Text::new("ben"));
        session.perform(effects);
    };
    ask(&mut watcher, Request::Pause);
    until(&mut owner, "it is paused and held", |session| {
        let operation = operation(session, &id);
        matches!(&operation.mode, Mode::Paused { by } if by == "ben") && !operation.debts.is_empty()
    })
    .await;
    let held = operation(&owner, &id).debts[0].workload.clone();
    assert_eq!(stage.world.is_held(&held), Some(true), "the brake is on");
    ask(&mut watcher, Request::Stop);
    until(&mut owner, "it is stopped", |session| ended(session, &id).is_some()).await;
    assert_eq!(ended(&owner, &id), Some(Outcome::Stopped));
    until(&mut watcher, "the other process sees the end", |session| ended(session, &id).is_some()).await;
    assert_eq!(operation(&watcher, &id).debts.len(), 1, "what is held is owed");

    // The reverse of the held workload takes the brake off in the same request, and the debt is paid.
    let target = format!("checkout place:{}", held.place);
    let request = rollback_plan(&watcher, &target);
    assert!(!request.refusals.is_empty(), "it asks for v41 already; back to last good has nowhere to go");
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_connects_the_places_of_the_operation() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut first = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&first, "checkout");
    let id = start(&mut first, plan);
    until(&mut first, "it is under way", |session| session.model.operations.get(&id).is_some()).await;
    drop(first);
    let mut second = stage.process_at(state.path(), "ben", Connection::NotConnected);
    take_over(&mut second, &id);
    until(&mut second, "it has ended", |session| ended(session, &id).is_some()).await;
    assert!(matches!(ended(&second, &id), Some(Outcome::Done | Outcome::Unresolved)));
    assert!(second.model.fleet.places().iter().all(|place| place.state.is_live()), "its places were asked");
}

#[tokio::test(start_paused = true)]
async fn an_operation_whose_first_entry_can_not_be_written_does_not_start_and_says_so() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&session, "checkout");
    // As on a full disk: every write fails.
    let other = rusqlite::Connection::open(state.path().join("journal.db")).expect("opens");
    other
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END")
        .expect("made");
    let id = start(&mut session, plan);
    until(&mut session, "it is said", |session| session.model.operations.not_started.contains_key(&id)).await;
    let why = &session.model.operations.not_started[&id];
    assert!(why.contains("full") && why.contains("free some space"), "{why}");
    assert_eq!(stage.world.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_clock_jumped_no_place_counts_as_live_until_it_answers_again() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let later = session.model.now + Duration::from_secs(3600);
    session.give(Event::Ticked(later));
    assert!(session.model.fleet.places().iter().all(|place| matches!(place.state, PlaceState::Stale(_))));
    all_live(&mut session).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_changes_nothing_is_taken_up_too_and_never_obeyed_later() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut first = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&first, "checkout");
    let id = start(&mut first, plan);
    until(&mut first, "it is under way", |session| session.model.operations.get(&id).is_some()).await;
    drop(first);
    let mut second = ready(&stage, state.path(), "ben").await;
    // It runs already, as far as its entries say: to go on changes nothing.
    take_over(&mut second, &id);
    let journal = Journal::open(state.path()).expect("opens");
    until(&mut second, "the request is taken up", |session| {
        let is_ours = session.model.operations.get(&id).is_some_and(|tracked| tracked.alive == Alive::Here);
        is_ours && journal.requests(&id).expect("readable").is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_can_not_act_in_all_its_places_does_not_take_an_operation_over() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&session, "checkout");
    assert_eq!(session.model.why_not_drive(&plan), None);
    let known = session.model.settings.places.clone();
    session.model.settings.places.pop();
    let why = session.model.why_not_drive(&plan).expect("one place is not known");
    assert!(why.contains("is not among the places of this process"), "{why}");
    session.model.settings.places = known;
    session.model.settings.access = rolldeck::app::settings::Access::ReadOnly(Text::new("started with --read-only"));
    let why = session.model.why_not_drive(&plan).expect("nothing may be changed");
    assert!(why.contains("started with --read-only"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_a_full_disk_halted_goes_on_when_somebody_asks_again() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(TWO_PLACES);
    let mut session = ready(&stage, state.path(), "ana").await;
    let plan = rollback_plan(&session, "checkout");
    let id = start(&mut session, plan);
    until(&mut session, "it is under way", |session| session.model.operations.get(&id).is_some()).await;
    let other = rusqlite::Connection::open(state.path().join("journal.db")).expect("opens");
    let full = "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END";
    other.execute_batch(full).expect("made");
    let is_halted =
        |session: &Session| session.model.operations.get(&id).is_some_and(|tracked| tracked.halted.is_some());
    until(&mut session, "the disk takes nothing", is_halted).await;
    other.execute_batch("DROP TRIGGER full").expect("dropped");
    let effects = session.model.operations.ask(&id, ControlRequest::Plain(Request::Stop), &Text::new("ana"));
    session.perform(effects);
    until(&mut session, "it is stopped", |session| ended(session, &id).is_some()).await;
    assert_eq!(ended(&session, &id), Some(Outcome::Stopped));
    assert!(sent(&stage.world).values().all(|count| *count == 1), "{:?}", sent(&stage.world));
}
