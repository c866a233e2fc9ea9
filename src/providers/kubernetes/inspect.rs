//! A look at a step before its plan is shown: what goes back with the image, permissions, disruption budgets, the
//! command that would do the same; and where changes are allowed, what the server itself says to it (a dry run).
//!
//! Never changes anything: reads, reviews, and requests that are marked as not meant.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Fault, Meant, Reads, Review, Writes};
use super::convert::Kind;
use super::keepers::{self, Resource};
use super::lookup::{self, READ_TIMEOUT, rollout};
use super::lost;
use super::requests::{self, Mark, Precondition};
use super::{diff, operate};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{WorkloadId, WorkloadKind};
use crate::domain::keeper::Borrowed;
use crate::domain::observation::TemplateHash;
use crate::domain::plan::{Action, Check, CheckVerdict, Follows, Inspection, Step, Unpause};
use crate::domain::text::Text;

/// Looks at a step with reads alone.
pub(super) async fn inspect(reads: &Reads, keys: &ServiceKeys, step: &Step) -> Inspection {
    let mut inspection = Inspection::default();
    if let Err(fault) = look(reads, keys, step, &mut inspection).await {
        let verdict = CheckVerdict::Unknown;
        inspection.checks.push(check("look", verdict, &format!("{}: can't be looked at: {fault}", step.workload)));
    }
    inspection
}

/// Has the server go through a step without doing it.
pub(super) async fn rehearse(reads: &Reads, writes: &Writes, keys: &ServiceKeys, step: &Step) -> Inspection {
    let mut inspection = Inspection::default();
    match dry_run(reads, writes, keys, step, &mut inspection).await {
        Ok(()) => {}
        Err(Fault::Refused(refusal)) if refusal.code == 429 => {
            let budget = refusal.causes.iter().find(|(reason, _)| reason == "DisruptionBudget");
            let why = budget.map_or(&refusal.message, |(_, why)| why);
            let detail = format!("{}: a disruption budget does not allow it now: {why}", step.workload);
            inspection.checks.push(check("dry run", CheckVerdict::Warn, &detail));
        }
        Err(Fault::Refused(refusal)) if refusal.code == 409 => {
            let detail = format!("{}: it was changed meanwhile", step.workload);
            inspection.checks.push(check("dry run", CheckVerdict::Unknown, &detail));
        }
        Err(Fault::Refused(refusal)) if refusal.code < 500 || refusal.message.contains("admission webhook") => {
            let reason = Text::new(&format!("the server would refuse: {}", refusal.message));
            let hint = match refusal.code {
                403 => "ask for the operator's role, or for an exception from the policy that is named",
                404 => "it is gone: plan again",
                _ => "change what the server names, then plan again",
            };
            inspection.refusals.push((reason, Text::new(hint)));
        }
        Err(fault) => {
            let detail = format!("{}: the server could not be asked: {fault}", step.workload);
            inspection.checks.push(check("dry run", CheckVerdict::Unknown, &detail));
        }
    }
    inspection
}

