//! Everything that is known of all places: workloads, their versions, their instances, and the tallies over them.
//!
//! Never shows a half list: a list that is made again is kept aside until it is complete. Tallies are kept as changes
//! come in (a changed workload is judged again, its old tally taken out, the new one put in), never summed for a screen.

mod catalogs;
mod changed;
mod chunks;
mod ingest;
mod interner;
mod judge;
mod keepers;
mod owners;
mod rank;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

pub use chunks::Chunks;
pub use rank::Badness;

use super::catalog::Catalog;
use super::drift::{Judgement, Tally, Verdict};
use super::expectation::Declaration;
use super::history::OwnRecord;
use super::id::{InstanceKey, PlaceId, Uid, WorkloadId};
use super::image::{ImageId, ImageRef};
use super::observation::{
    InstanceSeen, Observation, PlaceIdentity, PlaceState, RevisionSeen, Rollout, Source, WorkloadSeen,
};
use super::plan::Owing;
use super::protection::{Protection, Protections};
use super::release::Releases;
use super::text::{Letters, Text};

/// All that is known.
pub struct Fleet {
    declarations: Vec<Declaration>,
    places: Vec<Place>,
    place_numbers: HashMap<PlaceId, u16>,
    workloads: Vec<Option<Workload>>,
    free_workloads: Vec<u32>,
    workload_slots: HashMap<WorkloadId, u32>,
    owners: HashMap<(u16, Uid), u32>,
    instances: Chunks<Instance>,
    instance_slots: HashMap<(u16, Uid), u32>,
    services: BTreeMap<Text, Tally>,
    records: HashMap<WorkloadId, OwnRecord>,
    protections: Protections,
    catalog: Catalog,
    releases: Releases,
    /// What operations of this machine have borrowed and owe.
    loans: Vec<Owing>,
    /// Workloads that can be operated and were seen to go: one that is merely not seen may be out of our sight.
    deleted: HashSet<(u16, Uid)>,
    interned: interner::Interner,
    dirty: HashSet<u32>,
    revision: u64,
}

/// One place and how it answers.
pub struct Place {
    /// Its id.
    pub id: PlaceId,
    /// How it answers.
    pub state: PlaceState,
    /// When it last answered.
    pub heard_at: Option<Timestamp>,
    /// Who we are there.
    pub identity: PlaceIdentity,
    /// Requests sent there within the last minute, as far as one was counted.
    pub calls_per_minute: Option<u32>,
    /// Lists that can't be read there, and why.
    pub limits: Vec<(Source, Text)>,
    /// Rows seen and still to come in the first lists.
    pub loading: Vec<(Source, u64, Option<u64>)>,
    /// Over its workloads.
    pub tally: Tally,
    /// What keeps workloads there.
    keepers: keepers::Keepers,
    /// Whether it is stale only because the clock jumped: its next sign of life makes it live again.
    was_doubted: bool,
    lists: HashMap<Source, Listing>,
    /// Its workloads that have changed since the timeline last looked.
    changed: HashSet<WorkloadId>,
}

/// A workload with what is known and said of it.
pub struct Workload {
    /// Its name and kind.
    pub id: WorkloadId,
    /// As its provider reported it.
    pub seen: WorkloadSeen,
    /// When that was fetched.
    pub fetched_at: Timestamp,
    /// Its versions as its platform knows them.
    pub revisions: Vec<RevisionSeen>,
    /// What is said of it.
    pub judgement: Judgement,
    origin: Origin,
    revision_sources: Vec<(Uid, Source)>,
    instances: Vec<u32>,
}

/// An instance with the verdict over it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// As its provider reported it.
    pub seen: InstanceSeen,
    /// When that was fetched.
    pub fetched_at: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Text,
    /// The letters of its name, for searches.
    pub letters: Letters,
    place: u16,
    workload: u32,
    source: Source,
}

/// A consistent copy of all instances for work beside the loop. Cheap: it shares the columns.
#[derive(Clone)]
pub struct Snapshot {
    /// The fleet's revision when it was taken.
    pub revision: u64,
    /// The instances.
    pub instances: Chunks<Instance>,
    workloads: std::sync::Arc<Vec<Option<SnapshotWorkload>>>,
}

/// What a copy keeps of a workload.
struct SnapshotWorkload {
    id: WorkloadId,
    service: Text,
    mixed_is_off: bool,
}

/// Who reported a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A list of the provider.
    Reported(Source),
    /// Nobody: made here for instances whose owner can't be read or does not exist.
    Derived,
}

/// A list that is being made.
struct Listing {
    seen: HashSet<Uid>,
    /// `None` while the very first list comes in: its rows are shown at once.
    aside: Option<Vec<(Timestamp, Observation)>>,
}

