//! What a stop leaves and what the way back replaces, place by place, before anybody presses the second key.
//!
//! Never decides anything.

use std::collections::BTreeMap;

use super::Operation;
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::history::current_revision;
use crate::domain::id::{PlaceId, WorkloadId};
use crate::domain::observation::TemplateHash;
use crate::domain::plan::{Verb, Way};
use crate::domain::text::Text;

/// How many instances of an operation's workloads in one place are new, and how many are as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The place.
    pub place: PlaceId,
    /// Instances of the version that the operation goes to.
    pub new: u32,
    /// Those that are not.
    pub old: u32,
    /// What the way back goes to there, each once.
    pub back: Vec<GoesBack>,
}

/// What the way back of a step goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoesBack {
    /// What a person calls it.
    pub version: Text,
    /// Why it is no last good version, if it is none.
    pub why_bad: Option<Text>,
}

impl Operation {
    /// What is there now of each place that it has begun with, in the order of its waves.
    pub fn left(&self, fleet: &Fleet) -> Vec<Left> {
        let mut targets: BTreeMap<&WorkloadId, &TemplateHash> = BTreeMap::new();
        for step in self.plan.steps().filter(|step| step.action.is_rollout()) {
            let receipt = self.progress(step.id).receipt.as_ref();
            targets.extend(receipt.and_then(|receipt| receipt.template.as_ref()).map(|hash| (&step.workload, hash)));
        }
        let mut left: Vec<Left> = Vec::new();
        for wave in &self.plan.waves {
            let mut counts = Left { place: wave.place.clone(), new: 0, old: 0, back: Vec::new() };
            for (id, target) in targets.iter().filter(|(id, _)| id.place == wave.place) {
                let Some(workload) = fleet.workload(id) else { continue };
                let revision = current_revision(&workload.revisions, target).map(|revision| &revision.uid);
                for instance in fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted()) {
                    let owner = instance.seen.owner.as_ref().map(|owner| &owner.uid);
                    let is_new = owner.is_some() && owner == revision;
                    counts.new += u32::from(is_new);
                    counts.old += u32::from(!is_new);
                }
                let back = self.goes_back(id, workload).filter(|back| !counts.back.contains(back));
                counts.back.extend(back);
            }
            if counts.new + counts.old > 0 && !left.iter().any(|known| known.place == counts.place) {
                left.push(counts);
            }
        }
        left
    }

    /// What its way back goes to in a workload: what that asked for before the first step there.
    fn goes_back(&self, id: &WorkloadId, workload: &Workload) -> Option<GoesBack> {
        let step = self.plan.steps().find(|step| step.action.is_rollout() && step.workload == *id)?;
        let from = &step.from;
        let version = from.version.clone().unwrap_or_else(|| Text::new(&from.label()));
        // Who goes back to the last good version has said that the one before is bad.
        let is_left_as_bad = self.plan.verb == Verb::Rollback && self.plan.way == Way::Back;
        let known = workload.judgement.versions.iter().find(|version| version.hash == step.bound.template);
        let left_as_bad = || is_left_as_bad.then(|| Text::new("this operation goes away from it"));
        let why_bad = match known {
            None => Some(Text::new("it is not in the history any more")),
            Some(known) if known.is_requested() => left_as_bad(),
            Some(known) => known.rejected.clone().or_else(left_as_bad),
        };
        Some(GoesBack { version, why_bad })
    }
}
