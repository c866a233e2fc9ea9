//! One simulated workload: its revisions, its instances, and what becomes of them as time goes by.
//!
//! Never looks at a clock or at other workloads: it is told which tick it is, and says when it wants to be told again.
//! How many instances of which revision there should be is decided in `rollout`.

mod past;

use std::sync::Arc;

use super::blueprint::{Blueprint, Edition, Shape, Tick};
use super::group;
use super::keepers::{self, Keeper};
use super::random::{Random, mix};
use super::scenario::{Failure, Replace};
use crate::domain::id::Uid;
use crate::domain::observation::{FieldOwner, Strategy};
use crate::domain::plan::Paused;
use crate::domain::text::Text;

/// One workload.
pub(super) struct Workload {
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) desired: u32,
    pub(super) generation: u64,
    /// The generation that its controller has taken up.
    pub(super) observed: u64,
    pub(super) revisions: Vec<Revision>,
    /// The revision that is asked for, by its place in `revisions`.
    pub(super) current: u16,
    /// The revision that a group's own settings name: until a refresh has succeeded, the one before it.
    pub(super) own: u16,
    pub(super) hold: Paused,
    pub(super) pace: Pace,
    pub(super) strategy: Strategy,
    pub(super) requested_since: Tick,
    /// `OPERATION WHO TIME` of the last Rolldeck that changed it.
    pub(super) mark: Option<Text>,
    pub(super) owner: FieldOwner,
    pub(super) keepers: Vec<Keeper>,
    /// By serial.
    pub(super) instances: Vec<Instance>,
    /// Whether its nodes are silent: nothing is known of what its instances run.
    pub(super) is_silent: bool,
    /// What changed since it was last asked.
    pub(super) changed: Vec<Part>,
    /// How far the rollout was when it last got further: new ones that are healthy, old ones that are left.
    pub(super) reached: (u32, u32),
    /// What its uids are made of.
    key: u64,
    random: Random,
    next_serial: u32,
    look_at: Option<Tick>,
    churn_at: Option<Tick>,
    revert_at: Option<Tick>,
    /// The revision that a reverter puts back.
    home: u16,
}

/// A revision of a workload.
pub(super) struct Revision {
    pub(super) edition: Arc<Edition>,
    pub(super) number: u64,
    pub(super) past_numbers: Vec<u64>,
    pub(super) created: Tick,
    /// Why its platform's records speak against it.
    pub(super) left: Option<Text>,
    /// How many instances of it there should be.
    pub(super) replicas: u32,
    /// How many were ever made.
    made: u32,
}

/// One instance, as small as it can be: there may be a hundred thousand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instance {
    /// Counts the instances of the workload.
    pub(super) serial: u32,
    /// Its number in its name, where names are used again.
    pub(super) ordinal: u32,
    pub(super) began: Tick,
    /// When its stage ends; `Tick::MAX` if it does not by itself.
    until: Tick,
    pub(super) revision: u16,
    pub(super) stage: Stage,
    pub(super) quirk: Quirk,
    is_doomed: bool,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Starting,
    /// Its image can't be had.
    Stuck,
    Healthy,
    Unhealthy,
    Draining,
}

/// What is odd about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quirk {
    Nothing,
    /// It runs an earlier build of its tag.
    Stale,
    /// Somebody put a debug container into it.
    Touched,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Settled,
    /// It last got further at that tick.
    Moving(Tick),
    TimedOut,
}

/// A part of a workload that changed. Ordered so that owners come before what they own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Workload,
    Revision(u16),
    /// By serial.
    Instance(u32),
    /// By number.
    Keeper(u8),
}

impl Workload {
    /// When it wants to be told the time again; `None`: it is idle.
    pub(super) fn due(&self) -> Option<Tick> {
        let timers = self.instances.iter().map(|instance| instance.until).filter(|until| *until != Tick::MAX);
        let deadline = match (self.pace, self.hold) {
            (Pace::Moving(since), Paused::Running) => Some(since + self.blueprint.progress_deadline + 1),
            (Pace::Moving(_) | Pace::Settled | Pace::TimedOut, _) => None,
        };
        timers.chain(self.look_at).chain(self.churn_at).chain(self.revert_at).chain(deadline).min()
    }

