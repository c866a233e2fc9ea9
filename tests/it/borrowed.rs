//! What a plan borrows is owed until the fleet shows that it is given back: who would undo it is suspended first, the minimum
//! of autoscalers is held, and nothing of that is forgotten.

use std::time::Duration;

use rolldeck::app::event::ControlRequest;
use rolldeck::domain::id::{OperationId, PlaceId};
use rolldeck::domain::journal::{Entry, Outcome, Request};
use rolldeck::domain::keeper::Setting;
use rolldeck::domain::operation::{Debt, StepState};
use rolldeck::domain::plan::{Action, Gate, Goto, Owing, Plan, PlanRequest, Scope, Suspend, Tempo};
use rolldeck::domain::policy::{Freeze, Minimum};
use rolldeck::domain::protection::{Protected, Protection};
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Fault, Intervention};
use rolldeck::runtime::session::Session;
use rolldeck::runtime::store::Journal;

use crate::harness::deployment;
use crate::stage::{Stage, all_live, operation, start, until};

/// One Deployment that Argo CD keeps and an autoscaler scales.
const KEPT: &str = r#"
name = "kept"
title = "Kept"
description = "For tests."
seed = 3
policy = { bake = "5s", step_timeout = "60s" }
places = [{ id = "k8s/a", latency = "40ms" }]
[[services]]
name = "app"
namespace = "shop"
versions = [{ tag = "v1", age = "9d" }, { tag = "v2", age = "2d" }, { tag = "v3", age = "6m", fails = "readiness" }]
reverted_by = { by = "Argo CD", after = "30s" }
autoscaled_from = 2
at = [{ place = "k8s/a", replicas = 8 }]
"#;

/// The numbers of its keepers, as the simulator has them.
const ARGO: u8 = 0;
const AUTOSCALER: u8 = 1;

async fn process(stage: &Stage, state: &std::path::Path) -> Session {
    let mut session = stage.process(state, "ana");
    session.model.settings.policy.watch = Some(Duration::from_secs(60));
    all_live(&mut session).await;
    session
}

fn plan(session: &Session, suspend: Suspend, minimum: Minimum) -> Plan {
    let scope = Scope::Matching(Selector::parse("app").expect("a selector"));
    let request = PlanRequest::of(Goto::LastGood, scope, Duration::from_secs(600));
    session.model.plan(&PlanRequest { suspend, minimum: Some(minimum), ..request })
}

async fn ended(session: &mut Session, id: &OperationId) -> Outcome {
    until(session, "it has ended", |session| {
        session.model.operations.get(id).is_some_and(|tracked| tracked.operation.ended.is_some())
    })
    .await;
    operation(session, id).ended.as_ref().expect("it has").0
}

/// What its keepers do, by what the fleet shows.
fn settings(session: &Session) -> Vec<Setting> {
    let fleet = &session.model.fleet;
    let app = fleet.workload(&deployment("k8s/a", "shop", "app")).expect("it is there");
    let argo = app.seen.undoers[0].keeper.as_ref().expect("it is named");
    let argo = fleet.keeper_named(&PlaceId::new("k8s/a"), argo).expect("it is seen");
    vec![argo.setting, fleet.autoscaler_of(app).expect("it is seen").setting]
}

fn debts(session: &Session, id: &OperationId) -> Vec<String> {
    let tracked = session.model.operations.get(id);
    tracked.into_iter().flat_map(|tracked| &tracked.operation.debts).map(|debt| debt.what().to_string()).collect()
}

async fn give_back(session: &mut Session, id: &OperationId) -> OperationId {
    let owing: Vec<Owing> = operation(session, id).debts.iter().filter_map(Debt::owing).collect();
    let workloads = owing.iter().map(|owed| owed.workload.clone()).collect();
    let request = PlanRequest::of(Goto::GiveBack(owing), Scope::Exactly(workloads), Duration::from_secs(600));
    let plan = session.model.plan(&request);
    start(session, plan)
}

const SUSPENDED: &str = "Argo CD application argocd/app is suspended";

#[tokio::test(start_paused = true)]
async fn what_is_not_suspended_takes_the_way_back_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::Nobody, Minimum::AsItIs);
    assert_eq!(plan.steps().count(), 1);
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Failed);
    assert!(operation(&session, &id).reason().contains("reverted by Argo CD"), "{}", operation(&session, &id).reason());
}

