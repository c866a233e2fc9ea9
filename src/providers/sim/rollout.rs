//! How a simulated workload replaces its instances: the arithmetic of the Kubernetes Deployment controller
//! (kubernetes/pkg/controller/deployment/rolling.go), on the counts that each revision should have.
//!
//! Never makes or ends an instance: `workload` brings the instances to the counts that are decided here.

use super::blueprint::{Shape, Tick};
use super::scenario::Replace;
use super::workload::{Pace, Part, Stage, Workload};
use crate::domain::plan::Paused;

/// How many instances of a revision there are and how many of these are healthy.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    present: u32,
    healthy: u32,
}

impl Workload {
    /// Decides how many instances of each revision there should be now; whether that changed.
    pub(super) fn roll(&mut self) -> bool {
        match (self.blueprint.shape, self.blueprint.replace) {
            // A group keeps its number of machines whatever became of its refresh.
            (Shape::Group, _) if self.is_refreshing() => self.roll_by_itself(),
            (Shape::Group, _) => self.fill_up(),
            (Shape::Deployment | Shape::StatefulSet, _) if self.hold == Paused::Paused => false,
            (Shape::Deployment | Shape::StatefulSet, Replace::RollingUpdate) => self.roll_by_itself(),
            (Shape::Deployment | Shape::StatefulSet, Replace::OnDelete) => self.fill_up(),
        }
    }

    /// Whether the rollout got further, came to its end, or is given up.
    pub(super) fn look_at_progress(&mut self, now: Tick) {
        let has_ended = match self.blueprint.shape {
            Shape::Deployment | Shape::StatefulSet => self.pace == Pace::Settled,
            // A refresh that has failed does not go on by itself.
            Shape::Group => !self.is_refreshing(),
        };
        if has_ended || self.hold == Paused::Paused {
            return;
        }
        let counts = self.counts();
        let new = counts[usize::from(self.current)];
        let old = counts.iter().map(|count| count.present).sum::<u32>() - new.present;
        let before = self.pace;
        if new.healthy > self.reached.0 || old < self.reached.1 {
            self.pace = Pace::Moving(now);
        }
        self.reached = (new.healthy, old);
        if new.present == self.desired && new.healthy == self.desired && old == 0 {
            self.pace = Pace::Settled;
            self.own = self.current;
        }
        if let Pace::Moving(since) = self.pace
            && now - since > self.blueprint.progress_deadline
        {
            self.pace = Pace::TimedOut;
        }
        let word = |pace| matches!(pace, Pace::Moving(_));
        if before != self.pace && !(word(before) && word(self.pace)) {
            self.changed.push(Part::Workload);
        }
    }

    /// How many must stay healthy, and how many there may be at most.
    fn bounds(&self) -> (u32, u32) {
        let unavailable = share(self.strategy.max_unavailable.as_deref(), self.desired, u32::div_euclid);
        let surge = share(self.strategy.max_surge.as_deref(), self.desired, u32::div_ceil);
        // Neither: it could never move (Kubernetes: ResolveFenceposts).
        let unavailable = if unavailable == 0 && surge == 0 { 1 } else { unavailable };
        (self.desired.saturating_sub(unavailable), self.desired + surge)
    }

    fn roll_by_itself(&mut self) -> bool {
        let (least, most) = self.bounds();
        let counts = self.counts();
        let current = usize::from(self.current);
        let before: Vec<u32> = self.revisions.iter().map(|revision| revision.replicas).collect();
        let mut total: u32 = before.iter().sum();
        let wanted = &mut self.revisions[current].replicas;
        if *wanted > self.desired {
            *wanted = self.desired;
        } else {
            let more = most.saturating_sub(total).min(self.desired - *wanted);
            *wanted += more;
            total += more;
        }
        let new = self.revisions[current].replicas;
        let missing_new = new.saturating_sub(counts[current].healthy);
        let mut spare = total.saturating_sub(least).saturating_sub(missing_new);
        // Old ones that do not work hold nothing up: they go first.
        for (index, revision) in self.revisions.iter_mut().enumerate().filter(|(index, _)| *index != current) {
            let sick = revision.replicas.saturating_sub(counts[index].healthy).min(spare);
            revision.replicas -= sick;
            spare -= sick;
        }
        let healthy: u32 = counts.iter().map(|count| count.healthy).sum();
        let mut spare = healthy.saturating_sub(least).min(spare);
        for (_, revision) in self.revisions.iter_mut().enumerate().filter(|(index, _)| *index != current) {
            let fewer = revision.replicas.min(spare);
            revision.replicas -= fewer;
            spare -= fewer;
        }
        self.revisions.iter().zip(before).any(|(revision, before)| revision.replicas != before)
    }

    /// Nothing is replaced, but there are as many as there should be.
    fn fill_up(&mut self) -> bool {
        let total: u32 = self.revisions.iter().map(|revision| revision.replicas).sum();
        let current = usize::from(self.launched());
        self.revisions[current].replicas += self.desired.saturating_sub(total);
        let mut surplus = total.saturating_sub(self.desired);
        let is_changed = total != self.desired;
        let last = self.revisions.len() - 1;
        for index in (0..=last).filter(|index| *index != current).chain([current]) {
            let fewer = self.revisions[index].replicas.min(surplus);
            self.revisions[index].replicas -= fewer;
            surplus -= fewer;
        }
        is_changed
    }

    fn counts(&self) -> Vec<Count> {
        let mut counts = vec![Count::default(); self.revisions.len()];
        for instance in self.instances.iter().filter(|instance| instance.stage != Stage::Draining) {
            let count = &mut counts[usize::from(instance.revision)];
            count.present += 1;
            count.healthy += u32::from(instance.stage == Stage::Healthy);
        }
        counts
    }
}

/// A number, or a percentage rounded as told.
fn share(raw: Option<&str>, of: u32, divide: fn(u32, u32) -> u32) -> u32 {
    match raw.map(|raw| (raw.strip_suffix('%'), raw)) {
        None => 0,
        Some((Some(percent), _)) => divide(of * percent.parse().unwrap_or(25), 100),
        Some((None, number)) => number.parse().unwrap_or(1),
    }
}
