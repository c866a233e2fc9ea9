//! What happened in the places that are watched: the rows, the last state of each workload, and what the store must still
//! be given.
//!
//! Never looks at a place that is not live: what a half list lacks is not gone. Never looks at a workload that did not
//! change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::{PlaceId, WorkloadId};
use crate::domain::text::Text;
use crate::domain::timeline::{Again, Happening, Known, Look, Moment, Present, Retention, Sight, gone, note};

/// How often it is written that a place is still watched, and how often old rows are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// What stands for an owner that is not known yet may become a part of another workload within this time.
const UNSETTLED: Duration = Duration::from_secs(10);

/// How many states and rows are handed to the store at once: an entry of the journal must not wait behind more.
const AT_ONCE: usize = 2_000;

/// From when to when a place was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Since then.
    pub first: Timestamp,
    /// Up to then.
    pub last: Timestamp,
}

/// What an earlier process wrote.
#[derive(Debug, Default)]
pub struct Kept {
    /// The rows, in any order.
    pub rows: Vec<Happening>,
    /// The last state of each workload.
    pub states: Vec<(WorkloadId, Known)>,
    /// Which places were watched.
    pub watched: Vec<(PlaceId, Watched)>,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// New rows.
    pub rows: Vec<Arc<Happening>>,
    /// New states; `None`: the workload is gone.
    pub states: Vec<(WorkloadId, Option<Known>)>,
    /// Which places are watched.
    pub watched: Vec<(PlaceId, Watched)>,
    /// What may go to make room.
    pub retention: Retention,
    /// When this was noted.
    pub at: Timestamp,
}

/// Everything that is known to have happened.
#[derive(Debug, Default)]
pub struct Timeline {
    retention: Retention,
    /// Oldest first.
    rows: Vec<Arc<Happening>>,
    states: HashMap<WorkloadId, Known>,
    watched: BTreeMap<PlaceId, Watched>,
    /// Places that were watched without a break up to the last look.
    live: HashSet<PlaceId>,
    /// Places that this process has looked at.
    begun: HashSet<PlaceId>,
    revision: u64,
    unwritten_rows: Vec<Arc<Happening>>,
    unwritten_states: Vec<(WorkloadId, Option<Known>)>,
    written_at: Option<Timestamp>,
    trimmed_at: Option<Timestamp>,
}

impl Timeline {
    /// With what earlier processes wrote.
    pub fn of(kept: Kept, retention: Retention) -> Timeline {
        let mut timeline = Timeline {
            retention,
            states: kept.states.into_iter().collect(),
            watched: kept.watched.into_iter().collect(),
            ..Timeline::default()
        };
        timeline.put(kept.rows);
        timeline.unwritten_rows.clear();
        timeline
    }

    /// Everything that happened, oldest first, without what our journal knows.
    pub fn rows(&self) -> &[Arc<Happening>] {
        &self.rows
    }

    /// Counts every change of the rows.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How much is kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// From when on changes were watched for, and are kept; `None`: nothing was ever watched.
    pub fn reaches_back_to(&self, now: Timestamp) -> Option<Timestamp> {
        let first = self.watched.values().map(|watched| watched.first).min()?;
        let is_full = self.rows.len() >= self.retention.count;
        let oldest = self.rows.first().filter(|_| is_full).map(|row| row.at);
        Some(first.max(now - self.retention.age).max(oldest.unwrap_or(Timestamp::MIN)))
    }

    /// Looks at every workload of a live place that has changed since the last look.
    pub fn look(&mut self, fleet: &mut Fleet, now: Timestamp) {
        let live: Vec<(PlaceId, Sight)> = fleet
            .places()
            .iter()
            .filter(|place| place.state.is_live())
            .map(|place| {
                let is_whole = !place.limits.iter().any(|(source, _)| source.has_rows());
                (place.id.clone(), if is_whole { Sight::Whole } else { Sight::Partial })
            })
            .collect();
        self.live.retain(|place| live.iter().any(|(live, _)| live == place));
        for (place, sight) in live {
            self.look_at(fleet, &place, sight, now);
        }
        let is_due = self.trimmed_at.is_none_or(|at| now.duration_since(at).unsigned_abs() >= EVERY);
        if is_due {
            self.trimmed_at = Some(now);
            self.trim(now);
        }
    }