impl Fleet {
    /// An empty fleet that will be judged by these declarations.
    pub fn new(declarations: Vec<Declaration>) -> Fleet {
        Fleet {
            declarations,
            places: Vec::new(),
            place_numbers: HashMap::new(),
            workloads: Vec::new(),
            free_workloads: Vec::new(),
            workload_slots: HashMap::new(),
            owners: HashMap::new(),
            instances: Chunks::default(),
            instance_slots: HashMap::new(),
            services: BTreeMap::new(),
            records: HashMap::new(),
            protections: Protections::default(),
            catalog: Catalog::default(),
            releases: Releases::default(),
            loans: Vec::new(),
            deleted: HashSet::new(),
            interned: interner::Interner::default(),
            dirty: HashSet::new(),
            revision: 0,
        }
    }

    /// What is protected now.
    pub fn protections(&self) -> &Protections {
        &self.protections
    }

    /// How many instances of a workload have run for longer than this.
    pub fn older_than(&self, workload: &Workload, age: Duration, now: Timestamp) -> u32 {
        let is_old = |instance: &&Instance| {
            let ran = instance.seen.started_at.map(|started| now.duration_since(started));
            instance.seen.phase.is_counted() && ran.is_some_and(|ran| ran.is_positive() && ran.unsigned_abs() > age)
        };
        self.instances_of(workload).filter(is_old).count() as u32
    }

    /// The lock on a workload, if it has one.
    pub fn lock_on(&self, workload: &Workload) -> Option<&Protection> {
        if self.protections.is_empty() {
            return None;
        }
        let images = workload.image_texts();
        let images: Vec<&str> = images.iter().map(Text::as_str).collect();
        self.protections.lock_on(&workload.facts(&images))
    }

    /// Why the drift of a workload is known, if it is.
    pub fn snooze_on(&self, workload: &Workload) -> Option<&Protection> {
        if self.protections.is_empty() {
            return None;
        }
        let images = workload.image_texts();
        let images: Vec<&str> = images.iter().map(Text::as_str).collect();
        self.protections.snooze_on(&workload.facts(&images))
    }

    /// Counts every change; equal revisions are equal fleets.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Every place, in the order in which they were added.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// One place.
    pub fn place(&self, id: &PlaceId) -> Option<&Place> {
        self.place_numbers.get(id).map(|&number| &self.places[usize::from(number)])
    }

    /// Every workload, in no order that means anything.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.workloads.iter().flatten()
    }

    /// A workload by name.
    pub fn workload(&self, id: &WorkloadId) -> Option<&Workload> {
        self.workloads.get(*self.workload_slots.get(id)? as usize)?.as_ref()
    }

    /// A workload by incarnation, or by that of one of its revisions.
    pub fn workload_by_uid(&self, place: &PlaceId, uid: &Uid) -> Option<&Workload> {
        let number = *self.place_numbers.get(place)?;
        let slot = *self.owners.get(&(number, uid.clone()))?;
        self.workloads[slot as usize].as_ref()
    }

    /// The instances of a workload, those that drain or have ended too.
    pub fn instances_of<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = &'a Instance> + Clone {
        workload.instances.iter().filter_map(|&slot| self.instances.get(slot as usize))
    }

    /// Every instance with its workload.
    pub fn instances(&self) -> impl Iterator<Item = (&Instance, &Workload)> {
        self.instances.iter().filter_map(|instance| {
            self.workloads.get(instance.workload as usize)?.as_ref().map(|workload| (instance, workload))
        })
    }

    /// One instance by its key.
    pub fn instance(&self, key: &InstanceKey) -> Option<(&Instance, &Workload)> {
        let number = *self.place_numbers.get(&key.place)?;
        let slot = *self.instance_slots.get(&(number, key.uid.clone()))?;
        let instance = self.instances.get(slot as usize)?;
        self.workloads.get(instance.workload as usize)?.as_ref().map(|workload| (instance, workload))
    }

    /// How many instances are known, those that drain or have ended included.
    pub fn instance_count(&self) -> usize {
        self.instances.len()
    }

    /// Every service with the tally over all its workloads.
    pub fn services(&self) -> impl Iterator<Item = (&Text, &Tally)> {
        self.services.iter()
    }

    /// The tally over everything.
    pub fn total(&self) -> Tally {
        self.places.iter().fold(Tally::default(), |sum, place| sum.plus(place.tally))
    }

    /// Whether this process saw a workload go. Not to see it is no proof: its namespace may not be ours to look into.
    pub fn is_deleted(&self, place: &PlaceId, uid: &Uid) -> bool {
        self.place_numbers.get(place).is_some_and(|&number| self.deleted.contains(&(number, uid.clone())))
    }

    /// What our journal knows of a workload's versions.
    pub fn record_of(&self, id: &WorkloadId) -> Option<&OwnRecord> {
        self.records.get(id)
    }

    /// The instance in a slot, which it keeps for as long as it is known.
    pub fn instance_at(&self, slot: u32) -> Option<(&Instance, &Workload)> {
        let instance = self.instances.get(slot as usize)?;
        self.workloads.get(instance.workload as usize)?.as_ref().map(|workload| (instance, workload))
    }

    /// A copy for work beside the loop.
    pub fn snapshot(&self) -> Snapshot {
        let kept = |workload: &Workload| SnapshotWorkload {
            id: workload.id.clone(),
            service: workload.seen.service.clone(),
            mixed_is_off: is_off(Verdict::Mixed, &workload.seen),
        };
        let workloads = self.workloads.iter().map(|workload| workload.as_ref().map(kept)).collect();
        Snapshot {
            revision: self.revision,
            instances: self.instances.clone(),
            workloads: std::sync::Arc::new(workloads),
        }
    }
}

