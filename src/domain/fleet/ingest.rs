//! How batches of observations become rows: lists kept aside and swapped, owners found by uid, strings shared.
//!
//! Never judges; it marks the workloads that must be judged again.

use std::collections::HashSet;

use jiff::Timestamp;

use super::owners::derived;
use super::{Fleet, Instance, Listing, Origin, Place, Workload};
use crate::domain::drift::{Judgement, Tally, Verdict};
use crate::domain::id::{PlaceId, Uid, WorkloadId, WorkloadKind};
use crate::domain::observation::{
    Batch, InstanceSeen, Observation, PlaceIdentity, PlaceState, RevisionSeen, Source, WorkloadSeen,
};
use crate::domain::text::{Letters, Text};

impl Fleet {
    /// Adds a place that is asked: it is loading. One that was asked before keeps what it has.
    pub fn add_place(&mut self, id: PlaceId) {
        match self.place_numbers.get(&id).map(|&number| &mut self.places[usize::from(number)]) {
            Some(place) if place.state == PlaceState::NotConnected => {
                place.state = PlaceState::Loading;
                self.revision += 1;
            }
            Some(_) => {}
            None => self.push_place(id, PlaceState::Loading),
        }
    }

    /// Adds a place that is known and not asked.
    pub fn list_place(&mut self, id: PlaceId) {
        if !self.place_numbers.contains_key(&id) {
            self.push_place(id, PlaceState::NotConnected);
        }
    }

    fn push_place(&mut self, id: PlaceId, state: PlaceState) {
        self.place_numbers.insert(id.clone(), self.places.len() as u16);
        self.places.push(Place {
            id,
            state,
            heard_at: None,
            identity: PlaceIdentity::default(),
            calls_per_minute: None,
            limits: Vec::new(),
            loading: Vec::new(),
            tally: Tally::default(),
            keepers: super::keepers::Keepers::default(),
            was_doubted: false,
            lists: std::collections::HashMap::new(),
            changed: HashSet::new(),
        });
        self.revision += 1;
    }

    /// Takes in a batch and judges what it changed. A batch of a place that was never added is dropped.
    pub fn apply(&mut self, batch: Batch) {
        let Some(&place) = self.place_numbers.get(&batch.place) else { return };
        let at = batch.fetched_at;
        // A report that the place does not answer is no answer: its age counts from the last real one.
        let has_answered = !batch.observations.iter().all(is_silence);
        for observation in batch.observations {
            self.observe(place, at, observation);
        }
        if has_answered {
            self.places[usize::from(place)].heard(at);
        }
        self.note_changed(place);
        self.judge_dirty();
        self.revision += 1;
    }

    /// Marks every live place stale, as after the machine slept: nothing is known to hold until it answers again.
    pub fn mark_all_stale(&mut self, why: &str) {
        for place in self.places.iter_mut().filter(|place| place.state.is_live()) {
            place.state = PlaceState::Stale(Text::new(why));
            place.was_doubted = true;
        }
        self.revision += 1;
    }

    fn observe(&mut self, place: u16, at: Timestamp, mut observation: Observation) {
        if let Observation::Instance(_, seen) = &mut observation
            && self.is_as_known(place, at, seen)
        {
            return;
        }
        if let Observation::Still(source, uid) = observation {
            return self.note_still(place, at, source, uid);
        }
        let source = match &observation {
            Observation::Workload(source, _)
            | Observation::Revision(source, _)
            | Observation::Instance(source, _)
            | Observation::Keeper(source, _)
            | Observation::Gone(source, _) => *source,
            _ => return self.observe_place(place, at, observation),
        };
        if let Some(list) = self.places[usize::from(place)].lists.get_mut(&source) {
            match &observation {
                Observation::Workload(_, workload) => list.seen.insert(workload.uid.clone()),
                Observation::Revision(_, revision) => list.seen.insert(revision.uid.clone()),
                Observation::Instance(_, instance) => list.seen.insert(instance.uid.clone()),
                Observation::Keeper(_, keeper) => list.seen.insert(keeper.uid.clone()),
                Observation::Gone(_, uid) => list.seen.remove(uid),
                _ => false,
            };
            if let Some(aside) = &mut list.aside {
                aside.push((at, observation));
                return;
            }
        }
        self.change(place, at, observation);
    }

