//! What a plan makes of a workload whose rollouts go by steps.

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::domain::fleet::Fleet;
use crate::domain::history::{OwnRecord, OwnVerdict};
use crate::domain::id::{OperationId, PlaceId, Uid, WorkloadId, WorkloadKind};
use crate::domain::observation::{
    Batch, ContainerSeen, ContainerSpec, Health, InstanceSeen, Observation, Owner, Phase, PlaceState, RevisionSeen,
    Role, Running, Source, Strategy, Template, TemplateHash, WorkloadSeen, Yields,
};
use crate::domain::plan::{Aims, Plan, Scope, compose};
use crate::domain::policy::{PlacePolicy, Policy};

const STEPS: u32 = 5;

fn place() -> PlaceId {
    PlaceId::new("k8s/eu")
}

fn id() -> WorkloadId {
    let namespace = Some(Text::new("shop"));
    WorkloadId { place: place(), namespace, kind: WorkloadKind::Rollout, name: Text::new("app") }
}

fn image(version: u64) -> String {
    format!("shop/app:v{version}@sha256:{}", version.to_string().repeat(64))
}

fn template(version: u64) -> Template {
    let container = ContainerSpec { name: Text::new("app"), role: Role::App, image: image(version).parse().ok() };
    let hash = TemplateHash(Text::new(&format!("v{version}")));
    Template { hash, containers: vec![container], version: None, latent: None }
}

/// At version 2, finished.
fn finished() -> WorkloadSeen {
    WorkloadSeen {
        uid: Uid::new("w"),
        kind: WorkloadKind::Rollout,
        namespace: Some(Text::new("shop")),
        name: Text::new("app"),
        service: Text::new("app"),
        template: template(2),
        main_container: None,
        expected_annotation: None,
        generation: 3,
        observed_generation: 3,
        desired: 5,
        rollout: Rollout::Stable,
        running: None,
        canary: Some(Canary { stable: Some(template(2).hash), steps: STEPS, halt: None }),
        strategy: Strategy { kind: Text::new("Canary"), ..Strategy::default() },
        owners: Vec::new(),
        undoers: Vec::new(),
        requested_since: None,
        touched_by: None,
        inoperable: None,
        trouble: None,
    }
}

/// From version 1 to version 2, at a pause.
fn in_flight() -> WorkloadSeen {
    let what = Text::new("canary at step 2 of 5, 20%");
    let halt = Halt::Pause { id: Text::new("2 step 2"), what: Text::new("step 2 of 5 (20%)") };
    WorkloadSeen {
        rollout: Rollout::Progressing,
        running: Some(Running { id: Text::new("2"), what, yields: Yields::ToWayBack(None) }),
        canary: Some(Canary { stable: Some(template(1).hash), steps: STEPS, halt: Some(halt) }),
        ..finished()
    }
}

fn aborted() -> WorkloadSeen {
    let halt = Halt::Aborted { id: Text::new("2 aborted"), what: Text::new("RolloutAborted") };
    WorkloadSeen {
        rollout: Rollout::Failed(Text::new("RolloutAborted")),
        running: None,
        canary: Some(Canary { stable: Some(template(1).hash), steps: STEPS, halt: Some(halt) }),
        ..finished()
    }
}

fn fleet(seen: WorkloadSeen) -> Fleet {
    let mut observations = vec![Observation::Workload(Source("rollouts"), Box::new(seen))];
    for number in 1..=2 {
        let revision = RevisionSeen {
            uid: Uid::new(&format!("rs{number}")),
            workload: Uid::new("w"),
            number,
            past_numbers: Vec::new(),
            template: template(number),
            created_at: None,
            cause: None,
            left: None,
            deprecated_at: None,
            label: None,
        };
        observations.push(Observation::Revision(Source("replicasets"), Box::new(revision)));
    }
    for pod in 0..5 {
        let container = ContainerSeen {
            name: Text::new("app"),
            role: Role::App,
            asked: image(2).parse().ok(),
            running: template(2).containers[0].image.as_ref().and_then(|image| image.pinned()),
        };
        let owner = Owner { uid: Uid::new("rs2"), kind: WorkloadKind::ReplicaSet, name: Text::new("app-2") };
        let instance = InstanceSeen {
            uid: Uid::new(&format!("pod{pod}")),
            owner: Some(std::sync::Arc::new(owner)),
            service: Text::new("app"),
            namespace: Some(Text::new("shop")),
            name: Text::new(&format!("app-2-{pod}")),
            revision: None,
            phase: Phase::Running,
            health: Health::Healthy,
            reason: None,
            platform: None,
            containers: vec![container].into(),
            started_at: None,
            restarts: 0,
            touched: None,
        };
        observations.push(Observation::Instance(Source("pods"), Box::new(instance)));
    }
    observations.push(Observation::Place(PlaceState::Live));
    let mut fleet = Fleet::new(Vec::new());
    fleet.add_place(place());
    fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    fleet
}

fn plan_on(fleet: &Fleet, goto: Goto, busy: Option<&str>) -> Plan {
    let aims = match goto {
        Goto::Before(_) => Aims([(id(), template(1).hash)].into()),
        _ => Aims::default(),
    };
    let scope = Scope::Exactly(vec![id()]);
    let request = PlanRequest { aims, ..PlanRequest::of(goto, scope, Duration::from_secs(600)) };
    let policy = Policy { base: PlacePolicy { floor_percent: 0, ..PlacePolicy::default() }, ..Policy::default() };
    compose(&request, fleet, &policy, Timestamp::UNIX_EPOCH, &|_| busy.map(Text::new))
}

