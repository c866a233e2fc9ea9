//! What there really is in a simulated place, whether it answers or not: what tests compare a fleet's word with.
//!
//! Never told to the program itself, which hears of a place through its watch alone.

use super::workload::{Stage, Workload};
use crate::domain::id::Uid;
use crate::domain::keeper::Setting;
use crate::domain::observation::{Strategy, TemplateHash};
use crate::domain::plan::Paused;

/// What there is of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// How many instances there should be.
    pub desired: u32,
    /// What is asked for.
    pub template: TemplateHash,
    /// Whether its rollout is held.
    pub hold: Paused,
    /// How it replaces.
    pub strategy: Strategy,
    /// What its keepers do.
    pub keepers: Vec<Setting>,
    /// Its instances, those on their way out left out.
    pub instances: Vec<Counted>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Itself.
    pub uid: Uid,
    /// What it was made from.
    pub template: TemplateHash,
    /// Whether it works.
    pub is_healthy: bool,
}

impl Census {
    /// How many instances work.
    pub fn healthy(&self) -> u32 {
        self.instances.iter().filter(|instance| instance.is_healthy).count() as u32
    }

    pub(super) fn of(workload: &Workload) -> Census {
        let hash = |revision: u16| workload.revisions[usize::from(revision)].edition.template.hash.clone();
        let present = workload.instances.iter().filter(|instance| instance.stage != Stage::Draining);
        let instances = present.map(|instance| Counted {
            uid: workload.instance_uid(instance),
            template: hash(instance.revision),
            is_healthy: instance.stage == Stage::Healthy,
        });
        Census {
            desired: workload.desired,
            template: hash(workload.current),
            hold: workload.hold,
            strategy: workload.strategy.clone(),
            keepers: workload.keepers.iter().map(|keeper| keeper.setting).collect(),
            instances: instances.collect(),
        }
    }
}