impl Workload {
    /// The requested image of the main container, as asked for.
    pub fn requested(&self) -> Option<&ImageRef> {
        self.container(&self.judgement.main).and_then(|container| container.image.as_ref())
    }

    /// One container of its template.
    pub fn container(&self, name: &str) -> Option<&super::observation::ContainerSpec> {
        self.seen.template.containers.iter().find(|container| container.name == *name)
    }

    /// What a person calls an image here: the version in its labels, else that which its template or its history names for
    /// exactly this image, else the tag.
    pub fn name_of(&self, image: Option<&ImageId>, reference: Option<&ImageRef>) -> Option<Text> {
        let labelled = self.judgement.labels.iter().find(|(labelled, _)| Some(labelled) == image);
        if let Some((_, version)) = labelled {
            return Some(version.clone());
        }
        let requested = self.judgement.requested.as_ref();
        if image.is_some() && image == requested && self.seen.template.version.is_some() {
            return self.seen.template.version.clone();
        }
        let known = self.judgement.versions.iter().find(|version| image.is_some() && version.image.as_ref() == image);
        reference.and_then(ImageRef::version).or_else(|| known.and_then(|version| version.version.clone()))
    }

    /// The last good version.
    pub fn last_good(&self) -> Option<&super::history::Version> {
        self.judgement.last_good.map(|at| &self.judgement.versions[at])
    }

    /// Whether its requested image changed within this time before now.
    pub fn is_changed_within(&self, now: Timestamp, limit: std::time::Duration) -> bool {
        self.seen.requested_since.is_some_and(|since| now.duration_since(since).unsigned_abs() <= limit)
    }
}

impl Instance {
    /// Its place and incarnation.
    pub fn key(&self, fleet: &Fleet) -> InstanceKey {
        InstanceKey { place: fleet.places[usize::from(self.place)].id.clone(), uid: self.seen.uid.clone() }
    }

    /// Whether it counts as off, given its workload.
    pub fn is_off(&self, workload: &Workload) -> bool {
        is_off(self.verdict, &workload.seen)
    }
}

/// Whether a verdict counts as off there: a mixed one does where the rollout does not go on by itself, because the platform
/// has given it up or because it is held.
pub fn is_off(verdict: Verdict, workload: &WorkloadSeen) -> bool {
    match verdict {
        Verdict::Drift | Verdict::Outlier | Verdict::Quarantined => true,
        Verdict::Mixed => match workload.rollout {
            Rollout::Failed(_) | Rollout::Paused => true,
            Rollout::Stable | Rollout::Progressing => false,
        },
        Verdict::Ok | Verdict::Unknown => false,
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Snapshot").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The workload and service of an instance of this snapshot.
    pub fn workload_of(&self, instance: &Instance) -> Option<(&WorkloadId, &Text)> {
        let workload = self.workloads.get(instance.workload as usize)?.as_ref()?;
        Some((&workload.id, &workload.service))
    }

    /// The number of an instance's workload, below `workload_count`.
    pub fn workload_number(&self, instance: &Instance) -> usize {
        instance.workload as usize
    }

    /// One more than the highest number of a workload.
    pub fn workload_count(&self) -> usize {
        self.workloads.len()
    }

    /// Every workload with its number and service.
    pub fn workloads(&self) -> impl Iterator<Item = (usize, &Text, &WorkloadId)> {
        let numbered = self.workloads.iter().enumerate();
        numbered.filter_map(|(number, workload)| {
            workload.as_ref().map(|workload| (number, &workload.service, &workload.id))
        })
    }

    /// Whether an instance counts as off.
    pub fn is_off(&self, instance: &Instance) -> bool {
        let workload = self.workloads.get(instance.workload as usize).and_then(Option::as_ref);
        match instance.verdict {
            Verdict::Drift | Verdict::Outlier | Verdict::Quarantined => true,
            Verdict::Mixed => workload.is_some_and(|workload| workload.mixed_is_off),
            Verdict::Ok | Verdict::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests;