#[tokio::test(start_paused = true)]
async fn who_was_suspended_is_owed_until_a_plan_gives_it_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    let gates: Vec<Gate> = plan.waves.iter().map(|wave| wave.gate).collect();
    assert_eq!(gates, [Gate::Open, Gate::Open], "suspended first, and nothing to bake then");
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    assert_eq!(debts(&session, &id), [SUSPENDED]);
    assert_eq!(settings(&session), [Setting::Suspended, Setting::AtLeast(2)]);

    // Another process finds it in the journal, and its term runs on.
    drop(session);
    let mut session = process(&stage, state.path()).await;
    assert_eq!(debts(&session, &id), [SUSPENDED]);
    let now = session.model.now;
    let debt = operation(&session, &id).debts[0].clone();
    assert!(!debt.is_overdue(now) && debt.is_overdue(now + Duration::from_secs(4 * 3600)));

    let back = give_back(&mut session, &id).await;
    assert_eq!(ended(&mut session, &back).await, Outcome::Done);
    until(&mut session, "the debt is paid", |session| operation(session, &id).debts.is_empty()).await;
    let records = Journal::open(state.path()).expect("opens").replay(0).expect("readable");
    let paid = records.into_iter().find_map(|record| match record.entry {
        Entry::DebtPaid { how, .. } => Some(how.to_string()),
        _ => None,
    });
    assert_eq!(paid, Some(format!("given back by {back}")));
    assert_eq!(settings(&session)[0], Setting::Acts);
}

#[tokio::test(start_paused = true)]
async fn a_plan_may_give_back_by_its_last_step_and_sees_what_comes_of_that() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilDone, Minimum::Held);
    let kinds: Vec<Vec<&str>> =
        plan.waves.iter().map(|wave| wave.steps.iter().map(|step| step.action.as_str()).collect()).collect();
    assert_eq!(kinds, [vec!["borrow", "borrow"], vec!["restore_revision"], vec!["give_back", "give_back"]]);
    assert!(matches!(plan.waves[2].gate, Gate::Healthy(_)));
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Failed, "Argo CD acts again, and puts the bad one back");
    assert!(operation(&session, &id).reason().contains("reverted by Argo CD"));
    assert_eq!(debts(&session, &id), Vec::<String>::new());
    assert_eq!(settings(&session), [Setting::Acts, Setting::AtLeast(2)]);
}

