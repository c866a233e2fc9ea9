//! How far a step is that borrows something or gives it back, by what the fleet shows of the keeper or of the pace.
//!
//! Never believes an observation of an older generation.

use super::StepProgress;
use super::verify::{Progress, Recovered};
use crate::domain::fleet::Fleet;
use crate::domain::id::{OperationId, Uid};
use crate::domain::keeper::{Borrowed, KeeperId, KeeperSeen, Loan, Setting};
use crate::domain::observation::Strategy;
use crate::domain::plan::{Action, Marked, Step};
use crate::domain::text::Text;

/// Looks at an accepted step. Its place is live and was heard since.
pub(super) fn progress(step: &Step, loan: &Loan, progress: &StepProgress, fleet: &Fleet) -> Progress {
    let generation = progress.receipt.as_ref().map_or(0, |receipt| receipt.generation);
    let Some(wanted) = step.action.turns() else { return Progress::NotSeen(Text::new("it borrows nothing")) };
    match &wanted {
        Borrowed::Keeper { keeper, uid, to, .. } => match found(fleet, keeper, uid) {
            Found::Gone => Progress::Failed(Text::new(&format!("{keeper} was deleted"))),
            Found::None => Progress::NotSeen(Text::new(&format!("{keeper} is not seen here"))),
            Found::It(seen) if seen.generation < generation => Progress::OnItsWay { done: 0, total: 0 },
            Found::It(seen) if seen.setting != *to => {
                Progress::Failed(Text::new(&format!("somebody has {keeper} {} again", seen.setting)))
            }
            // What it had begun before it was suspended it brings to its end.
            Found::It(seen) if seen.busy.is_some() && *to == Setting::Suspended => {
                Progress::OnItsWay { done: 0, total: 0 }
            }
            Found::It(_) => Progress::Done(Text::new(&said(step, loan))),
        },
        Borrowed::Pace { to, .. } => match fleet.workload(&step.workload).map(|workload| &workload.seen) {
            None => Progress::NotSeen(Text::new("its workload is not seen here")),
            Some(seen) if seen.generation < generation => Progress::OnItsWay { done: 0, total: 0 },
            Some(seen) if is_pace(&seen.strategy, to) => Progress::Done(Text::new(&said(step, loan))),
            Some(_) => Progress::Failed(Text::new("somebody changed its pace again")),
        },
    }
}

/// What became of a step whose answer was lost. Its place is live and was heard since that was given up.
pub(super) fn recover(step: &Step, operation: &OperationId, fleet: &Fleet) -> Recovered {
    let Some(wanted) = step.action.turns() else { return Recovered::NotKnown };
    let (generation, is_so, is_ours) = match &wanted {
        Borrowed::Keeper { keeper, uid, to, .. } => match found(fleet, keeper, uid) {
            Found::Gone => return Recovered::Unclear(Text::new(&format!("{keeper} was deleted meanwhile"))),
            Found::None => return Recovered::NotKnown,
            Found::It(seen) => {
                (seen.generation, seen.setting == *to, Marked::is_by(seen.touched_by.as_ref(), operation))
            }
        },
        Borrowed::Pace { to, .. } => {
            let Some(workload) = fleet.workload(&step.workload) else { return Recovered::NotKnown };
            let is_ours = Marked::is_by(workload.seen.touched_by.as_ref(), operation);
            (workload.seen.generation, is_pace(&workload.seen.strategy, to), is_ours)
        }
    };
    match (is_so, is_ours) {
        (true, true) => Recovered::Set { generation },
        (true, false) => Recovered::Unclear(Text::new(
            "it is as the step wanted it, but not with the mark of this operation; look at who changed it",
        )),
        // The mark may be that of an earlier step.
        (false, _) => Recovered::Unclear(Text::new(
            "it is not as the step wanted it: not done, or changed again since; look once more, then plan again",
        )),
    }
}

/// Why its keeper is no longer what the step was decided on.
pub(in crate::domain) fn moved(fleet: &Fleet, what: &Borrowed) -> Vec<Text> {
    let Borrowed::Keeper { keeper, uid, from, .. } = what else { return Vec::new() };
    let difference = match found(fleet, keeper, uid) {
        Found::Gone => format!("{keeper} was deleted and made again"),
        Found::None => format!("{keeper} is not seen any more"),
        Found::It(seen) if seen.setting != *from => format!("{keeper} is to {} now", seen.setting),
        Found::It(_) => return Vec::new(),
    };
    vec![Text::new(&difference)]
}

/// Whether a workload replaces at this pace; what else its strategy says does not count.
fn is_pace(now: &Strategy, wanted: &Strategy) -> bool {
    now.max_unavailable == wanted.max_unavailable && now.max_surge == wanted.max_surge
}

fn said(step: &Step, loan: &Loan) -> String {
    match step.action.loan_as_text() {
        Some(text) if matches!(step.action, Action::GiveBack { .. }) => format!("{text}: as it was"),
        Some(_) | None => loan.what.as_debt(),
    }
}

enum Found<'a> {
    It(&'a KeeperSeen),
    /// Another one has its name.
    Gone,
    /// Nothing; it may be out of our sight.
    None,
}

fn found<'a>(fleet: &'a Fleet, keeper: &KeeperId, uid: &Uid) -> Found<'a> {
    match fleet.keeper(keeper) {
        Some(seen) if seen.uid == *uid => Found::It(seen),
        Some(_) => Found::Gone,
        None => Found::None,
    }
}
