//! What an operation has held or borrowed and still owes; and when the fleet shows that it is paid: by a later operation, by
//! an operator at a shell, or because there is nothing left to give it back to.
//!
//! Never believes an observation of an older generation, or of a place that is not live; and never takes what it can't see
//! for gone.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Operation, StepState};
use crate::domain::fleet::Fleet;
use crate::domain::id::{PlaceId, StepId, Uid, WorkloadId};
use crate::domain::journal::{Entry, Receipt};
use crate::domain::keeper::{Borrowed, KeeperId, Loan, Setting};
use crate::domain::observation::{Rollout, Strategy};
use crate::domain::plan::{Action, Goto, Marked, Owing, Step};
use crate::domain::text::Text;

/// What an operation still owes.
#[derive(Clone, Debug, PartialEq)]
pub struct Debt {
    /// To what; a keeper is owed for the sake of this one.
    pub workload: WorkloadId,
    /// What.
    pub owed: Owed,
    /// Since when.
    pub since: Timestamp,
    /// The generation of what was changed from then on; what an older one shows says nothing of the debt.
    pub generation: u64,
}

/// What is owed.
#[derive(Clone, Debug, PartialEq)]
pub enum Owed {
    /// Its rollout is held.
    Hold,
    /// Something that was borrowed.
    Loan(Loan),
}

impl Debt {
    /// Where.
    pub fn place(&self) -> &PlaceId {
        &self.workload.place
    }

    /// In words.
    pub fn what(&self) -> Text {
        match &self.owed {
            Owed::Hold => Text::new("its rollout is held"),
            Owed::Loan(loan) => Text::new(&loan.what.as_debt()),
        }
    }

    /// When it should have been given back; a hold has no term: nothing goes on there anyway.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.owed {
            Owed::Hold => None,
            Owed::Loan(loan) => self.since.checked_add(loan.term).ok(),
        }
    }

    /// What is borrowed; `None` for a hold.
    pub fn loan(&self) -> Option<&Loan> {
        match &self.owed {
            Owed::Hold => None,
            Owed::Loan(loan) => Some(loan),
        }
    }

    /// Whether a place that answers shows what is owed as it was left, so that it can be given back: who writes it off then leaves
    /// it so, and nobody remembers.
    pub fn can_be_given_back(&self, fleet: &Fleet) -> bool {
        if !fleet.place(self.place()).is_some_and(|place| place.state.is_live()) {
            return false;
        }
        let workload = || fleet.workload(&self.workload).map(|workload| &workload.seen);
        match &self.owed {
            Owed::Hold => workload().is_some_and(|seen| seen.rollout == Rollout::Paused),
            Owed::Loan(Loan { what: Borrowed::Keeper { keeper, uid, to, .. }, .. }) => {
                fleet.keeper(keeper).is_some_and(|seen| seen.uid == *uid && seen.setting == *to)
            }
            Owed::Loan(Loan { what: Borrowed::Pace { to, .. }, .. }) => {
                workload().is_some_and(|seen| seen.strategy == *to)
            }
        }
    }

    /// What a plan would give back; `None` for a hold, which another plan lets go.
    pub fn owing(&self) -> Option<Owing> {
        Some(Owing { workload: self.workload.clone(), loan: self.loan()?.clone() })
    }

    /// The entry that it is owed no longer.
    fn is_paid(&self, how: &str) -> Entry {
        Entry::DebtPaid { workload: self.workload.clone(), loan: self.loan().cloned(), how: Text::new(how) }
    }

    /// Whether its term is over.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.due().is_some_and(|due| due <= now)
    }
}