    /// Shares what an instance has in common with others. One that is known exactly so is only noted as seen: a list that
    /// is made again costs nothing where nothing changed.
    fn is_as_known(&mut self, place: u16, at: Timestamp, seen: &mut InstanceSeen) -> bool {
        self.interned.share_all(seen);
        let Some((key, &slot)) = self.instance_slots.get_key_value(&(place, seen.uid.clone())) else { return false };
        seen.uid = key.1.clone();
        let Some(instance) = self.instances.get(slot as usize).filter(|instance| instance.seen == *seen) else {
            return false;
        };
        let source = instance.source;
        if let Some(list) = self.places[usize::from(place)].lists.get_mut(&source) {
            list.seen.insert(seen.uid.clone());
        }
        if let Some(instance) = self.instances.get_mut(slot as usize) {
            instance.fetched_at = at;
        }
        true
    }

    /// An instance is as it was: it is only noted as seen.
    fn note_still(&mut self, place: u16, at: Timestamp, source: Source, uid: Uid) {
        let Some((key, &slot)) = self.instance_slots.get_key_value(&(place, uid)) else { return };
        let uid = key.1.clone();
        if let Some(instance) = self.instances.get_mut(slot as usize) {
            instance.fetched_at = at;
        }
        if let Some(list) = self.places[usize::from(place)].lists.get_mut(&source) {
            list.seen.insert(uid);
        }
    }

    fn observe_place(&mut self, place: u16, at: Timestamp, observation: Observation) {
        let row = &mut self.places[usize::from(place)];
        match observation {
            Observation::ListStarted(source) => {
                let is_first = matches!(row.state, PlaceState::Loading) && !row.lists.contains_key(&source);
                let aside = if is_first { None } else { Some(Vec::new()) };
                row.lists.insert(source, Listing { seen: HashSet::new(), aside });
                row.limits.retain(|(limited, _)| *limited != source);
            }
            Observation::ListFinished(source) => {
                row.loading.retain(|(loading, ..)| *loading != source);
                if let Some(list) = row.lists.remove(&source) {
                    self.swap_in(place, at, source, list);
                }
            }
            Observation::Loading { source, seen, remaining } => {
                row.loading.retain(|(loading, ..)| *loading != source);
                row.loading.push((source, seen, remaining));
            }
            Observation::Place(state) => {
                row.was_doubted = false;
                row.state = state;
            }
            Observation::Identity(identity) => row.identity = *identity,
            Observation::Calls(number) => row.calls_per_minute = Some(number),
            Observation::Limited(source, why) => {
                row.limits.retain(|(limited, _)| *limited != source);
                row.limits.push((source, why));
            }
            // The provider thinks that it is live; only the fleet had doubts, after a sleep.
            Observation::Heartbeat if row.was_doubted => {
                row.was_doubted = false;
                row.state = PlaceState::Live;
            }
            Observation::Heartbeat => {}
            Observation::Workload(..)
            | Observation::Revision(..)
            | Observation::Instance(..)
            | Observation::Keeper(..)
            | Observation::Still(..)
            | Observation::Gone(..) => {
                self.change(place, at, observation);
            }
        }
    }

    /// The list is complete: what it does not have is gone, what it has is put in, all before anybody looks.
    fn swap_in(&mut self, place: u16, at: Timestamp, source: Source, list: Listing) {
        self.places[usize::from(place)].keepers.keep_listed(source, &list);
        let gone_instances = self.instances.slots().filter(|(_, instance)| {
            instance.place == place && instance.source == source && !list.seen.contains(&instance.seen.uid)
        });
        let mut gone: Vec<Uid> = gone_instances.map(|(_, instance)| instance.seen.uid.clone()).collect();
        for workload in self.workloads.iter().flatten() {
            if self.place_numbers[&workload.id.place] != place {
                continue;
            }
            if workload.origin == Origin::Reported(source) && !list.seen.contains(&workload.seen.uid) {
                gone.push(workload.seen.uid.clone());
            }
            let revisions =
                workload.revision_sources.iter().filter(|(uid, of)| *of == source && !list.seen.contains(uid));
            gone.extend(revisions.map(|(uid, _)| uid.clone()));
        }
        for uid in gone {
            self.change(place, at, Observation::Gone(source, uid));
        }
        for (fetched_at, observation) in list.aside.into_iter().flatten() {
            self.change(place, fetched_at, observation);
        }
    }

