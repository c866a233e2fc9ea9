//! What is asked of an Argo Rollout: another template, an abort, a promotion.
//!
//! Never promotes anything but the halt that was decided at, and never changes a template but where it stands.

use super::super::client::{Answered, Fault, Meant, Patch, Reads, Writes};
use super::super::convert::{self, Kind};
use super::super::lookup::rollout::RolloutNow;
use super::super::lookup::{self, Present};
use super::super::requests::{self, Mark, Precondition, rollout};
use super::{Change, Tried, change_of, sorted};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{WorkloadId, WorkloadKind};
use crate::domain::journal::Receipt;
use crate::domain::observation::Rollout;
use crate::domain::plan::{Action, Promotion, Step, Unpause};
use crate::domain::text::Text;
use crate::providers::Answer;

/// Sends what a step asks of the status. The object was compared before.
pub(super) async fn change_status(writes: &Writes, step: &Step, present: &Present) -> Tried {
    let Some(body) = body(step, present) else {
        let notes = vec![Text::new("no rollout is in flight there; nothing was sent")];
        return Tried::Answer(Answer::Accepted(Receipt { generation: 0, template: None, notes }));
    };
    match send(writes, step, &body, Meant::Really).await {
        Ok(answered) => {
            Tried::Answer(Answer::Accepted(Receipt { generation: 0, template: None, notes: answered.warnings }))
        }
        Err(fault) => sorted(&fault),
    }
}

/// The request that gives a Rollout another template: its own, or that of the Deployment that it refers to.
pub(super) async fn template_change(
    reads: &Reads,
    step: &Step,
    (present, now): (&Present, &RolloutNow),
    mark: &Mark<'_>,
) -> Result<Result<Change, Text>, Fault> {
    if let Some(referred) = &now.referred {
        if present.seen.rollout == Rollout::Paused {
            // Two objects, two requests: the one would be taken without the other.
            let why = "it is held, and its template is that of a Deployment: let it go on first, then plan again";
            return Ok(Err(Text::new(why)));
        }
        return of_deployment(reads, step, (present, referred), mark).await;
    }
    let then = match &step.action {
        Action::RestoreRevision { revision, number, hash } => {
            match super::past(reads, step, present, (revision, *number, hash)).await? {
                Ok(past) => past.template,
                Err(why) => return Ok(Err(why)),
            }
        }
        Action::SetImage { .. } if !now.is_settled => {
            return Ok(Err(Text::new("its controller has not taken up what it asks for now; plan again")));
        }
        Action::SetImage { container, image } => {
            // As the API server has completed it: so it will be known again.
            match rollout::with_image(&present.template, container, image.as_str()) {
                Some(template) => template,
                None => return Ok(Err(Text::new(&format!("it has no container {container} any more; plan again")))),
            }
        }
        Action::Evict { .. }
        | Action::EndRollout { .. }
        | Action::Promote { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => return Ok(Err(Text::new("it changes no template"))),
    };
    let at = Precondition { uid: &present.seen.uid.0, resource_version: &present.resource_version };
    let release = present.holds().filter(|_| step.unpause == Unpause::Release);
    Ok(Ok(Change {
        kind: Kind::Rollout,
        path: requests::workload_path(Kind::Rollout, &step.workload),
        patch: Patch::Merge,
        body: rollout::replace_template(&at, mark, &now.own_template, &then, release),
    }))
}

/// The template that a Rollout uses is changed where it stands.
async fn of_deployment(
    reads: &Reads,
    step: &Step,
    (present, referred): (&Present, &Present),
    mark: &Mark<'_>,
) -> Result<Result<Change, Text>, Fault> {
    let name = referred.seen.name.clone();
    let workload = WorkloadId { kind: WorkloadKind::Deployment, name, ..step.workload.clone() };
    let on_deployment = Step { workload, ..step.clone() };
    let Action::RestoreRevision { revision, number, hash } = &step.action else {
        return change_of(reads, &on_deployment, referred, mark).await;
    };
    // Its versions are those of the Rollout: the Deployment itself makes none.
    let past = super::past(reads, step, present, (revision, *number, hash)).await?;
    let at = Precondition { uid: &referred.seen.uid.0, resource_version: &referred.resource_version };
    Ok(past.map(|past| Change {
        kind: Kind::Deployment,
        path: requests::workload_path(Kind::Deployment, &on_deployment.workload),
        patch: Patch::Strategic,
        body: requests::restore(Kind::Deployment, &at, mark, &past.template, None),
    }))
}

/// What the answer to a change says. A hold leaves the template as it was.
pub(super) fn answer(answered: Answered, kind: Kind, before: &Present, keys: &ServiceKeys) -> Answer {
    let Some(now) = &before.rollout else { return Answer::Unanswered(Text::new("it was taken")) };
    let after = match kind {
        Kind::Rollout => lookup::rollout::answered(&answered.body),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::CronJob => {
            Present::of(kind, &answered.body, keys)
                .map(|present| (present.seen.generation, present.seen.template.hash.clone()))
        }
    };
    match after {
        Ok((generation, hash)) => {
            let is_held = kind == Kind::Rollout && hash == convert::hash_of(&now.own_template);
            let template = if is_held { before.seen.template.hash.clone() } else { hash };
            let generation = now.generation_after(before, kind, generation);
            Answer::Accepted(Receipt { generation, template: Some(template), notes: answered.warnings })
        }
        Err(fault) => Answer::Unanswered(Text::new(&format!("it was taken, but {fault}"))),
    }
}

/// The body; `None` where there is nothing to be done any more.
pub(in super::super) fn body(step: &Step, present: &Present) -> Option<serde_json::Value> {
    let at = Precondition { uid: &present.seen.uid.0, resource_version: &present.resource_version };
    let standing = present.rollout.as_ref().map(|rollout| rollout.standing).unwrap_or_default();
    match &step.action {
        Action::EndRollout { .. } => present.seen.running.is_some().then(|| rollout::abort(&at)),
        // One that nothing is left of to promote would be kept, and skip the steps of whatever comes next.
        Action::Promote { promotion: Promotion::Full, halt: None, .. } if present.seen.running.is_none() => None,
        Action::Promote { promotion, .. } => Some(rollout::promote(&at, *promotion, standing)),
        Action::RestoreRevision { .. }
        | Action::SetImage { .. }
        | Action::Evict { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => None,
    }
}

/// To the status; where the cluster's Rollouts have none of their own (v0.9), to the object.
pub(in super::super) async fn send(
    writes: &Writes,
    step: &Step,
    body: &serde_json::Value,
    meant: Meant,
) -> Result<Answered, Fault> {
    let path = requests::workload_path(Kind::Rollout, &step.workload);
    match writes.patch(Patch::Merge, &format!("{path}/status"), body, meant).await {
        Err(fault) if fault.code() == 404 => writes.patch(Patch::Merge, &path, body, meant).await,
        answer => answer,
    }
}
