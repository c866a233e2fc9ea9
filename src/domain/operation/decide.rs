//! The rule: given an operation, the fleet and the time, which entry is written next.
//!
//! Never answers with two entries: one is written, folded in, and the rule is asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::bakes::{Baked, pass_gate, watch_on};
use super::first::{self, Share};
use super::follows::{Turn, turn_of};
use super::lost::{settle_lost, settle_lost_brakes};
use super::probes::Asked;
use super::promoted;
use super::verify::{Progress, progress_of};
use super::{Mode, Operation, Owed, StepProgress, StepState};
use crate::domain::fleet::Fleet;
use crate::domain::id::{StepId, Uid, WorkloadId};
use crate::domain::journal::{Call, Entry, Outcome};
use crate::domain::keeper::{Borrowed, Loan, Setting};
use crate::domain::observation::{Health, Phase, Rollout};
use crate::domain::plan::{Action, Floor, Follows, Step, Way, is_stuck};
use crate::domain::policy::Policy;
use crate::domain::text::{Text, counted};

/// How long a step that a disruption budget blocked waits before it is tried again.
const BLOCKED_RETRY: Duration = Duration::from_secs(15);

/// What the rule looks at beside the operation.
pub struct World<'a> {
    /// What is known.
    pub fleet: &'a Fleet,
    /// How careful to be.
    pub policy: &'a Policy,
    /// Now.
    pub now: Timestamp,
    /// Requests of this process that wait for their answer. A `Sent` step that is not among them lost its answer.
    pub in_flight: &'a BTreeSet<Call>,
}

/// What the rule remembers between two looks and need not survive a crash: since when a wave is healthy, since when a
/// step has made no progress.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    pub(super) healthy_since: BTreeMap<u16, Timestamp>,
    pub(super) sick_since: BTreeMap<u16, Timestamp>,
    progress: BTreeMap<StepId, (u32, Timestamp)>,
    /// Since when a step is blocked, and since when an answer is missed, while somebody watched.
    blocked_since: BTreeMap<StepId, Timestamp>,
    pub(super) lost_since: BTreeMap<Call, Timestamp>,
    /// Since when a first share that is held is healthy, and since when it is not.
    pub(super) first_since: BTreeMap<StepId, Timestamp>,
    pub(super) first_sick_since: BTreeMap<StepId, Timestamp>,
    /// Who was asked about a wave, and what came of it.
    pub(super) probes: BTreeMap<(u16, u16), Asked>,
    /// Why the next step waits, for the screen.
    pub waiting_for: Option<Text>,
}

impl Gates {
    /// Forgets how long anything was healthy: after the clock jumped, a bake starts again.
    pub fn restart_bakes(&mut self) {
        self.healthy_since.clear();
        self.sick_since.clear();
        self.progress.clear();
        self.blocked_since.clear();
        self.lost_since.clear();
        self.first_since.clear();
        self.first_sick_since.clear();
        self.forget_answers();
    }
}