#[tokio::test(start_paused = true)]
async fn the_minimum_of_an_autoscaler_is_held_at_what_there_is_and_given_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::Held);
    let id = start(&mut session, plan);
    until(&mut session, "the minimum is held", |session| settings(session)[1] == Setting::AtLeast(8)).await;
    until(&mut session, "it is owed", |session| debts(session, &id).len() == 2).await;
    assert_eq!(debts(&session, &id)[1], "autoscaler shop/app has a minimum of 8 instead of 2");
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    assert_eq!((settings(&session)[1], debts(&session, &id)), (Setting::AtLeast(2), vec![SUSPENDED.to_string()]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_what_was_borrowed_as_a_debt() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilDone, Minimum::Held);
    let id = start(&mut session, plan);
    until(&mut session, "the rollout has begun", |session| {
        let tracked = session.model.operations.get(&id);
        tracked.is_some_and(|tracked| {
            let roll = tracked.operation.plan.steps().find(|step| step.action.is_rollout()).expect("it has one");
            tracked.operation.progress(roll.id).state == StepState::Accepted
        })
    })
    .await;
    let effects = session.model.operations.ask(&id, ControlRequest::Plain(Request::Stop), &Text::new("ana"));
    session.perform(effects);
    assert_eq!(ended(&mut session, &id).await, Outcome::Stopped);
    assert_eq!(debts(&session, &id).len(), 3, "two loans and a hold: {:?}", debts(&session, &id));
    let back = give_back(&mut session, &id).await;
    assert_eq!(ended(&mut session, &back).await, Outcome::Done);
    until(&mut session, "both loans are paid", |session| debts(session, &id) == ["its rollout is held"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_suspension_whose_answer_was_lost_is_known_by_its_mark() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    stage.world.fault(&PlaceId::new("k8s/a"), 0, Fault::LoseAnswer);
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    assert_eq!(debts(&session, &id), [SUSPENDED]);
    assert_eq!(stage.world.calls().len(), 2, "none was sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_suspension_that_never_arrived_is_shown_and_nothing_is_owed() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    stage.world.fault(&PlaceId::new("k8s/a"), 0, Fault::LoseRequest);
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Unresolved);
    until(&mut session, "nothing is owed", |session| debts(session, &id).is_empty()).await;
    let records = Journal::open(state.path()).expect("opens").replay(0).expect("readable");
    let paid = records.into_iter().find_map(|record| match record.entry {
        Entry::DebtPaid { how, .. } => Some(how.to_string()),
        _ => None,
    });
    let paid = paid.expect("it was owed until the fleet showed that it is not so");
    assert!(paid.contains("its answer was lost") && paid.contains("nothing is owed"), "{paid}");
    assert_eq!(stage.world.calls().len(), 0, "the rollout did not begin without it");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_takes_back_is_owed_no_longer_and_not_taken_again() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilDone, Minimum::Held);
    let id = start(&mut session, plan);
    until(&mut session, "both are borrowed", |session| debts(session, &id).len() == 2).await;
    until(&mut session, "both are seen", |session| settings(session) == [Setting::Suspended, Setting::AtLeast(8)])
        .await;
    let app = deployment("k8s/a", "shop", "app");
    assert!(stage.world.intervene(&app, &Intervention::Keep(AUTOSCALER, Setting::AtLeast(3))));
    until(&mut session, "one debt is paid", |session| debts(session, &id) == [SUSPENDED]).await;
    assert!(stage.world.intervene(&app, &Intervention::Keep(ARGO, Setting::Acts)));
    until(&mut session, "so is the other", |session| debts(session, &id).is_empty()).await;
    ended(&mut session, &id).await;
    let sent = stage.world.calls();
    assert!(sent.iter().all(|call| call.verb != "give_back"), "nothing was left to give back: {sent:?}");
    assert_eq!(settings(&session)[1], Setting::AtLeast(3), "somebody else's minimum stays");
}

#[tokio::test(start_paused = true)]
async fn a_minimum_that_may_not_be_changed_is_left_out_and_said() {
    let state = tempfile::tempdir().expect("a directory");
    let scenario = KEPT.replace("latency = \"40ms\"", "latency = \"40ms\", cannot = { suspend = \"not granted\" }");
    let stage = Stage::open(&scenario);
    let mut session = process(&stage, state.path()).await;
    let mut plan = plan(&session, Suspend::Nobody, Minimum::Held);
    rolldeck::runtime::session::inspect_all(&mut session, &mut plan).await;
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    let left_out: Vec<&str> =
        plan.steps().filter(|step| step.left_out.is_some()).map(|step| step.action.as_str()).collect();
    assert_eq!(left_out, ["borrow", "give_back"]);
    let id = start(&mut session, plan);
    ended(&mut session, &id).await;
    let verbs: Vec<&str> = stage.world.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["restore_revision"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_suspended_already_is_neither_suspended_nor_given_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let app = deployment("k8s/a", "shop", "app");
    assert!(stage.world.intervene(&app, &Intervention::Keep(ARGO, Setting::Suspended)));
    until(&mut session, "it is seen", |session| settings(session)[0] == Setting::Suspended).await;
    let plan = plan(&session, Suspend::UntilDone, Minimum::AsItIs);
    assert!(plan.steps().all(|step| matches!(step.action, Action::RestoreRevision { .. })));
    assert!(plan.checks.iter().any(|check| check.detail.contains("is suspended already")), "{:?}", plan.checks);
    let undone = &plan.will_be_undone_by[0].undoer;
    assert_eq!(undone.how_fast, "not while it is suspended, as it is now");
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
}

#[tokio::test(start_paused = true)]
async fn another_pace_is_borrowed_for_the_rollout_and_given_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(&KEPT.replace("reverted_by = { by = \"Argo CD\", after = \"30s\" }\n", ""));
    let mut session = process(&stage, state.path()).await;
    let app = deployment("k8s/a", "shop", "app");
    let strategy = |session: &Session| session.model.fleet.workload(&app).expect("there").seen.strategy.clone();
    let own = strategy(&session);
    let scope = Scope::Matching(Selector::parse("app").expect("a selector"));
    let request = PlanRequest::of(Goto::LastGood, scope, Duration::from_secs(600));
    let request = PlanRequest { minimum: Some(Minimum::AsItIs), tempo: Tempo::default().faster().faster(), ..request };
    let plan = session.model.plan(&request);
    let on_top = plan.checks.iter().find(|check| check.name == "healthy floor").expect("it is said");
    assert!(on_top.detail.ends_with("up to 8 run on top meanwhile"), "{on_top:?}");
    let id = start(&mut session, plan);
    until(&mut session, "it has another pace", |session| strategy(session) != own).await;
    assert_eq!(strategy(&session).describe(), "RollingUpdate, max unavailable 25%, max surge 100%");
    until(&mut session, "that is owed", |session| !debts(session, &id).is_empty()).await;
    assert!(debts(&session, &id)[0].starts_with("it replaces with max surge 100% instead of 25%"));
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    assert_eq!((strategy(&session), debts(&session, &id)), (own, Vec::new()));
    let slower = session.model.plan(&PlanRequest { tempo: Tempo::default().slower(), ..request });
    let step = slower.steps().next().and_then(|step| step.action.loan_as_text()).expect("its pace is changed first");
    assert!(
        step.starts_with("has it replace with max unavailable 12% instead of 25%, max surge 12% instead of 25%"),
        "{step}"
    );
}

/// Found by the simulation (seed 1820): who borrows what is borrowed gives back the borrowed, and the first debt looks paid.
#[tokio::test(start_paused = true)]
async fn what_is_borrowed_is_not_borrowed_again() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let scope = || Scope::Matching(Selector::parse("app").expect("a selector"));
    let faster = |goto| PlanRequest {
        tempo: Tempo::default().faster(),
        ..PlanRequest::of(goto, scope(), Duration::from_secs(600))
    };
    let plan = session.model.plan(&faster(Goto::LastGood));
    let id = start(&mut session, plan);
    until(&mut session, "pace and minimum are borrowed", |session| debts(session, &id).len() == 2).await;
    let effects = session.model.operations.ask(&id, ControlRequest::Plain(Request::Stop), &Text::new("ana"));
    session.perform(effects);
    assert_eq!(ended(&mut session, &id).await, Outcome::Stopped);
    let app = deployment("k8s/a", "shop", "app");
    assert!(stage.world.intervene(&app, &Intervention::Scale(9)));
    until(&mut session, "it is scaled", |session| {
        session.model.fleet.workload(&app).is_some_and(|app| app.seen.desired == 9)
    })
    .await;
    let refused = session.model.plan(&faster(Goto::LastGood));
    assert!(refused.refusals[0].reason.contains("its pace is borrowed and owed already"), "{:?}", refused.refusals);
    let plan = session.model.plan(&PlanRequest::of(Goto::LastGood, scope(), Duration::from_secs(600)));
    assert!(plan.steps().all(|step| step.action.loan().is_none()), "nothing is borrowed twice");
    assert!(plan.checks.iter().any(|check| check.detail.contains("is borrowed and owed already")), "{:?}", plan.checks);
    assert_eq!(debts(&session, &id).len(), 2);
}