async fn look(reads: &Reads, keys: &ServiceKeys, step: &Step, inspection: &mut Inspection) -> Result<(), Fault> {
    let context = reads.facts().await?.context;
    let id = &step.workload;
    if Kind::operable(id.kind).is_none() {
        inspection.refusals.push((lookup::inoperable(id), Text::new("use kubectl")));
        return Ok(());
    }
    if let Some(turns) = step.action.turns() {
        return look_at_loan(reads, &context, step, &turns, inspection).await;
    }
    let present = lookup::workload(reads, keys, id).await?;
    // The template of a Rollout may be that of a Deployment.
    let changed = match &present.rollout {
        Some(rollout::RolloutNow { referred: Some(referred), .. }) => (referred.kind, &referred.seen.name),
        Some(_) | None => (present.kind, &id.name),
    };
    let (group, resource) = (changed.0.group(), changed.0.resource());
    let patch = Asked { namespace: id.namespace.as_deref(), verb: "patch", group, resource, subresource: "" };
    // What an abort or a promotion of a Rollout takes.
    let status = Asked { group: "argoproj.io", resource: "rollouts", subresource: "status", ..patch };
    let is_rollout = present.kind == Kind::Rollout;
    match &step.action {
        Action::RestoreRevision { revision, number, .. } => {
            let release = present.holds().filter(|_| step.unpause == Unpause::Release);
            let undo = if is_rollout { requests::rollout::undo } else { requests::kubectl_undo };
            inspection.equivalent = Some(undo(&context, id, *number, release));
            inspection.checks.push(permission(reads, step, &patch, changed.1).await);
            match lookup::revision(reads, id, &present, revision).await? {
                Some(past) => {
                    inspection.also_goes_back = diff::differences(&present.template, &past.template);
                    if present.kind == Kind::CronJob {
                        let command = requests::kubectl_template_of_job(&context, id, &past.name, &past.template);
                        inspection.equivalent = Some(command);
                    }
                }
                None => {
                    let reason = Text::new(&format!("revision {number} is gone from the cluster's history"));
                    inspection.refusals.push((reason, Text::new("plan again; name an image instead of a revision")));
                }
            }
        }
        Action::SetImage { container, image } => {
            inspection.equivalent = Some(set_image_command(&context, id, &present, (container, image.as_str())));
            inspection.checks.push(permission(reads, step, &patch, changed.1).await);
        }
        Action::Evict { name, .. } => {
            inspection.equivalent = Some(requests::kubectl_evict(&context, id, name));
            let create = Asked { verb: "create", group: "", resource: "pods", subresource: "eviction", ..patch };
            inspection.checks.push(permission(reads, step, &create, name).await);
            inspection.checks.extend(stale_image(step, &present));
            let pod = lookup::pod(reads, keys, id, name).await?;
            inspection.checks.extend(budgets(reads, step, &pod.labels).await);
            inspection.checks.extend(lost::checks(reads, step, &pod.volumes).await);
        }
        Action::EndRollout { .. } if is_rollout => {
            inspection.equivalent = Some(requests::rollout::kubectl_abort(&context, id));
            inspection.checks.push(permission(reads, step, &status, &id.name).await);
        }
        Action::Promote { promotion, .. } if is_rollout => {
            inspection.equivalent = Some(requests::rollout::kubectl_promote(&context, id, *promotion));
            inspection.checks.push(permission(reads, step, &status, &id.name).await);
        }
        Action::Promote { .. } => {
            inspection.refusals.push((Text::new(operate::NO_STEPS), Text::new("plan again")));
        }
        Action::EndRollout { .. } => {
            inspection.refusals.push((Text::new(operate::NO_END), Text::new("plan again")));
        }
        // Looked at above.
        Action::Borrow { .. } | Action::GiveBack { .. } => {}
    }
    if step.action.is_rollout() && !id.kind.has_runs() {
        inspection.checks.extend(lost::checks(reads, step, &present.template["spec"]["volumes"]).await);
    }
    Ok(())
}

async fn look_at_loan(
    reads: &Reads,
    context: &str,
    step: &Step,
    turns: &Borrowed,
    inspection: &mut Inspection,
) -> Result<(), Fault> {
    let Some(change) = keepers::change(turns) else {
        let Some(kind) = Kind::operable(step.workload.kind) else { return Ok(()) };
        let (group, resource) = (kind.group(), kind.resource());
        let namespace = step.workload.namespace.as_deref();
        let asked = Asked { namespace, verb: "patch", group, resource, subresource: "" };
        if let Borrowed::Pace { to, .. } = turns {
            inspection.equivalent = Some(requests::kubectl_pace(context, &step.workload, kind, to));
        }
        inspection.checks.push(permission(reads, step, &asked, &step.workload.name).await);
        return Ok(());
    };
    let Resource { group, name, .. } = keepers::resource(change.keeper.kind);
    let asked =
        Asked { namespace: Some(&change.keeper.namespace), verb: "patch", group, resource: name, subresource: "" };
    inspection.equivalent = Some(keepers::kubectl(context, &change));
    inspection.checks.push(permission(reads, step, &asked, &change.keeper.name).await);
    Ok(())
}

