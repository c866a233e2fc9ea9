//! What a provider adds to a plan before it is shown.
//!
//! Never changes which steps there are: what can't be done is refused, or left out where the plan is good without it.

use super::{Action, Check, CheckVerdict, Plan, Refusal, Step, UndoneBy, Verb};
use crate::domain::id::StepId;
use crate::domain::keeper::{Borrowed, Setting};
use crate::domain::observation::Undoer;
use crate::domain::text::Text;

/// What a provider adds to a step before the plan is shown: it has looked, and changed nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    /// What goes back with the image.
    pub also_goes_back: Vec<Text>,
    /// Permissions, dry run, budgets.
    pub checks: Vec<Check>,
    /// Who would undo it, as far as only the provider can see.
    pub undoers: Vec<Undoer>,
    /// The command that would do the same.
    pub equivalent: Option<Text>,
    /// Why the step can't be done: reason and hint.
    pub refusals: Vec<(Text, Text)>,
}

impl Plan {
    /// Whether it is as good without this step, only less safe: nothing is scaled down all the time.
    pub(in crate::domain) fn is_good_without(&self, step: &Step) -> bool {
        let loan = step.action.loan().map(|loan| &loan.what);
        self.verb != Verb::GiveBack && matches!(loan, Some(Borrowed::Keeper { to: Setting::AtLeast(_), .. }))
    }

    /// Adds what a provider found out about one step.
    pub fn absorb(&mut self, id: StepId, inspection: Inspection) {
        let optional = self.step(id).filter(|step| self.is_good_without(step)).cloned();
        if let (Some(step), Some(why)) = (optional, inspection.why_not()) {
            return self.leave_out(&step, &why);
        }
        let Some(step) = self.waves.iter_mut().flat_map(|wave| &mut wave.steps).find(|step| step.id == id) else {
            return;
        };
        step.also_goes_back.extend(inspection.also_goes_back);
        step.also_goes_back.sort();
        step.also_goes_back.dedup();
        if let Some(equivalent) = inspection.equivalent {
            step.equivalent = equivalent;
        }
        let (place, workload) = (step.workload.place.clone(), step.workload.clone());
        self.refusals.extend(inspection.refusals.into_iter().map(|(reason, hint)| Refusal {
            place: Some(place.clone()),
            workload: Some(workload.clone()),
            reason,
            hint,
        }));
        let is_refused = self.refusals.iter().any(|refusal| refusal.workload.as_ref() == Some(&workload));
        let failed = inspection.checks.iter().filter(|check| check.verdict == CheckVerdict::Fail && !is_refused);
        self.refusals.extend(failed.map(|check| Refusal {
            place: Some(place.clone()),
            workload: Some(workload.clone()),
            reason: Text::new(&format!("{}: {}", check.name, check.detail)),
            hint: Text::new("a failed check forbids the plan; see what it says"),
        }));
        self.checks.extend(inspection.checks);
        self.will_be_undone_by.extend(inspection.undoers.into_iter().map(|undoer| UndoneBy {
            place: place.clone(),
            workload: workload.clone(),
            undoer,
        }));
        self.will_be_undone_by.dedup();
    }

    /// What can't be borrowed is not given back either.
    fn leave_out(&mut self, step: &Step, why: &Text) {
        let Some(what) = step.action.loan().map(|loan| &loan.what) else { return };
        let is_of_same = |other: &&mut Step| other.action.loan().is_some_and(|other| other.what.is_of_same(what));
        let steps = self.waves.iter_mut().flat_map(|wave| &mut wave.steps);
        if matches!(step.action, Action::Borrow { .. }) {
            let detail = format!("{}: {} is left out: {why}", step.workload, what.as_step());
            self.checks.push(Check {
                name: Text::new("minimum"),
                verdict: CheckVerdict::Warn,
                detail: Text::new(&detail),
            });
        }
        for known in steps.filter(is_of_same) {
            known.left_out = Some(why.clone());
        }
    }
}

impl Inspection {
    /// Why the step can't be done, if so.
    fn why_not(&self) -> Option<Text> {
        let refused = self.refusals.first().map(|(reason, _)| reason.clone());
        let failed = self.checks.iter().find(|check| check.verdict == CheckVerdict::Fail);
        refused.or_else(|| failed.map(|check| check.detail.clone()))
    }
}