    fn change(&mut self, place: u16, at: Timestamp, observation: Observation) {
        match observation {
            Observation::Workload(source, seen) => self.put_workload(place, at, Origin::Reported(source), *seen),
            Observation::Revision(source, seen) => self.put_revision(place, at, source, *seen),
            Observation::Instance(source, seen) => self.put_instance(place, at, source, *seen),
            Observation::Keeper(source, seen) => self.places[usize::from(place)].keepers.put(source, *seen),
            Observation::Gone(_, uid) if self.places[usize::from(place)].keepers.remove(&uid) => {}
            Observation::Gone(_, uid) => self.remove(place, &uid),
            _ => {}
        }
    }

    pub(super) fn put_workload(&mut self, place: u16, at: Timestamp, origin: Origin, mut seen: WorkloadSeen) {
        self.interned.share(&mut seen.service);
        let id = WorkloadId {
            place: self.places[usize::from(place)].id.clone(),
            namespace: seen.namespace.clone(),
            kind: seen.kind,
            name: seen.name.clone(),
        };
        let key = (place, seen.uid.clone());
        // What is known exactly so was only seen again.
        if let Some(&slot) = self.owners.get(&key)
            && let Some(known) = self.workloads[slot as usize].as_mut()
            && known.seen == seen
            && known.origin == origin
        {
            known.fetched_at = at;
            return;
        }
        let left = self.leave_workload(&key);
        // A revision may have come before its workload: what was derived for it becomes the workload itself.
        if let Some(&slot) = self.owners.get(&key) {
            if let Some(workload) = self.workloads[slot as usize].as_mut() {
                let changed_name = workload.id != id;
                if changed_name {
                    self.workload_slots.remove(&workload.id);
                    self.workload_slots.insert(id.clone(), slot);
                    self.places[usize::from(place)].changed.insert(workload.id.clone());
                }
                if workload.seen.service != seen.service {
                    let moved = std::mem::take(&mut workload.judgement.tally);
                    let (old_service, place_row) =
                        (workload.seen.service.clone(), &mut self.places[usize::from(place)]);
                    place_row.tally = place_row.tally.minus(moved);
                    self.count_service(&old_service, moved, Tally::default());
                }
                let workload = self.workloads[slot as usize].as_mut().expect("it was there a moment ago");
                workload.id = id;
                workload.seen = seen;
                workload.fetched_at = at;
                workload.origin = origin;
            }
            self.dirty.insert(slot);
            return;
        }
        let workload = Workload {
            id: id.clone(),
            fetched_at: at,
            revisions: Vec::new(),
            revision_sources: Vec::new(),
            judgement: Judgement::empty(),
            origin,
            instances: Vec::new(),
            seen,
        };
        let slot = match self.free_workloads.pop() {
            Some(slot) => {
                self.workloads[slot as usize] = Some(workload);
                slot
            }
            None => {
                self.workloads.push(Some(workload));
                (self.workloads.len() - 1) as u32
            }
        };
        self.owners.insert(key.clone(), slot);
        self.workload_slots.insert(id, slot);
        self.dirty.insert(slot);
        if let Some(left) = left {
            self.follow(&key.1, left, slot);
        }
    }

    fn put_revision(&mut self, place: u16, at: Timestamp, source: Source, seen: RevisionSeen) {
        let owner_key = (place, seen.workload.clone());
        if !self.owners.contains_key(&owner_key) {
            let name = seen.workload.0.clone();
            let reason = Text::new("its workload can't be read");
            let derived = derived(seen.workload.clone(), WorkloadKind::Unknown, None, name.clone(), name, reason);
            self.put_workload(place, at, Origin::Derived, derived);
        }
        let slot = self.owners[&owner_key];
        let key = (place, seen.uid.clone());
        let is_known = self.owners.get(&key) == Some(&slot)
            && self.workloads[slot as usize].as_ref().is_some_and(|known| known.revisions.contains(&seen));
        if is_known {
            return;
        }
        // Instances that came before their revision wait under a derived workload of the revision's own uid.
        if let Some(&waiting) = self.owners.get(&key).filter(|&&waiting| waiting != slot) {
            // One that stood alone until now (an orphan that was adopted) is a workload no longer.
            if let Some(alone) = self.workloads[waiting as usize].as_mut().filter(|alone| alone.seen.uid == key.1) {
                alone.origin = Origin::Derived;
            }
            self.move_instances(waiting, slot);
        }
        self.owners.insert(key, slot);
        let workload = self.workloads[slot as usize].as_mut().expect("owners only point at workloads that exist");
        match workload.revisions.iter_mut().find(|revision| revision.uid == seen.uid) {
            Some(revision) => *revision = seen,
            None => {
                workload.revision_sources.push((seen.uid.clone(), source));
                workload.revisions.push(seen);
            }
        }
        self.dirty.insert(slot);
    }