    /// What is to be written now: what is new, and once a minute which places are watched.
    pub fn due(&mut self, now: Timestamp) -> Option<Notes> {
        let is_early = self.written_at.is_some_and(|at| now.duration_since(at).unsigned_abs() < EVERY);
        let is_nothing_new = self.unwritten_rows.is_empty() && self.unwritten_states.is_empty();
        if self.watched.is_empty() || (is_early && is_nothing_new) {
            return None;
        }
        self.written_at = Some(now);
        Some(self.take(now, AT_ONCE))
    }

    /// Everything that is not written yet: at the end of a process.
    pub fn rest(&mut self, now: Timestamp) -> Option<Notes> {
        (!self.watched.is_empty()).then(|| self.take(now, usize::MAX))
    }

    fn take(&mut self, now: Timestamp, most: usize) -> Notes {
        let rows = self.unwritten_rows.len().min(most);
        let states = self.unwritten_states.len().min(most);
        Notes {
            rows: self.unwritten_rows.drain(..rows).collect(),
            states: self.unwritten_states.drain(..states).collect(),
            watched: self.watched.iter().map(|(place, watched)| (place.clone(), *watched)).collect(),
            retention: self.retention,
            at: now,
        }
    }

    fn look_at(&mut self, fleet: &mut Fleet, place: &PlaceId, sight: Sight, now: Timestamp) {
        let look = if self.live.insert(place.clone()) { Look::AfterBreak } else { Look::Watched };
        let last = self.watched.get(place).map(|watched| watched.last);
        let moment = Moment { now, last, look, sight, reach: self.retention.age };
        let mut rows = Vec::new();
        for id in fleet.take_changed(place) {
            let Some(workload) = fleet.workload(&id) else {
                rows.extend(self.forget(&id, &moment));
                continue;
            };
            if look == Look::Watched && is_unsettled(workload, now) && !self.states.contains_key(&id) {
                fleet.look_again(id);
                continue;
            }
            let before = self.states.get(&id);
            let noted = note(before, &Present::of(fleet, workload), &moment);
            if before != Some(&noted.known) {
                self.unwritten_states.push((id.clone(), Some(noted.known.clone())));
                self.states.insert(id.clone(), noted.known);
            }
            rows.extend(noted.rows);
            if noted.again == Again::Waits {
                fleet.look_again(id);
            }
        }
        if self.begun.insert(place.clone()) && sight == Sight::Whole {
            for id in self.missing(fleet, place) {
                rows.extend(self.forget(&id, &moment));
            }
        }
        self.put(rows);
        let watched = self.watched.entry(place.clone()).or_insert(Watched { first: now, last: now });
        // A clock that was ahead may have written what has not been yet.
        *watched = Watched { first: watched.first.min(now), last: now };
    }

    /// Workloads of a place that were there when it was last watched, before this process, and are not. A namespace of
    /// which nothing at all is seen may be out of our sight: of its workloads nothing is said.
    fn missing(&self, fleet: &Fleet, place: &PlaceId) -> Vec<WorkloadId> {
        let here = fleet.workloads().filter(|workload| workload.id.place == *place);
        let seen: HashSet<Option<&Text>> = here.map(|workload| workload.id.namespace.as_ref()).collect();
        let is_missing = |id: &&WorkloadId| {
            id.place == *place && seen.contains(&id.namespace.as_ref()) && fleet.workload(id).is_none()
        };
        let mut missing: Vec<WorkloadId> = self.states.keys().filter(is_missing).cloned().collect();
        missing.sort();
        missing
    }

    fn forget(&mut self, id: &WorkloadId, moment: &Moment) -> Vec<Happening> {
        let Some(known) = self.states.remove(id) else { return Vec::new() };
        self.unwritten_states.push((id.clone(), None));
        gone(id, &known, moment)
    }

    fn put(&mut self, rows: Vec<Happening>) {
        if rows.is_empty() {
            return;
        }
        let rows: Vec<Arc<Happening>> = rows.into_iter().map(Arc::new).collect();
        self.unwritten_rows.extend(rows.iter().cloned());
        self.rows.extend(rows);
        // Nearly sorted already: what is new is nearly always the newest.
        self.rows.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.what.cmp(&b.what)));
        self.rows.drain(..self.rows.len().saturating_sub(self.retention.count));
        self.revision += 1;
    }

    fn trim(&mut self, now: Timestamp) {
        let limit = now - self.retention.age;
        let old = self.rows.partition_point(|row| row.at < limit);
        if old > 0 {
            self.rows.drain(..old);
            self.revision += 1;
        }
    }
}

/// Whether it stands for an owner that may still be found.
fn is_unsettled(workload: &Workload, now: Timestamp) -> bool {
    workload.is_made_up() && now.duration_since(workload.fetched_at).unsigned_abs() < UNSETTLED
}