/// What gives debts back: the goal of a plan, and its workloads. What was borrowed comes first; else rollouts are let go that are
/// held though nothing is left for them to do. `None`: whoever pays must say where to.
pub fn give_back(debts: &[&Debt], fleet: &Fleet) -> Option<(Goto, Vec<WorkloadId>)> {
    let owing: Vec<Owing> = debts.iter().filter_map(|debt| debt.owing()).collect();
    let is_through = |debt: &&&Debt| {
        let workload = fleet.workload(&debt.workload);
        workload.is_some_and(|known| known.seen.rollout == Rollout::Paused && known.judgement.tally.off() == 0)
    };
    let (goto, workloads): (Goto, Vec<WorkloadId>) = match owing.is_empty() {
        true => (Goto::Expected, debts.iter().filter(is_through).map(|debt| debt.workload.clone()).collect()),
        false => {
            let workloads = owing.iter().map(|owed| owed.workload.clone()).collect();
            (Goto::GiveBack(owing), workloads)
        }
    };
    let workloads: BTreeSet<WorkloadId> = workloads.into_iter().collect();
    (!workloads.is_empty()).then(|| (goto, workloads.into_iter().collect()))
}

/// The entry for the next debt that is paid. Whoever sees it may write it: it sends nothing.
pub fn paid(operation: &Operation, fleet: &Fleet) -> Option<Entry> {
    operation.debts.iter().find_map(|debt| {
        let place = fleet.place(debt.place()).filter(|place| place.state.is_live())?;
        if place.heard_at.is_none_or(|heard| heard <= debt.since) {
            return None;
        }
        let how = match &debt.owed {
            Owed::Hold => hold_is_off(operation, fleet, debt)?,
            // Our own request is on its way, and its answer says it better.
            Owed::Loan(loan) if is_being_given_back(operation, &debt.workload, &loan.what) => return None,
            Owed::Loan(Loan { what: Borrowed::Keeper { keeper, uid, to, .. }, .. }) => {
                is_given_back(operation, fleet, debt, (keeper, uid, *to))?
            }
            Owed::Loan(Loan { what: Borrowed::Pace { to, .. }, .. }) => has_own_pace(operation, fleet, debt, to)?,
        };
        Some(debt.is_paid(&how))
    })
}

fn hold_is_off(operation: &Operation, fleet: &Fleet, debt: &Debt) -> Option<String> {
    let step = operation.plan.steps().find(|step| step.workload == debt.workload && step.brake.exists())?;
    // Our own release is on its way, and its answer says it better.
    if operation.progress(step.id).brake.is_some() {
        return None;
    }
    match fleet.workload(&debt.workload) {
        Some(other) if other.seen.uid != step.bound.uid => Some("the workload was deleted and made again".to_string()),
        None if fleet.is_deleted(debt.place(), &step.bound.uid) => Some("the workload was deleted".to_string()),
        None => None,
        Some(workload) if workload.seen.rollout == Rollout::Paused => None,
        Some(workload) if workload.seen.generation < debt.generation => None,
        Some(workload) => {
            let mark = workload.seen.touched_by.as_deref();
            Some(by_whom(operation, mark, "released", "its pause was taken off by somebody else"))
        }
    }
}

fn is_given_back(
    operation: &Operation,
    fleet: &Fleet,
    debt: &Debt,
    (keeper, uid, to): (&KeeperId, &Uid, Setting),
) -> Option<String> {
    let seen = fleet.keeper(keeper)?;
    if seen.uid != *uid {
        return Some("it was deleted and made again".to_string());
    }
    if seen.setting == to || seen.generation < debt.generation {
        return None;
    }
    Some(no_longer_so(operation, debt, seen.touched_by.as_deref()))
}

fn has_own_pace(operation: &Operation, fleet: &Fleet, debt: &Debt, to: &Strategy) -> Option<String> {
    let uid = operation.plan.steps().find(|step| step.workload == debt.workload).map(|step| &step.bound.uid)?;
    let Some(workload) = fleet.workload(&debt.workload) else {
        return fleet.is_deleted(debt.place(), uid).then(|| "the workload was deleted".to_string());
    };
    let seen = &workload.seen;
    if seen.uid != *uid {
        return Some("the workload was deleted and made again".to_string());
    }
    if seen.strategy == *to || seen.generation < debt.generation {
        return None;
    }
    Some(no_longer_so(operation, debt, seen.touched_by.as_deref()))
}

/// Whether the operation has asked itself for this to be given back, and waits for the answer.
fn is_being_given_back(operation: &Operation, workload: &WorkloadId, what: &Borrowed) -> bool {
    let gives_back = |step: &&Step| match &step.action {
        Action::GiveBack { loan } => step.workload == *workload && loan.what.is_of_same(what),
        _ => false,
    };
    operation.plan.steps().filter(gives_back).any(|step| operation.progress(step.id).state == StepState::Sent)
}