/// Nothing is scaled down most of the time: a way back does not end because an autoscaler could not be held.
#[tokio::test(start_paused = true)]
async fn a_minimum_that_is_refused_when_it_is_sent_does_not_end_the_way_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::Held);
    stage.world.fault(&PlaceId::new("k8s/a"), 1, Fault::Refuse(Text::new("webhook says no")));
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    let operation = operation(&session, &id);
    assert!(operation.reason().contains("1 left out"), "{}", operation.reason());
    let give_back = operation.plan.steps().last().expect("the give-back");
    assert_eq!(operation.progress(give_back.id).detail, "it was not borrowed; nothing was sent");
    assert_eq!(debts(&session, &id), [SUSPENDED]);
    assert_eq!(settings(&session)[1], Setting::AtLeast(2));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_does_not_begin_when_who_was_suspended_for_it_acts_again() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    let id = start(&mut session, plan);
    until(&mut session, "it is suspended", |session| debts(session, &id) == [SUSPENDED]).await;
    let hold = session.model.operations.ask(&id, ControlRequest::Plain(Request::Pause), &Text::new("ana"));
    session.perform(hold);
    until(&mut session, "it is verified", |session| {
        let tracked = session.model.operations.get(&id);
        tracked.is_some_and(|tracked| tracked.operation.counts().done == 1)
    })
    .await;
    let app = deployment("k8s/a", "shop", "app");
    assert!(stage.world.intervene(&app, &Intervention::Keep(ARGO, Setting::Acts)));
    until(&mut session, "nothing is owed", |session| debts(session, &id).is_empty()).await;
    let go_on = session.model.operations.ask(&id, ControlRequest::Plain(Request::Resume), &Text::new("ana"));
    session.perform(go_on);
    assert_eq!(ended(&mut session, &id).await, Outcome::Failed);
    let reason = operation(&session, &id).reason();
    assert!(reason.contains("argocd/app acts again and would undo it"), "{reason}");
    let verbs: Vec<&str> = stage.world.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["borrow"], "the rollout was never sent");
}

