//! What a plan borrows before it begins and gives back when it is done: those who would undo it are suspended, the minimum of
//! autoscalers is held.
//!
//! Never borrows what is not seen: nobody could tell when it is given back.

use std::time::Duration;

use super::choose::{Choice, check, side_now};
use super::{
    Action, Bound, Brake, Check, CheckVerdict, Follows, Marked, Owing, PlanRequest, Refusal, Step, Suspend, UndoneBy,
    Unpause,
};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::{StepId, WorkloadId};
use crate::domain::keeper::{Borrowed, KeeperId, KeeperSeen, Loan, Setting};
use crate::domain::observation::{Strategy, Undoer};
use crate::domain::policy::{Minimum, Policy};
use crate::domain::text::Text;

/// What is borrowed for one workload.
#[derive(Default)]
pub(super) struct Lent {
    /// Before its first step.
    pub(super) borrows: Vec<Step>,
    /// After its last one.
    pub(super) returns: Vec<Step>,
    /// What was looked at.
    pub(super) checks: Vec<Check>,
    /// What can't be borrowed although it was asked for.
    pub(super) refusals: Vec<Refusal>,
}

/// What is borrowed for a workload whose template is changed. `known` are the loans of the plan so far: an application that
/// keeps several workloads is suspended once.
pub(super) fn lend(
    request: &PlanRequest,
    fleet: &Fleet,
    policy: &Policy,
    workload: &Workload,
    undone_by: &[UndoneBy],
    known: &[Step],
) -> Lent {
    let mut lent = Lent::default();
    if request.suspend != Suspend::Nobody {
        let mut own: Vec<&UndoneBy> = undone_by.iter().filter(|undone| undone.workload == workload.id).collect();
        // One may be known by two signs, and the one that names it is enough.
        if own.iter().any(|undone| undone.undoer.keeper.is_some()) {
            own.retain(|undone| undone.undoer.keeper.is_some());
        }
        for undone in own {
            lent.suspend(request, fleet, policy.loan_term, workload, undone, known);
        }
    }
    if request.suspend != Suspend::Nobody && !undone_by.iter().any(|undone| undone.workload == workload.id) {
        let detail = format!("{}: nobody is known who would undo it: nobody is suspended", workload.id);
        lent.checks.push(check("suspend", CheckVerdict::Pass, detail));
    }
    lent.hold_minimum(request, fleet, policy, workload);
    lent
}

/// What to do with a debt that nothing can be given back to.
const GONE: &str = "look at its place (7); where it is gone for good, W on the operation (or write-off) writes it off";

/// What is owed for the sake of workloads that are not there: nobody would notice that it is left out.
pub(super) fn not_there(fleet: &Fleet, owing: &[Owing]) -> Vec<Refusal> {
    let is_gone = |owed: &&Owing| fleet.workload(&owed.workload).is_none();
    let refusal = |owed: &Owing| Refusal {
        place: Some(owed.workload.place.clone()),
        workload: Some(owed.workload.clone()),
        reason: Text::new("it is not seen here, and something is owed for its sake"),
        hint: Text::new(GONE),
    };
    owing.iter().filter(is_gone).map(refusal).collect()
}

/// Why something can't be given back now: a running operation counts on it.
pub(super) fn still_needed(
    fleet: &Fleet,
    workload: &Workload,
    owing: &[Owing],
    busy: &dyn Fn(&WorkloadId) -> Option<Text>,
) -> Option<String> {
    let own = owing.iter().filter(|owed| owed.workload == workload.id);
    own.into_iter().find_map(|owed| {
        let Borrowed::Keeper { keeper, .. } = &owed.loan.what else { return None };
        kept_by(fleet, keeper).into_iter().find_map(|(other, _)| {
            let operation = busy(&other.id)?;
            Some(format!("operation {operation} is driving {}, and {keeper} would undo it", other.id))
        })
    })
}

/// What a keeper keeps: each workload that names it, and what it says of it.
fn kept_by<'a>(fleet: &'a Fleet, keeper: &KeeperId) -> Vec<(&'a Workload, &'a Undoer)> {
    let of_place = fleet.workloads().filter(|other| other.id.place == keeper.place);
    let named = of_place.filter_map(|other| {
        let names_it = |undoer: &&Undoer| {
            let named = undoer.keeper.as_ref().and_then(|name| fleet.keeper_named(&other.id.place, name));
            named.is_some_and(|seen| seen.id(&other.id.place) == *keeper)
        };
        Some((other, other.seen.undoers.iter().find(names_it)?))
    });
    named.collect()
}

