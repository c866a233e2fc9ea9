//! How far a step is by what the fleet shows: each instance looked at, never a status count alone.
//!
//! Never believes an observation of an older generation, or of a place that is not live.

use jiff::{SignedDuration, Timestamp};

use super::{StepProgress, StepState, World, loans, promoted};
use crate::domain::fleet::{Fleet, Instance, Workload};
use crate::domain::history::current_revision;
use crate::domain::id::{OperationId, WorkloadKind};
use crate::domain::image::{Comparison, ImageId};
use crate::domain::observation::{ContainerSeen, Health, Phase, Rollout, TemplateHash};
use crate::domain::plan::{Action, Brake, Marked, Paused, Step, Unpause, is_held_back, left_to_end};
use crate::domain::text::Text;

/// How long an instance that came after the verification may take to get ready before it counts as sick.
const SETTLING: SignedDuration = SignedDuration::from_secs(60);

/// What the fleet shows of a step that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done: old incarnations gone, new ones on the target and healthy.
    Done(Text),
    /// On its way: how many of how many are there.
    OnItsWay {
        /// Instances that are on the target and healthy.
        done: u32,
        /// Instances that shall be.
        total: u32,
    },
    /// It will not come to its end by itself.
    Failed(Text),
    /// The place does not answer, or answers with something older than the step.
    NotSeen(Text),
}

/// Looks at one accepted step.
pub fn progress_of(step: &Step, progress: &StepProgress, fleet: &Fleet) -> Progress {
    let Some(place) = fleet.place(&step.workload.place) else {
        return Progress::NotSeen(Text::new("its place is not connected"));
    };
    if !place.state.is_live() {
        return Progress::NotSeen(Text::new(&format!("{} is {}", place.id, place.state.as_str())));
    }
    if !is_after(place.heard_at, progress.accepted_at) {
        return Progress::NotSeen(Text::new("nothing was heard from its place since it was sent"));
    }
    let workload = match sight(step, fleet) {
        Sight::There(workload) => workload,
        Sight::Gone => return Progress::Failed(Text::new("the workload was deleted")),
        Sight::None => return Progress::NotSeen(Text::new("its workload is not seen here")),
    };
    match &step.action {
        Action::RestoreRevision { .. } | Action::SetImage { .. } => rolled(step, progress, fleet, workload),
        Action::Evict { instance, name, .. } => {
            let old = fleet.instances_of(workload).find(|present| present.seen.uid == *instance);
            evicted(step, progress, fleet, workload, (name, old))
        }
        Action::EndRollout { .. } if still_runs(workload) => Progress::OnItsWay { done: 0, total: 0 },
        Action::Promote { .. } => promoted::progress(step, workload),
        Action::EndRollout { what } => Progress::Done(Text::new(&format!("{what} has ended where it was"))),
        Action::Borrow { loan } | Action::GiveBack { loan } => loans::progress(step, loan, progress, fleet),
    }
}

/// What is seen of a step's workload.
enum Sight<'a> {
    /// It.
    There(&'a Workload),
    /// It is certainly gone.
    Gone,
    /// Nothing; it may be out of our sight.
    None,
}

fn sight<'a>(step: &Step, fleet: &'a Fleet) -> Sight<'a> {
    match fleet.workload(&step.workload) {
        Some(workload) if workload.seen.uid == step.bound.uid => Sight::There(workload),
        Some(_) => Sight::Gone,
        None if fleet.is_deleted(&step.workload.place, &step.bound.uid) => Sight::Gone,
        None => Sight::None,
    }
}

