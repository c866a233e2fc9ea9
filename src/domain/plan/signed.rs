//! Whether a plan leaves what is signed for something that is not.
//!
//! Never forbids: nobody has verified a signature. Never takes what could not be asked for none.

use std::collections::BTreeSet;

use super::choose::check;
use super::{Check, CheckVerdict, Plan, Step};
use crate::domain::fleet::Fleet;
use crate::domain::image::ImageRef;
use crate::domain::signature::Signature;

/// The name of what is said of signatures.
const NAME: &str = "signature";
/// How many of the images that a workload runs are looked at, those of most instances first.
const RUNNING: usize = 3;

impl Plan {
    /// The digests whose signatures this plan is about: what its steps go to, and what runs there now. Each once.
    pub fn signatures(&self, fleet: &Fleet) -> Vec<ImageRef> {
        let steps = self.steps().filter(|step| step.action.replaces());
        let about = steps.flat_map(|step| target(fleet, step).into_iter().chain(running(fleet, step)));
        let mut seen = BTreeSet::new();
        about.filter(|about| seen.insert(about.canonical())).collect()
    }

    /// Warns where a target has no signature and what runs there now has one. What was said of that before is said anew.
    pub fn look_at_signatures(&mut self, fleet: &Fleet) {
        let said = |about: &ImageRef| fleet.catalog().signature(about).map(|heard| &heard.said);
        let mut warnings: Vec<Check> = Vec::new();
        for step in self.steps().filter(|step| step.action.replaces()) {
            if target(fleet, step).is_none_or(|target| said(&target) != Some(&Signature::None)) {
                continue;
            }
            let signed = running(fleet, step).into_iter().find_map(|about| match said(&about)? {
                Signature::Present(kind) => Some(*kind),
                Signature::None | Signature::Unknown(_) => None,
            });
            if let Some(kind) = signed {
                let detail =
                    format!("{}: the target is not signed, what runs is ({kind}, not verified)", step.workload);
                let warning = check(NAME, CheckVerdict::Warn, detail);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        self.checks.retain(|check| check.name.as_str() != NAME);
        self.checks.extend(warnings);
    }
}

fn target(fleet: &Fleet, step: &Step) -> Option<ImageRef> {
    fleet.catalog().signed_as(step.to.reference.as_ref()?, step.to.image.as_ref())
}

fn running(fleet: &Fleet, step: &Step) -> Vec<ImageRef> {
    let cohorts = fleet.workload(&step.workload).map_or(&[][..], |workload| &workload.judgement.running);
    let known = cohorts.iter().filter_map(|cohort| {
        let image = Some(cohort.image.as_ref()?);
        fleet.catalog().signed_as(cohort.reference.as_ref()?, image)
    });
    known.take(RUNNING).collect()
}