    fn put_instance(&mut self, place: u16, at: Timestamp, source: Source, seen: InstanceSeen) {
        let slot = self.owner_slot(place, at, &seen);
        let key = (place, seen.uid.clone());
        if let Some(&at_slot) = self.instance_slots.get(&key) {
            let instance = self.instances.get_mut(at_slot as usize).expect("slots only point at rows that exist");
            let before = instance.workload;
            instance.letters = Letters::of(&seen.name);
            instance.seen = seen;
            instance.fetched_at = at;
            instance.workload = slot;
            if before != slot {
                self.detach(before, at_slot);
                self.attach(slot, at_slot);
            }
        } else {
            let verdict = Verdict::Unknown;
            let letters = Letters::of(&seen.name);
            let reason = Text::default();
            let row = Instance { seen, fetched_at: at, verdict, reason, letters, place, workload: slot, source };
            let at_slot = self.instances.insert(row);
            self.instance_slots.insert(key, at_slot);
            self.attach(slot, at_slot);
        }
        self.dirty.insert(slot);
    }

    fn remove(&mut self, place: u16, uid: &Uid) {
        let key = (place, uid.clone());
        if let Some(slot) = self.instance_slots.remove(&key) {
            if let Some(instance) = self.instances.remove(slot) {
                self.detach(instance.workload, slot);
            }
            return;
        }
        let Some(slot) = self.owners.remove(&key) else { return };
        let Some(workload) = self.workloads[slot as usize].as_mut() else { return };
        if workload.seen.uid == *uid && workload.seen.inoperable.is_none() {
            self.deleted.insert(key.clone());
        }
        if workload.seen.uid != *uid {
            workload.revisions.retain(|revision| revision.uid != *uid);
            workload.revision_sources.retain(|(revision, _)| revision != uid);
            // Instances keep pointing here by slot; their owner's uid must still lead to this workload.
            if workload.instances.iter().any(|&at| {
                self.instances
                    .get(at as usize)
                    .and_then(|row| row.seen.owner.as_ref())
                    .is_some_and(|owner| owner.uid == *uid)
            }) {
                self.owners.insert(key, slot);
            }
            self.dirty.insert(slot);
            self.drop_if_left_over(slot);
        } else if workload.instances.is_empty() && workload.revisions.is_empty() {
            self.drop_workload(slot);
        } else {
            // Its instances outlive it for a while: they stay visible under what is left of it.
            workload.origin = Origin::Derived;
            workload.seen.desired = 0;
            workload.seen.inoperable = Some(Text::new("it was deleted; what is left is ending"));
            self.owners.insert(key, slot);
            self.dirty.insert(slot);
        }
    }
}

impl Place {
    fn heard(&mut self, at: Timestamp) {
        self.heard_at = self.heard_at.max(Some(at));
    }
}

/// Whether an observation says nothing that the place answered.
fn is_silence(observation: &Observation) -> bool {
    match observation {
        Observation::Place(
            PlaceState::Loading
            | PlaceState::Stale(_)
            | PlaceState::Unreachable(_)
            // Often found out here, by a sign-in plugin that failed: nothing was heard then.
            | PlaceState::AuthExpired(_)
            | PlaceState::Misconfigured(_)
            | PlaceState::NotConnected,
        )
        | Observation::Calls(_) => true,
        Observation::Place(PlaceState::Live | PlaceState::Forbidden(_))
        | Observation::ListStarted(_)
        | Observation::ListFinished(_)
        | Observation::Loading { .. }
        | Observation::Workload(..)
        | Observation::Revision(..)
        | Observation::Instance(..)
        | Observation::Keeper(..)
        | Observation::Still(..)
        | Observation::Gone(..)
        | Observation::Heartbeat
        | Observation::Identity(_)
        | Observation::Limited(..) => false,
    }
}