/// How a loan came to be no longer so.
fn no_longer_so(operation: &Operation, debt: &Debt, mark: Option<&str>) -> String {
    let borrows = |step: &&Step| {
        let is_of_same = |loan: &Loan| debt.is_for(&step.workload, Some(loan));
        matches!(&step.action, Action::Borrow { loan } if is_of_same(loan))
    };
    let borrow = operation.plan.steps().find(borrows);
    if borrow.is_some_and(|step| operation.progress(step.id).state == StepState::Unresolved) {
        return "its answer was lost, and the fleet shows that it is not so: nothing is owed".to_string();
    }
    by_whom(operation, mark, "given back", "changed by somebody else")
}

fn by_whom(operation: &Operation, mark: Option<&str>, done: &str, else_said: &str) -> String {
    match mark.and_then(Marked::of) {
        Some(marked) if marked.operation != operation.id => format!("{done} by {}", marked.operation),
        Some(_) | None => else_said.to_string(),
    }
}

impl Operation {
    /// The entry that writes the next debt off, in the words of whoever does so.
    pub fn write_off(&self, how: &Text) -> Option<Entry> {
        self.debts.first().map(|debt| debt.is_paid(how))
    }

    /// A step was accepted: what it has borrowed is owed from now on, what it has given back no longer.
    pub(super) fn account_for(&mut self, step: StepId, receipt: &Receipt, at: Timestamp) {
        let Some(step) = self.plan.step(step) else { return };
        let workload = step.workload.clone();
        let Some(loan) = step.action.loan().cloned() else { return };
        if matches!(step.action, Action::GiveBack { .. }) {
            return self.debts.retain(|debt| !debt.is_for(&workload, Some(&loan)));
        }
        self.debts.push(Debt { workload, owed: Owed::Loan(loan), since: at, generation: receipt.generation });
    }

    /// Nobody can tell what became of a step: what it may have borrowed is owed until the fleet shows that it is not so.
    pub(super) fn account_for_unknown(&mut self, step: StepId, at: Timestamp) {
        let Some(step) = self.plan.step(step) else { return };
        let Action::Borrow { loan } = &step.action else { return };
        let debt = Debt { workload: step.workload.clone(), owed: Owed::Loan(loan.clone()), since: at, generation: 0 };
        if !self.owes(&debt.workload, loan) {
            self.debts.push(debt);
        }
    }

    /// Whether it owes this loan still.
    pub(super) fn owes(&self, workload: &WorkloadId, loan: &Loan) -> bool {
        self.debts.iter().any(|debt| debt.is_for(workload, Some(loan)))
    }

    /// Somebody else let go of what we held, or gave back what we borrowed. It is not taken again by itself: that would be
    /// a fight.
    pub(super) fn apply_paid(&mut self, workload: &WorkloadId, loan: Option<&Loan>, how: &Text) {
        for debt in self.debts.iter().filter(|debt| debt.is_for(workload, loan)) {
            self.paid.push((Text::new(&format!("{}: {}", debt.workload, debt.what())), how.clone()));
        }
        self.debts.retain(|debt| !debt.is_for(workload, loan));
        if loan.is_some() {
            return;
        }
        let steps = self.plan.steps().filter(|step| step.workload == *workload).map(|step| step.id);
        for step in steps {
            if let Some(progress) = self.steps.get_mut(&step).filter(|progress| progress.state == StepState::Held) {
                progress.state = StepState::Accepted;
                progress.detail = how.clone();
                progress.brake_failed = Some(how.clone());
            }
        }
    }
}

impl Debt {
    /// Whether it is this one: a hold of the workload, or this loan.
    fn is_for(&self, workload: &WorkloadId, loan: Option<&Loan>) -> bool {
        match (&self.owed, loan) {
            (Owed::Hold, None) => self.workload == *workload,
            (Owed::Loan(own), Some(loan)) => self.workload == *workload && own.what.is_of_same(&loan.what),
            (Owed::Hold, Some(_)) | (Owed::Loan(_), None) => false,
        }
    }
}
