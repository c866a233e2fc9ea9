//! What a stop leaves and what the way back replaces, place by place, before anybody presses the second key.
//!
//! Never decides anything.

use std::collections::BTreeMap;

use super::Operation;
use crate::domain::fleet::Fleet;
use crate::domain::history::current_revision;
use crate::domain::id::{PlaceId, WorkloadId};
use crate::domain::observation::TemplateHash;

/// How many instances of an operation's workloads in one place are new, and how many are as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The place.
    pub place: PlaceId,
    /// Instances of the version that the operation goes to.
    pub new: u32,
    /// Those that are not.
    pub old: u32,
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
            let mut counts = Left { place: wave.place.clone(), new: 0, old: 0 };
            for (id, target) in targets.iter().filter(|(id, _)| id.place == wave.place) {
                let Some(workload) = fleet.workload(id) else { continue };
                let revision = current_revision(&workload.revisions, target).map(|revision| &revision.uid);
                for instance in fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted()) {
                    let owner = instance.seen.owner.as_ref().map(|owner| &owner.uid);
                    let is_new = owner.is_some() && owner == revision;
                    counts.new += u32::from(is_new);
                    counts.old += u32::from(!is_new);
                }
            }
            if counts.new + counts.old > 0 && !left.iter().any(|known| known.place == counts.place) {
                left.push(counts);
            }
        }
        left
    }
}