fn rolled(step: &Step, progress: &StepProgress, fleet: &Fleet, workload: &Workload) -> Progress {
    let seen = &workload.seen;
    let Some(receipt) = &progress.receipt else {
        return Progress::NotSeen(Text::new("its answer is not known"));
    };
    if seen.generation < receipt.generation || seen.observed_generation < receipt.generation {
        return Progress::OnItsWay { done: 0, total: seen.desired };
    }
    if let Rollout::Failed(why) = &seen.rollout {
        return Progress::Failed(why.clone());
    }
    // Of a group its refreshes tell; what ECS tells of a deployment may be of the one before.
    let is_group = step.workload.kind == WorkloadKind::AutoScalingGroup;
    let is_ours = progress.brake.is_some() || progress.state == StepState::Held;
    let is_ended = is_group && step.brake == Brake::CancelRollout && seen.rollout == Rollout::Paused && !is_ours;
    if is_ended && receipt.template.as_ref().is_none_or(|template| *template == seen.template.hash) {
        return Progress::Failed(Text::new(
            "somebody else has ended its rollout half way: look at who, then plan again",
        ));
    }
    if receipt.template.as_ref().is_some_and(|template| *template != seen.template.hash) {
        let by: Vec<&str> = seen.owners.iter().map(|owner| owner.manager.as_str()).collect();
        let why = match by.is_empty() {
            true => "the template is another one again: its platform took it back, or somebody changed it".to_string(),
            false => format!("somebody changed the template again (the image field is owned by {})", by.join(", ")),
        };
        return Progress::Failed(Text::new(&why));
    }
    // No instance is waited for: the next run may be a month away.
    if workload.id.kind.has_runs() {
        let (image, rest) = (step.to.label(), left_to_end(fleet, workload));
        return Progress::Done(Text::new(&format!("the next run starts {image}; {rest}")));
    }
    let current = current_revision(&workload.revisions, &seen.template.hash);
    let is_new = |instance: &Instance| current.is_some_and(|current| current.made(&instance.seen));
    let mut done = 0;
    let mut left_over = 0;
    let mut held_back = 0;
    let mut astray: Vec<&Instance> = Vec::new();
    for instance in fleet.instances_of(workload) {
        match instance.seen.phase {
            // An ended pod is none any more: its controller has made another.
            Phase::Succeeded | Phase::Failed => {}
            // Nobody waits for those that its partition leaves as they are.
            phase if is_held_back(workload, instance) => held_back += u32::from(phase.is_counted()),
            // Its replacement is counted; where pods go all the time there is always such a one.
            Phase::Draining if is_new(instance) => {}
            _ if is_new(instance) && is_healthy(instance) && runs_target(step, instance, fleet) => done += 1,
            _ if is_new(instance) && is_healthy(instance) && runs_another(step, instance, fleet) => {
                astray.push(instance)
            }
            _ => left_over += 1,
        }
    }
    let kept = if promoted::keeps_old(workload) { left_over } else { 0 };
    let is_settled = current.is_some() && (kept > 0 || seen.rollout == Rollout::Stable && left_over == 0);
    let total = seen.desired.saturating_sub(held_back);
    if let (true, Some(instance)) = (is_settled && done + astray.len() as u32 == total, astray.first()) {
        let image = running_of(step, instance).map(|image| image.short(12).to_string()).unwrap_or_default();
        let (count, of) = (astray.len(), seen.desired);
        let is_pinned = step.to.reference.as_ref().is_some_and(|reference| reference.pinned().is_some());
        let because = if is_pinned { "" } else { "; its tag has moved since" };
        let why = format!("all are new, and {count} of {of} run another image: {image}{because}");
        return Progress::Failed(Text::new(&why));
    }
    if is_settled && done == total {
        let image = step.to.image.as_ref().map_or_else(|| step.to.label(), |image| image.short(12).to_string());
        let rest = match held_back {
            0 if kept > 0 => format!("{kept} of the version before stay a while, without traffic"),
            0 => "none is left".to_string(),
            stay => format!("{stay} below its partition stay as they are"),
        };
        let of = seen.desired;
        return Progress::Done(Text::new(&format!("{done} of {of} run {image} and are healthy; {rest}")));
    }
    Progress::OnItsWay { done, total }
}