/// Who acts again once this is given back, and on what: it may put back what was taken away.
pub(super) fn set_loose(fleet: &Fleet, workload: &Workload, owing: &[Owing]) -> Vec<UndoneBy> {
    let own = owing.iter().filter(|owed| owed.workload == workload.id);
    let loose = own.filter_map(|owed| match &owed.loan.what {
        Borrowed::Keeper { keeper, from: Setting::Acts, .. } => Some(keeper),
        Borrowed::Keeper { .. } | Borrowed::Pace { .. } => None,
    });
    let undone = loose.flat_map(|keeper| kept_by(fleet, keeper)).map(|(kept, undoer)| UndoneBy {
        place: kept.id.place.clone(),
        workload: kept.id.clone(),
        undoer: Undoer {
            how_fast: Text::new(&format!("{}, once it acts again", undoer.how_fast)),
            // It is not suspended first: this plan lets it go.
            keeper: None,
            ..undoer.clone()
        },
    });
    undone.collect()
}

/// The steps that give back what operations owe for the sake of a workload.
pub(super) fn give_back(fleet: &Fleet, workload: &Workload, owing: &[Owing]) -> Choice {
    let mut steps = Vec::new();
    for owed in owing.iter().filter(|owed| owed.workload == workload.id) {
        if let Borrowed::Keeper { keeper, from, .. } = &owed.loan.what {
            match fleet.keeper(keeper) {
                // It will be taken for paid in a moment.
                Some(seen) if seen.setting == *from => continue,
                Some(_) => {}
                None => {
                    return Choice::Refused {
                        reason: format!("{keeper} is not seen: nothing would show that it is given back"),
                        hint: GONE.to_string(),
                    };
                }
            }
        }
        steps.push(step(workload, Action::GiveBack { loan: owed.loan.clone() }, Follows::Nothing));
    }
    match steps.is_empty() {
        true => Choice::AlreadyThere("nothing is owed for it".to_string()),
        false => Choice::Steps { steps, checks: Vec::new() },
    }
}

impl Lent {
    fn suspend(
        &mut self,
        request: &PlanRequest,
        fleet: &Fleet,
        term: Duration,
        workload: &Workload,
        undone: &UndoneBy,
        known: &[Step],
    ) {
        let by = &undone.undoer.by;
        let Some(name) = &undone.undoer.keeper else {
            let detail = format!("{}: {by} can't be suspended from here: it {}", workload.id, undone.undoer.what);
            return self.checks.push(check("suspend", CheckVerdict::Warn, detail));
        };
        let Some(keeper) = fleet.keeper_named(&workload.id.place, name) else {
            return self.refusals.push(Refusal {
                place: Some(workload.id.place.clone()),
                workload: Some(workload.id.clone()),
                reason: Text::new(&format!("{} {} is not seen here: it can't be suspended", name.kind.as_str(), name.name)),
                hint: Text::new(
                    "suspend it where it runs, or ask for get, list, watch on its kind; Alt-s (without --suspend) plans without",
                ),
            });
        };
        if keeper.setting == Setting::Suspended {
            return self.checks.push(suspended_already(fleet, workload, keeper));
        }
        if let Some(other) = &keeper.kept_by {
            let detail = format!("{}: its suspension may be taken off again by {other}", workload.id);
            self.checks.push(check("suspend", CheckVerdict::Warn, detail));
        }
        let what = suspended(workload, keeper);
        if known.iter().filter_map(|step| step.action.loan()).any(|loan| loan.what.is_of_same(&what)) {
            return;
        }
        let loan = Loan { what, term };
        if request.suspend == Suspend::UntilDone {
            self.give_back_at_the_end(workload, &loan);
        }
        self.borrow(workload, loan);
    }

    /// An autoscaler sees few requests while instances fail, and takes away those that are left.
    fn hold_minimum(&mut self, request: &PlanRequest, fleet: &Fleet, policy: &Policy, workload: &Workload) {
        let Some(keeper) = fleet.autoscaler_of(workload) else { return };
        let Setting::AtLeast(minimum) = keeper.setting else { return };
        let (desired, id) = (workload.seen.desired, keeper.id(&workload.id.place));
        if minimum >= desired {
            return;
        }
        match request.minimum.unwrap_or(policy.for_place(&workload.id.place).minimum) {
            Minimum::AsItIs => {
                let detail = format!("{}: {id} may scale it down to {minimum} meanwhile", workload.id);
                self.checks.push(check("minimum", CheckVerdict::Warn, detail));
            }
            Minimum::Held => {
                if let Some(other) = &keeper.kept_by {
                    let detail =
                        format!("{}: {id} is kept by {other}: its minimum of {minimum} is left as it is", workload.id);
                    return self.checks.push(check("minimum", CheckVerdict::Warn, detail));
                }
                let (from, to) = (keeper.setting, Setting::AtLeast(desired));
                let what = Borrowed::Keeper { keeper: id, uid: keeper.uid.clone(), from, to };
                if fleet.is_lent(&workload.id, &what) {
                    let detail =
                        format!("{}: its autoscaler's minimum of {minimum} is borrowed and owed already", workload.id);
                    return self.checks.push(check("minimum", CheckVerdict::Warn, detail));
                }
                let loan = Loan { what, term: policy.loan_term };
                self.give_back_at_the_end(workload, &loan);
                self.borrow(workload, loan);
            }
        }
    }

