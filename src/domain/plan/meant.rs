//! What "back" and "replace" mean where a whole service is named: by a row of the screen or by a name on the command line.
//!
//! Never leaves anything out silently: each workload that is not meant comes with the reason.

use jiff::Timestamp;

use super::{Goto, Reach};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::{PlaceId, WorkloadId, WorkloadKind};
use crate::domain::policy::Policy;
use crate::domain::text::Text;

/// The workloads of a service that are meant, and those that are not.
#[derive(Clone, Default)]
pub struct Meant<'a> {
    /// In the plan.
    pub workloads: Vec<&'a Workload>,
    /// Part of the service, but not of the plan, and why; the plan lists them.
    pub left_out: Vec<(WorkloadId, Text)>,
}

/// What is meant by one service.
///
/// Who names a service sees one line for many places, and means the bad part of it. Back: the workloads that ask for the
/// same release as the worst one, off or not: with v42 bad in three places of five, the two that ask for v41 must stay
/// where they are. Replace: the workloads where something is off. Workloads that can't be operated, and those of another
/// kind than the worst one of their place unless all are meant, are left out as long as something remains.
pub fn meant<'a>(
    goto: &Goto,
    kinds: Reach,
    fleet: &Fleet,
    policy: &Policy,
    now: Timestamp,
    service: &[&'a Workload],
) -> Meant<'a> {
    let operable = || service.iter().copied().filter(|workload| workload.seen.inoperable.is_none());
    let worst = operable().min_by(|a, b| fleet.worst_first(a, b, now, policy.changed_lately));
    let Some(worst) = worst else {
        // Nothing of it can be operated: the plan says why, for each.
        return Meant { workloads: service.to_vec(), left_out: Vec::new() };
    };
    let worst_in = |place: &PlaceId| {
        let there = operable().filter(|workload| workload.id.place == *place);
        there.min_by(|a, b| fleet.worst_first(a, b, now, policy.changed_lately))
    };
    let mut meant = Meant::default();
    for &workload in service {
        let kind = worst_in(&workload.id.place).map(|worst| worst.id.kind).filter(|_| kinds == Reach::Narrow);
        match why_not(goto, kind, workload, worst) {
            Some(why) => meant.left_out.push((workload.id.clone(), Text::new(&why))),
            None => meant.workloads.push(workload),
        }
    }
    if meant.workloads.is_empty() {
        meant.workloads.push(worst);
        meant.left_out.retain(|(id, _)| *id != worst.id);
    }
    meant
}

/// `kind` is the one that is meant in the workload's place; `None`: all.
fn why_not(goto: &Goto, kind: Option<WorkloadKind>, workload: &Workload, worst: &Workload) -> Option<String> {
    if let Some(why) = &workload.seen.inoperable {
        return Some(why.to_string());
    }
    if kind.is_some_and(|kind| workload.id.kind != kind) {
        return Some(format!("of kind {}", workload.id.kind));
    }
    match goto {
        Goto::Expected => (workload.judgement.tally.off() == 0).then(|| "nothing is off there".to_string()),
        Goto::Promote(_) => waits_for_none(workload).then(|| "nothing waits there for a promotion".to_string()),
        Goto::LastGood | Goto::Revision(_) | Goto::Image(_) | Goto::Before(_) => {
            (!workload.asks_like(worst)).then(|| format!("asks for {}, not {}", release(workload), release(worst)))
        }
        Goto::GiveBack(_) => None,
    }
}

/// Whether nothing is there that a promotion could let go on.
fn waits_for_none(workload: &Workload) -> bool {
    workload.seen.canary.as_ref().is_none_or(|canary| canary.halt.is_none() && workload.seen.running.is_none())
}

/// What a person calls the release that a workload asks for.
fn release(workload: &Workload) -> String {
    let digest = || workload.judgement.requested.as_ref().map(|image| Text::new(image.short(12)));
    workload.called().or_else(digest).map_or_else(|| "another release".to_string(), |name| name.to_string())
}