fn evicted(
    step: &Step,
    progress: &StepProgress,
    fleet: &Fleet,
    workload: &Workload,
    (name, old): (&Text, Option<&Instance>),
) -> Progress {
    if old.is_some() {
        return Progress::OnItsWay { done: 0, total: 1 };
    }
    let new = fleet.instances_of(workload).find(|instance| {
        let is_new = instance.seen.phase.is_counted() && !progress.present.contains(&instance.seen.uid);
        // There a place has a name, and others may be made anew at the same time.
        is_new && (workload.id.kind != WorkloadKind::StatefulSet || instance.seen.name == *name)
    });
    match new {
        Some(new) if is_healthy(new) && runs_target(step, new, fleet) => {
            Progress::Done(Text::new(&format!("{} took its place and is healthy", new.seen.name)))
        }
        Some(new) if is_healthy(new) => Progress::Failed(Text::new(&format!(
            "{} took its place, but does not run the expected image: a stale image on its node, or a tag that moved",
            new.seen.name
        ))),
        // Scaled down meanwhile: nothing has to come back.
        None if workload.judgement.tally.healthy >= workload.seen.desired => {
            Progress::Done(Text::new("it is gone and was not needed any more"))
        }
        Some(_) | None => Progress::OnItsWay { done: 0, total: 1 },
    }
}

/// Whether the instance runs what the step wants. Where no exact image is known, being asked for it must do.
fn runs_target(step: &Step, instance: &Instance, fleet: &Fleet) -> bool {
    let Some(container) = container_of(step, instance) else { return false };
    let asked_for_it =
        step.to.reference.as_ref().zip(container.asked.as_ref()).is_some_and(|(wanted, asked)| wanted.asks_same(asked));
    match (&step.to.image, &container.running) {
        (_, None) => false,
        (Some(wanted), Some(running)) => match fleet.catalog().compare(wanted, running) {
            Comparison::Same => true,
            // Pinned to it: only another document of the same image can be reported.
            Comparison::Different | Comparison::Undecidable => {
                asked_for_it && step.to.reference.as_ref().is_some_and(|wanted| wanted.digest().is_some())
            }
        },
        (None, Some(_)) => step.to.reference.is_none() || asked_for_it,
    }
}

fn container_of<'a>(step: &Step, instance: &'a Instance) -> Option<&'a ContainerSeen> {
    instance.seen.containers.iter().find(|container| container.name == step.to.container)
}

/// Whether it certainly runs something else than the step wants.
fn runs_another(step: &Step, instance: &Instance, fleet: &Fleet) -> bool {
    let wanted = step.to.image.as_ref().zip(running_of(step, instance));
    wanted.is_some_and(|(wanted, running)| fleet.catalog().compare(wanted, running) == Comparison::Different)
}

/// What the container meant runs, where its platform says so.
fn running_of<'a>(step: &Step, instance: &'a Instance) -> Option<&'a ImageId> {
    container_of(step, instance)?.running.as_ref()
}

fn is_healthy(instance: &Instance) -> bool {
    instance.seen.phase == Phase::Running && instance.seen.health == Health::Healthy
}

fn is_after(heard: Option<Timestamp>, accepted: Option<Timestamp>) -> bool {
    match (heard, accepted) {
        (Some(heard), Some(accepted)) => heard > accepted,
        _ => false,
    }
}