/// The next entry, or nothing while there is only to wait.
pub fn decide(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Option<Entry> {
    if operation.ended.is_some() {
        return None;
    }
    gates.waiting_for = None;
    // Only time that was watched counts: neither a bake nor a delay goes on while the operation is held.
    if operation.mode != Mode::Running {
        gates.healthy_since.clear();
        gates.sick_since.clear();
        gates.blocked_since.clear();
        gates.first_since.clear();
        gates.first_sick_since.clear();
        gates.forget_answers();
    }
    gates.progress.retain(|step, _| operation.progress(*step).state == StepState::Accepted);
    gates.blocked_since.retain(|step, _| operation.progress(*step).blocked_at.is_some());
    gates.lost_since.retain(|call, _| operation.is_open(*call));
    if let Some(entry) = settle_lost(operation, gates, world) {
        return Some(entry);
    }
    if let Some(entry) = settle_lost_brakes(operation, gates, world) {
        return Some(entry);
    }
    if let Some(entry) = look_at_accepted(operation, gates, world) {
        return Some(entry);
    }
    match &operation.mode {
        Mode::Stopping { by } => stop(operation, world, &format!("stopped by {by}")),
        Mode::Paused { .. } => brake(operation, world),
        Mode::PlanMoved { .. } => {
            gates.waiting_for = Some(Text::new("plan moved: it waits for a new code"));
            None
        }
        Mode::Running => release(operation, gates, world)
            .or_else(|| first::hold(operation, world))
            .or_else(|| if has_gone_wrong(operation) { give_up(operation) } else { go_on(operation, gates, world) })
            .or_else(|| {
                gates.waiting_for = gates.waiting_for.take().or_else(|| first::not_held(operation));
                None
            }),
    }
}

pub(super) fn steps_in(operation: &Operation, state: StepState) -> impl Iterator<Item = &Step> {
    operation.plan.steps().filter(move |step| operation.progress(step.id).state == state)
}

fn look_at_accepted(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Option<Entry> {
    for step in steps_in(operation, StepState::Accepted) {
        let progress = operation.progress(step.id);
        let held = step.first.map_or(Duration::ZERO, |first| first.hold);
        let limit = world.policy.for_place(&step.workload.place).step_timeout + held;
        let (count, unseen) = match progress_of(step, progress, world.fleet) {
            Progress::Done(detail) => return Some(Entry::Verified { step: step.id, detail }),
            Progress::Failed(reason) => return Some(Entry::Failed { step: step.id, reason }),
            Progress::OnItsWay { done, .. } => (Some(done), None),
            Progress::NotSeen(why) => (None, Some(why)),
        };
        let entry = gates.progress.entry(step.id).or_insert((count.unwrap_or(0), world.now));
        // A place that comes and goes has not made progress by that.
        if let Some(count) = count.filter(|count| *count != entry.0) {
            *entry = (count, world.now);
        }
        // Only a person ends that.
        if let Some(why) = promoted::waits_at(step, world.fleet).filter(|_| unseen.is_none()) {
            entry.1 = world.now;
            gates.waiting_for = Some(why);
            continue;
        }
        if elapsed(entry.1, world.now) > limit {
            return Some(match unseen {
                Some(why) => {
                    Entry::Unresolved { step: step.id, reason: Text::new(&format!("{why}; look at {}", step.workload)) }
                }
                None => {
                    let trouble = world.fleet.workload(&step.workload).and_then(|found| found.seen.trouble.as_ref());
                    let trouble = trouble.map(|why| format!(": {why}")).unwrap_or_default();
                    let reason = format!("no progress for {} s{trouble}", limit.as_secs());
                    Entry::Failed { step: step.id, reason: Text::new(&reason) }
                }
            });
        }
    }
    None
}

fn has_gone_wrong(operation: &Operation) -> bool {
    [StepState::Failed, StepState::Refused, StepState::Unresolved]
        .iter()
        .any(|state| wrong(operation, *state).is_some())
}

/// A step that went wrong in this way, and that its plan can't do without.
fn wrong(operation: &Operation, state: StepState) -> Option<&Step> {
    steps_in(operation, state).find(|step| !operation.does_without(step))
}

impl Operation {
    /// Whether it goes on although this step was not done.
    fn does_without(&self, step: &Step) -> bool {
        let is_not_so = matches!(self.progress(step.id).state, StepState::Refused | StepState::Failed);
        step.left_out.is_some() || (is_not_so && self.plan.is_good_without(step))
    }
}

/// After a failure: nothing new starts, what is in flight comes to its end, then it is over.
fn give_up(operation: &Operation) -> Option<Entry> {
    if let Some(step) = steps_in(operation, StepState::Waiting).next() {
        let reason = Text::new("a step before it went wrong");
        return Some(Entry::Skipped { step: step.id, reason });
    }
    if operation.steps.values().any(|progress| !progress.state.is_final() || progress.brake.is_some()) {
        return None;
    }
    let worst = |state| wrong(operation, state);
    let done = operation.steps.values().any(|progress| progress.accepted_at.is_some());
    let (outcome, found) = match (worst(StepState::Unresolved), worst(StepState::Failed), worst(StepState::Refused)) {
        (Some(found), _, _) => (Outcome::Unresolved, found),
        (None, Some(found), _) => (Outcome::Failed, found),
        (None, None, Some(found)) if done => (Outcome::Failed, found),
        (None, None, Some(found)) => (Outcome::Refused, found),
        (None, None, None) => return None,
    };
    let reason = Text::new(&format!("step {}: {}", found.id, operation.progress(found.id).detail));
    Some(Entry::Ended { outcome, reason })
}

/// The next brake that can be put on.
fn brake(operation: &Operation, world: &World<'_>) -> Option<Entry> {
    let next = steps_in(operation, StepState::Accepted).find(|step| {
        let progress = operation.progress(step.id);
        let is_on_its_way = progress.brake.is_some() || world.in_flight.contains(&Call::Brake(step.id));
        let tried = is_on_its_way || progress.brake_failed.is_some() || waits_to_try(progress, world);
        step.brake.exists() && !tried
    })?;
    Some(Entry::Sent { call: Call::Brake(next.id), present: Vec::new() })
}

/// The next workload to let go on: of a held step, or of one that came to its end just before its brake was put on.
fn release(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Option<Entry> {
    // Evictions beside a rollout that was held owe nothing of their own.
    let is_held = |workload: &WorkloadId| {
        operation.debts.iter().any(|debt| debt.owed == Owed::Hold && debt.workload == *workload)
    };
    let owes = |step: &Step| step.brake.exists() && is_held(&step.workload);
    let is_to_be_let_go = |step: &&Step| {
        let progress = operation.progress(step.id);
        let is_held = progress.state == StepState::Held || (progress.state == StepState::Verified && owes(step));
        let is_on_its_way = progress.brake.is_some() || world.in_flight.contains(&Call::Release(step.id));
        is_held && !is_on_its_way && progress.brake_failed.is_none() && !waits_to_try(progress, world)
    };
    operation.plan.steps().filter(is_to_be_let_go).find_map(|step| match first::look(operation, gates, world, step) {
        Share::Passed => Some(Entry::Sent { call: Call::Release(step.id), present: Vec::new() }),
        Share::Bakes => None,
        Share::Failed(entry) => Some(entry),
    })
}

/// Whether the provider would not do something for this step a moment ago.
fn waits_to_try(progress: &StepProgress, world: &World<'_>) -> bool {
    progress.blocked_at.is_some_and(|last| elapsed(last, world.now) < BLOCKED_RETRY)
}

fn stop(operation: &Operation, world: &World<'_>, why: &str) -> Option<Entry> {
    if let Some(step) = steps_in(operation, StepState::Waiting).next() {
        return Some(Entry::Skipped { step: step.id, reason: Text::new(why) });
    }
    if let Some(entry) = brake(operation, world) {
        return Some(entry);
    }
    // Answers that are still on their way decide whether a brake is needed, and whether one has been put on.
    let is_braking = operation.steps.values().any(|progress| progress.brake.is_some());
    let is_open = steps_in(operation, StepState::Sent).next().is_some() || is_braking;
    if !world.in_flight.is_empty() || is_open {
        return None;
    }
    let count = |state| operation.steps.values().filter(|progress| progress.state == state).count();
    let reason = format!(
        "{why}: {} done, {} held, {} left to the platform, {} not started",
        count(StepState::Verified),
        count(StepState::Held),
        count(StepState::Accepted),
        count(StepState::Skipped)
    );
    let outcome = if count(StepState::Unresolved) > 0 { Outcome::Unresolved } else { Outcome::Stopped };
    Some(Entry::Ended { outcome, reason: Text::new(&reason) })
}

fn go_on(operation: &Operation, gates: &mut Gates, world: &World<'_>) -> Option<Entry> {
    for (index, wave) in operation.plan.waves.iter().enumerate() {
        let number = index as u16 + 1;
        let state = |step: &&Step| operation.progress(step.id).state;
        if index > 0 && !operation.healthy_waves.contains(&(number - 1)) {
            return match pass_gate(operation, gates, world, index, wave.gate) {
                Baked::Through => Some(Entry::WaveHealthy { wave: number - 1 }),
                Baked::NotYet => None,
                Baked::Failed(entry) => Some(entry),
            };
        }
        if let Some(entry) = wave
            .steps
            .iter()
            .filter(|step| state(step) == StepState::Waiting)
            .find_map(|step| start(operation, gates, world, step))
        {
            return Some(entry);
        }
        let is_done = |step: &Step| operation.does_without(step) || state(&step) == StepState::Verified;
        if !wave.steps.iter().all(is_done) {
            return None;
        }
    }
    // A brake that was asked for just before the end may have been put on: that must be known first.
    if operation.steps.values().any(|progress| progress.brake.is_some()) {
        return None;
    }
    match watch_on(operation, gates, world) {
        Baked::Through => {
            let verified = steps_in(operation, StepState::Verified).count();
            let left_out = match operation.steps.len() - verified {
                0 => String::new(),
                count => format!("; {count} left out"),
            };
            let reason = format!("{verified} of {} verified{left_out}", counted(operation.steps.len(), "step"));
            let reason = Text::new(&reason);
            Some(Entry::Ended { outcome: Outcome::Done, reason })
        }
        Baked::NotYet => None,
        Baked::Failed(entry) => Some(entry),
    }
}

/// Sends a step if its place is live and the floor is kept.
fn start(operation: &Operation, gates: &mut Gates, world: &World<'_>, step: &Step) -> Option<Entry> {
    let place = world.fleet.place(&step.workload.place);
    if !place.is_some_and(|place| place.state.is_live()) {
        gates.waiting_for = Some(Text::new(&format!("{} does not answer", step.workload.place)));
        return None;
    }
    let lock = world.fleet.workload(&step.workload).and_then(|workload| world.fleet.lock_on(workload));
    // What is owed is given back all the same.
    if let Some(lock) = lock.filter(|_| !matches!(step.action, Action::GiveBack { .. })) {
        gates.waiting_for = Some(Text::new(&format!("{} is locked {}", step.workload, lock.describe())));
        return None;
    }
    let stay = world.fleet.protections().stay_of(&step.workload);
    if let Some(stay) = stay.filter(|stay| step.action.is_rollout() && stay.keeps_from(operation)) {
        gates.waiting_for = Some(Text::new(&format!("{}: {}", step.workload, stay.why_stays())));
        return None;
    }
    if let Some(why) = forbidden_since(operation, world, step) {
        gates.waiting_for = Some(why);
        return None;
    }
    let progress = operation.progress(step.id);
    if progress.blocked_at.is_some() {
        let since = *gates.blocked_since.entry(step.id).or_insert(world.now);
        if elapsed(since, world.now) > world.policy.for_place(&step.workload.place).step_timeout {
            let reason = Text::new(&format!("it was blocked all the time: {}", progress.detail));
            return Some(Entry::Failed { step: step.id, reason });
        }
        if waits_to_try(progress, world) {
            gates.waiting_for = Some(progress.detail.clone());
            return None;
        }
    }
    match turn_of(operation, world, step) {
        Turn::Now => {}
        Turn::First(entry) => return Some(entry),
        Turn::Waits(why) => {
            gates.waiting_for = Some(why);
            return None;
        }
    }
    if let Some(reason) = would_be_undone(operation, step) {
        return Some(Entry::Refused { call: Call::Step(step.id), reason });
    }
    if let Some(why) = rolls_below_floor(world, step) {
        gates.waiting_for = Some(why);
        return None;
    }
    let mut present: Vec<Uid> = Vec::new();
    if matches!(step.action, Action::Evict { .. }) {
        // The rollout that it follows is under way all the time.
        let is_followed = |other: &Step| step.follows == Follows::NewTemplate && other.action.is_rollout();
        let others = operation
            .plan
            .steps()
            .filter(|other| other.workload == step.workload && other.id != step.id && !is_followed(other));
        let busy = others.into_iter().any(|other| {
            matches!(operation.progress(other.id).state, StepState::Sent | StepState::Accepted | StepState::Held)
        });
        if busy {
            gates.waiting_for = Some(Text::new("one instance of a workload at a time"));
            return None;
        }
        if let Some(why) = below_floor(world, step) {
            gates.waiting_for = Some(why);
            return None;
        }
        let workload = world.fleet.workload(&step.workload)?;
        present = world.fleet.instances_of(workload).map(|instance| instance.seen.uid.clone()).collect();
    }
    Some(Entry::Sent { call: Call::Step(step.id), present })
}

/// What has come since the plan was made and keeps a step from being sent: a quarantine of its target, a freeze of its place. As
/// when a plan is made, a reason and a way back pass.
fn forbidden_since(operation: &Operation, world: &World<'_>, step: &Step) -> Option<Text> {
    let plan = &operation.plan;
    if !step.action.replaces() || plan.reason.is_some() || plan.reverses.is_some() {
        return None;
    }
    let ban = world.fleet.quarantine_of(step.to.image.as_ref(), step.to.reference.as_ref());
    if let Some(ban) = ban {
        return Some(Text::new(&format!("its target is quarantined {}: lift that, or stop it (x s)", ban.describe())));
    }
    let freeze = world.policy.freeze_at(&step.workload.place, world.now).filter(|_| plan.way != Way::Back);
    freeze.map(|freeze| {
        let until = freeze.describe();
        Text::new(&format!("{} is frozen {until}; x s stops it, x z goes back", step.workload.place))
    })
}

/// Why what a step changes would be put back at once: somebody has let those act again who were suspended for it.
fn would_be_undone(operation: &Operation, step: &Step) -> Option<Text> {
    if !step.action.is_rollout() {
        return None;
    }
    let is_suspended_for_it = |other: &&Step| {
        let is_there = other.workload.place == step.workload.place;
        is_there && operation.progress(other.id).state == StepState::Verified
    };
    operation.plan.steps().filter(is_suspended_for_it).find_map(|other| match &other.action {
        Action::Borrow { loan: loan @ Loan { what: Borrowed::Keeper { keeper, to: Setting::Suspended, .. }, .. } } => {
            let acts = !operation.owes(&other.workload, loan);
            acts.then(|| {
                Text::new(&format!("not sent: {keeper} acts again and would undo it; look at who, then plan again"))
            })
        }
        _ => None,
    })
}

/// Why the platform itself might leave too few healthy ones now: counts may have moved since the plan was made.
fn rolls_below_floor(world: &World<'_>, step: &Step) -> Option<Text> {
    if !step.action.is_rollout() {
        return None;
    }
    let workload = world.fleet.workload(&step.workload)?;
    let floor = world.policy.for_place(&step.workload.place).floor_percent;
    let Floor { left, needed, .. } = Floor::of_rollout(world.fleet, workload, &workload.seen.strategy, step, floor);
    let is_short = workload.judgement.tally.healthy > 0 && left < needed;
    let desired = workload.seen.desired;
    is_short.then(|| Text::new(&format!("its strategy may leave {left} of {desired} healthy, the floor is {needed}")))
}

/// Why taking this instance away now would leave too few healthy ones.
fn below_floor(world: &World<'_>, step: &Step) -> Option<Text> {
    let Action::Evict { instance, .. } = &step.action else { return None };
    let workload = world.fleet.workload(&step.workload)?;
    let target = world.fleet.instances_of(workload).find(|present| present.seen.uid == *instance)?;
    let is_healthy = target.seen.phase == Phase::Running && target.seen.health == Health::Healthy;
    let tally = workload.judgement.tally;
    let floor = world.policy.for_place(&step.workload.place).floor_percent;
    let needed = crate::domain::plan::healthy_floor(workload.seen.desired, floor);
    let left = tally.healthy.saturating_sub(u32::from(is_healthy));
    // It would be on its way for ever where the platform waits for just this one.
    let is_moving = workload.seen.rollout == Rollout::Progressing && !is_stuck(workload, target);
    if is_healthy && (left < needed || left == 0) {
        return Some(Text::new(&format!("{left} of {} would be left, the floor is {needed}", workload.seen.desired)));
    }
    is_moving.then(|| Text::new("a rollout of the workload is on its way"))
}

pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    let between = now.duration_since(since);
    if between.is_negative() { Duration::ZERO } else { between.unsigned_abs() }
}
