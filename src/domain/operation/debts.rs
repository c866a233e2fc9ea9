//! Debts that the fleet shows to be paid: by a later operation, by an operator at a shell, or because the workload is gone.
//!
//! Never believes an observation of an older generation, or of a place that is not live; and never takes what it can't see
//! for gone.

use super::Operation;
use crate::domain::fleet::Fleet;
use crate::domain::journal::Entry;
use crate::domain::observation::Rollout;
use crate::domain::text::Text;

/// The entry for the next debt that is paid. Whoever sees it may write it: it sends nothing.
pub fn paid(operation: &Operation, fleet: &Fleet) -> Option<Entry> {
    operation.debts.iter().find_map(|debt| {
        let step = operation.plan.steps().find(|step| step.workload == debt.workload)?;
        // Our own release is on its way, and its answer says it better.
        if operation.progress(step.id).brake.is_some() {
            return None;
        }
        let place = fleet.place(&debt.place).filter(|place| place.state.is_live())?;
        if place.heard_at.is_none_or(|heard| heard <= debt.since) {
            return None;
        }
        let how = match fleet.workload(&debt.workload) {
            Some(other) if other.seen.uid != step.bound.uid => "the workload was deleted and made again".to_string(),
            None if fleet.is_deleted(&debt.place, &step.bound.uid) => "the workload was deleted".to_string(),
            None => return None,
            Some(workload) => {
                let seen = &workload.seen;
                if seen.rollout == Rollout::Paused || seen.generation < debt.generation {
                    return None;
                }
                match seen.touched_by.as_deref().and_then(|mark| mark.split_whitespace().next()) {
                    Some(other) if other != operation.id.0.as_str() => format!("released by {other}"),
                    Some(_) | None => "its pause was taken off by somebody else".to_string(),
                }
            }
        };
        Some(Entry::DebtPaid { workload: debt.workload.clone(), how: Text::new(&how) })
    })
}