/// What the fleet says about a step whose answer was lost.
///
/// `before` is the generation that an earlier request of the operation has left there: what is not newer is of that one.
pub(super) fn recover(
    step: &Step,
    (operation, before): (&OperationId, u64),
    fleet: &Fleet,
    since: Timestamp,
) -> Recovered {
    let Some(place) = fleet.place(&step.workload.place).filter(|place| place.state.is_live()) else {
        return Recovered::NotKnown;
    };
    if !is_after(place.heard_at, Some(since)) {
        return Recovered::NotKnown;
    }
    let workload = match sight(step, fleet) {
        Sight::There(workload) => workload,
        Sight::Gone => return Recovered::Unclear(Text::new("the workload was deleted meanwhile")),
        Sight::None => return Recovered::NotKnown,
    };
    let is_marked = Marked::is_by(workload.seen.touched_by.as_ref(), operation) && workload.seen.generation > before;
    let by_us = if leaves_mark(workload.id.kind) { is_marked } else { began_to_ask(step, workload) };
    match &step.action {
        Action::RestoreRevision { .. } | Action::SetImage { .. } => {
            let is_old = workload.seen.template.hash == step.bound.template;
            match (by_us, asks_for_target(step, workload)) {
                (true, true) => Recovered::WasDone {
                    generation: workload.seen.generation,
                    template: workload.seen.template.hash.clone(),
                },
                (true, false) => Recovered::Unclear(Text::new(
                    "it carries the mark of this operation, but its template is not the step's: somebody changed it again; look at who",
                )),
                (false, _) if is_old => Recovered::Unclear(Text::new(
                    "its template is still the old one and carries no mark of this operation: it looks not done; look once more, then plan again",
                )),
                (false, _) => Recovered::Unclear(Text::new(
                    "its template was changed, but not with the mark of this operation; look at who changed it",
                )),
            }
        }
        Action::Evict { instance, name, .. } => {
            match fleet.instances_of(workload).find(|present| present.seen.uid == *instance) {
                None => Recovered::Gone,
                Some(present) if present.seen.phase == Phase::Draining => Recovered::Gone,
                Some(_) => Recovered::Unclear(Text::new(&format!(
                    "instance {name} is still there: it looks not done; look once more, then plan again"
                ))),
            }
        }
        Action::EndRollout { what } if still_runs(workload) => match workload.seen.rollout {
            // On its way to its end: whoever has asked for that.
            Rollout::Paused => Recovered::Gone,
            Rollout::Stable | Rollout::Progressing | Rollout::Failed(_) => Recovered::Unclear(Text::new(&format!(
                "{what} still runs: it looks not done; look once more, then plan again"
            ))),
        },
        // Whoever has ended it: it has ended.
        Action::EndRollout { .. } => Recovered::Gone,
        Action::Borrow { .. } | Action::GiveBack { .. } => loans::recover(step, operation, fleet),
        Action::Promote { halt, .. } if promoted::was_let_go(halt.as_ref(), workload) => Recovered::Gone,
        Action::Promote { halt: Some(_), what, .. } => Recovered::Unclear(Text::new(&format!(
            "it still waits at {what}: it looks not done; look once more, then plan again"
        ))),
        Action::Promote { halt: None, what, .. } => Recovered::Unclear(Text::new(&format!(
            "{what} still goes by its steps, or has just been promoted; look once more, then plan again"
        ))),
    }
}

/// Whether the rollout that ran when the step was decided runs still, or is on its way to its end.
fn still_runs(workload: &Workload) -> bool {
    // What was aborted waits for a person, and runs no more.
    if workload.seen.canary.is_some() {
        return workload.seen.running.is_some();
    }
    workload.seen.rollout == Rollout::Progressing || workload.seen.observed_generation < workload.seen.generation
}

/// Whether requests leave the operation's id on a workload of this kind.
fn leaves_mark(kind: WorkloadKind) -> bool {
    match kind {
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job
        | WorkloadKind::CronJob
        | WorkloadKind::Pod
        | WorkloadKind::Rollout
        | WorkloadKind::Unknown => true,
        WorkloadKind::AutoScalingGroup | WorkloadKind::EcsService | WorkloadKind::EcsTask | WorkloadKind::Machine => {
            false
        }
    }
}

/// Whether a workload without room for a mark asks for what the step wanted and did not when the step was decided.
/// Somebody else may have asked for just the same meanwhile: then nothing is left to do either.
fn began_to_ask(step: &Step, workload: &Workload) -> bool {
    let goes_on = step.bound.paused == Paused::Paused && workload.seen.rollout == Rollout::Progressing;
    asks_for_target(step, workload) && (workload.seen.template.hash != step.bound.template || goes_on)
}

