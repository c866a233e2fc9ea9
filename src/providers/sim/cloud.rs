//! What is in one simulated place, and what of it every watcher still has to hear.
//!
//! Never looks at a workload that is idle: an agenda says which one is due when, so a quiet fleet costs nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::blueprint::{Blueprint, Blueprints, Tick};
use super::random::mix;
use super::report;
use super::scenario::{Platform, SceneAt, SceneService};
use super::workload::{Part, Workload};
use crate::domain::id::{PlaceId, Uid, WorkloadId};
use crate::domain::observation::Observation;
use crate::domain::selector::glob_matches;

/// What is in one place.
pub(super) struct Cloud {
    pub(super) id: PlaceId,
    pub(super) platform: Platform,
    base: Timestamp,
    key: u64,
    now: Tick,
    workloads: Vec<Option<Workload>>,
    agenda: BTreeSet<(Tick, u32)>,
    agenda_of: Vec<Option<Tick>>,
    watchers: Vec<Watcher>,
    watchers_so_far: u64,
    incarnations: u64,
}

/// A thing in a place: its workload's number, and which part of it.
pub(super) type Key = (u32, Part);

/// What one watcher still has to hear. Never longer than the place has things, however long it does not listen.
struct Watcher {
    id: u64,
    changed: BTreeSet<Key>,
    gone: Vec<(&'static str, Uid)>,
    must_list: bool,
}

impl Cloud {
    /// An empty place.
    pub(super) fn new(id: PlaceId, platform: Platform, base: Timestamp, seed: u64) -> Cloud {
        let of_name = id.0.bytes().map(u64::from).collect::<Vec<u64>>();
        Cloud {
            key: mix(&[seed, mix(&of_name)]),
            id,
            platform,
            base,
            now: 0,
            workloads: Vec::new(),
            agenda: BTreeSet::new(),
            agenda_of: Vec::new(),
            watchers: Vec::new(),
            watchers_so_far: 0,
            incarnations: 0,
        }
    }

    /// Puts a workload of a service there, for each of the service's lines about this place.
    pub(super) fn deploy(&mut self, blueprints: &Blueprints, scene: &SceneService) {
        let blueprint = blueprints.of(self.platform);
        for at in &scene.at {
            if glob_matches(at.place.get_ref(), &self.id.0) {
                self.put(blueprint.clone(), at);
            }
        }
    }

    /// Lets the time go by until this tick.
    pub(super) fn advance(&mut self, now: Tick) {
        while let Some(&(due, number)) = self.agenda.first().filter(|(due, _)| *due <= now) {
            self.change(number, |workload| workload.step(due));
        }
        self.now = self.now.max(now);
    }

    /// When something happens there by itself; `None`: nothing ever will.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// The present tick.
    pub(super) fn now(&self) -> Tick {
        self.now
    }

    /// What time a tick is.
    pub(super) fn time(&self, tick: Tick) -> Timestamp {
        self.base.saturating_add(SignedDuration::from_millis(i64::from(tick) * 100)).unwrap_or(self.base)
    }

    /// The workload of that name, with its number.
    pub(super) fn find(&self, id: &WorkloadId) -> Option<(u32, &Workload)> {
        let is_it = |workload: &Workload| {
            let blueprint = &workload.blueprint;
            blueprint.name == id.name && blueprint.namespace == id.namespace && blueprint.shape.kind() == id.kind
        };
        let found = self.workloads.iter().position(|slot| slot.as_ref().is_some_and(is_it))?;
        Some((found as u32, self.workloads[found].as_ref()?))
    }

    /// A workload by its number.
    pub(super) fn workload(&self, number: u32) -> Option<&Workload> {
        self.workloads.get(number as usize)?.as_ref()
    }

    /// Changes a workload; watchers will hear of it.
    pub(super) fn change<T>(&mut self, number: u32, change: impl FnOnce(&mut Workload) -> T) -> Option<T> {
        let workload = self.workloads.get_mut(number as usize)?.as_mut()?;
        let result = change(workload);
        let changed = std::mem::take(&mut workload.changed);
        let due = workload.due();
        for watcher in &mut self.watchers {
            watcher.changed.extend(changed.iter().map(|part| (number, *part)));
        }
        self.reschedule(number, due);
        Some(result)
    }