#[tokio::test(start_paused = true)]
async fn what_a_running_operation_counts_on_is_not_given_back_meanwhile() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let app = deployment("k8s/a", "shop", "app");
    let first = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    let first = start(&mut session, first);
    assert_eq!(ended(&mut session, &first).await, Outcome::Done);
    let owing: Vec<Owing> = operation(&session, &first).debts.iter().filter_map(Debt::owing).collect();
    let request = PlanRequest::of(Goto::GiveBack(owing), Scope::Exactly(vec![app.clone()]), Duration::from_secs(600));
    assert!(session.model.plan(&request).refusals.is_empty());

    let scope = Scope::Matching(Selector::parse("app").expect("a selector"));
    let next = PlanRequest::of(Goto::Revision(1), scope, Duration::from_secs(600));
    let next = session.model.plan(&PlanRequest { minimum: Some(Minimum::AsItIs), ..next });
    let next = start(&mut session, next);
    until(&mut session, "another one drives it", |session| {
        session.model.operations.get(&next).is_some_and(|tracked| tracked.operation.is_driving(&app))
    })
    .await;
    let refused = session.model.plan(&request);
    let reason = &refused.refusals.first().expect("it is refused").reason;
    assert!(reason.contains(&next.0.to_string()), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_for_something_that_is_gone_is_said() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    let owing: Vec<Owing> = operation(&session, &id).debts.iter().filter_map(Debt::owing).collect();
    let app = deployment("k8s/a", "shop", "app");
    assert!(stage.world.intervene(&app, &Intervention::Remove));
    until(&mut session, "it is gone", |session| session.model.fleet.workload(&app).is_none()).await;
    let request = PlanRequest::of(Goto::GiveBack(owing), Scope::Exactly(vec![app]), Duration::from_secs(600));
    let plan = session.model.plan(&request);
    assert!(plan.refusals[0].hint.contains("write-off"), "{:?}", plan.refusals);
}

/// Numbers stay numbers and percentages percentages: what is scaled meanwhile keeps its pace.
#[tokio::test(start_paused = true)]
async fn a_workload_that_makes_none_on_top_is_only_ever_slowed_down() {
    let state = tempfile::tempdir().expect("a directory");
    for (own, slower, faster) in [
        ("max_surge = \"0\"\nmax_unavailable = \"50%\"", Some("max unavailable 25% instead of 50%"), None),
        (
            "max_surge = \"30%\"\nmax_unavailable = \"0\"",
            Some("max surge 15% instead of 30%"),
            Some("max surge 60% instead of 30%"),
        ),
        ("max_surge = \"0\"\nmax_unavailable = \"1\"", None, None),
    ] {
        let stage = Stage::open(&KEPT.replace("autoscaled_from = 2", own));
        let session = process(&stage, state.path()).await;
        let wanted = |tempo: Tempo| {
            let scope = Scope::Matching(Selector::parse("app").expect("a selector"));
            let request = PlanRequest::of(Goto::LastGood, scope, Duration::from_secs(600));
            let plan = session.model.plan(&PlanRequest { tempo, ..request });
            plan.steps().next().and_then(|step| step.action.loan_as_text())
        };
        for (tempo, expected) in [(Tempo::default().slower(), slower), (Tempo::default().faster(), faster)] {
            let wanted = wanted(tempo);
            match expected {
                Some(expected) => {
                    let wanted = wanted.expect(own);
                    assert!(wanted.ends_with(&format!("with {expected}")), "{wanted}");
                }
                None => assert_eq!(wanted, None, "{own}"),
            }
        }
    }
}