/// Whether a workload asks for what the step wanted. The mark alone proves nothing: it outlives later changes.
fn asks_for_target(step: &Step, workload: &Workload) -> bool {
    if step.unpause == Unpause::Release && workload.seen.rollout == Rollout::Paused {
        return false;
    }
    match &step.action {
        Action::RestoreRevision { hash, .. } => workload.seen.template.hash == *hash,
        Action::SetImage { container, image } => {
            let asked = workload.container(container).and_then(|container| container.image.as_ref());
            asked.is_some_and(|asked| asked.as_str() == image.as_str())
        }
        Action::Evict { .. }
        | Action::EndRollout { .. }
        | Action::Promote { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => false,
    }
}

/// What became of a step whose answer was lost.
pub(super) enum Recovered {
    /// The fleet can't tell yet.
    NotKnown,
    /// The change carries our mark.
    WasDone {
        /// The workload's generation now.
        generation: u64,
        /// What it asks for now.
        template: TemplateHash,
    },
    /// What is borrowed is as the step wanted it, and carries our mark.
    Set {
        /// Its generation now.
        generation: u64,
    },
    /// The instance, or the rollout, is gone or going.
    Gone,
    /// The operator must look.
    Unclear(Text),
}

/// What the fleet shows of a workload's hold.
pub(super) enum Hold {
    /// The fleet can't tell yet.
    NotKnown,
    /// It is like this.
    Is {
        /// Whether it is held.
        paused: Paused,
        /// The workload's generation.
        generation: u64,
        /// What it asks for.
        template: TemplateHash,
    },
    /// The workload is gone.
    Gone,
}

/// Whether a step's workload is held, as seen after a time.
pub(super) fn seen_hold(step: &Step, fleet: &Fleet, since: Timestamp) -> Hold {
    let place = fleet.place(&step.workload.place).filter(|place| place.state.is_live());
    if !place.is_some_and(|place| is_after(place.heard_at, Some(since))) {
        return Hold::NotKnown;
    }
    match sight(step, fleet) {
        Sight::None => Hold::NotKnown,
        Sight::Gone => Hold::Gone,
        Sight::There(workload) => Hold::Is {
            paused: if workload.seen.rollout == Rollout::Paused { Paused::Paused } else { Paused::Running },
            generation: workload.seen.generation,
            template: workload.seen.template.hash.clone(),
        },
    }
}

/// How a workload does after its step was verified, while the next wave waits.
pub(super) enum Bake {
    /// Well.
    Healthy,
    /// Not well now; it may recover.
    Sick(Text),
    /// Somebody took the change back, or the platform gave up.
    Undone(Text),
}

/// Looks at a workload whose step was verified: its template must be the step's still, at least the floor must be
/// healthy, and no instance may be sick that was there then or had time to get ready since. Instances that come and go
/// are no sickness.
pub(super) fn bake_of(step: &Step, progress: &StepProgress, world: &World<'_>) -> Bake {
    // How its workload does the step after it tells. What is borrowed is a debt, and no part of its health.
    if !step.action.replaces() {
        return Bake::Healthy;
    }
    let sick = |why: &str| Bake::Sick(Text::new(&format!("{}: {why}", step.workload)));
    if !world.fleet.place(&step.workload.place).is_some_and(|place| place.state.is_live()) {
        return sick("its place does not answer");
    }
    let Some(workload) = world.fleet.workload(&step.workload) else { return sick("it is gone") };
    let receipt = progress.receipt.as_ref().and_then(|receipt| receipt.template.as_ref());
    if receipt.is_some_and(|template| *template != workload.seen.template.hash) {
        let by: Vec<&str> = workload.seen.owners.iter().map(|owner| owner.manager.as_str()).collect();
        let by = if by.is_empty() { "somebody".to_string() } else { by.join(", ") };
        return Bake::Undone(Text::new(&format!("it was verified, then reverted by {by}")));
    }
    if let Rollout::Failed(why) = &workload.seen.rollout {
        return Bake::Undone(Text::new(&format!("it was verified, then its rollout failed: {why}")));
    }
    if workload.id.kind.has_runs() {
        return Bake::Healthy;
    }
    let desired = workload.seen.desired;
    let floor = world.policy.for_place(&step.workload.place).floor_percent;
    let healthy = workload.judgement.tally.healthy;
    if healthy < crate::domain::plan::healthy_floor(desired, floor) {
        return sick(&format!("{healthy} of {desired} are healthy"));
    }
    let had_time = |instance: &Instance| {
        let since = instance.seen.started_at.unwrap_or(instance.fetched_at);
        progress.verified_at.is_none_or(|verified| since <= verified) || world.now.duration_since(since) > SETTLING
    };
    let counted = world.fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted());
    match counted.into_iter().find(|instance| !is_healthy(instance) && had_time(instance)) {
        Some(instance) => sick(&format!("{} is not healthy", instance.seen.name)),
        None => Bake::Healthy,
    }
}