async fn rehearse_loan(
    reads: &Reads,
    writes: &Writes,
    keys: &ServiceKeys,
    step: &Step,
    inspection: &mut Inspection,
) -> Result<(), Fault> {
    // What is given back by the plan itself is not borrowed yet.
    let turns = step.action.turns().filter(|_| step.follows != Follows::Loan);
    let Some(turns) = turns else { return Ok(()) };
    let mark = Mark { operation: "o-rehearsal", who: "rolldeck", verb: "rehearsal", at: Timestamp::now() };
    if let Borrowed::Pace { from, to } = &turns {
        let present = lookup::workload(reads, keys, &step.workload).await?;
        if present.seen.strategy != *from {
            let why = format!("its update strategy is {} now", present.seen.strategy.describe());
            inspection.refusals.push((Text::new(&why), Text::new("plan again")));
            return Ok(());
        }
        operate::loan::send_pace(writes, step, &present, &mark, to, Meant::Rehearsal).await?;
        let detail = format!("{}: the server would take {}", step.workload, to.describe());
        inspection.checks.push(check("dry run", CheckVerdict::Pass, &detail));
        return Ok(());
    }
    let Some(change) = keepers::change(&turns) else { return Ok(()) };
    let why_not = match keepers::look(reads, &change).await? {
        keepers::Found::Ready(version) => {
            keepers::send(writes, &change, &version, &mark, Meant::Rehearsal).await?.err()
        }
        keepers::Found::IsSo(_) => Some(Text::new(&format!("{} is to {} already", change.keeper, change.to))),
        keepers::Found::Moved(why) => Some(why),
    };
    match why_not {
        Some(why) => inspection.refusals.push((why, Text::new("plan again"))),
        None => {
            let detail = format!("{}: the server would take it", change.keeper);
            inspection.checks.push(check("dry run", CheckVerdict::Pass, &detail));
        }
    }
    Ok(())
}

async fn dry_run(
    reads: &Reads,
    writes: &Writes,
    keys: &ServiceKeys,
    step: &Step,
    inspection: &mut Inspection,
) -> Result<(), Fault> {
    let id = &step.workload;
    let Some(kind) = Kind::operable(id.kind) else { return Ok(()) };
    if step.action.loan().is_some() {
        return rehearse_loan(reads, writes, keys, step, inspection).await;
    }
    let answered = match &step.action {
        Action::RestoreRevision { .. } | Action::SetImage { .. } => {
            let present = lookup::workload(reads, keys, id).await?;
            let mark = Mark { operation: "o-rehearsal", who: "rolldeck", verb: "rehearsal", at: Timestamp::now() };
            match operate::body(reads, step, &present, &mark).await? {
                Ok(change) => writes.patch(change.patch, &change.path, &change.body, Meant::Rehearsal).await?,
                Err(why) => {
                    inspection.refusals.push((why, Text::new("plan again")));
                    return Ok(());
                }
            }
        }
        Action::Evict { name, .. } => {
            let pod = lookup::pod(reads, keys, id, name).await?;
            let at = Precondition { uid: &pod.seen.uid.0, resource_version: &pod.resource_version };
            let body = requests::eviction(&at, id, name);
            writes.evict(&requests::pod_path(id, name), &body, Meant::Rehearsal).await?
        }
        Action::EndRollout { .. } | Action::Promote { .. } if kind == Kind::Rollout => {
            let present = lookup::workload(reads, keys, id).await?;
            let Some(body) = operate::rollout::body(step, &present) else { return Ok(()) };
            operate::rollout::send(writes, step, &body, Meant::Rehearsal).await?
        }
        Action::EndRollout { .. } | Action::Promote { .. } | Action::Borrow { .. } | Action::GiveBack { .. } => {
            return Ok(());
        }
    };
    for warning in &answered.warnings {
        inspection.checks.push(check("dry run", CheckVerdict::Warn, &format!("{id}: the server warns: {warning}")));
    }
    if let Action::RestoreRevision { hash, number, .. } = &step.action
        && hash_after(kind, &answered.body, keys)? != *hash
    {
        let detail = format!("{id}: admission would change the template of revision {number} on its way back");
        inspection.checks.push(check("dry run", CheckVerdict::Warn, &detail));
    }
    inspection.checks.push(check("dry run", CheckVerdict::Pass, &format!("{id}: the server would take it")));
    Ok(())
}

/// A permission that is asked about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    namespace: Option<&'a str>,
    verb: &'a str,
    group: &'a str,
    resource: &'a str,
    subresource: &'a str,
}

/// What a workload would ask for, by the answer to a rehearsal.
fn hash_after(kind: Kind, answer: &[u8], keys: &ServiceKeys) -> Result<TemplateHash, Fault> {
    match kind {
        // Of the Rollout, or of the Deployment that it refers to: both have it at the same place.
        Kind::Rollout => lookup::rollout::answered(answer).map(|(_, hash)| hash),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::CronJob => {
            Ok(lookup::Present::of(kind, answer, keys)?.seen.template.hash)
        }
    }
}

