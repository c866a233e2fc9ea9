//! What a workload is when the world begins: its past, as its scenario tells it.
//!
//! Never invents what came of a rollout: one that began a while ago is played from its beginning.

use std::sync::Arc;
use std::time::Duration;

use super::{Pace, Quirk, Revision, Stage, Workload};
use crate::domain::observation::Strategy;
use crate::domain::plan::Paused;
use crate::domain::text::Text;
use crate::providers::sim::blueprint::{Blueprint, Shape, Tick, ticks};
use crate::providers::sim::group;
use crate::providers::sim::keepers;
use crate::providers::sim::random::Random;
use crate::providers::sim::scenario::{Replace, SceneAt};

/// A rollout that began less long ago than this is played from its beginning.
const PLAYED: Duration = Duration::from_secs(3600);

impl Workload {
    /// As a scenario describes it. What it was before its last rollout began is played back from then on.
    pub(in crate::providers::sim) fn new(blueprint: Arc<Blueprint>, at: &SceneAt, key: u64) -> Workload {
        let editions = &blueprint.editions;
        let asked = at
            .requested
            .as_ref()
            .and_then(|tag| editions.iter().position(|(edition, _)| edition.tag.as_deref() == Some(tag.get_ref())));
        let last = asked.unwrap_or(editions.len().saturating_sub(1));
        let since = at.since.map_or(editions[last].1, |since| ticks(since.0));
        // The version that is asked for was made here when it was asked for here.
        let age_of = |index: usize, age: Tick| if index == last { since } else { age };
        let revisions: Vec<Revision> = editions[..=last]
            .iter()
            .enumerate()
            .map(|(index, (edition, age))| Revision::new(edition.clone(), index as u64 + 1, -age_of(index, *age)))
            .collect();
        let generation = revisions.len() as u64;
        let mut workload = Workload {
            desired: at.replicas,
            generation,
            observed: generation,
            current: last as u16,
            own: last as u16,
            home: last as u16,
            hold: if at.paused { Paused::Paused } else { Paused::Running },
            pace: Pace::Settled,
            strategy: strategy(&blueprint, at),
            requested_since: -since,
            mark: None,
            owner: blueprint.owner.clone(),
            keepers: keepers::of(&blueprint),
            instances: Vec::new(),
            is_silent: at.silent,
            changed: Vec::new(),
            reached: (0, 0),
            key,
            random: Random::new(key),
            next_serial: 0,
            look_at: None,
            churn_at: (blueprint.churn > 0.0).then_some(1),
            revert_at: None,
            revisions,
            blueprint,
        };
        workload.populate(at, since);
        // A refresh that has come to its end can't be cancelled.
        if workload.blueprint.shape == Shape::Group && workload.pace == Pace::Settled {
            workload.hold = Paused::Running;
        }
        workload.oddities(at);
        workload.changed.clear();
        workload
    }

    fn populate(&mut self, at: &SceneAt, since: Tick) {
        let last = self.current;
        let edition = &self.revisions[usize::from(last)].edition;
        let of = |tag: &str| self.revisions.iter().position(|known| known.edition.tag.as_deref() == Some(tag));
        let from = at.from.as_ref().and_then(|tag| of(tag.get_ref())).map(|index| index as u16);
        let before = from.or(last.checked_sub(1));
        let own_before = before.unwrap_or(last);
        let is_fresh = since <= ticks(PLAYED);
        let is_played = self.blueprint.replace == Replace::RollingUpdate && (edition.failure.is_some() || is_fresh);
        match (&at.running, before) {
            (Some(running), _) => {
                let known: Vec<(u16, u32)> =
                    running.iter().filter_map(|(tag, count)| Some((of(tag)? as u16, *count))).collect();
                for (index, count) in known {
                    self.settle(index, count);
                }
                let is_whole = self.revisions[usize::from(last)].replicas == self.desired;
                if self.blueprint.replace == Replace::RollingUpdate && !is_whole {
                    self.pace = Pace::Moving(0);
                    self.own = own_before;
                    self.look_again(0);
                }
            }
            (None, Some(before)) if is_played => {
                self.settle(before, self.desired);
                self.pace = Pace::Moving(-since);
                self.own = own_before;
                self.reached = (0, self.desired);
                self.look_again(-since);
            }
            (None, None) if is_played => {
                self.pace = Pace::Moving(-since);
                self.look_again(-since);
            }
            (None, _) => self.settle(last, self.desired),
        }
    }

    /// Puts instances of a revision there that have been there for long.
    fn settle(&mut self, index: u16, count: u32) {
        let revision = &mut self.revisions[usize::from(index)];
        revision.replicas = count;
        self.instances.reserve_exact(count as usize);
        let age = if index == self.current { self.requested_since } else { revision.created };
        for _ in 0..count {
            let spread = self.random.below(usize::try_from((-age).min(6_000)).unwrap_or(0)) as Tick;
            self.add(index, age + spread);
            if let Some(instance) = self.instances.last_mut() {
                instance.stage = Stage::Healthy;
                instance.until = Tick::MAX;
            }
        }
    }

    fn oddities(&mut self, at: &SceneAt) {
        let (stale, failing) = (at.stale as usize, at.failing as usize);
        for (index, instance) in self.instances.iter_mut().enumerate() {
            match index {
                stale_one if stale_one < stale => instance.quirk = Quirk::Stale,
                failing_one if failing_one < stale + failing => instance.stage = Stage::Unhealthy,
                touched_one if touched_one < stale + failing + at.touched as usize => {
                    instance.quirk = Quirk::Touched;
                }
                _ => {}
            }
        }
    }
}

fn strategy(blueprint: &Blueprint, at: &SceneAt) -> Strategy {
    let unavailable = at.max_unavailable.as_deref().map_or(blueprint.max_unavailable.clone(), Text::new);
    let surge = at.max_surge.as_deref().map_or(blueprint.max_surge.clone(), Text::new);
    match (blueprint.replace, blueprint.shape) {
        (_, Shape::Group) => group::strategy(unavailable, surge),
        (Replace::OnDelete, Shape::Deployment | Shape::StatefulSet) => {
            Strategy { kind: Text::new("OnDelete"), ..Strategy::default() }
        }
        (Replace::RollingUpdate, Shape::StatefulSet) => {
            Strategy { kind: Text::new("RollingUpdate"), max_unavailable: Some(Text::new("1")), ..Strategy::default() }
        }
        (Replace::RollingUpdate, Shape::Deployment) => Strategy {
            kind: Text::new("RollingUpdate"),
            max_unavailable: Some(unavailable),
            max_surge: Some(surge),
            partition: 0,
            first_number: 0,
        },
    }
}