/// What came after the plan was made keeps its next step from being sent, as it would have kept the plan from being made.
#[tokio::test(start_paused = true)]
async fn a_quarantine_or_a_freeze_that_came_after_the_plan_keeps_its_steps() {
    for with_reason in [None, Some("the nodes have it")] {
        let state = tempfile::tempdir().expect("a directory");
        let stage = Stage::open(&KEPT.replace("reverted_by = { by = \"Argo CD\", after = \"30s\" }\n", ""));
        let mut session = process(&stage, state.path()).await;
        let scope = Scope::Matching(Selector::parse("app").expect("a selector"));
        let request = PlanRequest::of(Goto::Revision(1), scope, Duration::from_secs(600));
        let reason = with_reason.map(Text::new);
        let plan = session.model.plan(&PlanRequest { minimum: Some(Minimum::AsItIs), reason, ..request });
        let image = plan.steps().next().and_then(|step| step.to.image.clone()).expect("known");
        session.model.protections = vec![Protection {
            number: 1,
            what: Protected::Quarantine(Text::new(image.as_str())),
            reason: Text::new("loses orders"),
            by: Text::new("bob"),
            at: session.model.now,
            expires_at: None,
        }];
        session.model.fleet.set_protections(rolldeck::domain::protection::Protections::holding(
            &session.model.protections,
            session.model.now,
        ));
        let id = start(&mut session, plan);
        if with_reason.is_some() {
            ended(&mut session, &id).await;
            assert_eq!(stage.world.calls().len(), 1, "somebody has said why");
            continue;
        }
        let waits = |session: &Session| {
            let tracked = session.model.operations.get(&id);
            tracked.and_then(|tracked| tracked.gates.waiting_for.clone()).unwrap_or_default()
        };
        until(&mut session, "it says so", |session| waits(session).contains("is quarantined by bob")).await;
        assert_eq!(stage.world.calls().len(), 0);
        session.model.fleet.set_protections(Default::default());
        session.model.protections.clear();
        let now = session.model.now;
        session.model.settings.policy.freezes = vec![Freeze {
            places: Vec::new(),
            from: now,
            until: now + Duration::from_secs(60),
            reason: Text::new("the sale"),
        }];
        until(&mut session, "the freeze keeps it", |session| waits(session).contains("is frozen until")).await;
        assert_eq!(stage.world.calls().len(), 0);
        ended(&mut session, &id).await;
        assert_eq!(stage.world.calls().len(), 1, "it goes on when that is over");
    }
}

/// What somebody can give back is not forgotten by a key.
#[tokio::test(start_paused = true)]
async fn a_debt_is_written_off_only_where_nothing_can_be_given_back() {
    let state = tempfile::tempdir().expect("a directory");
    let stage = Stage::open(KEPT);
    let mut session = process(&stage, state.path()).await;
    let plan = plan(&session, Suspend::UntilGivenBack, Minimum::AsItIs);
    let id = start(&mut session, plan);
    assert_eq!(ended(&mut session, &id).await, Outcome::Done);
    let can_be = |session: &Session| operation(session, &id).debts[0].can_be_given_back(&session.model.fleet);
    assert!(can_be(&session));
    let owing: Vec<Owing> = operation(&session, &id).debts.iter().filter_map(Debt::owing).collect();
    let app = deployment("k8s/a", "shop", "app");
    let request = PlanRequest::of(Goto::GiveBack(owing), Scope::Exactly(vec![app.clone()]), Duration::from_secs(600));
    let loose = session.model.plan(&request).will_be_undone_by;
    assert!(loose[0].undoer.how_fast.ends_with("once it acts again"), "it says whom it sets loose: {loose:?}");
    session.model.fleet.mark_all_stale("the link is down");
    assert!(!can_be(&session), "nobody can tell");
    session.model.operations.write_off(&id, Text::new("written off by ana: the cluster is gone"));
    until(&mut session, "it is", |session| operation(session, &id).debts.is_empty()).await;
    let paid = &operation(&session, &id).paid;
    assert_eq!(paid[0].1, "written off by ana: the cluster is gone", "and that is told: {paid:?}");
}