/// The steps of a plan by their words and what they follow, or why there is none.
fn check(seen: WorkloadSeen, goto: Goto, expected: Result<&[(&str, Follows)], &str>) {
    let plan = plan_on(&fleet(seen), goto.clone(), None);
    match expected {
        Ok(expected) => {
            let steps: Vec<(&str, Follows)> = plan.steps().map(|step| (step.action.as_str(), step.follows)).collect();
            assert_eq!((plan.refusals.as_slice(), steps.as_slice()), (&[][..], expected), "{goto:?}");
        }
        Err(expected) => {
            let reason = plan.refusals.first().map(|refusal| refusal.reason.as_str()).unwrap_or_default();
            assert!(reason.contains(expected), "{goto:?}: {reason}");
        }
    }
}

const RESTORE: (&str, Follows) = ("restore_revision", Follows::Nothing);

#[test]
fn a_way_back_does_not_wait_at_a_step_and_a_picked_version_does() {
    check(finished(), Goto::LastGood, Ok(&[RESTORE, ("promote", Follows::OwnRollout)]));
    check(finished(), Goto::Revision(1), Ok(&[RESTORE]));
    let back = Goto::Before(OperationId(Text::new("o-1")));
    check(finished(), back.clone(), Ok(&[RESTORE, ("promote", Follows::OwnRollout)]));
    // Taking a way back back leads to what was left because it was bad: that goes through its steps.
    let mut left = fleet(finished());
    let went_from = OwnRecord([(template(1).hash, OwnVerdict::WentFrom)].into());
    left.set_record(id(), went_from);
    let plan = plan_on(&left, back, None);
    assert_eq!(plan.steps().count(), 1, "{:?}", plan.checks);
    let stepless = Canary { steps: 0, ..finished().canary.expect("it is one") };
    check(WorkloadSeen { canary: Some(stepless), ..finished() }, Goto::LastGood, Ok(&[RESTORE]));
}

#[test]
fn what_is_in_flight_is_aborted_before_its_template_goes_back() {
    let to_stable = [("end_rollout", Follows::Nothing), ("restore_revision", Follows::EndOfRollout)];
    check(in_flight(), Goto::LastGood, Ok(&to_stable));
    check(aborted(), Goto::LastGood, Ok(&[RESTORE]));
    check(aborted(), Goto::Revision(2), Err("its rollout was aborted"));
    let ahead = WorkloadSeen { generation: 4, ..in_flight() };
    check(ahead, Goto::LastGood, Err("has not taken up the last change"));
}

#[test]
fn what_waits_is_promoted_and_nothing_else() {
    let promote = [("promote", Follows::Nothing)];
    let (next, full) = (Goto::Promote(Stride::Next), Goto::Promote(Stride::Full));
    for goto in [&next, &full] {
        check(in_flight(), goto.clone(), Ok(&promote));
        check(aborted(), goto.clone(), Ok(&promote));
        check(finished(), goto.clone(), Err("nothing waits there"));
        check(WorkloadSeen { rollout: Rollout::Paused, ..in_flight() }, goto.clone(), Err("its rollout is held"));
        check(WorkloadSeen { canary: None, ..in_flight() }, goto.clone(), Err("has no steps that wait"));
    }
    let kind = |seen, goto: &Goto| {
        let plan = plan_on(&fleet(seen), goto.clone(), None);
        plan.steps().next().map(|step| step.action.clone())
    };
    let of = |action| match action {
        Some(Action::Promote { promotion, halt, .. }) => Some((promotion, halt)),
        _ => None,
    };
    assert_eq!(of(kind(in_flight(), &next)), Some((Promotion::Next, Some(Text::new("2 step 2")))));
    assert_eq!(of(kind(aborted(), &next)), Some((Promotion::Retry, Some(Text::new("2 aborted")))));
    assert_eq!(of(kind(in_flight(), &full)), Some((Promotion::Full, Some(Text::new("2 step 2")))));
}

#[test]
fn a_promotion_joins_an_operation_that_waits_at_a_pause_alone() {
    let refusal = |seen, goto| {
        let plan = plan_on(&fleet(seen), goto, Some("o-1"));
        plan.refusals.first().map(|refusal| refusal.reason.to_string())
    };
    let driven = Some("operation o-1 is driving it".to_string());
    assert_eq!(refusal(in_flight(), Goto::Promote(Stride::Next)), None);
    assert_eq!(refusal(in_flight(), Goto::LastGood), driven);
    assert_eq!(refusal(aborted(), Goto::Promote(Stride::Next)), driven);
}

#[test]
fn a_promotion_is_bound_to_its_pause() {
    let plan = plan_on(&fleet(in_flight()), Goto::Promote(Stride::Next), None);
    let moved = |seen: WorkloadSeen| -> Vec<String> {
        plan.moved(&fleet(seen)).into_iter().flat_map(|(_, why)| why).map(|why| why.to_string()).collect()
    };
    assert_eq!(moved(in_flight()), Vec::<String>::new());
    let halt = Halt::Pause { id: Text::new("2 step 4"), what: Text::new("step 4 of 5 (60%)") };
    let later = Canary { halt: Some(halt), ..in_flight().canary.expect("it is one") };
    assert_eq!(
        moved(WorkloadSeen { canary: Some(later.clone()), ..in_flight() }),
        ["it waits elsewhere now: step 4 of 5 (60%)"]
    );
    let gone = Canary { halt: None, ..later };
    assert_eq!(moved(WorkloadSeen { canary: Some(gone), ..in_flight() }), ["it waits no longer at step 2 of 5 (20%)"]);
}
