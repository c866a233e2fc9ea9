//! Which workloads have changed since somebody last asked: the timeline looks at those, and at no others.
//!
//! Never says what has changed: that is found by comparing.

use super::{Fleet, Origin, Workload};
use crate::domain::id::{PlaceId, WorkloadId};

impl Fleet {
    /// The workloads of a place that have changed, came or went since this was last asked. What is asked for is forgotten.
    pub fn take_changed(&mut self, place: &PlaceId) -> Vec<WorkloadId> {
        let Some(&number) = self.place_numbers.get(place) else { return Vec::new() };
        let mut changed: Vec<WorkloadId> = self.places[usize::from(number)].changed.drain().collect();
        changed.sort_unstable();
        changed
    }

    /// Has a workload count as changed once more: it could not be told yet what has become of it.
    pub fn look_again(&mut self, id: WorkloadId) {
        if let Some(&number) = self.place_numbers.get(&id.place) {
            self.places[usize::from(number)].changed.insert(id);
        }
    }

    /// What a batch is about to have judged again.
    pub(super) fn note_changed(&mut self, place: u16) {
        let dirty = self.dirty.iter().filter_map(|&slot| self.workloads.get(slot as usize)?.as_ref());
        self.places[usize::from(place)].changed.extend(dirty.map(|workload| workload.id.clone()));
    }
}

impl Workload {
    /// Whether nobody reported it: it stands for an owner that can't be read, or has not been read yet.
    pub fn is_made_up(&self) -> bool {
        self.origin == Origin::Derived
    }
}