fn set_image_command(
    context: &str,
    id: &WorkloadId,
    present: &lookup::Present,
    (container, image): (&str, &str),
) -> Text {
    match &present.rollout {
        Some(rollout::RolloutNow { referred: Some(referred), .. }) => {
            let name = referred.seen.name.clone();
            let id = WorkloadId { kind: WorkloadKind::Deployment, name, ..id.clone() };
            requests::kubectl_set_image(context, &id, container, image)
        }
        Some(_) => requests::rollout::set_image(context, id, container, image),
        None => requests::kubectl_set_image(context, id, container, image),
    }
}

async fn permission(reads: &Reads, step: &Step, asked: &Asked<'_>, name: &str) -> Check {
    let id = &step.workload;
    let Asked { namespace, verb, group, resource, subresource } = asked;
    let attributes = json!({"namespace": namespace, "verb": verb, "group": group, "resource": resource,
        "subresource": subresource, "name": name});
    let what =
        if subresource.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{subresource}") };
    let spec = json!({"resourceAttributes": attributes});
    match reads.review(Review::Access, spec, READ_TIMEOUT).await {
        Ok(answer) if answer["status"]["allowed"] == true => {
            check("permission", CheckVerdict::Pass, &format!("{id}: {what} is granted"))
        }
        Ok(answer) => {
            let why = answer["status"]["reason"].as_str().filter(|why| !why.is_empty());
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            check(
                "permission",
                CheckVerdict::Fail,
                &format!("{id}: {what} is not granted{why}; ask for the operator's role"),
            )
        }
        Err(fault) => check("permission", CheckVerdict::Unknown, &format!("{id}: {what}: can't be asked: {fault}")),
    }
}

/// Whether the new pod may well run the same stale image (reference section 5).
fn stale_image(step: &Step, present: &lookup::Present) -> Option<Check> {
    let containers = present.template["spec"]["containers"].as_array()?;
    let main = containers.iter().find(|raw| raw["name"] == step.to.container.as_str())?;
    let is_pinned = main["image"].as_str().is_some_and(|image| image.contains('@'));
    (!is_pinned && main["imagePullPolicy"] == "IfNotPresent").then(|| {
        let detail = format!(
            "{}: the template pins no digest and a node pulls only what it does not have: the new pod may run the same image",
            step.workload
        );
        check("stale image", CheckVerdict::Warn, &detail)
    })
}

async fn budgets(reads: &Reads, step: &Step, labels: &Value) -> Vec<Check> {
    let id = &step.workload;
    let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", requests::namespace(id));
    let list = match reads.get_json(&path, READ_TIMEOUT).await {
        Ok(list) => list,
        Err(fault) => {
            let detail = format!("{id}: budgets can't be read: {fault}");
            return vec![check("disruption budget", CheckVerdict::Unknown, &detail)];
        }
    };
    let covering = list["items"].as_array().into_iter().flatten();
    let covering = covering.filter(|budget| selects(&budget["spec"]["selector"], labels));
    covering
        .map(|budget| {
            let name = budget["metadata"]["name"].as_str().unwrap_or_default();
            let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
            let (healthy, needed) = (&budget["status"]["currentHealthy"], &budget["status"]["desiredHealthy"]);
            let verdict = if allowed > 0 { CheckVerdict::Pass } else { CheckVerdict::Warn };
            let detail = format!("{id}: budget {name} allows {allowed} now ({healthy} healthy, {needed} needed)");
            check("disruption budget", verdict, &detail)
        })
        .collect()
}

/// Whether a label selector of policy/v1 matches: an empty one matches all, an absent one none.
fn selects(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.all(|(key, value)| labels[key] == *value)
        && expressions.all(|expression| {
            let found = &labels[expression["key"].as_str().unwrap_or_default()];
            let is_listed = expression["values"].as_array().is_some_and(|values| values.contains(found));
            match expression["operator"].as_str() {
                Some("In") => is_listed,
                Some("NotIn") => !is_listed,
                Some("Exists") => !found.is_null(),
                Some("DoesNotExist") => found.is_null(),
                Some(_) | None => false,
            }
        })
}

fn check(name: &str, verdict: CheckVerdict, detail: &str) -> Check {
    Check { name: Text::new(name), verdict, detail: Text::new(detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_match_as_the_api_says() {
        let labels = json!({"app": "a", "tier": "x"});
        for (selector, expected) in [
            (json!({}), true),
            (Value::Null, false),
            (json!({"matchLabels": {"app": "a"}}), true),
            (json!({"matchLabels": {"app": "b"}}), false),
            (json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["x", "y"]}]}), true),
            (json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}), false),
            (json!({"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]}), true),
        ] {
            assert_eq!(selects(&selector, &labels), expected, "{selector}");
        }
    }
}
