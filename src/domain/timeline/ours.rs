//! Rows from our journal: where an operation began, and how it ended there.
//!
//! Never kept by the store a second time: the journal has them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Happened, Happening, to_millisecond};
use crate::domain::id::WorkloadId;
use crate::domain::operation::{Operation, StepState};
use crate::domain::plan::Step;
use crate::domain::text::{Text, counted};

/// What an operation did, workload by workload.
pub fn of_operation(operation: &Operation, service: &dyn Fn(&WorkloadId) -> Text) -> Vec<Happening> {
    let mut steps: BTreeMap<&WorkloadId, Vec<&Step>> = BTreeMap::new();
    for step in operation.plan.steps().filter(|step| step.action.replaces()) {
        steps.entry(&step.workload).or_default().push(step);
    }
    let was_sent = |steps: &Vec<&Step>| steps.iter().any(|step| operation.progress(step.id).sent_at.is_some());
    let is_any_sent = steps.values().any(was_sent);
    // Where nothing was sent anywhere the first workload stands for all.
    let told =
        |(number, steps): &(usize, (&WorkloadId, Vec<&Step>))| was_sent(&steps.1) || (!is_any_sent && *number == 0);
    let all = steps.into_iter().enumerate().filter(told);
    all.flat_map(|(_, (workload, steps))| of_workload(operation, workload, &steps, service)).collect()
}

fn of_workload(
    operation: &Operation,
    workload: &WorkloadId,
    steps: &[&Step],
    service: &dyn Fn(&WorkloadId) -> Text,
) -> Vec<Happening> {
    let Some(first) = steps.first() else { return Vec::new() };
    let instances: u32 = steps.iter().map(|step| step.instances).sum();
    let incident = operation.incident.as_ref().map(|incident| format!("; incident {incident}")).unwrap_or_default();
    let sides = format!("{} -> {}", first.from.label(), first.to.label());
    let row = |what: Happened, at: Timestamp, detail: String| Happening {
        at: to_millisecond(at),
        after: None,
        workload: workload.clone(),
        service: service(workload),
        what,
        container: None,
        image: first.to.image.clone(),
        reference: first.to.reference.as_ref().map(|reference| Text::new(reference.as_str())),
        version: first.to.version.clone(),
        by: Some(Text::new(&format!("{} {}", operation.id, operation.driver.who))),
        detail: Text::new(&detail),
    };
    let sent = steps.iter().filter_map(|step| operation.progress(step.id).sent_at).min();
    let began = row(
        Happened::Operation,
        // A platform says to the second when it took a request: what asked for it stands before it all the same.
        to_second(sent.unwrap_or(operation.started_at)),
        format!("{}; {} here{incident}", operation.plan.title, counted(instances, "instance")),
    );
    let ended = end(operation, steps).map(|(at, how)| row(Happened::Ended, at, format!("{how}; {sides}")));
    std::iter::once(began).chain(ended).collect()
}

fn to_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// When and how an operation ended in a workload: with its last step there, or with the operation itself.
fn end(operation: &Operation, steps: &[&Step]) -> Option<(Timestamp, String)> {
    let progress = || steps.iter().map(|step| operation.progress(step.id));
    if progress().all(|progress| progress.state == StepState::Verified) {
        return Some((progress().filter_map(|progress| progress.verified_at).max()?, "done".to_string()));
    }
    let (outcome, reason, at) = operation.ended.as_ref()?;
    Some((*at, format!("{}: {reason}", outcome.as_str())))
}