    /// Another pace for as long as the plan runs.
    pub(super) fn change_pace(&mut self, policy: &Policy, workload: &Workload, strategy: Option<Strategy>) {
        let Some(to) = strategy else { return };
        let what = Borrowed::Pace { from: workload.seen.strategy.clone(), to };
        let loan = Loan { what, term: policy.loan_term };
        self.give_back_at_the_end(workload, &loan);
        self.borrow(workload, loan);
    }

    fn borrow(&mut self, workload: &Workload, loan: Loan) {
        self.borrows.push(step(workload, Action::Borrow { loan }, Follows::Nothing));
    }

    fn give_back_at_the_end(&mut self, workload: &Workload, loan: &Loan) {
        self.returns.push(step(workload, Action::GiveBack { loan: loan.clone() }, Follows::Loan));
    }
}

/// What somebody else suspends may act again at any time.
fn suspended_already(fleet: &Fleet, workload: &Workload, keeper: &KeeperSeen) -> Check {
    let what = format!("{}: {} is suspended already", workload.id, keeper.id(&workload.id.place));
    let by = keeper.touched_by.as_deref().and_then(Marked::of);
    match by {
        Some(marked) if fleet.is_lent(&workload.id, &suspended(workload, keeper)) => {
            let detail = format!("{what}, owed by {}: it acts again when that is given back (D)", marked.operation);
            check("suspend", CheckVerdict::Warn, detail)
        }
        Some(marked) => {
            let detail =
                format!("{what}, by {} of {}: it acts again when that is given back", marked.operation, marked.who);
            check("suspend", CheckVerdict::Warn, detail)
        }
        None => check("suspend", CheckVerdict::Pass, format!("{what}, and not by an operation")),
    }
}

fn suspended(workload: &Workload, keeper: &KeeperSeen) -> Borrowed {
    Borrowed::Keeper {
        keeper: keeper.id(&workload.id.place),
        uid: keeper.uid.clone(),
        from: keeper.setting,
        to: Setting::Suspended,
    }
}

fn step(workload: &Workload, action: Action, follows: Follows) -> Step {
    let brake = match action {
        Action::Borrow { .. } => "none: it is a debt until it is given back",
        _ => "none: it is as it was then",
    };
    Step {
        id: StepId { wave: 0, step: 0 },
        workload: workload.id.clone(),
        action,
        from: side_now(workload),
        to: side_now(workload),
        instances: 0,
        total: workload.seen.desired,
        also_goes_back: Vec::new(),
        brake: Brake::None(Text::new(brake)),
        unpause: Unpause::NotPaused,
        first: None,
        follows,
        left_out: None,
        equivalent: Text::default(),
        bound: Bound::of(&workload.seen),
    }
}

impl Step {
    /// Whether it has whoever would undo a plan do nothing for a while.
    pub(super) fn suspends(&self, undone: &UndoneBy) -> bool {
        let Some(name) = &undone.undoer.keeper else { return false };
        match self.action.loan().map(|loan| &loan.what) {
            Some(Borrowed::Keeper { keeper, to: Setting::Suspended, .. }) => {
                keeper.place == undone.place && keeper.kind == name.kind && keeper.name == name.name
            }
            Some(Borrowed::Keeper { .. } | Borrowed::Pace { .. }) | None => false,
        }
    }
}

impl Action {
    /// What it borrows or gives back.
    pub fn loan(&self) -> Option<&Loan> {
        match self {
            Action::Borrow { loan } | Action::GiveBack { loan } => Some(loan),
            Action::RestoreRevision { .. }
            | Action::SetImage { .. }
            | Action::Evict { .. }
            | Action::EndRollout { .. }
            | Action::Promote { .. } => None,
        }
    }

    /// How it changes what it borrows or gives back: from what to what.
    pub fn turns(&self) -> Option<Borrowed> {
        let what = &self.loan()?.what;
        Some(if matches!(self, Action::GiveBack { .. }) { what.turned() } else { what.clone() })
    }

    /// The same in words.
    pub fn loan_as_text(&self) -> Option<String> {
        let what = &self.loan()?.what;
        Some(if matches!(self, Action::GiveBack { .. }) { what.as_return() } else { what.as_step() })
    }
}
