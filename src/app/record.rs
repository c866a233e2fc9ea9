//! Our own record of versions: which were seen with all their instances healthy. It makes a last good version `observed`.
//!
//! Never judges a version by itself: operations speak first, and what was rolled back from stays rolled back from.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::fleet::Fleet;
use crate::domain::history::{OwnRecord, OwnVerdict, current_revision};
use crate::domain::id::WorkloadId;
use crate::domain::observation::{Rollout, TemplateHash};

/// How often the record is written.
const EVERY: Duration = Duration::from_secs(60);

/// A version of a workload that was seen healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthy {
    /// The workload.
    pub workload: WorkloadId,
    /// The version, by its template.
    pub template: TemplateHash,
    /// When.
    pub at: Timestamp,
}

/// What the record holds, and when it was last written.
#[derive(Debug, Default)]
pub struct HealthRecord {
    known: BTreeMap<WorkloadId, OwnRecord>,
    written: Option<(Timestamp, u64)>,
}

impl HealthRecord {
    /// What an earlier process wrote.
    pub fn of(earlier: Vec<Healthy>) -> HealthRecord {
        let mut record = HealthRecord::default();
        for healthy in earlier {
            record.note(&healthy);
        }
        record
    }

    /// By workload, for `Operations::teach`.
    pub fn known(&self) -> &BTreeMap<WorkloadId, OwnRecord> {
        &self.known
    }

    /// What is to be written now: once a minute, and only if the fleet has changed.
    pub fn due(&mut self, fleet: &Fleet, now: Timestamp) -> Vec<Healthy> {
        let is_early = self.written.is_some_and(|(at, revision)| {
            revision == fleet.revision() || now.duration_since(at).unsigned_abs() < EVERY
        });
        if is_early {
            return Vec::new();
        }
        self.written = Some((now, fleet.revision()));
        let healthy: Vec<Healthy> =
            fleet.workloads().filter_map(|workload| healthy_now(fleet, workload, now)).collect();
        for seen in &healthy {
            self.note(seen);
        }
        healthy
    }

    fn note(&mut self, healthy: &Healthy) {
        let record = self.known.entry(healthy.workload.clone()).or_default();
        record.0.insert(healthy.template.clone(), OwnVerdict::SeenHealthy);
    }
}

/// The version of a workload, if every instance of it is there, of that version, and healthy.
fn healthy_now(fleet: &Fleet, workload: &crate::domain::fleet::Workload, now: Timestamp) -> Option<Healthy> {
    let seen = &workload.seen;
    let tally = workload.judgement.tally;
    let is_whole = seen.rollout == Rollout::Stable && tally.healthy == seen.desired && tally.instances == seen.desired;
    let is_live = fleet.place(&workload.id.place).is_some_and(|place| place.state.is_live());
    let is_known = current_revision(&workload.revisions, &seen.template.hash).is_some();
    (is_whole && is_live && is_known && seen.desired > 0).then(|| Healthy {
        workload: workload.id.clone(),
        template: seen.template.hash.clone(),
        at: now,
    })
}
