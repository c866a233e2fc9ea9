//! Which workload an instance belongs to: found by uid, made up where its owner can't be read, left where it was orphaned.
//!
//! Never judges; it marks the workloads that must be judged again.

use jiff::Timestamp;

use super::{Fleet, Origin};
use crate::domain::drift::Tally;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::observation::{InstanceSeen, Rollout, Strategy, Template, TemplateHash, WorkloadSeen};
use crate::domain::text::Text;

impl Fleet {
    /// A revision that was orphaned from its workload is a workload of its own from now on. Says which one it leaves.
    pub(super) fn leave_workload(&mut self, key: &(u16, Uid)) -> Option<u32> {
        let slot = *self.owners.get(key)?;
        let workload = self.workloads[slot as usize].as_mut().filter(|workload| workload.seen.uid != key.1)?;
        workload.revisions.retain(|revision| revision.uid != key.1);
        workload.revision_sources.retain(|(revision, _)| *revision != key.1);
        self.owners.remove(key);
        self.dirty.insert(slot);
        Some(slot)
    }

    /// Instances that name this owner go with it from one workload to the other.
    pub(super) fn follow(&mut self, owner: &Uid, from: u32, to: u32) {
        let Some(workload) = self.workloads[from as usize].as_ref() else { return };
        let is_its_own = |at: &u32| {
            let named = self.instances.get(*at as usize).and_then(|row| row.seen.owner.as_ref());
            named.is_some_and(|named| named.uid == *owner)
        };
        let moving: Vec<u32> = workload.instances.iter().copied().filter(is_its_own).collect();
        for at in moving {
            if let Some(instance) = self.instances.get_mut(at as usize) {
                instance.workload = to;
            }
            self.attach(to, at);
            self.detach(from, at);
        }
        self.drop_if_left_over(from);
    }

    /// What stands for nothing any more: derived, or deleted, without a version or an instance left.
    pub(super) fn drop_if_left_over(&mut self, slot: u32) {
        let is_left_over = self.workloads.get(slot as usize).and_then(Option::as_ref).is_some_and(|workload| {
            workload.origin == Origin::Derived && workload.instances.is_empty() && workload.revisions.is_empty()
        });
        if is_left_over {
            self.drop_workload(slot);
        }
    }

    /// The workload that an instance belongs to; made up where its owner is not known.
    pub(super) fn owner_slot(&mut self, place: u16, at: Timestamp, seen: &InstanceSeen) -> u32 {
        let (uid, kind, name, reason) = match &seen.owner {
            Some(owner) => {
                if let Some(&slot) = self.owners.get(&(place, owner.uid.clone())) {
                    return slot;
                }
                let reason = match owner.kind {
                    WorkloadKind::Unknown => format!("owned by {}, a kind that Rolldeck does not know", owner.name),
                    kind => format!("its {kind} {} can't be read or is gone", owner.name),
                };
                (owner.uid.clone(), owner.kind, owner.name.clone(), reason)
            }
            None => {
                let reason = "nothing owns it: an instance taken away would not come back".to_string();
                (Uid(Text::new(&format!("of {}", seen.uid))), WorkloadKind::Pod, seen.name.clone(), reason)
            }
        };
        let key = (place, uid.clone());
        if let Some(&slot) = self.owners.get(&key) {
            return slot;
        }
        let derived = derived(uid, kind, seen.namespace.clone(), name, seen.service.clone(), Text::new(&reason));
        self.put_workload(place, at, Origin::Derived, derived);
        self.owners[&key]
    }

    pub(super) fn attach(&mut self, slot: u32, instance: u32) {
        if let Some(workload) = self.workloads[slot as usize].as_mut() {
            workload.instances.push(instance);
        }
        self.dirty.insert(slot);
    }

    pub(super) fn detach(&mut self, slot: u32, instance: u32) {
        let Some(workload) = self.workloads.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        if let Some(at) = workload.instances.iter().position(|&known| known == instance) {
            workload.instances.swap_remove(at);
        }
        self.dirty.insert(slot);
        self.drop_if_left_over(slot);
    }

    pub(super) fn move_instances(&mut self, from: u32, to: u32) {
        let Some(workload) = self.workloads[from as usize].as_mut() else { return };
        let moving = std::mem::take(&mut workload.instances);
        for &at in &moving {
            if let Some(instance) = self.instances.get_mut(at as usize) {
                instance.workload = to;
            }
        }
        if let Some(target) = self.workloads[to as usize].as_mut() {
            target.instances.extend(moving);
        }
        self.drop_if_left_over(from);
        self.dirty.insert(to);
    }

    pub(super) fn drop_workload(&mut self, slot: u32) {
        let Some(workload) = self.workloads[slot as usize].take() else { return };
        let place = self.place_numbers[&workload.id.place];
        let tally = workload.judgement.tally;
        let row = &mut self.places[usize::from(place)];
        row.tally = row.tally.minus(tally);
        row.changed.insert(workload.id.clone());
        self.count_service(&workload.seen.service, tally, Tally::default());
        self.owners.remove(&(place, workload.seen.uid.clone()));
        for revision in &workload.revisions {
            self.owners.remove(&(place, revision.uid.clone()));
        }
        if self.workload_slots.get(&workload.id) == Some(&slot) {
            self.workload_slots.remove(&workload.id);
        }
        self.dirty.remove(&slot);
        self.free_workloads.push(slot);
    }
}

/// What stands for an owner that can't be read or does not exist, so that its instances are still shown.
pub(super) fn derived(
    uid: Uid,
    kind: WorkloadKind,
    namespace: Option<Text>,
    name: Text,
    service: Text,
    reason: Text,
) -> WorkloadSeen {
    WorkloadSeen {
        uid,
        kind,
        namespace,
        name,
        service,
        template: Template { hash: TemplateHash(Text::default()), containers: Vec::new(), version: None, latent: None },
        main_container: None,
        expected_annotation: None,
        generation: 0,
        observed_generation: 0,
        desired: 0,
        rollout: Rollout::Stable,
        running: None,
        canary: None,
        strategy: Strategy::default(),
        owners: Vec::new(),
        undoers: Vec::new(),
        requested_since: None,
        touched_by: None,
        inoperable: Some(reason),
        trouble: None,
    }
}
