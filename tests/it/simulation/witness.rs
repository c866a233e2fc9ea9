//! What must be so after every event, and at the end: looked at in the world itself and on the disk, never in what the
//! program says of itself alone.
//!
//! Never stops a play: it notes what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use rolldeck::app::model::Model;
use rolldeck::domain::id::{OperationId, Uid, WorkloadId, WorkloadKind};
use rolldeck::domain::journal::{Call, Entry, Outcome, Record};
use rolldeck::domain::keeper::{Borrowed, Loan, Setting};
use rolldeck::domain::observation::{Health, Strategy};
use rolldeck::domain::operation::{Debt, Operation, Owed, StepState};
use rolldeck::domain::plan::{Action, Step};
use rolldeck::providers::sim::{Census, Outcome as Done, SimWorld};

use super::scene::Scene;
use super::wire::Arrival;

/// How long after somebody else's doing nobody can blame us for what a place looks like, in seconds: reports are late.
const UNREST: i64 = 60;

/// Everything that was seen.
pub(super) struct Witness {
    world: Arc<SimWorld>,
    /// Everything on the disk.
    pub(super) records: Vec<Record>,
    /// When somebody else last did something to a workload, or its place did not answer.
    disturbed: BTreeMap<WorkloadId, Timestamp>,
    /// Rollouts of ours, and how many must stay healthy during each.
    rollouts: Vec<(OperationId, WorkloadId, u32)>,
    /// What went out, by how often.
    sent: BTreeMap<(OperationId, Call), usize>,
    /// What a process saw healthy when it decided: others may have got well before the request arrived.
    seen_healthy: BTreeMap<(OperationId, Call), BTreeSet<Uid>>,
    /// What their keepers did in the beginning, and how each replaced.
    owns: BTreeMap<WorkloadId, (Vec<Setting>, Strategy)>,
    floor: u32,
    changes_by_itself: bool,
    /// What is wrong.
    pub(super) faults: Vec<String>,
}

impl Witness {
    pub(super) fn new(world: &Arc<SimWorld>, scene: &Scene) -> Witness {
        Witness {
            world: world.clone(),
            records: Vec::new(),
            disturbed: BTreeMap::new(),
            rollouts: Vec::new(),
            sent: BTreeMap::new(),
            seen_healthy: BTreeMap::new(),
            owns: scene
                .workloads
                .iter()
                .filter_map(|workload| world.census(workload).map(|census| (workload.clone(), census)))
                .map(|(workload, census)| (workload, (census.keepers, census.strategy)))
                .collect(),
            floor: scene.floor,
            changes_by_itself: scene.changes_by_itself,
            faults: Vec::new(),
        }
    }

    /// What the keepers of a workload did in the beginning.
    pub(super) fn keepers_of(&self, workload: &WorkloadId) -> Vec<Setting> {
        self.owns.get(workload).map(|(keepers, _)| keepers.clone()).unwrap_or_default()
    }

    /// Somebody else did something to a workload.
    pub(super) fn disturb(&mut self, workload: &WorkloadId) {
        self.disturbed.insert(workload.clone(), self.world.now());
        self.rollouts.retain(|(_, known, _)| known != workload);
    }

    /// A process is about to write something: an eviction must leave enough by what that process sees, whoever has changed
    /// something since the plan was made.
    pub(super) fn decides(&mut self, model: &Model, id: &OperationId, entry: &Entry) {
        let Entry::Sent { call: call @ Call::Step(step), .. } = entry else { return };
        let Some(step) = model.operations.get(id).and_then(|tracked| tracked.operation.plan.step(*step)) else {
            return;
        };
        let Some(workload) = model.fleet.workload(&step.workload) else { return };
        let healthy = model.fleet.instances_of(workload).filter(|one| one.seen.health == Health::Healthy);
        let healthy: Vec<&Uid> = healthy.map(|one| &one.seen.uid).collect();
        self.seen_healthy.insert((id.clone(), *call), healthy.iter().copied().cloned().collect());
        let Action::Evict { instance, .. } = &step.action else { return };
        let (left, desired) = (healthy.iter().filter(|uid| **uid != instance).count() as u32, workload.seen.desired);
        if healthy.contains(&instance) && left < (desired * self.floor).div_ceil(100) {
            self.faults.push(format!("{id} evicts a healthy one and sees that {left} of {desired} will be left"));
        }
    }

