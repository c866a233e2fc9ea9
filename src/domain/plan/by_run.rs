//! Workloads that start runs (a CronJob): another template is what their next run starts, and what runs now is left to end.
//!
//! Never takes a run away: nobody would do its work again.

use super::choose::Choice;
use crate::domain::fleet::{Fleet, Instance, Workload};
use crate::domain::history::is_earlier_run;
use crate::domain::text::counted;

/// Why nothing is replaced there.
pub(super) fn no_replacement(workload: &Workload) -> Choice {
    Choice::Refused {
        reason: format!(
            "a {} replaces nothing: what runs now is left to end, and its next run starts what its template asks for",
            workload.id.kind
        ),
        hint:
            "change what the next run starts: b goes back to the last good version, B picks one (`plan rollback`, --to)"
                .to_string(),
    }
}

/// It asks for the target already.
pub(super) fn already_there(fleet: &Fleet, workload: &Workload) -> Choice {
    Choice::AlreadyThere(format!("its next run starts it already; {}", left_to_end(fleet, workload)))
}

/// What becomes of what runs now, in words.
pub(in crate::domain) fn left_to_end(fleet: &Fleet, workload: &Workload) -> String {
    let counted_ones = || fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted());
    let is_earlier = |instance: &&Instance| is_earlier_run(&workload.seen, &workload.revisions, &instance.seen);
    match (counted_ones().count(), counted_ones().filter(is_earlier).count()) {
        (0, _) => "nothing runs now".to_string(),
        (_, 0) => "what runs now is of that version".to_string(),
        (_, earlier) => format!("{} of an earlier version left to end", counted(earlier, "instance")),
    }
}