    /// Deletes a workload with all that it owns.
    pub(super) fn remove(&mut self, number: u32) -> Option<Workload> {
        let workload = self.workloads.get_mut(number as usize)?.take()?;
        self.reschedule(number, None);
        let instances = workload.instances.iter().map(|instance| (report::INSTANCES, workload.instance_uid(instance)));
        let revisions =
            (0..workload.revisions.len() as u16).map(|index| (report::REVISIONS, workload.revision_uid(index)));
        let own = std::iter::once((report::WORKLOADS, workload.uid()));
        let keepers = (0..workload.keepers.len() as u8).map(|index| (report::KEEPERS, workload.uid_of_keeper(index)));
        let gone: Vec<(&'static str, Uid)> = instances.chain(revisions).chain(keepers).chain(own).collect();
        for watcher in &mut self.watchers {
            watcher.changed.retain(|(known, _)| *known != number);
            watcher.gone.extend(gone.iter().cloned());
        }
        Some(workload)
    }

    /// Puts a workload there.
    pub(super) fn put(&mut self, blueprint: Arc<Blueprint>, at: &SceneAt) {
        self.incarnations += 1;
        let workload = Workload::new(blueprint, at, mix(&[self.key, self.incarnations]));
        let parts: Vec<Part> = workload.parts().collect();
        let due = workload.due();
        let number = self.workloads.len() as u32;
        self.workloads.push(Some(workload));
        self.agenda_of.push(None);
        self.reschedule(number, due);
        for watcher in &mut self.watchers {
            watcher.changed.extend(parts.iter().map(|part| (number, *part)));
        }
    }

    /// A new watcher. It must list first.
    pub(super) fn subscribe(&mut self) -> u64 {
        self.watchers_so_far += 1;
        let id = self.watchers_so_far;
        self.watchers.push(Watcher { id, changed: BTreeSet::new(), gone: Vec::new(), must_list: true });
        id
    }

    /// A watcher is gone.
    pub(super) fn unsubscribe(&mut self, id: u64) {
        self.watchers.retain(|watcher| watcher.id != id);
    }

    /// Makes every watcher list again, as after `410 Gone`.
    pub(super) fn expire(&mut self) {
        for watcher in &mut self.watchers {
            watcher.must_list = true;
        }
    }

    /// Whether a watcher must list before anything else.
    pub(super) fn must_list(&self, id: u64) -> bool {
        self.watchers.iter().any(|watcher| watcher.id == id && watcher.must_list)
    }

    /// Everything that is there, by source, for a watcher that lists; what it still had to hear is in there.
    pub(super) fn start_list(&mut self, id: u64) -> [Vec<Key>; 4] {
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.id == id) {
            *watcher = Watcher { id, changed: BTreeSet::new(), gone: Vec::new(), must_list: false };
        }
        let mut lists = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for (number, workload) in self.workloads.iter().enumerate() {
            for part in workload.iter().flat_map(Workload::parts) {
                let list = match part {
                    Part::Workload => &mut lists[0],
                    Part::Revision(_) => &mut lists[1],
                    Part::Instance(_) => &mut lists[2],
                    Part::Keeper(_) => &mut lists[3],
                };
                list.push((number as u32, part));
            }
        }
        lists
    }

    /// What a watcher has to hear, at most so many things.
    pub(super) fn take_changes(&mut self, id: u64, most: usize) -> Vec<Observation> {
        let Some(at) = self.watchers.iter().position(|watcher| watcher.id == id) else { return Vec::new() };
        let watcher = &mut self.watchers[at];
        let gone: Vec<(&'static str, Uid)> = std::mem::take(&mut watcher.gone);
        let mut keys = Vec::new();
        while keys.len() < most
            && let Some(key) = watcher.changed.pop_first()
        {
            keys.push(key);
        }
        let gone = gone.into_iter().map(|(source, uid)| report::gone(source, uid));
        gone.chain(keys.into_iter().filter_map(|key| report::change(self, key))).collect()
    }

    fn reschedule(&mut self, number: u32, due: Option<Tick>) {
        let before = &mut self.agenda_of[number as usize];
        if let Some(before) = before.take() {
            self.agenda.remove(&(before, number));
        }
        if let Some(due) = due {
            self.agenda.insert((due, number));
            *before = Some(due);
        }
    }
}

impl Workload {
    /// Everything that it consists of.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let revisions = (0..self.revisions.len() as u16).map(Part::Revision);
        let instances = self.instances.iter().map(|instance| Part::Instance(instance.serial));
        let keepers = (0..self.keepers.len() as u8).map(Part::Keeper);
        std::iter::once(Part::Workload).chain(revisions).chain(instances).chain(keepers)
    }
}