    /// Everything that has come due by this tick.
    pub(super) fn step(&mut self, now: Tick) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
        }
        if self.observed != self.generation {
            self.observed = self.generation;
            self.changed.push(Part::Workload);
        }
        self.let_time_pass(now);
        self.churn(now);
        self.revert(now);
        let has_rolled = self.roll();
        let has_counted = self.keep_counts(now);
        self.look_at_progress(now);
        if has_rolled || has_counted {
            self.look_again(now);
        }
    }

    /// Asks for another edition, known or new, as somebody did at this tick.
    pub(super) fn request(&mut self, edition: Arc<Edition>, now: Tick, owner: FieldOwner, mark: Option<Text>) {
        let hash = &edition.template.hash;
        let known = self.revisions.iter().position(|revision| revision.edition.template.hash == *hash);
        match known {
            Some(index) => self.request_revision(index as u16, now, owner, mark),
            None => {
                self.revisions.push(Revision::new(edition, 0, now));
                self.request_revision((self.revisions.len() - 1) as u16, now, owner, mark);
            }
        }
    }

    /// Asks for a revision; one that was there before gets the highest number again.
    pub(super) fn request_revision(&mut self, index: u16, now: Tick, owner: FieldOwner, mark: Option<Text>) {
        self.mark = mark.or(self.mark.take());
        self.owner = owner;
        self.changed.push(Part::Workload);
        if index == self.current {
            return;
        }
        let shape = self.blueprint.shape;
        let highest = self.revisions.iter().map(|revision| revision.number).max().unwrap_or_default();
        let revision = &mut self.revisions[usize::from(index)];
        match (shape, revision.number) {
            (_, 0) => revision.number = highest + 1,
            (Shape::Deployment | Shape::StatefulSet, number) => {
                revision.past_numbers.push(number);
                revision.number = highest + 1;
            }
            (Shape::Group, _) => {}
        }
        if shape == Shape::Group {
            self.refresh_to(index);
        }
        self.changed.push(Part::Revision(index));
        self.current = index;
        self.requested_since = now;
        self.reached = (0, u32::MAX);
        if self.blueprint.replace == Replace::RollingUpdate || shape == Shape::Group {
            self.pace = Pace::Moving(now);
        }
        self.next_generation(now);
        self.revert_at = None;
        self.plan_revert(now);
    }

    /// Whoever puts its version back does so in a while, unless he is suspended.
    pub(super) fn plan_revert(&mut self, now: Tick) {
        if let Some((_, after)) = &self.blueprint.reverter {
            let is_put_back = self.current != self.home && keepers::puts_back(self);
            self.revert_at = is_put_back.then_some(self.revert_at.unwrap_or(now + after));
        }
    }

    /// Holds its rollout, or lets it go on.
    pub(super) fn set_hold(&mut self, hold: Paused, now: Tick) {
        let has_nothing_to_hold = self.blueprint.shape == Shape::Group && !self.is_refreshing();
        if self.hold == hold || hold == Paused::Paused && has_nothing_to_hold {
            return;
        }
        self.hold = hold;
        if let (Paused::Running, Pace::Moving(_) | Pace::TimedOut) = (hold, self.pace) {
            self.pace = Pace::Moving(now);
        }
        self.next_generation(now);
    }

    /// Has it replace at another pace.
    pub(super) fn set_pace(&mut self, strategy: Strategy, mark: Text, now: Tick) {
        self.strategy = strategy;
        self.mark = Some(mark);
        self.next_generation(now);
    }

    /// Asks for another number of instances.
    pub(super) fn scale(&mut self, desired: u32, now: Tick) {
        self.desired = desired;
        self.next_generation(now);
    }

    /// Leaves the mark of a Rolldeck.
    pub(super) fn set_mark(&mut self, mark: Text) {
        self.mark = Some(mark);
        self.changed.push(Part::Workload);
    }

    /// Has an instance taken away; its owner makes another one.
    pub(super) fn take_away(&mut self, serial: u32, now: Tick) {
        let Ok(index) = self.instances.binary_search_by_key(&serial, |instance| instance.serial) else { return };
        let instance = &mut self.instances[index];
        if instance.stage == Stage::Draining {
            return;
        }
        instance.stage = Stage::Draining;
        instance.until = now + self.blueprint.drain;
        let revision = instance.revision;
        self.changed.push(Part::Instance(serial));
        let successor = match (self.blueprint.shape, self.blueprint.replace) {
            (Shape::Group, _) if self.is_refreshing() => revision,
            (Shape::Deployment, Replace::RollingUpdate) => revision,
            (Shape::Deployment, Replace::OnDelete) | (Shape::StatefulSet | Shape::Group, _) => self.launched(),
        };
        if successor != revision {
            self.revisions[usize::from(revision)].replicas -= 1;
            self.revisions[usize::from(successor)].replicas += 1;
        }
        self.look_again(now);
    }

    /// The revision of what is made outside of a rollout.
    pub(super) fn launched(&self) -> u16 {
        match self.blueprint.shape {
            Shape::Deployment | Shape::StatefulSet => self.current,
            Shape::Group => self.own,
        }
    }

    /// Whether it is known which images an instance runs: those of a machine are, from its launch on.
    pub(super) fn is_image_known(&self, instance: &Instance) -> bool {
        let has_started = match self.blueprint.shape {
            Shape::Deployment | Shape::StatefulSet => !matches!(instance.stage, Stage::Starting | Stage::Stuck),
            Shape::Group => true,
        };
        has_started && !self.is_silent
    }

    /// Puts a debug container into an instance.
    pub(super) fn touch(&mut self, index: usize) {
        if let Some(instance) = self.instances.get_mut(index) {
            instance.quirk = Quirk::Touched;
            self.changed.push(Part::Instance(instance.serial));
        }
    }

    /// One instance by its number.
    pub(super) fn instance(&self, serial: u32) -> Option<&Instance> {
        let index = self.instances.binary_search_by_key(&serial, |instance| instance.serial).ok()?;
        self.instances.get(index)
    }

    /// The uid of the workload itself.
    pub(super) fn uid(&self) -> Uid {
        self.made_uid(1, 0)
    }

    /// The uid of a revision.
    pub(super) fn revision_uid(&self, index: u16) -> Uid {
        self.made_uid(2, u64::from(index))
    }

    /// The uid of an instance.
    pub(super) fn instance_uid(&self, instance: &Instance) -> Uid {
        self.uid_of_serial(instance.serial)
    }

    /// The uid of an instance that may be gone.
    pub(super) fn uid_of_serial(&self, serial: u32) -> Uid {
        match self.blueprint.shape {
            Shape::Deployment | Shape::StatefulSet => self.made_uid(3, u64::from(serial)),
            Shape::Group => Uid::new(&group::machine_id(self.fingerprint(serial))),
        }
    }

    /// The uid of one of its keepers.
    pub(super) fn uid_of_keeper(&self, index: u8) -> Uid {
        self.made_uid(5, u64::from(index))
    }

    /// A number that is an instance's own.
    pub(super) fn fingerprint(&self, serial: u32) -> u64 {
        mix(&[self.key, 4, u64::from(serial)])
    }

    fn made_uid(&self, what: u64, number: u64) -> Uid {
        let (high, low) = (mix(&[self.key, what, number]), mix(&[self.key, what, number, 1]));
        Uid::new(&format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        ))
    }

    fn let_time_pass(&mut self, now: Tick) {
        let mut is_one_gone = false;
        for instance in self.instances.iter_mut().filter(|instance| instance.until <= now) {
            let edition = &self.revisions[usize::from(instance.revision)].edition;
            let failure = edition.failure.filter(|_| instance.is_doomed);
            (instance.stage, instance.until) = match (instance.stage, failure) {
                (Stage::Starting, Some((Failure::Readiness, ..))) => (Stage::Unhealthy, Tick::MAX),
                (Stage::Starting, Some((Failure::ImagePull, ..))) => (Stage::Stuck, Tick::MAX),
                (Stage::Starting, Some((Failure::Later, _, after))) => (Stage::Healthy, now + after.max(1)),
                (Stage::Starting, None) => (Stage::Healthy, Tick::MAX),
                (Stage::Healthy, Some(_)) => (Stage::Unhealthy, Tick::MAX),
                (Stage::Draining, _) => {
                    is_one_gone = true;
                    (Stage::Draining, Tick::MIN)
                }
                (stage @ (Stage::Healthy | Stage::Unhealthy | Stage::Stuck), _) => (stage, Tick::MAX),
            };
            self.changed.push(Part::Instance(instance.serial));
        }
        if is_one_gone {
            self.instances.retain(|instance| instance.until != Tick::MIN);
        }
    }

    fn churn(&mut self, now: Tick) {
        if self.churn_at.is_none_or(|at| at > now) {
            return;
        }
        let rate = self.blueprint.churn;
        let pause = ((10.0 / rate).round() as Tick).max(1);
        let count = (rate * f64::from(pause) / 10.0).round().max(1.0) as u32;
        self.churn_at = Some(now + pause);
        for _ in 0..count {
            let present: Vec<u32> = self
                .instances
                .iter()
                .filter(|instance| instance.stage != Stage::Draining)
                .map(|instance| instance.serial)
                .collect();
            let at = self.random.below(present.len());
            if let Some(serial) = present.get(at) {
                self.take_away(*serial, now);
            }
        }
    }

    fn revert(&mut self, now: Tick) {
        if self.revert_at.is_some_and(|at| at <= now) {
            self.revert_at = None;
            let owner = self.blueprint.owner.clone();
            self.request_revision(self.home, now, owner, None);
        }
    }

    /// What a replica set's controller does: as many instances of each revision as there should be.
    fn keep_counts(&mut self, now: Tick) -> bool {
        let mut has_changed = false;
        for index in 0..self.revisions.len() as u16 {
            let wanted = self.revisions[usize::from(index)].replicas;
            let mut present: Vec<(Stage, u32)> = self
                .instances
                .iter()
                .filter(|instance| instance.revision == index && instance.stage != Stage::Draining)
                .map(|instance| (instance.stage, instance.serial))
                .collect();
            for _ in present.len() as u32..wanted {
                self.add(index, now);
                has_changed = true;
            }
            if present.len() as u32 > wanted {
                // Those that do not work go first, then the youngest (Kubernetes: ActivePodsWithRanks).
                present.sort_by_key(|(stage, serial)| (*stage == Stage::Healthy, std::cmp::Reverse(*serial)));
                let surplus = present.len() - wanted as usize;
                for (_, serial) in present.into_iter().take(surplus) {
                    self.drain(serial, now);
                    has_changed = true;
                }
            }
        }
        has_changed
    }

    fn drain(&mut self, serial: u32, now: Tick) {
        let Ok(index) = self.instances.binary_search_by_key(&serial, |instance| instance.serial) else { return };
        self.instances[index].stage = Stage::Draining;
        self.instances[index].until = now + self.blueprint.drain;
        self.changed.push(Part::Instance(serial));
    }

    fn add(&mut self, index: u16, now: Tick) {
        let revision = &mut self.revisions[usize::from(index)];
        let is_doomed = revision.edition.is_doomed(revision.made);
        revision.made += 1;
        let serial = self.next_serial;
        self.next_serial += 1;
        let start = self.blueprint.start;
        let until = now + start + self.random.below(start as usize / 2) as Tick;
        let ordinal = match self.blueprint.shape {
            Shape::StatefulSet => self.free_ordinal(),
            Shape::Deployment | Shape::Group => serial,
        };
        let (stage, quirk) = (Stage::Starting, Quirk::Nothing);
        self.instances.push(Instance { serial, ordinal, began: now, until, revision: index, stage, quirk, is_doomed });
        self.changed.push(Part::Instance(serial));
    }

    fn free_ordinal(&self) -> u32 {
        let taken = |ordinal: &u32| {
            self.instances.iter().any(|present| present.stage != Stage::Draining && present.ordinal == *ordinal)
        };
        (0..).find(|ordinal| !taken(ordinal)).unwrap_or_default()
    }

    fn next_generation(&mut self, now: Tick) {
        self.generation += 1;
        self.changed.push(Part::Workload);
        self.look_again(now);
    }

    fn look_again(&mut self, now: Tick) {
        self.look_at = Some(now + 1);
    }
}

impl Revision {
    fn new(edition: Arc<Edition>, number: u64, created: Tick) -> Revision {
        Revision { edition, number, past_numbers: Vec::new(), created, left: None, replicas: 0, made: 0 }
    }
}