    /// A request goes out: its entry must be on the disk, once for each time that it goes out.
    pub(super) fn sends(&mut self, operation: &OperationId, call: Call) {
        let key = (operation.clone(), call);
        let out = self.sent.entry(key).or_insert(0);
        *out += 1;
        let is_it = |record: &&Record| {
            record.operation == *operation && matches!(record.entry, Entry::Sent { call: sent, .. } if sent == call)
        };
        let written = self.records.iter().filter(is_it).count();
        if *out > written {
            self.faults
                .push(format!("{operation} {call:?} goes out for the {out}. time, its entry is there {written} times"));
        }
    }

    /// Something is on the disk.
    pub(super) fn written(&mut self, record: Record) {
        if let Entry::Sent { call, .. } = &record.entry {
            self.may_be_sent(&record, *call);
        }
        let operation = record.operation.clone();
        let is_done = matches!(record.entry, Entry::Ended { outcome: Outcome::Done, .. });
        let is_ended = matches!(record.entry, Entry::Ended { .. });
        self.records.push(record);
        if is_done {
            self.is_really_done(&operation);
        }
        if is_ended {
            self.rollouts.retain(|(known, ..)| *known != operation);
        }
    }

    /// A request has arrived and was done.
    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        let Arrival { operation, call, workload, action, before } = arrival;
        let calls = self.world.calls();
        let done: Vec<Call> = calls
            .iter()
            .filter(|received| received.operation == *operation && received.outcome == Done::Done)
            .filter(|received| received.call.step() == call.step())
            .map(|received| received.call)
            .collect();
        if done.iter().filter(|done| matches!(done, Call::Step(_))).count() > 1 {
            self.faults.push(format!("{operation} {call:?} was done twice"));
        }
        let brakes: Vec<&Call> = done.iter().filter(|done| !matches!(done, Call::Step(_))).collect();
        if brakes.windows(2).any(|two| two[0] == two[1]) && !self.disturbed.contains_key(workload) {
            self.faults.push(format!("{operation} {call:?} was done twice in a row"));
        }
        let Some(before) = before else { return };
        let needed = (before.desired * self.floor).div_ceil(100);
        let seen = self.seen_healthy.get(&(operation.clone(), *call));
        match (call, action) {
            (Call::Step(_), Action::Evict { instance, .. }) if !self.is_restless(workload) => {
                let is_healthy = before.instances.iter().any(|present| present.uid == *instance && present.is_healthy);
                let left = self.world.census(workload).map_or(0, |census| census.healthy());
                let was_sick = seen.is_some_and(|seen| !seen.contains(instance));
                if is_healthy && !was_sick && left < needed && !self.changes_by_itself {
                    self.faults.push(format!(
                        "{operation} {call:?} evicted a healthy one and left {left} of {}, the floor is {needed}",
                        before.desired
                    ));
                }
            }
            (Call::Step(_), action) if action.is_rollout() && !self.is_restless(workload) => {
                let seen = seen.map_or(u32::MAX, |seen| seen.len() as u32);
                let least = needed.min(before.healthy()).min(seen);
                self.rollouts.push((operation.clone(), workload.clone(), least));
            }
            // A group whose refresh has ended takes what is on top away by its termination policy, which does not look at
            // health (Amazon EC2 Auto Scaling User Guide, "Control which instances terminate"). The plan says so.
            (Call::Brake(_), _) if workload.kind == WorkloadKind::AutoScalingGroup => {
                self.rollouts.retain(|(_, known, _)| known != workload);
            }
            _ => {}
        }
    }

    /// After every event: no rollout of ours takes more than it may.
    pub(super) fn look(&mut self) {
        if self.changes_by_itself {
            return;
        }
        let mut below = Vec::new();
        self.rollouts.retain(|(operation, workload, least)| {
            let healthy = self.world.census(workload).map_or(0, |census| census.healthy());
            if healthy < *least {
                below.push(format!(
                    "the rollout of {operation} left {healthy} healthy in {workload}, {least} must stay"
                ));
            }
            healthy >= *least
        });
        self.faults.extend(below);
    }

    /// At the end, when nothing is on its way any more and every place has answered.
    pub(super) fn ends(&mut self, model: &Model) {
        for tracked in model.operations.iter() {
            let operation = &tracked.operation;
            let records: Vec<Record> =
                self.records.iter().filter(|record| record.operation == operation.id).cloned().collect();
            if Operation::fold(&records).as_ref() != Some(operation) {
                self.faults.push(format!("{}: what is on the disk folds to something else", operation.id));
            }
            let Some((outcome, reason, _)) = &operation.ended else {
                self.faults.push(format!(
                    "{} never ended: {:?} {:?}",
                    operation.id, operation.mode, tracked.gates.waiting_for
                ));
                continue;
            };
            if reason.is_empty() {
                self.faults.push(format!("{} ended without a reason", operation.id));
            }
            let unresolved = operation.steps.values().filter(|step| step.state == StepState::Unresolved);
            let says = unresolved.clone().all(|step| !step.detail.is_empty());
            if *outcome == Outcome::Unresolved && (unresolved.count() == 0 || !says) {
                self.faults.push(format!("{} is unresolved and does not say what to look at", operation.id));
            }
            for debt in &operation.debts {
                let is_twin = |other: &&Debt| other.workload == debt.workload && other.owed == debt.owed;
                if operation.debts.iter().filter(is_twin).count() > 1 {
                    self.faults.push(format!("{} owes {} twice", operation.id, debt.workload));
                }
                if debt.owed == Owed::Hold && self.world.is_held(&debt.workload) == Some(false) {
                    self.faults.push(format!("{} owes {}, which is not held", operation.id, debt.workload));
                }
                if let Some(census) = self.world.census(&debt.workload)
                    && !is_borrowed(debt, &census)
                {
                    self.faults.push(format!(
                        "{} owes {}: {}, and that is not so",
                        operation.id,
                        debt.workload,
                        debt.what()
                    ));
                }
            }
        }
        self.holds_are_owed(model);
        self.loans_are_owed(model);
    }

    /// Once everything was let go of by hand: nothing is owed.
    pub(super) fn is_paid(&mut self, model: &Model) {
        // What was deleted while no process watched is not known to be gone, and is owed for good (`domain/operation/debts`).
        // Nobody gives a pace back by hand here.
        let is_pace = |debt: &Debt| matches!(&debt.owed, Owed::Loan(Loan { what: Borrowed::Pace { .. }, .. }));
        let debts = model.operations.debts().filter(|(_, debt)| self.world.is_held(&debt.workload).is_some());
        let debts = debts.filter(|(_, debt)| !is_pace(debt));
        let owed: Vec<String> = debts.map(|(id, debt)| format!("{id} owes {}", debt.workload)).collect();
        self.faults.extend(owed.into_iter().map(|owed| format!("{owed}, though somebody let go of it")));
    }

    /// What we have borrowed and not given back is owed, unless nobody can tell, which is said.
    fn loans_are_owed(&mut self, model: &Model) {
        for (workload, (keepers, strategy)) in &self.owns {
            let Some(census) = self.world.census(workload) else { continue };
            let is_doubtful = model.operations.iter().any(|tracked| {
                let loans = tracked.operation.plan.steps().filter(|step| step.action.loan().is_some());
                loans.into_iter().any(|step| tracked.operation.progress(step.id).state == StepState::Unresolved)
            });
            if is_doubtful || self.disturbed.contains_key(workload) {
                continue;
            }
            let owed = model.operations.debts().filter(|(_, debt)| debt.workload == *workload);
            let owed = owed.filter(|(_, debt)| matches!(debt.owed, Owed::Loan(_))).count();
            let differ = census.keepers.iter().zip(keepers).filter(|(now, own)| now != own).count();
            let differ = differ + usize::from(census.strategy != *strategy);
            if owed != differ {
                let text = format!("{differ} of {workload} are not as they were, and {owed} are owed: {census:?}");
                self.faults.push(text);
            }
        }
    }

    /// What is held by a brake of ours is owed, unless nobody can tell, which is said.
    fn holds_are_owed(&mut self, model: &Model) {
        let mut last: BTreeMap<WorkloadId, (OperationId, Call)> = BTreeMap::new();
        for received in self.world.calls().into_iter().filter(|received| received.outcome == Done::Done) {
            last.insert(received.workload, (received.operation, received.call));
        }
        for (workload, (id, call)) in last {
            let is_held = self.world.is_held(&workload) == Some(true);
            let Some(tracked) = model.operations.get(&id) else { continue };
            let is_it = |debt: &Debt| debt.owed == Owed::Hold && debt.workload == workload;
            let is_owed = tracked.operation.debts.iter().any(is_it);
            let is_doubtful = tracked.operation.progress(call.step()).state == StepState::Unresolved;
            if is_held
                && matches!(call, Call::Brake(_))
                && !is_owed
                && !is_doubtful
                && !self.disturbed.contains_key(&workload)
            {
                self.faults.push(format!("{id} holds {workload} and does not owe it"));
            }
        }
    }

    /// A step is written as sent again only after an answer that says that nothing was done; a brake only after its answer.
    fn may_be_sent(&mut self, record: &Record, call: Call) {
        let mut open = false;
        for before in self.records.iter().filter(|before| before.operation == record.operation) {
            match &before.entry {
                Entry::Sent { call: sent, .. } if *sent == call => open = true,
                Entry::Blocked { call: of, .. } if *of == call => open = false,
                Entry::Moved { step, .. } if Call::Step(*step) == call => open = false,
                Entry::Accepted { call: of, .. } | Entry::Refused { call: of, .. }
                    if *of == call && !matches!(call, Call::Step(_)) =>
                {
                    open = false;
                }
                _ => {}
            }
        }
        if open {
            self.faults
                .push(format!("{} writes {call:?} as sent again, and knows not what became of it", record.operation));
        }
    }

    /// Done is what the world shows: nothing old left, and what is new works.
    fn is_really_done(&mut self, id: &OperationId) {
        let records: Vec<Record> = self.records.iter().filter(|record| record.operation == *id).cloned().collect();
        let Some(operation) = Operation::fold(&records).filter(|_| !self.changes_by_itself) else { return };
        let steps: Vec<Step> = operation.plan.steps().cloned().collect();
        for step in &steps {
            if self.is_restless(&step.workload) {
                continue;
            }
            let Some(census) = self.world.census(&step.workload) else { continue };
            let progress = operation.progress(step.id);
            let wanted = progress.receipt.as_ref().and_then(|receipt| receipt.template.clone());
            match &step.action {
                Action::RestoreRevision { .. } | Action::SetImage { .. } => {
                    let wanted = wanted.unwrap_or_else(|| census.template.clone());
                    let good = census.instances.iter().filter(|one| one.is_healthy);
                    let good = good.filter(|one| one.template == wanted).count() as u32;
                    if census.template != wanted || good != census.desired || census.instances.len() as u32 != good {
                        self.faults.push(format!("{id} calls step {} done, and the world shows {census:?}", step.id));
                    }
                }
                Action::Evict { instance, .. } => {
                    if census.instances.iter().any(|one| one.uid == *instance) {
                        self.faults.push(format!("{id} calls step {} done, and {instance} is still there", step.id));
                    }
                }
                Action::EndRollout { .. }
                | Action::Promote { .. }
                | Action::Borrow { .. }
                | Action::GiveBack { .. } => {}
            }
        }
    }

    fn is_restless(&self, workload: &WorkloadId) -> bool {
        let last = self.disturbed.get(workload);
        last.is_some_and(|last| self.world.now().duration_since(*last).as_secs() < UNREST)
    }
}

/// Whether what is owed is so in the world.
fn is_borrowed(debt: &Debt, census: &Census) -> bool {
    match &debt.owed {
        Owed::Hold => true,
        Owed::Loan(Loan { what: Borrowed::Keeper { to, .. }, .. }) => census.keepers.contains(to),
        Owed::Loan(Loan { what: Borrowed::Pace { to, .. }, .. }) => census.strategy == *to,
    }
}
